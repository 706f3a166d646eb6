"""What HTTP requests say: their headers, and the picture and the options of each of the forms that clients may send."""

from __future__ import annotations

import asyncio
import binascii
import re
from collections.abc import AsyncIterator

import msgspec
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from gfedge import auth, errors, keys, wire
from gfedge.ai.pictures import from_base64
from gfedge.ai.types import Priority, SuperresBody, SuperresParams

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")
MAX_PARTS = 32
"""Parts of a form; it has a file and a few options."""
MAX_TIMEOUT = 86_400
"""Seconds of the longest X-Request-Timeout."""
_key = re.compile(r"[\x21-\x7e]{1,200}")
_wait = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,15})\"?\s*(?=$|[,;])", re.IGNORECASE)
_seconds = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
_urgency = re.compile(r"(?:^|,)\s*u\s*=\s*([0-7])\s*(?=$|,)")
_quality = re.compile(r"\bq\s*=\s*([01](?:\.\d{0,3})?)")


def idempotency_key(request: web.Request) -> str | None:
    """The key of a request, in the name of its token."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _key.fullmatch(key):
        raise errors.BadRequest(
            "Idempotency-Key: 1 to 200 visible ASCII characters without spaces (a UUID is good)",
            code="bad_idempotency_key",
        )
    return None if key is None else auth.own_key(request, key)


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
        return params, from_base64(body.image), ""
    except (binascii.Error, ValueError):
        raise errors.Invalid("image: not base64", field="image") from None
