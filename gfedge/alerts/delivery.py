"""All receivers of the configuration, opened and closed together; a reload closes them and opens those of the new file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from gfedge import errors
from gfedge.alerts.notifier import Look, Notifier, Save
from gfedge.alerts.receivers import Routing
from gfedge.alerts.types import NotedRow
from gfedge.outbound import Outbound
from gfedge.tasks import Tasks


class Delivery:
    """The notifiers, one for each receiver."""

    def __init__(self, look: Look, save: Save, url: str) -> None:
        self._look = look
        self._save = save
        self._url = url
        self._clients = AsyncExitStack()
        self._tasks = Tasks()
        self.notifiers: list[Notifier] = []

    async def open(self, routing: Routing, noted: Sequence[NotedRow]) -> None:
        """Begins to tell the receivers, in place of those before."""
        await self.close()
        for receiver in routing.receivers:
            client = None
            if receiver.target is not None:
                client = await self._clients.enter_async_context(Outbound(receiver.target))
            one = Notifier(receiver, routing, client, self._look, self._save, self._url)
            one.restore(row for row in noted if row.receiver == receiver.name)
            self.notifiers.append(one)
            self._tasks.spawn(f"tell {receiver.name}", one.run())

    async def close(self) -> None:
        await self._tasks.stop()
        await self._clients.aclose()
        self.notifiers = []

    def wake(self) -> None:
        for one in self.notifiers:
            one.wake()

    def find(self, name: str) -> Notifier:
        for one in self.notifiers:
            if one.receiver.name == name:
                return one
        raise errors.NotFound(f"no receiver {name!r}", code="receiver_not_found")
