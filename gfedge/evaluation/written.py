"""Where an evaluation is written: evaluation.json, and in a model folder that is not registered yet its model.toml and card."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from gfedge.evaluation.judge import FACTS, GRAPH, Judge

FILE = "evaluation.json"
MANIFEST, CARD = "model.toml", "CARD.md"
_heading = "\n## Evaluation\n"


def save(folder: Path, evaluation: dict[str, Any]) -> Path:
    path = folder / FILE
    path.write_text(json.dumps(evaluation, indent=1) + "\n", encoding="utf-8")
    return path


def into_model(folder: Path, evaluation: dict[str, Any], judge: Judge) -> None:
    """The judge beside the model, with its digests and the figures in model.toml and CARD.md."""
    judge.save(folder)
    files = tomllib.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    files |= {name: _sha256(folder / name) for name in (GRAPH, FACTS)}
    sections(
        folder / MANIFEST,
        files=files,
        metrics=evaluation["metrics"],
        evaluation={"judge": evaluation["judge"]},
    )
    save(folder, evaluation)
    card(folder, text_of(evaluation))


def sections(manifest: Path, **tables: dict[str, Any]) -> None:
    """Puts tables into model.toml, in place of those of the same names; nothing else changes."""
    text = manifest.read_text(encoding="utf-8")
    for name, values in tables.items():
        text = re.sub(rf"(?ms)^\[{name}\]\n.*?(?=^\[|\Z)", "", text)
        lines = [f"{_key(key)} = {_value(value)}\n" for key, value in values.items()]
        text = f"{text.rstrip()}\n\n[{name}]\n{''.join(lines)}"
    manifest.write_text(text, encoding="utf-8")


def card(folder: Path, text: str) -> None:
    """The last section of CARD.md, in place of an earlier one."""
    path = folder / CARD
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    path.write_text(f"{before.partition(_heading)[0].rstrip()}\n{_heading}\n{text}\n", "utf-8")


def text_of(evaluation: dict[str, Any]) -> str:
    """The figures in sentences."""
    one, judge = evaluation["metrics"], evaluation["judge_facts"]
    copied = (
        f" {one['copied']:.0%} of the sprites are a training picture but for colours."
        if "copied" in one
        else ""
    )
    return (
        f"A judge, trained on {judge['trained_on']} pictures of the set `{judge['data']}`, names the word of the "
        f"{judge['held_out']} that it never saw first in {one['judge_top1_real']:.0%} and among five in "
        f"{one['judge_top5_real']:.0%} (means over {one['judge_words']:g} words), and of sprites that this model draws for "
        f"them, {evaluation['seeds']} each, in {one['judge_top1']:.0%} and {one['judge_top5']:.0%}: a score of "
        f"{one['judge_score']:.4g}.{copied} The judge is `{evaluation['judge']}`; scores of another are no comparison. Word by "
        f"word: `{FILE}`."
    )


# Inside


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _key(name: str) -> str:
    return name if re.fullmatch(r"\w+", name) else json.dumps(name)


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"[{', '.join(json.dumps(one) for one in value)}]"
    return json.dumps(value)
