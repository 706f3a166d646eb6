"""Assets, as rows and on the wire."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta


class AssetRow(msgspec.Struct, kw_only=True, frozen=True):
    """A stored picture."""

    table: ClassVar[str] = "assets"

    sha256: str
    pixels_sha256: str
    media_type: str
    width: int
    height: int
    bytes: int
    created_at: float


class Output(msgspec.Struct, kw_only=True, frozen=True):
    """A picture that a job made or took."""

    sha256: str
    pixels_sha256: str
    """sha256 over the decoded RGBA pixels: equal pictures are equal whatever their metadata."""
    url: str
    media_type: str
    width: int
    height: int
    bytes: int
    seam_score: Annotated[
        float | None,
        Meta(description="Of a tileable texture: about 1 without a seam. Else absent."),
    ] = None

    @classmethod
    def of(cls, row: AssetRow, seam_score: float | None = None) -> Output:
        return cls(
            sha256=row.sha256,
            pixels_sha256=row.pixels_sha256,
            url=f"/api/v1/assets/{row.sha256}",
            media_type=row.media_type,
            width=row.width,
            height=row.height,
            bytes=row.bytes,
            seam_score=seam_score,
        )


class Pin(msgspec.Struct, kw_only=True, frozen=True):
    """An asset that stays."""

    table: ClassVar[str] = "asset_pins"

    sha256: str
    pinned_at: float


class Pins(msgspec.Struct, kw_only=True):
    """The assets that stay, those pinned last first."""

    pins: list[Pin]
