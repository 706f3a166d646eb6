"""Who is told of alerts: a webhook, ntfy, a mail server and a real Alertmanager; grouping, repeats, failures."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from conftest import Api, Serving, eventually

from gfedge.alerts import receivers
from gfedge.alerts.documents import Fault
from gfedge.alerts.grouping import Told, due, grouped
from gfedge.alerts.messages import Notice, fingerprint
from gfedge.alerts.notifier import Notifier
from gfedge.alerts.types import NotedRow
from gfedge.outbound import Outbound

BASE = "/api/v1/monitoring"
NOW = 1_790_000_000.0


def notice(name: str = "GpuHot", over: float | None = None, **more: Any) -> Notice:
    labels = {"alertname": name, "severity": "warning", "gpu": "0"} | more.pop("labels", {})
    return Notice(
        labels=labels,
        annotations={"summary": "gpu 0 is hot"},
        started_at=NOW,
        resolved_at=over,
        interval=15.0,
        url="http://edge.lan/alert",
        **more,
    )


class Inbox:
    """A server that keeps what it is sent, and fails while it is told to."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], str]] = []
        self.status = 200
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._take)
        self.server = TestServer(app, host="127.0.0.1")

    async def _take(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.text()))
        headers = {"Location": "http://127.0.0.1:9/"} if self.status == 302 else None
        return web.Response(status=self.status, text="no", headers=headers)


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    found = Inbox()
    await found.server.start_server()
    yield found
    await found.server.close()


def write(path: Path, text: str) -> None:
    path.write_text(text)


def routing(tmp_path: Path, text: str) -> receivers.Routing:
    path = tmp_path / "receivers.yml"
    path.write_text(text)
    return receivers.load(path)


class Desk:
    """One notifier, with alerts and a clock that the test holds."""

    def __init__(self, found: receivers.Routing) -> None:
        self.notices: list[Notice] = []
        self.saved: list[NotedRow] = []
        self.routing = found
        self.receiver = found.receivers[0]

    async def _save(self, row: NotedRow) -> None:
        self.saved.append(row)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Notifier]:
        async with contextless(self.receiver.target) as client:
            yield Notifier(
                self.receiver,
                self.routing,
                client,
                lambda: self.notices,
                self._save,
                "http://edge.lan",
            )


@asynccontextmanager
async def contextless(target: Any) -> AsyncIterator[Outbound | None]:
    if target is None:
        yield None
        return
    async with Outbound(target) as client:
        yield client


WEBHOOK = """
group_wait: 10s
group_interval: 1m
repeat_interval: 1h
external_labels: {{site: studio}}
receivers:
  - name: hook
    webhook: {{url: 'http://127.0.0.1:{port}/hook', token: geheim}}
    min_severity: warning
"""


