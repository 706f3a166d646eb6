"""What MLflow takes as names and values, and how long they may be. Pure."""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Sequence

import msgspec

from gfedge.mlflow.refusals import invalid
from gfedge.mlflow.types import BatchLog

KEY, PARAM, TAG = 250, 6000, 8000
EXPERIMENT_NAME, EXPERIMENT_TAG = 500, 20_000
REGISTRY_TAG, ALIAS = 100_000, 255
BATCH = {"metrics": 1000, "params": 100, "tags": 100}
BATCH_TOTAL = 1000
LARGEST_TIME = (1 << 63) - 1
_run_id = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")
_key = re.compile(r"[/\w.\- :]*")
BAD_KEY = (
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), "
    "colon(:) and slashes (/)."
)
BAD_PATH = (
    "Names may be treated as files in certain cases, and must not resolve to other names when treated "
    "as such. This name would resolve to {!r}"
)


def run_id(value: str) -> str:
    if not _run_id.fullmatch(value):
        raise invalid(f"Invalid value {_json(value)} for parameter 'run_id' supplied.")
    return value


def is_key(value: str) -> bool:
    """Whether it may be the name of a metric, a param or a tag."""
    return len(value) <= KEY and _is_plain(value)


@functools.lru_cache(10_000)
def _is_plain(value: str) -> bool:
    """The same few come again and again."""
    return _key.fullmatch(value) is not None and not _moves(value)


def key(value: str, path: str, what: str = "") -> str:
    """A name of a metric, a param or a tag."""
    if is_key(value):
        return value
    if not _key.fullmatch(value):
        raise invalid(f"Invalid value {_json(value)} for parameter '{path}' supplied: {BAD_KEY}")
    if _moves(value):
        told = BAD_PATH.format(posixpath.normpath(value))
        raise invalid(f"Invalid value {_json(value)} for parameter '{path}' supplied: {told}")
    length(value, KEY, what or path)
    return value


def length(value: str, most: int, what: str) -> None:
    if len(value) > most:
        raise invalid(f"'{what}' exceeds the maximum length of {most} characters")


def moment(value: int, name: str) -> float:
    """Seconds."""
    if value < 0:
        raise invalid(f"Invalid value {value} for parameter '{name}' supplied: it is before 1970.")
    return value / 1000


def timestamp(value: int, metric: str, path: str = "timestamp") -> float:
    """Seconds."""
    if value < 0:
        raise invalid(
            f"Invalid value {value} for parameter '{path}' supplied: metric '{metric}'. "
            "Timestamp must be a nonnegative long (64-bit integer) "
        )
    return value / 1000


def batch(asked: BatchLog) -> None:
    """Refuses what is too much for one report, and params that come twice."""
    counts = {name: len(getattr(asked, name)) for name in BATCH}
    for name, most in BATCH.items():
        _check_count(name, counts[name], most)
    _check_count("metrics, params, and tags", sum(counts.values()), BATCH_TOTAL)
    keys = [param.key for param in asked.params]
    if twice := sorted({one for one in keys if keys.count(one) > 1}):
        raise invalid(
            f"Duplicate parameter keys have been submitted: {twice}. Please ensure the request contains "
            "only one param value per param key."
        )


def _check_count(name: str, count: int, most: int) -> None:
    if count > most:
        raise invalid(
            f"A batch logging request can contain at most {most} {name}. Got {count} {name}. Please split "
            f"up {name} across multiple requests and try again."
        )


def page(max_results: int, most: int, name: str = "max_results") -> int:
    if not 1 <= max_results <= most:
        raise invalid(
            f"Invalid value {max_results} for parameter '{name}' supplied. "
            f"It must be a positive integer. It must be at most {most}."
        )
    return max_results


def model_name(value: str, parameter: str = "name") -> str:
    """The name of a registered model; `@` would be read as a version of it here."""
    if not value.strip():
        raise invalid(f"Missing value for required parameter '{parameter}'.")
    if any(character in value for character in "/:@"):
        raise invalid(f"Invalid model name '{value}'. Names cannot contain '/', ':' or '@'.")
    if _moves(value):
        told = BAD_PATH.format(posixpath.normpath(value))
        raise invalid(f"Invalid value {_json(value)} for parameter '{parameter}' supplied: {told}")
    return value


def dataset(name: str, digest: str, more: Sequence[tuple[str, str | None, int]]) -> None:
    for what, value, most in (("name", name, 500), ("digest", digest, 36), *more):
        if value is not None:
            length(value, most, what)


def _moves(name: str) -> bool:
    """Whether it means another place when it is taken for a path."""
    plain = posixpath.normpath(name)
    return plain != name or plain == "." or plain.startswith(("..", "/"))


def _json(value: str) -> str:
    return msgspec.json.encode(value).decode()
