"""The `gfedge` command: what it understands, and which module does it.

Modules are imported when their command runs, so that a client command starts in a few hundredths of a second.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import gfedge
from gfedge.cli.errors import FAILED, INTERRUPTED, UNUSABLE, CommandError
from gfedge.cli.examples import (
    EXAMPLES,
    GC_EXAMPLES,
    MODELS_EXAMPLES,
    REPLAY_EXAMPLES,
    SUPERRES_EXAMPLES,
    TRACE_EXAMPLES,
)
from gfedge.cli.export_parser import EXPORT_EXAMPLES, EXPORT_TEXT, add_export
from gfedge.cli.generate_parser import (
    GENERATE_EXAMPLES,
    SHEET_EXAMPLES,
    VARY_EXAMPLES,
    WORDS_EXAMPLES,
    add_generate,
    add_sheet,
    add_vary,
    add_words,
)
from gfedge.cli.import_parser import IMPORT_EXAMPLES, add_import
from gfedge.cli.machine_parser import add_machine
from gfedge.cli.sentences import sentence
from gfedge.cli.train_parser import DATASET_EXAMPLES, TRAIN_EXAMPLES, add_dataset, add_train

DEFAULT_SERVER = "http://127.0.0.1:8000"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace", line_buffering=True)
    args = parser().parse_args(argv)
    try:
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


class Parser(argparse.ArgumentParser):
    """A parser whose help may end with what is worked out only when somebody asks."""

    ending: Callable[[], str] | None = None

    def format_help(self) -> str:
        ending = "" if self.ending is None else "\n" + self.ending()
        return super().format_help() + ending


def parser() -> argparse.ArgumentParser:
    """The whole tree of commands and options."""
    root = Parser(
        prog="gfedge",
        description="Prompts to game sprites, upscaling, and a record of where each picture came from.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"gfedge {gfedge.__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_serve(commands)
    add_generate(_client(commands, "generate", "make sprites from a prompt", GENERATE_EXAMPLES))
    add_vary(_client(commands, "vary", "make pictures like one", VARY_EXAMPLES))
    add_sheet(_client(commands, "sheet", "put pictures on one sheet", SHEET_EXAMPLES))
    add_words(_client(commands, "words", "what a model knows and reads", WORDS_EXAMPLES))
    _add_superres(commands)
    _add_trace(commands)
    _add_replay(commands)
    _add_models(commands)
    _add_backups(commands)
    _add_data(add_export(_client(commands, "export", EXPORT_TEXT, EXPORT_EXAMPLES)))
    _add_access(commands)
    _add_tls(commands)
    _add_gc(commands)
    _add_rules(commands)
    add_train(_client(commands, "train", "start and watch trainings", TRAIN_EXAMPLES))
    add_dataset(_client(commands, "dataset", "training sets of pictures", DATASET_EXAMPLES))
    add_import(_client(commands, "import", "take over what others recorded", IMPORT_EXAMPLES))
    _add_doctor(commands)
    for command in add_machine(commands):
        _add_settings(command)
    return root


def _serve_help() -> str:
    from gfedge.cli import serve

    return serve.environment_help()


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve",
        help="start the server",
        description="Start the server.",
        allow_abbrev=False,  # --insecure-no-auth counts only when typed in full
    )
    serve.ending = _serve_help
    text = "address to listen on (default 127.0.0.1: this machine only; others ask for tokens)"
    _flag(serve, "--host", "HOST", text)
    _flag(serve, "--port", "PORT", "port to listen on (default 8000; 0 picks a free one)")
    _add_settings(serve)
    text = "start though committed work is missing from a damaged database"
    serve.add_argument("--accept-loss", action="store_const", const="true", help=text)
    text = "run models in a process of their own, which may die alone"
    serve.add_argument("--isolate-inference", action="store_const", const="true", help=text)
    _flag(serve, "--engine", "in-process|isolated|ray", "where graphs run (docs/ray.md)")
    _flag(serve, "--ray-address", "ADDRESS", "the Ray cluster: auto, local, or its head host:port")
    _add_network(serve)


def _add_network(serve: argparse.ArgumentParser) -> None:
    text = "the first admin token of a server on a network; made where the file is missing"
    _flag(serve, "--admin-token-file", "FILE", text)
    text = "one more name that clients reach the server by (may be repeated)"
    serve.add_argument("--allowed-host", metavar="NAME", action="append", help=text)
    text = "a web page's origin that may use the server: http://app.lan:5173 (may be repeated)"
    serve.add_argument("--cors-origin", metavar="ORIGIN", action="append", help=text)
    _flag(serve, "--tls-cert", "FILE", "certificate to serve TLS with (`gfedge tls init`)")
    _flag(serve, "--tls-key", "FILE", "private key of the certificate")
    text = "let ANYBODY who reaches the server use and change everything"
    serve.add_argument("--insecure-no-auth", action="store_true", help=text)


def _add_data(command: argparse.ArgumentParser) -> None:
    _flag(command, "--data", "DIR", "all that the server writes (default ~/.local/share/gfedge)")
    text = "a file of settings (default GFEDGE_CONFIG, or gfedge.toml in the data folder)"
    _flag(command, "--config", "FILE", text)


def _add_settings(command: argparse.ArgumentParser) -> None:
    _add_data(command)
    _flag(command, "--models", "DIR", "the models (default: those that come with gfedge)")
    text = "where models run (default auto: the GPU if it can)"
    _flag(command, "--device", "auto|cpu|cuda", text)


def _flag(command: argparse.ArgumentParser, name: str, metavar: str, text: str) -> None:
    command.add_argument(name, metavar=metavar, help=text)


def _add_superres(commands: Any) -> None:
    superres = _client(commands, "superres", "enlarge a picture", SUPERRES_EXAMPLES)
    superres.add_argument("image", metavar="IMAGE", help="the picture; - reads it from stdin")
    _add_output(superres)
    superres.add_argument("--scale", type=int, choices=(2, 3, 4, 8), help="how much (default 4)")
    superres.add_argument(
        "--mode", choices=("smooth", "pixel"), help="smooth uses the net, pixel repeats pixels"
    )
    superres.add_argument(
        "--tileable", action="store_true", help="the picture repeats; keep its edges matching"
    )
    _flag(superres, "--model", "NAME", "the model (default: the server's)")
    _flag(superres, "--experiment", "NAME", "the experiment that records the run")


def _add_trace(commands: Any) -> None:
    trace = _client(commands, "trace", "where a picture came from", TRACE_EXAMPLES)
    trace.add_argument(
        "subject", metavar="FILE|JOB", help="a picture, a job id, or an asset's sha256"
    )
    trace.add_argument("--facts", action="store_true", help="what is known of every node besides")
    trace.add_argument("--json", action="store_true", help="print the whole trace as JSON")


def _add_replay(commands: Any) -> None:
    replay = _client(commands, "replay", "run a job again and compare the results", REPLAY_EXAMPLES)
    replay.add_argument("job", metavar="JOB", help="the job's id, as `gfedge generate` prints it")
    replay.add_argument("--json", action="store_true", help="print the answer as JSON")


def _add_models(commands: Any) -> None:
    text = "register model versions, promote them and roll back"
    group = commands.add_parser(
        "models",
        help=text,
        description=sentence(text) + " Talks to a running server.",
        epilog=MODELS_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, model, help_text in (
        ("list", "", "every version; * marks the one that serves"),
        ("show", "NAME[@VERSION]", "one model or one version"),
        ("register", "", "take a folder, an archive or a graph as a new version in dev"),
        ("promote", "NAME@VERSION", "move a version to the next stage, or the one named"),
        ("rollback", "NAME", "put the version that was in prod before there again"),
        ("history", "NAME", "what was changed, by whom and why"),
    ):
        action = actions.add_parser(name, help=help_text, description=sentence(help_text))
        if model:
            action.add_argument("model", metavar=model)
        if name == "register":
            action.add_argument("path", metavar="PATH", help="model.toml and its files")
            _flag(action, "--name", "NAME", "the model (default: as model.toml says)")
            _flag(action, "--version", "VERSION", "the version (default: the next number)")
            _flag(action, "--note", "TEXT", "what is new in it")
            _flag(action, "--run", "ID", "the run that it came from")
        if name == "promote":
            stages = ("dev", "staging", "prod", "archived")
            action.add_argument("--stage", choices=stages, help="default: the next one")
            action.add_argument("--dry-run", action="store_true", help="only show the gates")
            action.add_argument("--force", action="store_true", help="although gates fail (admins)")
        if name in ("promote", "rollback"):
            _flag(action, "--reason", "TEXT", "why, for the history")
        action.add_argument("--json", action="store_true", help="print the answer as JSON")
        _add_server(action)


def _add_backups(commands: Any) -> None:
    """Backups and what goes with them: of a running server, else of the data folder itself."""
    text = "back up the database and every file that it names, also while serving"
    command = commands.add_parser("backup", help=text, description=sentence(text))
    command.add_argument("folder", metavar="DIR", help="a folder that is not there yet")
    _add_data(command)
    _add_server(command)
    text = "restore a backup into a new data folder"
    restore = commands.add_parser("restore", help=text, description=sentence(text))
    restore.add_argument("backup", metavar="BACKUP", help="the folder that `gfedge backup` made")
    restore.add_argument(
        "--data", metavar="DIR", required=True, help="a folder that is new or empty"
    )
    text = "read all that is stored, or a backup, and hold it against its digests"
    verify = commands.add_parser("verify", help=text, description=sentence(text))
    verify.add_argument("backup", metavar="BACKUP", nargs="?", help="a backup instead")
    _add_data(verify)
    _add_server(verify)
    verify.add_argument("--json", action="store_true", help="print the findings as JSON")


def _add_access(commands: Any) -> None:
    """Tokens and the audit log: of a running server, else of the data folder itself."""
    text = "who may use the server: make, list and revoke tokens"
    actions = _actions(commands, "token", text)
    create = _action(actions, "create", "make a token and print it, once")
    create.add_argument("--name", required=True, metavar="NAME", help="who uses it: unreal-plugin")
    scopes, text = ("metrics", "read", "run", "admin"), "what it may do (default run)"
    create.add_argument("--scope", choices=scopes, default="run", help=text)
    _flag(create, "--expires", "TIME", "how long it lives: 90d, 12h (default: until it is revoked)")
    _action(actions, "list", "list all tokens, without their secrets")
    revoke = _action(actions, "revoke", "end a token, and log out who logged in with it")
    revoke.add_argument("id", metavar="ID", help="as `gfedge token list` shows it")
    actions = _actions(commands, "audit", "what admins did, in a chain that shows changes")
    listing = _action(actions, "list", "the newest records")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="how many (default 50)")
    verify = _action(actions, "verify", "whether every record is there and none was changed")
    text = "digest of a record seen earlier, which must still be there"
    _flag(verify, "--expect", "SHA256", text)


def _actions(commands: Any, name: str, text: str) -> Any:
    command = commands.add_parser(name, help=text, description=sentence(text))
    return command.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(
        name, help=text, description=sentence(text)
    )
    _add_data(action)
    found, text = os.environ.get("GFEDGE_SERVER"), "a server (default: that of the data folder)"
    action.add_argument("--server", metavar="URL", default=found, help=text)
    _add_token(action)
    action.add_argument("--json", action="store_true", help="print it as JSON")
    return action


def _add_tls(commands: Any) -> None:
    actions = _actions(commands, "tls", "serve over TLS")
    text = "make a certificate for this machine's names and addresses (needs openssl)"
    init = actions.add_parser("init", help=text, description=sentence(text))
    text = "where gfedge.crt and gfedge.key go (default: here)"
    init.add_argument("folder", metavar="DIR", nargs="?", default=".", help=text)
    text = "one more name or address of this machine (may be repeated)"
    init.add_argument("--name", metavar="NAME", action="append", default=[], help=text)


def _add_gc(commands: Any) -> None:
    text = "remove what the retention policy lets go and nothing needs"
    gc = _client(commands, "gc", text, GC_EXAMPLES)
    gc.add_argument("--dry-run", action="store_true", help="tell what would go, and remove nothing")
    gc.add_argument("--json", action="store_true", help="print the report as JSON")
    _add_data(gc)
    _flag(gc, "--keep-job-days", "DAYS", "remove jobs older than this")
    _flag(gc, "--keep-jobs", "N", "remove jobs before the newest N")
    _flag(gc, "--keep-job-bytes", "SIZE", "remove jobs before the newest whose pictures fill SIZE")
    _flag(gc, "--restore-days", "DAYS", "remove runs and experiments deleted longer ago")


def _add_rules(commands: Any) -> None:
    actions = _actions(commands, "rules", "alerting and recording rules, in Prometheus' format")
    text = "check rule files, and say where they are wrong"
    check = actions.add_parser("check", help=text, description=sentence(text))
    check.add_argument("files", metavar="FILE", nargs="+", help="a rule file")


def _add_doctor(commands: Any) -> None:
    text = "what works on this machine, and how to mend what does not"
    doctor = commands.add_parser("doctor", help=text, description=sentence(text))
    _add_settings(doctor)
    _add_server(doctor)
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")


def _client(commands: Any, name: str, text: str, examples: str) -> argparse.ArgumentParser:
    """A command that talks to a running server."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=sentence(text) + " Talks to a running server.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_server(command)
    return command


def _add_server(command: argparse.ArgumentParser) -> None:
    found = os.environ.get("GFEDGE_SERVER") or DEFAULT_SERVER
    text = f"the server (default GFEDGE_SERVER, or {DEFAULT_SERVER})"
    command.add_argument("--server", metavar="URL", default=found, help=text)
    _add_token(command)


def _add_token(command: argparse.ArgumentParser) -> None:
    text = "a file with the token that the server wants (default GFEDGE_TOKEN_FILE)"
    _flag(command, "--token-file", "FILE", text)
    text = "the token itself (default GFEDGE_TOKEN, which other users of this machine do not see)"
    _flag(command, "--token", "TOKEN", text)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="the PNG to write; - writes to stdout",
    )
