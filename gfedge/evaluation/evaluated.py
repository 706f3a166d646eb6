"""The evaluation of a model folder, from its judge to its figures."""

from __future__ import annotations

import importlib.util
import math
import shutil
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gfedge.evaluation import likeness, scores, sets, written
from gfedge.evaluation.drawing import SEEDS, Drawing, drawing
from gfedge.evaluation.judge import Judge, Unjudged
from gfedge.evaluation.split import check_enough
from gfedge.inference.folder import NAME, read_folder
from gfedge.inference.types import ModelFolder, ModelRefused

Tell = Callable[[str, int, int], None]
"""Is called with what is being done, how far it is, and of how much; what it raises ends the evaluation."""


@dataclass(frozen=True)
class Wanted:
    """How a model is to be judged."""

    judge: Path | None = None
    """Folder of a judge that there is; without one, one is trained on `data`."""
    data: Path | None = None
    """The training set: for a judge, and to see how much the model copies of it."""
    minutes: float = math.inf
    """That the training of a judge may take."""
    seeds: int = SEEDS

    def check(self) -> None:
        """Raises Unjudged for what would be found out only after hours."""
        if self.judge is not None:
            Judge.load(self.judge).check_usable()
        elif self.data is None:
            raise Unjudged(
                "there is no judge: name a model version whose judge to take (or a folder with judge.onnx), or the set "
                "to train one on"
            )
        else:
            check_enough(_loaded(self.data)[1])
            if importlib.util.find_spec("torch") is None:
                raise Unjudged(
                    "a judge is trained with torch, which is not here: install the extra `train`, or take the judge of "
                    "another model version"
                )


def evaluated(model: ModelFolder, wanted: Wanted, tell: Tell) -> tuple[dict[str, Any], Judge]:
    """Figures of a model, and the judge that gave them. Raises Unjudged."""
    pictures, notes, digest = _loaded(wanted.data) if wanted.data else (None, [], "")
    if wanted.judge is not None:
        judge = Judge.load(wanted.judge)
    else:
        wanted.check()
        from gfedge.evaluation.judge_training import judge_of

        judge = judge_of(
            np.asarray(pictures),
            notes,
            digest,
            seconds=wanted.minutes * 60,
            tell=lambda step, steps: tell("training a judge", step, steps),
        )
    judge.check_usable()
    with drawing(model, wanted.seeds) as draw:
        words = judge.words_for(set(draw.vocabulary.ids), draw.size, scores.MOST_WORDS)
        told = lambda done, of: tell("drawing for the judge", done, of)  # noqa: E731
        found = scores.evaluate(draw, judge, words, told)
        metrics = scores.summary(found, judge) | _copied(draw, words, pictures)
    return _told(model, judge, metrics, found, wanted), judge


def evaluate_folder(folder: Path, wanted: Wanted, tell: Tell) -> dict[str, Any]:
    """Evaluates a model that is not registered yet and writes that into its folder. Raises Unjudged."""
    with named(folder) as model:
        evaluation, judge = evaluated(model, wanted, tell)
    written.into_model(folder, evaluation, judge)
    return evaluation


@contextmanager
def named(folder: Path) -> Iterator[ModelFolder]:
    """A model folder under the name that its model.toml gives it, wherever it lies. Raises Unjudged."""
    with tempfile.TemporaryDirectory() as place:
        yield _read(folder, Path(place))


# Inside


def _read(folder: Path, place: Path) -> ModelFolder:
    try:
        told = tomllib.loads((folder / written.MANIFEST).read_text(encoding="utf-8"))
        name, version = str(told["name"]), str(told["version"])
        if not NAME.fullmatch(name) or not NAME.fullmatch(version):
            raise ValueError(f"its name and version are {name!r} and {version!r}")
        path = place / name / version
        shutil.copytree(folder, path)
        return read_folder(path)
    except (OSError, ValueError, KeyError, ModelRefused) as error:
        raise Unjudged(f"{folder} is no model folder: {error}") from None


def _loaded(path: Path) -> tuple[Any, list[sets.Note], str]:
    try:
        return sets.load(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise Unjudged(
            f"{path.name} is no training set that can be read ({error}): `gfedge dataset build` makes one"
        ) from None


def _copied(draw: Drawing, words: list[str], pictures: Any) -> dict[str, float]:
    if pictures is None or pictures.shape[1] != draw.size:
        return {}
    sprites = np.concatenate([draw.sprites(word) for word in words])
    copied, nearest = likeness.copies(sprites, pictures)
    return {"copied": copied, "nearest_outline": nearest}


def _told(
    model: ModelFolder,
    judge: Judge,
    metrics: dict[str, float],
    found: scores.Found,
    wanted: Wanted,
) -> dict[str, Any]:
    """What evaluation.json holds."""
    facts = ("data", "size", "trained_on", "held_out", "seconds", "top1", "top5")
    return {
        "model": {"name": model.name, "version": model.version, "digest": model.digest},
        "judge": judge.digest,
        "judge_facts": {name: judge.facts.get(name) for name in facts},
        "measure": judge.measure,
        "data": sets.known(wanted.data) if wanted.data else None,
        "seeds": wanted.seeds,
        "metrics": scores.rounded(metrics),
        "words": scores.told(found, judge),
        "words_not_known": [word for word in judge.words if word not in found],
    }
