"""What the server and an inference process of its own say to each other: frames of MessagePack over a socket, and
pixels in files that both map into memory."""

from __future__ import annotations

import mmap
import os
import secrets
import socket
import struct
import tempfile
import threading
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np

from gfedge.inference.types import (
    Device,
    EngineOptions,
    GenerateRequest,
    LoadedModel,
    ModelFolder,
    Pixels,
    UpscaleRequest,
)

HEAD = struct.Struct("<I")
SHARED = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())  # noqa: S108
PREFIX = "gfedge-pixels-"


class Shared(msgspec.Struct, frozen=True, array_like=True):
    """A picture in a file under SHARED; who reads it removes it."""

    name: str
    height: int
    width: int


class Begin(msgspec.Struct, tag=True):
    """The first message to the process."""

    options: EngineOptions


class Load(msgspec.Struct, tag=True):
    id: int
    model: ModelFolder


class Keep(msgspec.Struct, tag=True):
    model: ModelFolder
    seconds: float


class Generate(msgspec.Struct, tag=True):
    id: int
    model: ModelFolder
    request: GenerateRequest
    previews: bool


class Upscale(msgspec.Struct, tag=True):
    id: int
    model: ModelFolder | None
    image: Shared
    request: UpscaleRequest


class Cancel(msgspec.Struct, tag=True):
    id: int


Order: TypeAlias = Begin | Load | Keep | Generate | Upscale | Cancel


class Ready(msgspec.Struct, tag=True):
    """The first message of the process."""

    device: Device
    surroundings: dict[str, str]


class Moved(msgspec.Struct, tag=True):
    """So many units of a call are done."""

    id: int
    done: int
    units: int


class Preview(msgspec.Struct, tag=True):
    id: int
    index: int
    side: int
    pixels: bytes


class Facts(msgspec.Struct):
    """A Result but for its images."""

    load_seconds: float
    inference_seconds: float
    batch_size: float
    tiles: int
    unknown_words: tuple[str, ...]
    suggestions: dict[str, tuple[str, ...]]
    dropped_words: tuple[str, ...]


class Done(msgspec.Struct, tag=True):
    """How a call ended: a load with its seconds, the others with their pictures and what else is told of them."""

    id: int
    loaded: list[LoadedModel]
    seconds: float | None = None
    images: list[Shared] = []
    facts: Facts | None = None


class Failed(msgspec.Struct, tag=True):
    id: int
    text: str
    cancelled: bool = False


Report: TypeAlias = Ready | Moved | Preview | Done | Failed


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _path(kind: type, value: Any) -> Any:
    return Path(value) if issubclass(kind, Path) else value


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_orders = msgspec.msgpack.Decoder(Order, dec_hook=_path)
_reports = msgspec.msgpack.Decoder(Report, dec_hook=_path)


class Line:
    """One end of the socket. Any thread may send; one reads."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._reading = connection.makefile("rb")
        self._sending = threading.Lock()

    def send(self, message: Order | Report) -> None:
        """Raises OSError where the other end is gone."""
        data = _encode(message)
        with self._sending:
            self.connection.sendall(HEAD.pack(len(data)) + data)

    def order(self) -> Order | None:
        """The next order; None at the end."""
        data = self._frame()
        return None if data is None else _orders.decode(data)

    def report(self) -> Report | None:
        """The next report; None at the end."""
        data = self._frame()
        return None if data is None else _reports.decode(data)

    def close(self) -> None:
        self._reading.close()
        self.connection.close()

    def _frame(self) -> bytes | None:
        try:
            head = self._reading.read(HEAD.size)
            if len(head) < HEAD.size:
                return None
            size = HEAD.unpack(head)[0]
            data = self._reading.read(size)
        except OSError:
            return None
        return data if len(data) == size else None


def share(image: Pixels) -> Shared:
    """Puts a picture where the other process can map it."""
    name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
    with (SHARED / name).open("xb", buffering=0) as file:
        (SHARED / name).chmod(0o600)
        file.write(np.ascontiguousarray(image).data)
    return Shared(name, image.shape[0], image.shape[1])


def take(shared: Shared) -> Pixels:
    """The picture, mapped and not copied; its file is gone afterwards."""
    path = SHARED / Path(shared.name).name
    with path.open("r+b") as file:
        path.unlink()
        mapped = mmap.mmap(file.fileno(), 0)
    return np.frombuffer(mapped, np.uint8).reshape(shared.height, shared.width, 4)


def sweep(process: int) -> None:
    """Removes what a process that died left shared."""
    for path in SHARED.glob(f"{PREFIX}{process}-*"):
        path.unlink(missing_ok=True)


def sweep_dead() -> None:
    """Removes what processes left that no longer live."""
    for path in SHARED.glob(f"{PREFIX}*"):
        process = path.name.removeprefix(PREFIX).partition("-")[0]
        if process.isdigit() and not Path(f"/proc/{process}").exists():
            path.unlink(missing_ok=True)
