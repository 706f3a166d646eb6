"""`gfedge generate`, `vary`, `sheet` and `words` against a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import builders
import numpy as np
import pytest
from conftest import Process
from PIL import Image

from gfedge.cli import main, sheets
from gfedge.cli.commands import parser
from gfedge.cli.errors import CommandError
from gfedge.cli.jobs import outline, parameters

Run = Callable[..., int]


@pytest.fixture
def run(process: Callable[..., Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    server = process()
    server.start()
    monkeypatch.chdir(tmp_path)
    return lambda *argv: main([*argv, "--server", server.address])


def test_the_commands_from_prompts_to_a_sheet(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.txt").write_text("red dragon\n\n blue dragoon\n", encoding="utf-8")
    options = ("--style", "handheld", "--outline", "ff00ff:1", "--seed", "3", "-n", "2")
    assert run("generate", "--prompts", "prompts.txt", "-o", "items.png", *options) == 0
    said = capsys.readouterr()
    assert "near dragoon: dragon" in said.err
    assert "warning: the model was not found to draw: red" in said.err
    assert "items-4.png  32x32  seed 4" in said.out

    assert run("vary", "items-1.png", "-o", "other.png", "-n", "2", "--sampler", "heun") == 0
    capsys.readouterr()
    assert run("trace", "other-1.png") == 0
    assert 'ran generate "red dragon" in style handheld over a picture' in capsys.readouterr().out

    pictures = [f"items-{i}.png" for i in range(1, 5)]
    atlases = ("--atlas", "json", "--atlas", "unity")
    assert run("sheet", *pictures, "-o", "all.png", "--columns", "4", *atlases) == 0
    atlas = json.loads((tmp_path / "all.json").read_text())
    sheet = np.asarray(Image.open(tmp_path / "all.png"))
    for name in pictures:
        x = atlas["frames"][name]["frame"]["x"]
        one = np.asarray(Image.open(tmp_path / name))
        assert np.array_equal(sheet[:32, x : x + 32], one)
    assert (tmp_path / "all.png.meta").read_text().startswith("fileFormatVersion: 2")
    assert f"{tmp_path.name}" not in capsys.readouterr().out


def test_pictures_from_files_go_along(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = builders.noise(32, 32, seed=1)
    (tmp_path / "in.png").write_bytes(builders.picture_file(given))
    mask = np.zeros((32, 32, 4), np.uint8)
    mask[:8] = 255
    (tmp_path / "mask.png").write_bytes(builders.picture_file(mask))
    assert (
        run("generate", "potion", "-o", "out.png", "--init-image", "in.png", "--mask", "mask.png")
        == 0
    )
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png"))[8:], given[8:])
    capsys.readouterr()
    assert run("generate", "dragon", "-o", "x.png", "--palette-image", "in.png", "--tileable") == 0
    assert re.search(
        r"^x.png  32x32  seed \d+  seam score \d\.\d\d  sprite@1", capsys.readouterr().out
    )
    assert run("generate", "dragon", "-o", "x.png", "--mask", "mask.png") == 1
    assert "goes with an `init_image`" in capsys.readouterr().err

    varied = ("vary", "in.png", "--prompt", "dragon", "-n", "1")
    assert run(*varied, "-o", "masked.png", "--mask", "mask.png") == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "masked.png"))[8:], given[8:])
    assert run(*varied, "-o", "v.png", "--tileable", "--background", "ff00ff") == 0
    assert run("trace", "v.png") == 0
    assert "strength 0.7, tileable, background #ff00ff, seed" in capsys.readouterr().out


def test_one_failed_prompt_of_a_batch_costs_only_its_own_pictures(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = f"red dragon\nred {builders.CURSE}\nblue potion\n"
    (tmp_path / "prompts.txt").write_text(lines, encoding="utf-8")
    assert run("generate", "--prompts", "prompts.txt", "-o", "items.png", "-n", "2") == 1
    assert sorted(path.name for path in tmp_path.glob("items-*")) == [
        f"items-{i}.png" for i in (1, 2, 5, 6)
    ]
    said = capsys.readouterr()
    assert "items-6.png  32x32" in said.out
    failed, last = said.err.splitlines()[-2:]
    assert failed.startswith(f'failed: "red {builders.CURSE}": job ')
    assert last == "error: 1 of 3 prompts gave no picture"


def test_words_are_listed_and_read(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("words") == 0
    said = capsys.readouterr().out
    assert said.splitlines()[:2] == ["dragon, potion", "styles: handheld, royal"]
    assert run("words", "elixir", "of", "swords", "dragoon", "machete", "qqqq") == 0
    assert capsys.readouterr().out.splitlines() == [
        "elixir: read as potion",
        "swords: read as sword, but not found to be drawn",
        "dragoon: unknown; nearest: dragon",
        "machete: unknown; nearest: sword",
        "qqqq: unknown, and nothing is near",
    ]


def test_an_outline_is_a_colour_and_a_width() -> None:
    assert outline("ff8800:3") == {"colour": "#ff8800", "width": 3}
    for wrong in ("ff8800:", "red", "ff8800:x"):
        with pytest.raises(CommandError):
            outline(wrong)
    args = parser().parse_args(["generate", "x", "-o", "x.png", "--tileable", "--strength", "0.5"])
    assert parameters(args) == {"prompt": "x", "tileable": True, "strength": 0.5}


def test_a_prompt_or_a_file_of_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["generate", "-o", "x.png"]) == 2
    assert "PROMPT, or --prompts FILE" in capsys.readouterr().err
    (tmp_path / "p").write_text("\n \n")
    assert main(["generate", "--prompts", str(tmp_path / "p"), "-o", "x.png"]) == 2
    assert "holds no prompt" in capsys.readouterr().err


def test_files_of_one_name_stay_apart_on_a_sheet() -> None:
    assert sheets.names(["a/x.png", "b/x.png", "c" * 64]) == ["x", "x-2", "c" * 12]
