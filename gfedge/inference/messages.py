"""What the server and workers elsewhere say to each other: frames of MessagePack, and beside them arrays (pictures, files of
models). Over a socket the arrays go through files that both sides map into memory."""

from __future__ import annotations

import mmap
import os
import secrets
import socket
import struct
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from gfedge.inference.types import (
    Device,
    EngineOptions,
    GenerateRequest,
    LoadedModel,
    ModelFolder,
    UpscaleRequest,
    Vitals,
)

Array: TypeAlias = NDArray[np.uint8]
Arrays: TypeAlias = Sequence[Array]

HEAD = struct.Struct("<I")
SHARED = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())  # noqa: S108
PREFIX = "gfedge-pixels-"


class Shared(msgspec.Struct, frozen=True, array_like=True):
    """An array in a file under SHARED; who reads it removes it."""

    name: str
    shape: tuple[int, ...]


class Begin(msgspec.Struct, tag=True):
    """The first message to a worker."""

    options: EngineOptions
    cache: str = ""
    """Folder for files of models that the worker has not got; empty where it reads those of the server."""


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
    """Comes with the picture."""

    id: int
    model: ModelFolder | None
    request: UpscaleRequest


class Cancel(msgspec.Struct, tag=True):
    id: int


class File(msgspec.Struct, tag=True):
    """Comes with a file that was missing; without one where the server cannot read it either, and why."""

    sha256: str
    problem: str = ""


class Connect(msgspec.Struct, tag=True):
    """The first message to a hub: where its workers are to be, and what each of them begins with."""

    address: str
    actors: int
    begin: Begin


class End(msgspec.Struct, tag=True):
    """To a hub: this worker hangs, or is of no use; how that is told, and what it says against its calls."""

    worker: int
    how: str
    weight: int


Order: TypeAlias = Begin | Load | Keep | Generate | Upscale | Cancel | File | Connect | End


class Ready(msgspec.Struct, tag=True):
    """The first message of a worker."""

    device: Device
    surroundings: dict[str, str]


class Known(msgspec.Struct, tag=True):
    """Of a hub, before a worker's first: what it is called."""

    name: str


class Gone(msgspec.Struct, tag=True):
    """Of a hub: this worker is no more."""

    how: str
    weight: int
    """As evidence against the calls that were there (evidence.py)."""


class State(msgspec.Struct, tag=True):
    """Of a hub: how it is, for people."""

    text: str


class Missing(msgspec.Struct, tag=True):
    """Files of a model that the worker has not got."""

    model: ModelFolder
    names: list[str]


class Alive(msgspec.Struct, tag=True):
    """A worker's pulse."""

    vitals: Vitals


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
    undocumented_words: tuple[str, ...]
    suggestions: dict[str, tuple[str, ...]]
    dropped_words: tuple[str, ...]


class Done(msgspec.Struct, tag=True):
    """How a call ended: a load with its seconds, the others with what is told of their pictures, which come with it."""

    id: int
    loaded: list[LoadedModel]
    seconds: float | None = None
    facts: Facts | None = None


class Failed(msgspec.Struct, tag=True):
    id: int
    text: str
    cancelled: bool = False


Report: TypeAlias = Ready | Moved | Preview | Done | Failed | Known | Gone | State | Missing | Alive


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _path(kind: type, value: Any) -> Any:
    return Path(value) if issubclass(kind, Path) else value


encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
read_order = msgspec.msgpack.Decoder(Order, dec_hook=_path).decode
read_report = msgspec.msgpack.Decoder(Report, dec_hook=_path).decode


class Letter(NamedTuple):
    """A message, encoded, with its arrays, to or from a worker."""

    worker: int
    message: bytes
    arrays: Arrays


class _Frame(msgspec.Struct, array_like=True):
    worker: int
    message: bytes
    shared: list[Shared]


_frames = msgspec.msgpack.Decoder(_Frame)


class Line:
    """One end of the socket. Any thread may send; one reads."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._reading = connection.makefile("rb")
        self._sending = threading.Lock()

    def send(self, message: Order | Report, arrays: Arrays = (), worker: int = 0) -> None:
        """Raises OSError where the other end is gone."""
        self.post(Letter(worker, encode(message), arrays))

    def post(self, letter: Letter) -> None:
        """As `send`, of a message that is encoded already."""
        shared = [share(array) for array in letter.arrays]
        data = encode(_Frame(letter.worker, letter.message, shared))
        with self._sending:
            self.connection.sendall(HEAD.pack(len(data)) + data)

    def letter(self) -> Letter | None:
        """The next one; None at the end."""
        if (data := self._read()) is None:
            return None
        frame = _frames.decode(data)
        return Letter(frame.worker, frame.message, [take(one) for one in frame.shared])

    def close(self) -> None:
        self._reading.close()
        self.connection.close()

    def _read(self) -> bytes | None:
        try:
            head = self._reading.read(HEAD.size)
            if len(head) < HEAD.size:
                return None
            size = HEAD.unpack(head)[0]
            data = self._reading.read(size)
        except OSError:
            return None
        return data if len(data) == size else None


def share(array: Array) -> Shared:
    """Puts an array where the other process can map it."""
    name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
    with (SHARED / name).open("xb", buffering=0) as file:
        (SHARED / name).chmod(0o600)
        file.write(np.ascontiguousarray(array).data)
    return Shared(name, array.shape)


def take(shared: Shared) -> Array:
    """The array, mapped and not copied; its file is gone afterwards."""
    path = SHARED / Path(shared.name).name
    with path.open("r+b") as file:
        path.unlink()
        if 0 in shared.shape:
            return np.zeros(shared.shape, np.uint8)
        mapped = mmap.mmap(file.fileno(), 0)
    return np.frombuffer(mapped, np.uint8).reshape(shared.shape)


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
