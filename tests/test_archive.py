"""The archive: what is in it, what is written again, what is never half there, and what other engines read of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from builders import png_file
from conftest import Api, Process, Serving, connected, eventually

import gfedge
from gfedge import errors, migrate
from gfedge.cli import main
from gfedge.db import Database
from gfedge.export import store
from gfedge.export.folder import Folder
from gfedge.export.routes import EXPORTS
from gfedge.export.tables import TABLES
from gfedge.export.types import Contents, ExportRequest
from gfedge.monitoring.blocks import Block, pack
from gfedge.tracking.types import ExperimentRow, MetricRow, ParamRow, RunRow

ROOT = Path(gfedge.__file__).parent.parent
P, AT = "/api/v1/ml-platform", "/api/v1/admin/exports"
PLAIN = {"VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP WITH TIME ZONE"}
DAY = 86_400.0
FIRST = 1_700_000_000.0


async def exported(api: Api, state: str = "done", **wanted: Any) -> Any:
    """The archive after an export that ended so."""
    begun = await api.call("POST", AT, 202, json=wanted)
    found = await eventually(lambda: api.get(AT), lambda one: one["export"]["state"] != "running")
    assert found["export"]["id"] == begun["id"]
    assert found["export"]["state"] == state, found["export"]
    return found


def asked(folder: Path | str, sql: str) -> list[Any]:
    """What DuckDB answers on the files of an archive, each of whose tables is a view."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table in TABLES:
            files = f"read_parquet('{folder}/{table.name}/**/*.parquet', hive_partitioning = {table.by_day})"
            connection.execute(f'create view "{table.name}" as from {files}')
        return connection.execute(sql).fetchall()


async def run_of(api: Api, **body: Any) -> str:
    made = await api.call("POST", f"{P}/experiments/dragons/runs", 201, json=body)
    return str(made["id"])


async def filled(api: Api) -> str:
    """An experiment with a run that has everything, and a job; gives the run."""
    await api.call("POST", f"{P}/experiments", 201, json={"name": "dragons"})
    run = await run_of(api, params={"lr": "0.01"}, tags={"by": "ada"})
    points = [{"key": "loss", "value": 0.5, "step": 1}, {"key": "loss", "value": "NaN", "step": 2}]
    await api.call("POST", f"{P}/runs/{run}/log", json={"metrics": points})
    await api.call("PATCH", f"{P}/runs/{run}", json={"status": "finished"})
    await api.upscale(png_file(), scale=2)
    return run


def many(path: Path, days: int, each: int = 2) -> None:
    """A database with runs of many days."""
    database = Database(path)
    database.open(migrate.migrate)
    rows: list[Any] = [
        ExperimentRow(id="e", name="old", kind="user", description="", tags={}, created_at=FIRST)
    ]
    for number in range(days * each):
        run, at = f"run-{number:06d}", FIRST + number * DAY / each
        rows.append(
            RunRow(id=run, experiment_id="e", name=run, kind="user", status="finished", created_at=at, started_at=at, ended_at=at)
        )  # fmt: skip
        rows.append(ParamRow(run_id=run, key="lr", value="0.1"))
        rows.append(MetricRow(run_id=run, key="loss", value=0.1, step=1, logged_at=at))

    async def insert() -> None:
        await database.insert(*rows)

    asyncio.run(insert())
    database.close()


# -- what is in it ------------------------------------------------------------------------------


async def test_every_table_has_plain_types(tmp_path: Path) -> None:
    database = Database(tmp_path / "gfedge.duckdb")
    database.open(migrate.migrate)
    for table in TABLES:
        assert set((await database.aside(store.columns, table)).values()) <= PLAIN, table.name
    database.close()


