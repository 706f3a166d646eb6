"""Writes docs/reference/: settings, metrics and commands, from the code that has them: `make reference`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from gfedge import cli, metrics
from gfedge.parsing import SIZES, expected
from gfedge.settings import LIVE, SECRETS, Settings, default_models, table
from gfedge.sources import WITHOUT_PREFIX

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Written by `make reference`. -->\n"
SETTINGS = """\
# Settings

In `gfedge.toml` (`--config FILE`, `GFEDGE_CONFIG`, or in the data folder) by their names, in the environment as `GFEDGE_<NAME>` in capitals,
and some as flags of the commands; flags win over the environment, and that over the file. `gfedge settings` prints those of this machine
with where each comes from, as a file to begin with. *Live* ones change at SIGHUP and `POST /admin/reload`, the others at the next start.
Sizes take K, M and G. ([Why so](../decisions/0040-configuration.md).)

| setting | default | accepts | |
| --- | --- | --- | --- |
"""
METRICS = """\
# Metrics

What `/metrics` serves, in the units of their names. PromQL over their history: [monitoring](../monitoring.md).

| metric | type | labels | |
| --- | --- | --- | --- |
"""
COMMANDS = """\
# Commands

`gfedge COMMAND --help` says the same with examples. Exit codes: 0 done, 1 failed, 2 used wrongly or nothing there to talk to, 130 interrupted.
"""


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(FOLDER / name)


def pages() -> dict[str, str]:
    """Each page by the name of its file."""
    return {
        "settings.md": MADE + SETTINGS + "\n".join(settings_rows()) + "\n",
        "metrics.md": MADE + METRICS + "\n".join(sorted(metric_rows())) + "\n",
        "commands.md": MADE + COMMANDS + "\n" + "\n".join(command_lines()),
    }


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
    for one in metrics.MEASURED:
        yield _row(f"`{one.name}`", one.kind, _labels(one.labels), one.help)


def _labels(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(*cells: str) -> str:
    """A row of a table; what is code already keeps its signs."""
    plain = {"|": "\\|", "<": "&lt;", ">": "&gt;"}
    return f"| {' | '.join(cell.translate(str.maketrans(plain)) for cell in cells)} |"


def command_lines() -> Iterator[str]:
    for words, parser in _commands("gfedge", cli.parser()):
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
