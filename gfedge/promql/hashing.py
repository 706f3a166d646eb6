"""XXH64, with which Prometheus hashes a label set: limit_ratio() takes the same series as it does."""

from __future__ import annotations

from gfedge.promql.types import Labels

_A, _B, _C = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_D, _E = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_MASK = (1 << 64) - 1


def label_hash(labels: Labels) -> int:
    """Of names and values, each behind its length."""
    parts = [part.encode("utf-8", "surrogateescape") for pair in labels for part in pair]
    return xxh64(b"".join(_size(len(part)) + part for part in parts))


def _size(length: int) -> bytes:
    return bytes([length]) if length < 255 else b"\xff" + length.to_bytes(3, "little")


def _left(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK


def _round(state: int, lane: int) -> int:
    return _left((state + lane * _B) & _MASK, 31) * _A & _MASK


def xxh64(data: bytes) -> int:
    """The 64-bit hash with seed 0."""
    at, size = 0, len(data)
    if size < 32:
        state = _E
    else:
        lanes = [(_A + _B) & _MASK, _B, 0, -_A & _MASK]
        while at + 32 <= size:
            for lane in range(4):
                word = int.from_bytes(data[at : at + 8], "little")
                lanes[lane] = _round(lanes[lane], word)
                at += 8
        rotated = zip(lanes, (1, 7, 12, 18), strict=True)
        state = sum(_left(lane, bits) for lane, bits in rotated) & _MASK
        for lane in lanes:
            state = ((state ^ _round(0, lane)) * _A + _D) & _MASK
    return _finished((state + size) & _MASK, data[at:])


def _finished(state: int, rest: bytes) -> int:
    at = 0
    while at + 8 <= len(rest):
        state ^= _round(0, int.from_bytes(rest[at : at + 8], "little"))
        state = (_left(state, 27) * _A + _D) & _MASK
        at += 8
    if at + 4 <= len(rest):
        state ^= int.from_bytes(rest[at : at + 4], "little") * _A & _MASK
        state = (_left(state, 23) * _B + _C) & _MASK
        at += 4
    for byte in rest[at:]:
        state = _left(state ^ (byte * _E & _MASK), 11) * _A & _MASK
    state = (state ^ (state >> 33)) * _B & _MASK
    state = (state ^ (state >> 29)) * _C & _MASK
    return state ^ (state >> 32)
