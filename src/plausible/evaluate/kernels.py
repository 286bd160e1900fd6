"""The arithmetic that runs once per prediction, rater and voxel, compiled: bins, proper scores, moments, surfaces.

Import this module where it is needed, not before: it loads numba. Predictions come flat, as `plausible.measure.layout`
views them: channel c starts at c · stride. Raters come as one code per voxel: the true class, and a bit for voxels in
the rater's box. Runs of voxels that are all alike, as most of the background is, are added up at once.

A sum of logarithms is the logarithm of a product: the logarithm itself is taken when the product becomes small.
"""

from typing import Any

import numpy as np
from numba import boolean, float32, float64, int64, njit, types, uint8, uint16, void

from plausible.aggregate.hard_kernels import FLAT, RUN, most_probable, total
from plausible.core.compiled import compiled

INSIDE = np.uint16(0x8000)
"""Bit of the voxels that lie in a rater's box."""
TRUE = np.uint16(0x7FFF)
"""Bits of the true class."""
SMALL = 1e-250
BLOCK = 32
"""Voxels that are looked at together; alike ones are added up at once."""
CODES = types.Array(uint16, 2, "C", readonly=True)
EDGES = types.Array(float32, 1, "C", readonly=True)


@njit(error_model="numpy", fastmath={"contract"})
def _move(values: Any, mean: Any, weight: Any) -> None:
    for v in range(mean.size):
        x = np.float32(0) if values[v] < np.float32(0) else values[v]
        mean[v] += (x - mean[v]) * weight


@njit(error_model="numpy")
def _move_exactly(values: Any, mean: Any, weight: Any) -> None:
    for v in range(mean.size):
        mean[v] += (values[v] - mean[v]) * weight


@compiled(void(FLAT, int64, float32[:, ::1], float32, boolean))
def move_mean(p: Any, stride: int, mean: Any, weight: float, exclusive: bool) -> None:
    """Move the mean towards one member by its weight, 1/M for the M-th.

    Rounded as `plausible.measure.kernels` rounds exclusive classes and regions, so that both means are the same.
    """
    for c in range(mean.shape[0]):
        values = p[c * stride : c * stride + mean.shape[1]]
        if exclusive:
            _move(values, mean[c], weight)
        else:
            _move_exactly(values, mean[c], weight)


@njit(inline="always")
def _bin(confidence: Any, edges: Any) -> int:
    """Bin of a confidence: edges belong to the bin on their right."""
    low = min(max(np.int64(confidence * np.float32(edges.size + 1)), 0), edges.size)
    while low > 0 and confidence < edges[low - 1]:
        low -= 1
    while low < edges.size and confidence >= edges[low]:
        low += 1
    return low


@njit(inline="always")
def _add_logarithm(product: Any, log_sum: Any, place: int, p: float, floor: float) -> None:
    product[place] *= min(max(p, floor), 1.0)
    if product[place] < SMALL:
        log_sum[place] -= np.log(product[place])
        product[place] = 1.0


@njit(error_model="numpy")
def _constant(values: Any) -> Any:
    different = values[0] ^ values[0]
    for v in range(values.size):
        different |= values[v] ^ values[0]
    return different == 0


@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _product(values: Any) -> float:
    product = 1.0
    for v in range(values.size):
        product *= np.float64(min(values[v], np.float32(1)))
    return product


@njit(error_model="numpy")
def _all_above_half(values: Any) -> Any:
    low = 0
    for v in range(values.size):
        low |= values[v] <= np.float32(0.5)
    return low == 0


@njit(error_model="numpy")
def _add_squares(values: Any, squares: Any) -> None:
    for v in range(values.size):
        squares[v] += np.float64(values[v]) * np.float64(values[v])


@njit(error_model="numpy")
def _add_each(
    p: Any, stride: int, start: int, codes: Any, label: Any, place: Any, best: Any, squares: Any, floor: float,
    count: Any, confident: Any, right: Any, log_sum: Any, brier_sum: Any, shared: Any, product: Any,
) -> None:  # fmt: skip
    n_bins, n_classes = count.shape[1], shared.shape[1]
    counts, confidences, rights, pairs = count.ravel(), confident.ravel(), right.ravel(), shared.ravel()
    for v in range(codes.size):
        inside, y = np.uint64(codes[v] >> 15), np.uint64(codes[v] & TRUE)
        held = inside * np.uint64(n_bins) + np.uint64(place[v])
        counts[held] += 1
        confidences[held] += np.float64(best[v])
        rights[held] += np.uint64(label[v]) == y
        pairs[np.uint64(label[v]) * np.uint64(n_classes) + y] += 1
        chance = np.float64(p[y * np.uint64(stride) + np.uint64(start + v)])
        brier_sum[inside] += squares[v] - 2 * chance + 1
        product[inside] *= min(max(chance, floor), 1.0)
        if product[inside] < SMALL:
            log_sum[inside] -= np.log(product[inside])
            product[inside] = 1.0


