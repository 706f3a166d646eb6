"""How a message gets to a receiver: HTTP by `outbound`, mail by SMTP in a thread. NotSent says why it did not."""

from __future__ import annotations

import asyncio
import ipaddress
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from email.header import Header
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any
from urllib.parse import urlsplit

from gfedge import errors
from gfedge.alerts import messages
from gfedge.alerts.messages import Bundle, Notice
from gfedge.alerts.receivers import SEND_SECONDS, EmailNode, Receiver
from gfedge.outbound import Outbound, refused

PRIORITIES = {"critical": "5", "warning": "4", "info": "3"}
TAGS = {"critical": "rotating_light", "warning": "warning", "info": "information_source"}
MOST_REASON = 300


class NotSent(Exception):
    """A message that did not arrive."""


async def send(receiver: Receiver, client: Outbound | None, bundle: Bundle) -> None:
    """Sends a bundle; NotSent."""
    if receiver.email is not None:
        return await asyncio.to_thread(_mail, receiver.email, bundle)
    assert client is not None
    if receiver.kind == "webhook":
        return await _post(
            client, receiver.query, path=receiver.path, json=messages.webhook(bundle)
        )
    return await _ntfy(client, receiver, bundle)


async def _ntfy(client: Outbound, receiver: Receiver, bundle: Bundle) -> None:
    severity = messages.common(one.labels for one in bundle.notices).get("severity", "")
    fires = bool(bundle.firing)
    headers = {
        "Title": _header(messages.title(bundle)),
        "Priority": PRIORITIES.get(severity, "4") if fires else "3",
        "Tags": TAGS.get(severity, "warning") if fires else "white_check_mark",
    }
    text = messages.text(bundle)
    await _post(client, receiver.query, path=receiver.path, text=text, headers=headers)


def _header(text: str) -> str:
    """RFC 2047 where it is not ASCII, which ntfy reads."""
    return text if text.isascii() else Header(text, "utf-8", maxlinelen=10_000).encode()


async def to_alertmanager(
    receiver: Receiver, client: Outbound, notices: Sequence[Notice], now: float
) -> None:
    """Posts alerts as Prometheus does; NotSent."""
    body = messages.alertmanager(notices, now)
    await _post(client, receiver.query, path="/api/v2/alerts", json=body)


async def _post(
    client: Outbound,
    query: Mapping[str, str],
    *,
    path: str = "",
    json: Any = None,
    text: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    try:
        answer = await client.fetch(
            path, method="POST", query=query, json=json, text=text, headers=headers
        )
    except errors.ApiError as error:
        url = urlsplit(client.target.url)  # its path may be a secret
        short = error.detail.replace(client.target.url, f"{url.scheme}://{url.netloc}")
        raise NotSent(short) from None
    if answer.status >= 400:
        said = answer.body[:MOST_REASON].decode("utf-8", "replace")
        raise NotSent(f"answered {answer.status}: {' '.join(said.split())}".rstrip(": "))


def _mail(node: EmailNode, bundle: Bundle) -> None:
    """One mail over one connection. The address is looked at before anything is said."""
    try:
        with _connected(node) as server:
            server.ehlo()
            if node.tls == "starttls" and server.has_extn("starttls"):
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
            elif node.tls == "starttls" and node.username:
                raise NotSent("it offers no STARTTLS, and a password is not sent in the clear")
            if node.username:
                server.login(node.username, node.password)
            server.send_message(_message(node, bundle))
    except (OSError, ValueError, smtplib.SMTPException) as error:
        raise NotSent(f"{node.smarthost}: {_reason(error)}") from None


def _connected(node: EmailNode) -> smtplib.SMTP:
    host, _, port = node.smarthost.rpartition(":")
    host = host.strip("[]")
    if node.tls == "always":
        context = ssl.create_default_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, int(port), timeout=SEND_SECONDS, context=context
        )
    else:
        server = smtplib.SMTP(host, int(port), timeout=SEND_SECONDS)
    try:
        _check_address(server, host)
    except NotSent:
        server.close()
        raise
    return server


def _check_address(server: smtplib.SMTP, host: str) -> None:
    assert server.sock is not None
    address = ipaddress.ip_address(str(server.sock.getpeername()[0]).partition("%")[0])
    if why := refused(address, host):
        raise NotSent(f"its address {address} is {why}")


def _message(node: EmailNode, bundle: Bundle) -> EmailMessage:
    message = EmailMessage()
    message["From"] = node.sender
    message["To"] = ", ".join(node.to)
    message["Subject"] = messages.title(bundle)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="gfedge")
    message.set_content(messages.text(bundle))
    return message


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        return f"answered {error.smtp_code}: {text}"[:MOST_REASON]
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:MOST_REASON]
