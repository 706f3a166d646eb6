"""Pictures in and out: PNG, JPEG and WebP bytes to RGBA pixels, and a fast PNG writer with text chunks.

Reading is Pillow's, behind our own look at the header, so that a decompression bomb is refused before anything is
allocated. Writing is ours: numpy's "up" filter and deflate at its fastest, by isal where it is installed: less than
a tenth of the CPU of Pillow's level 1 at about the same size. PNG is W3C "Portable Network Graphics", 3rd edition.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gfedge.inference.types import ImageError, ImageTooLarge, Pixels

deflate: ModuleType
try:
    from isal import isal_zlib

    deflate = isal_zlib
except ImportError:
    deflate = zlib

# Pillow only warns of a bomb up to twice its limit; here that is an error too.
warnings.simplefilter("error", Image.DecompressionBombWarning)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
BAND_BYTES = 1 << 20
MAX_TEXTS = 64
MAX_TEXT_BYTES = 1 << 20
MAX_TEXTS_BYTES = 16 << 20
"""What the texts of one file may hold together, inflated."""
MAX_KEY_BYTES = 79
MAX_CHUNKS = 100_000
MAX_JPEG_SEGMENTS = 4096
MAX_JPEG_HEADER_BYTES = 8 << 20
"""Pillow steps over a PNG's chunks and a JPEG's segments one by one, so there must not be millions."""
MARKER = re.compile(rb"\xff{1,64}([^\xff])", re.DOTALL)
"""A JPEG marker with its fill bytes, which are stepped over one by one too."""
TURNS = {
    2: (slice(None), slice(None, None, -1), False),
    3: (slice(None, None, -1), slice(None, None, -1), False),
    4: (slice(None, None, -1), slice(None), False),
    5: (slice(None), slice(None), True),
    6: (slice(None, None, -1), slice(None), True),
    7: (slice(None, None, -1), slice(None, None, -1), True),
    8: (slice(None), slice(None, None, -1), True),
}
"""What undoes each EXIF orientation: the order of rows and of columns, then whether they change places."""


def probe(data: bytes) -> tuple[str, int, int]:
    """Media type, width and height as the header says (before any EXIF turn); decodes nothing.

    Raises ImageError for anything that is not PNG, JPEG or WebP, and for a header cut short.
    """
    try:
        if data.startswith(SIGNATURE):
            found = ("image/png", *_png_size(data))
        elif data.startswith(b"\xff\xd8\xff"):
            found = ("image/jpeg", *_jpeg_size(data))
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            found = ("image/webp", *_webp_size(data))
        else:
            raise ImageError("this is not a PNG, JPEG or WebP picture")
    except (struct.error, IndexError):
        raise ImageError("the picture is cut short: its header is not complete") from None
    if found[1] < 1 or found[2] < 1:
        raise ImageError("the picture has no pixels")
    return found


def _png_size(data: bytes) -> tuple[int, int]:
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR":
        raise ImageError("the PNG does not begin with its header chunk")
    if sum(1 for _ in _chunks(data)) == MAX_CHUNKS:
        raise ImageError(f"the PNG has {MAX_CHUNKS:,} chunks or more")
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Size from the first frame header (ITU T.81, B.2.2); the segments are walked to where the pixels begin."""
    size: tuple[int, int] | None = None
    for kind, at in _jpeg_segments(data):
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 3)
            size = size or (width, height)
    if size is None:
        raise ImageError("the JPEG picture has no frame header")
    return size


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of each segment before the first scan."""
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        if (marker := MARKER.match(data, at)) is None:
            raise ImageError("the JPEG picture is broken or cut short: a marker is missing")
        kind, at = marker[1][0], marker.end()
        if kind == 0xD9 or kind == 0xDA:  # the end, or a scan
            return
        yield kind, at
        at += struct.unpack_from(">H", data, at)[0]
        if at > MAX_JPEG_HEADER_BYTES:
            break
    raise ImageError("the JPEG picture has too long a header")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Size from the first chunk: lossy VP8, lossless VP8L, or the extended VP8X (RFC 9649)."""
    kind = data[12:16]
    if kind == b"VP8X":
        wide, high = data[24:27], data[27:30]
        if len(high) < 3:
            raise IndexError
        return int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ImageError("the WebP picture begins with an unknown chunk")


