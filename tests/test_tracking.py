"""The record: every job is a run of an experiment, with its params and metrics; and how it is listed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import builders
import pytest
from conftest import JOBS, Api, Serving

EXPERIMENTS, RUNS = "/api/v1/ml-platform/experiments", "/api/v1/ml-platform/runs"
TIMES = {"queue_seconds", "load_seconds", "inference_seconds", "encode_seconds", "total_seconds"}
LONG = {"prompt": f"red {builders.SLOW}", "steps": 100}


def ids(found: list[Any]) -> list[str]:
    return [one["id"] for one in found]


# -- runs ---------------------------------------------------------------------------------------


async def test_a_generate_job_is_a_run_of_its_experiment(client: Api) -> None:
    job = await client.generate("red dragon", seed=5, steps=3, n=2, scale=2, palette=8)
    run = await client.get(f"{RUNS}/{job['run_id']}")
    experiment = await client.get(f"{EXPERIMENTS}/{job['experiment_id']}")
    assert (experiment["name"], experiment["kind"]) == ("ai-generate", "ai-generate")
    assert run["experiment_id"] == experiment["id"]
    assert (run["kind"], run["status"]) == ("ai-generate", "finished")
    wanted = {"prompt": "red dragon", "seed": "5", "steps": "3", "n": "2", "scale": "2"}
    wanted |= {"guidance_scale": "2.0", "palette": "8", "job": job["id"], "model": "sprite@1"}
    wanted |= {"model_digest": job["model"]["digest"], "upscaler": "superres@1"}
    assert run["params"].items() >= wanted.items()
    assert run["created_at"] <= run["started_at"] <= run["ended_at"]


async def test_a_superres_job_is_a_run_of_its_experiment(client: Api) -> None:
    job = await client.upscale(builders.png_file(), scale=2, tileable="true")
    run = await client.get(f"{RUNS}/{job['run_id']}")
    assert (await client.get(f"{EXPERIMENTS}/ai-superres"))["id"] == run["experiment_id"]
    wanted = {"scale": "2", "mode": "smooth", "tileable": "true", "model": "superres@1"}
    assert run["params"].items() >= wanted.items()
    assert "seed" not in run["params"]


async def test_the_pictures_of_a_job_are_artifacts_of_its_run(serving: Serving) -> None:
    client = await serving()
    job = await client.generate("red dragon", seed=5, steps=2, n=3)
    at = f"{RUNS}/{job['run_id']}/artifacts"
    assert len((await client.get(at))["artifacts"]) == 3  # at once, before its rows are all written
    await client.call("PUT", f"{at}/notes/why.txt", 201, data=b"a test")
    await client.call("PUT", f"{at}/output.txt", 201, data=b"before and after")
    client = await serving()
    names = ["output-01.png", "output-02.png", "output-03.png"]
    found = (await client.get(at))["artifacts"]
    assert [one["name"] for one in found] == ["notes", *names, "output.txt"]
    for entry, output in zip(found[1:4], job["outputs"], strict=True):
        assert {k: entry[k] for k in ("sha256", "media_type", "bytes")}.items() <= output.items()
        assert await client.bytes(f"{at}/{entry['path']}") == await client.bytes(output["url"])
    paged = await client.pages(at, "artifacts", 2)
    assert paged == found
    (note,) = (await client.get(f"{at}?path=notes"))["artifacts"]
    assert (note["path"], note["media_type"]) == ("notes/why.txt", "text/plain")
    for method in ("PUT", "DELETE"):
        await client.refused(method, f"{at}/{names[0]}", 409, "artifact_of_job")
    await client.refused("GET", f"{at}/output-04.png", 404, "artifact_not_found")


async def test_a_job_that_made_nothing_has_a_run_without_artifacts(client: Api) -> None:
    job = await client.submit(**LONG)
    at = f"{RUNS}/{job['run_id']}/artifacts"
    assert (await client.get(at))["artifacts"] == []
    await client.cancel(job)
    assert (await client.get(at))["artifacts"] == []


async def test_a_run_says_where_the_time_went(client: Api) -> None:
    generated = await client.generate(n=2)
    upscaled = await client.upscale(builders.png_file(20, 30), scale=2)
    for job, pixels in ((generated, 2 * 32 * 32), (upscaled, 40 * 60)):
        metrics = (await client.get(f"{RUNS}/{job['run_id']}"))["metrics"]
        assert metrics.keys() >= TIMES | {"pixels_per_second", "peak_memory_bytes"}
        assert all(isinstance(value, float) and value >= 0 for value in metrics.values())
        assert {k: metrics[k] for k in TIMES} == {k: job["timings"][k] for k in TIMES}
        assert 0 < metrics["inference_seconds"] <= metrics["total_seconds"]
        speed = pixels / metrics["inference_seconds"]
        assert metrics["pixels_per_second"] == pytest.approx(speed)
        assert metrics["peak_memory_bytes"] > 10 << 20


async def test_failed_and_cancelled_jobs_are_runs_too(client: Api) -> None:
    cursed = await client.until((await client.submit(f"red {builders.CURSE}"))["id"])
    long = await client.submit(**LONG)
    await client.cancel(long)
    cancelled = await client.until(long["id"])
    for job, status in ((cursed, "failed"), (cancelled, "killed")):
        run = await client.get(f"{RUNS}/{job['run_id']}")
        assert run["status"] == status
        assert "pixels_per_second" not in run["metrics"]


# -- experiments --------------------------------------------------------------------------------


async def test_a_job_names_its_experiment_which_is_made_once(client: Api) -> None:
    jobs = await asyncio.gather(*(client.generate(experiment="tiles v2") for _ in range(4)))
    upscaled = await client.upscale(builders.png_file(), experiment="tiles v2")
    assert len({job["experiment_id"] for job in [*jobs, upscaled]}) == 1
    experiment = await client.get(f"{EXPERIMENTS}/tiles%20v2")
    assert (experiment["kind"], experiment["run_count"]) == ("user", 5)
    assert experiment["last_activity_at"] >= upscaled["finished_at"]
    runs = (await client.get(f"{EXPERIMENTS}/{experiment['id']}/runs"))["runs"]
    assert {run["id"] for run in runs} == {job["run_id"] for job in [*jobs, upscaled]}


async def test_an_experiment_is_made_and_found_by_id_and_by_name(client: Api) -> None:
    wanted = {"name": "sprites", "description": "for level 1", "tags": {"team": "art"}}
    made = await client.call("POST", EXPERIMENTS, 201, json=wanted)
    assert made.items() >= wanted.items()
    assert (made["kind"], made["run_count"]) == ("user", 0)
    for reference in (made["id"], "sprites"):
        assert await client.get(f"{EXPERIMENTS}/{reference}") == made
    assert (await client.generate(experiment="sprites"))["experiment_id"] == made["id"]


async def test_an_experiment_survives_a_restart(serving: Serving) -> None:
    made = await (await serving()).call("POST", EXPERIMENTS, 201, json={"name": "sprites"})
    client = await serving()
    assert await client.get(f"{EXPERIMENTS}/sprites") == made
    assert (await client.generate(experiment="sprites"))["experiment_id"] == made["id"]


async def test_a_second_experiment_of_a_name_is_a_conflict(client: Api) -> None:
    made = await client.call("POST", EXPERIMENTS, 201, json={"name": "sprites"})
    problem = await client.refused(
        "POST", EXPERIMENTS, 409, "experiment_exists", json={"name": "sprites"}
    )
    assert made["id"] in problem["detail"]


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "a\tb"}, {"name": 1}, {"name": "x", "tags": {"a": 1}}]
)
async def test_a_bad_experiment_is_refused(client: Api, body: dict[str, Any]) -> None:
    await client.refused("POST", EXPERIMENTS, 422, "invalid", json=body)


async def test_an_unknown_experiment_is_a_problem(client: Api) -> None:
    for path in (f"{EXPERIMENTS}/nothing", f"{EXPERIMENTS}/nothing/runs"):
        await client.refused("GET", path, 404, "experiment_not_found")


async def test_experiments_are_listed_by_name_and_kind_in_pages(client: Api) -> None:
    for name in ("Dragons", "dragon eggs", "swords"):
        await client.call("POST", EXPERIMENTS, 201, json={"name": name})
    await client.generate()

    async def names(**query: Any) -> list[str]:
        return [e["name"] for e in await client.pages(EXPERIMENTS, "experiments", 2, **query)]

    assert await names() == ["ai-generate", "swords", "dragon eggs", "Dragons"]
    assert await names(name="DRAGON") == ["dragon eggs", "Dragons"]
    assert await names(kind="ai-generate") == ["ai-generate"]


async def test_runs_come_in_pages_without_loss_or_repetition(client: Api) -> None:
    jobs = await asyncio.gather(*(client.generate(steps=1) for _ in range(11)))
    path = f"{EXPERIMENTS}/ai-generate/runs"
    for limit in (1, 3, 11, 100):
        found = await client.pages(path, "runs", limit)
        assert ids(found) == sorted((job["run_id"] for job in jobs), reverse=True)


# -- ai-jobs ------------------------------------------------------------------------------------


async def test_jobs_are_listed_newest_first(client: Api) -> None:
    jobs = [await client.generate(steps=1) for _ in range(3)]
    assert (await client.get(JOBS))["jobs"] == jobs[::-1]
    assert (await client.get(JOBS))["next"] is None


async def test_jobs_come_in_pages_live_ones_included(serving: Serving) -> None:
    client = await serving(max_running=1)
    ended = await asyncio.gather(*(client.generate(steps=1) for _ in range(6)))
    running = await client.submit(**LONG)
    await client.until(running["id"], "running")
    waiting = [await client.submit() for _ in range(5)]
    everything = sorted(ids([*ended, running, *waiting]), reverse=True)
    for limit in (1, 2, 5, 12, 100):
        assert ids(await client.pages(JOBS, "jobs", limit)) == everything
    await client.cancel(*waiting, running)


async def test_a_page_that_ends_exactly_names_no_next_one(client: Api) -> None:
    for _ in range(2):
        await client.generate(steps=1)
    assert (await client.get(JOBS, limit=2))["next"] is None
    assert (await client.get(JOBS, limit=1))["next"] is not None


async def test_no_job_is_missing_from_a_listing_while_jobs_end(client: Api) -> None:
    known: set[str] = set()

    async def look() -> None:
        for _ in range(30):
            expected = set(known)
            assert expected <= set(ids((await client.get(JOBS, limit=1000))["jobs"]))

    async def work() -> None:
        for _ in range(15):
            known.add((await client.submit(steps=1))["id"])

    await asyncio.gather(*(look() for _ in range(3)), *(work() for _ in range(4)))


@pytest.fixture
async def mixed(serving: Serving, models: Path) -> tuple[Api, dict[str, Any]]:
    """A server with a job of each status and kind, by name."""
    builders.make_sprite_folder(models, name="other")
    client = await serving(max_running=1)
    jobs = {
        "sprite": await client.generate(steps=1),
        "other": await client.generate(steps=1, model="other"),
        "upscaled": await client.upscale(builders.png_file()),
        "pixel": await client.upscale(builders.png_file(), mode="pixel"),
        "failed": await client.submit(f"red {builders.CURSE}"),
    }
    await client.until(jobs["failed"]["id"])
    jobs["running"] = await client.submit(**LONG)
    await client.until(jobs["running"]["id"], "running")
    jobs |= {"queued": await client.submit(), "cancelled": await client.submit()}
    await client.cancel(jobs["cancelled"])
    return client, jobs


FILTERS = {
    "status=queued": {"queued"},
    "status=running": {"running"},
    "status=failed": {"failed"},
    "status=cancelled": {"cancelled"},
    "status=succeeded": {"sprite", "other", "upscaled", "pixel"},
    "kind=superres": {"upscaled", "pixel"},
    "kind=superres&status=queued": set(),
    "model=other": {"other"},
    "model=superres": {"upscaled"},
    "model=sprite&status=succeeded": {"sprite"},
    "model=sprite&status=running": {"running"},
    "model=nothing": set(),
}


async def test_jobs_are_filtered(mixed: tuple[Api, dict[str, Any]]) -> None:
    client, jobs = mixed
    by_id = {job["id"]: name for name, job in jobs.items()}
    for query, names in FILTERS.items():
        found = (await client.get(f"{JOBS}?{query}"))["jobs"]
        assert {by_id[job["id"]] for job in found} == names, query
    await client.cancel(jobs["queued"], jobs["running"])


async def test_jobs_are_filtered_by_time(mixed: tuple[Api, dict[str, Any]]) -> None:
    client, jobs = mixed
    by_time = sorted(jobs.values(), key=lambda job: job["created_at"])
    middle = by_time[4]["created_at"]
    after = (await client.get(JOBS, after=repr(middle)))["jobs"]
    before = (await client.get(JOBS, before=repr(middle)))["jobs"]
    assert ids(after) == ids(by_time[:3:-1])
    assert ids(before) == ids(by_time[3::-1])
    both = (await client.get(JOBS, after=repr(middle), before=repr(middle)))["jobs"]
    assert both == []
    await client.cancel(jobs["queued"], jobs["running"])


async def test_the_run_of_a_job_is_there_before_the_job_ends(serving: Serving) -> None:
    client = await serving(max_running=1)
    running = await client.submit(**LONG)
    waiting = await client.submit("red dragon")
    await client.until(running["id"], "running")
    run = await client.get(f"/api/v1/ml-platform/runs/{running['run_id']}")
    assert (run["status"], run["ended_at"]) == ("running", None)
    assert run["params"]["prompt"] == LONG["prompt"]
    assert run["params"]["model"] == "sprite@1"
    later = await client.get(f"/api/v1/ml-platform/runs/{waiting['run_id']}")
    assert later["status"] == "scheduled"
    await client.cancel(running, waiting)
    await client.until(running["id"])
    run = await client.get(f"/api/v1/ml-platform/runs/{running['run_id']}")
    assert run["status"] == "killed"


async def test_names_of_the_servers_own_experiments_are_reserved(client: Api) -> None:
    await client.refused("POST", EXPERIMENTS, 422, "name_reserved", json={"name": "ai-mine"})
    await client.call("POST", EXPERIMENTS, 201, json={"name": "mine"})
    problem = await client.refused(
        "PATCH", f"{EXPERIMENTS}/mine", 422, "name_reserved", json={"name": "ai-generate"}
    )
    assert problem["field"] == "name"
    body = {"prompt": "red dragon", "experiment": "ai-mine"}
    await client.refused("POST", "/api/v1/ai/generate", 422, "name_reserved", json=body)
    job = await client.generate(experiment="ai-generate")
    assert (await client.get(f"{EXPERIMENTS}/{job['experiment_id']}"))["name"] == "ai-generate"


async def test_a_report_is_activity_of_its_experiment(client: Api) -> None:
    for name in ("quiet", "busy", "late"):
        await client.call("POST", EXPERIMENTS, 201, json={"name": name})
    runs = {
        name: await client.call("POST", f"{EXPERIMENTS}/{name}/runs", 201, json={})
        for name in ("busy", "late", "quiet")
    }
    points = {"metrics": [{"key": "loss", "value": 1}]}
    await client.call("POST", f"{RUNS}/{runs['late']['id']}/log", json=points)
    await client.call("POST", f"{RUNS}/{runs['busy']['id']}/log", json=points)
    found = await client.get(EXPERIMENTS, order="-activity", kind="user")
    assert [one["name"] for one in found["experiments"]] == ["busy", "late", "quiet"]
    assert found["experiments"][0]["last_activity_at"] > runs["busy"]["created_at"]


async def test_a_search_finds_the_same_in_columns_and_in_lists(client: Api) -> None:
    """There are columns for the first eight keys that are asked for; the others are looked up in lists."""
    await client.call("POST", EXPERIMENTS, 201, json={"name": "wide"})
    names = [f"k{i}" for i in range(12)]

    async def begin(number: int) -> str:
        params = dict.fromkeys(names, f"v{number}")
        at = f"{EXPERIMENTS}/wide/runs"
        run = await client.call(
            "POST", at, 201, json={"params": params, "tags": {"even": str(number % 2)}}
        )
        await report(run["id"], number)
        run_id: str = run["id"]
        return run_id

    async def report(run_id: str, value: float, step: int = 0) -> None:
        points = [{"key": name, "value": value, "step": step} for name in names]
        await client.call("POST", f"{RUNS}/{run_id}/log", json={"metrics": points})

    async def search(text: str) -> list[str]:
        return ids((await client.get(RUNS, filter=text))["runs"])

    runs = [await begin(number) for number in range(4)]
    for name in names:
        assert await search(f"metrics.{name} >= 2 order by metrics.{name}") == runs[2:]
        assert await search(f"params.{name} = 'v1' and tags.even = '1'") == [runs[1]]
    await report(runs[0], 9, step=1)
    runs.append(await begin(5))
    for name in names:
        assert await search(f"metrics.{name} >= 2 order by metrics.{name}") == [
            runs[2], runs[3], runs[4], runs[0],
        ]  # fmt: skip
        assert await search(f"params.{name} in ('v5', 'v0') order by params.{name}") == [
            runs[0],
            runs[4],
        ]
        assert await search(f"metrics.{name} is null and attributes.kind = 'user'") == []
    headline = {"headline": {"metric": names[-1], "goal": "max"}}
    found = await client.call("PATCH", f"{EXPERIMENTS}/wide", json=headline)
    assert (found["best"]["run_id"], found["best"]["value"]) == (runs[0], 9)
