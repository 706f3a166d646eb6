"""Silences: for a time no messages about the alerts that fulfil all of a silence's matchers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from gfedge import errors
from gfedge.alerts.types import ListedSilence, NewSilence, Silence
from gfedge.promql import matching, types
from gfedge.promql.matching import BadRegex

MOST = 1000
"""Silences that have not ended."""


class Silencing:
    """The silences in memory, by id."""

    def __init__(self) -> None:
        self._silences: dict[str, tuple[Silence, list[types.Matcher]]] = {}
        self._states: dict[str, str] = {}
        """As they were when that was last told."""

    def put(self, silence: Silence, now: float) -> ListedSilence:
        """Adds a silence or replaces it; Invalid where a matcher is none."""
        self._silences[silence.id] = (silence, _compiled(silence))
        found = listed(silence, now)
        self._states[silence.id] = found.state
        return found

    def find(self, silence_id: str) -> Silence:
        if (known := self._silences.get(silence_id)) is None:
            raise errors.NotFound(f"no silence {silence_id!r}", code="silence_not_found")
        return known[0]

    def all(self) -> list[Silence]:
        """The newest first."""
        return [silence for _, (silence, _) in sorted(self._silences.items(), reverse=True)]

    def holding(self, labels: Mapping[str, str], now: float) -> list[str]:
        """The ids of those that hold an alert with these labels now."""
        return [
            silence.id
            for silence, matchers in self._silences.values()
            if silence.starts_at <= now < silence.ends_at
            and all(one.matches(labels.get(one.name, "")) for one in matchers)
        ]

    def turned(self, now: float) -> list[ListedSilence]:
        """Those that began or ended by the clock since they were put here, or since this was asked last."""
        found = [listed(one, now) for one, _ in self._silences.values()]
        turned = [one for one in found if self._states[one.id] != one.state]
        self._states |= {one.id: one.state for one in turned}
        return turned

    def check_room(self, now: float) -> None:
        if sum(silence.ends_at > now for silence, _ in self._silences.values()) >= MOST:
            raise errors.Conflict(f"there are {MOST} silences: end some", code="too_many_silences")


def made(wanted: NewSilence, silence_id: str, by: str, now: float) -> Silence:
    """The silence of a request; Invalid says what is wrong with it."""
    starts_at = now if wanted.starts_at is None else wanted.starts_at
    if (wanted.ends_at is None) == (wanted.duration_seconds is None):
        raise errors.Invalid("give one of ends_at and duration_seconds", field="ends_at")
    ends_at = wanted.ends_at
    if wanted.duration_seconds is not None:
        ends_at = starts_at + wanted.duration_seconds
    assert ends_at is not None
    if ends_at <= max(now, starts_at):
        raise errors.Invalid(
            "ends_at: it must be in the future, and later than starts_at", field="ends_at"
        )
    silence = Silence(
        id=silence_id,
        matchers=wanted.matchers,
        starts_at=starts_at,
        ends_at=ends_at,
        created_at=now,
        created_by=by,
        comment=wanted.comment,
    )
    if all(matcher.matches("") for matcher in _compiled(silence)):
        raise errors.Invalid(
            "matchers: at least one must not match the empty value, or all alerts would be silent",
            code="matches_everything",
            field="matchers",
        )
    return silence


def ended(silence: Silence, now: float) -> Silence:
    return msgspec.structs.replace(silence, ends_at=min(silence.ends_at, now))


def listed(silence: Silence, now: float) -> ListedSilence:
    state: Literal["pending", "active", "expired"] = "active"
    if now >= silence.ends_at:
        state = "expired"
    elif now < silence.starts_at:
        state = "pending"
    return ListedSilence(**msgspec.structs.asdict(silence), state=state)


def _compiled(silence: Silence) -> list[types.Matcher]:
    found = []
    for at, one in enumerate(silence.matchers):
        try:
            found.append(matching.matcher(one.name, one.op, one.value))
        except BadRegex as error:
            field = f"matchers[{at}].value"
            raise errors.Invalid(f"{field}: {error}", code="bad_regex", field=field) from None
    return found
