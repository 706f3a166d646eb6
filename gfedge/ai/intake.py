"""From requests to submissions: checked against the models and the limits, with all that running them needs."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from gfedge import errors
from gfedge.ai import enlarging, generating, requests, sheets, trace
from gfedge.ai.metadata import Origin
from gfedge.ai.pictures import Pictures, refusal
from gfedge.ai.pipelines import PIPELINES
from gfedge.ai.types import (
    GenerateBatch,
    GenerateParams,
    Kind,
    SheetParams,
    Submission,
    SuperresParams,
)
from gfedge.ai.work import Params
from gfedge.assets.assets import Assets
from gfedge.assets.types import AssetRow
from gfedge.db import new_id
from gfedge.inference.types import ImageError, ModelFolder, Pixels
from gfedge.registry.registry import Registry
from gfedge.registry.versions import reference
from gfedge.settings import Settings
from gfedge.tracking.experiments import Experiments

KEPT_PIXELS = 1 << 18
"""Decoded pictures up to this size wait in memory with their jobs; larger ones are decoded again."""
PICTURES = ("init_image", "mask", "palette_image")
"""What may come with a prompt."""


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and as which request."""

    request: web.Request
    key: str | None
    digest: str = ""
    """What makes two requests the same; empty: the job's own parameters."""

    @classmethod
    def of(cls, request: web.Request) -> Asker:
        return cls(request=request, key=requests.idempotency_key(request))

    def part(self, number: int, digest: str) -> Asker:
        """One job of many that a single request asks for."""
        key = None if self.key is None else f"{self.key} {number}"
        return Asker(request=self.request, key=key, digest=digest)


