"""`gfedge upgrade`: what a version would change in data that another one serves, or nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Process

import gfedge
from gfedge import migrate
from gfedge.cli import main
from gfedge.db import Cursor, Database

NOWHERE = ["--server", "http://127.0.0.1:9"]


def data_in(folder: Path, change: Callable[[Cursor], object]) -> list[str]:
    """A data folder whose migrations are others; the words of the command for it."""
    folder.mkdir()
    database = Database(folder / "gfedge.duckdb")
    database.open(lambda cursor: (migrate.migrate(cursor), change(cursor))[0])
    database.close()
    return ["upgrade", *NOWHERE, "--data", str(folder)]


def test_data_that_nobody_serves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forget = "delete from schema_migrations where slice in ('ai', 'alerts')"
    asked = data_in(tmp_path / "data", lambda cursor: cursor.execute(forget))
    before = (tmp_path / "data" / "gfedge.duckdb").stat().st_size
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert f"no server runs on it; this is gfedge {gfedge.__version__}" in said
    assert "tables change, by " in said
    assert "ai/0001_" in said
    assert "copied beside it before" in said
    assert "1. gfedge backup DIR" in said
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    missing = [name for name in migrate.names() if name.startswith(("ai/", "alerts/"))]
    assert (told["to_come"], told["serves"]) == (missing, "")
    assert told["database_bytes"] == before


def test_data_of_a_newer_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newer = "insert into schema_migrations values ('ai', '9999_tomorrow.sql', '', 0)"
    assert main(data_in(tmp_path / "data", lambda cursor: cursor.execute(newer))) == 2
    said = capsys.readouterr().err
    assert "is of a newer gfedge than this" in said
    assert "ai/9999_tomorrow.sql is unknown here" in said


def test_a_disk_without_room_for_the_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = "delete from schema_migrations where slice = 'ai'"
    asked = data_in(tmp_path / "data", lambda cursor: cursor.execute(forget))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 5000}))
    assert main(asked) == 0
    assert "and 0.0 MB are free: make room first" in capsys.readouterr().out


def test_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strange = data_in(
        tmp_path / "strange", lambda cursor: cursor.execute("drop table schema_migrations")
    )
    assert main(strange) == 0
    assert f"by {len(migrate.names())} migrations" in capsys.readouterr().out
    assert main(["upgrade", *NOWHERE, "--data", str(tmp_path)]) == 2
    assert "no database is in" in capsys.readouterr().err


def test_a_server_that_runs(
    process: Callable[..., Process], capsys: pytest.CaptureFixture[str]
) -> None:
    server = process()
    server.start()
    assert main(["upgrade", "--server", server.address]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{server.address}: gfedge {gfedge.__version__} serves it; this is")
    assert "nothing in the data changes" in said
