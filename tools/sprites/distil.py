"""Distil a trained generator to four steps without guidance: python -m sprites.distil --data train.npz --teacher RUN --run RUN4.

The teacher draws with 20 Euler steps and guidance 2.5, which is 40 runs of the net a sprite; the student learns where that
comes to after five of those steps at once (progressive distillation, Salimans & Ho 2022; guidance too, Meng et al.
2023), so its four steps are 4 runs. It begins with the teacher's weights. Half of the captions are those of pictures, half
are prompts as people write them: a colour and a word that the teacher draws. Cycles of drawing and learning alternate;
stopped, it goes on from its last checkpoint with new drawings.
"""

import argparse
import tomllib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gfedge import report
from sprites.captions import LENGTH
from sprites.net import Net
from sprites.recipe import COLOURS
from sprites.train import Batches, Run, average, note, rate_of

TEACHER_STEPS, STEPS, GUIDANCE = 20, 4, 2.5
STRIDE = TEACHER_STEPS // STEPS
KEPT = 32
"""Batches of drawings that are learned from; the oldest goes."""
LESSONS = 48
"""Steps of learning for each batch that the teacher draws."""


class Prompts:
    """What the teacher is asked for."""

    def __init__(self, batches: Batches, judged: Path) -> None:
        self.batches = batches
        seen = tomllib.loads(judged.read_text())
        drawn = [word for word, times in seen["seen"].items() if times >= seen["least"]]
        self.things = [word for word in drawn if word not in COLOURS]

    def draw(self, cycle: int) -> tuple[Tensor, Tensor, Tensor]:
        """Noise [b,4,32,32], words [b,8], subwords [b,8,12]; the same cycle gives the same."""
        _, noise, _, words, subwords = self.batches.draw(cycle)
        rng = np.random.default_rng((self.batches.seed, 7, cycle))
        for row in range(0, len(words), 2):
            prompt = str(rng.choice(self.things))
            if rng.random() < 0.6:
                prompt = f"{rng.choice(COLOURS)} {prompt}"
            found = self.batches.vocabulary.encode(prompt)
            words[row, :LENGTH] = torch.from_numpy(found.words)
            subwords[row] = torch.from_numpy(found.subwords)
        return noise, words, subwords


@torch.no_grad()
def trajectory(teacher: Net, noise: Tensor, words: Tensor, subwords: Tensor, half: bool) -> Tensor:
    """Where the teacher is at t = 1, 0.95, ... 0: [21,b,4,32,32], in half precision."""
    x, states = noise, [noise.half()]
    told = torch.cat([words, torch.zeros_like(words)])
    grams = torch.cat([subwords, torch.zeros_like(subwords)])
    for step in range(TEACHER_STEPS):
        t = torch.full((2 * len(x),), 1 - step / TEACHER_STEPS)
        pair = torch.cat([x, x]).contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
            with_words, without = teacher(pair, t, told, grams).float().chunk(2)
        x = x - (without + GUIDANCE * (with_words - without)) / TEACHER_STEPS
        states.append(x.half())
    return torch.stack(states)


Drawing = tuple[Tensor, Tensor, Tensor]
"""A trajectory, with the words and subwords that it was asked for."""