def decode(data: bytes, max_pixels: int) -> Pixels:
    """RGBA of the first frame, turned upright as its EXIF orientation says.

    Raises ImageTooLarge before decoding if the header promises more than `max_pixels` (WebP: three quarters of
    it), and ImageError with a
    readable text if the data is no picture, cut short or broken.
    """
    media_type, width, height = probe(data)
    if media_type == "image/webp":  # libwebp holds a second canvas
        max_pixels = max_pixels * 3 // 4
    _check_size(width, height, max_pixels)
    name = FORMATS[media_type]
    try:
        with Image.open(io.BytesIO(data), formats=[name]) as image:
            _check_size(*image.size, max_pixels)
            turn = _orientation(image)
            image.load()
            if media_type == "image/png":
                _scale_colour_key(image, bit_depth=data[24], colour_type=data[25])
            pixels = _to_rgba(image)
        return _upright(pixels, turn)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"the picture is too large: {error}") from None
    except Exception as error:  # a hostile file finds every exception that Pillow has
        raise ImageError(f"the {name} picture is cut short or broken") from error


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"the picture has {width}x{height} = {width * height:,} pixels, the limit is {max_pixels:,}"
        )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # broken EXIF says nothing about the pixels
        return 1


def _scale_colour_key(image: Image.Image, bit_depth: int, colour_type: int) -> None:
    """The transparent colour of a tRNS chunk as Pillow's 8-bit pixels have it; Pillow leaves it in the file's depth."""
    key = image.info.get("transparency")
    if colour_type == 0 and bit_depth < 8 and isinstance(key, int):
        highest = (1 << bit_depth) - 1
        image.info["transparency"] = (key & highest) * (255 // highest)
    elif colour_type == 2 and bit_depth == 16 and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    if orientation not in TURNS:
        return pixels
    rows, columns, swapped = TURNS[orientation]
    turned = pixels[rows, columns]
    return np.ascontiguousarray(turned.swapaxes(0, 1) if swapped else turned)


def _to_rgba(image: Image.Image) -> Pixels:
    """Band by band: Pillow's conversion and its way to numpy take three more pictures of room at once."""
    out = np.empty((image.height, image.width, 4), np.uint8)
    for band in bands(out):
        part = image.crop((0, band.start, image.width, band.stop))
        deep = part.mode.startswith(("I", "F"))
        out[band] = _from_deep_grey(part) if deep else np.asarray(part.convert("RGBA"))
    return out


def _from_deep_grey(image: Image.Image) -> Pixels:
    """16-bit grey to 8 bits by rounding; Pillow's own conversion clips at 255 instead."""
    deep = np.asarray(image).astype(np.uint32)
    grey = ((deep * 255 + 32767) // 65535).clip(0, 255).astype(np.uint8)
    alpha = np.full_like(grey, 255)
    if isinstance(clear := image.info.get("transparency"), int):
        alpha[deep == clear] = 0
    return np.stack([grey, grey, grey, alpha], axis=-1)


def bands(pixels: NDArray[Any], band_bytes: int = BAND_BYTES) -> Iterator[slice]:
    """Slices of whole rows, each of about `band_bytes`, so that work on a picture needs little room of its own."""
    height = pixels.shape[0]
    rows = max(1, band_bytes // max(1, pixels[:1].nbytes))
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))


def opaque(pixels: Pixels) -> bool:
    """Whether every pixel is fully opaque."""
    return bool(pixels[..., 3].min(initial=255) == 255)


def encode(
    pixels: Pixels,
    texts: dict[str, str] | None = None,
    check: Callable[[], None] = lambda: None,
) -> bytes:
    """PNG bytes of RGBA pixels, as RGB if all are opaque, with `texts` (keyword to text) as text chunks.

    `check` is called before each band; what it raises (Cancelled) ends the work.
    """
    height, width, _ = pixels.shape
    channels, colour_type = (3, 2) if opaque(pixels) else (4, 6)
    out = io.BytesIO()
    out.write(SIGNATURE)
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    _write_chunk(out, b"IHDR", header)
    for key, text in (texts or {}).items():
        _write_chunk(out, *_text_chunk(key, text))
    for part in _compressed(pixels, channels, check):
        _write_chunk(out, b"IDAT", part)
    _write_chunk(out, b"IEND", b"")
    return out.getvalue()  # hands its buffer over without a copy


def _compressed(pixels: Pixels, channels: int, check: Callable[[], None]) -> Iterator[bytes]:
    """The deflated rows, band by band."""
    packer = deflate.compressobj(1)
    above = np.zeros(pixels.shape[1] * channels, np.uint8)
    for band in bands(pixels):
        check()
        part = pixels[band, :, :channels]
        rows = np.ascontiguousarray(part).reshape(part.shape[0], -1)
        if packed := packer.compress(_up_filtered(rows, above)):
            yield packed
        above = rows[-1]
    yield packer.flush()


def _up_filtered(rows: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows [n, bytes] as [n, 1 + bytes]: filter byte 2 ("up"), then the difference to the row above."""
    out = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    out[:, 0] = 2
    np.subtract(rows[0], above, out=out[0, 1:])
    np.subtract(rows[1:], rows[:-1], out=out[1:, 1:])
    return out


def _write_chunk(out: io.BytesIO, kind: bytes, data: bytes) -> None:
    out.write(struct.pack(">I", len(data)) + kind)
    out.write(data)
    out.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def _text_chunk(key: str, text: str) -> tuple[bytes, bytes]:
    """tEXt where Latin-1 can hold the text, else iTXt; a NUL, which neither may hold, becomes U+FFFD."""
    name = key.encode("latin-1")
    if not 1 <= len(name) <= MAX_KEY_BYTES or b"\0" in name:
        raise ValueError(f"a PNG text keyword has 1 to 79 Latin-1 characters: {key!r}")
    clean = text.replace("\0", "\ufffd")
    try:
        return b"tEXt", name + b"\0" + clean.encode("latin-1")
    except UnicodeEncodeError:
        return b"iTXt", name + b"\0\0\0\0\0" + clean.encode("utf-8", "replace")


def texts(data: bytes, keys: Collection[str] | None = None) -> dict[str, str]:
    """Text chunks of a PNG, keyword to text, or those of `keys` alone; the first of a keyword counts.

    Safe on a hostile file: bounded in number and size, broken chunks are left out, and data that is no PNG has none.
    """
    found: dict[str, str] = {}
    tries, room = 0, MAX_TEXTS_BYTES
    for kind, key, body in _text_chunks(data):
        if key in found or (keys is not None and key not in keys):
            continue
        if tries == MAX_TEXTS or room <= 0:
            break
        tries += 1
        try:
            found[key] = _read_text(kind, bytes(body), room)
            room -= len(found[key])
        except (ValueError, zlib.error):
            room -= MAX_TEXT_BYTES
    return found


def _text_chunks(data: bytes) -> Iterator[tuple[bytes, str, memoryview]]:
    """Kind, keyword and the rest of each text chunk."""
    for kind, body in _chunks(data):
        if kind in (b"tEXt", b"zTXt", b"iTXt") and len(body) <= MAX_TEXT_BYTES:
            key, end, _ = bytes(body[: MAX_KEY_BYTES + 1]).partition(b"\0")
            if end:
                yield kind, key.decode("latin-1"), body[len(key) + 1 :]


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and body of each chunk, up to IEND, the end of the file or the first that does not fit in it."""
    view, at = memoryview(data), len(SIGNATURE)
    if not data.startswith(SIGNATURE):
        return
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(view):
            return
        length, kind = struct.unpack_from(">I4s", view, at)
        if at + 12 + length > len(view):
            return
        yield kind, view[at + 8 : at + 8 + length]
        if kind == b"IEND":
            return
        at += 12 + length


def _read_text(kind: bytes, rest: bytes, room: int) -> str:
    """The text behind the keyword of a chunk; a packed one that holds more than `room` bytes is refused."""
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind == b"zTXt":
        return _inflate(rest[1:], room).decode("latin-1")
    packed, rest = rest[:1] == b"\1", rest[2:]
    _language, _, rest = rest.partition(b"\0")
    _translated, _, rest = rest.partition(b"\0")
    return (_inflate(rest, room) if packed else rest).decode("utf-8")


def _inflate(data: bytes, room: int) -> bytes:
    """A deflated text; one longer than MAX_TEXT_BYTES or than there is room for is refused, not cut."""
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(data, min(MAX_TEXT_BYTES, room))
    if not unpacker.eof:
        raise ValueError("text too long or cut short")
    return text


def pixels_sha256(pixels: Pixels) -> str:
    """sha256 (hex) of the RGBA bytes, row after row: equal for equal pictures whatever their file says."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
