"""A run in memory and a run in the index: a query says the same of both, whatever the run and the query hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gfedge import migrate
from gfedge.db import Cursor, Database, append
from gfedge.tracking import index, matching, query
from gfedge.tracking.filter import Comparison, Junction, Key, Node, Order, Query
from gfedge.tracking.texts import Texts
from gfedge.tracking.types import Latest, Run, RunRecord, RunRow, number

TEXTS = ["", "a", "A", "ä", "Ä", "a%", "a_b", "0.1", " 1", "1e3", "+.5", "1_0", "nan", "-inf", "0x1", "1 2", "İ", "ß", "\n", "\t7"]  # fmt: skip
NUMBERS = [0.0, -0.0, 0.1, 1.0, 7.0, 1000.0, -5.5, 1e308, float("nan"), float("inf"), -float("inf")]
PATTERNS = ["%", "a%", "_", "%_", "Ä", "A%b", "%.%", "", "\\%"]
KEYS = ["one", "two"]
texts, numbers = st.sampled_from(TEXTS), st.sampled_from(NUMBERS)
finite = numbers.filter(lambda value: value == value)


@st.composite
def records(draw: st.DrawFn) -> list[RunRecord]:
    return [
        RunRecord(
            id=f"id {i}",
            experiment_id=draw(st.sampled_from("xyz")),
            name=draw(texts),
            kind="user",
            status=draw(st.sampled_from(["running", "finished"])),
            created_at=float(i // 2),
            started_at=None,
            ended_at=draw(st.none() | st.floats(0, 3)),
            parent_id=draw(st.none() | texts),
            deleted_at=draw(st.sampled_from([None, None, None, 1.0])),
            params=draw(st.dictionaries(st.sampled_from(KEYS), texts)),
            tags=draw(st.dictionaries(st.sampled_from(KEYS), texts)),
            metrics={
                key: Latest(number(value), 0, 0.0)
                for key, value in draw(st.dictionaries(st.sampled_from(KEYS), numbers)).items()
            },
        )
        for i in range(draw(st.integers(1, 8)))
    ]


keys = st.one_of(
    st.builds(Key, st.sampled_from(["metrics", "params", "tags"]), st.sampled_from([*KEYS, "no"])),
    st.sampled_from([Key("attributes", name) for name in ("name", "status", "parent_id", "ended_at", "commit")]),
)  # fmt: skip


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    key = draw(keys)
    if draw(st.integers(0, 6)) == 0:
        return Comparison(key, "null", None, draw(st.booleans()))
    as_number = key.numeric or (key.entity == "params" and draw(st.booleans()))
    value = finite if as_number else texts
    kind = draw(st.sampled_from(["sign", "in", "like"]))
    if kind == "in":
        return Comparison(
            key, "in", draw(st.lists(value, min_size=1, max_size=3)), draw(st.booleans())
        )
    if kind == "like" and not as_number:
        operator = draw(st.sampled_from(["like", "ilike"]))
        return Comparison(key, operator, draw(st.sampled_from(PATTERNS)), draw(st.booleans()))
    signs = ["=", "!=", "<", "<=", ">", ">="] if as_number else ["=", "!="]
    return Comparison(key, draw(st.sampled_from(signs)), draw(value))


def junctions(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(Junction, st.sampled_from(["and", "or"]), parts)


nodes: st.SearchStrategy[Node] = st.recursive(comparisons(), junctions, max_leaves=4)
orders = st.lists(st.builds(Order, keys, st.booleans()), max_size=2).map(tuple)
queries = st.builds(Query, st.none() | nodes, orders)
scopes = st.builds(
    query.Scope,
    experiments=st.none() | st.lists(st.sampled_from("xyz"), min_size=1),
    hidden=st.lists(st.sampled_from("xyz"), max_size=1),
    hidden_view=st.booleans(),
    view=st.sampled_from(["active", "deleted", "all"]),
    limit=st.integers(1, 3),
)


@pytest.fixture(scope="module")
def cursor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cursor]:
    db = Database(Path(tmp_path_factory.mktemp("matching")) / "x.duckdb")
    db.open(migrate.migrate)
    assert db._connection is not None
    yield db._connection.another()
    db.close()


def listed(
    cursor: Cursor,
    wanted: Query,
    scope: query.Scope,
    pending: Sequence[RunRecord],
    known: tuple[dict[str, int], dict[Key, str]],
) -> list[str]:
    """Ids on all pages, one after the other."""
    found: list[str] = []
    texts_read = Texts()
    for _ in range(20):
        page, end = index.page(cursor, wanted, scope, "", pending, *known, texts_read)
        found += [msgspec.json.decode(run, type=Run).id for run in page.runs]
        if end is None:
            return found
        end = msgspec.json.decode(msgspec.json.encode(end), type=query.Position)
        scope = msgspec.structs.replace(scope, after=end)
    raise AssertionError("pages without end")


def write(cursor: Cursor, found: list[RunRecord]) -> dict[str, int]:
    """Puts runs into the index, and no others; gives the numbers of their keys."""
    for table in ("runs", "run_index", "index_keys"):
        cursor.execute(f"delete from {table}")
    names = RunRow.__struct_fields__
    append(cursor, {RunRow: [RunRow(**{n: getattr(r, n) for n in names}) for r in found]})
    return index.take_in(cursor, {run.id: run for run in found}, [], 0, {}, {}).numbers


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(found=records(), before=records(), wanted=queries, scope=scopes, which=st.integers(0, 255))
def test_memory_and_index_say_the_same(
    cursor: Cursor,
    found: list[RunRecord],
    before: list[RunRecord],
    wanted: Query,
    scope: query.Scope,
    which: int,
) -> None:
    """Some runs are in the index as they are, and some as they were before or not at all, and as they are in memory."""
    numbers_known = write(cursor, found)
    expected = listed(cursor, wanted, scope, [], (numbers_known, {}))
    assert listed(cursor, wanted, scope, found, (numbers_known, {})) == expected

    pending = [run for i, run in enumerate(found) if which >> i & 1]
    changed = {run.id for run in pending}
    old = [run for run in before if run.id in changed]
    kept = [run for run in found if run.id not in changed]
    numbers_known = write(cursor, [*old, *kept])
    assert listed(cursor, wanted, scope, pending, (numbers_known, {})) == expected


def test_what_memory_cannot_decide_is_read_from_the_index() -> None:
    assert matching.decidable(Query(Comparison(Key("attributes", "commit"), "=", "x")))
    assert not matching.decidable(Query(Comparison(Key("attributes", "artifact_uri"), "=", "x")))
