"""Our PNG files as others decode them, byte for byte: Pillow, libpng itself, pngcheck, Chromium."""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import browser
import numpy as np
import pytest
from PIL import Image

from gfedge.inference.png import encode
from gfedge.inference.types import Pixels

LIBPNG = ctypes.util.find_library("png16") or ctypes.util.find_library("png")
RGBA = 3
"""A format of libpng's simplified interface."""


def pictures() -> Iterator[tuple[str, Pixels]]:
    """What the server makes: photos, sprites with few colours, transparency with colours under it, odd sizes."""
    random = np.random.default_rng(7)
    ramp = np.add.outer(np.arange(97), np.arange(61))[:, :, None]
    photo = np.full((97, 61, 4), 255, np.uint8)  # opaque, so it is written as RGB
    photo[:, :, :3] = (ramp * [1, 2, 3] + random.integers(0, 9, (97, 61, 3))) % 256
    yield "photo", photo
    yield "noise", random.integers(0, 256, (33, 257, 4)).astype(np.uint8)
    sprite = np.zeros((32, 32, 4), np.uint8)
    sprite[8:24, 8:24] = random.integers(0, 256, (1, 1, 4))
    sprite[10:12] = (200, 10, 30, 0)
    yield "sprite", sprite
    yield "one", np.full((1, 1, 4), 255, np.uint8)


CASES = [pytest.param(pixels, id=name) for name, pixels in pictures()]


@pytest.mark.parametrize("pixels", CASES)
def test_pillow(pixels: Pixels) -> None:
    with Image.open(io.BytesIO(encode(pixels))) as image:
        assert np.array_equal(np.asarray(image.convert("RGBA")), pixels)


class Control(ctypes.Structure):
    """libpng's png_image."""

    _fields_ = (
        ("opaque", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("version", "width", "height", "format", "flags")),
        *((name, ctypes.c_uint32) for name in ("colormap_entries", "warning_or_error")),
        ("message", ctypes.c_char * 64),
    )


@pytest.mark.skipif(LIBPNG is None, reason="libpng is not installed")
@pytest.mark.parametrize("pixels", CASES)
def test_libpng(pixels: Pixels) -> None:
    library, data, image = ctypes.CDLL(LIBPNG), encode(pixels), Control(version=1)
    size = ctypes.c_size_t(len(data))
    assert library.png_image_begin_read_from_memory(ctypes.byref(image), data, size), image.message
    assert (image.height, image.width) == pixels.shape[:2]
    image.format = RGBA
    found = np.empty_like(pixels)
    to = found.ctypes.data_as(ctypes.c_void_p)
    assert library.png_image_finish_read(ctypes.byref(image), None, to, 0, None), image.message
    assert image.warning_or_error == 0, image.message
    assert np.array_equal(found, pixels)


@pytest.mark.skipif(shutil.which("pngcheck") is None, reason="pngcheck is not installed")
@pytest.mark.parametrize("pixels", CASES)
def test_pngcheck(pixels: Pixels, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(pixels, {"parameters": "a red dragon"}))
    command = ["pngcheck", "-v", str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "No errors detected" in done.stdout) == (0, True), done.stdout


DECODE = """async (text) => {
  const data = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const decoder = new ImageDecoder({ data, type: "image/png", premultiplyAlpha: "none", colorSpaceConversion: "none" });
  const { image } = await decoder.decode();
  const bytes = new Uint8Array(image.allocationSize({ format: "RGBA" }));
  await image.copyTo(bytes, { format: "RGBA" });
  let found = "";
  for (const byte of bytes) found += String.fromCharCode(byte);
  return [image.codedWidth, image.codedHeight, btoa(found)];
}"""


@browser.needed
async def test_chromium() -> None:
    async with browser.started() as started:
        page = await started.new_page()
        await page.route("https://png.test/", lambda route: route.fulfill(body="<p>png</p>"))
        await page.goto("https://png.test/")  # decoders are for secure origins
        for name, pixels in pictures():
            ours, theirs = [
                await page.evaluate(DECODE, base64.b64encode(data).decode())
                for data in (encode(pixels), by_pillow(pixels))
            ]
            assert ours == theirs, name
            if (pixels[..., 3] == 255).all():  # of others it keeps colours times alpha
                width, height, found = ours
                decoded = np.frombuffer(base64.b64decode(found), np.uint8)
                assert np.array_equal(decoded.reshape(height, width, 4), pixels), name


def by_pillow(pixels: Pixels) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "png")
    return data.getvalue()
