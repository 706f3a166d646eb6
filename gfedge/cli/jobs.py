"""`gfedge generate` and `gfedge superres`: send a job, wait for it, write its pictures."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gfedge.cli.client import NoServer, Server
from gfedge.cli.errors import INTERRUPTED, UNUSABLE, CommandError
from gfedge.cli.options import DEFAULT_SERVER
from gfedge.cli.progress import finish

SENT_AS_GIVEN = (
    "prompt", "negative_prompt", "style", "seed", "steps", "sampler", "guidance_scale", "strength", "n", "scale",
    "model", "experiment",
)  # fmt: skip
PICTURES = ("init_image", "mask", "palette_image")
TEXTS = (
    "prompt",
    "negative_prompt",
    "style",
    "outline",
    "model",
    "experiment",
    "palette",
    "background",
)
STDOUT = "-"
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}


def generate(args: argparse.Namespace) -> int:
    """Prompt to picture, or many of them."""
    prompts = None if args.prompts is None else read_prompts(args.prompts)
    if (prompts is None) == (args.prompt is None):
        raise CommandError("give a PROMPT, or --prompts FILE", UNUSABLE)
    check_output(args.output, (args.n or 1) * len(prompts or [""]))
    check_texts(args)
    if prompts is not None:
        return _batch(prompts, args)
    return _send("/api/v1/ai/generate", args)


def vary(args: argparse.Namespace) -> int:
    """Picture to others like it."""
    check_output(args.output, args.n)
    check_texts(args)
    return _send("/api/v1/ai/variations", args)


def superres(args: argparse.Namespace) -> int:
    """Picture to larger picture."""
    check_output(args.output, 1)
    check_texts(args)
    body = read_picture(args.image)
    query = {name: str(value) for name in ("scale", "mode", "model", "experiment")
             if (value := getattr(args, name)) is not None}  # fmt: skip
    if args.tileable:
        query["tileable"] = "true"
    return _do("/api/v1/ai/superres", body, media_type(body), query, args)


def _do(path: str, body: bytes, kind: str, query: dict[str, str], args: argparse.Namespace) -> int:
    """Send the job and see it through; the key makes sending it twice harmless."""
    with Server.of(args) as server:
        reply = server.post(path, body, media_type=kind, query=query, key=str(uuid.uuid4()))
        return _deliver(server, reply.json(), args)


def _send(path: str, args: argparse.Namespace) -> int:
    with Server.of(args) as server:
        body = json.dumps(parameters(args) | with_pictures(server, args)).encode()
        reply = server.post(path, body, media_type="application/json", key=str(uuid.uuid4()))
        return _deliver(server, reply.json(), args)


def _batch(prompts: list[str], args: argparse.Namespace) -> int:
    """A job for each prompt, its pictures written as it ends; they are numbered through, those that fail included."""
    with Server.of(args) as server:
        body = parameters(args) | with_pictures(server, args) | {"prompts": prompts}
        reply = server.post(
            "/api/v1/ai/generate/batch",
            json.dumps(body).encode(),
            media_type="application/json",
            key=str(uuid.uuid4()),
        )
        failures = _deliver_each(server, reply.json()["jobs"], prompts, args)
    _tell(failures)
    if failures:
        raise CommandError(f"{len(failures)} of {len(prompts)} prompts gave no picture")
    return 0


def _deliver_each(
    server: Server, jobs: list[dict[str, Any]], prompts: list[str], args: argparse.Namespace
) -> list[str]:
    """Every job as far as it goes; tells which prompts failed and why. A server that is gone ends it."""
    n = args.n or 1
    failures: list[str] = []
    paths = names(args.output, n * len(prompts))
    for number, (job, prompt) in enumerate(zip(jobs, prompts, strict=True)):
        try:
            _deliver(server, job, args, paths[number * n : (number + 1) * n])
        except CommandError as error:
            if isinstance(error, NoServer) or error.exit_code == INTERRUPTED:
                _tell(failures)
                raise
            failures.append(f'"{prompt}": {error}')
    return failures


def _tell(failures: list[str]) -> None:
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)


def read_prompts(name: str) -> list[str]:
    """The lines of a file, or of stdin for `-`, that say something."""
    try:
        text = read_picture(name, "prompt").decode()
    except UnicodeDecodeError:
        raise CommandError(
            f"{name} is not UTF-8 text: write a prompt in each line", UNUSABLE
        ) from None
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise CommandError(f"{name} holds no prompt: write one in each line", UNUSABLE)
    return found


def with_pictures(server: Server, args: argparse.Namespace) -> dict[str, str]:
    """What stands for the pictures that go with a request."""
    from gfedge.cli.pictures import sent

    given = {name: getattr(args, name, None) for name in PICTURES}
    return {name: sent(server, value) for name, value in given.items() if value}


def parameters(args: argparse.Namespace) -> dict[str, Any]:
    """The body of a generate request: what was given and nothing else, so that the server's defaults hold."""
    found: dict[str, Any] = {
        name: value for name in SENT_AS_GIVEN if (value := getattr(args, name)) is not None
    }
    if getattr(args, "tileable", False):
        found["tileable"] = True
    if args.outline is not None:
        found["outline"] = outline(args.outline)
    if args.palette is not None:
        found["palette"] = palette(args.palette)
    if getattr(args, "background", None) is not None:
        transparent = args.background == "transparent"
        found["background"] = "transparent" if transparent else colour(args.background)
    return found


