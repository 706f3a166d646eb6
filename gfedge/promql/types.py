"""What the engine reads from a storage and what it answers: the contract of both sides.

Times are int64 milliseconds since 1970, values float64. NaN is a legal sample; the staleness marker is the NaN with
the bits `STALE_BITS`, and a storage hands it on as a sample like any other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec

from gfedge.arrays import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""A label set: (name, value) sorted by name, `__name__` among them, no empty value."""

Times: TypeAlias = "NDArray[np.int64]"
Values: TypeAlias = "NDArray[np.float64]"
Mask: TypeAlias = "NDArray[np.bool_]"
Index: TypeAlias = "NDArray[np.intp]"

NAME = "__name__"
STALE_BITS = 0x7FF0000000000002
STALE: float = struct.unpack("<d", STALE_BITS.to_bytes(8, "little"))[0]


DERIVED = 64
"""What is kept for one selection at most."""


def make_labels(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> Labels:
    """A label set of pairs in any order; empty values are the same as none."""
    return tuple(sorted((name, value) for name, value in dict(pairs).items() if value))


class LabelSets:
    """Label sets by row, unchanging. What is derived of them (groups, rows without the name, JSON) is kept
    here, so a storage that hands out the same object for the same selection saves the engine this work."""

    __slots__ = ("_derived", "rows")

    def __init__(self, rows: Sequence[Labels]) -> None:
        self.rows = rows
        self._derived: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def derived(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returned for this key the first time."""
        try:
            return self._derived[key]
        except KeyError:
            if len(self._derived) >= DERIVED:
                self._derived.clear()
            made = self._derived[key] = make()
            return made


class Aligned(msgspec.Struct, frozen=True):
    """Series that were sampled by one clock: `values[row, column]` was taken at `times[column]`."""

    labels: LabelSets
    times: Times
    """Ascending, each once."""
    values: Values
    """[series, times]; a view is welcome, it is not written to and must not change later."""
    present: Mask | None = None
    """[series, times]: False where there is no sample; None where there is every one."""


class Irregular(msgspec.Struct, frozen=True):
    """Series with times of their own: row r has the samples `offsets[r]` to `offsets[r + 1]` of the flat arrays."""

    labels: LabelSets
    offsets: Index
    """[series + 1], ascending, from 0."""
    times: Times
    """Ascending within each series, each once."""
    values: Values


Block: TypeAlias = Aligned | Irregular


Pattern: TypeAlias = Callable[[str], bool]
"""A compiled regular expression: whether it matches the whole value."""


class Matcher(msgspec.Struct, frozen=True):
    """One condition of a selector; a missing label counts as the empty value."""

    name: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str
    pattern: Pattern | None = None
    """Of =~ and !~ ; `matching.matcher` compiles it."""

    def matches(self, value: str) -> bool:
        if self.pattern is None:
            return (value == self.value) is (self.op == "=")
        return self.pattern(value) is (self.op == "=~")


class Metadata(msgspec.Struct, frozen=True):
    """What is known of a metric; the type is counter, gauge, histogram, summary, info, stateset or unknown."""

    type: str
    help: str = ""
    unit: str = ""


Selector: TypeAlias = Sequence[Matcher]


class Need(msgspec.Struct, frozen=True):
    """What a selection is for: a storage may hand out fewer samples where these say the same."""

    milliseconds: int = 0
    """For which a sample holds, or the range of `function`; 0: every sample is needed."""
    function: str = ""
    """That is called on the range; empty for an instant selector."""


EVERY = Need()


class Storage(Protocol):
    """Where the series are. Called from the thread that evaluates; every answer is a snapshot.

    `index.SeriesIndex` does the matching and the label questions for a storage that keeps its rows in a list.
    """

    def select(
        self, matchers: Selector, start: int, end: int, need: Need = EVERY
    ) -> Sequence[Block]:
        """The series that match, with at least their samples of `start <= time <= end`; each series in one block only.
        Series without a sample in that time may be left out."""
        ...

    def series(self, selectors: Sequence[Selector], start: int, end: int) -> Sequence[Labels]:
        """The label sets that match any of the selectors and were seen between the times (roughly)."""
        ...

    def label_names(self, selectors: Sequence[Selector], start: int, end: int) -> Sequence[str]:
        """Sorted; of all series where there are no selectors."""
        ...

    def label_values(
        self, name: str, selectors: Sequence[Selector], start: int, end: int
    ) -> Sequence[str]:
        """Sorted; of all series where there are no selectors."""
        ...

    def metadata(self) -> Mapping[str, Metadata]:
        """By metric name."""
        ...


ErrorType = Literal["bad_data", "execution", "timeout", "canceled", "internal"]


class QueryError(Exception):
    """A query that has no answer; `kind` is Prometheus' word for why."""

    def __init__(self, kind: ErrorType, text: str) -> None:
        super().__init__(text)
        self.kind: ErrorType = kind


class Vector(msgspec.Struct, frozen=True):
    """Series by steps: `values[row, step]`, where `present` (None: everywhere)."""

    labels: LabelSets
    values: Values
    present: Mask | None = None
    nameless: Mask | None = None
    """[series]: which ones lose their name at the end of the query; None: no one."""

    @property
    def mask(self) -> Mask:
        return np.ones(self.values.shape, np.bool_) if self.present is None else self.present


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one query may cost at most."""

    bytes: int = 16_384
    """Of its text."""
    depth: int = 100
    """Of nested expressions."""
    points: int = 11_000
    """Steps of a range query."""
    samples: int = 50_000_000
    """Samples that are read in all, and values of one vector."""
    seconds: float = 60.0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. Exactly one of its four forms holds: `type` says which."""

    type: Literal["scalar", "string", "vector", "matrix"]
    times: Times
    """The steps; one for an instant query."""
    vector: Vector | None = None
    """Of `vector`, and of `matrix` as a range query answers it."""
    scalar: Values | None = None
    """[steps]"""
    string: str = ""
    ranges: Sequence[Irregular] = ()
    """Of `matrix` where an instant query asks for a range vector: the raw samples."""
    warnings: Sequence[str] = ()
    infos: Sequence[str] = ()
    samples: int = 0
    """How many samples were read."""
    peak: int = 0
    """How many values were held at most, roughly."""
