"""Model folders: `models/<name>/<version>/` with a model.toml and the files it names, read and verified.

A folder is refused, with a text that says why and what to do, if anything in it is not what model.toml promises:
a digest, a name, a missing file, data or code from outside the folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args

from gfedge.inference import manifest
from gfedge.inference.scan import ScanError, scan
from gfedge.inference.types import Kind, ModelFolder, ModelRefused, Sampler
from gfedge.inference.words import Vocabulary, split

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
SHA256 = re.compile(r"[0-9a-f]{64}")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
LIBRARY_KEY = re.compile(r"custom.?op|op.?librar")
LIBRARY_FILE = re.compile(r"\.(so|dll|dylib|pyd)(\.|$)", re.IGNORECASE)
DOMAINS = frozenset({"", "ai.onnx.ml", "com.microsoft"})
"""Operators of ONNX and of ONNX Runtime itself ("ai.onnx" is another name of "")."""
REFUSED_OPS = frozenset({("com.microsoft", "EPContext")})
"""Loads a compiled blob from a path of the node's choosing."""
NUMBERS: dict[Kind, dict[str, dict[str, range | tuple[int, ...]]]] = {
    "superres": {
        "pipeline": {"scale": range(4, 5), "radius": range(257)},
        "defaults": {"scale": (2, 3, 4, 8)},
        "limits": {"max_pixels": range(1, 1 << 40)},
    },
    "generate": {
        "pipeline": {"size": range(8, 257), "channels": range(4, 5)},
        "defaults": {"steps": range(1, 1001), "palette": range(2, 257)},
        "limits": {
            "max_steps": range(1, 1001),
            "max_batch": range(1, 1025),
            "max_guidance": range(1, 31),
        },
    },
}
"""Numbers of model.toml by section, and what they may be."""
REQUIRED: dict[str, tuple[str, ...]] = {
    "generate": ("model.onnx", "vocab.json"),
    "superres": ("model.onnx",),
}
MAX_FILE_BYTES = 2 << 30
MAX_GOLDEN = 16
MAX_EXPANDED_NODES = 200_000


def folders(models: Path) -> list[Path]:
    """The folders `<name>/<version>` that hold a model, or what was meant to be one: a graph without a model.toml."""
    found = {
        path.parent for what in ("model.toml", "*.onnx") for path in models.glob(f"*/*/{what}")
    }
    return sorted(
        path for path in found if not any(part.startswith(".") for part in path.parts[-2:])
    )


def read_folder(path: Path) -> ModelFolder:
    """Read and verify one folder. Raises ModelRefused; never anything else for what a folder may hold."""
    where = "/".join(path.parts[-3:])
    try:
        return _read(path)
    except ModelRefused as error:
        raise ModelRefused(f"{where}: {error}") from None
    except OSError as error:
        raise ModelRefused(f"{where}: cannot be read: {error.strerror or error}") from error
    except (
        Exception
    ) as error:  # one folder, whatever it holds, must not keep the others from loading
        raise ModelRefused(f"{where}: cannot be read: {type(error).__name__}: {error}") from error


def graph_bytes(folder: ModelFolder, name: str) -> bytes:
    """The bytes of one of the folder's files, hashed again as they are read: what is loaded is what was verified."""
    try:
        data = (folder.path / name).read_bytes()
    except OSError as error:
        raise ModelRefused(f"{name} cannot be read: {error.strerror or error}") from error
    _check_digest(name, folder.files[name], hashlib.sha256(data).hexdigest())
    return data


def vocabulary_of(folder: ModelFolder) -> Vocabulary:
    """The words of a generate model, with those that it documents and those of its styles."""
    styled = split(" ".join(str(style.get("words", "")) for style in folder.styles.values()))
    documented = folder.vocabulary.get("documented", [])
    return Vocabulary.loads(graph_bytes(folder, "vocab.json"), documented, styled)


def external_files(folder: ModelFolder) -> list[str]:
    """Files that hold tensors of the graphs: those that are neither a graph, a vocabulary nor a golden picture."""
    return [name for name in folder.files if not name.endswith((".onnx", ".json", ".png"))]


