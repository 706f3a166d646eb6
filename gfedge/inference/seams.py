"""How well a texture repeats: what is seen across its edges against what is seen within it. Pure."""

from __future__ import annotations

import numpy as np

from gfedge.inference.types import Pixels

FLAT = 0.5
"""Steps below it, of 255, are not seen; a texture that is flatter is taken for this."""


def seam_score(pixels: Pixels) -> float:
    """The mean step of colour from the last row to the first and the last column to the first, as a multiple of the
    median step between neighbours within. About 1 where no seam is seen; 2 is a plain line.
    """
    seen = pixels.astype(np.float32)
    seen[..., :3] *= seen[..., 3:] / 255
    rows = np.abs(seen - np.roll(seen, 1, 0)).mean((1, 2))
    columns = np.abs(seen - np.roll(seen, 1, 1)).mean((0, 2))
    across, within = rows[0] + columns[0], sum(_median(steps[1:]) for steps in (rows, columns))
    return float(max(across, 2 * FLAT) / max(within, 2 * FLAT))


def _median(steps: np.ndarray) -> float:
    return float(np.median(steps)) if steps.size else 0.0