async def test_what_is_exported_is_what_the_interface_says(serving: Serving) -> None:
    api = await serving()
    run = await filled(api)
    archive = await exported(api)
    folder = archive["folder"]
    found = await api.get(f"{P}/runs/{run}")
    assert asked(
        folder, f"select name, status, epoch(created_at) from runs where id = '{run}'"
    ) == [(found["name"], "finished", pytest.approx(found["created_at"], abs=1e-5))]
    assert asked(folder, f"select key, value from params where run_id = '{run}'") == [
        ("lr", "0.01")
    ]
    assert ("by", "ada") in asked(folder, f"select key, value from tags where run_id = '{run}'")
    loss = asked(folder, f"select step, value from metrics where run_id = '{run}' order by step")
    assert [step for step, _ in loss] == [1, 2]
    assert loss[1][1] != loss[1][1]
    (job,) = asked(folder, "select id, status, model_name, total_seconds, record from jobs")
    assert job[1:3] == ("succeeded", "superres")
    assert json.loads(job[4])["id"] == job[0]
    chain = "select count(*) from lineage_edges e join lineage_nodes n on n.id = e.target_id and n.kind = 'asset'"
    assert asked(folder, chain)[0][0] >= 1
    assert asked(folder, "select distinct date = current_date from runs") == [(True,)]
    assert archive["tables"]["runs"]["rows"] == 2


async def test_the_server_s_own_metrics_are_in_it(tmp_path: Path) -> None:
    import numpy as np

    from gfedge.monitoring.store import BlockRow, SeriesRow

    database = Database(tmp_path / "gfedge.duckdb", folders=[tmp_path])
    database.open(migrate.migrate)
    times = np.array([1_700_006_100_000 + 300_000 * n for n in range(3)])
    blocks = {"last": [[1.0, np.nan, 3.0]], "max": [[2.0, 2.5, 3.5]]}
    rows: list[Any] = [SeriesRow(id=7, labels={"__name__": "gfedge_up"}, kind="gauge")]
    for aggregate, values in blocks.items():
        data = pack(Block(np.array([7], np.int32), times, np.array(values)))
        rows.append(
            BlockRow(resolution_seconds=300, aggregate=aggregate, started_at=times[0] / 1000, ended_at=times[-1] / 1000, samples=3, size_bytes=len(data), data=data)
        )  # fmt: skip
    await database.insert(*rows)
    (table,) = (table for table in TABLES if table.rollups)
    days = await database.aside(store.days, table, 0)
    written = [
        await database.aside(store.write, table, one.day, tmp_path / f"{one.day}.parquet", None)
        for one in days
    ]
    database.close()
    assert written == [2, 3], "before midnight, and after it"
    found = duckdb.sql(
        f"select name, aggregate, value from '{tmp_path}/*.parquet' order by aggregate, sampled_at"
    )
    assert found.fetchall() == [("gfedge_up", "last", 1.0), ("gfedge_up", "last", 3.0)] + [
        ("gfedge_up", "max", value) for value in (2.0, 2.5, 3.5)
    ]


