"""The settings as they are, and what is read again: a list of named reloads, for SIGHUP and `POST /admin/reload`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from gfedge import errors, keys, metrics
from gfedge.access import audit
from gfedge.access.audit import Act
from gfedge.access.start import SERVER
from gfedge.configuration import NONE, public, table
from gfedge.settings import Settings
from gfedge.sources import LIVE
from gfedge.wire import Route

log = logging.getLogger("gfedge")


class Setting(msgspec.Struct, kw_only=True, frozen=True):
    """A setting that this server runs with."""

    name: str
    value: Annotated[str | float | bool | None, Meta(description="Secrets are hidden.")]
    default: str | float | bool | None
    source: Annotated[
        str,
        Meta(
            description="Who gave it: `default`, a flag, a variable of the environment, or the file.",
            examples=["GFEDGE_MAX_QUEUE"],
        ),
    ]
    live: Annotated[bool, Meta(description="A reload changes it; others wait for a restart.")]
    help: str


class AllSettings(msgspec.Struct, kw_only=True, frozen=True):
    """All settings, in the order of the documentation."""

    settings: list[Setting]


class Reloaded(msgspec.Struct, kw_only=True, frozen=True):
    """What came of one reload."""

    name: Annotated[str, Meta(examples=["settings"])]
    said: Annotated[list[str], Meta(examples=[["max_queue: 256 -> 512"]])]
    """What changed, and what waits for a restart."""


class Reloads(msgspec.Struct, kw_only=True, frozen=True):
    """What came of all of them."""

    reloads: list[Reloaded]


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/admin/settings",
            handler=list_settings,
            summary="The settings that this server runs with, and their defaults",
            reply=AllSettings,
            scope="admin",
        ),
        Route(
            method="POST",
            path="/admin/reload",
            handler=reload_all,
            summary="Read gfedge.toml and whatever else can change without a restart again, as SIGHUP does",
            reply=Reloads,
            fails={422: ("reload_refused",)},
            scope="admin",
        ),
    ]


async def list_settings(request: web.Request) -> AllSettings:
    live, defaults = request.app[keys.SETTINGS], Settings()
    sources = request.app[keys.SOURCES]
    return AllSettings(
        settings=[
            Setting(
                name=name,
                value=public(name, getattr(live, name)),
                default=public(name, getattr(defaults, name)),
                source=sources.get(name, NONE.source),
                live=name in LIVE,
                help=text,
            )
            for name, _, text in table()
        ]
    )


async def reload_all(request: web.Request) -> Reloads:
    return Reloads(reloads=await again(request.app, audit.act(request, "reload")))


async def signalled(app: web.Application) -> None:
    """At SIGHUP: the log says what came of it."""
    try:
        await again(app, Act(who=SERVER, address="", action="reload", target="SIGHUP"))
    except errors.ApiError as error:
        log.error("%s", error.detail)


async def again(app: web.Application, act: Act) -> list[Reloaded]:
    """Runs every reload, also after one failed; Invalid names those that did. What fails keeps what it had."""
    done, problems = [], []
    for name, work in app[keys.RELOADS].items():
        try:
            done.append(Reloaded(name=name, said=await work()))
        except (ValueError, OSError, errors.ApiError) as error:
            problems.append(f"{name}: {error}")
    lines = [f"{one.name}: {line}" for one in done for line in one.said]
    for line in lines or ([] if problems else ["nothing: no change"]):
        log.info("reloaded %s", line)
    detail = "; ".join(lines + [f"refused {text}" for text in problems])
    await app[keys.DB].write(audit.record, msgspec.structs.replace(act, detail=detail))
    if problems:
        metrics.reload_failures_total.inc()
        raise errors.Invalid(
            f"not reloaded: {'; '.join(problems)} (what was read before goes on)",
            code="reload_refused",
        )
    return done


def of_settings(
    app: web.Application, loaded: Settings, load: Callable[[], tuple[Settings, dict[str, str]]]
) -> keys.Reload:
    """Reads the settings again; what is in LIVE changes in the one struct that everybody holds."""
    known = {name: getattr(loaded, name) for name in Settings.__struct_fields__}
    told = app[keys.SOURCES]

    async def work() -> list[str]:
        found, sources = await asyncio.to_thread(load)
        for name in LIVE:
            told[name] = sources.get(name, NONE.source)
        return _take(app[keys.SETTINGS], known, found)

    return work


def _take(live: Settings, known: dict[str, Any], found: Settings) -> list[str]:
    lines = []
    for name, old in list(known.items()):
        new = getattr(found, name)
        before, after = (_shown(name, one) for one in (old, new))
        if new == old:
            continue
        if name in LIVE:
            # Frozen for everybody else; this is the one place where a running server's settings change.
            msgspec.structs.force_setattr(live, name, new)
            known[name] = new
            lines.append(f"{name}: {before} -> {after}")
        else:
            lines.append(f"{name} stays {before} until a restart, then {after}")
    if live.log_level.upper() != logging.getLevelName(logging.getLogger().level):
        logging.getLogger().setLevel(live.log_level.upper())
    return lines


def _shown(name: str, value: Any) -> str:
    return str(public(name, value)) or "nothing"