def check_texts(args: argparse.Namespace) -> None:
    """Refuse what the shell gave in another encoding: Python holds such bytes as what no text can contain."""
    for name in TEXTS:
        try:
            str(getattr(args, name, None) or "").encode()
        except UnicodeEncodeError:
            words = name.replace("_", " ")
            text = f"the {words} is not UTF-8 text: set the terminal, or the program that calls, to UTF-8"
            raise CommandError(text, UNUSABLE) from None


def palette(text: str) -> int | list[str]:
    """`16`, or `ff0000,203040`."""
    if text.isascii() and text.isdigit() and len(text) < 6:
        return int(text)
    return [colour(part) for part in text.split(",")]


def outline(text: str) -> dict[str, Any]:
    """`000000`, or `000000:2`."""
    line, colon, width = text.partition(":")
    if colon and not (width.isascii() and width.isdigit()):
        raise CommandError(f"{text!r} is no outline: write one as 000000:2", UNUSABLE)
    return {"colour": colour(line)} | ({"width": int(width)} if colon else {})


def colour(text: str) -> str:
    """`#rrggbb` from `rrggbb` with or without its `#`, which a shell would take for a comment."""
    if not re.fullmatch(r"#?[0-9a-fA-F]{6}", text.strip()):
        raise CommandError(f"{text!r} is not a colour: write one as ff8800", UNUSABLE)
    return "#" + text.strip().lstrip("#").lower()


def media_type(body: bytes) -> str:
    """What a picture is by its first bytes; the server says if it takes it."""
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    kinds = (kind for start, kind in SIGNATURES.items() if body.startswith(start))
    return next(kinds, "application/octet-stream")


def read_picture(name: str, what: str = "picture") -> bytes:
    """The bytes of a file, or of stdin for `-`."""
    try:
        body = sys.stdin.buffer.read() if name == STDOUT else Path(name).read_bytes()
    except OSError as error:
        text = f"cannot read {name}: {error.strerror or error}"
        raise CommandError(text, UNUSABLE) from None
    if not body:
        raise CommandError(f"{name} is empty: it holds no {what}", UNUSABLE)
    return body


def check_output(name: str, count: int) -> None:
    """Refuse before any work is done what could not be written after it."""
    if name == STDOUT:
        if count > 1:
            raise CommandError("-o - writes one picture: leave out -n, or name a file", UNUSABLE)
        if sys.stdout.isatty():
            text = "a picture is not written to a terminal: use -o FILE, or a pipe"
            raise CommandError(text, UNUSABLE)
        return
    path = Path(name)
    if _is_special(path):
        if count > 1:
            text = f"{name} is not a regular file and takes one picture: leave out -n"
            raise CommandError(text, UNUSABLE)
        if not os.access(path, os.W_OK):
            raise CommandError(f"{name} cannot be written to", UNUSABLE)
        return
    if path.suffix.lower() not in (".png", ""):
        text = f"gfedge writes PNG: name the output {path.with_suffix('.png')}"
        raise CommandError(text, UNUSABLE)
    if path.is_dir():
        raise CommandError(f"{name} is a folder: name a file, as {path / 'out.png'}", UNUSABLE)
    folder = _target(path).parent
    if not folder.is_dir():
        text = f"the folder {folder} does not exist: make it first (mkdir -p {folder})"
        raise CommandError(text, UNUSABLE)
    if not os.access(folder, os.W_OK):
        raise CommandError(f"the folder {folder} cannot be written to", UNUSABLE)


