"""What `gfedge train` understands; what it does is in train.py."""

from __future__ import annotations

import argparse

TRAIN_EXAMPLES = """\
examples:
  gfedge train entry-points                          what can be trained (training.toml declares more)
  gfedge train start sprites -p data=train.npz -p steps=500 --follow
  gfedge train list --state active
  gfedge train log JOB -f
  gfedge train cancel JOB
"""


def add_train(train: argparse.ArgumentParser) -> None:
    actions = train.add_subparsers(dest="action", metavar="ACTION", title="actions")
    text = "what can be trained, and with which parameters"
    actions.add_parser("entry-points", help=text, description=text.capitalize() + ".")
    listing = actions.add_parser("list", help="training jobs, newest first (the default)")
    for command in (train, listing):
        command.set_defaults(state="")
    listing.add_argument("--state", default="", help="active, running, failed, ...")
    start = actions.add_parser("start", help="start a training job")
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
    log = actions.add_parser("log", help="what a training job wrote")
    log.add_argument("job", metavar="JOB")
    log.add_argument("-f", "--follow", action="store_true", help="go on until it ends")
    cancel = actions.add_parser("cancel", help="stop a training job")
    cancel.add_argument("job", metavar="JOB")
