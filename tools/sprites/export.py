"""Turn a checkpoint into a model folder: python -m sprites.export --run RUN --out models/sprite/1.

The averaged weights are rounded to fp16 and exported by torch.onnx (opset 17, dynamic batch);
matrices stay fp16 in the file, with a Cast to fp32 behind each, so arithmetic is fp32 and the file
is half as big. The graph is compared with torch, an image alone with the same image in a batch, and
the contact sheet is drawn by the file that ships. The folder is written beside its place and moved
there, so it is whole at any time.
"""

import argparse
import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper

from gfedge.inference.words import Vocabulary
from sprites.net import Net, Shape
from sprites.sample import Bytes, Velocity, sample, sprites
from sprites.sheet import prompts_of, two_halves

HERE = Path(__file__).parent
INPUTS = ("x", "t", "words", "subwords")
SEEDS = 6
SAMPLING = {"steps": 20, "guidance": 2.5}
"""How a net draws that was not taught another way (distil.py)."""
OWN, TAUGHT = "own", "taught"
"""Templates of figures alone. Those of the models that come with gfedge say what its makers saw, and hold for these weights only."""
DCSS = "dcss-cleared-subset"
VERSIONED = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*")


def net_of(state: dict[str, Any]) -> Net:
    """The averaged net, its matrices rounded to fp16 values."""
    net = Net(Shape(**state["shape"]))
    net.load_state_dict(state["ema"])
    for parameter in net.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.half().float()
    return net.eval()