def names(output: str, count: int) -> list[Path]:
    """One name for each picture: x.png, or x-1.png, x-2.png."""
    path = Path(output)
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{i}{path.suffix}") for i in range(1, count + 1)]


def _is_special(path: Path) -> bool:
    """Whether there is a device, a FIFO or a socket under this name."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _target(path: Path) -> Path:
    """The file itself where the name is a link."""
    return path.resolve() if path.is_symlink() else path


def write_atomically(path: Path, body: bytes) -> None:
    """All of the file or nothing of it; an older one is there until the new one is whole.

    A link stays and what it points to is written; a device or a FIFO is written to.
    """
    if _is_special(path):
        path.write_bytes(body)
        return
    target = _target(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except BaseException:
        temporary.unlink()
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _deliver(
    server: Server, job: dict[str, Any], args: argparse.Namespace, paths: list[Path] | None = None
) -> int:
    """Wait, warn, fetch, write (to these files, or where `-o` says), and say what was made."""
    if not job.get("id"):
        raise CommandError(f"{server.address} took the job but gave no id: is this gfedge?")
    job = finish(server, job)
    _warn_of_words(job)
    outputs: list[dict[str, Any]] = job.get("outputs") or []
    if not outputs:
        raise CommandError(f"job {job['id']} succeeded but has no pictures: see the server's log")
    if args.output == STDOUT:
        sys.stdout.buffer.write(fetch(server, outputs[0]))
        sys.stdout.buffer.flush()
        _describe(job, outputs, [Path(STDOUT)], args.server, sys.stderr)
        return 0
    paths = paths or names(args.output, len(outputs))
    for path, output in zip(paths, outputs, strict=True):
        save(path, fetch(server, output), job)
    _describe(job, outputs, paths, args.server, sys.stdout)
    return 0


def fetch(server: Server, output: dict[str, Any]) -> bytes:
    """The bytes of an output, checked against their digest."""
    path = urlsplit(str(output.get("url") or "")).path or f"/api/v1/assets/{output['sha256']}"
    body = server.get(path).body
    if hashlib.sha256(body).hexdigest() != output["sha256"]:
        raise CommandError(f"the picture {path} came back damaged (its sha256 differs): try again")
    return body


def save(path: Path, body: bytes, job: dict[str, Any]) -> None:
    try:
        write_atomically(path, body)
    except OSError as error:
        text = f"cannot write {path}: {error.strerror or error}; the server keeps job {job['id']}"
        raise CommandError(text) from None


def _warn_of_words(job: dict[str, Any]) -> None:
    dropped = [str(word) for word in job.get("dropped_words") or []]
    unknown, undocumented = (
        [str(word) for word in job.get(kind) or [] if str(word) not in dropped]
        for kind in ("unknown_words", "undocumented_words")
    )
    for said, words, effect in (
        ("has not learned", unknown, "it goes by their parts"),
        ("was not found to draw", undocumented, "they may not show"),
        ("had no use for", dropped, "they changed nothing"),
    ):
        if words:
            print(f"warning: the model {said}: {', '.join(words)} ({effect})", file=sys.stderr)
    for word, near in (job.get("suggestions") or {}).items():
        if near:
            print(f"         near {word}: {', '.join(near)}", file=sys.stderr)


def _describe(
    job: dict[str, Any], outputs: list[dict[str, Any]], paths: list[Path], address: str, out: Any
) -> None:
    for number, (path, output) in enumerate(zip(paths, outputs, strict=True)):
        seed = None if job.get("seed") is None else job["seed"] + number
        facts = [f"{output.get('width')}x{output.get('height')}"]
        facts += [f"seed {seed}"] if seed is not None else []
        score = output.get("seam_score")
        facts += [f"seam score {score:.2f}"] if isinstance(score, int | float) else []
        facts += [model] if (model := _model(job)) else []
        print(f"{path}  {'  '.join(facts)}", file=out)
    print(f"trace: {trace_command(job, paths[0], address)}", file=out)


def _model(job: dict[str, Any]) -> str:
    model = job.get("model")
    if not isinstance(model, dict) or not model.get("name"):
        return ""
    digest = f" (sha256 {str(model['digest'])[:12]})" if model.get("digest") else ""
    return f"{model['name']}@{model.get('version')}{digest}"


def trace_command(job: dict[str, Any], path: Path, address: str) -> str:
    """The command that shows where the picture came from."""
    subject = str(job["id"]) if str(path) == STDOUT else str(path)
    where = [] if address == DEFAULT_SERVER else ["--server", address]
    return shlex.join(["gfedge", "trace", subject, *where])