class Intake:
    """Checks requests against the models and limits, and makes submissions of them."""

    def __init__(
        self, settings: Settings, registry: Registry, experiments: Experiments, assets: Assets
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._experiments = experiments
        self._assets = assets
        self._pictures = Pictures(settings, assets)

    async def generate(
        self, asker: Asker, asked: GenerateParams, here: dict[str, AssetRow] | None = None
    ) -> Submission:
        """`here` holds pictures that were taken already, by what stands for them in the parameters."""
        await self._registry.opened()
        pipeline = PIPELINES["generate"]
        job_id = new_id()
        model = self._registry.find(asked.model or pipeline.model, "generate", job_id=job_id)
        params = pipeline.prepare(asked, model, self._settings)
        assert isinstance(params, GenerateParams)
        upscaler = None
        if params.scale > 1:
            upscaler = self._registry.find(PIPELINES["superres"].model, "superres", "scale", job_id)
        seed = secrets.randbits(32) if params.seed in (None, -1) else params.seed
        params, inputs = await self._with_pictures(params, {} if here is None else here)
        return await self._submission(
            asker,
            "generate",
            asked,
            params,
            job_id=job_id,
            price=generating.price(params, int(model.pipeline["size"])),
            seed=seed,
            model=model,
            upscaler=upscaler,
            inputs=inputs,
        )

    async def batch(self, asker: Asker, asked: GenerateBatch) -> list[Submission]:
        """A submission for each prompt; where one cannot be, none is."""
        shared = {
            name: getattr(asked, name)
            for name in GenerateParams.__struct_fields__
            if name != "prompt"
        }
        digest = _digest("batch", asked, [])
        here: dict[str, AssetRow] = {}
        found = []
        for number, prompt in enumerate(asked.prompts):
            try:
                params = GenerateParams(prompt=prompt, **shared)
                found.append(await self.generate(asker.part(number, digest), params, here))
            except errors.Invalid as error:
                if error.field != "prompt":
                    raise
                text = error.detail.replace("prompt:", f"prompts[{number}]:", 1)
                raise errors.Invalid(text, field=f"prompts[{number}]") from None
        return found

    async def superres(self, request: web.Request) -> tuple[Submission, Pixels | None]:
        """The submission, and its picture decoded where that came with the request and is small."""
        asked, data, sha256 = await requests.picture(request)
        await self._registry.opened()
        pipeline = PIPELINES["superres"]
        model, job_id = None, new_id()
        if pipeline.needs_model(asked):
            model = self._registry.find(asked.model or pipeline.model, "superres", job_id=job_id)
        params = pipeline.prepare(asked, model, self._settings)
        assert isinstance(params, SuperresParams)
        most = self._settings.max_pixels
        if model is not None:
            most = min(most, int(model.limits.get("max_pixels", most)))
        pixels = None
        if data is None:
            image = await self._pictures.known(sha256)
            self._pictures.check_size(image.width, image.height, params.scale or 4, most)
        else:
            image, pixels = await self._pictures.take(data, params.scale or 4, most)
        submission = await self._submission(
            Asker.of(request),
            "superres",
            asked,
            params,
            job_id=job_id,
            price=enlarging.price(params, image),
            model=model,
            inputs=[image],
        )
        return submission, pixels if image.width * image.height <= KEPT_PIXELS else None

    async def sheet(self, asker: Asker, asked: SheetParams) -> Submission:
        params = PIPELINES["sheet"].prepare(asked, None, self._settings)
        assert isinstance(params, SheetParams)
        found: dict[str, AssetRow] = {}
        for number, value in enumerate(params.pictures):
            if value not in found:
                found[value] = await self._pictures.given(value, f"pictures[{number}]")
        params = msgspec.structs.replace(
            params, pictures=[found[value].sha256 for value in params.pictures]
        )
        inputs = _distinct(found.values())
        layout = sheets.layout(params, inputs)
        self._pictures.check_size(layout.width, layout.height, 1, self._settings.max_output_pixels)
        return await self._submission(
            asker,
            "sheet",
            asked,
            params,
            job_id=new_id(),
            price=sheets.price(layout),
            model=None,
            inputs=inputs,
        )

    async def recognise(self, request: web.Request) -> tuple[AssetRow, str] | Origin:
        """What is known of a picture that a client sends."""
        _, data, _ = await requests.picture(request)
        if data is None:
            raise errors.BadRequest("send the picture itself", code="no_file")
        try:
            async with self._pictures.decoding:
                return await trace.recognise(data, self._assets, self._settings.max_pixels)
        except ImageError as error:
            raise refusal(error) from None

    async def picture(self, value: str, field: str) -> AssetRow:
        """The asset of a field that holds a sha256 or a picture in base64."""
        return await self._pictures.given(value, field)

    async def _with_pictures(
        self, params: GenerateParams, here: dict[str, AssetRow]
    ) -> tuple[GenerateParams, list[AssetRow]]:
        """The parameters with each picture by its digest, and the pictures."""
        rows: dict[str, AssetRow] = {}
        for name in PICTURES:
            if value := getattr(params, name):
                if value not in here:
                    here[value] = await self._pictures.given(value, name)
                rows[name] = here[value]
        if "mask" in rows and _size(rows["mask"]) != _size(rows["init_image"]):
            raise errors.Invalid(
                f"mask: has {'x'.join(map(str, _size(rows['mask'])))} pixels and init_image "
                f"{'x'.join(map(str, _size(rows['init_image'])))}: they must be of one size",
                code="mask_of_other_size",
                field="mask",
            )
        digests: dict[str, Any] = {name: row.sha256 for name, row in rows.items()}
        return msgspec.structs.replace(params, **digests), _distinct(rows.values())

    async def _submission(
        self,
        asker: Asker,
        kind: Kind,
        asked: Params,
        params: Params,
        *,
        job_id: str,
        model: ModelFolder | None,
        price: float,
        seed: int | None = None,
        upscaler: ModelFolder | None = None,
        inputs: Sequence[AssetRow] = (),
    ) -> Submission:
        """`asked` is the request as it came, `params` what it means with all defaults."""
        experiment = await self._experiment(kind, asked.experiment)
        kept = msgspec.to_builtins(params)
        for field in ("seed", "model", "experiment"):
            kept.pop(field, None)
        return Submission(
            id=job_id,
            kind=kind,
            params=kept,
            seed=seed,
            model=reference(model) if model else None,
            upscaler=reference(upscaler) if upscaler else None,
            inputs=list(inputs),
            experiment_id=experiment,
            run_id=new_id(),
            requester=requests.requester(asker.request),
            priority=requests.priority(asker.request),
            price=price,
            idempotency_key=asker.key,
            request_digest=asker.digest or _digest(kind, asked, [row.sha256 for row in inputs]),
            created_at=time.time(),
        )

    async def _experiment(self, kind: Kind, name: str | None) -> str:
        """Id of the experiment that a job belongs to; `ai-generate` and its like are the server's own."""
        own = {f"ai-{k}" for k in PIPELINES}
        name = name or f"ai-{kind}"
        return (await self._experiments.named(name, name if name in own else "user")).id


def _size(row: AssetRow) -> tuple[int, int]:
    return row.width, row.height


def _distinct(rows: Any) -> list[AssetRow]:
    """Each asset once, in order."""
    return list({row.sha256: row for row in rows}.values())


def _digest(kind: str, asked: Params | GenerateBatch, inputs: Sequence[str]) -> str:
    """What makes two requests the same, for Idempotency-Key."""
    text = msgspec.json.encode([kind, asked, inputs])
    return hashlib.sha256(text).hexdigest()
