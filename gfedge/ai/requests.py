"""From an HTTP request to a submission: the picture and the options of each of the forms that clients may send."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from gfedge import errors, inference, keys, wire
from gfedge.ai.pipelines import PIPELINES
from gfedge.ai.types import GenerateParams, Kind, Submission, SuperresBody, SuperresParams
from gfedge.assets.types import AssetRow
from gfedge.db import new_id
from gfedge.inference.types import ImageError, ImageTooLarge
from gfedge.registry.registry import Registry, reference
from gfedge.settings import Settings
from gfedge.tracking.experiments import Experiments

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")
_key = re.compile(r"[\x21-\x7e]{1,200}")
_wait = re.compile(r"\bwait\s*=\s*(\d{1,6})\b")
_data_url = re.compile(r"data:[^,]{0,100},")


def idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _key.fullmatch(key):
        raise errors.BadRequest(
            "Idempotency-Key: 1 to 200 visible ASCII characters without spaces (a UUID is good)",
            code="bad_idempotency_key",
        )
    return key


def wait_seconds(request: web.Request) -> float | None:
    """Seconds of `Prefer: wait=N` (RFC 7240); None where the client does not want to wait."""
    found = _wait.search(request.headers.get("Prefer", ""))
    return min(float(found.group(1)), request.app[keys.SETTINGS].max_wait) if found else None


def wants_picture(request: web.Request) -> bool:
    """Whether the answer should be the picture itself."""
    accepted = request.headers.get("Accept", "")
    return "image/png" in accepted and "json" not in accepted


async def picture(request: web.Request) -> tuple[SuperresParams, bytes | None, str]:
    """(options, picture's bytes, asset's sha256) of a superres request; one of the last two is empty.

    A multipart form (a file, options as fields), a raw picture (options in the query), or JSON.
    """
    kind = request.content_type
    if kind == "multipart/form-data":
        return await _from_form(request)
    if kind == wire.JSON:
        return _from_json(wire.decode(await request.read(), SuperresBody))
    if kind in IMAGE_TYPES:
        data = await request.read()
        if not data:
            raise errors.BadRequest(
                "the body is empty: send the picture's bytes", code="empty_body"
            )
        return wire.convert(dict(request.query), SuperresParams), data, ""
    raise errors.UnsupportedMedia(
        f"send a picture (image/png, image/jpeg, image/webp), a form with a file, or {wire.JSON}; not {kind}"
    )


async def _from_form(request: web.Request) -> tuple[SuperresParams, bytes, str]:
    try:
        form = await request.post()
    except ValueError as error:
        raise errors.BadRequest(
            f"the form cannot be read: {error}", code="malformed_form"
        ) from None
    files = [value for value in form.values() if isinstance(value, web.FileField)]
    if len(files) != 1:
        raise errors.BadRequest(
            f"the form must have one file, the picture; it has {len(files)}", code="no_file"
        )
    options = {name: value for name, value in form.items() if isinstance(value, str)}
    return (
        wire.convert(dict(request.query) | options, SuperresParams, "field"),
        files[0].file.read(),
        "",
    )


def _from_json(body: SuperresBody) -> tuple[SuperresParams, bytes | None, str]:
    if bool(body.image) == bool(body.asset):
        raise errors.Invalid("give one of `image` (base64) and `asset` (sha256)", field="image")
    values = msgspec.structs.asdict(body)
    params = SuperresParams(**{name: values[name] for name in SuperresParams.__struct_fields__})
    if body.asset:
        return params, None, body.asset
    try:
        return params, base64.b64decode(_data_url.sub("", body.image, count=1), validate=True), ""
    except (binascii.Error, ValueError):
        raise errors.Invalid("image: not base64", field="image") from None


class Intake:
    """Checks requests against the models and limits, and makes submissions of them."""

    def __init__(self, settings: Settings, registry: Registry, experiments: Experiments) -> None:
        self._settings = settings
        self._registry = registry
        self._experiments = experiments
        self._decoding = asyncio.Semaphore(2)  # decoded pictures are large

    async def generate(self, request: web.Request, params: GenerateParams) -> Submission:
        await self._registry.opened()
        model = self._registry.find(params.model or PIPELINES["generate"].model, "generate")
        filled = PIPELINES["generate"].prepare(params, model, self._settings)
        assert isinstance(filled, GenerateParams)
        upscaler = None
        if filled.scale > 1:
            upscaler = reference(self._registry.find(PIPELINES["superres"].model, "superres"))
        seed = secrets.randbits(32) if filled.seed in (None, -1) else filled.seed
        return await self._submission(
            request,
            "generate",
            params,
            filled,
            seed=seed,
            model=reference(model),
            upscaler=upscaler,
        )

    async def superres(
        self, request: web.Request, params: SuperresParams, image: AssetRow
    ) -> Submission:
        pipeline = PIPELINES["superres"]
        await self._registry.opened()
        model = None
        if pipeline.needs_model(params):
            model = self._registry.find(params.model or pipeline.model, "superres")
        filled = pipeline.prepare(params, model, self._settings)
        self.check_size(image.width, image.height, params.scale)
        return await self._submission(
            request,
            "superres",
            params,
            filled,
            model=reference(model) if model else None,
            inputs=[image.sha256],
        )

    def check_size(self, width: int, height: int, scale: int) -> None:
        """Refuses pictures that are too large to read or would become too large."""
        if width * height > self._settings.max_pixels:
            raise errors.TooLarge(
                f"the picture has {width}x{height} pixels, more than the {self._settings.max_pixels} that this "
                "server takes (setting max_pixels)",
                code="too_many_pixels",
            )
        if width * height * scale**2 > self._settings.max_output_pixels:
            raise errors.TooLarge(
                f"{width * scale}x{height * scale} pixels are more than the {self._settings.max_output_pixels} "
                "that this server makes (setting max_output_pixels): take a smaller scale",
                code="too_many_pixels",
            )

    async def take(self, data: bytes, scale: int, put: Callable[..., AssetRow]) -> AssetRow:
        """Stores an input picture; Invalid or TooLarge where it is none that can be upscaled so."""
        try:
            media_type, width, height = inference.png.probe(data)
            self.check_size(width, height, scale)
            async with self._decoding:
                pixels = await asyncio.to_thread(
                    inference.png.decode, data, self._settings.max_pixels
                )
                digest = await asyncio.to_thread(inference.png.pixels_sha256, pixels)
        except ImageError as error:
            raise refusal(error) from None
        height, width = pixels.shape[:2]
        return await asyncio.to_thread(
            put, data, pixels_sha256=digest, media_type=media_type, width=width, height=height
        )

    async def _submission(
        self,
        request: web.Request,
        kind: Kind,
        asked: GenerateParams | SuperresParams,
        params: GenerateParams | SuperresParams,
        **more: Any,
    ) -> Submission:
        name = f"ai-{kind}"
        experiment = await self._experiments.named(
            params.experiment or name, "user" if params.experiment else name
        )
        kept = msgspec.to_builtins(params)
        for field in ("seed", "model", "experiment"):
            kept.pop(field, None)
        inputs = more.pop("inputs", [])
        return Submission(
            id=new_id(),
            kind=kind,
            params=kept,
            seed=more.pop("seed", None),
            model=more.pop("model", None),
            upscaler=more.pop("upscaler", None),
            inputs=inputs,
            experiment_id=experiment.id,
            run_id=new_id(),
            requester=request.remote or "",
            idempotency_key=idempotency_key(request),
            request_digest=_digest(kind, asked, inputs),
            created_at=time.time(),
        )


def refusal(error: ImageError) -> errors.ApiError:
    """What a client is told about a picture that cannot be read."""
    if isinstance(error, ImageTooLarge):
        return errors.TooLarge(str(error), code="too_many_pixels")
    return errors.Invalid(str(error), code="bad_image")


def _digest(kind: Kind, asked: GenerateParams | SuperresParams, inputs: list[str]) -> str:
    """What makes two requests the same, for Idempotency-Key."""
    text = msgspec.json.encode([kind, asked, inputs])
    return hashlib.sha256(text).hexdigest()
