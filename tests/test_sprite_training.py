"""Training a sprite model on a few pictures: the same curve after a stop, and a folder that the engine runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import builders
import msgspec
import numpy as np
import pytest
from aiohttp.test_utils import unused_port
from conftest import Process, Serving, eventually

from gfedge.cli import main
from gfedge.evaluation import sets
from gfedge.inference.engine import Engine
from gfedge.inference.folder import read_folder
from gfedge.inference.types import Cancel, EngineOptions, GenerateRequest
from gfedge.training import sprite_set

V1 = "/api/v1/ml-platform"
JOBS = f"{V1}/training-jobs"
ROOT = Path(__file__).resolve().parents[1]
PYTHON = os.environ.get("GFEDGE_TRAIN_PYTHON", sys.executable)
HAS_TORCH = not subprocess.run(
    [PYTHON, "-c", "import torch, onnx, onnxruntime"], capture_output=True, check=False
).returncode
needs_torch = pytest.mark.skipif(
    not HAS_TORCH, reason="needs torch: `make train`, and GFEDGE_TRAIN_PYTHON as it prints"
)

HAS_ALL = (
    HAS_TORCH
    and not subprocess.run(
        [PYTHON, "-c", "import msgspec"], capture_output=True, check=False
    ).returncode
)
needs_all = pytest.mark.skipif(
    not HAS_ALL,
    reason="needs torch and what the server does: `make train`, and GFEDGE_TRAIN_PYTHON",
)


def art(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        (folder / f"{name}.png").write_bytes(
            builders.picture_file(builders.noise(32, 32, seed=number))
        )


def built(tmp_path: Path) -> Path:
    art(tmp_path / "art", "red_potion", "blue_potion", "LongSword2", "stone-wall")
    source = sprite_set.Source(folder="art", licence="CC0-1.0")
    found = sprite_set.build(sprite_set.Recipe(name="own", sources=[source]), tmp_path)
    sprite_set.save(found, tmp_path / "own.npz")
    return tmp_path / "own.npz"


def tool(module: str, *arguments: object) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tools'}:{ROOT}"}
    command = [PYTHON, "-m", f"sprites.{module}", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@needs_torch
def test_a_stopped_training_goes_on_to_the_same_curve_and_exports(tmp_path: Path) -> None:
    data = built(tmp_path)
    small = ("--batch", 4, "--channels", "16,16,16", "--threads", 1, "--device", "cpu")

    def train(run: str, *steps: int) -> Path:
        for last in steps:
            tool(
                "train",
                "--data",
                data,
                "--run",
                tmp_path / run,
                "--steps",
                50,
                "--until",
                last,
                *small,
            )
        return tmp_path / run

    whole, parts = train("whole", 50), train("parts", 20, 50)
    lines = [json.loads((run / "log.jsonl").read_text().splitlines()[-1]) for run in (whole, parts)]
    assert lines[0]["step"] == 50
    assert lines[0]["loss"] == lines[1]["loss"]

    out = tmp_path / "models" / "own" / "3"
    tool("export", "--run", parts, "--out", out)
    (parts / "checkpoint.pt").unlink()
    tool("export", "--run", parts, "--out", tmp_path / "light")
    assert (parts / "weights.pt").stat().st_size < 4 * (out / "model.onnx").stat().st_size
    assert (tmp_path / "light/model.onnx").read_bytes() == (out / "model.onnx").read_bytes()
    folder = read_folder(out)
    assert (folder.name, folder.version, folder.licence) == ("own", "3", "CC0-1.0")
    assert folder.dataset["name"] == "own"
    assert "own, CC0-1.0" in (out / "CARD.md").read_text()
    engine = Engine(EngineOptions(device="cpu", workers=1))
    engine.start()
    request = GenerateRequest(prompt="red potion", steps=2)
    result = engine.generate(folder, request, lambda done, units: None, Cancel()).result(60)
    engine.close()
    assert result.images[0].shape == (32, 32, 4)
    assert result.unknown_words == ()


@needs_torch
def test_a_training_begins_with_the_net_of_another(tmp_path: Path) -> None:
    data = built(tmp_path)
    art(tmp_path / "more", "red_potion", "iron-helmet")
    source = sprite_set.Source(folder="more", licence="CC0-1.0")
    more = sprite_set.build(sprite_set.Recipe(name="more", sources=[source]), tmp_path)
    sprite_set.save(more, tmp_path / "more.npz")
    small = ("--batch", 4, "--channels", "16,16,16", "--threads", 1, "--device", "cpu")
    one, two = tmp_path / "one", tmp_path / "two"
    tool("train", "--data", data, "--run", one, "--steps", 3, *small)
    begin = ("--begin", one, "--rate", 0)  # nothing is learned: what was taken over stays
    tool("train", "--data", tmp_path / "more.npz", "--run", two, "--steps", 1, *begin, *small)
    code = (
        "import sys, torch\nfrom pathlib import Path\nfrom gfedge.inference.words import Vocabulary\n"
        "(a, b), (v, w) = zip(*((torch.load(f'{f}/checkpoint.pt', weights_only=True)['ema'], Vocabulary.load(f'{f}/vocab.json').ids) for f in sys.argv[1:]))\n"
        "name = 'tokens.word.weight'\n"
        "assert all(torch.equal(a[k], b[k]) for k in a if k != name)\n"
        "assert torch.equal(a[name][v['potion']], b[name][w['potion']])\n"
        "assert 'helmet' not in v and 'sword' not in w and v['potion'] != w['potion']\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([PYTHON, "-c", code, str(one), str(two)], env=environment, check=True)


def test_a_set_has_every_picture_once_with_its_words_and_licence(tmp_path: Path) -> None:
    art(tmp_path / "items", "red_potion", "redDragon_02", "the")
    (tmp_path / "items" / "copy.png").write_bytes((tmp_path / "items/red_potion.png").read_bytes())
    (tmp_path / "items" / "empty.png").write_bytes(
        builders.picture_file(np.zeros((32, 32, 4), np.uint8))
    )
    (tmp_path / "items" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    sheet = np.concatenate([builders.noise(16, 16, seed=s, alpha=True) for s in (7, 8, 7)], 1)
    (tmp_path / "walls").mkdir()
    (tmp_path / "walls" / "a.png").write_bytes(builders.picture_file(sheet))
    (tmp_path / "captions.csv").write_text("a.png,mossy stone wall\n", encoding="utf-8")
    (tmp_path / "set.toml").write_text(
        'name = "ours"\n[[sources]]\nfolder = "items"\nlicence = "CC0-1.0"\nwords = "pixel"\n'
        '[[sources]]\nfolder = "walls"\nlicence = "MIT"\ncaptions = "captions.csv"\ngrid = 16\n',
        encoding="utf-8",
    )
    recipe = sprite_set.read_recipe(tmp_path / "set.toml")
    found = sprite_set.build(recipe, tmp_path)
    said = {note["path"]: (note["nouns"], note["words"], note["licence"]) for note in found.notes}
    assert said["items/redDragon_02.png"] == (["dragon"], ["red", "pixel"], "CC0-1.0")
    assert said["walls/a.png#0"] == (["wall"], ["mossy", "stone"], "MIT")
    assert found.left_out == {
        "no caption": 1, "shows nothing": 1, "there already": 2, "unreadable": 1,
    }  # fmt: skip
    assert found.licence == "CC0-1.0 AND MIT"
    assert len(found.notes) == 4
    assert {alpha for picture in found.pictures for alpha in picture[..., 3].flat} <= {0, 255}
    assert all(picture.shape == (32, 32, 4) for picture in found.pictures)
    sprite_set.save(found, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        digest = sets.digest_of(file["pictures"].tobytes(), str(file["notes"]))
        assert (digest, str(file["name"])) == (found.digest, "ours")
    assert sprite_set.build(recipe, tmp_path).digest == found.digest


def test_the_cells_of_a_sheet_have_captions_of_their_own(tmp_path: Path) -> None:
    cells = [builders.noise(16, 16, seed=seed) for seed in range(6)]
    sheet = np.zeros(
        (43, 62, 4), np.uint8
    )  # a margin of 2, a spacing of 1, cells cut off on two sides
    for number, cell in enumerate(cells):
        y, x = 2 + number // 3 * 17, 2 + number % 3 * 17
        sheet[y : y + 16, x : x + 16] = cell
    (tmp_path / "items").mkdir()
    (tmp_path / "items" / "a.png").write_bytes(builders.picture_file(sheet))
    (tmp_path / "c.csv").write_text(
        'a.png#0,red potion\na.png#1,2,iron sword\n"a.png#1,0",blue orb\na.png,old thing\na.png#9,none\n'
    )
    source = sprite_set.Source(
        folder="items", licence="MIT", captions="c.csv", grid=16, margin=2, spacing=1
    )
    recipe = sprite_set.Recipe(name="items", sources=[source], size=32)
    found = sprite_set.build(recipe, tmp_path)
    assert [(note["path"][12:], note["nouns"]) for note in found.notes] == [
        ("0", ["potion"]), ("1", ["thing"]), ("2", ["thing"]),
        ("3", ["orb"]), ("4", ["thing"]), ("5", ["sword"]),
    ]  # fmt: skip
    for cell, picture in zip(cells, found.pictures, strict=True):
        assert (picture == cell.repeat(2, 0).repeat(2, 1)).all()
    assert found.left_out == {"cut off at the edge": 6, "captioned, but no such cell": 1}
    plain = msgspec.structs.replace(source, grid=0)
    with pytest.raises(ValueError, match="say grid"):
        sprite_set.build(msgspec.structs.replace(recipe, sources=[plain]), tmp_path)


def test_a_set_without_sheets_keeps_its_digest(tmp_path: Path) -> None:
    art(tmp_path / "art", "red_potion", "LongSword2")
    source = sprite_set.Source(folder="art", licence="CC0-1.0")
    found = sprite_set.build(sprite_set.Recipe(name="own", sources=[source]), tmp_path)
    assert found.digest == "sha256:1eabf13c741a20500fa5adf52c42430e9531abefb9c54a8acda6d4836ba46b33"


def test_a_set_may_be_of_64_pixels(tmp_path: Path) -> None:
    art(tmp_path / "art", "potion")
    source = sprite_set.Source(folder="art", licence="CC0-1.0")
    recipe = sprite_set.Recipe(name="large", sources=[source], size=64)
    [picture] = sprite_set.build(recipe, tmp_path).pictures
    [small] = sprite_set.build(msgspec.structs.replace(recipe, size=32), tmp_path).pictures
    assert (picture == small.repeat(2, 0).repeat(2, 1)).all()


@needs_torch
def test_a_model_of_64_pixels_is_trained_and_run(tmp_path: Path) -> None:
    art(tmp_path / "art", "red_potion", "sword")
    source = sprite_set.Source(folder="art", licence="CC0-1.0")
    recipe = sprite_set.Recipe(name="large", sources=[source], size=64)
    sprite_set.save(sprite_set.build(recipe, tmp_path), tmp_path / "large.npz")
    small = ("--batch", 2, "--channels", "16,16,16", "--threads", 1, "--device", "cpu")
    tool("train", "--data", tmp_path / "large.npz", "--run", tmp_path / "r", "--steps", 2, *small)
    out = tmp_path / "some-job" / "export"
    tool("export", "--run", tmp_path / "r", "--out", out, "--named", "large/1")
    engine = Engine(EngineOptions(device="cpu", workers=1))
    engine.start()
    request = GenerateRequest(prompt="red potion", steps=2)
    (tmp_path / "large").mkdir()
    folder = read_folder(out.rename(tmp_path / "large" / "1"))
    assert (folder.name, folder.version) == ("large", "1")
    result = engine.generate(folder, request, lambda done, units: None, Cancel()).result(60)
    engine.close()
    assert result.images[0].shape == (64, 64, 4)


@needs_torch
async def test_a_job_of_the_server_trains_the_sprite_generator(
    serving: Serving, tmp_path: Path
) -> None:
    api = await serving(port=unused_port(), train_python=PYTHON, train_nice=0)
    art(tmp_path / "art", "red_potion")
    source = sprite_set.Source(folder="art", licence="CC0-1.0")
    found = sprite_set.build(sprite_set.Recipe(name="own", sources=[source]), tmp_path)
    sprite_set.save(found, tmp_path / "data" / "datasets" / "own.npz")
    params = {"data": "own.npz", "device": "cpu", "steps": 2, "batch": 2, "sheet_every": 0}
    body = {"entry_point": "sprites", "params": params, "model": "studio"}
    job = await api.call("POST", JOBS, 202, json=body)
    said = await api.bytes(f"{JOBS}/{job['id']}/log?follow=true")  # to its end
    job = await eventually(
        lambda: api.get(f"{JOBS}/{job['id']}"), lambda one: one["ended_at"] is not None
    )
    assert (job["state"], job["model"]) == ("succeeded", "studio@1"), said
    run = await api.get(f"{V1}/runs/{job['run_id']}")
    assert {"loss", "images_per_second"} <= run["metrics"].keys()
    assert run["tags"]["evaluation"].startswith("no score: ")
    assert "the model gets no score: " in said.decode()
    listed = (await api.get(f"{V1}/runs/{run['id']}/artifacts"))["artifacts"]
    assert {"step000001.png", "step000002.png"} <= {one["name"] for one in listed}
    sheet = await api.bytes(f"{V1}/runs/{run['id']}/artifacts/step000002.png")
    assert sheet.startswith(b"\x89PNG")
    (version,) = (await api.get(f"{V1}/models/studio"))["versions"]
    assert (version["stage"], version["source_run"]) == ("dev", run["id"])
    (read,) = run["inputs"]
    assert (read["name"], read["digest"]) == ("own", found.digest)
    up = await api.get(f"{V1}/lineage/model_version/studio@1", direction="up")
    above = {(node["kind"], node["id"]) for node in up["nodes"]}
    assert {("run", run["id"]), ("dataset", read["dataset_id"])} <= above
    assert ("commit", run["source"]["commit"]) in above
    body = {"prompt": "red potion", "model": "studio@1", "steps": 2}
    made = await api.call("POST", "/api/v1/ai/generate", 202, json=body)
    assert made["model"]["name"] == "studio"


SHAPES = {
    "block": (4, 28, 4, 28), "dot": (13, 19, 13, 19), "bar": (14, 18, 2, 30), "pole": (2, 30, 14, 18), "slab": (18, 30, 2, 30),
}  # fmt: skip


def shapes(folder: Path) -> None:
    """Eight pictures of each of five things, which can be told apart."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for word, (top, bottom, left, right) in SHAPES.items():
        for number in range(8):
            picture = np.zeros((32, 32, 4), np.uint8)
            picture[top:bottom, left:right] = (*rng.integers(40, 255, 3), 255)
            (folder / f"{word}_{number}.png").write_bytes(builders.picture_file(picture))


