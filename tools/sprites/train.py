"""Train the sprite generator: python -m sprites.train --data train.npz --run RUN --steps 10000.

Everything a step draws (pictures, hues, captions, times, noise) comes from a generator seeded with
(seed, step), and the learning rate depends on step and steps alone, so a stopped run goes on where
its checkpoint stands as if it had not stopped: start the same command again. Loss: mean square error
of the velocity (rectified flow, see net.py). RUN gets log.jsonl, checkpoint.pt (net, averaged net,
optimiser, step), vocab.json, a contact sheet every few minutes and, at the end, weights.pt: the averaged net alone, an
eighth as large, which is all that export.py needs. Started as a training job of a server it reports there, and at its
end exports the model and has it judged (gfedge/evaluation).

On a GPU the host stays ahead: batches are drawn by other threads into pinned memory, and nothing of a step waits
for a number from the device. bf16 where the device has it, else fp32; sums differ between devices, so there a run that
was stopped goes on to a like curve, not to the same bits.
"""

import argparse
import copy
import json
import os
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gfedge import report
from gfedge.evaluation.colours import dominant, recoloured
from gfedge.evaluation.sets import load
from gfedge.inference.words import Vocabulary
from sprites.captions import Captions, vocabulary_of
from sprites.data import about
from sprites.net import Net, Shape
from sprites.recipe import BOOST
from sprites.sample import sample, sprites
from sprites.sheet import contact_sheet, prompts_of

TURNS = 3


def coloured_copies(
    pictures: np.ndarray, notes: list[dict[str, Any]]
) -> tuple[np.ndarray, list[list[list[str]]]]:
    """Bank [1 + TURNS, n, 4, 32, 32], premultiplied uint8, and the colour words of each picture."""
    rng = np.random.default_rng(0)
    bank, colours = [pictures], [[n["colours"] for n in notes]]
    for _ in range(TURNS):
        turned = np.stack([recoloured(p, rng.uniform(0.08, 0.92)) for p in pictures])
        bank.append(turned)
        colours.append([dominant(p) for p in turned])
    return np.ascontiguousarray(np.stack(bank).transpose(0, 1, 4, 2, 3)), colours


def weights_of(notes: list[dict[str, Any]]) -> np.ndarray:
    """Chance of each picture [n]: a noun of k images weighs about sqrt(k), times its boost and its source's weight."""
    count = Counter(noun for n in notes for noun in n["nouns"])
    rare = np.array([min((count[noun] for noun in n["nouns"]), default=1) ** -0.5 for n in notes])
    boost = np.array(
        [max((BOOST[w] for w in n["nouns"] if w in BOOST), default=1.0) for n in notes]
    )
    weight = np.clip(rare, 0.1, 0.35) * boost * [n.get("weight", 1.0) for n in notes]
    return weight / weight.sum()


class Batches:
    """Draws batch number `step`; the same number always gives the same batch."""

    def __init__(self, data: Path, batch: int, seed: int, *, pinned: bool = False) -> None:
        self.pinned = pinned
        pictures, self.notes, self.digest = load(data)
        self.about = about(data)
        self.batch, self.seed = batch, seed
        self.bank, colours = coloured_copies(pictures, self.notes)
        self.chance = weights_of(self.notes)
        self.vocabulary = vocabulary_of(self.notes)
        self.captions = Captions(self.vocabulary, self.notes, colours)
        self.turns = np.array([n["turn"] for n in self.notes])

    def ahead(
        self, first: int, steps: int, workers: int = 2, depth: int = 8
    ) -> Iterator[list[Tensor]]:
        """The batches from `first` on, drawn ahead by other threads, so that the device does not wait for captions."""
        with ThreadPoolExecutor(workers) as pool:
            coming: deque[Future[list[Tensor]]] = deque()
            for step in range(first, steps):
                coming.append(pool.submit(self.draw, step))
                if len(coming) >= depth:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def draw(self, step: int) -> list[Tensor]:
        """Images [b,4,32,32] in [-1,1], noise alike, t [b], words [b,8], subwords [b,8,12]."""
        rng = np.random.default_rng((self.seed, step))
        pick = rng.choice(len(self.notes), self.batch, p=self.chance)
        turn = (
            rng.integers(1, TURNS + 1, self.batch)
            * (rng.random(self.batch) < 0.45)
            * self.turns[pick]
        )
        words, subwords = self.captions.draw(rng, pick, turn)
        images = self.bank[turn, pick].astype(np.float32) / 127.5 - 1
        noise = rng.standard_normal(images.shape, dtype=np.float32)
        t = 1 / (1 + np.exp(-(rng.standard_normal(self.batch, dtype=np.float32) + 0.2)))
        tensors = [torch.from_numpy(a) for a in (images, noise, t, words, subwords)]
        return [one.pin_memory() for one in tensors] if self.pinned else tensors


