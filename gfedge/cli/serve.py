"""`gfedge serve`: flags over environment, then the application."""

from __future__ import annotations

import argparse

from gfedge.cli.errors import UNUSABLE, CommandError

FLAGS = (
    "host",
    "port",
    "data",
    "models",
    "device",
    "accept_loss",
    "isolate_inference",
    "admin_token_file",
    "allowed_host",
    "cors_origin",
    "tls_cert",
    "tls_key",
)
REPEATED = ("allowed_host", "cors_origin")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    from gfedge.settings import Settings, SettingsError

    try:
        settings = Settings.load(flags(args))
    except SettingsError as error:
        raise CommandError(str(error), UNUSABLE) from None
    from gfedge.app import serve

    return serve(settings, no_auth=args.insecure_no_auth)


def flags(args: argparse.Namespace) -> dict[str, str]:
    """The flags that were given, by the names of their settings."""
    given = {name: getattr(args, name, None) for name in FLAGS}
    found = {name: value for name, value in given.items() if value is not None}
    return found | {name: ",".join(found[name]) for name in REPEATED if name in found}


def environment_help() -> str:
    """Every setting with its variable, default and meaning."""
    from gfedge.settings import table

    lines = [f"  GFEDGE_{name.upper()}={default}\n      {text}" for name, default, text in table()]
    return "environment variables (flags win over them):\n" + "\n".join(lines) + "\n"
