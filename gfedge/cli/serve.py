"""`gfedge serve`: flags over environment over gfedge.toml, then the application."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from gfedge.cli.errors import UNUSABLE, CommandError

if TYPE_CHECKING:
    from gfedge.settings import Settings

FLAGS = (
    "host",
    "port",
    "data",
    "models",
    "device",
    "accept_loss",
    *("engine", "isolate_inference", "ray_address"),
    "admin_token_file",
    "allowed_host",
    "cors_origin",
    "tls_cert",
    "tls_key",
    *("keep_job_days", "keep_jobs", "keep_job_bytes", "restore_days"),
)
"""The settings that some command declares as flags; the others are undeclared ones of `serve` and `settings`."""
REPEATED = ("allowed_host", "cors_origin")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    gc.disable()  # Imports make no garbage: to look for it is a fifth of the start. It is on again when the server listens.
    settings, sources = _loaded(args)
    if settings.engine == "ray":
        check_ray()
    from gfedge import logs, malloc
    from gfedge.opening import opened_meanwhile

    malloc.few_arenas()
    logs.begin(settings.log_level, settings.log_format)
    with opened_meanwhile(settings) as opening:
        from gfedge.process import serve

        return serve(settings, sources, loader(args), opening, no_auth=args.insecure_no_auth)


def check_ray() -> None:
    """Raises CommandError where Ray is not installed."""
    from gfedge.inference.cluster import ray_problem

    if problem := ray_problem():
        raise CommandError(problem, UNUSABLE)


def loader(args: argparse.Namespace) -> Callable[[], tuple[Settings, dict[str, str]]]:
    """What reads the settings and where they come from, now and when they are reloaded."""
    from gfedge.configuration import loaded

    return partial(loaded, flags(args), config=args.config)


def load(args: argparse.Namespace) -> Settings:
    """The settings that a server started here with these flags would have."""
    return _loaded(args)[0]


def _loaded(args: argparse.Namespace) -> tuple[Settings, dict[str, str]]:
    from gfedge.parsing import SettingsError

    try:
        return loader(args)()
    except SettingsError as error:
        raise CommandError(str(error), UNUSABLE) from None


def flags(args: argparse.Namespace) -> dict[str, str]:
    """The flags that were given, by the names of their settings."""
    given = {name: getattr(args, name, None) for name in FLAGS}
    found = {name: value for name, value in given.items() if value is not None}
    found |= getattr(args, "undeclared", {})
    return found | {name: ",".join(found[name]) for name in REPEATED if name in found}


def environment_help() -> str:
    """Every setting with its variable, default and meaning."""
    from gfedge.configuration import table

    lines = [f"  GFEDGE_{name.upper()}={default}\n      {text}" for name, default, text in table()]
    return (
        "environment variables (flags win over them, and they over gfedge.toml, which has the names without GFEDGE_ in small letters; each is a flag too, as --max-queue 9, but for keys):\n"
        + "\n".join(lines)
        + "\n"
    )