def _read(path: Path) -> ModelFolder:
    table = manifest.read(path)
    name, version, kind = _identity(table, path)
    files = _files(table, kind)
    training, dataset = _table(table, "training"), _table(table, "dataset")
    for section, origin in (("training", training), ("dataset", dataset)):
        if not isinstance(origin.get("name", ""), str):
            raise ModelRefused(f"[{section}] name in model.toml must be a text")
    _refuse_libraries(table, files)
    _check_numbers(kind, table)
    size = sum(_verify(path, file, digest, files) for file, digest in files.items())
    return ModelFolder(
        name=name,
        version=version,
        kind=kind,
        path=path,
        digest=folder_digest(files),
        files=files,
        bytes=size,
        title=_text(table, "title"),
        description=_text(table, "description"),
        licence=_text(table, "licence"),
        source=_text(table, "source"),
        created_at=_text(table, "created_at"),
        inputs=_table(table, "inputs"),
        defaults=_table(table, "defaults"),
        limits=_table(table, "limits"),
        pipeline=_table(table, "pipeline"),
        training=training,
        dataset=dataset,
        metrics=_metrics(table),
        evaluation=_table(table, "evaluation"),
        styles=_styles(table),
        vocabulary=_vocabulary(table),
        golden=_golden(table, files),
    )


