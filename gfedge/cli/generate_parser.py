"""What `gfedge generate`, `vary`, `sheet` and `words` understand; what they do is in jobs.py, sheets.py and words.py."""

from __future__ import annotations

import argparse

from gfedge.cli.options import add_output, flag

GENERATE_EXAMPLES = """\
examples:
  gfedge generate "a red dragon" -o dragon.png
  gfedge generate "long sword" -o sword.png -n 4 --seed 7           sword-1.png to sword-4.png
  gfedge generate "blue potion" -o potion.png --scale 4 --palette 16
  gfedge generate "a green slime" -o - --background 203040 > slime.png
  gfedge generate --prompts items.txt -o items.png --style handheld  a line each: items-1.png, ...
  gfedge generate "stone wall" -o wall.png --tileable                its edges meet
  gfedge generate "red potion" -o red.png --init-image blue.png --strength 0.5
  gfedge generate "gold ring" -o ring.png --init-image in.png --mask mask.png
"""
VARY_EXAMPLES = """\
examples:
  gfedge vary dragon.png -o other.png                  other-1.png to other-4.png, by dragon.png's own prompt
  gfedge vary dragon.png -o other.png -n 8 --strength 0.3
  gfedge vary dragon.png -o wings.png --mask wings-mask.png    only where the mask is white
"""
SHEET_EXAMPLES = """\
examples:
  gfedge sheet sword-*.png -o swords.png               and swords.json, for Phaser, PixiJS, ...
  gfedge sheet walk-*.png -o walk.png --atlas godot --padding 1
"""
WORDS_EXAMPLES = """\
examples:
  gfedge words                                         what the model was found to draw
  gfedge words "elixir of dragoons"                    how it reads a prompt
"""


def add_generate(generate: argparse.ArgumentParser) -> None:
    generate.add_argument(
        "prompt", metavar="PROMPT", nargs="?", help='what to draw: "a red dragon"'
    )
    flag(generate, "--prompts", "FILE", "many prompts instead, a line each; - reads stdin")
    add_output(generate)
    generate.add_argument(
        "-n", type=int, metavar="N", help="how many pictures; -o x.png then names x-1.png, ..."
    )
    _add_sampling(generate)
    flag(generate, "--init-image", "PICTURE", "start from a file, or an asset's sha256")
    flag(
        generate, "--mask", "PICTURE", "draw only where it is white; the rest of --init-image stays"
    )


def add_vary(vary: argparse.ArgumentParser) -> None:
    vary.add_argument("init_image", metavar="PICTURE", help="a file, or an asset's sha256")
    add_output(vary)
    vary.add_argument("-n", type=int, metavar="N", default=4, help="how many (default 4)")
    flag(vary, "--prompt", "PROMPT", "what it shows (default: as in the job that made it)")
    _add_sampling(vary)
    flag(vary, "--mask", "PICTURE", "vary only where it is white; the rest of PICTURE stays")


def _add_sampling(command: argparse.ArgumentParser) -> None:
    number = command.add_argument
    number(
        "--seed", type=int, metavar="SEED", help="the same prompt and seed give the same picture"
    )
    number("--steps", type=int, metavar="STEPS", help="sampling steps")
    number("--sampler", choices=("euler", "heun", "dpmpp_2m"), help="default: the model's")
    number("--guidance-scale", type=float, metavar="G", help="how closely to follow the prompt")
    number("--strength", type=float, metavar="S", help="how much of a picture may change, up to 1")
    number("--scale", type=int, choices=(1, 2, 3, 4, 8), help="upscale in the same job")
    flag(command, "--negative-prompt", "WORDS", "what the picture should not be")
    flag(command, "--style", "NAME", "one of the model's styles (`gfedge words` lists them)")
    flag(command, "--palette", "N|COLOURS", "number of colours, or hex colours: ff0000,203040")
    flag(command, "--palette-image", "PICTURE", "take the colours of a file, or an asset")
    command.add_argument("--tileable", action="store_true", help="a texture whose edges meet")
    flag(command, "--background", "COLOUR", "transparent, or a hex colour")
    flag(command, "--outline", "COLOUR[:WIDTH]", "a line around the sprite: 000000, or 000000:2")
    flag(command, "--model", "NAME", "the model (default: the server's)")
    flag(command, "--experiment", "NAME", "the experiment that records the run")


def add_sheet(sheet: argparse.ArgumentParser) -> None:
    sheet.add_argument("pictures", metavar="PICTURE", nargs="+", help="files, or assets' sha256s")
    add_output(sheet)
    sheet.add_argument("--columns", type=int, metavar="N", help="of the grid (default: a square)")
    sheet.add_argument("--padding", type=int, metavar="PIXELS", help="between pictures")
    sheet.add_argument("--power-of-two", action="store_true", help="sides of 2, 4, 8, ... pixels")
    formats = ("json", "godot", "unity")
    text = "the atlas beside it (default json, TexturePacker's JSON-hash); may be repeated"
    sheet.add_argument("--atlas", choices=formats, action="append", help=text)
    flag(sheet, "--experiment", "NAME", "the experiment that records the run")


def add_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("prompt", metavar="PROMPT", nargs="*", help="how the model reads it")
    flag(words, "--model", "NAME", "the model (default: the server's)")
    words.add_argument("--all", action="store_true", help="every word of its training")
    words.add_argument("--json", action="store_true", help="print the answer as JSON")
