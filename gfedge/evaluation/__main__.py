"""`python -m gfedge.evaluation`: gives a model its score, as a training job (entry point `evaluate`) or in a terminal.

Started by a server it leaves evaluation.json where the server looks for it, and the judge that it trained with its run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from gfedge import report
from gfedge.evaluation import evaluated, written
from gfedge.evaluation.evaluated import Wanted
from gfedge.evaluation.judge import FACTS, GRAPH, Unjudged


class Cancelled(Exception):
    """The job is to end."""


def follow(job: report.Job) -> evaluated.Tell:
    """Tells the job how far its evaluation is, a line of the log now and then; raises Cancelled when it should end."""
    said = [""]

    def tell(what: str, done: int, of: int) -> None:
        if job.cancelled:
            raise Cancelled
        tenth = f"{what}: {10 * done // max(of, 1) * 10}%"
        if tenth != said[0]:
            said[0] = tenth
            print(tenth, flush=True)
            job.progress(done, of, message=what)

    return tell


def line(evaluation: dict[str, Any]) -> str:
    """The score in a line."""
    one = evaluation["metrics"]
    return (
        f"judge_score {one['judge_score']:.4g}: over {one['judge_words']:g} words the judge sees the word in "
        f"{one['judge_top1']:.0%} first and in {one['judge_top5']:.0%} among five, of held-out pictures in "
        f"{one['judge_top1_real']:.0%} and {one['judge_top5_real']:.0%} ({evaluation['judge'][:19]})"
    )


def path_or_none(text: str) -> Path | None:
    """An empty one is none: a server hands every parameter over."""
    return Path(text) if text else None


def main() -> int:
    """Command line; 1 where there is no score."""
    ask = argparse.ArgumentParser(prog="python -m gfedge.evaluation", description=__doc__)
    ask.add_argument("--model", type=Path, required=True, help="a model folder")
    ask.add_argument("--judge", type=path_or_none, default=None, help="a folder with judge.onnx")
    ask.add_argument("--data", type=path_or_none, default=None, help="a set, to train a judge on")
    ask.add_argument("--minutes", type=float, default=5.0, help="that a judge may train")
    ask.add_argument("--write", action="store_true", help="put the figures into the model folder")
    options = ask.parse_args()
    wanted = Wanted(options.judge, options.data, options.minutes)
    with report.job(on_sigterm=True) as job:
        try:
            found = _run(options.model, wanted, job, into=options.write)
        except Cancelled:
            return 1
        except Unjudged as error:
            print(f"not evaluated: {error}", file=sys.stderr, flush=True)
            job.finish("failed", f"not evaluated: {error}")
            return 1
        job.metrics(0, found["metrics"])
        print(line(found), flush=True)
    return 0


def _run(model: Path, wanted: Wanted, job: report.Job, *, into: bool) -> dict[str, Any]:
    tell = follow(job)
    if into:
        return evaluated.evaluate_folder(model, wanted, tell)
    with evaluated.named(model) as folder:
        found, judge = evaluated.evaluated(folder, wanted, tell)
    if job.url:
        job.export.mkdir(parents=True, exist_ok=True)
        job.artifact(written.save(job.export, found))
        judge.save(job.checkpoints)
        for name in (GRAPH, FACTS):
            job.artifact(job.checkpoints / name, f"judge/{name}")
    return found


if __name__ == "__main__":
    sys.exit(main())
