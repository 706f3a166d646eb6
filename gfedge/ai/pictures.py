"""Pictures that come with requests: checked, and made durable before the job that needs them is acknowledged."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re

from gfedge import errors, inference
from gfedge.assets.assets import Assets
from gfedge.assets.types import AssetRow
from gfedge.inference.types import ImageError, ImageTooLarge, Pixels
from gfedge.settings import Settings

_sha256 = re.compile(r"[0-9a-f]{64}")
_data_url = re.compile(r"data:[^,]{0,100},")


class Pictures:
    """What clients send, as assets."""

    def __init__(self, settings: Settings, assets: Assets) -> None:
        self._settings = settings
        self._assets = assets
        self.decoding = asyncio.Semaphore(2)  # decoded pictures are large

    async def given(self, value: str, field: str) -> AssetRow:
        """The asset of a field that holds a sha256 or a picture in base64."""
        most = self._settings.max_pixels
        if _sha256.fullmatch(value):
            row = await self.known(value, field)
            self.check_size(row.width, row.height, 1, most)
            return row
        try:
            data = await asyncio.to_thread(from_base64, value)
        except (binascii.Error, ValueError):
            raise errors.Invalid(
                f"{field}: neither the sha256 of an asset nor base64", field=field
            ) from None
        if not data:
            raise errors.Invalid(f"{field}: the picture is empty", field=field)
        return (await self.take(data, 1, most, field))[0]

    async def known(self, sha256: str, field: str = "asset") -> AssetRow:
        if (row := await self._assets.hold(sha256)) is None:
            raise errors.Invalid(
                f"asset {sha256!r} is not here", code="asset_not_found", field=field
            )
        return row

    async def take(
        self, data: bytes, scale: int, most: int, field: str = ""
    ) -> tuple[AssetRow, Pixels]:
        """Checks a picture and stores it; gives its row and pixels."""
        try:
            async with self.decoding:
                row, new, pixels = await asyncio.to_thread(self._examine, data, scale, most)
        except ImageError as error:
            raise refusal(error, field) from None
        return await self._assets.known(row, new), pixels

    def check_size(self, width: int, height: int, scale: int, most: int) -> None:
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

    def _examine(self, data: bytes, scale: int, most: int) -> tuple[AssetRow, bool, Pixels]:
        media_type, width, height = inference.png.probe(data)
        self.check_size(width, height, scale, most)
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


def refusal(error: ImageError, field: str = "") -> errors.ApiError:
    """What a client is told about a picture that cannot be read."""
    text = f"{field}: {error}" if field else str(error)
    if isinstance(error, ImageTooLarge):
        return errors.TooLarge(text, code="too_many_pixels")
    return errors.Invalid(text, code="bad_image", field=field)


def from_base64(text: str) -> bytes:
    """Base64 as people send it: a data: URL or not, with line breaks or without. Raises ValueError."""
    return base64.b64decode("".join(_data_url.sub("", text, count=1).split()), validate=True)
