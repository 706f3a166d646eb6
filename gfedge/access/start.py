"""What access needs when a server starts: its first token, a certificate, and a note for the commands on this machine."""

from __future__ import annotations

import logging
import os
import ssl
import sys
import time
from asyncio import to_thread
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from aiohttp import web

from gfedge import auth, keys, metrics
from gfedge.access import tokens
from gfedge.access.audit import Act
from gfedge.access.guard import DOOR, NO_AUTH, Door
from gfedge.access.types import NewToken, Note
from gfedge.auth import Who
from gfedge.opening import StartError
from gfedge.settings import Settings
from gfedge.tasks import Tasks

log = logging.getLogger("gfedge")

NOTE = "server.json"
HOUR = 3600.0
SERVER = Who(name="server", scope="admin")

FIRST = """
gfedge listens on the network, so it asks everybody for a token. This is the admin token; it is shown this once:

    {token}

In a browser, this link logs you in. It works once, within 10 minutes:

    {address}/#setup={code}

More tokens: gfedge token create --name NAME --scope read|run|admin
"""
OPEN = (
    "ANYBODY who reaches this server may use and change everything: it listens on %s without tokens "
    "(--insecure-no-auth)"
)


class AccessRefused(StartError):
    """Why the server cannot start; the text says what to do."""


async def access(app: web.Application) -> AsyncIterator[None]:
    """The door, and the first token of a server on a network."""
    settings, tasks = app[keys.SETTINGS], Tasks()
    door = app[DOOR] = Door(settings, app[keys.DB], no_auth=app[NO_AUTH])
    app[auth.STILL] = lambda who: door.still(who) is not None
    metrics.auth_enabled.set(door.needs_token)
    app[keys.RELOADS]["names and origins"] = door.rename
    await door.open()
    if door.needs_token:
        await _first_token(door)
    elif not settings.local:
        _warn_open(settings)
        tasks.every("warn", HOUR, lambda: to_thread(_warn_open, settings))
    if not settings.local and not settings.tls_cert:
        log.warning("without TLS, tokens can be read on the network: see `gfedge tls init`")
    tasks.every("write uses of tokens", tokens.USE_SECONDS, door.settle)
    yield
    await tasks.stop()
    await door.settle()
    (settings.data / NOTE).unlink(missing_ok=True)


def _warn_open(settings: Settings) -> None:
    log.warning(OPEN, settings.host)


async def _first_token(door: Door) -> None:
    """Takes the token of the configured file, or makes one and shows it to the operator."""
    if door.settings.admin_token_file:
        text = await to_thread(_file_token, door.settings.admin_token_file)
        await _add(door, text, "admin-token-file")
    elif not door.tokens.any_valid:
        if not sys.stdout.isatty():
            raise AccessRefused(
                f"listening on {door.settings.host} needs an admin token, and there is no terminal to show a new one "
                "on: name a file for it with --admin-token-file, or make one first with "
                "`gfedge token create --name admin --scope admin`"
            )
        text, _ = tokens.made(NewToken(name="admin", scope="admin"), time.time())
        who = await _add(door, text, "admin")
        code = door.setups.issue(who)
        print(FIRST.format(token=text, address=door.settings.address, code=code), flush=True)


async def _add(door: Door, text: str, name: str) -> Who:
    try:
        row = tokens.row_of(text, name, "admin", time.time())
    except ValueError as error:
        raise AccessRefused(f"{door.settings.admin_token_file}: {error}") from None
    if not door.tokens.knows(row.id):
        act = Act(who=SERVER, address="", action="token.create", target=row.id, detail=name)
        await door.tokens.add(text, row, act)
    if (who := door.tokens.who(text)) is None:
        raise AccessRefused(
            f"the token in {door.settings.admin_token_file} was revoked, or is another one than it was: "
            "delete the file for a new one"
        )
    return who


def _file_token(name: str) -> str:
    """The token in a file; made where there is none."""
    path = Path(name).expanduser()
    try:
        if path.exists():
            return path.read_text(encoding="utf-8").strip()
        text, _ = tokens.made(NewToken(name="admin", scope="admin"), time.time())
        write_private(path, text + "\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise AccessRefused(f"the admin token file {path} cannot be used: {reason}") from None
    log.info("the admin token of this server is in %s", path)
    return text


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner reads, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def tls(settings: Settings) -> ssl.SSLContext | None:
    """What the server speaks TLS with; None where it does not."""
    if not settings.tls_cert and not settings.tls_key:
        return None
    if not (settings.tls_cert and settings.tls_key):
        raise AccessRefused("TLS needs both --tls-cert and --tls-key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load_pair(context, settings)
    return context


def certificate(context: ssl.SSLContext, settings: Settings) -> keys.Reload:
    """Reads the certificate again, for connections made from then on: one that is renewed needs no restart."""

    async def work() -> list[str]:
        try:
            await to_thread(_load_pair, context, settings)
        except AccessRefused as error:
            raise ValueError(str(error)) from None
        return [f"read {settings.tls_cert}"]

    return work


def _load_pair(context: ssl.SSLContext, settings: Settings) -> None:
    try:
        context.load_cert_chain(
            Path(settings.tls_cert).expanduser(), Path(settings.tls_key).expanduser()
        )
    except OSError as error:  # ssl.SSLError is one
        raise AccessRefused(
            f"{settings.tls_cert} and {settings.tls_key} cannot be used for TLS: "
            f"{error.strerror or error}; `gfedge tls init` makes a pair"
        ) from None


def leave_note(app: web.Application) -> None:
    """Tells the commands on this machine where the server is, with a token that lives as long as it does.

    Who may read the data folder may do everything anyway; the database itself is open in one process at a time.
    """
    settings, door = app[keys.SETTINGS], app[DOOR]
    text, row = tokens.made(NewToken(name="data folder", scope="admin"), time.time())
    door.tokens.lend(row)
    local = settings.local or settings.host in ("0.0.0.0", "::")  # noqa: S104
    host = ("[::1]" if ":" in settings.host else "127.0.0.1") if local else settings.host
    scheme = "https" if settings.tls_cert else "http"
    certificate = str(Path(settings.tls_cert).expanduser().absolute()) if settings.tls_cert else ""
    note = Note(address=f"{scheme}://{host}:{settings.port}", token=text, certificate=certificate)
    write_private(settings.data / NOTE, msgspec.json.encode(note).decode())
