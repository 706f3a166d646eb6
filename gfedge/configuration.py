"""The configuration of a server: its settings, read from all that gives them, and as people are shown them.

Defaults, then gfedge.toml, then `GFEDGE_<NAME>`, then flags; the later wins.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec

from gfedge.parsing import SettingsError, read
from gfedge.settings import SECRETS, Settings
from gfedge.sources import CONFIG, Given, absolute, file_of, gather

NONE = Given("", "default", "")


def load(
    flags: Mapping[str, str] | None = None,
    environ: Mapping[str, str] = os.environ,
    config: str | None = None,
) -> Settings:
    """The settings of a server; `config` names another file than gfedge.toml. Raises SettingsError."""
    return loaded(flags or {}, environ, config)[0]


def loaded(
    flags: Mapping[str, str], environ: Mapping[str, str] = os.environ, config: str | None = None
) -> tuple[Settings, dict[str, str]]:
    """The settings, and where each one that was given came from; raises SettingsError."""
    found = given(flags, environ, config)
    return _read(found), {name: one.source for name, one in found.items()}


def given(
    flags: Mapping[str, str], environ: Mapping[str, str], config: str | None = None
) -> dict[str, Given]:
    """What was given for each setting, and by whom."""
    names, default = Settings.__struct_fields__, str(Settings().data)
    data = flags.get("data") or environ.get("GFEDGE_DATA") or default
    file = file_of(config, environ, Path(data))
    found = gather(names, flags, environ, file)
    if not (config or environ.get(CONFIG)) and found.get("data", NONE).source == str(file):
        raise SettingsError(
            f"{file}: data cannot be set in the file of the data folder: use --data, or --config with a file elsewhere"
        )
    return found


def _read(given: Mapping[str, Given]) -> Settings:
    hints = get_type_hints(Settings, include_extras=True)
    values = {name: read(name, hints[name], one.text, one.origin) for name, one in given.items()}
    found = Settings(**values)
    return msgspec.structs.replace(found, data=absolute(found.data), models=absolute(found.models))


class Shown(NamedTuple):
    """A setting as people see it."""

    name: str
    value: Any
    source: str
    help: str


def shown(
    flags: Mapping[str, str], environ: Mapping[str, str] = os.environ, config: str | None = None
) -> list[Shown]:
    """Every setting with its value, where that came from, and its help; secrets hidden."""
    found = given(flags, environ, config)
    settings = _read(found)
    return [
        Shown(name, public(name, getattr(settings, name)), found.get(name, NONE).source, text)
        for name, _, text in table()
    ]


def public(name: str, value: Any) -> Any:
    """The value, as it may be shown."""
    if name in SECRETS and value:
        return "(hidden)"
    return str(value) if isinstance(value, Path) else value


def table() -> list[tuple[str, str, str]]:
    """(name, default, help) of every setting, for help texts and the documentation."""
    defaults, hints = Settings(), get_type_hints(Settings, include_extras=True)
    return [
        (name, str(getattr(defaults, name)), str(hints[name].__metadata__[0].description))
        for name in Settings.__struct_fields__
    ]