@needs_all
async def test_two_trainings_are_judged_by_one_judge(serving: Serving, tmp_path: Path) -> None:
    api = await serving(port=unused_port(), train_python=PYTHON, train_nice=0)
    shapes(tmp_path / "art")
    source = sprite_set.Source(folder="art", licence="CC0-1.0", turn=False)
    found = sprite_set.build(sprite_set.Recipe(name="own", sources=[source]), tmp_path)
    sprite_set.save(found, tmp_path / "data" / "datasets" / "own.npz")
    small = {"device": "cpu", "steps": 2, "batch": 2, "channels": "16,16,16"}
    judges = set()
    for number, judge in (("1", ""), ("2", "studio@1")):
        params = {"data": "own.npz", **small, "judge": judge, "judge_minutes": 0.7}
        params["seed"] = int(number)
        body = {"entry_point": "sprites", "params": params, "model": "studio"}
        job = await api.call("POST", JOBS, 202, json=body)
        said = await api.bytes(f"{JOBS}/{job['id']}/log?follow=true")
        job = await eventually(
            lambda one=job["id"]: api.get(f"{JOBS}/{one}"), lambda one: one["ended_at"] is not None
        )
        assert (job["state"], job["model"]) == ("succeeded", f"studio@{number}"), said
        assert b"judge_score" in said, said
        run = await api.get(f"{V1}/runs/{job['run_id']}")
        version = await api.get(f"{V1}/models/studio/versions/{number}")
        assert version["metrics"]["judge_score"] == run["metrics"]["judge_score"]
        assert {"judge.onnx", "judge.json"} <= version["files"].keys()
        kept = (await api.get(f"{V1}/runs/{run['id']}/artifacts?path=model"))["artifacts"]
        assert "evaluation.json" in {one["name"] for one in kept}
        judges.add(version["evaluation"]["judge"])
    assert len(judges) == 1
    body = {"version": "1", "stage": "prod", "force": True}
    await api.call("POST", f"{V1}/models/studio/promote", json=body)
    body = {"version": "2", "stage": "prod", "dry_run": True}
    gates = (await api.call("POST", f"{V1}/models/studio/promote", json=body))["gates"]
    assert "in prod" in next(g for g in gates if g["gate"] == "score judge_score")["note"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "x"\n', "sources"),
        ('name = "x"\n[[sources]]\nfolder = "nowhere"\nlicence = "MIT"\n', "no folder"),
        ('name = "x"\n[[sources]]\nfolder = "art"\n', "licence"),
        ('name = "x"\n[[sources]]\nfolder = "art"\nlicence = "MIT"\ncaptions = "c"\n', "captions"),
        ('name = "x"\n[[sources]]\nfolder = "none"\nlicence = "MIT"\n', "no PNG"),
    ],
)
def test_a_recipe_that_cannot_be_followed_says_why(tmp_path: Path, text: str, said: str) -> None:
    art(tmp_path / "art", "potion")
    (tmp_path / "none").mkdir()
    (tmp_path / "set.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        sprite_set.build(sprite_set.read_recipe(tmp_path / "set.toml"), tmp_path)


def test_a_built_set_is_known_to_the_server_and_can_be_trained_on(
    process: Callable[..., Process],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = process()
    server.start()
    art(tmp_path / "items", "red_potion", "blue_sword")
    monkeypatch.chdir(tmp_path)

    def started(given: list[str], says: str, *more: str) -> None:
        code = main(["train", "sprites", *given, "--steps", "1", *more])
        told = capsys.readouterr()
        assert says in told.err
        if code:  # this Python has no torch, and the server says so
            assert "torch" in told.err
        else:
            assert f"reads {server.data}/datasets/" in told.err
            assert main(["train", "cancel", told.out.strip(), *more]) == 0
            capsys.readouterr()

    at = ("--server", server.address)
    build = ("dataset", "build", "items", "--data", str(server.data), *at)
    assert main([*build]) == 2
    assert "--licence CC0-1.0" in capsys.readouterr().err
    assert main([*build, "--licence", "CC0-1.0"]) == 0
    said = capsys.readouterr().out
    assert (server.data / "datasets" / "items.npz").is_file()
    assert "2 images, 4 words, CC0-1.0" in said
    assert main([*build, "--licence", "CC0-1.0"]) == 0
    again = capsys.readouterr()
    assert (again.out, "note: " in again.err) == (said, False)
    elsewhere = [*build[:4], str(tmp_path / "elsewhere"), "--licence", "CC0-1.0", *at]
    assert main(elsewhere) == 0
    assert f"build it there with GFEDGE_DATA={server.data}" in capsys.readouterr().err

    monkeypatch.setenv("GFEDGE_DATA", str(server.data))
    started(["--data", "items"], "as it was built", *at)
    started(["--data", "items", "--licence", "MIT"], "2 images, 4 words, MIT", *at)
    (tmp_path / "set.toml").write_text(
        'name = "studio"\n[[sources]]\nfolder = "items"\nlicence = "CC0-1.0"\n', encoding="utf-8"
    )
    started(["--data", "set.toml"], "(studio)", *at)
    assert main(["train", "sprites", "--data", "./items", *at]) == 2
    assert "--licence CC0-1.0" in capsys.readouterr().err


@needs_torch
def test_a_folder_is_trained_on_here_and_what_comes_of_it_is_registered(
    process: Callable[..., Process],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = process()
    server.start()
    art(tmp_path / "art", "red_potion")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GFEDGE_DATA", str(server.data))
    monkeypatch.setenv("GFEDGE_TRAIN_PYTHON", PYTHON)
    what = ("--data", "art", "--licence", "CC0-1.0", "--out", "models/own/3", "--register")
    how = ("--steps", "1", "--batch", "2", "--device", "cpu", "--server", server.address)
    assert main(["train", "sprites", *what, *how]) == 0
    assert "it is own@3, in dev" in capsys.readouterr().out
    assert read_folder(tmp_path / "models/own/3").dataset["name"] == "art"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--data art --resume", "--out"),
        ("--data art --register", "by itself"),
        ("--data art --out models/own/1 --follow", "in view"),
        ("--data art --out models/own/1 --model potions", "add --register"),
        ("--data art.npz --licence MIT", "the set has its licences"),
        ("--data art.toml --licence MIT", "the recipe names"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    given: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "sprites", *given.split()]) == 2
    told = capsys.readouterr().err
    assert "does nothing here" in told
    assert said in told


def test_training_here_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "models" / "own" / "1"))
    assert main(["train", "sprites", "--data", "nothing.npz", *out]) == 2
    assert "`gfedge dataset build` makes it" in capsys.readouterr().err
    assert main(["train", "sprites", "--data", "x", "--out", str(tmp_path)]) == 2
    assert "versions never change" in capsys.readouterr().err
    (tmp_path / "models" / "own" / "1.run").mkdir(parents=True)
    (tmp_path / "models" / "own" / "1.run" / "checkpoint.pt").touch()
    assert main(["train", "sprites", "--data", "x", *out]) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
