"""The end of a training job: its model exported for the registry, and judged.

A model gets no score where its set is too small for a judge, or where this Python lacks what drawing needs: that is said,
and the training goes on.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from gfedge import report
from sprites.captions import vocabulary_of

NEEDED = ("msgspec", "onnxruntime")
"""What drawing for a judge needs besides what training does; `make train` installs it."""


def judging(options: argparse.Namespace, job: report.Job) -> Any:
    """How the model will be judged, if it will; asked before the training: what cannot be is better known then."""
    if not options.evaluate:
        return None
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        return unscored(job, f"this Python lacks {', '.join(missing)}, which `make train` installs")
    from gfedge.evaluation.evaluated import Wanted
    from gfedge.evaluation.judge import Judge, Unjudged
    from gfedge.evaluation.scores import MOST_WORDS
    from gfedge.evaluation.sets import load

    wanted = Wanted(
        Path(options.judge) if options.judge else None, options.data, options.judge_minutes
    )
    try:
        wanted.check()
        if wanted.judge:
            pictures, notes, _ = load(options.data)
            known = set(vocabulary_of(notes).ids)
            Judge.load(wanted.judge).words_for(known, pictures.shape[1], MOST_WORDS)
    except Unjudged as error:
        if not wanted.judge:
            return unscored(job, str(error))
        job.finish("failed", str(error))  # it was asked for
        raise SystemExit(str(error)) from None
    return wanted


def unscored(job: report.Job, why: str) -> None:
    """Says that there will be no score."""
    print(f"the model gets no score: {why}", flush=True)
    job.tags(evaluation=f"no score: {why}")


def release(run: Path, step: int, wanted: Any, job: report.Job) -> None:
    """Writes the model, and its figures where it is to be judged."""
    from sprites.export import make

    print("writing the model, comparing it with torch, drawing its sheet", flush=True)
    make(run, job.export, named="sprite/1")  # the registry takes the next version
    if wanted is None:
        return
    from gfedge.evaluation import __main__ as told
    from gfedge.evaluation.evaluated import evaluate_folder
    from gfedge.evaluation.judge import Unjudged

    try:
        found = evaluate_folder(job.export, wanted, told.follow(job))
    except told.Cancelled:
        return
    except Unjudged as error:
        unscored(job, str(error))
        return
    job.metrics(step, found["metrics"])
    print(told.line(found), flush=True)
