"""Slows down who guesses tokens. Only those whose token is wrong ever meet it: a valid one is looked at first."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

TRIES = 20
SECONDS = 10.0
MAX_ADDRESSES = 10_000


class Throttle:
    """Wrong tokens by address; time comes in as an argument."""

    def __init__(self, tries: int = TRIES, seconds: float = SECONDS) -> None:
        self.tries = tries
        self.seconds = seconds
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wrong(self, address: str, now: float) -> int:
        """Counts a wrong token; the number of them in this window, which are too many past `tries`."""
        key = network(address)
        began, count = self._windows.pop(key, (now, 0))
        if now - began >= self.seconds:
            began, count = now, 0
        self._windows[key] = (began, count + 1)
        if len(self._windows) > MAX_ADDRESSES:
            self._windows.popitem(last=False)
        return count + 1


def network(address: str) -> str:
    """An IPv4 address itself, the /64 of an IPv6 one: who has one of those has all of it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False))
