"""The n-th commit fails, for each n: who is refused may try again, who is not finds what was acknowledged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import builders
import duckdb
import pytest
from conftest import JOBS, Api, Serving

from gfedge.db import Database

EXPERIMENTS = "/api/v1/ml-platform/experiments"
PNG = {"Content-Type": "image/png"}
FULL = duckdb.IOException("IO Error: Could not write file: No space left on device")
BROKEN = duckdb.FatalException("FATAL Error: the database has been invalidated")


class Failing:
    """The commits of the server, of which one fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.error: Exception = FULL
        commit = Database._transact

        def transact(db: Database, group: Any) -> None:
            self.left -= 1
            if self.left == 0:
                raise self.error
            commit(db, group)

        monkeypatch.setattr(Database, "_transact", transact)


async def tried(api: Api, method: str, path: str, **options: Any) -> Any:
    """The answer; after one refusal that says so, that of a second try."""
    for again in (False, True):
        async with api.http.request(method, path, **options) as response:
            found = await response.json(content_type=None)
            if response.status < 300:
                return found
            assert not again, found
            assert response.status in (503, 507), found
            assert response.content_type == "application/problem+json"
    raise AssertionError


async def everything(api: Api, key: str) -> dict[str, str]:
    """One of all that is recorded durably; what was acknowledged, by the path where it is found."""
    head = {"Idempotency-Key": key}
    made = await tried(api, "POST", "/api/v1/ai/generate", json={"prompt": "red"}, headers=head)
    image = builders.png_file(9, 9)
    up = f"/api/v1/ai/superres?mode=pixel&experiment={key}"
    other = await tried(api, "POST", up, data=image, headers=PNG | {"Prefer": "wait=30"})
    experiment = await tried(api, "POST", EXPERIMENTS, json={"name": f"e-{key}"})
    path = f"{EXPERIMENTS}/{experiment['id']}"
    run = await tried(api, "POST", f"{path}/runs", json={"name": key})
    runs = f"/api/v1/ml-platform/runs/{run['id']}"
    point = {"key": "loss", "value": 0.5, "step": 1}
    await tried(api, "POST", f"{runs}/log", json={"metrics": [point], "tags": {"a": key}})
    await tried(api, "PUT", f"{runs}/artifacts/a.bin", data=key.encode())
    await tried(api, "PATCH", runs, json={"status": "finished"})
    jobs = {f"{JOBS}/{job['id']}": job["id"] for job in (made, other)}
    return {**jobs, path: experiment["id"], runs: run["id"]}


@pytest.mark.parametrize("error", [FULL, BROKEN], ids=["full", "broken"])
async def test_a_commit_that_fails_loses_nothing(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    client = await serving()
    first = await client.generate()
    failing = Failing(monkeypatch)
    promised = {f"{JOBS}/{first['id']}": first["id"]}
    for number in range(1, 13):
        failing.left, failing.error = number, error
        promised |= await everything(client, f"n{number}")
    failing.left = -1
    for _ in range(2):
        for path, its_id in promised.items():
            found = await client.get(path)
            assert found["id"] == its_id
            if path.startswith(JOBS):
                assert (await client.until(its_id))["status"] == "succeeded"
            elif "/runs/" in path:
                assert (found["status"], found["tags"]["a"]) == ("finished", found["name"])
                assert found["metrics"]["loss"] == 0.5
        listed = [job["id"] for job in (await client.get(JOBS, limit=100))["jobs"]]
        assert len(listed) == len(set(listed)) == 25
        client = await serving()


async def test_models_that_cannot_be_recorded_at_the_start_are_tried_again(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in range(1, 5):
        failing = Failing(monkeypatch)
        failing.left = number
        client = await serving(data=tmp_path / f"fresh-{number}")
        assert (await client.generate())["status"] == "succeeded"
        assert failing.left < 0
        monkeypatch.undo()
