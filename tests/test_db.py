"""The database door: what is acknowledged is committed, a failure is its caller's alone, readers see whole commits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import duckdb
import msgspec
import pytest

from gfedge import errors, migrate
from gfedge.db import Cursor, Database, new_id, rows
from gfedge.opening import open_database
from gfedge.rows import MAX_PARSED
from gfedge.settings import Settings


class Point(msgspec.Struct, kw_only=True, frozen=True):
    table: ClassVar[str] = "points"

    name: str
    value: float
    tags: dict[str, str] = {}


def prepare(cursor: Cursor) -> None:
    cursor.execute("create table if not exists points (name varchar, value double, tags json)")


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "test.duckdb")
    database.open(prepare)
    yield database
    await asyncio.to_thread(database.close)


def count(cursor: Cursor) -> int:
    return cursor.execute("select count(*) from points").fetchall()[0][0]


def insert_point(cursor: Cursor, name: str) -> str:
    cursor.execute("insert into points values (?, 0, '{}')", [name])
    return name


def fail(cursor: Cursor) -> None:
    cursor.execute("insert into points values ('half', 0, '{}')")
    cursor.execute("select nonsense")


async def test_rows_of_structs_are_read_back(db: Database) -> None:
    await db.insert(Point(name="a", value=1.5, tags={"k": "v"}), Point(name="b", value=2))
    found = await db.read(rows, "select * from points order by name")
    assert [(row["name"], row["value"]) for row in found] == [("a", 1.5), ("b", 2.0)]
    assert msgspec.json.decode(found[0]["tags"]) == {"k": "v"}


async def test_a_function_returns_its_result_after_the_commit(db: Database) -> None:
    assert await db.write(insert_point, "x") == "x"
    assert await db.read(count) == 1


async def test_rows_are_there_for_a_function_that_comes_after_them(db: Database) -> None:
    _, seen = await asyncio.gather(db.insert(Point(name="a", value=1)), db.write(count))
    assert seen == 1


async def test_deferred_rows_are_there_for_who_reads_and_for_who_writes(db: Database) -> None:
    db.defer(Point(name="a", value=1))
    assert await db.write(count) == 1
    db.defer(Point(name="b", value=1), Point(name="c", value=1))
    assert await asyncio.gather(db.read(count), db.write(count)) == [3, 3]
    db.defer(Point(name="d", value=1))
    assert await db.peek(count) == 3
    await db.settle()
    assert await db.peek(count) == 4


async def test_a_failure_is_its_callers_alone(db: Database) -> None:
    """COMMIT says nothing after a failed statement, so a group with a failure is run again one by one."""
    work = [db.insert(Point(name=str(i), value=i)) for i in range(20)]
    outcomes = await asyncio.gather(
        *work[:10],
        db.write(fail),
        *work[10:],
        db.write(insert_point, "last"),
        return_exceptions=True,
    )
    assert isinstance(outcomes[10], duckdb.BinderException)
    assert [o for i, o in enumerate(outcomes) if i != 10] == [None] * 20 + ["last"]
    names = {row["name"] for row in await db.read(rows, "select name from points")}
    assert names == {str(i) for i in range(20)} | {"last"}


async def test_a_row_that_does_not_fit_leaves_nothing_behind(db: Database) -> None:
    with pytest.raises(duckdb.Error):
        await db.insert(Point(name="good", value=1), Point(name="bad", value="no number"))  # type: ignore[arg-type]
    assert await db.read(count) == 0


@pytest.mark.parametrize("count_of_good", [1, 3, 50])
async def test_rows_of_one_table_go_in_together_or_not_at_all(
    db: Database, count_of_good: int
) -> None:
    """They are one statement, by INSERT or by an appender, that commits itself."""
    good = [Point(name=str(i), value=i) for i in range(count_of_good)]
    bad = Point(name="bad", value="no number")  # type: ignore[arg-type]
    for batch in ([*good, bad], [bad, *good]):
        with pytest.raises(duckdb.Error):
            await db.insert(*batch)
    assert await db.read(count) == 0
    await db.insert(*good)
    assert await db.read(count) == count_of_good


async def test_a_statement_that_is_known_sees_the_tables_as_they_are(db: Database) -> None:
    """Cursors keep statements parsed; what they mean is looked up each time."""
    await db.insert(Point(name="a", value=1))
    wide = "select * from points"
    assert set((await db.read(rows, wide))[0]) == {"name", "value", "tags"}
    await db.write(lambda cursor: cursor.execute("alter table points add column more int"))
    assert set((await db.read(rows, wide))[0]) == {"name", "value", "tags", "more"}

    def many(cursor: Cursor) -> int:
        for number in range(2 * MAX_PARSED):
            cursor.execute(f"select {number} from points")
        cursor.execute(
            "insert into points (name) values ('b'); insert into points (name) values ('c')"
        )
        return count(cursor)

    assert await db.write(many) == 3


async def test_many_readers_and_writers_get_their_own_answers(db: Database) -> None:
    """One connection shared by threads gives wrong rows silently; a cursor per thread does not."""

    def echo(cursor: Cursor, number: int) -> int:
        return cursor.execute("select ?::bigint", [number]).fetchall()[0][0]

    async def client(number: int) -> None:
        assert await db.read(echo, number) == number
        await db.insert(Point(name=str(number), value=number))

    await asyncio.gather(*(client(number) for number in range(500)))
    assert await db.read(count) == 500


async def test_committed_rows_survive_a_reopening(tmp_path: Path) -> None:
    path = tmp_path / "test.duckdb"
    for expected in range(3):
        database = Database(path)
        database.open(prepare)
        assert await database.read(count) == expected
        await database.insert(Point(name="a", value=1))
        database.close()


async def test_a_fatal_error_reopens_the_file(db: Database) -> None:
    def explode(cursor: Cursor) -> None:
        raise duckdb.FatalException("the database has been invalidated")

    await db.insert(Point(name="before", value=1))
    with pytest.raises(errors.Unavailable):
        await db.write(explode)
    await db.insert(Point(name="after", value=1))
    assert await db.read(count) == 2


async def test_a_full_disk_is_said_in_plain_words(db: Database) -> None:
    def full(cursor: Cursor) -> None:
        raise duckdb.TransactionException("Failed to commit: No space left on device")

    with pytest.raises(errors.NoSpace, match="disk is full"):
        await db.write(full)


async def test_a_closed_database_refuses_writes(tmp_path: Path) -> None:
    database = Database(tmp_path / "test.duckdb")
    database.open(prepare)
    database.close()
    with pytest.raises(errors.Unavailable, match="stopping"):
        await database.insert(Point(name="a", value=1))


async def test_a_second_process_is_told_who_has_the_file(db: Database) -> None:
    code = (
        "import sys; from pathlib import Path; from gfedge.db import Database, DatabaseInUse\n"
        "try: Database(Path(sys.argv[1])).open()\n"
        "except DatabaseInUse as error: print(error)"
    )
    made = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(db.path), stdout=subprocess.PIPE
    )
    out, _ = await made.communicate()
    assert b"in use by another gfedge (process" in out


async def test_the_connection_is_locked_down(db: Database, tmp_path: Path) -> None:
    for sql in (
        "select * from read_text('/etc/hostname')",
        "copy points to '/tmp/points.csv'",
        "set enable_external_access=true",
        "install httpfs",
    ):
        with pytest.raises(duckdb.Error):
            await db.read(lambda cursor, sql=sql: cursor.execute(sql).fetchall())


def test_migrations_apply_once_and_refuse_a_newer_file(tmp_path: Path) -> None:
    database = Database(tmp_path / "test.duckdb")
    database.open(migrate.migrate)
    database.close()

    def newer(cursor: Cursor) -> None:
        migrate.migrate(cursor)
        cursor.execute("insert into schema_migrations values ('ai', '9999_future.sql', 'x', 0)")

    again = Database(tmp_path / "test.duckdb")
    again.open(newer)
    again.close()
    with pytest.raises(migrate.SchemaRefused, match=r"newer gfedge .*ai/9999_future\.sql"):
        Database(tmp_path / "test.duckdb").open(migrate.migrate)


def test_ids_are_in_the_order_of_their_making() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert all(made[14] == "7" and made[19] in "89ab" for made in ids)


async def test_the_database_holds_the_memory_that_the_setting_allows(tmp_path: Path) -> None:
    database = open_database(Settings(data=tmp_path, database_memory=96 << 20))
    found = await database.read(rows, "select current_setting('memory_limit') as most")
    await asyncio.to_thread(database.close)
    assert found == [{"most": "96.0 MiB"}]


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has its own priority")
async def test_what_takes_long_gives_way_to_reads_and_writes(db: Database) -> None:
    def priority(cursor: Cursor) -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    ours = priority(None)  # type: ignore[arg-type]
    assert await db.aside(priority) == min(19, ours + 10)
    assert await db.read(priority) == await db.write(priority) == ours
