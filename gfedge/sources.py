"""Where settings are given: the file gfedge.toml, then the environment, then flags; the later wins."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gfedge.parsing import SettingsError

PREFIX = "GFEDGE_"
FILE = "gfedge.toml"
CONFIG = "GFEDGE_CONFIG"
WITHOUT_PREFIX = frozenset({"prometheus_url", "grafana_url", "grafana_api_key", "metrics_compat"})
"""Settings whose plain names other programs use as well: `GRAFANA_URL` means the same as `GFEDGE_GRAFANA_URL`."""
NOT_SETTINGS = frozenset(
    {
        CONFIG,
        "GFEDGE_FAULT",
        "GFEDGE_SERVER",
        "GFEDGE_TOKEN",
        "GFEDGE_TOKEN_FILE",
        *("GFEDGE_PUBLISH", "GFEDGE_NAMES", "GFEDGE_MEMORY"),
        *("GFEDGE_FUZZ", "GFEDGE_KILL_ROUNDS", "GFEDGE_KILL_SEED", "GFEDGE_LARGE", "GFEDGE_TWINS"),
        *("GFEDGE_PROMQL_TESTS", "GFEDGE_SCREENS", "GFEDGE_SHARED", "GFEDGE_SLOW"),
        *("GFEDGE_BINARY", "GFEDGE_SPARK_PYTHON"),
    }
)
"""Variables of the command line, of docker-compose.yml and of the tests; `GFEDGE_JOB_*` are those of trainers."""
LINK = re.compile(r"GFEDGE_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT_[0-9]+_(TCP|UDP|SCTP)\w*)")
LINKED = re.compile(r"(tcp|udp|sctp)://")
"""What Kubernetes sets in every container beside a service whose name begins with gfedge."""
LIVE = frozenset(
    {
        *(
            "allowed_host",
            "cors_origin",
            "frame_ancestors",
            "public_url",
            "log_level",
            "body_timeout",
        ),
        *("max_queue", "max_queued_megapixels", "max_running", "max_pixels", "max_images"),
        *("max_steps", "max_prompt", "max_wait", "shutdown_grace", "history_days", "history_size"),
        *("keep_job_days", "keep_jobs", "keep_job_bytes", "restore_days"),
        *("export_hours", "export_keep_days"),
        *("train_python", "train_max_running", "train_pause_queue", "train_nice", "train_grace"),
        *("train_gpu_memory", "train_lost_after", "vast_max_dollars", "vast_max_dollars_per_job"),
        "vast_start_seconds",
    }
)
"""What a reload changes, because it is read where it is used; the others wait for a restart."""
LISTS = frozenset({"allowed_host", "cors_origin", "rule_files"})
PATHS = frozenset(
    {
        *("data", "models", "export_dir", "cuda_dir"),
        *("admin_token_file", "receivers_file", "tls_cert", "tls_key"),
    }
)
"""Relative ones in the file start at its folder, as those of `rule_files` do; elsewhere at the current one."""


class Given(NamedTuple):
    """A value that somebody gave."""

    text: str
    source: str
    origin: str
    """What an error quotes."""


def gather(
    names: Iterable[str],
    flags: Mapping[str, str],
    environ: Mapping[str, str],
    file: Path | None,
) -> dict[str, Given]:
    """What was given for each setting, by the source that wins; raises SettingsError for a file that cannot be used."""
    known = tuple(names)
    environ = {name: text for name, text in environ.items() if not _linked(name, text)}
    if problems := unknown(known, environ):
        raise SettingsError("; ".join(problems))
    found = {} if file is None else _of_file(file, known)
    for name in known:
        plain = [name.upper()] if name in WITHOUT_PREFIX else []
        for variable in (*plain, f"{PREFIX}{name.upper()}"):
            if (text := environ.get(variable)) is not None:
                found[name] = _given(name, text, variable, f"{variable}={text}")
    for name, text in flags.items():
        flag = f"--{name.replace('_', '-')}"
        found[name] = _given(name, text, flag, f"{flag} {text}")
    return found


def _given(name: str, text: str, source: str, origin: str) -> Given:
    """What a variable or a flag gives, which no shell may have seen."""
    if name in PATHS - {"data", "models"} and text.startswith("~"):
        text = str(_expanded(Path(text)))
    return Given(text, source, origin)


def file_of(config: str | None, environ: Mapping[str, str], data: Path) -> Path | None:
    """The file to read: the one named, else gfedge.toml in the data folder, where there is one."""
    if named := config or environ.get(CONFIG):
        return absolute(Path(named))
    path = absolute(data) / FILE
    try:
        return path if path.exists() else None
    except OSError:
        return None


def absolute(path: Path) -> Path:
    """The path with `~` filled in, from the root on."""
    return _expanded(path, "name a folder with --data or GFEDGE_DATA").absolute()


def _expanded(path: Path, advice: str = "write the whole path") -> Path:
    """Raises SettingsError where nobody's home is known (an empty root, a bare container)."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise SettingsError(f"{path}: no home folder is known here: {advice}") from None


def _of_file(file: Path, known: tuple[str, ...]) -> dict[str, Given]:
    return {
        name: Given(_text(file, name, value), str(file), f"{file}: {name} = {_quoted(value)}")
        for name, value in _read(file).items()
        if _known(file, name, known)
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))  # Notepad begins with a mark.
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not TOML: {error}") from None


def _known(file: Path, name: str, known: tuple[str, ...]) -> bool:
    if name not in known:
        advice = nearest(name.lower().replace("-", "_"), known)
        raise SettingsError(f"{file}: {name} is not a setting: {advice}")
    return True


def _text(file: Path, name: str, value: object) -> str:
    """The value as a variable would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and name in LISTS and all(isinstance(one, str) for one in value):
        return _text(file, name, ",".join(value))
    if name == "rule_files" and isinstance(value, str):
        return ",".join(_below(file, one.strip()) for one in value.split(",") if one.strip())
    if not isinstance(value, str | int | float):
        listed = " or a list of texts" if name in LISTS else ""
        raise SettingsError(f"{file}: {name}: expected a text, a number, true or false{listed}")
    if name in PATHS and value:
        return _below(file, str(value))
    return str(value)


def _below(file: Path, path: str) -> str:
    return str(file.parent / _expanded(Path(path)))


def _quoted(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Which name was perhaps meant."""
    near = close(name, known)
    return f"did you mean {prefix}{near}?" if near else "`gfedge settings` lists them"


def close(name: str, known: Iterable[str]) -> str:
    """The nearest name, or nothing."""
    return next(iter(difflib.get_close_matches(name, list(known), 1)), "")


def _linked(name: str, text: str) -> bool:
    return bool(
        LINK.fullmatch(name)
        or (name.startswith(PREFIX) and name.endswith("_PORT") and LINKED.match(text))
    )


def unknown(names: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """A sentence for each `GFEDGE_*` variable that sets nothing, with the name that was perhaps meant."""
    known = [name.upper() for name in names]
    ours = sorted(
        name
        for name in environ
        if name.startswith(PREFIX)
        and not name.startswith("GFEDGE_JOB_")
        and name not in NOT_SETTINGS
    )
    return [
        f"{name} is not a setting: {nearest(name.removeprefix(PREFIX), known, PREFIX)}"
        for name in ours
        if name.removeprefix(PREFIX) not in known
    ]
