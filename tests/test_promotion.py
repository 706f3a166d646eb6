"""Promotion: gates and their figures, hot swap, rollback, policies, and the history that they leave."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import builders
import numpy as np
import onnx
from conftest import Api, Serving, eventually
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from gfedge.registry import gates, golden, references
from gfedge.registry.policy import Gates, ProdGates
from gfedge.registry.trails import Trails
from gfedge.registry.trial import Showing
from gfedge.registry.types import ChangeRow, GateResult, ModelVersionRow

MODELS = "/api/v1/ml-platform/models"
SUPERRES = f"{MODELS}/superres"
UNGATED = {"golden": False, "max_latency_ratio": None}
"""For prod: nothing is compared."""


def nearest(shade: float = 1.0, turns: int = 0) -> bytes:
    """A net that repeats pixels, `shade` times as bright; with `turns` it also works long for each picture."""
    model = onnx.load_model_from_string(builders.superres_onnx())
    weights = next(t for t in model.graph.initializer if t.name == "w2")
    weights.CopyFrom(builders.floats("w2", np.zeros((48, 8, 3, 3))))
    model.graph.initializer.append(builders.floats("shade", shade))
    model.graph.node[-1].input[0] = "shaded"
    model.graph.node.insert(
        len(model.graph.node) - 1, helper.make_node("Mul", ["sum", "shade"], ["shaded"])
    )
    if turns:
        slow = onnx.load_model_from_string(builders.slow_velocity_onnx(turns))
        loop = next(node for node in slow.graph.node if node.op_type == "Loop")
        model.graph.node.extend(
            [
                helper.make_node(
                    "Loop", ["turns", "", "turned"], ["end"], body=loop.attribute[0].g
                ),
                helper.make_node("ReduceMax", ["end"], ["most"], keepdims=0),
                helper.make_node("Mul", ["most", "nought"], ["nothing"]),
                helper.make_node("Add", ["upscaled", "nothing"], ["late"]),
            ]
        )
        wanted = ("turned", "nought", "turns")
        model.graph.initializer.extend(t for t in slow.graph.initializer if t.name in wanted)
        model.graph.output[0].name = "late"
    return bytes(model.SerializeToString())


async def register(api: Api, data: bytes, name: str = "superres", **query: str) -> Any:
    """A version of the model from a graph alone, with the manifest of the newest one."""
    path, headers = f"{MODELS}/{name}/versions", {"Content-Type": "application/octet-stream"}
    return await api.call("POST", path, 201, data=data, headers=headers, params=query)


async def promote(api: Api, version: str, stage: str | None = None, **more: Any) -> Any:
    body = {"version": version, **({"stage": stage} if stage else {}), **more}
    return await api.call("POST", f"{SUPERRES}/promote", json=body)


async def refused(
    api: Api, code: str, path: str = "promote", status: int = 409, **body: Any
) -> Any:
    return await api.refused("POST", f"{SUPERRES}/{path}", status, code, json=body)


async def put_policy(api: Api, **policy: Any) -> None:
    await api.call("PUT", f"{SUPERRES}/policy", json=policy)


async def stages(api: Api) -> dict[str, str]:
    model = await api.get(SUPERRES)
    return {version["version"]: version["stage"] for version in model["versions"]}


async def up(serving: Serving, **settings: Any) -> Api:
    """A server that has loaded what serves."""
    client = await serving(**settings)
    serves = (await client.get(SUPERRES))["serving"]
    await eventually(lambda: client.get("/health"), lambda h: h["models"][serves] == "ready")
    return client


# -- promotion and rollback ---------------------------------------------------------------------


async def test_a_version_goes_from_dev_to_prod_and_back(serving: Serving) -> None:
    client = await up(serving)
    await put_policy(client, prod=UNGATED)
    await register(client, nearest(), by="kim")
    first = await promote(client, "2", reason="looks good", by="lee")
    assert (first["from_stage"], first["to_stage"], first["passed"]) == ("dev", "staging", True)
    assert [gate["gate"] for gate in first["gates"]] == ["digest", "answers"]
    second = await promote(client, "staging", by="lee")
    assert (second["version"], second["to_stage"], second["replaced"]) == ("2", "prod", "1")
    assert await stages(client) == {"2": "prod", "1": "archived"}
    job = await client.upscale(builders.png_file())
    assert job["model"]["version"] == "2"
    back = await client.call("POST", f"{SUPERRES}/rollback", json={"reason": "blurry", "by": "lee"})
    assert (back["version"], back["replaced"]) == ("1", "2")
    assert await stages(client) == {"2": "archived", "1": "prod"}
    assert (await client.upscale(builders.png_file()))["model"]["version"] == "1"
    await refused(client, "no_previous_version", "rollback")
    history = (await client.get(f"{SUPERRES}/history"))["changes"]
    told = [(c["action"], c["version"], c["to_stage"], c["replaced"], c["by"]) for c in history]
    assert told == [
        ("rolled_back", "1", "prod", "2", "lee"),
        ("promoted", "2", "prod", "1", "lee"),
        ("promoted", "2", "staging", "", "lee"),
        ("registered", "2", "dev", "", "kim"),
        ("policy", "", "", "", "local"),
        ("promoted", "1", "prod", "", "gfedge"),
        ("registered", "1", "dev", "", "gfedge"),
    ]
    assert [gate["passed"] for gate in history[1]["gates"]] == [True, True]
    assert history[0]["reason"] == "blurry"
    lineage = await client.get(
        "/api/v1/ml-platform/lineage/model_version/superres@2", direction="down"
    )
    assert ("promotion", second["id"]) in {(n["kind"], n["id"]) for n in lineage["nodes"]}


async def test_stages_survive_a_restart(serving: Serving) -> None:
    client = await up(serving)
    await put_policy(client, prod=UNGATED, keep_warm_seconds=5)
    for shade in (0.9, 0.8):
        found = await register(client, nearest(shade))
        await promote(client, found["version"], "prod")
    client = await serving()
    assert await stages(client) == {"3": "prod", "2": "archived", "1": "archived"}
    assert (await client.get(f"{SUPERRES}/policy"))["keep_warm_seconds"] == 5
    await eventually(
        lambda: client.get("/health"), lambda h: h["models"].get("superres@3") == "ready"
    )
    for version in ("2", "1"):
        back = await client.call("POST", f"{SUPERRES}/rollback", json={})
        assert back["version"] == version
    await refused(client, "no_previous_version", "rollback")


async def test_what_cannot_be_moved_is_said_clearly(serving: Serving) -> None:
    client = await up(serving)
    await refused(client, "version_in_use", version="1", stage="archived")
    await refused(client, "already_there", version="prod", stage="prod")
    await refused(client, "invalid", status=422)
    await refused(client, "invalid", status=422, version="1", stage="live")
    await refused(client, "model_not_found", status=404, version="7")
    await register(client, nearest())
    await promote(client, "2", "archived")
    await refused(client, "no_next_stage", version="2")
    both = {"version": "1"}
    await client.refused("POST", f"{MODELS}/superres@2/promote", 422, "invalid", json=both)
    moved = await client.call("POST", f"{MODELS}/superres@2/promote", json={"stage": "dev"})
    assert (moved["from_stage"], moved["to_stage"]) == ("archived", "dev")
    await client.refused("POST", f"{MODELS}/nothing/rollback", 404, "model_not_found", json={})


# -- gates --------------------------------------------------------------------------------------


async def test_a_worse_version_is_held_back_with_its_figures(serving: Serving) -> None:
    client = await up(serving)
    await put_policy(client, prod=UNGATED)
    await register(client, nearest())
    await promote(client, "2", "prod")
    await put_policy(client, prod={"max_psnr_loss": 0.5, "max_latency_ratio": None})
    await register(client, nearest(0.5))
    problem = await refused(client, "gate_failed", version="3", stage="prod", reason="darker")
    held = {gate["gate"]: gate for gate in problem["gates"]}
    assert held["digest"]["passed"]
    assert held["answers"]["passed"]
    assert not held["golden psnr"]["passed"]
    assert held["golden psnr"]["figure"] < held["golden psnr"]["bound"]
    assert "golden psnr" in problem["detail"]
    assert (await stages(client))["3"] == "dev"
    assert (await client.get(f"{SUPERRES}/history"))["changes"][0]["action"] == "registered"
    dry = await promote(client, "3", "prod", dry_run=True)
    assert (dry["passed"], dry["dry_run"], dry["id"]) == (False, True, "")
    forced = await promote(client, "3", "prod", force=True, reason="wanted darker")
    assert (forced["forced"], forced["passed"]) == (True, False)
    change = (await client.get(f"{SUPERRES}/history"))["changes"][0]
    assert (change["forced"], change["to_stage"], change["replaced"]) == (True, "prod", "2")
    await register(client, nearest(0.49))
    assert (await promote(client, "4", "prod"))["passed"]


async def test_a_slower_version_is_held_back(serving: Serving) -> None:
    client = await up(serving)
    await register(client, nearest(turns=400))
    await put_policy(client, prod={"golden": False, "max_latency_ratio": 3})
    problem = await refused(client, "gate_failed", version="2", stage="prod")
    (failed,) = [gate for gate in problem["gates"] if not gate["passed"]]
    assert (failed["gate"], failed["bound"]) == ("latency", 3)
    assert failed["figure"] > 3


async def test_metrics_and_approvers_are_asked_for(serving: Serving, tmp_path: Path) -> None:
    client = await up(serving)
    folder = builders.make_superres_folder(tmp_path / "made", version="2", onnx_bytes=nearest())
    with (folder / "model.toml").open("a") as toml:
        toml.write("\n[metrics]\nloss = 0.2\n")
    await client.call(
        "PUT",
        f"{SUPERRES}/policy",
        json={
            "staging": {
                "metrics": {"loss": {"max": 0.1}, "psnr": {"min": 20}},
                "other_approver": True,
            }
        },
    )
    data = tmp_path / "made.zip"
    import shutil

    shutil.make_archive(str(tmp_path / "made"), "zip", folder)
    headers = {"Content-Type": "application/zip"}
    params = {"by": "kim"}
    await client.call("POST", MODELS, 201, data=data.read_bytes(), headers=headers, params=params)
    problem = await refused(client, "gate_failed", version="2", by="kim")
    held = {gate["gate"]: gate for gate in problem["gates"] if not gate["passed"]}
    assert set(held) == {"metric loss", "metric psnr", "other approver"}
    assert (held["metric loss"]["figure"], held["metric loss"]["bound"]) == (0.2, 0.1)
    assert held["metric psnr"]["note"] == "the version has no such metric"
    policy = {"staging": {"metrics": {"loss": {"max": 0.3}}, "other_approver": True}}
    await put_policy(client, **policy)
    assert (await promote(client, "2", by="lee"))["to_stage"] == "staging"


async def test_a_changed_file_is_held_back(serving: Serving, tmp_path: Path) -> None:
    client = await up(serving)
    await register(client, nearest())
    file = tmp_path / "data" / "models" / "superres" / "2" / "model.onnx"
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[-30] ^= 1
    file.write_bytes(data)
    problem = await refused(client, "gate_failed", version="2")
    assert [gate["gate"] for gate in problem["gates"] if not gate["passed"]] == [
        "digest",
        "answers",
    ]


async def test_a_sprite_model_is_compared_by_what_it_draws(serving: Serving) -> None:
    client = await up(serving)
    await eventually(
        lambda: client.get("/health"), lambda h: h["models"].get("sprite@1") == "ready"
    )
    await register(client, builders.velocity_onnx(), "sprite")
    body = {"version": "2", "stage": "prod", "dry_run": True}
    found = await client.call("POST", f"{MODELS}/sprite/promote", json=body)
    judged = next(gate for gate in found["gates"] if gate["gate"] == "score judge_score")
    assert (judged["passed"], judged["note"][:13]) == (True, "not evaluated")
    drawn = next(gate for gate in found["gates"] if gate["gate"] == "golden drawn")
    assert drawn["figure"] == drawn["bound"] == 1.0
    policy = {"prod": {**UNGATED, "score": "clip_score"}}
    await client.call("PUT", f"{MODELS}/sprite/policy", json=policy)
    path = f"{MODELS}/sprite/promote"
    problem = await client.refused(
        "POST", path, 409, "gate_failed", json={**body, "dry_run": False}
    )
    assert [gate["gate"] for gate in problem["gates"] if not gate["passed"]] == ["score clip_score"]


async def test_policies_are_checked(client: Api) -> None:
    await client.get(MODELS)
    for policy in ({"prod": {"golden": "yes"}}, {"live": {}}, {"watch": {"min_samples": 0}}):
        await client.refused("PUT", f"{SUPERRES}/policy", 422, "invalid", json=policy)
    await client.refused("PUT", f"{MODELS}/nothing/policy", 404, "model_not_found", json={})


def test_the_score_is_held_against_the_one_in_prod() -> None:
    def row(**metrics: float) -> ModelVersionRow:
        values: dict[str, Any] = dict.fromkeys(ModelVersionRow.__struct_fields__, "")
        return ModelVersionRow(**{**values, "metrics": metrics})

    higher = Gates(score="s", max_score_loss=0.1)
    lower = Gates(score="s", max_score_loss=0.1, score_higher_is_better=False)
    assert gates.score(row(s=0.95), row(s=1.0), higher).passed
    assert not gates.score(row(s=0.85), row(s=1.0), higher).passed
    assert gates.score(row(s=1.05), row(s=1.0), lower).passed
    assert not gates.score(row(s=1.15), row(s=1.0), lower).passed
    assert not gates.score(row(), row(s=1.0), higher).passed
    assert gates.score(row(s=0.1), None, higher).passed


def test_judges_scores_are_compared_where_one_judge_gave_both() -> None:
    def asked(
        new: float | None,
        old: float | None,
        given: Gates,
        judges: tuple[str, str] = ("a", "a"),
        kind: str = "generate",
        told: float | None = None,
    ) -> GateResult | None:
        def row(version: str, score: float | None) -> SimpleNamespace:
            metrics = {} if score is None else {"judge_score": score}
            return SimpleNamespace(id=version, metrics=metrics, kind=kind, evaluation=None)

        folders = [
            SimpleNamespace(
                evaluation={"judge": judge} if judge else {},
                metrics={} if score is None else {"judge_score": score},
            )
            for judge, score in zip(judges, (new, told or old), strict=True)
        ]
        one = SimpleNamespace(
            row=row("2", new), folder=folders[0], prod=row("1", old), prod_folder=folders[1]
        )
        found = gates.scored(one, given)  # type: ignore[arg-type]
        assert len(found) < 2
        return found[0] if found else None

    def passed(gate: GateResult | None, says: str) -> bool:
        assert gate is not None
        assert says in gate.note, gate
        return gate.passed

    ours = ProdGates()
    assert not passed(asked(0.9, 1.0, ours), "1 in prod")
    assert passed(asked(0.99, 1.0, ours), "1 in prod")  # within the noise
    other = ("a", "b")
    assert passed(asked(0.9, 1.0, ours, other), "another judge")
    assert not passed(asked(0.9, 1.0, ours, ("a", "")), "1 in prod")  # of before judges had names
    assert not passed(
        asked(0.9, 1.0, ours, other, told=0.5), "1 in prod"
    )  # prod's was judged anew since
    assert passed(asked(None, 1.0, ours), "not evaluated")
    assert passed(asked(None, None, ours), "not evaluated")
    assert passed(asked(0.9, None, ours), "not compared")
    assert asked(0.9, 1.0, Gates()) is None
    assert asked(None, None, ours, kind="superres") is None
    strict = Gates(score="judge_score")
    assert not passed(asked(None, 1.0, strict), "no such metric")
    assert not passed(asked(1.1, 1.0, strict, other), "another judge")
    assert passed(asked(1.1, 1.0, strict), "1 in prod")


def test_quality_and_latency_are_ratios_to_prod() -> None:
    new, old = Showing(seconds=2.0, psnr=30.0, ssim=0.9), Showing(seconds=1.0, psnr=30.6, ssim=0.9)
    psnr, ssim = gates.quality("superres", new, old, Gates())
    assert (psnr.passed, psnr.bound, ssim.passed) == (False, 30.1, True)
    assert gates.latency(new, old, 2.0).passed
    assert not gates.latency(new, old, 1.9).passed


def test_golden_pictures_are_shrunk_by_what_is_seen() -> None:
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[0, 0] = (200, 100, 0, 255)
    assert golden.shrunk(picture, 4).tolist() == [[[200, 100, 0, 16]]]
    flat = np.full((8, 8, 4), 255, np.uint8)
    assert not golden.is_drawn(flat)
    assert golden.is_drawn(builders.sprite())


# -- hot swap -----------------------------------------------------------------------------------


async def test_no_request_fails_while_versions_are_swapped(serving: Serving) -> None:
    client = await up(serving)
    await put_policy(client, prod=UNGATED)
    await register(client, nearest(0.9))
    data, seen, stop = builders.png_file(), set(), asyncio.Event()

    async def ask() -> int:
        count = 0
        while not stop.is_set():
            job = await client.upscale(data)
            seen.add((job["model"]["version"], job["outputs"][0]["pixels_sha256"]))
            count += 1
        return count

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for _ in range(5):
        await promote(client, "2", "prod")
        await client.call("POST", f"{SUPERRES}/rollback", json={})
    stop.set()
    assert sum([await one for one in asking]) > 0
    by_version = {version for version, _ in seen}
    assert len(seen) == len(by_version), "a job's picture is the one of the version that it names"


async def test_a_job_keeps_the_version_that_it_was_acknowledged_with(serving: Serving) -> None:
    client = await up(serving, max_running=1)
    await put_policy(client, prod=UNGATED)
    await register(client, nearest(0.9))
    slow = await client.submit(f"{builders.SLOW} dragon", steps=100)
    queued = await client.upscale(builders.png_file(), status=202)
    await promote(client, "2", "prod")
    await client.refused("DELETE", f"{SUPERRES}/versions/2", 409, "version_in_use")
    await client.cancel(slow)
    done = await client.until(queued["id"])
    assert (done["status"], done["model"]["version"]) == ("succeeded", "1")


async def test_a_version_that_jobs_wait_for_is_not_deleted(serving: Serving) -> None:
    client = await up(serving, max_running=1)
    await register(client, nearest(0.9))
    slow = await client.submit(f"{builders.SLOW} dragon", steps=100)
    queued = await client.upscale(builders.png_file(), status=202, model="superres@2")
    await client.refused("DELETE", f"{SUPERRES}/versions/2", 409, "version_in_use")
    await client.cancel(slow, queued)
    await client.call("DELETE", f"{SUPERRES}/versions/2")


async def test_promotions_at_once_leave_one_in_prod(serving: Serving) -> None:
    client = await up(serving)
    await put_policy(client, prod=UNGATED)
    for shade in (0.9, 0.8, 0.7):
        await register(client, nearest(shade))
    await asyncio.gather(*(promote(client, version, "prod") for version in ("2", "3", "4")))
    found = await stages(client)
    assert sorted(found.values()) == ["archived", "archived", "archived", "prod"]


# -- references ---------------------------------------------------------------------------------

LABELS = st.sampled_from(
    ["", "latest", "prod", "staging", "dev", "archived", "1", "2", "10", "winter"]
)


def version(number: str, stage: str, aliases: list[str], bundled: bool) -> ModelVersionRow:
    values: dict[str, Any] = dict.fromkeys(ModelVersionRow.__struct_fields__, "")
    told = {"id": f"m@{number}", "version": number, "stage": stage, "aliases": aliases}
    return ModelVersionRow(**{**values, **told, "bundled": bundled})


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["dev", "staging", "archived"]), min_size=3, max_size=3),
    st.sampled_from([None, 0, 1, 2]),
    LABELS,
)
def test_a_reference_means_one_version(places: list[str], prod: int | None, label: str) -> None:
    if prod is not None:
        places[prod] = "prod"
    rows = [
        version(number, places[i], ["winter"] if number == "2" else [], bundled=number != "10")
        for i, number in enumerate(("1", "2", "10"))
    ]
    found = references.resolve(rows, label)
    if not label and prod is not None:
        assert found is rows[prod]
    elif not label:
        served = [row for row in rows if row.bundled and row.stage != "archived"]
        assert found is (served[-1] if served else None)
    elif label == "latest":
        assert found is rows[2]
    elif label == "winter":
        assert found is rows[1]
    elif label in ("1", "2", "10"):
        assert found is not None
        assert found.version == label
    else:
        assert found is next((row for row in reversed(rows) if row.stage == label), None)


async def test_whatever_is_done_one_version_is_in_prod(serving: Serving) -> None:
    """Random walks over promotions, rollbacks, canaries and deletions: at most one in prod, and what is told is so."""
    client = await up(serving)
    await put_policy(client, prod=UNGATED)
    for shade in (0.9, 0.8):
        await register(client, nearest(shade))
    choose = random.Random(7)
    paths = [f"{SUPERRES}/{what}" for what in ("rollback", "canary", "shadow")]
    for _ in range(60):
        number = choose.choice("123")
        body: dict[str, Any] = {"version": number}
        match choose.randrange(6):
            case 0 | 1:
                stage = choose.choice(("dev", "staging", "prod", "archived"))
                call = ("POST", f"{SUPERRES}/promote", {**body, "stage": stage})
            case 2:
                call = ("POST", paths[0], {})
            case 3:
                call = ("POST", paths[1], {**body, "percent": 50})
            case 4:
                call = ("POST", paths[2], body)
            case _:
                call = ("DELETE", choose.choice(paths[1:]), None)
        async with client.http.request(call[0], call[1], json=call[2]) as response:
            assert response.status in (200, 404, 409), await response.text()
        places, told = await stages(client), await client.get(f"{SUPERRES}/canary")
        assert list(places.values()).count("prod") == 1
        assert places[told["serving"].partition("@")[2]] == "prod"
        for beside in (told["canary"], told["shadow"]):
            assert beside is None or places[beside["version"]] in ("dev", "staging")
    job = await client.upscale(builders.png_file(), model="superres@prod")
    assert (await stages(client))[job["model"]["version"]] == "prod"
    at = {"superres@1": "prod"}
    for change in reversed((await client.get(f"{SUPERRES}/history"))["changes"]):
        if change["to_stage"]:
            at[f"superres@{change['version']}"] = change["to_stage"]
        if change["replaced"]:
            at[f"superres@{change['replaced']}"] = "archived"
    assert {key.partition("@")[2]: stage for key, stage in at.items()} == await stages(client)


def test_a_model_that_was_registered_and_no_more_was_never_in_prod() -> None:
    """As a stop or a crash leaves it in its first start: the next one puts it into prod."""

    def entry(version: str, action: Any, stage: str) -> ChangeRow:
        return ChangeRow(
            id="", name="m", version=version, action=action, to_stage=stage, changed_at=0.0
        )

    trails = Trails([entry("1", "registered", "dev")])
    assert "m" not in trails
    trails.follow(entry("1", "promoted", "prod"))
    trails.follow(entry("2", "promoted", "prod"))
    assert "m" in trails
    assert list(trails.before("m")) == ["m@1"]
    trails.follow(entry("1", "rolled_back", "prod"))
    assert list(trails.before("m")) == []
