"""Pictures that go with a request: a file that the server knows already goes as its sha256, others as base64."""

from __future__ import annotations

import base64
import hashlib
import re

from gfedge.cli.client import Refused, Server
from gfedge.cli.jobs import read_picture

SHA256 = re.compile(r"[0-9a-f]{64}")


def sent(server: Server, name: str) -> str:
    """What stands for a picture in a request; `name` is a file, `-`, or an asset's sha256."""
    if SHA256.fullmatch(name):
        return name
    body = read_picture(name)
    sha256 = hashlib.sha256(body).hexdigest()
    try:
        server.request("HEAD", f"/api/v1/assets/{sha256}")
    except Refused:
        return base64.b64encode(body).decode()
    return sha256
