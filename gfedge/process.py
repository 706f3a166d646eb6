"""The process of a server: its log, its socket, its signals, and what it tells systemd."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

import msgspec
from aiohttp import web

from gfedge import __version__, connections, keys, migrate, notify, reload
from gfedge.access import start
from gfedge.ai import routes as ai
from gfedge.ai.suspects import write_down_crashes
from gfedge.app import make_app
from gfedge.db import Database, DatabaseRefused
from gfedge.opening import StartError
from gfedge.settings import Settings
from gfedge.tasks import Tasks

log = logging.getLogger("gfedge")


def serve(
    settings: Settings,
    sources: dict[str, str],
    load: Callable[[], tuple[Settings, dict[str, str]]],
    opening: Future[Database],
    *,
    no_auth: bool = False,
) -> int:
    """Runs the server until SIGTERM or SIGINT; returns the exit code. `load` reads the settings again."""
    try:
        listening = _listen(settings)
        live = msgspec.structs.replace(settings, port=listening.getsockname()[1])
        app = make_app(live, opening=opening, no_auth=no_auth)
        app[keys.SOURCES].update(sources)
        app[keys.RELOADS]["settings"] = reload.of_settings(app, settings, load)
        _run(_serve(app, listening))
    except (StartError, DatabaseRefused, migrate.SchemaRefused) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        advice = (
            "is another server running there? Take another port with --port"
            if taken
            else "check --host"
        )
        reason = os.strerror(errno.EADDRINUSE) if taken else str(error.strerror or error)
        raise StartError(
            f"cannot listen on {settings.host}:{settings.port}: {reason}; {advice}"
        ) from None


async def _serve(app: web.Application, listening: socket.socket) -> None:
    settings, tasks, stop = app[keys.SETTINGS], Tasks(), asyncio.Event()
    tls = start.tls(settings)
    if tls is not None:
        app[keys.RELOADS]["certificate"] = start.certificate(tls, settings)
    runner = connections.Runner(app, settings, shutdown_timeout=5)
    _heed(app, tasks, stop)
    try:
        await runner.setup()
        write_down_crashes(settings.data)
        await connections.Site(runner, listening, ssl_context=tls).start()
        _collect_garbage()
        start.leave_note(app)
        log.info("gfedge %s on %s, data in %s", __version__, settings.address, settings.data)
        notify.tell("READY=1", f"STATUS=serving on {settings.address}")
        if seconds := notify.watchdog_seconds(os.environ):
            tasks.every("feed the watchdog", seconds / 3, notify.feed)
        await stop.wait()
        notify.tell("STOPPING=1")
        log.info(
            "stopping: running jobs get %g s, the others wait for the next start",
            settings.shutdown_grace,
        )
    finally:
        gc.unfreeze()
        await runner.cleanup()
        await tasks.stop()


def _collect_garbage() -> None:
    """From here on, and never again through what the start made, which stays: a full collection is a pause of the loop."""
    gc.freeze()
    gc.enable()


def _heed(app: web.Application, tasks: Tasks, stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT stop, a second one hurries; SIGHUP reloads, unless the terminal that started us is gone."""
    on_terminal = os.isatty(0)

    def stopped() -> None:
        if stop.is_set():
            app[ai.QUEUE].hurry()
        stop.set()

    def hung_up() -> None:
        if on_terminal and not os.isatty(0):
            stopped()
        else:
            tasks.spawn("reload", reload.signalled(app))

    heard = {"SIGINT": stopped, "SIGTERM": stopped, "SIGHUP": hung_up}
    for name, react in heard.items():
        with contextlib.suppress(NotImplementedError, AttributeError):  # Windows
            asyncio.get_running_loop().add_signal_handler(getattr(signal, name), react)


def _run(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop where it exists: a third less CPU per request."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
