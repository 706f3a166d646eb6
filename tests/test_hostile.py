"""What attackers send, below HTTP and above: every answer is a bare problem or a closed connection, and the server goes on.

One test per promise of docs/security.md. The server listens with timeouts of tenths of a second, so that nothing waits.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import gzip
import json
import logging
import os
import re
import shutil
import socket
import ssl
import struct
import sys
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import builders
import pytest
import pytest_asyncio
from aiohttp import web
from conftest import eventually, make_models
from test_house import ROUTES, filled, named, served

import gfedge
from gfedge import digests, keys, wire
from gfedge.app import make_app
from gfedge.cli import tls
from gfedge.connections import Runner, Site
from gfedge.db import Cursor
from gfedge.settings import Settings

IDLE, BODY = 0.4, 0.3
"""The server's timeouts, in seconds."""
LIMIT, LIMIT_PER_ADDRESS = 24, 16
GENERATE, SUPERRES = "/api/v1/ai/generate", "/api/v1/ai/superres"
HEAD = "Host: localhost\r\n"
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Raw:
    """A server on a network, met by bytes."""

    def __init__(self, app: web.Application, port: int, token: str) -> None:
        self.app = app
        self.port = port
        self.auth = f"Authorization: Bearer {token}\r\n"
        self.token = token

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def said(self, data: bytes) -> bytes:
        """All that the server answers until it closes; fails where it does not."""
        reader, writer = await self.open()
        try:
            async with asyncio.timeout(20):
                try:
                    writer.write(data)
                    await writer.drain()
                    return await reader.read()
                except ConnectionError:
                    return b""
        finally:
            await closed(writer)

    async def ask(
        self, method: str, path: str, body: bytes = b"", kind: str = "", **more: str
    ) -> tuple[int, Any]:
        """(status, JSON) of one well-formed request."""
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {self.token}",
        ]
        lines += ["Connection: close", f"Content-Length: {len(body)}"]
        lines += [f"Content-Type: {kind}"] if kind else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
        answer = await self.said("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return parsed(answer)

    async def healthy(self) -> None:
        status, found = await self.ask("GET", "/health")
        assert (status, found["status"]) == (200, "ok")


def parsed(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if body and b"json" in head:
        found = json.loads(body)
        if status >= 400 and "error_code" not in found:  # the form of MLflow's protocol
            assert b"application/problem+json" in head, head
            assert found["status"] == status
        return status, found
    return status, body


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def raw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Raw]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gfedge.connections.LINGER_SECONDS", 0.1)
        async with running(tmp_path_factory.mktemp("hostile")) as server:
            yield server


@asynccontextmanager
async def running(
    folder: Path, speaking: ssl.SSLContext | None = None, **more: Any
) -> AsyncIterator[Raw]:
    given: dict[str, Any] = {
        "host": "0.0.0.0",
        "admin_token_file": str(folder / "token"),
        "data": folder / "data",
        "models": make_models(folder / "models"),
        "device": "cpu",
        "idle_timeout": IDLE,
        "body_timeout": BODY,
        "max_connections": LIMIT,
        "max_connections_per_address": LIMIT_PER_ADDRESS,
        "max_pixels": 64 * 64,
        "max_body": 1 << 20,
        "min_free_disk": 0,
        "shutdown_grace": 0.0,
    }
    settings = Settings(**{**given, **more})
    app = make_app(settings)
    runner = Runner(app, settings, shutdown_timeout=1)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    await Site(runner, listening, ssl_context=speaking).start()
    try:
        yield Raw(app, port, (folder / "token").read_text().strip())
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _goes_on(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """After every case the server answers."""
    yield
    if "raw" in request.fixturenames:
        await request.getfixturevalue("raw").healthy()


# -- below HTTP -----------------------------------------------------------------------------------

CHUNKED = "Transfer-Encoding: chunked\r\n"
BROKEN = {
    "length and chunks": f"POST {GENERATE} HTTP/1.1\r\n{HEAD}Content-Length: 5\r\n{CHUNKED}\r\n0\r\n\r\n"
    f"GET /health HTTP/1.1\r\n{HEAD}\r\n",
    "two lengths": f"POST {GENERATE} HTTP/1.1\r\n{HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    "signed length": f"POST {GENERATE} HTTP/1.1\r\n{HEAD}Content-Length: +5\r\n\r\nabcde",
    "negative length": f"POST {GENERATE} HTTP/1.1\r\n{HEAD}Content-Length: -1\r\n\r\n",
    "chunks that are none": f"POST {GENERATE} HTTP/1.1\r\n{HEAD}Transfer-Encoding: xchunked\r\n\r\n",
    "folded header": f"GET /health HTTP/1.1\r\n{HEAD}X-A: b\r\n c\r\n\r\n",
    "bare line feeds": "GET /health HTTP/1.1\nHost: localhost\n\n",
    "no colon": f"GET /health HTTP/1.1\r\n{HEAD}nonsense\r\n\r\n",
    "two hosts": f"GET /health HTTP/1.1\r\n{HEAD}Host: evil.test\r\n\r\n",
    "no host": "GET /health HTTP/1.1\r\n\r\n",
    "no host, HTTP/1.0": "GET /health HTTP/1.0\r\n\r\n",
    "odd method": f"BREW /health HTTP/1.1\r\n{HEAD}\r\n",
    "odd version": f"GET /health HTTP/9.9\r\n{HEAD}\r\n",
    "100 KB header": f"GET /health HTTP/1.1\r\n{HEAD}X-A: {'a' * 100_000}\r\n\r\n",
    "20,000 headers": f"GET /health HTTP/1.1\r\n{HEAD}" + "X-A: b\r\n" * 20_000 + "\r\n",
    "1 MB address": f"GET /{'a' * (1 << 20)} HTTP/1.1\r\n{HEAD}\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\0" * 500,
    "every byte": "".join(map(chr, range(256))) * 8,
    "NUL in a header": f"GET /metrics HTTP/1.1\r\n{HEAD}Authorization: Bearer s3cret\0x\r\n\r\n",
    "space before the colon": f"GET /metrics HTTP/1.1\r\n{HEAD}Authorization : Bearer s3cret\r\n\r\n",
    "control in a cookie": f"GET /metrics HTTP/1.1\r\n{HEAD}Cookie: gfedge_session=s3cret\x01\r\n\r\n",
}


@pytest.mark.parametrize("what", BROKEN)
async def test_what_is_no_http_is_refused_once_and_not_repeated(
    raw: Raw, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await raw.said(BROKEN[what].encode("latin-1"))
    assert answer.count(b"HTTP/1.") <= 1
    if answer:
        assert parsed(answer)[0] in (400, 401, 414, 431)
    assert b"s3cret" not in answer
    assert "s3cret" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_packed_transfer_is_not_taken_for_chunks(raw: Raw) -> None:
    body = "2\r\n{}\r\n0\r\n\r\n"
    answer = await raw.said(
        f"POST {GENERATE} HTTP/1.1\r\n{HEAD}{raw.auth}Transfer-Encoding: gzip, chunked\r\n\r\n{body}".encode()
    )
    status, problem = parsed(answer)
    assert (status, problem["code"]) == (501, "transfer_coding")
    assert "Content-Encoding" in problem["detail"]


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("http://evil.test/health", "localhost"),
        ("http://localhost/health", "evil.test"),
        ("http://127.0.0.1.evil.test/health", "127.0.0.1"),
    ],
)
async def test_both_names_of_a_request_must_be_ours(raw: Raw, line: str, host: str) -> None:
    answer = await raw.said(
        f"GET {line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    assert parsed(answer)[1]["code"] == "host_not_allowed"


async def test_slow_heads_are_closed_in_time(raw: Raw) -> None:
    """Slow-loris: as many as may connect, a byte now and then."""
    began = time.monotonic()

    async def drip() -> float:
        reader, writer = await raw.open()
        end = asyncio.ensure_future(reader.read())
        for byte in b"GET /health HTTP/1.1\r\nX-A: " + b"a" * 1000:
            writer.write(bytes([byte]))
            if (await asyncio.wait([end], timeout=0.02))[0]:
                break
        await asyncio.wait([end], timeout=20 * IDLE)
        await closed(writer)
        return time.monotonic() - began

    assert max(await asyncio.gather(*(drip() for _ in range(LIMIT_PER_ADDRESS - 2)))) < 20 * IDLE


async def test_a_kept_connection_may_not_drip_its_next_head(raw: Raw) -> None:
    reader, writer = await raw.open()
    writer.write(f"GET /health HTTP/1.1\r\n{HEAD}\r\n".encode())
    assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
    writer.write(b"GET /health HT")
    async with asyncio.timeout(20 * IDLE):
        assert await reader.read() == b""
    await closed(writer)


@pytest.mark.parametrize("sent", [b"", b'{"prompt": "red'])
@pytest.mark.parametrize("framing", ["Content-Length: 4000\r\n", CHUNKED])
async def test_a_body_that_stalls_is_given_up(raw: Raw, framing: str, sent: bytes) -> None:
    head = f"POST {GENERATE} HTTP/1.1\r\n{HEAD}{raw.auth}Content-Type: application/json\r\n{framing}\r\n"
    body = b"%x\r\n%s\r\n" % (len(sent), sent) if sent and framing == CHUNKED else sent
    status, problem = parsed(await raw.said(head.encode() + body))
    assert (status, problem["code"]) == (408, "body_timeout")


async def test_a_body_that_drips_is_given_up(raw: Raw) -> None:
    """It moves, but slower than the rate that is asked for."""
    reader, writer = await raw.open()
    head = f"POST {SUPERRES} HTTP/1.1\r\n{HEAD}{raw.auth}Content-Type: image/png\r\nContent-Length: 100000\r\n\r\n"
    writer.write(head.encode())
    answer = asyncio.ensure_future(reader.readuntil(b"}"))
    for _ in range(200):
        writer.write(b"x")
        if (await asyncio.wait([answer], timeout=0.05))[0]:
            break
    assert parsed(await answer)[0] == 408
    await closed(writer)


async def test_an_upload_of_a_run_that_stalls_is_given_up(raw: Raw) -> None:
    made = await raw.ask(
        "POST", "/api/v1/ml-platform/experiments", b'{"name": "hostile"}', "application/json"
    )
    run = await raw.ask(
        "POST", f"/api/v1/ml-platform/experiments/{made[1]['id']}/runs", b"{}", "application/json"
    )
    path = f"/api/v1/ml-platform/runs/{run[1]['id']}/artifacts/x.bin"
    head = f"PUT {path} HTTP/1.1\r\n{HEAD}{raw.auth}Content-Length: 1000000\r\n\r\n"
    assert parsed(await raw.said(head.encode() + b"x" * 1000))[0] == 408


async def test_a_waiting_client_is_not_taken_for_a_slow_one(raw: Raw) -> None:
    """A body that came whole has no more time to keep, however long its answer takes."""
    body = json.dumps({"prompt": builders.SLOW, "steps": 4}).encode()
    status, job = await raw.ask("POST", GENERATE, body, "application/json", Prefer="wait=60")
    assert (status, job["status"]) == (200, "succeeded")
    assert job["timings"]["total_seconds"] > 0


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
async def test_an_enormous_body_is_refused_by_its_length(raw: Raw, expect: str) -> None:
    for path, kind in ((GENERATE, "application/json"), (SUPERRES, "image/png")):
        head = f"POST {path} HTTP/1.1\r\n{HEAD}{raw.auth}Content-Type: {kind}\r\n{expect}Content-Length: 10000000000\r\n\r\n"
        reader, writer = await raw.open()
        writer.write(head.encode())
        answer = await reader.readuntil(b"}")
        assert parsed(answer)[0] == 413
        assert b"100 Continue" not in answer
        await closed(writer)


async def test_nobody_is_asked_for_a_body_before_the_token_was_seen(raw: Raw) -> None:
    head = f"POST {GENERATE} HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    answer = await raw.said(head.encode())
    assert answer.startswith(b"HTTP/1.1 401")


async def test_a_client_that_waits_to_be_asked_is_asked(raw: Raw) -> None:
    head = f"POST {GENERATE} HTTP/1.1\r\n{HEAD}{raw.auth}Content-Type: application/json\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    reader, writer = await raw.open()
    writer.write(head.encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"{}")
    assert parsed(await reader.read())[0] == 422
    await closed(writer)


async def test_one_byte_chunks_are_bounded_in_size_and_taken_in_time(raw: Raw) -> None:
    head = f"POST {GENERATE} HTTP/1.1\r\n{HEAD}{raw.auth}Content-Type: application/json\r\n{CHUNKED}Connection: close\r\n\r\n"
    fits = head.encode() + b"1\r\n \r\n" * 100_000 + b"2\r\n{}\r\n0\r\n\r\n"
    assert parsed(await raw.said(fits))[0] == 422
    large = (
        head.encode()
        + b"10000\r\n"
        + b" " * 65536
        + b"\r\n"
        + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 80
    )
    answer = await raw.said(large)
    assert not answer or parsed(answer)[0] == 413


async def test_idle_connections_make_room(raw: Raw) -> None:
    """More than may be open at once, from one address: the oldest idle ones go, the newest is served."""
    idle = [await raw.open() for _ in range(3 * LIMIT_PER_ADDRESS)]
    await raw.healthy()
    gone = [reader for reader, _ in idle[:LIMIT_PER_ADDRESS]]
    assert [await asyncio.wait_for(reader.read(), 10) for reader in gone] == [b""] * len(gone)
    for _, writer in idle:
        await closed(writer)


async def test_past_the_limit_busy_connections_stay_and_the_new_one_is_told(raw: Raw) -> None:
    head = f"POST {SUPERRES} HTTP/1.1\r\n{HEAD}{raw.auth}Content-Type: image/png\r\nContent-Length: 900000\r\n\r\n"
    busy = [await raw.open() for _ in range(LIMIT_PER_ADDRESS)]
    for _, writer in busy:
        writer.write(head.encode() + b"x" * 100_000)
    await asyncio.sleep(0.1)
    status, problem = await raw.ask("GET", "/health")
    assert (status, problem["code"]) == (503, "too_many_connections")
    answers = await asyncio.gather(*(reader.read() for reader, _ in busy))
    assert {parsed(answer)[0] for answer in answers} == {408}
    for _, writer in busy:
        await closed(writer)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
@pytest.mark.skipif(sys.platform == "win32", reason="asyncio does not ask the socket there")
async def test_who_does_not_agree_on_tls_makes_room_and_has_a_time(tmp_path: Path) -> None:
    """Protocols hear of a connection only when TLS is agreed: those before would be counted by nobody."""
    tls.init(argparse.Namespace(folder=tmp_path, name=[]))
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.load_cert_chain(tmp_path / "gfedge.crt", tmp_path / "gfedge.key")
    trusting = ssl.create_default_context(cafile=tmp_path / "gfedge.crt")
    async with running(tmp_path, found, idle_timeout=1.0) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3 * LIMIT)]
        reader, writer = await asyncio.open_connection("localhost", server.port, ssl=trusting)
        writer.write(f"GET /health HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n".encode())
        assert b"200 OK" in await asyncio.wait_for(reader.read(), 20)
        await closed(writer)
        for one in (silent[0], silent[-1]):  # cut off for a newer one, and after its time
            one.settimeout(20)
            assert await asyncio.to_thread(one.recv, 1) == b""
        for one in silent:
            one.close()


