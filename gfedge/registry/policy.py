"""What a version must show before it comes to a stage, and when traffic is taken from it again: declared per model."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from gfedge.registry.types import By, Canary, Shadow, Stage, Text

Ratio = Annotated[float, Meta(ge=0, le=1)]
Times = Annotated[float, Meta(gt=0, le=1000)]


class Bound(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Where a metric of the version must lie."""

    min: float | None = None
    max: float | None = None


class Gates(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Conditions of one stage. That the files match their digests and that the model answers an input always holds."""

    metrics: Annotated[
        dict[Annotated[str, Meta(max_length=250)], Bound],
        Meta(max_length=50, description="Metrics that the version must have, within bounds."),
    ] = {}
    golden: Annotated[
        bool, Meta(description="Compare it with the version in prod on the golden inputs.")
    ] = False
    max_psnr_loss: Annotated[
        float, Meta(ge=0, le=100, description="superres: decibels that it may lose, on average.")
    ] = 0.5
    max_ssim_loss: Annotated[Ratio, Meta(description="superres: SSIM that it may lose.")] = 0.02
    max_drawn_loss: Annotated[
        Ratio, Meta(description="generate: share of golden prompts that it may fail to draw more.")
    ] = 0.0
    score: Annotated[
        str,
        Meta(max_length=250, description="generate: the metric in which it must not be worse."),
    ] = ""
    score_higher_is_better: bool = True
    max_score_loss: Annotated[float, Meta(ge=0)] = 0.0
    max_latency_ratio: Annotated[
        Times | None,
        Meta(
            description="How much longer than the version in prod it may take, measured in turns."
        ),
    ] = None
    other_approver: Annotated[
        bool, Meta(description="Who promotes it is not who registered it.")
    ] = False


class ProdGates(Gates, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Conditions of prod, which compare with the version there unless they are told not to."""

    golden: bool = True
    max_latency_ratio: Times | None = 2.0


class Watch(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """When a canary loses its traffic: held against the version in prod over the same time."""

    min_samples: Annotated[
        int, Meta(ge=1, le=100_000, description="Jobs of the canary before anything is judged.")
    ] = 20
    max_error_ratio: Annotated[Ratio, Meta(description="Share of its jobs that may fail.")] = 0.05
    max_latency_ratio: Annotated[
        Times | None,
        Meta(
            description="How much longer its jobs may take than those in prod, at the 95th percentile."
        ),
    ] = 3.0


class Policy(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What holds for a model; the defaults suit most."""

    staging: Gates = Gates()
    prod: ProdGates = ProdGates()
    watch: Watch = Watch()
    keep_warm_seconds: Annotated[
        float,
        Meta(ge=0, le=86_400, description="How long the version before stays in memory."),
    ] = 600.0

    def gates(self, stage: Stage) -> Gates | None:
        """None for the stages that anything may come to."""
        return {"staging": self.staging, "prod": self.prod}.get(stage)


class PolicyBody(Policy, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A new policy; what is left out is as by default."""

    reason: Text = ""
    by: By = ""


class RegisteredModel(msgspec.Struct, kw_only=True, frozen=True):
    """What holds for a model, as it is stored."""

    table: ClassVar[str] = "registered_models"

    name: str
    policy: Policy | None = None
    canary: Canary | None = None
    shadow: Shadow | None = None
    description: str = ""
    tags: dict[str, str] | None = None
    created_at: float | None = None
    """Set where the model was made before it had a version."""
    updated_at: float | None = None


class PromoteBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a version goes, why and by whom."""

    version: Annotated[
        str,
        Meta(
            max_length=200,
            description="A version, a stage or an alias; or in the path, as `sprite@3`.",
        ),
    ] = ""
    stage: Annotated[
        Stage | None, Meta(description="Absent, the next one: dev, staging, prod.")
    ] = None
    reason: Text = ""
    by: By = ""
    dry_run: Annotated[bool, Meta(description="Only show the gates.")] = False
    force: Annotated[
        bool, Meta(description="Promote although gates fail; for admins, and recorded.")
    ] = False


class RollbackBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why the version in prod goes, and by whom."""

    reason: Text = ""
    by: By = ""
