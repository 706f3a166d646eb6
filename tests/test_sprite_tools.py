"""The words of the sprite generator, and its model folder: digests, and a graph fair to batches."""

import hashlib
import json
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from gfedge.evaluation import drawing, scores, written
from gfedge.evaluation.judge import Judge
from gfedge.inference import meanings
from gfedge.inference.folder import read_folder, vocabulary_of
from gfedge.inference.words import Vocabulary, grams_of, split

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "models" / "sprite" / "1"
TOOLS = ROOT / "tools" / "sprites"


@pytest.fixture(scope="module")
def small() -> Vocabulary:
    return Vocabulary(
        words=("<pad>", "red", "blue", "potion", "dragon", "wolf", "torch"),
        aliases={"elixir": "potion", "wyrm": "dragon"},
        buckets=2048,
        length=4,
        grams=12,
        counts={"red": 9},
    )


@pytest.fixture(scope="module")
def shipped() -> Vocabulary:
    return Vocabulary.load(MODEL / "vocab.json")


@pytest.fixture(scope="module")
def session() -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        str(MODEL / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )


def test_split_keeps_each_word_once_and_no_stop_words() -> None:
    assert split("A red, RED potion of the Dragon's 3 eyes!") == ["red", "potion", "dragon", "eyes"]


def test_encode_knows_words_aliases_and_plurals(small: Vocabulary) -> None:
    for prompt in ("red potion", "Red Elixir", "a red potions", "red elixirs"):
        encoded = small.encode(prompt)
        assert encoded.words.tolist() == [1, 3, 0, 0]
        assert encoded.unknown == encoded.dropped == ()
    assert small.encode("wolves torches wyrms").words.tolist() == [5, 6, 4, 0]


def test_encoded_arrays_have_the_shape_of_the_graph(small: Vocabulary) -> None:
    encoded = small.encode("blue dragon")
    assert encoded.words.shape == (4,)
    assert encoded.words.dtype == np.int64
    assert encoded.subwords.shape == (4, 12)
    assert encoded.subwords.dtype == np.int64
    assert (encoded.subwords[:2] > 0).any(axis=1).all()
    assert not encoded.subwords[2:].any()


def test_unknown_words_keep_their_subwords_and_are_named(small: Vocabulary) -> None:
    encoded = small.encode("red zeppelin")
    assert encoded.unknown == ("zeppelin",)
    assert encoded.words.tolist() == [1, 0, 0, 0]
    assert encoded.subwords[1].any()
    assert small.encode("красный дракон").unknown == ("красный", "дракон")


def test_too_many_words_drop_unknown_ones_first(small: Vocabulary) -> None:
    encoded = small.encode("xyzzy red blue plugh potion dragon wolf")
    assert encoded.words.tolist() == [1, 2, 3, 4]
    assert encoded.dropped == ("xyzzy", "plugh", "wolf")
    assert encoded.unknown == ("xyzzy", "plugh")


def test_no_caption_is_all_zeros(small: Vocabulary) -> None:
    for prompt in ("", "  of the 12 ", "!?"):
        encoded = small.encode(prompt)
        assert not encoded.words.any()
        assert not encoded.subwords.any()


def test_grams_are_stable_and_shared_by_like_words() -> None:
    assert grams_of("red", 2048, 12) == [838, 1936, 978, 1689, 1481]
    assert len(set(grams_of("dragon", 2048, 12)) & set(grams_of("dragonfly", 2048, 12))) >= 4
    assert all(1 <= g <= 2048 for g in grams_of("incomprehensible", 2048, 12))
    assert len(grams_of("incomprehensible", 2048, 12)) == 12


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("sabre", "sword"), ("wolfhound", "dog"), ("castle", "stone wall"), ("castles", "stone wall"),
        ("casle", "stone wall"), ("beer", "potion"), ("spaceship", "metal"), ("unicorn", "centaur"),
        ("wizzard", "wizard"), ("ninja", "assassin"), ("treasure", "gold coin"), ("sapphires", "blue crystal"),
    ],
)  # fmt: skip
def test_nearest_goes_by_meaning_before_spelling(shipped: Vocabulary, word: str, near: str) -> None:
    assert shipped.nearest(word)[0] == near


