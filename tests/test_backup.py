"""Backups while serving, restored elsewhere; what a verification finds."""

from __future__ import annotations

import asyncio
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from builders import png_file
from conftest import Api, Process, Serving, connected
from yarl import URL

from gfedge import migrate
from gfedge.backup import files
from gfedge.cli import main
from gfedge.db import Database

JOBS = "/api/v1/ml-platform/ai-jobs"
ADMIN = "/api/v1/admin"


async def made(api: Api, count: int = 3, first: int = 0) -> list[Any]:
    """Jobs that succeeded, each on a picture of its own."""
    return [await api.upscale(png_file(seed=seed), scale=2) for seed in range(first, first + count)]


async def backed_up(api: Api) -> Path:
    return Path((await api.call("POST", f"{ADMIN}/backups", 201, json={}))["path"])


async def verified(api: Api) -> Any:
    return await api.call("POST", f"{ADMIN}/verify", json={})


async def test_a_backup_restores_to_the_same_answers(serving: Serving, tmp_path: Path) -> None:
    api = await serving()
    before = await made(api)
    backup = await backed_up(api)
    (later,) = await made(api, 1, first=10)
    assert main(["restore", str(backup), "--data", str(tmp_path / "restored")]) == 0
    api = await serving(data=tmp_path / "restored")
    for job in before:
        assert await api.job(job["id"]) == job
        assert await api.bytes(job["outputs"][0]["url"])
        trace = await api.get(f"{JOBS}/{job['id']}/trace")
        assert any(node["kind"] == "model_version" for node in trace["nodes"])
    await api.refused("GET", f"{JOBS}/{later['id']}", 404, "job_not_found")
    found = await verified(api)
    assert found["sound"], found
    assert found["checked"]["asset"] == 6


async def test_what_was_acknowledged_before_a_backup_is_in_it(
    process: Callable[..., Process], tmp_path: Path
) -> None:
    """While writers go on and the server is then killed."""
    server = process()
    server.start()
    async with connected(server.address) as api:
        acknowledged: list[str] = []

        async def write(number: int) -> None:
            for turn in range(5):
                (job,) = await made(api, 1, first=100 * number + turn)
                acknowledged.append(job["id"])

        writing = asyncio.gather(*(write(number) for number in range(3)))
        await made(api, 1)
        certain = list(acknowledged)
        backup = await backed_up(api)
        await writing
    server.kill()
    assert main(["restore", str(backup), "--data", str(tmp_path / "restored")]) == 0
    other = process(data=tmp_path / "restored")
    other.start()
    async with connected(other.address) as api:
        assert [(await api.job(job))["status"] for job in certain] == ["succeeded"] * len(certain)
        found = await verified(api)
        assert found["sound"], found


async def test_names_of_backups(client: Api) -> None:
    path = f"{ADMIN}/backups"
    await client.call("POST", path, 201, json={"name": "nightly"})
    await client.refused("POST", path, 409, "backup_exists", json={"name": "nightly"})
    for name in ("../x", "a/b", ".hidden", "", "x" * 200):
        await client.refused("POST", path, 422, "invalid", json={"name": name})
    assert [one["name"] for one in (await client.get(path))["backups"]] == ["nightly"]
    for name in ("..%2f..", "nightly%2f..%2f..", "other"):
        await client.refused("DELETE", URL(f"{path}/{name}", encoded=True), 404, "backup_not_found")
    assert (await client.call("DELETE", f"{path}/nightly"))["name"] == "nightly"
    assert (await client.get(path))["backups"] == []


