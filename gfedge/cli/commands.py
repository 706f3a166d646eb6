"""What `gfedge` understands: its commands and their options; what they do is in a module each."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable
from typing import Any, NoReturn

import gfedge
from gfedge.cli.access_parser import add_access, add_tls
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
from gfedge.cli.options import (
    add_actions,
    add_data,
    add_output,
    add_server,
    add_settings,
    client,
    flag,
)
from gfedge.cli.sentences import sentence
from gfedge.cli.train_parser import (
    DATASET_EXAMPLES,
    EVALUATE_EXAMPLES,
    TRAIN_EXAMPLES,
    add_dataset,
    add_evaluate,
    add_train,
)


class Parser(argparse.ArgumentParser):
    """A parser whose help may end with what is worked out only when somebody asks, and which names the nearest choice."""

    ending: Callable[[], str] | None = None

    def error(self, message: str) -> NoReturn:
        asked = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        near = (
            difflib.get_close_matches(asked[1], re.findall(r"[\w-]+", asked[2]), 1) if asked else []
        )
        super().error(f"{message}: did you mean {near[0]}?" if near else message)

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
    add_generate(client(commands, "generate", "make sprites from a prompt", GENERATE_EXAMPLES))
    add_vary(client(commands, "vary", "make pictures like one", VARY_EXAMPLES))
    add_sheet(client(commands, "sheet", "put pictures on one sheet", SHEET_EXAMPLES))
    add_words(client(commands, "words", "what a model knows and reads", WORDS_EXAMPLES))
    _add_superres(commands)
    _add_trace(commands)
    _add_replay(commands)
    _add_models(commands)
    _add_backups(commands)
    add_data(add_export(client(commands, "export", EXPORT_TEXT, EXPORT_EXAMPLES)))
    add_access(commands)
    add_tls(commands)
    _add_gc(commands)
    _add_rules(commands)
    add_train(client(commands, "train", "start and watch trainings", TRAIN_EXAMPLES))
    add_evaluate(client(commands, "evaluate", "give a model version its score", EVALUATE_EXAMPLES))
    add_dataset(client(commands, "dataset", "training sets of pictures", DATASET_EXAMPLES))
    add_import(client(commands, "import", "take over what others recorded", IMPORT_EXAMPLES))
    _add_doctor(commands)
    for command in add_machine(commands):
        add_settings(command)
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
    flag(serve, "--host", "HOST", text)
    flag(serve, "--port", "PORT", "port to listen on (default 8000; 0 picks a free one)")
    add_settings(serve)
    text = "start though committed work is missing from a damaged database"
    serve.add_argument("--accept-loss", action="store_const", const="true", help=text)
    text = "run models in a process of their own, which may die alone"
    serve.add_argument("--isolate-inference", action="store_const", const="true", help=text)
    flag(serve, "--engine", "in-process|isolated|ray", "where graphs run (docs/ray.md)")
    flag(serve, "--ray-address", "ADDRESS", "the Ray cluster: auto, local, or its head host:port")
    _add_network(serve)


def _add_network(serve: argparse.ArgumentParser) -> None:
    text = "the first admin token of a server on a network; made where the file is missing"
    flag(serve, "--admin-token-file", "FILE", text)
    text = "one more name that clients reach the server by (may be repeated)"
    serve.add_argument("--allowed-host", metavar="NAME", action="append", help=text)
    text = "a web page's origin that may use the server: http://app.lan:5173 (may be repeated)"
    serve.add_argument("--cors-origin", metavar="ORIGIN", action="append", help=text)
    flag(serve, "--tls-cert", "FILE", "certificate to serve TLS with (`gfedge tls init`)")
    flag(serve, "--tls-key", "FILE", "private key of the certificate")
    text = "let ANYBODY who reaches the server use and change everything"
    serve.add_argument("--insecure-no-auth", action="store_true", help=text)


def _add_superres(commands: Any) -> None:
    superres = client(commands, "superres", "enlarge a picture", SUPERRES_EXAMPLES)
    superres.add_argument("image", metavar="IMAGE", help="the picture; - reads it from stdin")
    add_output(superres)
    superres.add_argument("--scale", type=int, choices=(2, 3, 4, 8), help="how much (default 4)")
    superres.add_argument(
        "--mode", choices=("smooth", "pixel"), help="smooth uses the net, pixel repeats pixels"
    )
    superres.add_argument(
        "--tileable", action="store_true", help="the picture repeats; keep its edges matching"
    )
    flag(superres, "--model", "NAME", "the model (default: the server's)")
    flag(superres, "--experiment", "NAME", "the experiment that records the run")


def _add_trace(commands: Any) -> None:
    trace = client(commands, "trace", "where a picture came from", TRACE_EXAMPLES)
    trace.add_argument(
        "subject", metavar="FILE|JOB", help="a picture, a job id, or an asset's sha256"
    )
    trace.add_argument(
        "--facts",
        action="store_true",
        help="what is known of every node besides, the params of jobs whole",
    )
    trace.add_argument("--json", action="store_true", help="print the whole trace as JSON")


def _add_replay(commands: Any) -> None:
    replay = client(commands, "replay", "run a job again and compare the results", REPLAY_EXAMPLES)
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
            flag(action, "--name", "NAME", "the model (default: as model.toml says)")
            flag(action, "--version", "VERSION", "the version (default: the next number)")
            flag(action, "--note", "TEXT", "what is new in it")
            flag(action, "--run", "ID", "the run that it came from")
        if name == "promote":
            stages = ("dev", "staging", "prod", "archived")
            action.add_argument("--stage", choices=stages, help="default: the next one")
            action.add_argument("--dry-run", action="store_true", help="only show the gates")
            action.add_argument("--force", action="store_true", help="although gates fail (admins)")
        if name in ("promote", "rollback"):
            flag(action, "--reason", "TEXT", "why, for the history")
        action.add_argument("--json", action="store_true", help="print the answer as JSON")
        add_server(action)


def _add_backups(commands: Any) -> None:
    """Backups and what goes with them: of a running server, else of the data folder itself."""
    text = "back up the database and every file that it names, also while serving"
    command = commands.add_parser("backup", help=text, description=sentence(text))
    command.add_argument("folder", metavar="DIR", help="a folder that is not there yet")
    add_data(command)
    add_server(command)
    text = "restore a backup into a new data folder"
    restore = commands.add_parser("restore", help=text, description=sentence(text))
    restore.add_argument("backup", metavar="BACKUP", help="the folder that `gfedge backup` made")
    restore.add_argument(
        "--data", metavar="DIR", required=True, help="a folder that is new or empty"
    )
    text = "read all that is stored, or a backup, and hold it against its digests"
    verify = commands.add_parser("verify", help=text, description=sentence(text))
    verify.add_argument("backup", metavar="BACKUP", nargs="?", help="a backup instead")
    add_data(verify)
    add_server(verify)
    verify.add_argument("--json", action="store_true", help="print the findings as JSON")
    text = "what this version would change in the data, and the steps; changes nothing"
    upgrade = commands.add_parser("upgrade", help=text, description=sentence(text))
    add_data(upgrade)
    add_server(upgrade)
    upgrade.add_argument("--json", action="store_true", help="print it as JSON")


def _add_gc(commands: Any) -> None:
    text = "remove what the retention policy lets go and nothing needs"
    gc = client(commands, "gc", text, GC_EXAMPLES)
    gc.add_argument("--dry-run", action="store_true", help="tell what would go, and remove nothing")
    gc.add_argument("--json", action="store_true", help="print the report as JSON")
    add_data(gc)
    flag(gc, "--keep-job-days", "DAYS", "remove jobs older than this")
    flag(gc, "--keep-jobs", "N", "remove jobs before the newest N")
    flag(gc, "--keep-job-bytes", "SIZE", "remove jobs before the newest whose pictures fill SIZE")
    flag(gc, "--restore-days", "DAYS", "remove runs and experiments deleted longer ago")


def _add_rules(commands: Any) -> None:
    actions = add_actions(commands, "rules", "alerting and recording rules, in Prometheus' format")
    text = "check rule files, and say where they are wrong"
    check = actions.add_parser("check", help=text, description=sentence(text))
    check.add_argument("files", metavar="FILE", nargs="+", help="a rule file")


def _add_doctor(commands: Any) -> None:
    text = "what works on this machine, and how to mend what does not"
    doctor = commands.add_parser("doctor", help=text, description=sentence(text))
    add_settings(doctor)
    add_server(doctor)
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
