"""The way of each model's prod: which versions were there, in order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gfedge.registry.types import ChangeRow


class Trails:
    """Ids of versions by the names of their models. A promotion to prod goes on, a rollback goes back."""

    def __init__(self, history: Iterable[ChangeRow] = ()) -> None:
        self._of: dict[str, list[str]] = {}
        for entry in history:
            self.follow(entry)

    def __contains__(self, name: str) -> bool:
        """Whether any version of the model was ever in prod."""
        return name in self._of

    def follow(self, entry: ChangeRow) -> None:
        version = f"{entry.name}@{entry.version}"
        if entry.action == "rolled_back":
            trail = self._of.get(entry.name, [])
            while trail and trail[-1] != version:
                trail.pop()
        elif entry.action == "promoted" and entry.to_stage == "prod":
            self._of.setdefault(entry.name, []).append(version)

    def before(self, name: str) -> Iterator[str]:
        """The versions that were in prod before the last one, latest first."""
        return reversed(self._of.get(name, [])[:-1])