def lesson(drawings: list[Drawing], batch: int, seed: tuple[int, int]) -> list[Tensor]:
    """x, t, words, subwords, velocity, and how long that holds; half of the times are those of the four steps."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, len(drawings), batch)
    row = rng.integers(0, drawings[0][0].shape[1], batch)
    begin = rng.integers(0, TEACHER_STEPS, batch)
    begin = np.where(rng.random(batch) < 0.5, begin // STRIDE * STRIDE, begin)
    end = np.minimum(begin + STRIDE, TEACHER_STEPS)
    taken = list(zip(which, row, begin, end, strict=True))
    x = torch.stack([drawings[w][0][b, r] for w, r, b, _ in taken]).float()
    after = torch.stack([drawings[w][0][e, r] for w, r, _, e in taken]).float()
    words = torch.stack([drawings[w][1][r] for w, r, *_ in taken])
    subwords = torch.stack([drawings[w][2][r] for w, r, *_ in taken])
    long = torch.from_numpy((end - begin) / TEACHER_STEPS).float()[:, None, None, None]
    t = torch.from_numpy(1 - begin / TEACHER_STEPS).float()
    return [x, t, words, subwords, (x - after) / long, long]


def learn(run: Run, taught: list[Tensor], steps: int, peak: float) -> None:
    """One step: mean square error of where the student comes to, in units of a whole stride."""
    for group in run.optimiser.param_groups:
        group["lr"] = rate_of(run.step, steps, peak)
    x, t, words, subwords, velocity, long = (one.to(run.device) for one in taught)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=run.half):
        found = run.net(x, t, words, subwords)
    loss = ((found.float() - velocity) * (long * STEPS)).square().mean()
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.net.parameters(), 1.0)
    run.optimiser.step()
    run.step += 1
    run.mean += (loss.detach() - run.mean) * max(0.005, 1 / run.step)
    average(run.ema, run.net, run.step)


def distil(
    run: Run, teacher: Net, prompts: Prompts, options: argparse.Namespace, job: report.Job
) -> None:
    """Cycles until the last step, each with a log line, and a checkpoint every three."""
    from time import monotonic

    drawings: list[Drawing] = []
    began, before = monotonic(), run.seconds
    while run.step < options.steps and not job.cancelled:
        cycle = run.step // LESSONS
        noise, words, subwords = prompts.draw(cycle)
        drawings.append((trajectory(teacher, noise, words, subwords, run.half), words, subwords))
        del drawings[:-KEPT]
        for _ in range(min(LESSONS, options.steps - run.step)):
            taught = lesson(drawings, options.batch, (options.seed, run.step))
            learn(run, taught, options.steps, options.rate)
        job.progress(run.step, options.steps)
        run.seconds = before + monotonic() - began
        note(run, options, job)
        if cycle % 3 == 2:
            run.save()
    run.save()
    run.finish()


def main() -> None:
    """Command line."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--data", type=Path, required=True, help="what the teacher was trained on")
    ask.add_argument("--teacher", type=Path, required=True, help="its run, with checkpoint.pt")
    ask.add_argument("--run", type=Path, required=True)
    ask.add_argument("--named", default="its teacher", help="the teacher's model: sprite@1")
    ask.add_argument("--judged", type=Path, default=Path(__file__).parent / "judged.toml")
    ask.add_argument("--steps", type=int, default=576)
    ask.add_argument("--batch", type=int, default=64)
    ask.add_argument("--rate", type=float, default=3e-4)
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument("--device", choices=("cpu",), default="cpu")
    options = ask.parse_args()
    torch.set_num_threads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    state = torch.load(options.teacher / "checkpoint.pt", weights_only=True, map_location="cpu")
    options.channels = state["shape"]["channels"]
    batches = Batches(options.data, options.batch, options.seed)
    if batches.digest != state["digest"]:
        raise SystemExit(f"the teacher was trained on other data: {state['digest']}")
    (options.run / "vocab.json").write_text(batches.vocabulary.to_json(), encoding="utf-8")
    run = Run(options, batches)
    run.facts["teacher"] = options.named
    run.facts["sampling"] = {"steps": STEPS, "guidance": 1.0}
    run.facts |= {"data": state["data"]} if "data" in state else {}
    for net in (run.net, run.ema):
        net.load_state_dict(state["ema"])
    teacher = Net(run.net.shape).to(memory_format=torch.channels_last).eval()
    teacher.load_state_dict(state["ema"])
    run.resume()
    with report.job(on_sigterm=True) as job:
        distil(run, teacher, Prompts(batches, options.judged), options, job)


if __name__ == "__main__":
    main()
