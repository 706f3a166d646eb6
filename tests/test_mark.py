"""The mark beside the database: whatever happens to the log, acknowledged work is there or the start says that it is not."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_db import count, prepare

from gfedge.db import Database, DatabaseInUse, DatabaseRefused

WRITE = """
import asyncio, os, sys
from pathlib import Path
from gfedge.db import Database
from test_db import Point, prepare

async def main():
    db = Database(Path(sys.argv[1]))
    db.open(prepare)
    for number in range(int(sys.argv[2])):
        await db.insert(Point(name=f"p{number}", value=number))
    if sys.argv[3] == "hold":
        print("ready", flush=True)
        sys.stdin.readline()
    os._exit(9)

asyncio.run(main())
"""


def command(path: Path, points: int, end: str = "kill") -> list[str]:
    return [sys.executable, "-c", WRITE, str(path), str(points), end]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose server was killed after 20 acknowledged points."""
    folder = tmp_path_factory.mktemp("killed")
    subprocess.run(command(folder / "x.duckdb", 20), cwd=Path(__file__).parent, check=False)
    return folder


@pytest.fixture
def path(killed: Path, tmp_path: Path) -> Path:
    shutil.copytree(killed, tmp_path / "copy")
    return tmp_path / "copy" / "x.duckdb"


def points(path: Path, *, accept_loss: bool = False) -> int:
    async def opened() -> int:
        db = Database(path)
        db.open(prepare, accept_loss=accept_loss)
        try:
            return await db.read(count)
        finally:
            await asyncio.to_thread(db.close)

    return asyncio.run(opened())


def log_of(path: Path) -> Path:
    return path.with_name("x.duckdb.wal")


def cut(length: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = log_of(path).read_bytes()
        log_of(path).write_bytes(data[:length])

    return damage


def flip(share: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = bytearray(log_of(path).read_bytes())
        data[int(share * len(data))] ^= 0x40
        log_of(path).write_bytes(data)

    return damage


DAMAGES: dict[str, Callable[[Path], None]] = {
    "log missing": lambda path: log_of(path).unlink(),
    "log empty": cut(0),
    "log cut to its header": cut(10),
    "log cut in half": lambda path: cut(log_of(path).stat().st_size // 2)(path),
    "last byte missing": cut(-1),
    **{f"bit flipped at {share:.0%}": flip(share) for share in (0.01, 0.2, 0.35, 0.6, 0.8, 0.99)},
    "database missing": lambda path: path.unlink(),
}


def test_a_killed_server_lost_nothing(path: Path) -> None:
    assert points(path) == 20
    assert points(path) == 20


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_noticed_and_nothing_is_changed(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(DatabaseRefused, match=r"committed work is missing.*--accept-loss"):
        points(path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_who_accepts_the_loss_goes_on_with_what_is_there(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    assert points(path, accept_loss=True) <= 20
    assert points(path) <= 20
    assert [file for file in path.parent.iterdir() if ".mark.damaged-" in file.name]


def test_what_was_being_written_when_the_power_failed_is_no_damage(path: Path) -> None:
    with log_of(path).open("ab") as log:
        log.write(b"\x07half a commit")
    assert points(path) == 20


def test_an_older_database_is_noticed(path: Path) -> None:
    older = path.read_bytes()
    points(path)  # checkpoints
    path.write_bytes(older)
    with pytest.raises(DatabaseRefused, match="older"):
        points(path)


def test_a_checkpoint_that_the_mark_did_not_hear_of_is_no_loss(path: Path) -> None:
    mark = path.with_name("x.duckdb.mark")
    before = mark.read_bytes()
    points(path)
    mark.write_bytes(before)
    assert points(path) == 20


def test_a_torn_mark_says_nothing(path: Path) -> None:
    mark = path.with_name("x.duckdb.mark")
    mark.write_bytes(mark.read_bytes()[:-3])
    assert points(path) == 20


def test_the_mark_leaves_the_lock_of_the_database_alone(tmp_path: Path) -> None:
    """Closing any descriptor of a file drops a process's POSIX locks on it, also those that DuckDB took."""
    path = tmp_path / "x.duckdb"
    holder = subprocess.Popen(
        command(path, 5, "hold"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        with pytest.raises(DatabaseInUse, match=str(holder.pid)):
            points(path)
        log_of(path).write_bytes(b"")
        with pytest.raises(DatabaseInUse, match=str(holder.pid)):
            points(path)
        holder.kill()


@pytest.mark.parametrize("share", [number / 24 for number in range(24)])
def test_a_flipped_bit_in_the_database_is_no_silent_loss(path: Path, share: float) -> None:
    assert points(path) == 20  # they are in the file now, the log is empty
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 0x40
    path.write_bytes(data)
    try:
        assert points(path) == 20
    except DatabaseRefused as refusal:
        assert "restore" in str(refusal).lower()  # noqa: PT017  either outcome is right
