"""Canaries and shadows: what clients ask for, and what is known of how they do."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from gfedge.registry.policy import Watch
from gfedge.registry.types import By, Canary, Shadow, Text

Label = Annotated[
    str, Meta(min_length=1, max_length=200, description="A version, a stage or an alias.")
]


class CanaryBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A staging version that takes a share of the jobs that name the model alone."""

    version: Label
    percent: Annotated[float, Meta(gt=0, le=100)]
    reason: Text = ""
    by: By = ""


class ShadowBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A version that runs what the version in prod ran, when nothing else is to be done."""

    version: Label
    reason: Text = ""
    by: By = ""


class StopQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it ends, and by whom."""

    reason: Text = ""
    by: By = ""


class VersionTraffic(msgspec.Struct, kw_only=True, frozen=True):
    """What the jobs of a version showed since the canary or the shadow began; the last thousand count."""

    version: str
    jobs: int
    failed: int
    error_ratio: float
    latency_p50_seconds: Annotated[float | None, Meta(description="Time in the engine.")]
    latency_p95_seconds: float | None


class Comparison(msgspec.Struct, kw_only=True, frozen=True):
    """What a version in shadow made, held against what clients were given."""

    version: str
    jobs: int
    failed: int
    skipped: Annotated[
        int, Meta(description="Since the start of the server: it never had the time.")
    ]
    same_pixels: int
    psnr_mean: Annotated[float | None, Meta(description="dB; 100 where nothing differs.")]
    psnr_min: float | None
    ssim_mean: float | None
    latency_ratio: Annotated[float | None, Meta(description="Of the sums of times in the engine.")]


class Traffic(msgspec.Struct, kw_only=True, frozen=True):
    """How a model's traffic is shared, and what the versions showed."""

    name: str
    serving: str
    canary: Canary | None
    shadow: Shadow | None
    watch: Watch
    versions: list[VersionTraffic]
    comparison: Comparison | None


class ShadowRow(msgspec.Struct, kw_only=True, frozen=True):
    """One comparison as it is stored."""

    table: ClassVar[str] = "shadow_comparisons"

    id: str
    name: str
    version: str
    baseline: str
    job_id: str
    status: str
    same_pixels: bool
    psnr: float | None
    ssim: float | None
    seconds: float
    baseline_seconds: float
    compared_at: float
