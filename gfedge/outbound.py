"""Requests that the server makes itself: only to servers that the operator named.

No redirects; the address is checked when the connection is made, because a name may mean another one by then; bounded
in time and size; the body is read here, so that nothing is passed through unseen. No proxies or cookies.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from yarl import URL

from gfedge import __version__, errors

CONNECT_SECONDS = 5.0
CHUNK = 1 << 16
METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200")))
"""Where clouds keep a machine's secrets, besides 169.254.169.254, which is link-local."""
LOCAL_NAMES = ("localhost", "ip6-localhost")
PATH = re.compile(r"(?:/[\w.~!$&'()*+,;=:@%-]*)*", re.ASCII)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TargetFailed(errors.Unavailable):
    """The other server cannot be reached, or answered what is not taken."""

    code = "target_failed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": "10"})


class TargetTimeout(errors.ApiError):
    status, title, code = 504, "Gateway Timeout", "target_timeout"


class AddressRefused(OSError):
    """A name that leads where the server must not go."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A server that the operator named; make it with `target`."""

    url: str
    """Scheme, host and port, and the path under which all requests stand; no slash at the end."""
    headers: dict[str, str] = {}
    """Sent with every request: the credentials, if it needs some."""
    seconds: float = 10.0
    """The whole time that one request may take."""
    max_bytes: int = 8 << 20
    """The largest answer, unpacked."""

    def __repr__(self) -> str:
        return f"Target({self.url!r})"  # its headers hold secrets

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the other server said, read to its end. Any status below 300 or from 400 on."""

    status: int
    media_type: str
    body: bytes

    def json(self, kind: Any = Any) -> Any:
        """The body as JSON of this type; TargetFailed where it is something else."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise TargetFailed("the other server answered with unexpected content") from error


def target(url: str, **options: Any) -> Target:
    """The target of a configured address; ValueError says what is wrong with it."""
    found = _split(url)
    if found is None or not found.isascii():
        raise ValueError(
            "expected http://HOST[:PORT][/PATH] or https://…, without a user, a query or a fragment"
        )
    return Target(url=found, **options)


def _split(url: str) -> str | None:
    try:
        parts: SplitResult = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    odd = parts.username is not None or parts.query or parts.fragment or not url.isprintable()
    if not usable or odd or not _plain(path := parts.path.rstrip("/")):
        return None
    return f"{parts.scheme}://{parts.netloc}{path}"


class Outbound:
    """A client of one target. Open it with `async with`, or in a cleanup context of the application."""

    def __init__(self, target: Target, resolver: AbstractResolver | None = None) -> None:
        self.target = target
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=8, socket_factory=self._socket, resolver=self._resolver
            ),
            timeout=aiohttp.ClientTimeout(
                total=self.target.seconds, sock_connect=min(CONNECT_SECONDS, self.target.seconds)
            ),
            headers={"User-Agent": f"gfedge/{__version__}", **self.target.headers},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(
        self,
        path: str = "",
        *,
        method: str = "GET",
        query: Mapping[str, str] | None = None,
        json: Any = None,
        text: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request below the target's address and its whole answer, whatever its status.

        Parts of `path` that are not constants go in by `quote(part, safe="")`. Raises TargetFailed (503) and
        TargetTimeout (504) with a text that names the target and nothing of the request.
        """
        assert self._session is not None, "open it first"
        url = self._url(path).update_query(query or {})
        given = dict(headers or {})
        data = None if text is None else text.encode()
        if json is not None:
            data = msgspec.json.encode(json)
        if data is not None:
            given["Content-Type"] = (
                "text/plain; charset=utf-8" if json is None else "application/json"
            )
        try:
            async with self._session.request(
                method,
                url,
                data=data,
                headers=given,
                allow_redirects=False,
            ) as response:
                return await self._read(response)
        except TimeoutError as error:
            raise TargetTimeout(
                f"{self.target.url} did not answer within {self.target.seconds:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise TargetFailed(f"{self.target.url} cannot be reached: {_reason(error)}") from error

    def _url(self, path: str) -> URL:
        if not _plain(path):
            raise ValueError(f"not a path below a target: {path!r}")
        return URL(self.target.url + path, encoded=True)

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        if 300 <= response.status < 400:
            raise TargetFailed(
                f"{self.target.url} answered with a redirect, which is not followed: set its final address"
            )
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > self.target.max_bytes:
                raise TargetFailed(
                    f"{self.target.url} answered with more than {self.target.max_bytes:,} bytes"
                )
        return Answer(status=response.status, media_type=response.content_type, body=bytes(body))

    def _socket(self, info: Any) -> socket.socket:
        """The socket of a connection that is about to be made: the last look at where it goes."""
        family, kind, protocol, _, address = info
        found = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if why := refused(found, self.target.host):
            raise AddressRefused(f"its address {found} is {why}")
        return socket.socket(family, kind, protocol)


def refused(address: Address, host: str) -> str:
    """Why a target of that host may not be at this address; empty where it may.

    Private addresses are fine, because operators name servers of their own network; loopback must be named as such.
    """
    address = (
        getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address
    )
    if address.is_link_local or address in METADATA:
        return "link-local, where clouds keep a machine's secrets"
    if (
        address.is_unspecified
        or address.is_multicast
        or (address.is_reserved and not address.is_loopback)
    ):
        return "not the address of a server"
    if address.is_loopback and not _names_loopback(host):
        return "this machine's own, and the target is not called localhost"
    return ""


def _names_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") in LOCAL_NAMES


def _plain(path: str) -> bool:
    """Whether a path stays below where it is put, however often somebody decodes it."""
    decoded = unquote(unquote(path))
    steps = re.split(r"[/\\]", decoded)
    return PATH.fullmatch(path) is not None and not {".", ".."} & set(steps)


def _reason(error: Exception) -> str:
    """Why, without what was sent."""
    inner = getattr(error, "os_error", None) or error
    if isinstance(inner, AddressRefused):
        return str(inner)
    return getattr(inner, "strerror", None) or type(inner).__name__
