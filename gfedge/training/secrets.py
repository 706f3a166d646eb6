"""What a trainer shows to report to its job: derived from the job's id and one key in the data folder, so none is stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

PREFIX = "gfjob_"
KEY_BYTES = 32


class JobSecrets:
    """Makes and checks secrets; each opens one job, for as long as it has not ended."""

    def __init__(self, path: Path) -> None:
        self._key = _key(path)

    def of(self, job_id: str) -> str:
        digest = hmac.digest(self._key, job_id.encode(), hashlib.sha256)
        return PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def fits(self, job_id: str, secret: str) -> bool:
        return hmac.compare_digest(self.of(job_id).encode(), secret.encode("utf-8", "replace"))

    @property
    def server(self) -> str:
        """A short name of this server, the same after a restart; by it rented machines are told from others'."""
        return hmac.digest(self._key, b"server", hashlib.sha256).hex()[:8]


def _key(path: Path) -> bytes:
    try:
        if len(key := path.read_bytes()) == KEY_BYTES:
            return key
    except FileNotFoundError:
        pass
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key := secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return key