async def test_aborted_clients_leave_nothing_in_the_log(
    raw: Raw, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST {GENERATE} HTTP/1.1\r\n{HEAD}{raw.auth}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    for _ in range(20):
        _, writer = await raw.open()
        writer.write(head.encode())
        await writer.drain()
        writer.transport.abort()
    await raw.healthy()
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_a_client_that_takes_nothing_of_its_answers_is_cut_off(raw: Raw) -> None:
    """It holds a connection and a buffer: neither for ever."""
    ask = f"GET /openapi.json HTTP/1.1\r\n{HEAD}{raw.auth}\r\n".encode()
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", raw.port))
        peer.setblocking(False)
        async with asyncio.timeout(100 * BODY):
            await eventually(lambda: _is_reset(peer, ask * 10), bool)


async def _is_reset(peer: socket.socket, data: bytes) -> bool:
    """Whether nothing can be sent any more, though nobody closed this end."""
    try:
        peer.send(data)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return False


# -- websockets -------------------------------------------------------------------------------------


def frame(first: int, content: bytes = b"", mask: bool = True) -> bytes:
    """A frame of a client; `first` is its first byte: FIN, reserved bits and opcode."""
    size = len(content)
    head = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size)
    if not mask:
        return bytes([first]) + head + content
    return bytes([first, head[0] | 0x80]) + head[1:] + bytes(4) + content


