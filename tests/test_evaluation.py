"""A judge of sprite models: which words it can learn, whom it can judge, and how a version gets its score from it."""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import builders
import numpy as np
import onnx
import pytest
from aiohttp.test_utils import unused_port
from conftest import Api, Serving, eventually
from onnx import helper

from gfedge.cli import main
from gfedge.evaluation import evaluated, sets, split, written
from gfedge.evaluation.evaluated import Wanted
from gfedge.evaluation.judge import FACTS, GRAPH, Judge, Unjudged
from gfedge.inference.folder import read_folder
from gfedge.training import sprite_set

V1 = "/api/v1/ml-platform"
JOBS, MODELS = f"{V1}/training-jobs", f"{V1}/models"
WORDS = list(builders.WORDS[1:7])


def judge_in(folder: Path, words: list[str] = WORDS, real: float = 0.8, seed: int = 0) -> Judge:
    """A judge that goes by the mean colour alone, and what it says of itself."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["pictures"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "judge",
        [helper.make_tensor_value_info("pictures", onnx.TensorProto.FLOAT, ["n", 4, 32, 32])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", len(words)])],
        [builders.floats("w", builders.random(seed, 4, len(words)))],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    of = {word: {"tiles": 3, "top1": real, "top5": 1.0} for word in words}
    facts = {"words": words, "real": of, "data": "sha256:1", "trained_on": 30, "held_out": 9}
    judge = Judge.of(model, facts)
    judge.save(folder)
    return judge


def set_in(folder: Path) -> sprite_set.Built:
    """Three pictures of dragons, in own.npz."""
    pictures = [builders.noise(32, 32, seed=s) for s in range(3)]
    said = [{**note, "licence": "CC0-1.0"} for note in notes(dragon=3)]
    built = sprite_set.Built(name="own", pictures=pictures, notes=said)
    sprite_set.save(built, folder / "own.npz")
    return built


def notes(**counts: int) -> list[sets.Note]:
    return [
        {"path": f"art/{word}{i}.png", "nouns": [word], "words": [], "turn": True}
        for word, count in counts.items()
        for i in range(count)
    ]


def quiet(what: str, done: int, of: int) -> None:
    pass


def test_of_each_word_pictures_are_held_out_and_still_are_when_others_join() -> None:
    few = notes(axe=8, bow=8, cup=8, dog=8, egg=24)
    words = split.check_enough(few)
    out = split.held_out(few, words)
    assert words[0] == "egg"
    held = {
        word: sum(o for n, o in zip(few, out, strict=True) if word in n["nouns"]) for word in words
    }
    assert held == {"egg": 6, "axe": 3, "bow": 3, "cup": 3, "dog": 3}
    more = few + notes(fox=12)
    again = split.held_out(more, split.check_enough(more))
    assert again[: len(few)].tolist() == out.tolist()


def test_a_set_that_is_too_small_says_how_much_is_needed() -> None:
    with pytest.raises(Unjudged, match=r"8 or more of each of 5 words, and of 4 .*egg has 7"):
        split.check_enough(notes(axe=8, bow=8, cup=8, dog=8, egg=7))


def test_a_judge_says_whom_it_cannot_judge(tmp_path: Path) -> None:
    judge = judge_in(tmp_path / "j")
    assert judge.words_for({*WORDS, "moon"}, 32, 5) == WORDS[:5]
    with pytest.raises(Unjudged, match="knows other words: of its 6 the model was trained on 1"):
        judge.words_for({WORDS[0], "moon"}, 32, 100)
    with pytest.raises(Unjudged, match="32x32 pictures, and the model draws 64x64"):
        judge.words_for(set(WORDS), 64, 100)
    with pytest.raises(Unjudged, match="only 30% of the held-out pictures, and 40%"):
        judge_in(tmp_path / "poor", real=0.3).check_usable()
    (tmp_path / "j" / GRAPH).write_bytes(b"no graph")
    with pytest.raises(Unjudged, match="cannot be read"):
        Wanted(judge=tmp_path / "j").check()
    with pytest.raises(Unjudged, match=r"judge.onnx is missing"):
        Wanted(judge=tmp_path / "nothing").check()
    (tmp_path / "set.npz").write_bytes(b"")
    with pytest.raises(Unjudged, match=r"set.npz is no training set that can be read"):
        Wanted(data=tmp_path / "set.npz").check()
    with pytest.raises(Unjudged, match="there is no judge: name a model version"):
        Wanted().check()


def test_what_fails_while_a_model_is_judged_is_not_called_a_bad_folder(models: Path) -> None:
    with pytest.raises(ValueError, match="drawn"), evaluated.named(models / "sprite" / "1"):
        raise ValueError("drawn")


@pytest.mark.parametrize("name", ["../../away", "/away", ".", "a/b"])
def test_a_folder_that_names_itself_a_path_is_copied_nowhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.toml").write_text(f'name = "{name}"\nversion = "1"\n')
    with pytest.raises(Unjudged, match="its name and version are"), evaluated.named(tmp_path):
        pass


def test_a_judge_of_few_words_has_to_say_the_word_first(tmp_path: Path) -> None:
    many = [f"word{i}" for i in range(25)]
    assert judge_in(tmp_path / "few").measure == "top1"
    assert judge_in(tmp_path / "many", many).measure == "top5"


def test_an_evaluation_is_written_into_the_folder_of_the_model(
    tmp_path: Path, models: Path
) -> None:
    judge = judge_in(tmp_path / "judge")
    set_in(tmp_path)
    folder = models / "sprite" / "1"
    wanted = Wanted(tmp_path / "judge", tmp_path / "own.npz", seeds=2)
    for _ in range(2):  # again says the same, once
        found = evaluated.evaluate_folder(folder, wanted, quiet)
    assert found["metrics"].keys() >= {"judge_score", "diversity", "copied", "nearest_outline"}
    assert found["words"].keys() == set(WORDS)
    model = read_folder(folder)
    assert model.metrics == found["metrics"]
    assert model.evaluation == {"judge": judge.digest}
    assert {GRAPH, FACTS} <= model.files.keys()
    assert json.loads((folder / written.FILE).read_text())["judge"] == judge.digest
    assert (folder / "CARD.md").read_text().count("## Evaluation") == 1
    assert Judge.load(folder).digest == judge.digest
    top1 = np.mean([one["top1"] for one in found["words"].values()])
    assert found["metrics"]["judge_score"] == pytest.approx(top1 / 0.8, abs=1e-3)
    assert tomllib.loads((folder / "model.toml").read_text())["name"] == "sprite"


def another() -> bytes:
    """The small velocity net under another digest."""
    model = onnx.load_model_from_string(builders.velocity_onnx())
    model.doc_string = "another"
    return model.SerializeToString()


async def ended(api: Api, job_id: str) -> Any:
    return await eventually(
        lambda: api.get(f"{JOBS}/{job_id}"), lambda one: one["ended_at"] is not None
    )


async def test_versions_get_their_scores_from_one_judge_and_are_compared(
    serving: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = unused_port()
    api, address = await serving(port=port, train_nice=0), f"http://127.0.0.1:{port}"
    folder = tmp_path / "data" / "datasets"
    judge, built = judge_in(folder / "ours"), set_in(folder)
    headers = {"Content-Type": "application/octet-stream"}
    path = f"{MODELS}/sprite/versions"
    await api.call("POST", path, 201, data=another(), headers=headers)
    policy = {"prod": {"golden": False, "max_latency_ratio": None, "score": "judge_score"}}
    await api.call("PUT", f"{MODELS}/sprite/policy", json=policy)

    async def score_gate() -> Any:
        body = {"version": "2", "stage": "prod", "dry_run": True}
        found = await api.call("POST", f"{MODELS}/sprite/promote", json=body)
        return next(gate for gate in found["gates"] if gate["gate"] == "score judge_score")

    assert not (await score_gate())["passed"]
    body = {"entry_point": "evaluate", "params": {"model": "sprite", "judge": "ours"}}
    first = (await api.call("POST", JOBS, 202, json=body))["id"]
    await ended(api, first)
    line = ["evaluate", "sprite@2", "--judge", "sprite@1", "--data", "own", "--follow"]
    code = await asyncio.to_thread(main, [*line, "--server", address])
    told = capsys.readouterr()
    assert code == 0, told.err
    assert "judge_score" in told.out
    assert f"reads {folder / 'own.npz'}" in told.err
    for one in (first, told.out.split()[0]):
        job = await api.get(f"{JOBS}/{one}")
        assert job["state"] == "succeeded", job
        run = await api.get(f"{V1}/runs/{job['run_id']}")
        listed = (await api.get(f"{V1}/runs/{run['id']}/artifacts"))["artifacts"]
        assert {"evaluation.json", "judge"} <= {one["name"] for one in listed}
        (model,) = [job["params"]["model"]]
        found = await api.get(f"{MODELS}/sprite/versions/{model.partition('@')[2]}")
        assert found["evaluation"]["judge"] == judge.digest
        assert found["evaluation"]["run"] == run["id"]
        assert found["metrics"]["judge_score"] == run["metrics"]["judge_score"]
        up = await api.get(f"{V1}/lineage/training_job/{job['id']}", direction="up")
        assert ("model_version", model) in {(node["kind"], node["id"]) for node in up["nodes"]}
    assert job["params"] == {
        "model": "sprite@2",
        "judge": "sprite@1",
        "data": str(folder / "own.npz"),
        "judge_minutes": 5,
    }
    (read,) = run["inputs"]
    assert (read["name"], read["digest"], read["context"]) == ("own", built.digest, "evaluation")
    assert read["dataset_id"] in [node["id"] for node in up["nodes"] if node["kind"] == "dataset"]
    gate = await score_gate()
    assert (gate["note"][-7:], gate["figure"]) == ("in prod", found["metrics"]["judge_score"])
    history = (await api.get(f"{MODELS}/sprite/history"))["changes"]
    assert history[0]["action"] == "evaluated"
    assert history[0]["details"]["metrics"]["judge_score"] == [None, gate["figure"]]
    kept = await serving(port=unused_port())  # after a restart
    assert (await kept.get(f"{MODELS}/sprite/versions/2"))["evaluation"] == found["evaluation"]


async def test_what_cannot_be_evaluated_says_why(serving: Serving, tmp_path: Path) -> None:
    api = await serving(port=unused_port(), train_nice=0)

    async def said(**params: Any) -> str:
        body = {"entry_point": "evaluate", "params": params}
        problem = await api.refused("POST", JOBS, 422, "bad_param", json=body)
        return str(problem["detail"])

    assert "params.model: must be given" in await said()
    assert "no such version is here; there are: " in await said(model="sprite@9")
    assert "superres@1 is of kind superres" in await said(model="superres@1")
    assert "sprite@1 brings none: name a version whose judge" in await said(model="sprite@1")
    assert "sprite@1 has no judge" in await said(model="sprite@1", judge="sprite@1")
    assert "is not in" in await said(model="sprite@1", data="nothing.npz")
    assert "no such version" in await said(model="sprite@1", judge="../../etc")
    judge_in(tmp_path / "data" / "datasets" / "other", ["sun", "moon", "star", "sky", "sea"])
    body = {"entry_point": "evaluate", "params": {"model": "sprite@1", "judge": "other"}}
    job = await ended(api, (await api.call("POST", JOBS, 202, json=body))["id"])
    assert job["state"] == "failed"
    assert "not evaluated: this judge knows other words: of its 5" in job["reason"]
    assert "judge_score" not in (await api.get(f"{MODELS}/sprite/versions/1"))["metrics"]
