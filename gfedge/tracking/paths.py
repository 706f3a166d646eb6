"""What an artifact may be called. A path is a name within its run, never a path of this machine's file system. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

from gfedge import errors

MAX_PATH = 1000
MAX_PART_BYTES = 255
MAX_DEPTH = 32
DEVICES = re.compile(
    r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\..*)?", re.IGNORECASE
)
REFUSED = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
"""Characters that some system gives a meaning; with them nobody's download lands outside its folder."""


def checked(path: str) -> str:
    """The path itself; Invalid where a part of it could mean anything but a file of that name in a folder."""
    if len(path) > MAX_PATH:
        raise _refused(f"it is longer than {MAX_PATH} characters")
    parts = path.split("/")
    if len(parts) > MAX_DEPTH:
        raise _refused(f"it is deeper than {MAX_DEPTH} folders")
    for part in parts:
        _check(part)
    return path


def folder(path: str) -> str:
    """The path of a folder; the empty one is the run itself."""
    return checked(path.removesuffix("/")) if path else ""


def _check(part: str) -> None:
    if not part:
        raise _refused("it is absolute, or a part of it is empty")
    if (character := REFUSED.search(part)) is not None:
        raise _refused(f"{character.group()!r} cannot stand in it")
    if part in (".", "..") or _is_dots(unquote(part)):
        raise _refused("`.` and `..` are no names")
    if part[-1] in ". " or part[0] == " ":
        raise _refused(f"{part!r} begins or ends with a dot or a space")
    if DEVICES.fullmatch(part):
        raise _refused(f"{part!r} is the name of a device")
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        raise _refused("it is not text") from None
    if size > MAX_PART_BYTES:
        raise _refused(f"a part of it is longer than {MAX_PART_BYTES} bytes")


def _is_dots(part: str) -> bool:
    """A name that becomes a step upwards, or a path, when it is decoded once more."""
    return part in (".", "..") or "/" in part or "\\" in part or "\0" in part


def _refused(why: str) -> errors.Invalid:
    return errors.Invalid(
        f"the path of an artifact is refused: {why}", code="bad_artifact_path", field="path"
    )