ENDLESS = frame(0x01, b"x") + frame(0x00) * 5000
FRAMES = {
    "unmasked": (frame(0x81, b"{}", mask=False), 1002),
    "unmasked, after a good one": (frame(0x81, b"{}") + frame(0x81, b"{}", mask=False), 1002),
    "unmasked and long": (frame(0x81, b" " * 500, mask=False), 1002),
    "a claim of 100 MB": (b"\x81\xff" + struct.pack(">Q", 100 << 20) + bytes(1000), 1009),
    "a claim of 2^64": (b"\x81\xff" + b"\xff" * 8 + bytes(1000), 1009),
    "packed": (frame(0xC1, zlib.compress(bytes(1 << 20))), 1002),
    "reserved bit": (frame(0x91, b"{}"), 1002),
    "unknown opcode": (frame(0x83, b"{}"), 1002),
    "no UTF-8": (frame(0x81, b"\xff\xfe"), 1007),
    "a long ping": (frame(0x89, b"x" * 200), 1002),
    "a ping in pieces": (frame(0x09, b"x"), 1002),
    "the middle first": (frame(0x00, b"x"), 1002),
    "two beginnings": (frame(0x01, b"x") + frame(0x01, b"y"), 1002),
    "pieces without end": (ENDLESS, 1002),
    "large pieces without end": (frame(0x01, b"x") + frame(0x00, b"x" * 1000) * 100, 1009),
    "a close of one byte": (frame(0x88, b"x"), 1002),
    "a close with a code that there is not": (frame(0x88, struct.pack(">H", 1005)), 1002),
}


