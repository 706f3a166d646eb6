"""What is outside: the environment of programs that are not ours (trainers, openssl), this machine in its network."""

from __future__ import annotations

import os
import socket
import sys


def environment() -> dict[str, str]:
    """Ours, but for the path to the single binary's own libraries, which would meet those of the system."""
    found = dict(os.environ)
    if getattr(sys, "frozen", False):
        found.pop("LD_LIBRARY_PATH", None)
        if (before := found.pop("LD_LIBRARY_PATH_ORIG", None)) is not None:
            found["LD_LIBRARY_PATH"] = before
    return found


def own_address(wildcard: str) -> str:
    """This machine's address in its network: the one that packets to elsewhere would come from. None is sent."""
    family, elsewhere = (
        (socket.AF_INET6, "2001:db8::1") if ":" in wildcard else (socket.AF_INET, "192.0.2.1")
    )
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "::1" if ":" in wildcard else "127.0.0.1"
