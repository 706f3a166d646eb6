"""Atlases: where each picture stands on a sheet, as engines read it. Pure.

JSON is TexturePacker's "JSON (Hash)", which Phaser, PixiJS, libGDX tools and many more read. For Godot 4 a SpriteFrames
resource, for Unity the importer's settings of the sheet, with its pixels kept sharp.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from gfedge import __version__
from gfedge.ai.sheets import Frame, Layout

Format = Literal["json", "godot", "unity"]
FRAMES_PER_SECOND = 8.0


def file_name(layout: Layout, form: Format) -> str:
    """What the file is called beside the sheet."""
    return {"json": f"{layout.name}.json", "godot": f"{layout.name}.tres"}.get(
        form, f"{layout.name}.png.meta"
    )


def json_hash(layout: Layout) -> dict[str, Any]:
    return {
        "frames": {f"{frame.name}.png": _frame(frame) for frame in layout.frames},
        "meta": {
            "app": "gfedge",
            "version": __version__,
            "image": f"{layout.name}.png",
            "format": "RGBA8888",
            "size": {"w": layout.width, "h": layout.height},
            "scale": "1",
        },
    }


def _frame(frame: Frame) -> dict[str, Any]:
    size = {"w": frame.width, "h": frame.height}
    return {
        "frame": {"x": frame.x, "y": frame.y, **size},
        "rotated": False,
        "trimmed": False,
        "spriteSourceSize": {"x": 0, "y": 0, **size},
        "sourceSize": size,
        "pivot": {"x": 0.5, "y": 0.5},
    }


def godot(layout: Layout) -> str:
    """A text resource of Godot 4: an animation `default` of all frames, and each as an AtlasTexture."""
    parts = [
        f'[gd_resource type="SpriteFrames" load_steps={len(layout.frames) + 2} format=3]',
        f'[ext_resource type="Texture2D" path="res://{layout.name}.png" id="sheet"]',
    ]
    shown = []
    for number, frame in enumerate(layout.frames):
        where = f"Rect2({frame.x}, {frame.y}, {frame.width}, {frame.height})"
        parts.append(
            f'[sub_resource type="AtlasTexture" id="frame_{number}"]\n'
            f'resource_name = "{frame.name}"\natlas = ExtResource("sheet")\nregion = {where}'
        )
        shown.append(f'{{\n"duration": 1.0,\n"texture": SubResource("frame_{number}")\n}}')
    parts.append(
        f'[resource]\nanimations = [{{\n"frames": [{", ".join(shown)}],\n"loop": true,\n"name": &"default",\n'
        f'"speed": {FRAMES_PER_SECOND}\n}}]'
    )
    return "\n\n".join(parts) + "\n"


def unity(layout: Layout) -> str:
    """The .meta of the sheet: cut into sprites, point filter, no mipmaps, not compressed. Unity counts y from below."""
    pixels = max(frame.height for frame in layout.frames)
    guid = hashlib.md5(  # an identifier, not a protection
        f"{layout.name} {layout.frames}".encode(), usedforsecurity=False
    ).hexdigest()
    sprites = "".join(_sprite(frame, layout.height) for frame in layout.frames)
    return (
        f"fileFormatVersion: 2\nguid: {guid}\nTextureImporter:\n  serializedVersion: 12\n"
        "  mipmaps:\n    enableMipMap: 0\n    sRGBTexture: 1\n"
        "  textureSettings:\n    serializedVersion: 2\n    filterMode: 0\n    wrapU: 1\n    wrapV: 1\n"
        f"  spriteMode: 2\n  spritePixelsToUnits: {pixels}\n  alphaUsage: 1\n  alphaIsTransparency: 1\n"
        "  textureType: 8\n  textureShape: 1\n  textureCompression: 0\n"
        f"  spriteSheet:\n    serializedVersion: 2\n    sprites:\n{sprites}"
    )


def _sprite(frame: Frame, height: int) -> str:
    y = height - frame.y - frame.height
    ident = hashlib.md5(frame.name.encode(), usedforsecurity=False).hexdigest()
    return (
        f"    - serializedVersion: 2\n      name: {_quoted(frame.name)}\n      rect:\n        serializedVersion: 2\n"
        f"        x: {frame.x}\n        y: {y}\n        width: {frame.width}\n        height: {frame.height}\n"
        "      alignment: 0\n      pivot: {x: 0.5, y: 0.5}\n      border: {x: 0, y: 0, z: 0, w: 0}\n"
        f"      spriteID: {ident}\n"
    )


def _quoted(text: str) -> str:
    """A name as YAML: its characters (FRAME_NAME) need no escape within quotes."""
    return f'"{text}"'