def test_every_word_of_the_thesaurus_comes_near_something_that_the_shipped_model_knows(
    shipped: Vocabulary,
) -> None:
    assert len(meanings.table()) > 1_500
    for word in meanings.table():
        near = (shipped.fold(word), *shipped.nearest(word))
        assert any(near), word
        assert all(shipped.knows(part) for one in near if one for part in one.split())


def test_each_line_of_the_thesaurus_says_what_and_instead_of_what() -> None:
    rows = {row for rows in meanings.table().values() for row in rows}
    for row in rows:
        assert row.instead, row
        assert row.alike, row
        assert all(word.isalpha() and word.islower() for word in row.alike), row
        assert len(set(row.alike)) == len(row.alike), row


def test_what_is_drawn_well_comes_first() -> None:
    data = (MODEL / "vocab.json").read_bytes()
    assert Vocabulary.loads(data).nearest("warlock") == ("wizard", "human")
    assert Vocabulary.loads(data, ["human"]).nearest("warlock") == ("human", "wizard")


def test_what_the_shipped_model_does_not_draw_is_named_with_what_it_draws() -> None:
    shipped = vocabulary_of(read_folder(MODEL))
    prompt = "the demons of a skeleton warrior, serpent and wizard with red swords and elixirs"
    undocumented = ("demons", "warrior", "serpent", "wizard")
    assert shipped.encode(prompt).undocumented == undocumented
    assert [shipped.nearest(word)[:1] for word in undocumented] == [
        ("draconian",), ("human",), ("naga",), ("human",),
    ]  # fmt: skip
    for word in set(shipped.ids) - set(shipped.documented):
        assert all(set(one.split()) <= set(shipped.documented) for one in shipped.nearest(word))
    assert Vocabulary.load(MODEL / "vocab.json").encode(prompt).undocumented == ()


def test_what_a_model_does_not_know_is_passed_over(small: Vocabulary) -> None:
    assert small.nearest("castle") == ()
    assert small.nearest("wolfhound") == ("wolf",)
    assert small.nearest("ruby") == ("red",)


def test_nearest_suggests_spellings_where_nothing_is_meant(small: Vocabulary) -> None:
    assert small.nearest("dragoon") == ("dragon",)
    assert small.nearest("elixer") == ("potion",)
    assert small.nearest("qqqq") == ()