@pytest.mark.parametrize("first", [0, 1, 2, 5])
@pytest.mark.parametrize("what", FRAMES)
async def test_a_hostile_frame_closes_its_websocket(raw: Raw, what: str, first: int) -> None:
    """Also where its first bytes come by themselves."""
    sent, code = FRAMES[what]
    async with websocket(raw) as (reader, writer):
        answer = asyncio.ensure_future(all_of(reader))
        for byte in sent[:first]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        writer.write(sent[first:])
        found = await asyncio.wait_for(answer, 20)
    if b"\x88" in found[-130:]:  # a reset, where much was left unread, may swallow it
        assert struct.pack(">H", code) in found[-130:]


async def all_of(reader: asyncio.StreamReader) -> bytes:
    found = bytearray()
    try:
        while more := await reader.read(1 << 16):
            found += more
    except ConnectionError:
        pass
    return bytes(found)


async def test_good_frames_pass_in_any_pieces(raw: Raw) -> None:
    """Split anywhere, with a ping between: the answer is that to the message as a whole."""
    sent = frame(0x01, b'{"top') + frame(0x89, b"still there?") + frame(0x80, b'ics": ["a:1"]}')
    sent += frame(0x81, b'{"topics": ["a:1"]' + b" " * 300 + b"}")
    for size in (1, 3, 7, len(sent)):
        answer = bytearray()
        async with websocket(raw) as (reader, writer):
            for at in range(0, len(sent), size):
                writer.write(sent[at : at + size])
                await asyncio.sleep(0)
            async with asyncio.timeout(20):
                while answer.count(b"bad_topic") < 2:
                    answer += await reader.readuntil(b"}")
        assert b"still there?" in answer