async def test_a_webhook_gets_alertmanagers_body_once_and_again_when_something_changes(
    tmp_path: Path, inbox: Inbox
) -> None:
    desk = Desk(routing(tmp_path, WEBHOOK.format(port=inbox.server.port)))
    async with desk.open() as notifier:
        desk.notices = [
            notice(),
            notice("Silent", silenced=True),
            notice("Small", labels={"severity": "info"}),
        ]
        assert await notifier.step(NOW) == NOW + 10  # it waits for company
        assert not inbox.requests
        assert await notifier.step(NOW + 10) == NOW + 70
        headers, text = inbox.requests.pop()
        assert headers["Authorization"] == "Bearer geheim"
        body = json.loads(text)
        assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "hook")
        assert body["groupKey"] == '{}:{alertname="GpuHot"}'
        assert body["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
        assert body["alerts"][0]["fingerprint"] == fingerprint(body["alerts"][0]["labels"])
        await notifier.step(NOW + 70)
        assert not inbox.requests  # nothing new
        await notifier.step(NOW + 3700)
        assert len(inbox.requests) == 1  # repeated
        desk.notices = [notice(acknowledged=True)]
        await notifier.step(NOW + 9000)
        assert len(inbox.requests) == 1  # somebody looks after it
        desk.notices = [notice(over=NOW + 9001)]
        await notifier.step(NOW + 9100)
        assert '"status":"resolved"' in inbox.requests[-1][1]
        desk.notices = []
        await notifier.step(NOW + 9999)
        assert desk.saved[-1].firing == []


async def test_failures_are_told_and_tried_again_ever_later(
    tmp_path: Path, inbox: Inbox, caplog: Any
) -> None:
    desk = Desk(routing(tmp_path, WEBHOOK.format(port=inbox.server.port).replace("10s", "0s")))
    inbox.status, desk.notices = 500, [notice()]
    async with desk.open() as notifier:
        assert await notifier.step(NOW) == NOW + 5
        assert await notifier.step(NOW + 1) == NOW + 5
        assert await notifier.step(NOW + 5) == NOW + 15
        assert len(inbox.requests) == 2
        state = notifier.state
        assert (state.failures, state.failing_since, state.error) == (2, NOW, "answered 500: no")
        inbox.status = 302
        await notifier.step(NOW + 15)
        assert "redirect" in notifier.error
        inbox.status = 200
        await notifier.step(NOW + 100)
        assert (notifier.failures, notifier.sent_at) == (0, NOW + 100)
        assert len(caplog.records) == 1
    said = (
        "".join(record.getMessage() for record in caplog.records)
        + repr(state)
        + repr(desk.receiver)
    )
    assert "geheim" not in said
    assert "/hook" not in said.replace(repr(desk.receiver), "")


async def test_what_was_told_before_a_restart_is_not_told_again(
    tmp_path: Path, inbox: Inbox
) -> None:
    desk = Desk(routing(tmp_path, WEBHOOK.format(port=inbox.server.port)))
    desk.notices = [notice()]
    async with desk.open() as notifier:
        await notifier.step(NOW)
        await notifier.step(NOW + 10)
    assert len(inbox.requests) == 1
    async with desk.open() as notifier:
        notifier.restore(desk.saved)
        await notifier.step(NOW + 30)
        assert len(inbox.requests) == 1
        desk.notices = [notice(over=NOW + 40)]
        await notifier.step(NOW + 100)
        assert len(inbox.requests) == 2


def test_what_nobody_was_told_of_is_not_told_as_resolved() -> None:
    over = [notice(over=NOW)]
    assert due(over, None, send_resolved=True, repeat=60.0, now=NOW) == []
    told = Told(firing=frozenset([over[0].fingerprint]), sent_at=NOW)
    assert due(over, told, send_resolved=False, repeat=60.0, now=NOW) == []
    assert due(over, told, send_resolved=True, repeat=60.0, now=NOW) == over
    assert len(grouped([notice(), notice("B")], ["alertname"])) == 2
    assert len(grouped([notice(), notice("B")], ["severity"])) == 1


async def test_ntfy_gets_text_with_a_title(tmp_path: Path, inbox: Inbox) -> None:
    url = f"http://127.0.0.1:{inbox.server.port}/gfedge"
    text = f"group_wait: 0s\nreceivers: [{{name: phone, ntfy: {{url: '{url}', token: tk_x}}}}]"
    desk = Desk(routing(tmp_path, text))
    desk.notices = [notice()]
    async with desk.open() as notifier:
        await notifier.step(NOW)
    headers, body = inbox.requests[0]
    assert headers["Title"] == "[FIRING:1] GpuHot (warning)"
    assert (headers["Priority"], headers["Tags"]) == ("4", "warning")
    assert body.startswith("gpu 0 is hot\n")


class Mail:
    """A mail server that takes one mail after the other, and offers no STARTTLS."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail\r\n")
        while line := (await reader.readline()).decode():
            if line.upper().startswith("DATA"):
                writer.write(b"354 go on\r\n")
                self.mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
            writer.write(b"221 bye\r\n" if line.upper().startswith("QUIT") else b"250 ok\r\n")
            if line.upper().startswith("QUIT"):
                break
        writer.close()


@pytest.fixture
async def mail() -> AsyncIterator[Mail]:
    found = Mail()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()
    await server.wait_closed()


async def test_mail_goes_by_smtp_and_no_password_in_the_clear(tmp_path: Path, mail: Mail) -> None:
    text = f"group_wait: 0s\nreceivers: [{{name: m, email: {{smarthost: '127.0.0.1:{mail.port}', from: a@b.lan, to: [c@d.lan]}}}}]"
    desk = Desk(routing(tmp_path, text))
    desk.notices = [notice()]
    async with desk.open() as notifier:
        await notifier.step(NOW)
    assert "Subject: [FIRING:1] GpuHot (warning)" in mail.mails[0]
    assert "gpu 0 is hot" in mail.mails[0]
    write(tmp_path / "pw", "geheim\n")
    desk = Desk(
        routing(tmp_path, text.replace("email: {", "email: {username: u, password_file: pw, "))
    )
    desk.notices = [notice()]
    async with desk.open() as notifier:
        await notifier.step(NOW)
        assert "STARTTLS" in notifier.error
    assert "geheim" not in repr(desk.receiver)
    assert len(mail.mails) == 1


ALERTMANAGER = shutil.which("prometheus-alertmanager")


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = tmp_path / "am.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    assert ALERTMANAGER is not None
    command = [ALERTMANAGER, f"--config.file={config}", f"--storage.path={tmp_path / 'am'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    process.kill()
    process.wait()


@pytest.mark.skipif(ALERTMANAGER is None, reason="prometheus-alertmanager is not installed")
async def test_a_real_alertmanager_takes_alerts_and_their_end(
    serving: Serving, tmp_path: Path, alertmanager: int
) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{alertmanager}") as http:

        async def known() -> Any:
            try:
                async with http.get("/api/v2/alerts") as response:
                    return await response.json() if response.status == 200 else None
            except aiohttp.ClientConnectionError:
                return None

        await eventually(known, lambda found: found is not None)
        api = await fed(serving, tmp_path, alertmanager)
        (alert,) = await eventually(known, bool)
        assert alert["labels"] == {"alertname": "Always", "severity": "info", "site": "studio"}
        assert alert["annotations"] == {"summary": "it is 1"}
        urls = (await api.get("/prometheus/api/v1/alertmanagers"))["data"]["activeAlertmanagers"]
        assert urls == [{"url": f"http://127.0.0.1:{alertmanager}/api/v2/alerts"}]
        write(tmp_path / "rules.yml", "groups: []")
        await api.call("POST", f"{BASE}/rules/reload")
        await eventually(known, lambda found: not found)


async def fed(serving: Serving, tmp_path: Path, port: int) -> Api:
    """A server with a rule that always fires, which tells an Alertmanager."""
    rules, told = tmp_path / "rules.yml", tmp_path / "receivers.yml"
    write(
        rules,
        "groups: [{name: g, interval: 1s, rules: [{alert: Always, expr: 'vector(1)', "
        "labels: {severity: info}, annotations: {summary: 'it is {{ $value }}'}}]}]",
    )
    write(
        told,
        f"external_labels: {{site: studio}}\nreceivers: [{{name: am, alertmanager: {{url: 'http://127.0.0.1:{port}'}}}}]",
    )
    return await serving(
        rule_files=str(rules), receivers_file=str(told), shipped_rules=False, metrics_interval=1.0
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("receivers: [{name: a}]", "give exactly one of webhook, ntfy, email, alertmanager"),
        ("receivers:\n- {name: a, ntfy: {url: 'ftp://x/y'}}", ":2: url: expected http"),
        ("receivers:\n- name: a\n  webhok: {}", "did you mean webhook?"),
        ("repeat_interval: often", ":1: repeat_interval: not a valid duration"),
        ("receivers:\n- {name: a, ntfy: {url: 'http://x/y', token_file: nothing}}", "No such file"),
    ],
)
def test_a_fault_in_the_file_of_receivers_is_told_with_its_line(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(Fault) as raised:
        routing(tmp_path, text)
    assert says in str(raised.value)


async def test_a_receiver_can_be_tried(serving: Serving, tmp_path: Path, inbox: Inbox) -> None:
    path = tmp_path / "receivers.yml"
    write(path, WEBHOOK.format(port=inbox.server.port))
    api = await serving(receivers_file=str(path))
    state = await api.call("POST", f"{BASE}/receivers/hook/test")
    assert (state["kind"], state["failures"], state["target"]) == (
        "webhook",
        0,
        f"http://127.0.0.1:{inbox.server.port}",
    )
    assert "GfedgeTest" in inbox.requests[0][1]
    inbox.status = 500
    problem = await api.refused("POST", f"{BASE}/receivers/hook/test", 503, "not_sent")
    assert "geheim" not in str(problem)
    assert "geheim" not in str(await api.get(f"{BASE}/receivers"))
    assert "geheim" not in str(await api.get(f"{BASE}/status"))
    await api.refused("POST", f"{BASE}/receivers/other/test", 404, "receiver_not_found")


async def test_without_receivers_nothing_is_said(
    client: Api, caplog: pytest.LogCaptureFixture
) -> None:
    assert await client.get(f"{BASE}/receivers") == {"receivers": [], "fault": ""}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
