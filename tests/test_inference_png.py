"""Pictures in and out: files that other programs wrote, hostile files, text chunks, palettes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import tracemalloc
import zlib

import builders
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gfedge.inference import png
from gfedge.inference.palette import flatten, parse_colour, quantise
from gfedge.inference.types import Cancel, Cancelled, ImageError, ImageTooLarge, Pixels

LIMIT = 1 << 20


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (300, 2000)])
@pytest.mark.parametrize("alpha", [False, True])
def test_what_is_written_is_what_is_read(size: tuple[int, int], alpha: bool) -> None:
    pixels = builders.noise(*size, alpha=alpha)
    data = png.encode(pixels, {})
    assert png.probe(data) == ("image/png", size[1], size[0])
    assert np.array_equal(png.decode(data, LIMIT), pixels)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
        assert image.mode == ("RGBA" if (pixels[..., 3] < 255).any() else "RGB")


def test_a_view_is_written_as_it_looks() -> None:
    pixels = builders.noise(40, 40, alpha=True)[::2, 39:3:-1]
    assert np.array_equal(png.decode(png.encode(pixels, {}), LIMIT), pixels)
    assert png.pixels_sha256(pixels) == hashlib.sha256(pixels.tobytes()).hexdigest()


def test_the_standard_library_can_take_isals_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "deflate", zlib)
    pixels = builders.noise(64, 64)
    assert np.array_equal(png.decode(png.encode(pixels), LIMIT), pixels)


def modes() -> list[Image.Image]:
    picture = Image.fromarray(builders.noise(20, 30, alpha=True))
    palette = picture.convert("RGB").quantize(16)
    palette.info["transparency"] = 3
    return [picture, palette, *(picture.convert(mode) for mode in ("1", "L", "LA", "RGB", "P"))]


@pytest.mark.parametrize("image", modes(), ids=lambda image: image.mode)
def test_every_mode_becomes_rgba(image: Image.Image) -> None:
    out = io.BytesIO()
    image.save(out, "PNG")
    with Image.open(io.BytesIO(out.getvalue())) as read:
        expected = np.array(read.convert("RGBA"))
    assert np.array_equal(png.decode(out.getvalue(), LIMIT), expected)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    out = io.BytesIO()
    Image.fromarray(deep).save(out, "PNG")
    assert png.decode(out.getvalue(), LIMIT)[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("format", "options", "media_type"),
    [
        ("JPEG", {}, "image/jpeg"),
        ("JPEG", {"progressive": True}, "image/jpeg"),
        ("WEBP", {}, "image/webp"),
        ("WEBP", {"lossless": True, "exact": True}, "image/webp"),
    ],
)
def test_other_formats(format: str, options: dict[str, object], media_type: str) -> None:  # noqa: A002
    for alpha in (False, True):
        pixels = builders.noise(33, 21, alpha=alpha)
        data = builders.picture_file(pixels, format, **options)
        assert png.probe(data) == (media_type, 21, 33)
        made = png.decode(data, LIMIT)
        assert made.shape == pixels.shape
        if "lossless" in options:
            assert np.array_equal(made, pixels)


STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera that writes this EXIF orientation stores an upright picture."""


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(orientation: int) -> None:
    upright = np.zeros((24, 16, 4), np.uint8)
    upright[:8, :8] = (255, 0, 0, 255)
    upright[..., 3] = 255
    stored = Image.fromarray(upright)
    if orientation in STORED_AS:
        stored = stored.transpose(STORED_AS[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    stored.save(out, "PNG", exif=exif)
    assert np.array_equal(png.decode(out.getvalue(), LIMIT), upright)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(width: int, height: int) -> bytes:
    """A PNG header of this size, with next to nothing behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        png.SIGNATURE
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(
        ImageTooLarge, match=r"50000x50000 = 2,500,000,000 pixels, the limit is 1,048,576"
    ):
        png.decode(bomb(50_000, 50_000), LIMIT)
    with pytest.raises(ImageTooLarge):  # our limit raised above Pillow's own
        png.decode(bomb(10_000, 10_000), 1 << 40)
    assert png.decode(builders.png_file(8, 8), 64).shape == (8, 8, 4)
    with pytest.raises(ImageTooLarge):
        png.decode(builders.png_file(8, 8), 63)


def test_a_webp_takes_more_memory_and_gets_less_room() -> None:
    data = builders.picture_file(np.zeros((8, 8, 4), np.uint8), "WEBP")
    assert png.decode(data, 86).shape == (8, 8, 4)
    with pytest.raises(ImageTooLarge, match="the limit is 63"):
        png.decode(data, 85)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_every_cut_and_every_flipped_bit_is_an_image_error_or_a_picture(format: str) -> None:  # noqa: A002
    data = builders.picture_file(builders.noise(16, 16, alpha=True), format)
    rng = np.random.default_rng(0)
    for length in range(0, len(data) - 16, 23):  # behind the pixels nothing is missed
        with pytest.raises(ImageError):
            png.decode(data[:length], LIMIT)
    for _ in range(150):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 1 << rng.integers(8)
        with contextlib.suppress(ImageError):
            assert png.decode(bytes(broken), LIMIT).shape[2] == 4


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"<svg/>", b"\x89PNG\r\n\x1a\n", bomb(0, 5), bomb(5, 0)]
)
def test_what_is_no_picture_is_said_so(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"the picture|this is not"):
        png.probe(data)


TEXTS = {
    "parameters": "a red dragon\nSteps: 20, Seed: 7",
    "gfedge": '{"job": "01J…", "prompt": "дракон 🐉"}',
    "Latin": "Drachenhöhle",
    "NUL": "a\0b",
    "": "",
}


def test_texts_go_in_and_come_out() -> None:
    texts = {key: text for key, text in TEXTS.items() if key}
    data = png.encode(builders.noise(9, 9), texts)
    read = png.texts(data)
    assert read == {**texts, "NUL": "a\ufffdb"}
    with Image.open(io.BytesIO(data)) as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert {key: str(text) for key, text in image.text.items()} == read
    for key in ("", "x" * 80, "a\0b"):
        with pytest.raises(ValueError, match="keyword"):
            png.encode(builders.noise(2, 2), {key: "text"})


def test_texts_that_others_wrote_are_read() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("plain", "one")
    info.add_text("packed", "two " * 500, zip=True)
    info.add_itxt("wide", "drei…", lang="de", tkey="weit", zip=True)
    data = builders.picture_file(builders.noise(4, 4), pnginfo=info)
    assert png.texts(data) == {"plain": "one", "packed": "two " * 500, "wide": "drei…"}


def test_hostile_texts_are_left_out() -> None:
    start = png.SIGNATURE + chunk(b"IHDR", bytes(13))
    huge = zlib.compress(bytes(png.MAX_TEXT_BYTES + 1))
    hostile = [
        chunk(b"zTXt", b"bomb\0\0" + huge),
        chunk(b"iTXt", b"bomb\0\1\0\0\0" + huge),
        chunk(b"zTXt", b"broken\0\0not deflate"),
        chunk(b"iTXt", b"bad utf-8\0\0\0\0\0\xff\xfe"),
        chunk(b"tEXt", b"long\0" + bytes(png.MAX_TEXT_BYTES)),
        chunk(b"tEXt", b"good\0yes"),
        chunk(b"tEXt", b"good\0no"),
        b"\xff\xff\xff\xfftEXtnever",
    ]
    assert png.texts(start + b"".join(hostile)) == {"good": "yes"}
    many = b"".join(chunk(b"tEXt", b"%d\0x" % i) for i in range(500))
    assert len(png.texts(start + many)) == png.MAX_TEXTS
    for data in (b"", b"no PNG", png.SIGNATURE, start[:20]):
        assert png.texts(data) == {}


def colours_of(pixels: Pixels) -> set[tuple[int, ...]]:
    return {tuple(c) for c in pixels[pixels[..., 3] > 0][:, :3].tolist()}


def test_a_number_of_colours() -> None:
    pixels = builders.noise(40, 40, alpha=True)
    for count in (1, 2, 7, 256):
        few = quantise(pixels, count)
        assert 1 <= len(colours_of(few)) <= count
        assert np.array_equal(few[..., 3], pixels[..., 3])
        assert (few[pixels[..., 3] == 0] == 0).all()
    disc = builders.sprite()
    assert np.array_equal(quantise(disc, 2), disc)  # what has few colours stays what it is


def test_only_opaque_pixels_choose_the_palette() -> None:
    pixels = builders.noise(40, 40)
    pixels[..., 3] = 128
    pixels[0, 0] = (10, 20, 30, 255)
    assert colours_of(quantise(pixels, 4)) == {(10, 20, 30)}
    pixels[..., 3] = 0
    assert not quantise(pixels, 4).any()


def test_a_given_palette() -> None:
    palette = [parse_colour(text) for text in ("#000000", "#FF0000", "#00ff80")]
    pixels = builders.noise(30, 50, alpha=True)
    few = quantise(pixels, palette)
    away = pixels[..., None, :3].astype(int) - np.array(palette)
    nearest = np.array(palette)[(away**2).sum(-1).argmin(-1)]
    visible = pixels[..., 3] > 0
    assert np.array_equal(few[visible][:, :3], nearest[visible])
    for wrong in (0, 257, []):
        with pytest.raises(ValueError, match="1 to 256 colours"):
            quantise(pixels, wrong)  # type: ignore[arg-type]
    for text in ("red", "#12345", "#1234567", "#gggggg", "123456", "#123456\n"):
        with pytest.raises(ValueError, match="#rrggbb"):
            parse_colour(text)


def test_a_plain_background() -> None:
    pixels = builders.noise(50, 50, alpha=True)
    flat = flatten(pixels, (0, 128, 255))
    share = pixels[..., 3:] / 255
    exact = pixels[..., :3] * share + np.array([0, 128, 255]) * (1 - share)
    assert (flat[..., 3] == 255).all()
    assert np.abs(flat[..., :3] - exact).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"\xff" * (31 << 20), "a marker is missing"),
        (b"\xff\xfe\0\2" * (1 << 20), "too long a header"),
        ((b"\xff\xfe\xff\xff" + bytes(0xFFFD)) * 200, "too long a header"),
        (b"\xff\xfe\0\0", "a marker is missing"),
        (b"\xff\xda", "no frame header"),
        (b"\xff\xc0\0\x11\x08", "cut short"),
    ],
    ids=["fill bytes", "small segments", "large segments", "no length", "no frame", "cut"],
)
@pytest.mark.parametrize("framed", [False, True])
def test_a_hostile_jpeg_header_is_not_walked_for_long(
    header: bytes, said: str, framed: bool
) -> None:
    frame = b"\xff\xc0\0\x11\x08\0\x08\0\x08" + bytes(10) if framed else b""
    if framed and header == b"\xff\xda":
        said = "cut short or broken"
    with pytest.raises(ImageError, match=said):
        png.decode(b"\xff\xd8" + frame + header, LIMIT)


def test_fill_bytes_and_metadata_before_the_frame_are_stepped_over() -> None:
    data = builders.picture_file(builders.noise(16, 24), "JPEG")
    more = b"\xff\xff\xff\xfe\0\5abc" + b"\xff\xe2\xff\xff" + bytes(0xFFFD)
    assert png.probe(data[:2] + more + data[2:]) == ("image/jpeg", 24, 16)
    assert np.array_equal(png.decode(data[:2] + more + data[2:], LIMIT), png.decode(data, LIMIT))


def test_a_png_of_nothing_but_chunks_is_refused() -> None:
    data = builders.png_file(8, 8)
    flood = chunk(b"teSt", b"") * png.MAX_CHUNKS
    for at in (33, -12):
        with pytest.raises(ImageError, match=r"the PNG has 100,000 chunks or more"):
            png.decode(data[:at] + flood + data[at:], LIMIT)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_broken_picture_is_said_so_in_words(format: str) -> None:  # noqa: A002
    data = builders.picture_file(builders.noise(16, 16), format)
    at = {"PNG": 33, "JPEG": 200, "WEBP": 40}[format]
    with pytest.raises(ImageError) as refused:
        png.decode(data[:at], LIMIT)
    assert str(refused.value) == f"the {format} picture is cut short or broken" or format == "JPEG"
    assert "<" not in str(refused.value)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("shade", [0, 1])
def test_the_transparent_grey_of_a_png_of_few_bits(depth: int, shade: int) -> None:
    """Eight pixels of grey 0, 1, 0, 1, ... with one of the two transparent."""
    row = sum((i % 2) << depth * (7 - i) for i in range(8)).to_bytes(depth, "big")
    header = struct.pack(">IIBBBBB", 8, 1, depth, 0, 0, 0, 0)
    data = png.SIGNATURE + b"".join(
        chunk(kind, body)
        for kind, body in (
            (b"IHDR", header),
            (b"tRNS", struct.pack(">H", shade)),
            (b"IDAT", zlib.compress(b"\0" + row)),
            (b"IEND", b""),
        )
    )
    pixels = png.decode(data, LIMIT)
    bright = 255 // ((1 << depth) - 1)
    assert pixels[0, :, 0].tolist() == [0, bright] * 4
    assert pixels[0, :, 3].tolist() == ([255, 0] if shade else [0, 255]) * 4


def test_the_transparent_colour_of_a_deep_png() -> None:
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    row = b"\0" + struct.pack(">6H", 0x1200, 0x3400, 0x5600, 0xFF00, 0, 0)
    data = png.SIGNATURE + b"".join(
        chunk(kind, body)
        for kind, body in (
            (b"IHDR", header),
            (b"tRNS", struct.pack(">3H", 0x1200, 0x3400, 0x5600)),
            (b"IDAT", zlib.compress(row)),
            (b"IEND", b""),
        )
    )
    assert png.decode(data, LIMIT)[0, :, 3].tolist() == [0, 255]


def test_a_cancel_reaches_the_encoder() -> None:
    pixels, cancel, bands = builders.noise(900, 1000), Cancel(), []

    def check() -> None:
        bands.append(1)
        if len(bands) == 2:
            cancel.cancel()
        cancel.check()

    with pytest.raises(Cancelled):
        png.encode(pixels, None, check)
    assert len(bands) == 2
    assert png.encode(pixels, None, lambda: None) == png.encode(pixels)


def test_the_encoder_holds_its_file_once() -> None:
    pixels = builders.noise(2000, 1500)
    tracemalloc.start()
    data = png.encode(pixels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * len(data)


def test_texts_end_with_the_picture_and_are_read_only_if_asked_for() -> None:
    start = png.SIGNATURE + chunk(b"IHDR", bytes(13))
    end, good = chunk(b"IEND", b""), chunk(b"tEXt", b"good\0yes")
    assert png.texts(start + end + good) == {}
    assert png.texts(start + good + end, ("good",)) == {"good": "yes"}
    assert png.texts(start + good + end, ("other",)) == {}
    # However many come before it, what is asked for is found; what is broken counts as a try.
    others = b"".join(chunk(b"tEXt", b"%d\0x" % i) for i in range(500))
    assert png.texts(start + others + good, ("good",)) == {"good": "yes"}
    broken = chunk(b"zTXt", b"good\0\0no")
    assert png.texts(start + broken * png.MAX_TEXTS + good, ("good",)) == {}
    assert png.texts(start + broken + good, ("good",)) == {"good": "yes"}


def test_packed_texts_are_bounded_together() -> None:
    start = png.SIGNATURE + chunk(b"IHDR", bytes(13))
    packed = zlib.compress(bytes(png.MAX_TEXT_BYTES))
    many = b"".join(chunk(b"zTXt", b"%d\0\0" % i + packed) for i in range(60))
    found = png.texts(start + many)
    assert sum(map(len, found.values())) == png.MAX_TEXTS_BYTES
    duplicates = chunk(b"zTXt", b"same\0\0" + packed) * 60
    assert list(png.texts(start + duplicates + chunk(b"tEXt", b"good\0yes"))) == ["same", "good"]