def test_a_backup_of_a_data_folder_that_nobody_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    data.mkdir()
    database = Database(data / "gfedge.duckdb")
    database.open(migrate.migrate)
    database.close()
    nowhere = ["--server", "http://127.0.0.1:9", "--data", str(data)]
    assert main(["backup", str(backup), *nowhere]) == 0
    assert main(["verify", str(backup)]) == 0
    assert main(["verify", *nowhere]) == 0
    assert "all is sound" in capsys.readouterr().out
    assert main(["backup", str(backup), *nowhere]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the tests'."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs /dev/shm, on a file system of its own")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def picture_of(data: Path) -> Path:
    """A picture of a data folder with an empty database."""
    picture = data / "assets" / "ab" / f"{'cd' * 31}.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"x" * (1 << 20))
    database = Database(data / "gfedge.duckdb")
    database.open(migrate.migrate)
    database.close()
    return picture.relative_to(data)


def test_a_backup_links_pictures_on_one_file_system(tmp_path: Path) -> None:
    data = tmp_path / "data"
    picture = picture_of(data)
    where = ["--server", "http://127.0.0.1:9", "--data", str(data)]
    for backup in (data / "backups" / "nightly-1", tmp_path / "other" / "kept"):
        assert main(["backup", str(backup), *where]) == 0
        assert (backup / picture).samefile(data / picture)
    assert [one.name for one in (data / "backups").iterdir()] == ["nightly-1"]


def test_a_backup_to_another_file_system_is_a_copy(tmp_path: Path, elsewhere: Path) -> None:
    data = tmp_path / "data"
    picture = picture_of(data)
    where = ["--server", "http://127.0.0.1:9", "--data", str(data)]
    assert main(["backup", str(elsewhere / "kept"), *where]) == 0
    assert (elsewhere / "kept" / picture).read_bytes() == (data / picture).read_bytes()
    assert (data / picture).stat().st_nlink == 1, "what was made on the way is gone"
    assert [one.name for one in elsewhere.iterdir()] == ["kept"]


def test_a_copy_that_fails_does_not_stand_under_its_name(tmp_path: Path, elsewhere: Path) -> None:
    picture = picture_of(tmp_path / "made")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(OSError, match=r"^\[Errno 27\] File too large: "):
            files.move(tmp_path / "made", elsewhere / "kept")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(elsewhere.iterdir())
    assert (tmp_path / "made" / picture).stat().st_size == 1 << 20


async def test_verification_names_what_is_wrong(serving: Serving, tmp_path: Path) -> None:
    api = await serving()
    first, second, third = await made(api)
    assets = tmp_path / "data" / "assets"

    def path(job: Any) -> Path:
        sha256 = job["outputs"][0]["sha256"]
        return assets / sha256[:2] / f"{sha256[2:]}.png"

    path(first).unlink()
    path(second).write_bytes(path(second).read_bytes()[:-1] + b"x")
    with path(third).open("ab") as file:
        file.write(b"more")
    found = await verified(api)
    assert not found["sound"]
    faults = {fault["id"]: fault["text"] for fault in found["faults"]}
    assert "missing" in faults[first["outputs"][0]["sha256"]]
    assert "not those of its digest" in faults[second["outputs"][0]["sha256"]]
    assert "bytes" in faults[third["outputs"][0]["sha256"]]
    assert len(faults) == 3


async def test_a_damaged_backup_is_refused(
    serving: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = await serving()
    await made(api, 1)
    backup = await backed_up(api)
    restored = tmp_path / "restored"
    damage: dict[str, Callable[[Path], object]] = {
        "is missing": lambda copy: next(copy.glob("assets/*/*.png")).unlink(),
        "is damaged": lambda copy: (copy / "gfedge.duckdb").write_bytes(b"nothing"),
        "is no backup": lambda copy: (copy / "manifest.json").unlink(),
        "cannot be read": lambda copy: (copy / "manifest.json").write_bytes(b"{"),
    }
    for text, spoil in damage.items():
        copy = tmp_path / "copy"
        shutil.copytree(backup, copy)
        spoil(copy)
        assert main(["restore", str(copy), "--data", str(restored)]) == 1
        assert text in capsys.readouterr().err
        assert not restored.exists()
        shutil.rmtree(copy)
    restored.mkdir()
    (restored / "mine").touch()
    assert main(["restore", str(backup), "--data", str(restored)]) == 1
    assert "not empty" in capsys.readouterr().err


def test_a_migration_begins_with_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gfedge.duckdb"
    known = migrate.scripts()
    monkeypatch.setattr(migrate, "scripts", lambda: known[:-1])
    database = Database(path)
    database.open(migrate.migrate)
    database.close()
    monkeypatch.setattr(migrate, "scripts", lambda: known)
    database = Database(path)
    database.open(migrate.migrate)
    database.close()
    (copy,) = (tmp_path / "backups").glob("before-migration-*.duckdb")
    with duckdb.connect(str(copy), read_only=True) as before:
        count = before.execute("select count(*) from schema_migrations").fetchall()[0][0]
    assert count == len(known) - 1
