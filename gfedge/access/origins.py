"""Which names this server answers to, and which web pages may talk to it. Pure: headers in, refusals out.

The Host list ends DNS rebinding, where a page's own name leads to this server. Origin and Sec-Fetch-Site (Fetch
standard; Go's CrossOriginProtection) end requests that other pages make: https://words.filippo.io/csrf/.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from gfedge import errors
from gfedge.settings import Settings

LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
SAFE_METHODS = frozenset(("GET", "HEAD"))
FORWARDED = re.compile(r"forwarded|x-forwarded(-.*)?|x-real-ip", re.IGNORECASE)
_host = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
KEPT_NAMES = 256
"""Names of headers and hosts that are known by heart: a client sends the same ones with each request."""
_ports = {"http": 80, "https": 443}


class Origins:
    """The names of this server and the foreign origins that its operator allowed."""

    def __init__(self, settings: Settings) -> None:
        self.local = settings.local
        self.allowed = frozenset(map(_origin, settings.listed("cors_origin")))
        self._names = LOOPBACK_NAMES | frozenset(_names(settings))

    def check_host(self, request: web.Request) -> None:
        """Refuses names that are not ours, in the Host headers and in the request line."""
        hosts = request.headers.getall(hdrs.HOST, ())
        if len(hosts) != 1:
            raise errors.BadRequest("send one Host header", code="host_needed")
        for host in (request.host, *hosts):
            name = name_of(host)
            if not name or (name not in self._names and (self.local or name != _own(request))):
                raise errors.Misdirected(
                    f"this server does not answer to the name {host[:100]!r}: it is reached as "
                    f"{' or '.join(sorted(self._names)[:5])}; --allowed-host NAME adds another"
                )

    def check_forwarded(self, request: web.Request) -> None:
        """A proxy in front of a server without tokens would let everybody in as if they were local."""
        if self.local and (found := next(filter(_is_forwarding, request.headers), None)):
            raise errors.BadRequest(
                f"{found[:100]}: this request came through a proxy, and this server is for this machine alone. "
                "Behind a proxy start it with --host and a token",
                code="looks_proxied",
            )

    def foreign(self, request: web.Request) -> str:
        """The origin of the allowed foreign page that asks; empty for our own pages and for programs.

        Raises Forbidden where any other page asks for more than to read.
        """
        origins = request.headers.getall(hdrs.ORIGIN, ())
        origin = origins[0] if len(origins) == 1 else ""
        if origin and _origin(origin) in self.allowed:
            return origin
        if request.method in SAFE_METHODS and not is_websocket(request):
            return ""
        site = request.headers.get("Sec-Fetch-Site", "none").lower()
        own = not origins or (len(origins) == 1 and _is_own(origin, request))
        if site not in ("none", "same-origin") or not own:
            raise errors.Forbidden(
                "a web page of another origin may not do this; the operator allows one with --cors-origin",
                code="foreign_origin",
            )
        return ""


def is_websocket(request: web.Request) -> bool:
    return "websocket" in request.headers.get(hdrs.UPGRADE, "").lower()


def _own(request: web.Request) -> str:
    """The address of this machine that the client called."""
    socket_name = request.get_extra_info("sockname") or ("",)
    return str(socket_name[0]).removeprefix("::ffff:")


@lru_cache(KEPT_NAMES)
def _is_forwarding(header: str) -> bool:
    return FORWARDED.fullmatch(header) is not None


@lru_cache(KEPT_NAMES)
def name_of(host: str) -> str:
    """The name in a Host header, without the port; empty where it is none."""
    found = _host.fullmatch(host)
    return found[1].strip("[]").lower().removesuffix(".") if found else ""


def _is_own(origin: str, request: web.Request) -> bool:
    """Whether a page of ours asks: the Origin's host and port are those of the Host header, which was checked."""
    return _origin(origin) in {_origin(f"{scheme}://{request.host}") for scheme in _ports}


def _origin(text: str) -> tuple[str, str, int]:
    """(scheme, host, port) of an origin; one that is none (`null`) is equal to nothing."""
    try:
        parts = urlsplit(text)
        port = parts.port or _ports[parts.scheme]
    except (ValueError, KeyError):
        return ("", text, -1)
    return (parts.scheme, (parts.hostname or "").lower(), port)


def _names(settings: Settings) -> Iterable[str]:
    """What clients may call this server besides loopback names."""
    yield from (name.lower() for name in settings.listed("allowed_host"))
    if settings.public_url:
        yield (urlsplit(settings.public_url).hostname or "").lower()
    if not settings.local:
        own = socket.gethostname().lower()
        yield from (settings.host.strip("[]").lower(), own, f"{own.partition('.')[0]}.local")
