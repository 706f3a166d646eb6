"""From an HTTP request to a submission: the picture and the options of each of the forms that clients may send."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Sequence

import msgspec
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from gfedge import auth, errors, inference, keys, wire
from gfedge.ai import trace
from gfedge.ai.metadata import Origin
from gfedge.ai.pipelines import PIPELINES, generate_price, superres_price
from gfedge.ai.types import GenerateParams, Kind, Priority, Submission, SuperresBody, SuperresParams
from gfedge.assets.assets import Assets
from gfedge.assets.types import AssetRow
from gfedge.db import new_id
from gfedge.inference.types import ImageError, ImageTooLarge, ModelFolder, Pixels
from gfedge.registry.registry import Registry
from gfedge.registry.versions import reference
from gfedge.settings import Settings
from gfedge.tracking.experiments import Experiments

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")
MAX_PARTS = 32
"""Parts of a form; it has a file and a few options."""
MAX_TIMEOUT = 86_400
"""Seconds of the longest X-Request-Timeout."""
KEPT_PIXELS = 1 << 18
"""Decoded pictures up to this size wait in memory with their jobs; larger ones are decoded again."""
_key = re.compile(r"[\x21-\x7e]{1,200}")
_wait = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,15})\"?\s*(?=$|[,;])", re.IGNORECASE)
_seconds = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
_urgency = re.compile(r"(?:^|,)\s*u\s*=\s*([0-7])\s*(?=$|,)")
_quality = re.compile(r"\bq\s*=\s*([01](?:\.\d{0,3})?)")
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
    found = _wait.search(",".join(request.headers.getall("Prefer", ())))
    return min(float(found.group(1)), request.app[keys.SETTINGS].max_wait) if found else None


def timeout_seconds(request: web.Request) -> float | None:
    """Seconds of `X-Request-Timeout`, after which the client no longer wants a job that has not started."""
    if (text := request.headers.get("X-Request-Timeout")) is None:
        return None
    if not _seconds.fullmatch(text) or not 0 < float(text) <= MAX_TIMEOUT:
        raise errors.BadRequest(
            f"X-Request-Timeout: seconds, more than 0 and at most {MAX_TIMEOUT}", code="bad_timeout"
        )
    return float(text)


def priority(request: web.Request) -> Priority:
    """`Priority: u=0` to `u=7` (RFC 9218): people who wait are up to 3, which is also the default; later is batch."""
    found = _urgency.search(request.headers.get("Priority", ""))
    return "batch" if found is not None and int(found[1]) > 3 else "interactive"


def requester(request: web.Request) -> str:
    """Who takes turns with others: the token's name, or the address where there are no tokens."""
    who = auth.who(request)
    return who.name if who.token_id else request.remote or ""


def wants_picture(request: web.Request) -> bool:
    """Whether the client would rather have the picture itself than JSON (RFC 9110, 12.5.1)."""
    weights: dict[str, float] = {}
    for part in ",".join(request.headers.getall("Accept", ())).split(","):
        kind, _, rest = part.strip().lower().partition(";")
        found = _quality.search(rest)
        weights[kind.strip()] = float(found.group(1)) if found else 1.0
    image = weights.get("image/png", weights.get("image/*", 0.0))
    json = max(weights.get(kind, 0.0) for kind in (wire.JSON, "application/*", "*/*"))
    return image > json


async def picture(request: web.Request) -> tuple[SuperresParams, bytes | None, str]:
    """(options, picture's bytes, asset's sha256) of a superres request; one of the last two is empty.

    A multipart form (a file, options as fields), a raw picture (options in the query), or JSON.
    """
    kind = request.content_type
    if kind == "multipart/form-data":
        return await _from_form(request)
    if kind == wire.JSON:
        wire.refuse_query(request)
        body = await request.read()
        return await asyncio.to_thread(lambda: _from_json(wire.decode(body, SuperresBody)))
    if kind in IMAGE_TYPES:
        data = _not_empty(await request.read())
        return wire.convert(wire.query(request), SuperresParams), data, ""
    raise errors.UnsupportedMedia(
        f"send a picture (image/png, image/jpeg, image/webp), a form with a file, or {wire.JSON}; not {kind}"
    )