@asynccontextmanager
async def websocket(raw: Raw) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await raw.open()
    head = f"GET /api/v1/ml-platform/ws/ai-jobs HTTP/1.1\r\n{HEAD}{raw.auth}Upgrade: websocket\r\n"
    head += "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    writer.write(f"{head}Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    try:
        yield reader, writer
    finally:
        await closed(writer)


# -- bodies -----------------------------------------------------------------------------------------

MALFORMED = {
    "empty object in pieces": b"{",
    "trailing": b'{"prompt": "x"} {}',
    "NaN": b'{"prompt": "x", "guidance_scale": NaN}',
    "infinity": b'{"prompt": "x", "guidance_scale": 1e999}',
    "5,000 digits": b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}",
    "byte order mark": b'\xef\xbb\xbf{"prompt": "x"}',
    "UTF-16": '{"prompt": "x"}'.encode("utf-16"),
    "bad UTF-8": b'{"prompt": "\xff\xfe"}',
    "bad UTF-8 in a key": b'{"\xff": 1}',
    "lone surrogate": b'{"prompt": "\\ud800"}',
    "control": b'{"prompt": "a\x01b"}',
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep in a field": b'{"palette": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep in an unknown field": b'{"other": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "a long key": b'{"' + b"a" * 900_000 + b'": 1}',
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_body_that_is_no_json_is_refused(raw: Raw, what: str) -> None:
    status, problem = await raw.ask("POST", GENERATE, MALFORMED[what], "application/json")
    assert status in (400, 422)
    assert len(json.dumps(problem)) < 4000
    assert problem["code"] in ("malformed_json", "invalid")