def rate_of(step: int, steps: int, peak: float) -> float:
    """Learning rate: 200 steps of warm-up, constant, then straight down to 1% over the last 30%."""
    return peak * min(1.0, (step + 1) / 200, max(0.01, (steps - step) / (0.3 * steps)))


def loss_of(
    net: torch.nn.Module,
    images: Tensor,
    noise: Tensor,
    t: Tensor,
    words: Tensor,
    subwords: Tensor,
    *,
    half: bool = True,
) -> Tensor:
    """Mean square error of the velocity at time t; `half` computes it in bf16, with sums and norms in fp32."""
    mix = t[:, None, None, None]
    noised = ((1 - mix) * images + mix * noise).contiguous(memory_format=torch.channels_last)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        velocity = net(noised, t, words, subwords)
    return (velocity.float() - (noise - images)).square().mean()


@torch.no_grad()
def average(ema: Net, net: Net, step: int) -> None:
    """Exponential moving average of the weights; young at first, then over about 1,000 steps."""
    keep = min(0.999, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - keep)


def device_of(name: str) -> torch.device:
    """`auto` is the GPU where torch sees one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def halves(device: torch.device) -> bool:
    """Whether bf16 is faster there: on GPUs before Ampere it is emulated."""
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


class Run:
    """The state of a training run, on disk in RUN/checkpoint.pt."""

    def __init__(self, options: argparse.Namespace, batches: Batches) -> None:
        torch.manual_seed(options.seed)
        vocabulary = batches.vocabulary
        self.folder: Path = options.run
        shape = Shape(
            words=len(vocabulary.words),
            buckets=vocabulary.buckets,
            channels=tuple(options.channels),
        )
        self.net = Net(shape)
        self.device = device_of(options.device)
        self.net = self.net.to(self.device, memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.net)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), options.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.half = halves(self.device)
        self.step, self.seconds = 0, 0.0
        self.mean = torch.ones((), dtype=torch.float64, device=self.device)
        self.started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.facts = {
            "batch": options.batch,
            "images": len(batches.notes),
            "size": batches.bank.shape[-1],
            "digest": batches.digest,
            "data": batches.about,
            "device": self.device.type,
            "parameters": sum(p.numel() for p in self.net.parameters()),
        }

    def loss(self) -> float:
        """Running mean; waits for the device."""
        return float(self.mean.item())

    def save(self) -> None:
        """Write the checkpoint."""
        state = {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict()}
        self.write("checkpoint.pt", state | self.state(self.ema.state_dict()))

    def finish(self) -> None:
        """Write what export.py needs, for machines between which files are dear."""
        ema = {
            name: one.half() if one.ndim > 1 else one for name, one in self.ema.state_dict().items()
        }
        self.write("weights.pt", self.state(ema))

    def state(self, ema: dict[str, Tensor]) -> dict[str, Any]:
        """The averaged net and all that is told of the run."""
        return {
            "ema": ema,
            "shape": self.net.shape.to_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "loss": self.loss(),
            "started_at": self.started_at,
            **self.facts,
        }

    def write(self, name: str, state: dict[str, Any]) -> None:
        """Beside the old one, then in its place."""
        new = self.folder / f"{name}.new"
        torch.save(state, new)
        new.replace(self.folder / name)

    def resume(self) -> None:
        """Take up the checkpoint, if there is one of this data set."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, map_location=self.device)
        if state["digest"] != self.facts["digest"]:
            raise SystemExit(f"{path} was trained on other data: {state['digest']}")
        self.net.load_state_dict(state["net"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.mean.fill_(state["loss"])
        self.started_at = state["started_at"]

    def begin(self, folder: Path, vocabulary: Vocabulary) -> None:
        """Start with the averaged net of another run; words that it did not know keep their random vectors."""
        known = Vocabulary.load(folder / "vocab.json")
        state = torch.load(folder / "checkpoint.pt", weights_only=True, map_location=self.device)
        ema, words = state["ema"], self.net.tokens.word.weight.detach().clone()
        for word in vocabulary.ids.keys() & known.ids.keys():
            words[vocabulary.ids[word]] = ema["tokens.word.weight"][known.ids[word]]
        for net in (self.net, self.ema):
            net.load_state_dict(ema | {"tokens.word.weight": words})

    def advance(self, batch: list[Tensor], steps: int, peak: float) -> None:
        """One step of training."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate_of(self.step, steps, peak)
        on_device = (one.to(self.device, non_blocking=True) for one in batch)
        loss = loss_of(self.net, *on_device, half=self.half)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self.mean += (loss.detach() - self.mean) * max(0.005, 1 / self.step)
        average(self.ema, self.net, self.step)


def train(run: Run, batches: Batches, options: argparse.Namespace, job: report.Job) -> None:
    """Steps until the last one, with a log line, a checkpoint and a contact sheet now and then."""
    began = since = sheet = time.monotonic()
    before = run.seconds
    for batch in batches.ahead(
        run.step, min(options.steps, options.until or options.steps), options.workers
    ):
        if job.cancelled:
            break
        run.advance(batch, options.steps, options.rate)
        job.progress(run.step, options.steps)
        now = time.monotonic()
        run.seconds = before + now - began
        if run.step % 50 == 0 or run.step in (1, 10):
            note(run, options, job)
        if now - since > options.save_every:
            run.save()
            since = now
        if now - sheet > options.sheet_every:
            job.artifact(preview(run, batches.vocabulary))
            sheet = time.monotonic()
    run.save()
    if run.step >= options.steps:
        run.finish()
    note(run, options, job)


@torch.no_grad()
def preview(run: Run, vocabulary: Vocabulary) -> Path:
    """A contact sheet of the averaged net, one sprite for each prompt; gives its file."""

    def velocity(*arrays: np.ndarray) -> np.ndarray:
        return run.ema(*(torch.from_numpy(a).to(run.device) for a in arrays)).cpu().numpy()

    captions = [vocabulary.encode(prompt) for prompt in prompts_of(vocabulary)]
    x = sample(velocity, captions, range(len(captions)), steps=12, size=run.facts["size"])
    sheet = run.folder / f"step{run.step:06d}.png"
    contact_sheet(sprites(x), sheet, 12)
    return sheet


def note(run: Run, options: argparse.Namespace, job: report.Job) -> None:
    """A line for the log, and for the job."""
    samples, loss = run.step * options.batch, run.loss()
    line = {
        "step": run.step,
        "of": options.steps,
        "loss": round(loss, 4),
        "seconds": round(run.seconds),
        "images_per_second": round(samples / max(run.seconds, 1e-9), 1),
    }
    with (run.folder / "log.jsonl").open("a") as log:
        print(json.dumps(line), file=log)
    rate = line["images_per_second"]
    print(
        f"step {run.step} of {options.steps}, loss {loss:.4f}, {rate} images a second",
        flush=True,
    )
    job.metrics(run.step, loss=loss, images_per_second=line["images_per_second"])


def widths(text: str) -> tuple[int, ...]:
    """Channels of the three levels: 48,80,112; each is 16 groups for the norm."""
    found = tuple(int(one) for one in text.split(","))
    if len(found) != 3 or any(one <= 0 or one % 16 for one in found):
        raise argparse.ArgumentTypeError(f"{text}: three multiples of 16, as 48,80,112")
    return found


def main() -> None:
    """Command line."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--run", type=Path, required=True)
    ask.add_argument("--steps", type=int, required=True)
    ask.add_argument(
        "--until", type=int, help="stop there; the learning rate still goes by --steps"
    )
    ask.add_argument("--begin", type=Path, help="begin with the net of that run, of any words")
    ask.add_argument("--batch", type=int, default=64)
    ask.add_argument("--rate", type=float, default=1e-3)
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument(
        "--workers", type=int, default=0, help="threads that draw batches (0: 2, on a GPU up to 8)"
    )
    ask.add_argument("--channels", type=widths, default="48,80,112", help="of the net's levels")
    ask.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    ask.add_argument("--save-every", type=float, default=180, help="seconds")
    ask.add_argument("--sheet-every", type=float, default=420, help="seconds")
    ask.add_argument(
        "--evaluate",
        type=lambda text: text == "true",
        default=True,
        help="a job's model: true, false",
    )
    ask.add_argument("--judge", default="", help="a judge that there is, for that")
    ask.add_argument("--judge-minutes", type=float, default=5, help="that a new one may train")
    options = ask.parse_args()
    torch.set_num_threads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    on_gpu = device_of(options.device).type == "cuda"
    options.workers = options.workers or (min(8, os.cpu_count() or 2) if on_gpu else 2)
    batches = Batches(options.data, options.batch, options.seed, pinned=on_gpu)
    (options.run / "vocab.json").write_text(batches.vocabulary.to_json(), encoding="utf-8")
    run = Run(options, batches)
    if options.begin:
        run.begin(options.begin, batches.vocabulary)
    run.resume()
    print(
        f"{batches.about['name']}: {run.facts['images']} pictures, {len(batches.vocabulary.ids)} words; "
        f"a net of {run.facts['parameters']:,} parameters on {run.facts['device']}, from step {run.step}",
        flush=True,
    )
    with report.job(on_sigterm=True) as job:
        if not job.url:
            return train(run, batches, options, job)
        from sprites import release  # needs more than a training does

        wanted = release.judging(options, job)
        train(run, batches, options, job)
        return None if job.cancelled else release.release(run.folder, run.step, wanted, job)


if __name__ == "__main__":
    main()
