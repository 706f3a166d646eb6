"""Writes docs/reference/ and the list of decisions, from the code and the files that have them: `make reference`."""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from gfedge import alerts, app, http_metrics, metrics, migrate, openapi
from gfedge.cli import commands
from gfedge.configuration import table
from gfedge.db import Database
from gfedge.export import store
from gfedge.export.tables import TABLES
from gfedge.monitoring import measured
from gfedge.parsing import SIZES, expected
from gfedge.settings import SECRETS, Settings, default_models
from gfedge.sources import LIVE, WITHOUT_PREFIX
from reference_api import MADE, Interface

DOCS = Path(__file__).resolve().parent.parent / "docs"
RULES = Path(alerts.__file__).parent / "rules" / "gfedge.yml"
SETTINGS = """\
# Settings

In `gfedge.toml` (`--config FILE`, `GFEDGE_CONFIG`, or in the data folder) by their names, in the environment as `GFEDGE_<NAME>` in capitals,
and as flags of `gfedge serve` and `gfedge settings` (`--max-queue 9`; keys are not); flags win over the environment, and that over the file.
`gfedge settings` prints those of this machine with where each comes from, as a file to begin with. *Live* ones change at SIGHUP and `POST /admin/reload`, the others at the next start.
Sizes take K, M and G. ([Why so](../decisions/0043-configuration.md).)

| setting | default | accepts | |
| --- | --- | --- | --- |
"""
METRICS = """\
# Metrics

What `/metrics` serves, in the units of their names. PromQL over their history: [monitoring](../monitoring.md).

| metric | type | labels | |
| --- | --- | --- | --- |
"""
TEMPLATE = re.compile(r"\{\{ \$(?:labels\.)?(\w+)[^}]*\}\}")
"""What a template fills in."""
COMMANDS = """\
# Commands

`gfedge COMMAND --help` says the same with examples. Exit codes: 0 done, 1 failed, 2 used wrongly or nothing there to talk to, 130 interrupted.
"""
ALERTS = """\
# Alert rules

What the server watches of itself: `gfedge/alerts/rules/gfedge.yml`. `shipped_rules = false` leaves them out; [alerts](../alerts.md) says how
to add others and who is told.
"""
ARCHIVE = """\
# Tables of the archive

What `gfedge export` writes: [the archive](../archive.md). Instants are UTC to the microsecond, JSON is text. A table *by day* has a file for each
day, in a folder `date=…` that engines take for a column.
"""
DECISIONS = """\
# Decisions

What somebody will question, each with what else was considered. A new one takes the next number that is free; none changes its number.

| | |
| --- | --- |
"""


def main() -> None:
    for name, text in pages().items():
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_text(text, encoding="utf-8")
        print(DOCS / name)


def pages() -> dict[str, str]:
    """Each page by its path below docs/."""
    interface = Interface(openapi.document(app.routes()))
    return {
        "reference/settings.md": MADE + SETTINGS + "\n".join(settings_rows()) + "\n",
        "reference/metrics.md": MADE + METRICS + "\n".join(sorted(metric_rows())) + "\n",
        "reference/commands.md": MADE + COMMANDS + "\n" + "\n".join(command_lines()),
        "reference/alerts.md": MADE + ALERTS + "\n".join(alert_lines()) + "\n",
        "reference/archive.md": MADE + ARCHIVE + "\n".join(archive_lines()) + "\n",
        "decisions/README.md": MADE + DECISIONS + "\n".join(decision_rows()) + "\n",
        **{f"reference/api/{name}": text for name, text in interface.pages()},
    }


def alert_lines() -> Iterator[str]:
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        yield f"\n## {group['name']}\n\nEvery {group['interval']}.\n"
        yield "| alert | severity | for | fires when | |\n| --- | --- | --- | --- | --- |"
        for rule in group["rules"]:
            expression = f"`{' '.join(rule['expr'].split())}`".replace("|", "\\|")
            if "record" in rule:
                yield f"| (records) `{rule['record']}` | | | {expression} | |"
                continue
            notes = rule["annotations"]
            told = " ".join(
                _sentence(notes[name]) for name in ("summary", "description") if name in notes
            )
            told = TEMPLATE.sub(r"`\1`", told)
            severity, wait = rule["labels"]["severity"], rule.get("for", "")
            yield f"| `{rule['alert']}` | {severity} | {wait} | {expression} | {told} |"


def archive_lines() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "gfedge.duckdb")
        database.open(migrate.migrate)
        try:
            for entry in sorted(TABLES, key=lambda one: one.name):
                columns = asyncio.run(database.aside(store.columns, entry))
                yield f"\n## {entry.name}\n\n{entry.about}.{' *By day.*' if entry.by_day else ''}"
                yield "\n| column | type |\n| --- | --- |"
                yield from (_row(f"`{name}`", kind.lower()) for name, kind in columns.items())
        finally:
            database.close()


def decision_rows() -> Iterator[str]:
    for path in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        yield f"| {path.name[:4]} | [{title}]({path.name}) |"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def settings_rows() -> Iterator[str]:
    hints = get_type_hints(Settings, include_extras=True)
    for name, default, text in table():
        hint = hints[name]
        accepts = expected(hint.__origin__, hint.__metadata__[0], size=name in SIZES)
        accepts = accepts.partition("; K, M and G")[0]
        shown = "the bundled models" if default == str(default_models()) else f"`{default}`"
        shown = f"`{int(default) >> 20}M`" if name in SIZES and int(default) >> 20 else shown
        remarks = [
            *(["*Live.*"] if name in LIVE else []),
            *(["*Secret.*"] if name in SECRETS else []),
            *([f"Also `{name.upper()}`."] if name in WITHOUT_PREFIX else []),
        ]
        said = text.replace(f"; also {name.upper()}", "")
        yield _row(f"`{name}`", "" if default == "" else shown, accepts, " ".join([said, *remarks]))


def metric_rows() -> Iterator[str]:
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = family.name + ("_total" if isinstance(metric, Counter) else "")
            yield _row(f"`{name}`", family.type, _labels(metric._labelnames), family.documentation)
    for family in http_metrics.requests.describe():
        name = family.name + ("_total" if family.type == "counter" else "")
        yield _row(f"`{name}`", family.type, _labels(family._labelnames), family.documentation)
    for one in measured.MEASURED:
        yield _row(f"`{one.name}`", one.kind, _labels(one.labels), one.help)


def _labels(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(*cells: str) -> str:
    """A row of a table; what is code already keeps its signs."""
    plain = {"|": "\\|", "<": "&lt;", ">": "&gt;"}
    return f"| {' | '.join(cell.translate(str.maketrans(plain)) for cell in cells)} |"


def command_lines() -> Iterator[str]:
    for words, parser in _commands("gfedge", commands.parser()):
        yield f"## {words}\n"
        yield f"{parser.description}\n" if parser.description else ""
        for action in parser._actions:
            if (
                not isinstance(action, argparse._SubParsersAction)
                and "--help" not in action.option_strings
            ):
                yield f"- `{_usage(action)}` {action.help or ''}".rstrip()
        yield ""


def _commands(words: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, Any]]:
    """A parser and those below it, in their order."""
    subs = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if words != "gfedge":
        yield words, parser
    for action in subs:
        for name, sub in action.choices.items():
            yield from _commands(f"{words} {name}", sub)


def _usage(action: argparse.Action) -> str:
    choices = "|".join(str(one) for one in action.choices or ())
    value = "" if action.nargs == 0 else str(action.metavar or choices or action.dest.upper())
    return " ".join(part for part in (", ".join(action.option_strings), value) if part)


if __name__ == "__main__":
    main()
