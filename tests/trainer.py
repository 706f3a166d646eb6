"""A small trainer that the tests run for real: fits a line, keeps checkpoints, exports a model. And trainers that misbehave."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from gfedge import report


def fit(job: report.Job, options: argparse.Namespace) -> None:
    """Gradient descent on y = 3x + 1; what a step does depends on the step alone, so a resumed run gives the same curve."""
    state = job.checkpoints / "state.json"
    step, weights = 0, np.zeros(2)
    if options.resume and state.exists():
        found = json.loads(state.read_text())
        step, weights = found["step"], np.array(found["weights"])
        print(f"resumed at step {step}")
    while step < options.steps and not job.cancelled:
        x = np.random.default_rng(step).uniform(-1, 1, 16)
        error = weights[0] * x + weights[1] - (3 * x + 1)
        weights = weights - 0.2 * np.array([(error * x).mean(), error.mean()])
        step += 1
        job.metrics(step, loss=float((error**2).mean()))
        job.progress(step, options.steps)
        if step % 5 == 0:
            state.with_suffix(".new").write_text(json.dumps({"step": step, "weights": [*weights]}))
            state.with_suffix(".new").replace(state)
        if step == options.hold:
            print(f"holding at step {step}", flush=True)
            give_up_at = time.monotonic() + 120  # nobody may be left to say go
            while not (job.checkpoints / "go").exists() and not job.cancelled:
                assert time.monotonic() < give_up_at
                time.sleep(0.02)
    if job.cancelled:
        return
    (job.export.parent / "weights.json").write_text(json.dumps([*weights]))
    job.artifact(job.export.parent / "weights.json")
    print(f"fitted {weights.round(2)}")


def export(folder: Path, version: str) -> None:
    """A real ONNX model in a model folder, which tells what it was trained on."""
    import builders

    made = builders.make_superres_folder(folder.parent / "made", "line", version)
    manifest = (made / "model.toml").read_text()
    told = '[dataset]\ndigest = "sha256:cd34"\n'
    (made / "model.toml").write_text(manifest.replace("[dataset]\n", told))
    for file in made.iterdir():
        file.replace(folder / file.name)


def stubborn(job: report.Job, options: argparse.Namespace) -> None:
    """Does not end when asked to, and neither do its children, one of which leaves the session."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleeper = [sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(120)"]
    children = [subprocess.Popen(sleeper), subprocess.Popen(sleeper, start_new_session=True)]
    (job.checkpoints / "pids").write_text(" ".join(str(c.pid) for c in children))
    job.progress(1, 2)
    time.sleep(120)


def hungry(job: report.Job, options: argparse.Namespace) -> None:
    """Takes more memory than it may."""
    taken = np.ones(400 << 20, np.uint8)
    time.sleep(120 + taken[0])


def noisy(job: report.Job, options: argparse.Namespace) -> None:
    """Fills its log."""
    for number in range(options.steps):
        print(f"line {number:06d} " + "x" * 80)
        if number % 500 == 0:
            time.sleep(0.05)
    print("the last line", flush=True)


def spying(job: report.Job, options: argparse.Namespace) -> None:
    """Shows what it was started with."""
    print(json.dumps({"argv": sys.argv[1:], "environ": dict(os.environ), "cwd": str(Path.cwd())}))
    print("stdin:", repr(sys.stdin.read()))
    print("nice:", os.getpriority(os.PRIO_PROCESS, 0), "leader:", os.getsid(0) == os.getpid())


def broken(job: report.Job, options: argparse.Namespace) -> None:
    raise ValueError("the data are not there")


def abrupt(job: report.Job, options: argparse.Namespace) -> None:
    print("about to die", flush=True)
    os._exit(3)


MODES = {one.__name__: one for one in (fit, stubborn, hungry, noisy, spying, broken, abrupt)}


def main() -> None:
    ask = argparse.ArgumentParser()
    ask.add_argument("--mode", choices=MODES, default="fit")
    ask.add_argument("--steps", type=int, default=20)
    ask.add_argument("--hold", type=int, default=0)
    ask.add_argument("--export", default="")
    ask.add_argument("--resume", action="store_true")
    options = ask.parse_args()
    with report.job(on_sigterm=options.mode == "fit") as job:
        MODES[options.mode](job, options)
        if options.export and not job.cancelled:
            export(job.export, options.export)


if __name__ == "__main__":
    main()
