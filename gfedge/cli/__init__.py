"""The `gfedge` command: which module does what it was asked for.

Modules are imported when their command runs, so that a client command starts in a few hundredths of a second.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from gfedge.cli.commands import parser
from gfedge.cli.errors import FAILED, INTERRUPTED, UNUSABLE, CommandError
from gfedge.cli.flags import undeclared


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace", line_buffering=True)
    words = sys.argv[1:] if argv is None else list(argv)
    words = [*words[1:], "--help"] if words[:1] == ["help"] else words
    args, others = parser().parse_known_args(words)
    try:
        args.undeclared = undeclared(args, others) if others else {}
        return _run(args)
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _run(args: argparse.Namespace) -> int:
    match args.command:
        case "serve":
            from gfedge.cli import serve

            return serve.run(args)
        case "generate":
            from gfedge.cli import jobs

            return jobs.generate(args)
        case "vary":
            from gfedge.cli import jobs

            return jobs.vary(args)
        case "sheet":
            from gfedge.cli import sheets

            return sheets.run(args)
        case "words":
            from gfedge.cli import words

            return words.run(args)
        case "superres":
            from gfedge.cli import jobs

            return jobs.superres(args)
        case "trace":
            from gfedge.cli import trace

            return trace.run(args)
        case "models":
            from gfedge.cli import registry

            return registry.run(args)
        case "replay":
            from gfedge.cli import replay

            return replay.run(args)
        case "backup" | "restore" | "verify" as command:
            from gfedge.cli import backup

            run: Callable[[argparse.Namespace], int] = getattr(backup, command)
            return run(args)
        case "upgrade":
            from gfedge.cli import upgrade

            return upgrade.run(args)
        case "token" | "audit" as command:
            from gfedge.cli import access

            return access.token(args) if command == "token" else access.audit(args)
        case "tls":
            from gfedge.cli import tls

            return tls.init(args)
        case "gc" | "export" as command:
            from gfedge.cli import export, gc

            return gc.run(args) if command == "gc" else export.run(args)
        case "rules":
            from gfedge.cli import rules

            return rules.check(args)
        case "train":
            from gfedge.cli import train

            return train.run(args)
        case "evaluate":
            from gfedge.cli import train

            return train.evaluate(args)
        case "settings":
            from gfedge.cli import settings

            return settings.run(args)
        case "health" | "reload" as command:
            from gfedge.cli import running

            return running.health(args) if command == "health" else running.reload(args)
        case "install-service":
            from gfedge.cli import service

            return service.run(args)
        case "dataset" | "import" as command:
            from gfedge.cli import dataset, takeovers

            return dataset.run(args) if command == "dataset" else takeovers.run(args)
        case "doctor" | "selftest" as command:
            from gfedge.cli import doctor, selftest

            return doctor.run(args) if command == "doctor" else selftest.run(args)
        case _:
            parser().print_help()
            return UNUSABLE
