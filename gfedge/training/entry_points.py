"""Entry points: what may be trained, declared by whoever owns the server in `training.toml` in the data folder.

A request names one and gives values for its parameters; it never brings a command. docs/training.md tells the format.
"""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from gfedge import errors, outside
from gfedge.settings import Settings
from gfedge.training.types import Backend, EntryParam, EntryPoint, Scalar

FILE = "training.toml"
TOOLS = Path(__file__).resolve().parents[2] / "tools"
"""Shipped trainers, which a source tree has and an installed package has not."""
PLACES = frozenset({"python", "work", "checkpoints", "export"})
"""What a command may name besides its parameters."""
LOOK_SECONDS = 60.0
MINUTES = EntryParam(
    type="float", default=5.0, min=0.05, max=600, help="at most, for the training of a judge"
)
_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_place = re.compile(r"\{(\w+)\}")
_control = re.compile(r"[\x00-\x1f\x7f]")
_types: dict[str, type] = {"int": int, "float": float, "bool": bool}
"""Of the others a value is a text."""


class Rented(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How an entry point runs on a rented machine."""

    image: str
    onstart: str
    """Shell script that fetches the trainer and runs it; it finds `GFEDGE_JOB_*` in its environment."""
    env: dict[str, str] = {}
    disk_gb: float = 20
    gpu_memory_gb: float = 8
    max_dollars_per_hour: float = 0.5


class Declared(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One entry point as it stands in training.toml."""

    title: str = ""
    command: list[str] = []
    cwd: str = ""
    env: dict[str, str] = {}
    params: dict[str, EntryParam] = {}
    resume: list[str] | None = None
    """Arguments that a start after the first gets; without them a job does not go on after a restart."""
    export: str = "export"
    """Folder, within the job's own, where the trainer leaves a model."""
    nice: int | None = None
    max_seconds: float = 0
    max_memory_gb: float = 0
    gpu_memory_gb: float = 0
    evaluates: str = ""
    """The parameter with the model version whose figures it leaves in evaluation.json in `export`."""
    requires: list[str] = []
    """Python modules that `{python}` must have."""
    rented: Rented | None = None


class _File(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    entry_points: dict[str, Declared] = {}


class Refused(errors.Unavailable):
    """training.toml, or one of its entry points, cannot be used."""

    code = "training_toml_invalid"


def read(settings: Settings) -> dict[str, Declared]:
    """What is declared now, by name; raises Refused. Read anew each time, so that no restart is needed."""
    path = settings.data / FILE
    found = {"evaluate": evaluate(settings)}
    if (TOOLS / "sprites").is_dir():
        found = {"sprites": sprites(settings), **found}
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return found
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {error}") from None
    try:
        declared = msgspec.convert(tomllib.loads(text), _File).entry_points
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Refused(f"{path}: {error}") from None
    for name, entry in declared.items():
        if problem := _problem(name, entry):
            raise Refused(f"{path}: entry point {name!r}: {problem}")
    return {**found, **declared}


def find(settings: Settings, name: str) -> Declared:
    """The entry point of that name; Invalid where there is none."""
    known = read(settings)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    what = f"no {name!r} is declared" if name else "it must be given"
    raise errors.Invalid(
        f"entry_point: {what}, there are: {', '.join(known) or 'none'}{meant} "
        f"({FILE} in the data folder declares more)",
        code="unknown_entry_point",
        field="entry_point",
    )


def shown(settings: Settings) -> list[EntryPoint]:
    """Every entry point as clients see it, each with why it cannot be started, if so."""
    return [
        EntryPoint(
            name=name,
            title=entry.title,
            backends=backends(entry),
            params=entry.params,
            resumes=entry.resume is not None,
            problem=missing(settings, name, entry),
        )
        for name, entry in read(settings).items()
    ]


def without_roots(entry: EntryPoint) -> EntryPoint:
    """As those see it who do not administer the machine."""
    return replace(entry, params={k: replace(p, root="") for k, p in entry.params.items()})


def backends(entry: Declared) -> list[Backend]:
    return [*(["local"] if entry.command else []), *(["vastai"] if entry.rented else [])]  # type: ignore[list-item]


def python(settings: Settings) -> str:
    """The interpreter of trainers; empty in the single binary, which has none to lend."""
    return settings.train_python or ("" if getattr(sys, "frozen", False) else sys.executable)


def missing(settings: Settings, name: str, entry: Declared) -> str:
    """What has to be installed before it can be started; asks the interpreter that would run it."""
    if not entry.requires:
        return ""
    look = (
        "import sys, importlib.util as u; print(*(m for m in sys.argv[1:] if not u.find_spec(m)))"
    )
    interpreter = python(settings)
    if not interpreter:
        return f"{name!r} needs a Python with {', '.join(entry.requires)}: name one in the setting train_python"
    try:
        found = subprocess.run(
            [interpreter, "-c", look, *entry.requires],
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
            env=outside.environment(),
            timeout=LOOK_SECONDS,
        ).stdout.split()
    except (OSError, subprocess.SubprocessError) as error:
        return f"{interpreter} does not run ({error}): check the setting train_python"
    if not found:
        return ""
    return (
        f"{name!r} needs {', '.join(found)}, which {interpreter} does not have: run "
        f"`{interpreter} -m pip install {' '.join(found)}`, or name another Python in the setting train_python "
        "(GFEDGE_TRAIN_PYTHON)"
    )


def checked(entry: Declared, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The values of all parameters; Invalid where one is unknown, missing, of another type or out of range."""
    for name in given:
        if name not in entry.params:
            near = difflib.get_close_matches(name, entry.params, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise invalid(
                name, f"is not a parameter; there are: {', '.join(entry.params) or 'none'}{meant}"
            )
    return {
        name: _value(name, param, given.get(name, param.default))
        for name, param in entry.params.items()
    }


def command(
    entry: Declared, params: Mapping[str, Scalar], places: Mapping[str, str], *, resumed: bool
) -> list[str]:
    """The arguments to start; each placeholder becomes part of one argument, whatever its value is."""
    values = {**{name: _text(value) for name, value in params.items()}, **places}
    arguments = [*entry.command, *(entry.resume or [] if resumed else [])]
    return [_place.sub(lambda m: values[m[1]], argument) for argument in arguments]


def sprites(settings: Settings) -> Declared:
    """The shipped sprite trainer."""
    return Declared(
        title="The sprite generator: prompts to 32x32 sprites (tools/sprites)",
        command=[
            *("{python}", "-m", "sprites.train", "--data", "{data}", "--run", "{checkpoints}"),
            *("--device", "{device}", "--steps", "{steps}", "--batch", "{batch}"),
            *("--rate", "{rate}", "--seed", "{seed}", "--sheet-every", "{sheet_every}"),
            *("--channels", "{channels}", "--evaluate", "{evaluate}"),
            *("--judge", "{judge}", "--judge-minutes", "{judge_minutes}"),
        ],
        env={"PYTHONPATH": f"{TOOLS}:{TOOLS.parent}"},
        params={
            "data": EntryParam(
                type="path",
                root=str(settings.data / "datasets"),
                help="a set of `gfedge dataset build`, in <data folder>/datasets",
            ),
            "device": EntryParam(default="auto", choices=["auto", "cpu", "cuda"]),
            "steps": EntryParam(type="int", default=6600, min=1, max=10_000_000),
            "batch": EntryParam(type="int", default=64, min=1, max=4096),
            "rate": EntryParam(type="float", default=1e-3, min=0, max=1),
            "seed": EntryParam(type="int", default=1, min=0, max=(1 << 31) - 1),
            "channels": EntryParam(
                default="48,80,112",
                pattern=r"\d{2,4}(,\d{2,4}){2}",
                help="of the net's three levels, multiples of 16: 64,96,128 has 4.7 million parameters",
            ),
            "sheet_every": EntryParam(
                type="float",
                default=420,
                min=0,
                max=1e9,
                help="seconds from one contact sheet to the next",
            ),
            "evaluate": EntryParam(
                type="bool",
                default=True,
                help="at the end, for a score by which versions are compared",
            ),
            "judge": _judge(settings, "empty: one is trained on the set"),
            "judge_minutes": MINUTES,
        },
        resume=[],
        requires=["torch", "numpy", "PIL"],
    )


def evaluate(settings: Settings) -> Declared:
    """Gives a version that is registered its score; needs torch only where a judge has to be trained."""
    in_tree = TOOLS.is_dir()  # else the package is where the trainer's Python has it
    return Declared(
        title="The score of a sprite generator that is registered, by a judge (gfedge/evaluation)",
        command=[
            *("{python}", "-m", "gfedge.evaluation", "--model", "{model}"),
            *("--judge", "{judge}", "--data", "{data}", "--minutes", "{judge_minutes}"),
        ],
        env={"PYTHONPATH": str(TOOLS.parent)} if in_tree else {},
        params={
            "model": EntryParam(type="model", help="the version that gets a score: sprite@2"),
            "judge": _judge(
                settings, "empty: the one in the version's folder, or one is trained on `data`"
            ),
            "data": EntryParam(
                type="path",
                default="",
                root=str(settings.data / "datasets"),
                help="the set that it was trained on: for a judge, and to see how much it copies",
            ),
            "judge_minutes": MINUTES,
        },
        resume=[],
        evaluates="model",
        requires=["msgspec", "numpy", "onnxruntime", "PIL", *([] if in_tree else ["gfedge"])],
    )


def _judge(settings: Settings, otherwise: str) -> EntryParam:
    return EntryParam(
        type="judge",
        default="",
        root=str(settings.data / "datasets"),
        help=f"a version whose judge to take (studio@1), or a folder in <data folder>/datasets; {otherwise}",
    )


# Inside


def _problem(name: str, entry: Declared) -> str:
    """What is wrong with a declaration."""
    if not _name.fullmatch(name):
        return "its name may hold letters, digits, `.`, `_` and `-`"
    if not entry.command and entry.rented is None:
        return "it needs a `command`, or a `rented` table"
    if Path(entry.export).is_absolute() or ".." in Path(entry.export).parts or not entry.export:
        return "`export` is a folder within the job's own"
    for argument in [*entry.command, *(entry.resume or [])]:
        for place in _place.findall(argument):
            if place not in PLACES and place not in entry.params:
                return f"{argument!r} names {{{place}}}, which is no parameter of it"
    if entry.evaluates and getattr(entry.params.get(entry.evaluates), "type", "") != "model":
        return f"`evaluates` names {entry.evaluates!r}, which is no parameter of type model"
    for key, param in entry.params.items():
        if param.type == "path" and not param.root:
            return f"parameter {key!r} is a path and needs a `root` that it lies in"
        if param.default is not None and param.type != "path":
            try:
                _value(key, param, param.default)
            except errors.Invalid as error:
                return f"its default is refused: {error.detail}"
    return ""


def _value(name: str, param: EntryParam, value: Scalar | None) -> Scalar:
    if value is None:
        raise invalid(name, f"must be given{f': {param.help}' if param.help else ''}")
    kind = _types.get(param.type, str)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise invalid(name, f"expected {_words[param.type]}, got {value!r}")
    if param.choices and value not in param.choices:
        raise invalid(name, f"expected one of {', '.join(map(str, param.choices))}")
    if isinstance(value, str):
        return path(name, param, value) if param.type == "path" else _string(name, param, value)
    if (param.min is not None and not value >= param.min) or (
        param.max is not None and not value <= param.max
    ):
        raise invalid(name, f"{value} is out of its range, {_range(param)}")
    return value


_words = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "path": "a path",
    "model": "a model version (sprite@2)",
    "judge": "a model version whose judge to take (sprite@2), or the folder of one",
}


def _string(name: str, param: EntryParam, value: str) -> str:
    if len(value) > param.max_length:
        raise invalid(name, f"is longer than {param.max_length} characters")
    if _control.search(value) or value.startswith("-"):
        raise invalid(name, "may not begin with `-` nor hold control characters")
    if param.pattern and not re.fullmatch(param.pattern, value):
        raise invalid(name, f"does not match {param.pattern}")
    return value


def path(name: str, param: EntryParam, value: str) -> str:
    """An existing file or folder below the parameter's root, links followed; none where it may be left out."""
    if value == param.default == "":
        return value
    root = Path(param.root).expanduser().resolve()
    try:
        found = (root / value).resolve()
    except (OSError, ValueError, RuntimeError):
        raise invalid(name, "is no path") from None
    if not found.is_relative_to(root):
        raise invalid(name, "leads out of the folder that is allowed for it")
    if not found.exists():
        raise invalid(name, f"{value!r} is not in {root}")
    return str(found)


def _range(param: EntryParam) -> str:
    low = "" if param.min is None else f"from {param.min:g} "
    return f"{low}{'up' if param.max is None else f'to {param.max:g}'}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def invalid(name: str, why: str) -> errors.Invalid:
    return errors.Invalid(f"params.{name}: {why}", code="bad_param", field=f"params.{name}")
