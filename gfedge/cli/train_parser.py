"""What `gfedge train` understands; what it does is in train.py."""

from __future__ import annotations

import argparse
from typing import Any

from gfedge.cli.sentences import sentence

TRAIN_EXAMPLES = """\
examples:
  gfedge train entry-points                          what can be trained (training.toml declares more)
  gfedge train start sprites -p data=train.npz -p steps=500 --follow
  gfedge train sprites --data ours --steps 20000 --follow       as a job of the server, on `gfedge dataset build`'s set
  gfedge train sprites --data art --licence CC0-1.0 --out models/sprite/2    a folder of PNGs, here; --resume goes on
  gfedge train list --state active
  gfedge train log JOB -f
  gfedge train cancel JOB
"""


def add_train(train: argparse.ArgumentParser) -> None:
    actions = train.add_subparsers(dest="action", metavar="ACTION", title="actions")
    _action(actions, "entry-points", "what can be trained, and with which parameters")
    listing = _action(actions, "list", "training jobs, newest first (the default)")
    for command in (train, listing):
        command.set_defaults(state="")
    listing.add_argument("--state", default="", help="active, running, failed, ...")
    start = _action(actions, "start", "start a training job")
    start.add_argument("entry_point", metavar="NAME", help="one of `gfedge train entry-points`")
    start.add_argument(
        "-p", dest="param", metavar="NAME=VALUE", action="append", default=[], help="a parameter"
    )
    start.add_argument("--backend", choices=("local", "vastai"), default="local")
    for name, text in (
        ("name", "of the job and its run"),
        ("experiment", "that records the run"),
        ("model", "name to register the model by"),
    ):
        start.add_argument(f"--{name}", metavar="NAME", help=text)
    start.add_argument("--follow", action="store_true", help="show its log until it ends")
    _add_sprites(actions)
    log = _action(actions, "log", "what a training job wrote")
    log.add_argument("job", metavar="JOB")
    log.add_argument("-f", "--follow", action="store_true", help="go on until it ends")
    cancel = _action(actions, "cancel", "stop a training job")
    cancel.add_argument("job", metavar="JOB")
    _take_server(actions)


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(
        name, help=text, description=sentence(text)
    )
    return action


def _take_server(actions: Any) -> None:
    """The server may be named behind the action too, which does not undo what stands before it."""
    for command in actions.choices.values():
        for name in ("--server", "--token-file", "--token"):
            command.add_argument(name, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def _add_sprites(actions: Any) -> None:
    sprites = _action(actions, "sprites", "train the sprite generator on your own pictures")
    given = sprites.add_argument
    given(
        "--data",
        metavar="SET|DIR|RECIPE.toml",
        required=True,
        help="a set of `gfedge dataset build`, by its name (with --out also by its file), or what it is built of",
    )
    given(
        "--licence", metavar="SPDX", help="of the pictures in a DIR: CC0-1.0, MIT, LicenseRef-ours"
    )
    given("--out", metavar="DIR", help="train here, without a server, and write the model to DIR")
    given("--register", action="store_true", help="with --out: tell a server of the finished model")
    given(
        "--resume", action="store_true", help="with --out: go on with a training that was stopped"
    )
    given(
        "--model",
        metavar="NAME",
        help="what it becomes a version of (default sprite; with --out what its folder says)",
    )
    given("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU")
    given("--steps", type=int, metavar="N", help="default 6600")
    given("--batch", type=int, metavar="N", help="pictures in a step (default 64)")
    given("--rate", type=float, metavar="RATE", help="peak learning rate (default 0.001)")
    given("--seed", type=int, metavar="SEED", help="of everything that is drawn by chance")
    given("--channels", metavar="A,B,C", help="of the net (default 48,80,112; 64,96,128 is larger)")
    given(
        "--judge",
        metavar="NAME@VERSION|DIR",
        help="judge of an earlier version, to compare with it (default: a new one; with --out a folder with judge.onnx)",
    )
    given(
        "--judge-minutes", type=float, metavar="MINUTES", help="that a judge may train (default 5)"
    )
    given("--no-evaluate", action="store_true", help="leave the model without a score")
    given("--follow", action="store_true", help="show the job's log until it ends")


EVALUATE_EXAMPLES = """\
examples:
  gfedge evaluate studio@1 --data ours --follow      trains a judge on the set, which studio@1 then has
  gfedge evaluate studio@2 --judge studio@1          by the same judge: the two scores can be compared
"""


def add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    given = evaluate.add_argument
    given("model", metavar="NAME@VERSION", help="the version that gets a score")
    given(
        "--judge",
        metavar="NAME@VERSION|FOLDER",
        help="whose judge (default: its own), or a folder in datasets/",
    )
    given(
        "--data",
        metavar="SET",
        help="set that it was trained on: to train a judge, and to see what it copies",
    )
    given(
        "--judge-minutes", type=float, metavar="MINUTES", help="that a judge may train (default 5)"
    )
    given("--follow", action="store_true", help="show the job's log until it ends")


DATASET_EXAMPLES = """\
examples:
  gfedge dataset build art/items --licence CC0-1.0              names are captions: red_potion.png
  gfedge dataset build art/walls --licence MIT --grid 32 --captions walls.csv
  gfedge dataset build ours.toml                                many folders, each with its licence

The set goes to datasets/ in the data folder, where `gfedge train sprites` finds it.
"""


def add_dataset(dataset: argparse.ArgumentParser) -> None:
    actions = dataset.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "folders of PNGs to a training set of sprites"
    build = actions.add_parser("build", help=text, description=sentence(text))
    build.add_argument("source", metavar="FOLDER|RECIPE.toml", help="PNGs, or a list of folders")
    for name, metavar, said in (
        ("licence", "SPDX", "of the pictures: CC0-1.0, MIT, LicenseRef-ours"),
        (
            "captions",
            "FILE",
            "CSV lines of path,caption instead of the names; sheet.png#3 is a cell",
        ),
        ("words", "WORDS", "that every caption gets: a style"),
        ("name", "NAME", "of the set (default: the folder's)"),
        ("out", "FILE", "the .npz to write (default: in datasets/ of the data folder)"),
        ("data", "DIR", "the data folder (default ~/.local/share/gfedge)"),
    ):
        build.add_argument(f"--{name}", metavar=metavar, help=said)
    for name, said in (
        ("grid", "cut sheets into such squares"),
        ("margin", "around the squares of a sheet"),
        ("spacing", "between the squares of a sheet"),
    ):
        build.add_argument(f"--{name}", type=int, metavar="PIXELS", default=0, help=said)
    build.add_argument(
        "--size", type=int, choices=(32, 64), default=32, help="of a picture (default 32)"
    )
    build.add_argument("--no-register", action="store_true", help="do not tell a server")
    _take_server(actions)