def export(net: Net, path: Path, size: int = 32) -> None:
    """Write the graph: x, t, words, subwords -> v, each with a dynamic first axis."""
    example = (
        torch.randn(2, 4, size, size),
        torch.rand(2),
        torch.ones(2, 8).long(),
        torch.ones(2, 8, 12).long(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            example,
            str(path),
            input_names=list(INPUTS),
            output_names=["v"],
            dynamic_axes={name: {0: "n"} for name in (*INPUTS, "v")},
            opset_version=17,
            dynamo=False,
        )


def store_as_fp16(path: Path) -> None:
    """Keep matrices as fp16, each behind a Cast to fp32; exact for values rounded before."""
    model = onnx.load(path)
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1:
            name, values = tensor.name, numpy_helper.to_array(tensor)
            half = values.astype(np.float16)
            if not np.array_equal(half.astype(np.float32), values):
                continue
            tensor.CopyFrom(numpy_helper.from_array(half, name + ".fp16"))
            casts.append(helper.make_node("Cast", [name + ".fp16"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def opened(path: Path) -> Velocity:
    """The graph as a function of arrays, one CPU thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda *arrays: session.run(None, dict(zip(INPUTS, arrays, strict=True)))[0]


def difference(net: Net, velocity: Velocity, vocabulary: Vocabulary, size: int = 32) -> float:
    """max|torch - ONNX Runtime| over random x and t and every prompt of the sheet."""
    rng = np.random.default_rng(0)
    encoded = [vocabulary.encode(p) for p in (*prompts_of(vocabulary), "")]
    x = rng.standard_normal((len(encoded), 4, size, size), np.float32)
    t = rng.uniform(0.05, 1, len(encoded)).astype(np.float32)
    arrays = (x, t, np.stack([e.words for e in encoded]), np.stack([e.subwords for e in encoded]))
    with torch.no_grad():
        expected = net(*(torch.from_numpy(a) for a in arrays)).numpy()
    return float(np.abs(expected - velocity(*arrays)).max())


def drawn(
    velocity: Velocity,
    vocabulary: Vocabulary,
    prompts: Sequence[str],
    seeds: int,
    size: int = 32,
    **sampling: Any,
) -> Bytes:
    """Sprites [prompts * seeds,size,size,4], seeds 0, 1, ... of each prompt."""
    rows = [
        sample(velocity, [vocabulary.encode(p)] * seeds, range(seeds), size=size, **sampling)
        for p in prompts
    ]
    return sprites(np.concatenate(rows))


def same_alone(velocity: Velocity, vocabulary: Vocabulary, size: int = 32) -> bool:
    """Is an image the same, bit for bit, alone and in a batch?"""
    captions = [vocabulary.encode(p) for p in prompts_of(vocabulary)[:5]]
    together = sample(velocity, captions, range(5), steps=4, size=size)
    alone = sample(velocity, captions[3:4], [3], steps=4, size=size)
    return bool(np.array_equal(together[3], alone[0]))


def commit() -> str:
    """The commit of the code here, if it is a git checkout; `-dirty` where it was changed since."""
    with contextlib.suppress(OSError):
        found = _git("rev-parse", "HEAD")
        return f"{found}-dirty" if found and _git("status", "--porcelain", "--", ".") else found
    return ""


def _git(*arguments: str) -> str:
    line = ("git", "-C", str(HERE), *arguments)
    return subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def facts_of(state: dict[str, Any], folder: Path, prompts: Sequence[str]) -> dict[str, Any]:
    """Everything the templates of model.toml and CARD.md name."""
    return {
        "model_sha256": sha256(folder / "model.onnx"),
        "vocab_sha256": sha256(folder / "vocab.json"),
        "model_bytes": (folder / "model.onnx").stat().st_size,
        "created_at": time.strftime("%Y-%m-%d", time.gmtime()),
        "steps": state["step"],
        "batch": state["batch"],
        "samples": state["step"] * state["batch"],
        "loss": f"{state['loss']:.4f}",
        "parameters": state["parameters"],
        "seconds": round(state["seconds"]),
        "minutes": round(state["seconds"] / 60),
        "rate": round(state["step"] * state["batch"] / state["seconds"]),
        "started_at": state["started_at"],
        "digest": state["digest"],
        "images": state["images"],
        "words": state["shape"]["words"] - 1,
        "device": state.get("device", "cpu"),
        "commit": commit(),
        **data_of(state),
        "size": state.get("size", 32),
        "prompts": len(prompts),
        "last_seed": SEEDS - 1,
        "sprites": SEEDS * len(prompts),
    }


def data_of(state: dict[str, Any]) -> dict[str, str]:
    """Name and licence of the training set."""
    data = state.get("data", {"name": DCSS, "licence": "CC0-1.0"})
    known = {DCSS: "CC0-1.0"}
    licence = data["licence"] or known.get(data["name"], "LicenseRef-unknown")
    return {"data": data["name"], "licence": licence}


def fill(template: str, facts: dict[str, Any]) -> str:
    """Put facts in the place of {{name}}."""
    for name, value in facts.items():
        template = template.replace("{{" + name + "}}", str(value))
    return template


def move(made: Path, place: Path) -> None:
    """Put the finished folder in its place."""
    old = place.with_name(place.name + ".old")
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.rename(old)
    made.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    """Command line."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--run", type=Path, required=True)
    ask.add_argument("--out", type=Path, required=True)
    ask.add_argument("--copies", default="an uncounted number", help="what likeness.py counted")
    ask.add_argument("--named", default="", help="NAME/VERSION, where the folder is not called so")
    ask.add_argument(
        "--card", default="", help="templates/ of a model that was looked at: dcss, mixed"
    )
    options = ask.parse_args()
    torch.set_num_threads(1)
    facts = make(options.run, options.out, options.copies, options.named, options.card)
    print(json.dumps(facts, indent=1))


def make(
    run: Path,
    out: Path,
    copies: str = "an uncounted number",
    named: str = "",
    card: str = "",
) -> dict[str, Any]:
    """Makes the folder `out` from the checkpoint in `run`, or the weights where there is none; gives the facts that it tells."""
    whole = run / "checkpoint.pt"
    kept = whole if whole.exists() else run / "weights.pt"
    state = torch.load(kept, weights_only=True, map_location="cpu")
    made = out.with_name(out.name + ".new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    shutil.copyfile(run / "vocab.json", made / "vocab.json")
    vocabulary = Vocabulary.load(made / "vocab.json")

    net = net_of(state)
    size = state.get("size", 32)
    export(net, made / "model.onnx", size)
    store_as_fp16(made / "model.onnx")
    velocity = opened(made / "model.onnx")
    prompts = prompts_of(vocabulary)
    facts = facts_of(state, made, prompts)
    facts["difference"] = f"{difference(net, velocity, vocabulary, size):.1e}"
    facts["alone"] = "yes" if same_alone(velocity, vocabulary, size) else "NO"
    facts["copies"] = copies
    sampling = state.get("sampling", SAMPLING)
    sheet = drawn(velocity, vocabulary, prompts, SEEDS, size, **sampling)
    two_halves(sheet, made / "sheet.png", SEEDS, prompts)
    facts |= {"name": "sprite", "version": "1"}
    if VERSIONED.fullmatch(place := named or f"{out.parent.name}/{out.name}"):
        name, version = place.split("/")
        facts |= {"name": name, "version": version}
    facts |= {"draw_steps": sampling["steps"], "guidance": sampling["guidance"]}
    facts |= {"teacher": state.get("teacher", "its teacher")}
    templates = HERE / "templates" / (card or (OWN if sampling is SAMPLING else TAUGHT))
    if (templates / "NOTICE").exists():
        shutil.copyfile(templates / "NOTICE", made / "NOTICE")
    elif notice := state.get("data", {}).get("notice"):
        text = f"{facts['name']}: weights trained on pictures of others:\n\n{notice}\n"
        (made / "NOTICE").write_text(text, encoding="utf-8")
    for name in ("model.toml", "CARD.md"):
        text = (templates / name).read_text(encoding="utf-8")
        (made / name).write_text(fill(text, facts), encoding="utf-8")
    move(made, out)
    return facts


if __name__ == "__main__":
    main()
