"""Files named by their content, which many may share: who finds one in its place may rely on it for a while.

A file that is found is touched, and only what was not touched for long is removed, both under one lock: so a job that
makes bytes which are there already never loses them to a collection that began before it was recorded.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path

from aiohttp import ETag, hdrs, web
from aiohttp.abc import AbstractStreamWriter

from gfedge import errors

REFUSED = {412: ("precondition_failed",), 416: ("range_not_satisfiable",)}
"""Codes of a file's answers, for the tables of routes."""
FULL = (27, 28, 122)
"""EFBIG, ENOSPC and EDQUOT: what a write that finds no room fails with; the first of a limit of the process (`ulimit -f`)."""
_lock = threading.Lock()
_range = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def keep(path: Path) -> bool:
    """Whether the file is there; it then stays for as long as collections spare what was used lately."""
    with _lock:
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True


def remove_unused(path: Path, before: float) -> bool:
    """Removes a file that was neither written nor kept since a time; says whether it did."""
    with _lock:
        try:
            if path.stat().st_mtime >= before:
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        return True


class Answer(web.FileResponse):
    """A file, or a part of it, sent by the system's own copying where that goes."""

    def __init__(self, path: Path, part: range | None, headers: Mapping[str, str]) -> None:
        super().__init__(path, headers=headers)
        self._part = part

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """What was asked for is decided: aiohttp gets to see a plain range or nothing."""
        part = self._part
        headers = {hdrs.RANGE: f"bytes={part.start}-{part.stop - 1}"} if part is not None else {}
        return await super().prepare(request.clone(headers=headers))

    @property
    def etag(self):  # type: ignore[no-untyped-def]
        return super().etag

    @etag.setter
    def etag(self, value) -> None:  # type: ignore[no-untyped-def]
        """The digest that came with the headers stays."""


def answer(
    request: web.Request, path: Path, digest: str, headers: Mapping[str, str]
) -> web.StreamResponse:
    """The file as far as the request's conditions want it. Raises PreconditionFailed and RangeNotSatisfiable.

    The conditions are looked at here, by the digest: aiohttp's FileResponse knows only a tag of time and size, and
    answers a range or a date that it cannot read with an empty 416 or a failure.
    """
    headers = {hdrs.ETAG: f'"{digest}"', **headers}
    if unchanged(request, digest):
        return web.Response(status=304, headers=headers)
    return Answer(path, part(request, digest, path.stat().st_size), headers)


def unchanged(request: web.Request, digest: str) -> bool:
    """Whether the client has these bytes. Raises PreconditionFailed where it wants others."""
    if request.if_match is not None and not _names(request.if_match, digest):
        tag: dict[str, str] = {hdrs.ETAG: f'"{digest}"'}
        raise errors.PreconditionFailed(f"the content here is {digest}", headers=tag)
    return _names(request.if_none_match or (), digest)


def part(request: web.Request, digest: str, size: int) -> range | None:
    """The bytes that a single Range asks for; None for the whole, also where the range is not understood.

    Only GET has ranges (RFC 9110, 14.2): HEAD says how much there is.
    """
    if request.method == hdrs.METH_HEAD:
        return None
    found = _range.fullmatch(request.headers.get(hdrs.RANGE, ""))
    if found is None or request.headers.get(hdrs.IF_RANGE, f'"{digest}"') != f'"{digest}"':
        return None
    first, last = found.groups()
    if not first:
        wanted = range(max(0, size - int(last)), size) if last else None
    else:
        wanted = range(int(first), min(size, int(last) + 1) if last else size)
    if wanted is not None and not wanted:
        raise errors.RangeNotSatisfiable(
            f"there are {size} bytes", headers={hdrs.CONTENT_RANGE: f"bytes */{size}"}
        )
    return wanted


def _names(tags: tuple[ETag, ...], digest: str) -> bool:
    return any(tag.value in ("*", digest) for tag in tags)