async def test_the_queries_of_the_documentation_run(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await serving()
    await filled(api)
    monkeypatch.chdir((await exported(api))["folder"])
    queries = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/archive.md").read_text(), re.DOTALL)
    assert len(queries) == 6
    counts = [
        f"select count(*) from ({query.strip().rstrip(';').replace('sprite@1', 'superres@1')})"
        for query in queries
    ]
    answers = [duckdb.sql(count).fetchall()[0][0] for count in counts]
    assert answers == [2, 1, 1, 1, 1, 2]


# -- what is written again ----------------------------------------------------------------------


async def test_only_what_changed_is_written_again(serving: Serving) -> None:
    api = await serving()
    run = await filled(api)
    first = await exported(api)
    again = (await exported(api))["export"]
    assert again["files"] == 0
    assert again["files_unchanged"] >= 10
    await api.call("PATCH", f"{P}/runs/{run}", json={"tags": {"late": "yes"}})
    late = (await exported(api))["export"]
    assert late["files"] == 1
    found = asked(first["folder"], "select value from tags where key = 'late'")
    assert found == [("yes",)]
    (Path(first["folder"]) / "experiments/experiments.parquet").unlink()
    assert (await exported(api))["export"]["files"] == 1, "a file that somebody removed comes back"


async def test_what_retention_removed_stays(serving: Serving) -> None:
    api = await serving(restore_days=0.0)
    run = await filled(api)
    await exported(api)
    await api.call("DELETE", f"{P}/runs/{run}")
    await asyncio.sleep(0.01)
    report = await api.call("POST", f"{P}/gc", json={"dry_run": False, "restore_days": 1e-9})
    assert run in {one["id"] for one in report["removed"]}
    other = await run_of(api, params={"lr": "0.5"})
    folder = (await exported(api))["folder"]
    kept = asked(folder, "select run_id, value from params where key = 'lr' order by value")
    assert kept == [(run, "0.01"), (other, "0.5")]
    assert asked(folder, "select count(*), count(distinct id) from runs") == [(3, 3)]


async def test_some_tables_and_days(serving: Serving) -> None:
    api = await serving()
    await filled(api)
    done = await exported(api, tables=["runs", "params"])
    assert set(done["tables"]) == {"runs", "params"}
    await api.refused("POST", AT, 422, "invalid", json={"tables": ["tokens"]})
    for since in ("2026-13-01", "yesterday"):
        await api.refused("POST", AT, 422, "invalid", json={"since": since})


def test_old_days_go_where_a_setting_says_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    many(data / "gfedge.duckdb", 5)
    (data / "exports").mkdir()
    (data / "exports" / "mine.parquet").touch()
    command = ["export", "--server", "http://127.0.0.1:9", "--data", str(data)]
    assert main(command) == 0
    files = sorted(path.parent.name for path in (data / "exports/runs").rglob("*.parquet"))
    assert len(files) == 6
    (data / "gfedge.toml").write_text(f"export_keep_days = {time.time() / DAY - FIRST / DAY - 3}")
    assert main(command) == 0
    left = sorted(path.parent.name for path in (data / "exports/runs").rglob("*.parquet"))
    assert left == files[3:]
    assert main(command) == 0
    assert left == sorted(path.parent.name for path in (data / "exports/runs").rglob("*.parquet"))
    assert (data / "exports" / "mine.parquet").exists()
    assert main(["verify", str(data / "exports")]) == 0


# -- what is never half there -------------------------------------------------------------------


def test_killed_it_goes_on_where_it_was(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    many(data / "gfedge.duckdb", 20)
    command = [sys.executable, "-m", "gfedge", "export", "--server", "http://127.0.0.1:9", "--data", str(data), "--json"]  # fmt: skip
    journal = data / "exports" / "_journal.jsonl"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as killed:
        while not journal.exists() or journal.read_bytes().count(b"\n") < 20:
            assert killed.poll() is None, killed.communicate()
            time.sleep(0.002)
        killed.kill()
    assert not (data / "exports" / "archive.json").exists()
    for path in (data / "exports").rglob("[!.]*.parquet"):
        assert duckdb.sql(f"select count(*) from '{path}'").fetchall(), "whole at any moment"
    done = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["export"]
    contents = json.loads((data / "exports" / "archive.json").read_bytes())
    assert done["files"] <= len(contents["files"]) - 20
    assert main(["verify", str(data / "exports")]) == 0
    assert asked(data / "exports", "select count(*), count(distinct id) from runs") == [(40, 40)]
    assert not journal.exists()
    assert not list((data / "exports").rglob("*.part"))


def test_a_journal_that_was_cut_and_contents_that_are_gone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    many(data / "gfedge.duckdb", 2)
    command = ["export", "--server", "http://127.0.0.1:9", "--data", str(data)]
    assert main(command) == 0
    contents = data / "exports" / "archive.json"
    made = msgspec.json.decode(contents.read_bytes(), type=Contents)
    (name, file), *_ = made.files.items()
    line = msgspec.json.encode({"path": name, "file": msgspec.structs.replace(file, rows=77)})
    (data / "exports" / "_journal.jsonl").write_bytes(line + b'\n{"path": "ru')
    folder = Folder(data / "exports")
    folder.open()
    assert folder.files[name].rows == 77
    (data / "exports" / "_journal.jsonl").unlink()
    contents.unlink()
    assert main(command) == 1, "an archive whose contents are gone is not begun anew over old files"
    assert (data / "exports" / name).exists()


async def test_a_disk_that_is_nearly_full(serving: Serving) -> None:
    api = await serving()
    await filled(api)
    app = api.http.server.app  # type: ignore[union-attr]
    exporter = app[EXPORTS].exporter
    exporter.begin(ExportRequest(), "test")
    with pytest.raises(errors.NoSpace, match="min_free_disk"):
        await exporter.run(ExportRequest(), 0, 1 << 60)
    found = await api.get(AT)
    assert (found["export"]["state"], found["made_at"]) == ("failed", None)
    assert "must stay" in found["export"]["error"]
    await exported(api)


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many(tmp_path / "gfedge.duckdb", 1)
    (tmp_path / "file").touch()
    there = str(tmp_path / "file" / "archive")
    assert main(["export", "--data", str(tmp_path), "--to", there]) == 1
    assert capsys.readouterr().err == f"error: {there}: Not a directory\n"
    database = Database(tmp_path / "gfedge.duckdb", folders=[tmp_path])
    database.open()

    async def write() -> None:
        await database.aside(store.columns, TABLES[0])
        await database.aside(store.write, TABLES[0], 0, tmp_path / "gone" / "a.parquet", None)

    with pytest.raises(OSError, match="No such file or directory"):
        asyncio.run(write())
    database.close()


# -- when, and for whom -------------------------------------------------------------------------


async def test_the_clock_counts_over_restarts(serving: Serving) -> None:
    api = await serving(export_hours=1.0)
    exports = api.http.server.app[EXPORTS]  # type: ignore[union-attr]
    assert time.time() - 60 < exports.next_at < time.time(), "at once, not in 1970"
    await exports.check()
    found = await eventually(lambda: api.get(AT), lambda one: one["made_at"] is not None)
    assert found["export"]["by"] == "the server"
    assert found["next_at"] == found["made_at"] + 3600
    api = await serving(export_hours=1.0)
    assert (await api.get(AT))["next_at"] == found["next_at"]
    await api.http.server.app[EXPORTS].check()  # type: ignore[union-attr]
    assert (await api.get(AT))["export"] is None


async def test_files_over_http(serving: Serving) -> None:
    api = await serving()
    await filled(api)
    assert (await api.get(AT))["made_at"] is None
    await api.refused("GET", f"{AT}/archive.json", 404, "export_file_not_found")
    await exported(api)
    contents = json.loads(await api.bytes(f"{AT}/archive.json"))
    for name, file in contents["files"].items():
        assert len(await api.bytes(f"{AT}/{name}")) == file["bytes"]
    for name in ("_journal.jsonl", "..%2f..%2fgfedge.duckdb", "runs"):
        await api.refused("GET", f"{AT}/{name}", 404, "export_file_not_found")


def test_a_copy_elsewhere(
    process: Callable[..., Process], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = process()
    server.start()

    async def work() -> None:
        async with connected(server.address) as api:
            await filled(api)

    asyncio.run(work())
    to, where = tmp_path / "copy", ["--server", server.address]
    assert main(["export", "--to", str(to), "--tables", "runs, params", *where]) == 0
    assert "2 files copied, 0 were there" in capsys.readouterr().out
    assert main(["export", "--to", str(to), "--since", "30d", "--json", *where]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["there"], done["copied"]) == (2, len(TABLES) - 2)
    assert asked(to, "select count(*) from jobs") == [(1,)]
    assert main(["verify", str(to)]) == 0
    for wrong, text in ((["--tables", "tokens"], "no table is called 'tokens'"), (["--since", "1.1."], "write it as 2026-11-23")):  # fmt: skip
        assert main(["export", *wrong, *where]) == 2
        assert text in capsys.readouterr().err
    assert server.stop() == 0


PYARROW = ROOT / ".venv-mlflow" / "bin" / "python"
ARROW = """
import json, sys
import pyarrow.dataset as ds, pyarrow.parquet as pq
folder, found = sys.argv[1], {}
for name in sys.argv[2:]:
    table = ds.dataset(f"{folder}/{name}", partitioning="hive").to_table()
    found[name] = {"rows": table.num_rows, "types": {field.name: str(field.type) for field in table.schema}}
print(json.dumps(found))
"""


@pytest.mark.skipif(not PYARROW.exists(), reason="needs pyarrow, which comes with `make mlflow`")
async def test_arrow_reads_the_same(serving: Serving) -> None:
    api = await serving()
    await filled(api)
    archive = await exported(api)
    names = sorted(archive["tables"])
    command = [str(PYARROW), "-c", ARROW, archive["folder"], *names]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        check=True,
        capture_output=True,
        env={**os.environ, "TZ": "Asia/Tokyo"},
    )
    found = json.loads(done.stdout)
    same = {"VARCHAR": "string", "BIGINT": "int64", "DOUBLE": "double", "BOOLEAN": "bool", "TIMESTAMP WITH TIME ZONE": "timestamp[us, tz=UTC]"}  # fmt: skip
    for name, entry in archive["tables"].items():
        assert found[name]["rows"] == entry["rows"], name
        types = {column: same[kind] for column, kind in entry["columns"].items()}
        assert {k: v for k, v in found[name]["types"].items() if k != "date"} == types


SPARK_PYTHON = os.environ.get("GFEDGE_SPARK_PYTHON", "")
SPARK = """
import json, sys
from pyspark.sql import SparkSession
folder, found = sys.argv[1], {}
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", False).config("spark.sql.session.timeZone", "UTC").getOrCreate()
for name in sys.argv[2:]:
    table = spark.read.option("basePath", f"{folder}/{name}").parquet(f"{folder}/{name}")
    table.createOrReplaceTempView(name)
    found[name] = {"rows": table.count(), "types": dict(table.dtypes), "days": "date" in table.columns}
months = spark.sql(
    "select e.name, date_format(r.date, 'yyyy-MM') as month, count(*) as runs, count_if(r.status = 'failed') as failed "
    "from runs r join experiments e on e.id = r.experiment_id group by all order by month, runs desc, name"
)
found["months"] = [list(row) for row in months.collect()]
print(json.dumps(found))
"""


@pytest.mark.skipif(not SPARK_PYTHON, reason="GFEDGE_SPARK_PYTHON names no Python with pyspark")
async def test_spark_reads_the_same(serving: Serving) -> None:
    api = await serving()
    await filled(api)
    archive = await exported(api)
    command = [SPARK_PYTHON, "-c", SPARK, archive["folder"], *sorted(archive["tables"])]
    done = await asyncio.to_thread(subprocess.run, command, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    same = {"VARCHAR": "string", "BIGINT": "bigint", "DOUBLE": "double", "BOOLEAN": "boolean", "TIMESTAMP WITH TIME ZONE": "timestamp"}  # fmt: skip
    for table in TABLES:
        entry, read = archive["tables"][table.name], found[table.name]
        types = {column: same[kind] for column, kind in entry["columns"].items()}
        assert read["rows"] == entry["rows"], table.name
        assert {k: v for k, v in read["types"].items() if k != "date"} == types
        assert read["days"] == table.by_day
    months = asked(archive["folder"], MONTHS)
    assert found["months"] == [list(row) for row in months]


MONTHS = """
select e.name, strftime(r.date, '%Y-%m') as month, count(*) as runs, count(*) filter (r.status = 'failed') as failed
from runs r join experiments e on e.id = r.experiment_id group by all order by month, runs desc, name
"""