@pytest.mark.parametrize("route", [r for r in ROUTES if r.body is not None], ids=named)
@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a": "\xff"}', b"\0", b"[]", b'"x"', b""])
async def test_no_route_fails_at_a_hostile_body(raw: Raw, route: wire.Route, body: bytes) -> None:
    for path in served(route)[:1]:
        status, _ = await raw.ask(route.method, filled(path), body, "application/json")
        assert status < 500


BOMB = b'{"prompt": "' + b" " * (32 << 20) + b'"}'


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"])
async def test_a_packed_bomb_is_refused(raw: Raw, encoding: str) -> None:
    body = {"deflate": zlib.compress(BOMB)}.get(encoding, gzip.compress(BOMB))
    status, _ = await raw.ask("POST", GENERATE, body, "application/json", Content_Encoding=encoding)
    assert status in (400, 413, 415, 422)


def multipart(parts: list[bytes], boundary: bytes = b"x") -> bytes:
    return (
        b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
        + b"--"
        + boundary
        + b"--\r\n"
    )


PART = b'Content-Disposition: form-data; name="f"; filename="a.png"\r\n'
FORMS = {
    "12,000 parts": (b"x", multipart([b'Content-Disposition: form-data; name="a"\r\n\r\n1'] * 12_000)),
    "5,000 headers": (b"x", multipart([b"X-A: b\r\n" * 5000 + PART + b"\r\n1"])),
    "a long boundary": (b"x" * 5000, multipart([PART + b"\r\n1"], b"x" * 5000)),
    "a form in a form": (b"x", multipart([b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\n1\r\n--y--"])),
    "no end": (b"x", b"--x\r\n" + PART + b"\r\n" + b"1" * 1000),
    "a huge part header": (b"x", multipart([b"X-A: " + b"a" * 100_000 + b"\r\n\r\n1"])),
    "packed part": (b"x", multipart([PART + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(BOMB)])),
    "odd transfer": (b"x", multipart([PART + b"Content-Transfer-Encoding: x\r\n\r\n1"])),
}  # fmt: skip


@pytest.mark.parametrize("what", FORMS)
async def test_a_hostile_form_is_refused_soon(raw: Raw, what: str) -> None:
    boundary, body = FORMS[what]
    kind = f"multipart/form-data; boundary={boundary.decode()}"
    began = time.monotonic()
    status, _ = await raw.ask("POST", SUPERRES, body, kind)
    assert 400 <= status < 500
    assert time.monotonic() - began < 6


# -- pictures ---------------------------------------------------------------------------------------


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 6) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(bytes(min(1 << 20, (width * 4 + 1) * height)))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + b"".join(chunks)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


BIG = zlib.compress(bytes(64 << 20))
PICTURES = {
    "one-bit bomb": png(13_000, 13_000, depth=1, colour=0),
    "the largest size": png(2**31 - 1, 2**31 - 1),
    "zero": png(0, 0),
    "packed text bomb": png(8, 8, chunk(b"zTXt", b"parameters\0\0" + BIG)),
    "packed profile bomb": png(8, 8, chunk(b"iCCP", b"icc\0\0" + BIG)),
    "packed international text": png(8, 8, chunk(b"iTXt", b"gfedge\0\1\0\0\0" + BIG)),
    "many empty chunks": png(8, 8, *[chunk(b"tEXt", b"a\0b")] * 40_000),
    "JPEG of 65,535": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\3\1\x11\0\2\x11\0\3\x11\0\xff\xd9",
    "WebP of 16,383": b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f" + bytes(9),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "HTML": b"<html><script>alert(1)</script></html>",
    "PDF": b"%PDF-1.7",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
    "TIFF": b"II*\0" + bytes(64),
    "BMP": b"BM" + bytes(64),
    "PSD": b"8BPS" + bytes(64),
    "ICO": b"\0\0\1\0\1\0" + bytes(64),
    "FITS": b"SIMPLE  =                    T" + bytes(2880),
    "a path": b"/etc/passwd",
    "an address": b"http://127.0.0.1:1/x.png",
    "pickle": b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\5posix\x94\x8c\6system\x94\x93\x94.",
    "zip": b"PK\3\4" + bytes(64),
}


@pytest.mark.parametrize("path", [SUPERRES, "/api/v1/trace"])
@pytest.mark.parametrize("what", PICTURES)
async def test_a_hostile_picture_is_refused_or_harmless(raw: Raw, what: str, path: str) -> None:
    before = resident()
    for kind in ("image/png", "application/octet-stream"):
        status, problem = await raw.ask("POST", path, PICTURES[what], kind)
        small = what.startswith("packed") or what == "many empty chunks"
        assert status in ((200, 202, 404, 413, 422) if small else (413, 422)), problem
    assert resident() - before < 100 << 20


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "SGI"])
async def test_a_whole_picture_of_another_format_is_refused(raw: Raw, kind: str) -> None:
    """Pillow knows 40 formats; three are on."""
    data = builders.picture_file(builders.noise(8, 8)[..., :3], kind)
    assert (await raw.ask("POST", SUPERRES, data, "image/png"))[0] == 422


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- names and paths --------------------------------------------------------------------------------

