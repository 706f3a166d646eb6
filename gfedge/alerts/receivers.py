"""The file of receivers: where messages about alerts go. Only what stands in it is ever sent to (docs/alerts.md).

receivers: [{name: phone, ntfy: {url: http://ntfy.lan/gfedge}, min_severity: warning}]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Meta

from gfedge import outbound
from gfedge.alerts.documents import Document, Fault, read
from gfedge.alerts.rules import seconds
from gfedge.outbound import Target
from gfedge.promql.parser import parse_selector
from gfedge.promql.types import Matcher, QueryError

SEVERITIES = ("info", "warning", "critical")
"""Ascending. An alert with another severity, or none, counts as critical: better once too often."""
SEND_SECONDS = 10.0
Kind = Literal["webhook", "ntfy", "email", "alertmanager"]


class HttpNode(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A server that is told by HTTP."""

    url: str
    token: str = ""
    token_file: str = ""

    def __repr__(self) -> str:
        return "HttpNode()"  # tokens stand in it, and in many addresses


class EmailNode(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A mail server, who writes and to whom."""

    smarthost: Annotated[
        str,
        Meta(
            pattern=r"\A(\[[0-9a-fA-F:]+\]|[^\s:]+):[0-9]{1,5}\Z",
            description="A host and a port (mail.lan:25).",
        ),
    ]
    sender: str = msgspec.field(name="from")
    to: Annotated[list[str], Meta(min_length=1, max_length=50)]
    username: str = ""
    password: str = ""
    password_file: str = ""
    tls: Literal["starttls", "always", "never"] = "starttls"
    """starttls where the server offers it, and always with a password; always: from the first byte on."""

    def __repr__(self) -> str:
        return f"EmailNode({self.smarthost!r})"  # a password stands in it


class ReceiverNode(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One receiver: a name, one way, and what it wants."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    webhook: HttpNode | None = None
    ntfy: HttpNode | None = None
    email: EmailNode | None = None
    alertmanager: HttpNode | None = None
    min_severity: Literal["info", "warning", "critical"] = "info"
    match: str = ""
    send_resolved: bool = True
    repeat_interval: str = ""


class ReceiversNode(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    external_labels: dict[str, str] = {}
    group_by: list[str] = msgspec.field(default_factory=lambda: ["alertname"])
    group_wait: str = "10s"
    group_interval: str = "1m"
    repeat_interval: str = "4h"
    receivers: list[ReceiverNode] = []


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver that was checked. Durations are seconds."""

    name: str
    kind: Kind
    target: Target | None
    """Of all but mail."""
    path: str = ""
    """`/` where its address ends with one, which some servers insist on."""
    query: Mapping[str, str] = msgspec.field(default_factory=dict)
    """What its address ends with."""
    email: EmailNode | None = None
    min_severity: str = "info"
    matchers: tuple[Matcher, ...] = ()
    send_resolved: bool = True
    repeat_seconds: float = 4 * 3600.0

    @property
    def address(self) -> str:
        """Where it is, without what may be secret: paths of webhooks often are."""
        if self.email is not None:
            return f"{', '.join(self.email.to)} by {self.email.smarthost}"
        assert self.target is not None
        return "{0.scheme}://{0.netloc}".format(urlsplit(self.target.url))

    def wants(self, labels: Mapping[str, str]) -> bool:
        """Whether it is to hear of an alert."""
        severity = labels.get("severity", "")
        level = SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
        return level >= SEVERITIES.index(self.min_severity) and all(
            one.matches(labels.get(one.name, "")) for one in self.matchers
        )


class Routing(msgspec.Struct, frozen=True, kw_only=True):
    """The receivers, and how alerts are put together for them."""

    external_labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    group_by: tuple[str, ...] = ("alertname",)
    group_wait: float = 10.0
    group_interval: float = 60.0
    receivers: tuple[Receiver, ...] = ()


def load(path: Path) -> Routing:
    """The routing of a file; Fault says where it is wrong."""
    document = read(path.expanduser())
    node = document.convert(ReceiversNode)
    names = [one.name for one in node.receivers]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise document.fault(f'receiver "{name}" is there twice', "receivers", at)
    repeat = _seconds(document, node.repeat_interval, "repeat_interval")
    return Routing(
        external_labels=node.external_labels,
        group_by=tuple(node.group_by),
        group_wait=_seconds(document, node.group_wait, "group_wait"),
        group_interval=_seconds(document, node.group_interval, "group_interval"),
        receivers=tuple(
            _receiver(document, at, one, repeat, path.parent)
            for at, one in enumerate(node.receivers)
        ),
    )


def _receiver(
    document: Document, at: int, node: ReceiverNode, repeat: float, folder: Path
) -> Receiver:
    place = ("receivers", at)
    ways: dict[Kind, HttpNode | EmailNode | None] = {
        "webhook": node.webhook,
        "ntfy": node.ntfy,
        "email": node.email,
        "alertmanager": node.alertmanager,
    }
    given = [(kind, way) for kind, way in ways.items() if way is not None]
    if len(given) != 1:
        raise document.fault(f"give exactly one of {', '.join(ways)}", *place)
    kind, way = given[0]
    http = way if isinstance(way, HttpNode) else None
    email = way if isinstance(way, EmailNode) else None
    if email is not None and email.password_file:
        password = _secret(document, folder / email.password_file, *place, "email", "password_file")
        email = msgspec.structs.replace(email, password=password)
    return Receiver(
        name=node.name,
        kind=kind,
        target=None if http is None else _target(document, http, folder, *place, kind),
        path="/" if http is not None and urlsplit(http.url).path.endswith("/") else "",
        query=dict(parse_qsl(urlsplit(http.url).query)) if http is not None else {},
        email=email,
        min_severity=node.min_severity,
        matchers=_matchers(document, node.match, *place, "match"),
        send_resolved=node.send_resolved,
        repeat_seconds=_seconds(document, node.repeat_interval, *place, "repeat_interval")
        if node.repeat_interval
        else repeat,
    )


def _target(document: Document, node: HttpNode, folder: Path, *place: str | int) -> Target:
    token = node.token
    if node.token_file:
        token = _secret(document, folder / node.token_file, *place, "token_file")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        url = node.url.partition("?")[0]
        return outbound.target(url, headers=headers, seconds=SEND_SECONDS, max_bytes=1 << 20)
    except ValueError as error:
        raise document.fault(f"url: {error}", *place, "url") from None


def _matchers(document: Document, text: str, *place: str | int) -> tuple[Matcher, ...]:
    try:
        return parse_selector(text) if text else ()
    except QueryError as error:
        raise document.fault(f"match: {error}", *place) from None


def _secret(document: Document, path: Path, *place: str | int) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise document.fault(f"{place[-1]}: {path}: {reason}", *place) from None


def _seconds(document: Document, text: str, *place: str | int) -> float:
    try:
        return seconds(text)
    except ValueError:
        raise document.fault(f"{place[-1]}: not a valid duration: {text!r}", *place) from None


def checked(path: Path) -> tuple[Routing, str]:
    """The routing and no fault; or none, and the fault."""
    try:
        return load(path), ""
    except Fault as fault:
        return Routing(), str(fault)