def folder_digest(files: dict[str, str]) -> str:
    """One digest for a whole folder: sha256 over its sorted "<sha256>  <name>" lines, as sha256sum writes them."""
    lines = sorted(f"{digest}  {name}\n" for name, digest in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _identity(table: dict[str, Any], path: Path) -> tuple[str, str, Kind]:
    name, version, kind = (_text(table, key) for key in ("name", "version", "kind"))
    if not NAME.fullmatch(name) or not NAME.fullmatch(version):
        raise ModelRefused(
            "name and version in model.toml are made of small letters, digits, '.', '_' and '-'"
        )
    if (path.parent.name, path.name) != (name, version):
        raise ModelRefused(
            f"model.toml says {name}/{version}: rename the folder, or correct name and version"
        )
    if kind not in get_args(Kind):
        known = ", ".join(get_args(Kind))
        raise ModelRefused(f"kind {kind!r} is not known: one of {known}")
    return name, version, cast("Kind", kind)


def _text(table: dict[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise ModelRefused(f"{key} in model.toml must be a text")
    return value


def _table(table: dict[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise ModelRefused(f"[{key}] in model.toml must be a table")
    return value


def _files(table: dict[str, Any], kind: Kind) -> dict[str, str]:
    files = _table(table, "files")
    for name, digest in files.items():
        if not FILE_NAME.fullmatch(name):
            raise ModelRefused(f"[files] names {name!r}: only plain names of files in the folder")
        if not isinstance(digest, str) or not SHA256.fullmatch(digest):
            raise ModelRefused(f"[files] {name} needs its sha256 as 64 small hex digits")
    for name in REQUIRED[kind]:
        if name not in files:
            raise ModelRefused(f"a {kind} model needs {name}: name it in [files] with its sha256")
    return files


def _metrics(table: dict[str, Any]) -> dict[str, float]:
    metrics = _table(table, "metrics")
    for name, value in metrics.items():
        if type(value) not in (int, float):
            raise ModelRefused(f"[metrics] {name:.80} in model.toml must be a number")
    return {name: float(value) for name, value in metrics.items()}


def _styles(table: dict[str, Any]) -> dict[str, Any]:
    """[styles] of a generate model: by name, `words` that join the prompt, and a `palette` and `outline` by default."""
    styles = _table(table, "styles")
    for name, style in styles.items():
        known = isinstance(style, dict) and style.keys() <= {"words", "palette", "outline"}
        if not NAME.fullmatch(name) or not known:
            raise ModelRefused(
                f"[styles] {name:.80}: small letters as its name, and a table of words, palette and outline"
            )
        _check_style(name, style)
    return styles


def _check_style(name: str, style: dict[str, Any]) -> None:
    palette, outline = style.get("palette", 16), style.get("outline", "#000000")
    if not isinstance(style.get("words", ""), str):
        raise ModelRefused(f"[styles] {name}: words must be a text")
    if not (type(palette) is int and 2 <= palette <= 256) and not _are_colours(palette):
        raise ModelRefused(f"[styles] {name}: palette is 2 to 256, or so many colours as #rrggbb")
    if not _are_colours([outline]):
        raise ModelRefused(f"[styles] {name}: outline is a colour as #rrggbb")


def _are_colours(values: Any) -> bool:
    if not isinstance(values, list) or not 1 <= len(values) <= 256:
        return False
    return all(isinstance(value, str) and COLOUR.fullmatch(value) for value in values)


def _vocabulary(table: dict[str, Any]) -> dict[str, Any]:
    vocabulary = _table(table, "vocabulary")
    words = vocabulary.get("documented", [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ModelRefused("[vocabulary] documented in model.toml must be a list of words")
    return vocabulary


def _golden(table: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
    """[golden] `prompts` of a generate model; `pictures` of a superres model, each a PNG of the folder that is enlarged."""
    golden = _table(table, "golden")
    for key in ("prompts", "pictures"):
        values = golden.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ModelRefused(f"[golden] {key} must be a list of texts")
        if len(values) > MAX_GOLDEN:
            raise ModelRefused(f"[golden] {key} has more than {MAX_GOLDEN} entries")
    for name in golden.get("pictures", []):
        if name not in files or not name.endswith(".png"):
            raise ModelRefused(f"[golden] names {name!r:.80}: a PNG that stands in [files]")
    return golden


def _refuse_libraries(table: dict[str, Any], files: dict[str, str]) -> None:
    """Custom-op libraries run code of their own when loaded; no folder may bring one."""
    for key in _keys(table):
        if LIBRARY_KEY.search(key.lower()):
            raise ModelRefused(
                f"model.toml names a custom-op library ({key}): these are not loaded"
            )
    for name in files:
        if LIBRARY_FILE.search(name):
            raise ModelRefused(f"{name} is a program library: these are not loaded")


def _keys(table: dict[str, Any]) -> Iterator[str]:
    """The names in a table and in all that is nested in it."""
    stack: list[Any] = [table]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            yield from value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _check_numbers(kind: Kind, table: dict[str, Any]) -> None:
    """What the engine and the limits compute with; the pipeline's own numbers must be there, the others may."""
    for section, wanted in NUMBERS[kind].items():
        found = _table(table, section)
        for key, allowed in wanted.items():
            if key not in found and section != "pipeline":
                continue
            value = found.get(key)
            if type(value) is not int or value not in allowed:
                a_range = f"a whole number from {allowed[0]} to {allowed[-1]}"
                choice = f"one of {', '.join(map(str, allowed[:8]))}"
                said = a_range if isinstance(allowed, range) else choice
                raise ModelRefused(f"[{section}] {key} must be {said}")
    guidance = _table(table, "defaults").get("guidance_scale", 1.0)
    if type(guidance) not in (int, float) or not 0 <= guidance <= 30:
        raise ModelRefused("[defaults] guidance_scale must be a number from 0 to 30")
    if (sampler := _table(table, "defaults").get("sampler", "euler")) not in get_args(Sampler):
        known = ", ".join(get_args(Sampler))
        raise ModelRefused(f"[defaults] sampler is {sampler!r:.80}: one of {known}")
    for role, name in _table(table, "inputs").items():
        if not isinstance(name, str):
            raise ModelRefused(f"[inputs] {role} must be a text, the name of a graph's input")


def _verify(path: Path, name: str, digest: str, files: dict[str, str]) -> int:
    """Check one file's place, digest and, for a graph, its contents; gives its size in bytes."""
    file = path / name
    if not file.is_file():
        raise ModelRefused(f"{name} is missing: restore the file")
    if file.resolve().parent != path.resolve():
        raise ModelRefused(f"{name} is a link that leaves the folder: put the file itself there")
    size = file.stat().st_size
    if not name.endswith(".onnx"):
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        _check_digest(name, digest, found)
        return size
    if size > MAX_FILE_BYTES:
        raise ModelRefused(f"{name} is larger than 2 GiB: keep its tensors in a file of their own")
    data = file.read_bytes()
    _check_digest(name, digest, hashlib.sha256(data).hexdigest())
    _check_graph(name, data, files)
    return size


def _check_digest(name: str, expected: str, found: str) -> None:
    if expected != found:
        raise ModelRefused(
            f"{name} does not match its digest (expected {expected[:8]}…, found {found[:8]}…):"
            " restore the file or make a new version folder"
        )


def _check_graph(name: str, data: bytes, files: dict[str, str]) -> None:
    """Refuse a graph that wants data or operators from outside its folder."""
    try:
        seen = scan(data)
    except ScanError as error:
        raise ModelRefused(f"{name} cannot be loaded: {error}") from None
    for location in sorted(seen.locations):
        if not FILE_NAME.fullmatch(location):
            raise ModelRefused(f"{name} keeps data at {location!r:.200}, outside its folder")
        if location not in files:
            raise ModelRefused(
                f"{name} keeps data in {location}: name that file in [files] with its sha256"
            )
    for domain, op in sorted(seen.ops):
        if domain not in DOMAINS or (domain, op) in REFUSED_OPS:
            raise ModelRefused(
                f"{name} uses the operator {op!r:.80} of {domain!r:.80}, which ONNX Runtime itself does not"
                " have: export it with standard operators"
            )
    if seen.expanded_nodes > MAX_EXPANDED_NODES:
        raise ModelRefused(
            f"{name} grows to {seen.expanded_nodes:,} nodes when its functions are put in place:"
            f" at most {MAX_EXPANDED_NODES:,} are loaded"
        )