NAMES = [
    "..", "../", "%2e%2e", "%2e%2e%2f", "..%2f..%2fetc%2fpasswd", "..%5c..%5cx", "%252e%252e%252f", "..;/",
    "....//", "%2fetc%2fpasswd", "/etc/passwd", "//proc/self/environ", "C:%5cwindows", "file:%2f%2f%2fetc%2fpasswd",
    "%00", "x%00.png", "%0a", "%0d%0aX-A:%20b", "%ff%fe", "%ed%a0%80", "%c0%ae%c0%ae%c0%af", "%e2%80%ae", "~", "~root",
    "%7e", "con", "a%20", "'%3b--", "%27%20or%201=1", "%22", "%24%7b7*7%7d", "$(id)", "%60id%60", "0" * 63,
    "0" * 64 + "%0a", "A" * 64, "%D9%A3" * 64, "x" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_no_name_in_a_path_leads_anywhere(raw: Raw, name: str) -> None:
    """Every route that takes a name, with every name that once led somewhere: never a file, never a failure."""
    for route in ROUTES:
        if "{" not in route.path or route.messages is not None:
            continue
        path = re.sub(r"\{\w+(:[^}]*)?\}", lambda _: name, served(route)[0])
        status, found = await raw.ask(route.method, path, b"{}", "application/json")
        assert status < 500, (route.method, path, found)
        assert b"root:" not in str(found).encode()


SQL = ["' or 1=1 --", "'; drop table runs; --", '" or ""="', "1); attach 'x' as y; --", "\\", "%' --", "\0", "read_text('/etc/passwd')"]  # fmt: skip


@pytest.mark.parametrize("text", SQL)
async def test_no_query_becomes_sql(raw: Raw, text: str) -> None:
    from urllib.parse import quote

    for route in ROUTES:
        if route.query is None or route.method != "GET" or "{" in route.path:
            continue
        for field in route.query.__struct_fields__:
            path = f"{served(route)[0]}?{field}={quote(text, safe='')}"
            status, found = await raw.ask("GET", path)
            assert status in (200, 400, 404, 422), (path, found)
    tables = await raw.app[keys.DB].read(lambda cursor: cursor.execute("from runs").fetchall())
    assert isinstance(tables, list)


async def test_only_a_digest_becomes_a_path(tmp_path: Path) -> None:
    good = "0123456789abcdef" * 4
    assert digests.path_of(tmp_path, good, ".png") == tmp_path / "01" / f"{good[2:]}.png"
    for bad in ("", "..", good[:-1], good + "0", good + "\n", good.upper(), "../" + good, "٣" * 64):
        with pytest.raises(ValueError, match="64 hexadecimal"):
            digests.path_of(tmp_path, bad)


# -- the database -----------------------------------------------------------------------------------

DENIED = [
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from glob('/etc/*')",
    "select * from '/etc/passwd'",
    "copy (select 1) to '/tmp/gfedge-out.csv'",
    "attach '/tmp/gfedge-other.db'",
    "export database '/tmp/gfedge-out'",
    "install httpfs",
    "load httpfs",
    "select * from read_csv('http://127.0.0.1:1/x.csv')",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "reset memory_limit",
    "pragma memory_limit = '8GB'",
    "set allow_community_extensions = true",
    "create persistent secret s (type s3, key_id 'a', secret 'b')",
]


REFUSED = r"(?i)disabled|locked|not allowed|permission|cannot|not exist|must be"


@pytest.mark.parametrize("sql", DENIED)
async def test_the_database_reaches_nothing_but_itself(raw: Raw, sql: str) -> None:
    def run(cursor: Cursor) -> None:
        cursor.execute(sql).fetchall()

    with pytest.raises(Exception, match=REFUSED):
        await raw.app[keys.DB].read(run)


PACKAGE = Path(gfedge.__file__).parent
VERBS = re.compile(
    r"\b(select\b.*\bfrom|insert into|delete from|update \w+ set|attach \S+ as|copy \S+ |create (table|view)|with recursive|set \w+ ?=)",
    re.IGNORECASE | re.DOTALL,
)
MADE_OF_CONSTANTS = {
    "rows.py": "names of columns come from our own structs",
    "db.py": "the path of the data folder, quoted",
    "snapshot.py": "names of tables come from the database itself, a path of the server's own, quoted",
    "export/store.py": "the tables of the archive are constants, the paths are the server's own, quoted",
    "lineage/store.py": "fragments that are constants of the module",
    "retention/store.py": "fragments and names of tables that are constants of the module",
    "tracking/asked.py": "names of columns that are constants of the module",
    "tracking/summaries.py": "a name of a column of our own",
    "tracking/store.py": "fragments that are constants of the module",
    "tracking/query.py": "fragments by enumerations; every value is bound",
    "tracking/series.py": "fragments that are constants of the module",
    "tracking/artifacts.py": "a fragment that is a constant of the function",
}
"""Where SQL is put together, and why no client has a part in it. A new place needs a reason here."""


async def test_sql_is_constant_text() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value for p in node.values if isinstance(p, ast.Constant)]
                if VERBS.search("?".join(map(str, parts))):
                    found.add(str(path.relative_to(PACKAGE)))
    assert found <= set(MADE_OF_CONSTANTS), found - set(MADE_OF_CONSTANTS)


BANNED = {"pickle", "torch", "joblib", "dill", "marshal", "shelve"}
TRAINER = PACKAGE / "evaluation" / "judge_training.py"
"""The one that trains with torch, in a process of a job, and reads no file with it."""


async def test_nothing_that_runs_code_from_files_is_imported() -> None:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            banned = BANNED - {"torch"} if path == TRAINER else BANNED
            assert not banned & {name.partition(".")[0] for name in names}, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = (node.value.id, node.attr)
                assert called not in {
                    ("yaml", "load"),
                    ("yaml", "unsafe_load"),
                    ("os", "system"),
                    ("torch", "load"),
                    ("torch", "jit"),
                    ("torch", "hub"),
                    ("torch", "package"),
                }, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), path


async def test_the_libraries_that_meet_strangers_are_new_enough_and_compiled() -> None:
    """aiohttp before 3.14.3 and Pillow before 12.3 have advisories; the pure Python parser has its own."""
    import aiohttp
    import onnx
    import PIL
    from aiohttp import http_parser

    def version(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", text)[:3])

    assert version(aiohttp.__version__) >= (3, 14, 3)
    assert version(PIL.__version__) >= (12, 3)
    assert version(onnx.__version__) >= (1, 21)
    assert http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
