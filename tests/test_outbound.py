"""The server as a client of others: only where the operator said, bounded, and never further."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from gfedge.outbound import Outbound, Target, TargetFailed, TargetTimeout, refused, target


async def echo(request: web.Request) -> web.Response:
    body = await request.text()
    return web.json_response(
        {"path": request.path_qs, "body": body, "key": request.headers.get("X-Key")}
    )


async def redirect(request: web.Request) -> web.Response:
    raise web.HTTPFound("/echo")


async def large(request: web.Request) -> web.Response:
    packed = gzip.compress(bytes(4 << 20))
    return web.Response(body=packed, headers={"Content-Encoding": "gzip"})


async def silent(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await asyncio.Event().wait()
    return response


@asynccontextmanager
async def other(**options: Any) -> AsyncIterator[tuple[Outbound, TestServer]]:
    app = web.Application()
    app.router.add_route("*", "/base/echo", echo)
    for handler in (redirect, large, silent):
        app.router.add_get(f"/base/{handler.__name__}", handler)
    async with (
        TestServer(app) as server,
        Outbound(target(str(server.make_url("/base")), **options)) as out,
    ):
        yield out, server


async def test_a_request_goes_below_the_target_with_its_headers() -> None:
    async with other(headers={"X-Key": "s3cret"}) as (out, _):
        answer = await out.fetch("/echo", method="POST", query={"q": "a b&c"}, json={"x": 1})
        assert answer.json() == {"path": "/base/echo?q=a+b%26c", "body": '{"x":1}', "key": "s3cret"}
        assert "s3cret" not in repr(out.target)


async def test_a_redirect_is_not_followed() -> None:
    async with other() as (out, _):
        with pytest.raises(TargetFailed, match="redirect"):
            await out.fetch("/redirect")


async def test_an_answer_is_bounded_by_its_unpacked_size() -> None:
    async with other(max_bytes=1 << 20) as (out, _):
        with pytest.raises(TargetFailed, match="1,048,576 bytes"):
            await out.fetch("/large")


async def test_an_answer_that_does_not_end_is_given_up() -> None:
    async with other(seconds=0.2) as (out, _):
        with pytest.raises(TargetTimeout):
            await out.fetch("/silent")


async def test_an_answer_that_is_not_json_says_so() -> None:
    async with other() as (out, _):
        with pytest.raises(TargetFailed):
            (await out.fetch("/echo")).json(list[int])


@pytest.mark.parametrize(
    "path",
    ["/../x", "/%2e%2e/x", "/%252e%252e/x", "/a/..%2fx", "@evil.test/", "?q=1", "/a\\..\\b", "/ä"],
)
async def test_a_path_cannot_leave_the_target(path: str) -> None:
    async with other() as (out, _):
        with pytest.raises(ValueError, match="path"):
            await out.fetch(path)


class Rebound(AbstractResolver):
    """A name server that answers with the address that an attacker wants."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None: ...


async def test_a_name_that_leads_to_this_machine_is_refused_when_connecting() -> None:
    async with other() as (_, server):
        url = f"http://grafana.example:{server.port}"
        async with Outbound(target(url), Rebound()) as out:
            with pytest.raises(TargetFailed, match="this machine's own"):
                await out.fetch("/base/echo")


async def test_nobody_there_is_said_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with Outbound(target(f"http://127.0.0.1:{port}")) as out:
        with pytest.raises(TargetFailed, match=r"cannot be reached"):
            await out.fetch()


@pytest.mark.parametrize(
    ("address", "host", "fine"),
    [
        ("192.168.1.7", "grafana.lan", True),
        ("8.8.8.8", "grafana.example", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "::1", True),
        ("127.0.0.1", "grafana.example", False),
        ("::1", "grafana.example", False),
        ("::ffff:127.0.0.1", "grafana.example", False),
        ("::ffff:169.254.169.254", "grafana.example", False),
        ("2002:7f00:1::", "grafana.example", False),
        ("169.254.169.254", "169.254.169.254", False),
        ("fe80::1", "fe80::1", False),
        ("fd00:ec2::254", "x", False),
        ("0.0.0.0", "0.0.0.0", False),
        ("224.0.0.1", "x", False),
        ("255.255.255.255", "x", False),
    ],
)
def test_where_a_target_may_be(address: str, host: str, fine: bool) -> None:
    assert (refused(ipaddress.ip_address(address), host) == "") is fine


@pytest.mark.parametrize(
    "url",
    [
        "",
        "grafana",
        "ftp://host/",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@host/",
        "http://host:0/",
        "http://host:99999/",
        "http://host/?x=1",
        "http://host/#x",
        "http://host/../x",
        "http://ho\nst/",
        "http://[::1",
    ],
)
def test_what_is_no_target(url: str) -> None:
    with pytest.raises(ValueError, match="expected http"):
        target(url)


def test_a_target_loses_its_last_slash() -> None:
    assert target("https://grafana.lan:3000/graf/") == Target(url="https://grafana.lan:3000/graf")


def test_onnx_runtime_tells_nobody(tmp_path: Path) -> None:
    """Its packages for Linux know the machine by a file in its home, and report to their maker what is run."""
    asked = [sys.executable, "-m", "gfedge", "doctor", "--data", str(tmp_path / "data")]
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}  # It keeps quiet where CI is set.
    done = subprocess.run(asked, env=environ, capture_output=True, text=True, check=True)
    assert "running on C" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == []
