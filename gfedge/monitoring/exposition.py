"""All metrics as text, for those who scrape: Prometheus' format or OpenMetrics by the Accept header.

prometheus-client collects and negotiates; the text is put together here, in a thread that lets others run now and then,
so that the event loop does not wait for it. What stands before each number does not change and is kept.
"""

from __future__ import annotations

import gzip
import math
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PAUSE_SAMPLES = 500
"""Samples after which other threads get their turn."""
MOST_PREFIXES = 50_000
OPEN_METRICS = "application/openmetrics-text"

_prefixes: dict[tuple[str, ...], str] = {}


def exposition(registry: Collector, accept: str, zipped: bool) -> tuple[bytes, str]:
    """(body, content type). Blocks: call it in a thread."""
    _, kind = choose_encoder(accept)
    lines = _lines(registry.collect(), open_metrics=kind.startswith(OPEN_METRICS))
    body = "".join(lines).encode()
    return (gzip.compress(body, 1) if zipped else body), kind


def _lines(families: Iterable[Metric], *, open_metrics: bool) -> Iterator[str]:
    number = 0
    for family in families:
        yield _head(family, open_metrics)
        for one in family.samples:
            key = (one.name, *one.labels.values())
            if (prefix := _prefixes.get(key)) is None:
                prefix = _remember(key, one.name, one.labels)
            yield f"{prefix}{_number(one.value)}\n"
            number += 1
            if number % PAUSE_SAMPLES == 0:
                time.sleep(0)
    if open_metrics:
        yield "# EOF\n"


def _head(family: Metric, open_metrics: bool) -> str:
    name, kind = family.name, family.type
    if not open_metrics:
        name += {"counter": "_total", "info": "_info"}.get(kind, "")
        kind = {"info": "gauge", "stateset": "gauge", "unknown": "untyped"}.get(kind, kind)
    text = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    if open_metrics:
        text = text.replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _remember(key: tuple[str, ...], name: str, labels: dict[str, str]) -> str:
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in sorted(labels.items()))
    if len(_prefixes) >= MOST_PREFIXES:
        _prefixes.clear()
    prefix = _prefixes[key] = f"{name}{{{pairs}}} " if pairs else f"{name} "
    return prefix


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