async def _from_form(request: web.Request) -> tuple[SuperresParams, bytes, str]:
    """The file of a form and its other fields. Not `request.post()`, which writes files where TMPDIR is."""
    files: list[bytes] = []
    options = wire.query(request)
    try:
        async for name, is_file, data in _parts(request):
            if is_file:
                files.append(data)
            elif name in options:
                raise errors.Invalid(f"field {name}: is given more than once", field=name)
            else:
                options[name] = _field(name, data)
    except (ValueError, LookupError, RuntimeError, HttpProcessingError):
        raise errors.BadRequest(
            "the form cannot be read: is it whole, and its boundary the one in Content-Type?",
            code="malformed_form",
        ) from None
    if len(files) != 1:
        raise errors.BadRequest(
            f"the form must have one file, the picture; it has {len(files)}", code="no_file"
        )
    return wire.convert(options, SuperresParams, "field"), _not_empty(files[0]), ""


def _field(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise errors.BadRequest(
            f"field {name!r} is not text: send the picture as a file, with a filename",
            code="malformed_form",
        ) from None


def _not_empty(data: bytes) -> bytes:
    """A picture that has any bytes at all."""
    if not data:
        raise errors.BadRequest("the picture is empty: send its bytes", code="empty_body")
    return data


async def _parts(request: web.Request) -> AsyncIterator[tuple[str, bool, bytes]]:
    """(name, whether it is a file, bytes) of a form's parts, as many bytes in all as a body may have."""
    room, count = request.app[keys.SETTINGS].max_body, 0
    form = await request.multipart()
    while (part := await form.next()) is not None:
        count += 1
        if not isinstance(part, BodyPartReader) or count > MAX_PARTS:
            raise errors.BadRequest(
                f"the form has a form within it, or more than {MAX_PARTS} parts",
                code="malformed_form",
            )
        data = bytearray()
        while chunk := await part.read_chunk(1 << 16):
            data += chunk
            room -= len(chunk)
            if room < 0:
                raise errors.TooLarge(
                    "the form is larger than this server takes (setting max_body)"
                )
        kind = part.headers.get("Content-Type", "")
        is_file = part.filename is not None or kind.startswith("image/")
        yield part.name or "", is_file, bytes(part.decode(data))


def _from_json(body: SuperresBody) -> tuple[SuperresParams, bytes | None, str]:
    if bool(body.image) == bool(body.asset):
        raise errors.Invalid("give one of `image` (base64) and `asset` (sha256)", field="image")
    values = msgspec.structs.asdict(body)
    params = SuperresParams(**{name: values[name] for name in SuperresParams.__struct_fields__})
    if body.asset:
        return params, None, body.asset
    try:
        return params, _bytes(body.image), ""
    except (binascii.Error, ValueError):
        raise errors.Invalid("image: not base64", field="image") from None


def _bytes(text: str) -> bytes:
    """Base64 as people send it: a data: URL or not, with line breaks or without."""
    return base64.b64decode("".join(_data_url.sub("", text, count=1).split()), validate=True)


class Intake:
    """Checks requests against the models and limits, and makes submissions of them."""

    def __init__(
        self, settings: Settings, registry: Registry, experiments: Experiments, assets: Assets
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._experiments = experiments
        self._assets = assets
        self._decoding = asyncio.Semaphore(2)  # decoded pictures are large

    async def generate(self, request: web.Request, asked: GenerateParams) -> Submission:
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
        price = generate_price(params, int(model.pipeline["size"]))
        return await self._submission(
            request,
            "generate",
            asked,
            params,
            job_id=job_id,
            price=price,
            seed=seed,
            model=model,
            upscaler=upscaler,
        )

    async def superres(self, request: web.Request) -> tuple[Submission, Pixels | None]:
        """The submission, and its picture decoded where that came with the request and is small."""
        asked, data, sha256 = await picture(request)
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
            image = await self._known(sha256)
            self._check_size(image.width, image.height, params.scale or 4, most)
        else:
            image, pixels = await self._take(data, params.scale or 4, most)
        submission = await self._submission(
            request,
            "superres",
            asked,
            params,
            job_id=job_id,
            price=superres_price(params, image),
            model=model,
            inputs=[image],
        )
        return submission, pixels if image.width * image.height <= KEPT_PIXELS else None

    async def recognise(self, request: web.Request) -> tuple[AssetRow, str] | Origin:
        """What is known of a picture that a client sends."""
        _, data, _ = await picture(request)
        if data is None:
            raise errors.BadRequest("send the picture itself", code="no_file")
        try:
            async with self._decoding:
                return await trace.recognise(data, self._assets, self._settings.max_pixels)
        except ImageError as error:
            raise _refusal(error) from None

    def _check_size(self, width: int, height: int, scale: int, most: int) -> None:
        """Refuses pictures that are too large to read or would become too large."""
        if width * height > most:
            raise errors.TooLarge(
                f"the picture has {width}x{height} pixels, more than the {most} that are taken (setting "
                "max_pixels, and the model's limit)",
                code="too_many_pixels",
            )
        if width * height * scale**2 > self._settings.max_output_pixels:
            raise errors.TooLarge(
                f"{width * scale}x{height * scale} pixels are more than the {self._settings.max_output_pixels} "
                "that this server makes (setting max_output_pixels): take a smaller scale",
                code="too_many_pixels",
            )

    async def _known(self, sha256: str) -> AssetRow:
        if (row := await self._assets.hold(sha256)) is None:
            raise errors.Invalid(
                f"asset {sha256!r} is not here", code="asset_not_found", field="asset"
            )
        return row

    async def _take(self, data: bytes, scale: int, most: int) -> tuple[AssetRow, Pixels]:
        """Checks a picture and makes it durable, before the job that needs it is acknowledged."""
        try:
            async with self._decoding:
                row, new, pixels = await asyncio.to_thread(self._examine, data, scale, most)
        except ImageError as error:
            raise _refusal(error) from None
        return await self._assets.known(row, new), pixels

    def _examine(self, data: bytes, scale: int, most: int) -> tuple[AssetRow, bool, Pixels]:
        media_type, width, height = inference.png.probe(data)
        self._check_size(width, height, scale, most)
        pixels = inference.png.decode(data, most)
        height, width = pixels.shape[:2]
        row, new = self._assets.put(
            data,
            pixels_sha256=inference.png.pixels_sha256(pixels),
            media_type=media_type,
            width=width,
            height=height,
        )
        return row, new, pixels

    async def _submission(
        self,
        request: web.Request,
        kind: Kind,
        asked: GenerateParams | SuperresParams,
        params: GenerateParams | SuperresParams,
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
            requester=requester(request),
            priority=priority(request),
            price=price,
            idempotency_key=idempotency_key(request),
            request_digest=_digest(kind, asked, [row.sha256 for row in inputs]),
            created_at=time.time(),
        )

    async def _experiment(self, kind: Kind, name: str | None) -> str:
        """Id of the experiment that a job belongs to; `ai-generate` and `ai-superres` are the server's own."""
        own = {f"ai-{k}" for k in PIPELINES}
        name = name or f"ai-{kind}"
        return (await self._experiments.named(name, name if name in own else "user")).id


def _refusal(error: ImageError) -> errors.ApiError:
    """What a client is told about a picture that cannot be read."""
    if isinstance(error, ImageTooLarge):
        return errors.TooLarge(str(error), code="too_many_pixels")
    return errors.Invalid(str(error), code="bad_image")


def _digest(kind: Kind, asked: GenerateParams | SuperresParams, inputs: Sequence[str]) -> str:
    """What makes two requests the same, for Idempotency-Key."""
    text = msgspec.json.encode([kind, asked, inputs])
    return hashlib.sha256(text).hexdigest()