@compiled(
    *(
        void(
            FLAT, int64, int64, CODES, EDGES, float64, kind[::1],
            int64[:, :, ::1], float64[:, :, ::1], int64[:, :, ::1], float64[:, ::1], float64[:, ::1], int64[:, :, ::1],
        )
        for kind in (uint8, uint16)
    )
)  # fmt: skip
def compare_classes(
    p: Any, stride: int, n_channels: int, codes: Any, edges: Any, floor: float, labels: Any,
    count: Any, confident: Any, right: Any, log_sum: Any, brier_sum: Any, shared: Any,
) -> None:  # fmt: skip
    """Compare one prediction of exclusive classes with every rater; write its labels, add to all others.

    Bins are `rater, outside or inside the box, bin`, sums of the scores `rater, outside or inside`, and `shared`
    counts voxels by `rater, class predicted, class of the rater`.
    """
    n_raters, n = codes.shape
    best, label, place = np.empty(RUN, np.float32), np.empty(RUN, np.int32), np.empty(RUN, np.int32)
    squares, product = np.empty(RUN), np.ones((n_raters, 2))
    for start in range(0, n, RUN):
        size = min(RUN, n - start)
        most_probable(p, stride, n_channels, start, best[:size], label[:size])
        squares[:] = 0.0
        for c in range(n_channels):
            _add_squares(p[c * stride + start : c * stride + start + size], squares[:size])
        for v in range(size):
            labels[start + v] = label[v]
            place[v] = _bin(best[v], edges)
        for block in range(0, size, BLOCK):
            stop = min(block + BLOCK, size)
            own, here = label[block:stop], place[block:stop]
            alike = _constant(own) and _constant(here) and _all_above_half(best[block:stop])
            if alike:
                confidence, square = total(best[block:stop]), total(squares[block:stop])
                chances = _product(best[block:stop])
            for r in range(n_raters):
                code = codes[r, start + block : start + stop]
                if alike and np.int64(code[0] & TRUE) == own[0] and _constant(code):
                    inside = np.int64(code[0] >> 15)
                    count[r, inside, here[0]] += code.size
                    confident[r, inside, here[0]] += confidence
                    right[r, inside, here[0]] += code.size
                    brier_sum[r, inside] += square - 2 * confidence + code.size
                    shared[r, own[0], own[0]] += code.size
                    _add_logarithm(product[r], log_sum[r], inside, chances, 0.0)
                    continue
                _add_each(
                    p, stride, start + block, code, own, here, best[block:stop], squares[block:stop], floor,
                    count[r], confident[r], right[r], log_sum[r], brier_sum[r], shared[r], product[r],
                )  # fmt: skip
    log_sum -= np.log(product)


@compiled(
    void(
        FLAT, CODES, EDGES, float64, int64[:, :, ::1], float64[:, :, ::1], int64[:, :, ::1], float64[:, ::1],
        float64[:, ::1], int64[:, :, ::1],
    )
)  # fmt: skip
def compare_region(
    p: Any, codes: Any, edges: Any, floor: float, count: Any, confident: Any, right: Any, log_sum: Any, brier_sum: Any,
    shared: Any,
) -> None:  # fmt: skip
    """Compare one overlapping region with every rater: is it present, yes (1) or no (0)? As `compare_classes`."""
    n_raters, n = codes.shape
    product = np.ones((n_raters, 2))
    for r in range(n_raters):
        for v in range(n):
            inside, y = np.int64(codes[r, v] >> 15), np.int64(codes[r, v] & TRUE)
            place = _bin(p[v], edges)
            count[r, inside, place] += 1
            confident[r, inside, place] += np.float64(p[v])
            right[r, inside, place] += y
            apart = p[v] - np.float32(y)
            brier_sum[r, inside] += 2 * np.float64(apart) * np.float64(apart)
            shared[r, 1 if p[v] > np.float32(0.5) else 0, y] += 1
            _add_logarithm(product[r], log_sum[r], inside, np.float64(p[v] if y else np.float32(1) - p[v]), floor)
    log_sum -= np.log(product)


@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _moments(x: Any, y: Any, mean_x: float, mean_y: float) -> Any:
    square_x, square_y, product = 0.0, 0.0, 0.0
    for v in range(x.size):
        from_x, from_y = np.float64(x[v]) - mean_x, np.float64(y[v]) - mean_y
        square_x += from_x * from_x
        square_y += from_y * from_y
        product += from_x * from_y
    return square_x, square_y, product


@njit(error_model="numpy")
def _largest(values: Any) -> Any:
    largest = abs(values[0])
    for v in range(1, values.size):
        largest = max(largest, abs(values[v]))
    return largest


@compiled(*(void(kind, kind, float64[::1]) for kind in (FLAT, types.Array(float64, 1, "C", readonly=True))))
def write_moments(x: Any, y: Any, out: Any) -> None:
    """Write means, sums of squares, sum of products (around the means) and largest absolute values of two maps."""
    out[0], out[1] = total(x) / x.size, total(y) / y.size
    out[2], out[3], out[4] = _moments(x, y, out[0], out[1])
    out[5], out[6] = _largest(x), _largest(y)
