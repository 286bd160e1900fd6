"""A DVH that is kept at equidistant doses, on which it is exact, made in one pass over cells without sorting them.

The curve of a cell bends at its coldest and its hottest dose. A bend between two nodes is shared between them so that
its sum and its first moment stay: at every node the curve is then the one that sorting would give, and only between
neighbouring nodes (a hundredth of a gray) it is straight where it should bend.
"""

import numpy as np
from jaxtyping import Float64

from plausible.dose.dvh import FLAT_GY, Dvh, dvh_of_cells


def dvh_on_doses(
    dose_gy: Float64[np.ndarray, " n"],
    half_width_gy: Float64[np.ndarray, " n"],
    cells_ml: Float64[np.ndarray, " n"],
    *,
    step_gy: float,
    outside_ml: float = 0.0,
    cell_ml: float,
    method: str,
) -> Dvh:
    """Curve of cells as `dvh_of_cells` makes it, with kinks at multiples of `step_gy` and at both ends."""
    from plausible.dose.kernels import add_to_nodes

    half = np.minimum(half_width_gy, np.abs(dose_gy))
    half[half < FLAT_GY] = 0.0
    if not len(dose_gy) or np.ptp(dose_gy) + half.max() < 2 * step_gy:
        return dvh_of_cells(dose_gy, half_width_gy, cells_ml, outside_ml=outside_ml, cell_ml=cell_ml, method=method)
    low, high = float((dose_gy - half).min()), float((dose_gy + half).max())
    first, last = int(np.floor(low / step_gy)), int(np.ceil(high / step_gy))
    curvature, jump = np.zeros(last - first + 3), np.zeros(last - first + 3)
    add_to_nodes(first * step_gy, step_gy, dose_gy, half, cells_ml, curvature, jump)
    volume = np.cumsum((jump - np.cumsum(curvature))[::-1])[::-1]
    nodes = np.arange(first, first + len(jump)) * step_gy
    inner = (nodes > low) & (nodes < high)
    total = float(cells_ml.sum())
    flat = half == 0
    coldest, hottest = (float(cells_ml[flat & (dose_gy == end)].sum()) for end in (low, high))
    volumes = np.concatenate([[total, total - coldest], volume[inner], [hottest, 0.0]])
    return Dvh(
        np.concatenate([[low, low], nodes[inner], [high, high]]),
        np.minimum.accumulate(np.clip(volumes, 0, total)),
        total + outside_ml,
        float(np.clip(cells_ml @ dose_gy / total, low, high)),
        low,
        high,
        outside_ml,
        len(dose_gy),
        cell_ml,
        method,
    )
