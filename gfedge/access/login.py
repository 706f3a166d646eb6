"""The page that a browser without a session sees: one file, whose own script and style are all that its policy lets run."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from aiohttp import hdrs, web

PAGE = (Path(__file__).parent / "login.html").read_text(encoding="utf-8")


def _policy(html: str) -> str:
    """Names the page's inline script and style by their digests (CSP level 2)."""
    script, style = (
        base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()
        for tag in ("script", "style")
        for found in re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


POLICY = _policy(PAGE)


def wanted(request: web.Request) -> bool:
    """Whether a person with a browser asks for a page."""
    accepted = request.headers.get(hdrs.ACCEPT, "")
    return request.method == hdrs.METH_GET and accepted.startswith("text/html")


def page(headers: dict[str, str]) -> web.Response:
    """The page, as an answer to who is not known."""
    return web.Response(
        status=401,
        text=PAGE,
        content_type="text/html",
        headers={**headers, "Content-Security-Policy": POLICY, hdrs.CACHE_CONTROL: "no-store"},
    )
