"""Files of models on a node of a cluster, kept by their sha256: each is sent there once, and checked before it is used."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from gfedge.inference.messages import Array
from gfedge.inference.types import ModelFolder, ModelRefused

KEPT_SECONDS = 30 * 86_400.0
"""How long a model stays that nobody asks for."""


class NodeFiles:
    """The files of one node, which all workers there share. Used by one thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checked: set[str] = set()
        """What this process has read and found whole."""
        self.asked: set[str] = set()
        """What is on its way."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._prune()

    def missing(self, model: ModelFolder) -> list[str]:
        """Names of the model's files that are not here, or not whole."""
        return [name for name in _needed(model) if not self._is_here(model.files[name])]

    def wanted(self, model: ModelFolder, names: Collection[str]) -> list[str]:
        """Of these the ones that nobody has asked for."""
        found = [name for name in names if model.files[name] not in self.asked]
        self.asked |= {model.files[name] for name in found}
        return found

    def put(self, sha256: str, data: Array) -> None:
        """Keeps a file. Raises ModelRefused where it is not the one of this digest, and OSError."""
        self.asked.discard(sha256)
        if hashlib.sha256(data.data).hexdigest() != sha256:
            raise ModelRefused(f"what came for {sha256} has another digest")
        part = self.root / f"{sha256}.{secrets.token_hex(4)}.part"
        part.write_bytes(data.data)
        part.replace(self.root / sha256)
        self.checked.add(sha256)

    def folder(self, model: ModelFolder) -> ModelFolder:
        """The same model with the files of this node, none of which is missing."""
        path = self.root / f"model-{model.digest}"
        path.mkdir(exist_ok=True)
        os.utime(path)
        for name in _needed(model):
            os.utime(self.root / model.files[name])
            part = path / f"{name}.{secrets.token_hex(4)}.part"
            os.link(self.root / model.files[name], part)
            part.replace(path / name)
            part.unlink(missing_ok=True)  # which replacing leaves where both were one file
        return msgspec.structs.replace(model, path=path)

    def _is_here(self, sha256: str) -> bool:
        if sha256 in self.checked and (self.root / sha256).exists():
            return True
        try:
            with (self.root / sha256).open("rb") as file:
                whole = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except OSError:
            return False
        if whole:
            self.checked.add(sha256)
        return whole

    def _prune(self) -> None:
        """Removes what nobody has asked for in a long time, and what a death left half written."""
        late = time.time() - KEPT_SECONDS
        for path in self.root.glob("*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime > late:
                    continue
                for inside in path.glob("*"):
                    inside.unlink()
                path.rmdir() if path.is_dir() else path.unlink()


def _needed(model: ModelFolder) -> list[str]:
    """Golden pictures are for those who judge a model, not for those who run it."""
    return [name for name in model.files if not name.endswith(".png")]
