"""The contact sheet that a person judges words by: python -m sprites.contact --server URL --out sheet.png.

40 prompts x 8 seeds, drawn by a server at its default settings: one or two prompts for each kind of thing that the
vocabulary has. `--words` asks for other prompts. What was seen stands in judged.toml: of 8 sprites, how many show the word.
`python -m sprites.evaluate --judged` makes the documented vocabulary of that.
"""

import argparse
import json
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from sprites.sheet import two_halves

PROMPTS = (
    "red potion", "blue potion", "long sword", "battle axe", "dagger", "spear", "mace", "bow", "crossbow", "wand",
    "purple staff", "gold ring", "amulet", "green book", "scroll", "red shield", "helmet", "blue armour", "boots",
    "cloak", "gold coin", "red dragon", "green dragon", "skeleton warrior", "zombie", "ghost", "green slime",
    "spider", "yellow butterfly", "bat", "dog", "orc", "elf", "golem", "giant", "stone wall", "brick wall", "tree",
    "door", "water",
)  # fmt: skip
SEEDS = 8


def drawn(server: str, prompt: str, token: str, model: str) -> list[np.ndarray]:
    """Sprites [32,32,4] of seeds 0 to 7."""
    base = f"{server}/api/v1"
    headers = {"Content-Type": "application/json", "Prefer": "wait=120"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    wanted = {"prompt": prompt, "seed": 0, "n": SEEDS} | ({"model": model} if model else {})
    body = json.dumps(wanted).encode()
    job = _read(urllib.request.Request(f"{base}/ai/generate", body, headers))
    pictures = []
    for output in job["outputs"]:
        request = urllib.request.Request(f"{base}/assets/{output['sha256']}", headers=headers)
        with urllib.request.urlopen(request) as answer:
            pictures.append(np.array(Image.open(answer).convert("RGBA")))
    return pictures


def _read(request: urllib.request.Request) -> dict:  # type: ignore[type-arg]
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def main() -> None:
    """Command line."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--server", default="http://127.0.0.1:8000")
    ask.add_argument("--token", default="")
    ask.add_argument("--model", default="", help="in place of the server's own choice")
    ask.add_argument("--words", default="", help="prompts, by commas, in place of the 40")
    ask.add_argument("--out", type=Path, required=True)
    options = ask.parse_args()
    prompts = [one.strip() for one in options.words.split(",") if one.strip()] or list(PROMPTS)
    rows = [
        picture
        for prompt in prompts
        for picture in drawn(options.server, prompt, options.token, options.model)
    ]
    two_halves(np.stack(rows), options.out, SEEDS, prompts)


if __name__ == "__main__":
    main()
