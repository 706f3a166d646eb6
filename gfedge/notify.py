"""What systemd is told: ready, stopping, still alive (sd_notify(3)). Nothing happens where no one asked."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


def tell(*lines: str) -> None:
    """Sends the lines to the socket in NOTIFY_SOCKET; never waits for its reader."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.setblocking(False)
            to.sendto("\n".join(lines).encode(), name)
    except BlockingIOError:
        log.debug("systemd has not read what it was told before %s", lines[0])
    except OSError as error:
        log.warning("systemd was not told %s: %s", lines[0], error)


async def feed() -> None:
    """Says that the event loop still turns."""
    tell("WATCHDOG=1")


def watchdog_seconds(environ: Mapping[str, str]) -> float:
    """Silence after which systemd restarts us; 0 where it does not."""
    try:
        ours = int(environ.get("WATCHDOG_PID", os.getpid())) == os.getpid()
        return int(environ["WATCHDOG_USEC"]) / 1e6 if ours else 0.0
    except (KeyError, ValueError):
        return 0.0
