"""The art behind the sprite data: what is taken of each source, and what it is called."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest

from gfedge.inference.words import Vocabulary
from gfedge.training import sprite_set

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from sprites import icons, kenney, sheet, sources

    return {"icons": icons, "kenney": kenney, "sheet": sheet, "sources": sources}


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("dog-face", "dog"), ("bottle-with-popping-cork", "wine|bottle"), ("bow-and-arrow", "|bow"),
        ("gem-stone", "blue|gem"), ("tent", "tent"), ("polar-bear", "white|bear"), ("grapes", "grape"),
        ("person-with-crown", "|king human"), ("woman-mage", "wizard"), ("hot-dog", "|hotdog"),
    ],
)  # fmt: skip
def test_an_icon_is_called_what_it_shows(tools: Any, name: str, caption: str) -> None:
    assert tools["icons"].caption_of(name) == caption


def test_icons_that_nobody_asks_for_are_left_out(tools: Any) -> None:
    categories = {
        "Animals & Nature": ["dragon", "dog-face"],
        "Travel & Places": ["castle", "two-oclock", "globe-showing-americas"],
        "People & Body": ["man-mage", "man-mage-dark", "man-rowing-boat"],
        "Smileys & Emotion": ["skull", "grinning-face"],
        "Symbols": ["japanese-vacancy-button"],
        "Objects": ["crown"],
    }
    found = {name: turn for name, _, turn in tools["icons"].chosen(categories)}
    assert found == {
        "castle": False, "crown": True, "dog-face": False, "dragon": False, "man-mage": False, "skull": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "caption", "turn"),
    [
        ("items/keyBlue.png", "blue|key", True),
        ("items/gemRed.png", "red|gem crystal", True),
        ("tiles/brickGrey.png", "gray|brick wall", False),
        ("animated_characters/zombie/zombie_idle.png", "|zombie", False),
        ("animated_characters/zombie/zombie_walk5.png", "", False),
        ("tiles/dirtCliff_left.png", "", False),
        ("cybercity_background/far-buildings.png", "", False),
        ("miami_synth_parallax/layers/back.png", "", False),
    ],
)
def test_a_picture_of_kenney_is_called_by_its_name(
    tools: Any, name: str, caption: str, turn: bool
) -> None:
    assert tools["kenney"].caption_of(name) == caption
    assert tools["kenney"].may_turn(name) == turn


def square(x: int, y: int, side: int) -> np.ndarray:
    picture = np.zeros((32, 32, 4), np.uint8)
    picture[y : y + side, x : x + side] = 255
    return picture


def test_signs_in_a_corner_are_not_pictures_of_a_thing(tools: Any) -> None:
    in_a_corner = tools["sources"].in_a_corner
    assert all(in_a_corner(square(x, y, 12)) for x in (0, 20) for y in (0, 20))
    assert not in_a_corner(square(10, 10, 12))
    assert not in_a_corner(square(0, 10, 12))
    assert not in_a_corner(square(0, 0, 24))
    assert not in_a_corner(square(0, 0, 0))


def test_a_source_becomes_folders_with_captions_that_a_set_is_built_of(
    tools: Any, tmp_path: Path
) -> None:
    sources = tools["sources"]

    def pieces(file: Path) -> Iterator[Any]:
        yield sources.Piece("item/red", "glowing|gold coin", True, builders.noise(32, 32, seed=1))
        yield sources.Piece("wall", "stone wall", False, builders.noise(32, 32, seed=2))
        yield sources.Piece("sign", "potion", True, square(20, 20, 8))

    (tmp_path / "art.tgz").write_bytes(b"art")
    source = sources.Source("own", "art.tgz", hashlib.sha256(b"art").hexdigest(), pieces)
    found = sources.unpack(source, tmp_path / "art.tgz", tmp_path)
    assert found == {"own": 1, "own-still": 1, "in a corner": 1}
    assert list(csv.reader((tmp_path / "own.csv").read_text(encoding="utf-8").splitlines())) == [
        ["item/red.png", "glowing|gold coin"]
    ]
    (tmp_path / "set.toml").write_text(
        'name = "x"\n[[sources]]\nfolder = "own"\ncaptions = "own.csv"\nwords = "pixel"\n'
        'licence = "MIT"\nattribution = "by us, MIT"\nweight = 3.0\n'
        '[[sources]]\nfolder = "own-still"\nlicence = "MIT"\ncaptions = "own-still.csv"\nturn = false\n',
        encoding="utf-8",
    )
    built = sprite_set.build(sprite_set.read_recipe(tmp_path / "set.toml"), tmp_path)
    first, second = built.notes
    assert (first["nouns"], first["words"]) == (["gold", "coin"], ["glowing", "pixel"])
    assert (first["weight"], first["turn"]) == (3.0, True)
    assert (second["nouns"], second["words"], second["turn"]) == (["wall"], ["stone"], False)
    assert "weight" not in second
    assert built.profile()["sources"] == {"own": 1, "own-still": 1}
    sprite_set.save(built, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as file:
        assert str(file["notice"]) == "by us, MIT"

    (tmp_path / "art.tgz").write_bytes(b"other art")
    with pytest.raises(SystemExit, match="expected"):
        sources.unpack(source, tmp_path / "art.tgz", tmp_path)


def test_the_recipe_of_the_mixed_set_names_a_licence_a_style_and_who_made_it(tools: Any) -> None:
    recipe = sprite_set.read_recipe(ROOT / "tools" / "sprites" / "mixed.toml")
    names = {source.folder.removesuffix("-still") for source in recipe.sources}
    assert names == {source.name for source in tools["sources"].SOURCES}
    assert {source.licence for source in recipe.sources} == {"CC0-1.0", "MIT", "Apache-2.0"}
    for source in recipe.sources:
        assert source.words, source.folder
        assert source.captions == f"{source.folder}.csv"
        assert source.turn != source.folder.endswith("-still")
    owed = [source.attribution for source in recipe.sources if source.attribution]
    assert len(owed) == len(names)


def test_a_contact_sheet_shows_what_a_model_has_words_for(tools: Any) -> None:
    shipped = Vocabulary.load(ROOT / "models" / "sprite" / "1" / "vocab.json")
    assert tools["sheet"].prompts_of(shipped) == tools["sheet"].PROMPTS
    own = Vocabulary(
        words=("<pad>", "red", "teapot", "sofa"),
        aliases={},
        buckets=8,
        length=8,
        grams=4,
        counts={"red": 1, "teapot": 2, "sofa": 5},
    )
    assert tools["sheet"].prompts_of(own) == ("sofa", "teapot", "red")