def test_a_vocabulary_survives_its_file(small: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(small.to_json(), encoding="utf-8")
    assert Vocabulary.load(tmp_path / "vocab.json") == small
    (tmp_path / "other.json").write_text('{"format": 2}', encoding="utf-8")
    with pytest.raises(ValueError, match="format 2"):
        Vocabulary.load(tmp_path / "other.json")


def test_an_alias_must_lead_to_a_word() -> None:
    with pytest.raises(ValueError, match="elixir"):
        Vocabulary(words=("<pad>",), aliases={"elixir": "potion"}, buckets=8, length=8, grams=12)


def test_shipped_digests_hold() -> None:
    manifest = tomllib.loads((MODEL / "model.toml").read_text(encoding="utf-8"))
    assert set(manifest["files"]) == {"model.onnx", "vocab.json"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((MODEL / name).read_bytes()).hexdigest() == digest
    assert (
        manifest["training"]["samples"]
        == manifest["training"]["steps"] * manifest["training"]["batch"]
    )
    assert manifest["training"]["parameters"] < 4_000_000
    assert (MODEL / "model.onnx").stat().st_size < 10_000_000


def test_shipped_vocabulary_reads_what_visitors_try(shipped: Vocabulary) -> None:
    for prompt in (
        "red dragon",
        "long sword",
        "blue potion",
        "stone wall",
        "skeleton warrior",
        "green elixir",
    ):
        encoded = shipped.encode(prompt)
        assert encoded.unknown == ()
        assert (encoded.words > 0).sum() == 2
    assert set(shipped.counts) == set(shipped.words[1:])


def test_shipped_graph_gives_the_same_bytes_alone_and_in_a_batch(
    session: ort.InferenceSession, shipped: Vocabulary
) -> None:
    encoded = [shipped.encode(p) for p in ("red potion", "dragon", "stone wall", "nonsense", "")]
    rng = np.random.Generator(np.random.Philox(7))
    feed = {
        "x": rng.standard_normal((5, 4, 32, 32), np.float32),
        "t": rng.random(5, np.float32),
        "words": np.stack([e.words for e in encoded]),
        "subwords": np.stack([e.subwords for e in encoded]),
    }
    [together] = session.run(None, feed)
    assert together.shape == (5, 4, 32, 32)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    for i in range(5):
        [alone] = session.run(None, {name: array[i : i + 1] for name, array in feed.items()})
        assert alone.tobytes() == together[i : i + 1].tobytes()


def test_the_figures_of_the_shipped_model_are_there_and_its_documented_words_known(
    shipped: Vocabulary,
) -> None:
    manifest = tomllib.loads((MODEL / "model.toml").read_text(encoding="utf-8"))
    judge = json.loads((TOOLS / "judge.json").read_text(encoding="utf-8"))
    metrics = manifest["metrics"]
    assert metrics["judge_top5_real"] == pytest.approx(judge["top5"], abs=1e-3)
    digest = hashlib.sha256((TOOLS / "judge.onnx").read_bytes()).hexdigest()
    assert manifest["evaluation"]["judge"] == f"sha256:{digest}"
    assert metrics["judge_score"] == pytest.approx(
        metrics["judge_top5"] / metrics["judge_top5_real"], abs=1e-3
    )
    documented = manifest["vocabulary"]["documented"]
    assert {"red", "dragon", "sword", "potion", "wall", "skeleton"} <= set(documented)
    assert all(word in shipped.ids for word in documented)
    assert not {"demon", "snake", "fish"} & set(documented)
    judged = tomllib.loads((TOOLS / "judged.toml").read_text(encoding="utf-8"))
    assert set(judged["seen"]) <= set(shipped.ids)
    assert max(judged["seen"].values()) <= judged["seeds"]
    assert documented == [w for w, seen in judged["seen"].items() if seen >= judged["least"]]


def test_the_judge_says_what_a_real_sprite_of_the_model_is() -> None:
    """One sprite of a few words, drawn by the shipped model: a broken judge or a broken model fails this."""
    judge = Judge.load(TOOLS)
    with drawing.drawing(read_folder(MODEL), 2, "dpmpp_2m", 8, 2.5) as draw:
        found = scores.evaluate(draw, judge, ["sword", "book", "skeleton"])
    assert [one["top5"] for one in found.values()] == [1, 1, 1]
    shuffled = np.random.default_rng(0).permutation(draw.sprites("book").reshape(-1, 4))
    noise = shuffled.reshape(-1, 32, 32, 4)
    assert (judge.ranks(noise, "book") > 0).all()


def test_figures_replace_those_that_are_there(tmp_path: Path) -> None:
    manifest = tmp_path / "model.toml"
    manifest.write_text('name = "x"\n\n[metrics]\nold = 1\n\n[pipeline]\nsize = 32\n', "utf-8")
    for score in (0.5, 0.75):
        tables = {"metrics": {"judge_score": score}, "evaluation": {"judge": "sha256:ab"}}
        written.sections(manifest, **tables, vocabulary={"documented": ["dragon"]})
    assert tomllib.loads(manifest.read_text("utf-8")) == {
        "name": "x",
        "pipeline": {"size": 32},
        "metrics": {"judge_score": 0.75},
        "evaluation": {"judge": "sha256:ab"},
        "vocabulary": {"documented": ["dragon"]},
    }
