"""Where handlers find what every slice shares: the typed keys of the application. A slice's own stand in its routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from gfedge.db import Database
from gfedge.events import Events
from gfedge.settings import Settings

SETTINGS = web.AppKey("settings", Settings)
SOURCES = web.AppKey("sources", dict[str, str])
"""Where the settings that somebody gave came from."""
DB = web.AppKey("db", Database)
EVENTS = web.AppKey("events", Events)

Reload = Callable[[], Awaitable[list[str]]]
RELOADS = web.AppKey("reloads", dict[str, Reload])
"""What SIGHUP and `POST /admin/reload` read again, by name. Each gives a line for each change, or raises ValueError,
OSError or ApiError and keeps what it had."""
