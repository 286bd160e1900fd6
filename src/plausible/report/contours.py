"""Contours of equal probability as SVG paths."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from plausible.aggregate.tracing import TOLERANCE_PX, simplify


def svg_path(lines: Sequence[Float[np.ndarray, "_ 2"]], *, precision: int) -> str:
    """SVG path of closed lines in whole steps of 1/precision voxel, each point relative to the one before."""
    return "".join(_closed(simplify(line, tolerance=TOLERANCE_PX), precision) for line in lines)


def _closed(line: np.ndarray, precision: int) -> str:
    steps = np.rint(line * precision).astype(int)
    moves = np.diff(steps[:-1], axis=0) if (steps[0] == steps[-1]).all() else np.diff(steps, axis=0)
    moves = moves[np.any(moves != 0, axis=1)]
    if len(moves) < 2:
        return ""
    return f"M{steps[0, 0]} {steps[0, 1]}l" + " ".join(f"{x} {y}" for x, y in moves) + "z"
