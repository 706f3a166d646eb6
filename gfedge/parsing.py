"""What the text of a setting means, from a variable or a flag, and what is said of a text that means nothing."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

SIZES = frozenset(
    {
        "max_artifact",
        "max_body",
        "max_model",
        "max_job_memory",
        "max_memory",
        "model_memory",
        "database_memory",
        "gpu_memory",
        "min_free_disk",
        "history_size",
        "train_memory",
        "train_gpu_memory",
        "train_max_log",
        "keep_job_bytes",
    }
)
"""The settings in bytes, which may be written as 64M or 2GiB."""
SIZE = re.compile(r"([0-9]{1,12}) ?([KMG])(?:iB)?", re.IGNORECASE | re.ASCII)
LARGEST = 1 << 50
"""A PiB: past it libraries count wrong, and say that the database is broken."""
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
ADDRESSES = frozenset({"prometheus_url", "grafana_url", "public_url", "vast_url"})
ADDRESS = re.compile(r"(https?://[^\s/?#@]+(/[^\s?#]*)?)?", re.IGNORECASE | re.ASCII)


class SettingsError(ValueError):
    """A setting that cannot be used; the text names it and says what is accepted."""


def read(name: str, hint: Any, text: str, origin: str) -> Any:
    """The value that a text means; raises SettingsError, which says where the text came from and what is accepted."""
    kind, limits = hint.__origin__, hint.__metadata__[0]
    value: object = text
    if get_origin(kind) is Literal:
        value = next((choice for choice in get_args(kind) if choice.lower() == text.lower()), text)
    elif name in SIZES and (size := SIZE.fullmatch(text)):
        value = int(size[1]) * UNITS[size[2].upper()]
    try:
        if kind is Path and text:
            return Path(text)
        found = msgspec.convert(value, hint, strict=False)
        if isinstance(found, float) and not math.isfinite(found):
            raise ValueError("not a number")
        if name in SIZES and found > LARGEST:
            raise ValueError("too large")
        if name in ADDRESSES and not ADDRESS.fullmatch(text):
            raise ValueError("not an address")
    except ValueError:
        wanted = expected(kind, limits, size=name in SIZES)
        raise SettingsError(f"{origin}: expected {wanted}") from None
    return found


def expected(kind: Any, limits: Meta, *, size: bool) -> str:
    """What a setting accepts, in words."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if kind is Path:
        return "a path"
    if size:
        return f"a size of {limits.ge} bytes to a PiB; K, M and G behind it are KiB, MiB and GiB"
    if kind is bool:
        return "true or false"
    if kind is str:
        return f"something like {limits.examples[0]}" if limits.examples else "a text"
    noun = "a whole number" if kind is int else "a number"
    if limits.ge is None:
        return f"{noun} above {limits.gt}" + ("" if limits.le is None else f", to {limits.le}")
    if limits.le is None:
        return f"{noun} of at least {limits.ge}"
    return f"{noun} from {limits.ge} to {limits.le}"
