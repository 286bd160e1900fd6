"""Areas of many draws, compiled: one pass over the sorted cases of a draw. Import where it is needed: loads numba."""

from typing import Any

from numba import boolean, float64, int64, types, void

from plausible.core.compiled import compiled

CASES = types.Array(float64, 1, "C", readonly=True)
PLACES = types.Array(int64, 1, "C", readonly=True)
DRAWS = types.Array(int64, 2, "C", readonly=True)
WEIGHTS = types.Array(float64, 2, "C", readonly=True)
ENDS = types.Array(boolean, 1, "C", readonly=True)


@compiled(void(DRAWS, float64[:, ::1]))
def count_drawn(drawn: Any, times: Any) -> None:
    """Add how often each unit was drawn, in each row."""
    for row in range(drawn.shape[0]):
        for n in range(drawn.shape[1]):
            times[row, drawn[row, n]] += 1.0


@compiled(void(WEIGHTS, PLACES, ENDS, CASES, CASES, float64[:, ::1]))
def write_areas(weights: Any, order: Any, ends: Any, along: Any, up: Any, out: Any) -> None:
    """Write the area under the sum of `up` over the sum of `along`, by trapezoids, and both sums.

    `ends` says after which of the cases, which come in order, there is a point of the curve.
    """
    for row in range(weights.shape[0]):
        area, x, y, last_x, last_y = 0.0, 0.0, 0.0, 0.0, 0.0
        for n in range(order.size):
            weight = weights[row, order[n]]
            x += weight * along[n]
            y += weight * up[n]
            if ends[n]:
                area += (x - last_x) * (y + last_y) / 2
                last_x, last_y = x, y
        out[row, 0], out[row, 1], out[row, 2] = area, x, y


@compiled(void(WEIGHTS, PLACES, ENDS, CASES, float64[::1]))
def write_mean_areas(weights: Any, order: Any, ends: Any, risk: Any, out: Any) -> None:
    """Write the area under the mean risk of the cases so far over their share; flat before the first of them."""
    for row in range(weights.shape[0]):
        area, x, y, last_x, last_mean = 0.0, 0.0, 0.0, 0.0, 0.0
        for n in range(order.size):
            weight = weights[row, order[n]]
            x += weight
            y += weight * risk[n]
            if ends[n] and x > last_x:
                mean = y / x
                area += (x - last_x) * (mean + (last_mean if last_x > 0 else mean)) / 2
                last_x, last_mean = x, mean
        out[row] = area / x
