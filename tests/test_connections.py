"""What clients send that is no HTTP, or not what it says: one shape of answers, and a log that they cannot fill."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable

import psutil
import pytest
from conftest import Process, connected

from gfedge.monitoring.health import told

HOST = b"Host: 127.0.0.1\r\n"
POST = b"POST /api/v1/ai/generate HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST
BROKEN = {
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a long header": b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": POST
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk without a size": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
}


def answer(address: str, sent: bytes) -> tuple[str, bytes]:
    """Status line and headers, then the body, of what the server says before it closes the connection."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        said = b""
        while part := connection.recv(65536):
            said += part
    head, _, body = said.partition(b"\r\n\r\n")
    return head.decode(), body


def test_what_is_no_http_is_a_problem_and_no_error_of_the_server(
    process: Callable[..., Process],
) -> None:
    server = process()
    address = server.start()
    for what, sent in BROKEN.items():
        head, body = answer(address, sent)
        assert head.split()[1] == "400", what
        assert "application/problem+json" in head, what
        assert json.loads(body)["code"] == "bad_http", what
    packed = b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
    head, body = answer(address, POST + b"Connection: close\r\n" + packed)
    assert json.loads(body)["code"] == "bad_body"
    assert server.stop() == 0
    assert " ERROR " not in server.log.read_text()


def many(address: str, count: int, sent: bytes) -> list[socket.socket]:
    host, _, port = address.removeprefix("http://").partition(":")
    found = []
    for _ in range(count):
        found.append(socket.create_connection((host, int(port)), timeout=30))
        try:
            found[-1].sendall(sent)
        except ConnectionError:  # refused already
            continue
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
async def test_few_open_files_cost_connections_and_no_jobs(
    process: Callable[..., Process],
) -> None:
    """150 connections that say nothing, then 60 that never end their bodies, where 96 files may be open."""
    server = process(body_timeout=30)
    server.command = ["sh", "-c", 'ulimit -n 96; exec "$0" "$@"', *server.command]
    server.start()
    async with connected(server.address) as api:
        job = await api.submit("red dragon", steps=9)
    assert server.process is not None
    used = psutil.Process(server.process.pid)
    stalled = b"POST /api/v1/ai/superres HTTP/1.1\r\n" + HOST + b"Content-Length: 9000\r\n"
    stalled += b"Content-Type: image/png\r\n\r\nx"
    idle = many(server.address, 150, b"")
    async with connected(server.address) as api:
        assert (await api.get("/health"))["status"] == "ok"
        assert (await api.until(job["id"]))["status"] == "succeeded"
    assert used.num_fds() < 96 - 8
    busy = many(server.address, 60, stalled)
    while "connections are refused" not in server.log.read_text():
        assert len(busy) < 5000
        busy += many(server.address, 1, stalled)
    for one in (*idle, *busy):
        one.close()
    async with connected(server.address) as api:
        assert (await api.generate())["status"] == "succeeded"
        ready = await api.get("/api/v1/monitoring/health/ready")
        assert "of 96 open files" in ready["checks"]["files"]["reason"]
    assert server.stop() == 0
    said = server.log.read_text()
    assert "Traceback" not in said
    assert said.count("connections are refused") == 1


def test_too_few_files_are_told() -> None:
    assert told(80, 96).ok
    assert not told(90, 96).ok
    assert "ulimit -n" in told(90, 96).reason
