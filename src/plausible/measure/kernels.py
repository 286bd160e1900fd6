"""The arithmetic that runs once per member and voxel, compiled: sums of probabilities and of entropies.

A walk over the members is bound by memory, except for the logarithm; so the logarithm here is a polynomial that the
compiler turns into vector instructions (largest relative error 2e-7, see `tests/measure/test_kernels.py`), and each
voxel is read once. Plain numpy takes six times as long (`benchmarks/measure.py`).
"""

from typing import Any

import numpy as np
from numba import njit, prange, types
from numba.extending import intrinsic
from numpy.polynomial import chebyshev, polynomial

BLOCK = 4096
"""Voxels of one block: its sums stay in the nearest cache."""

_LOW_BITS = 0x3F3504F3  # the bits of sqrt(1/2) as float32: mantissas lie in [sqrt(1/2), sqrt(2))
_LN2 = np.float32(np.log(2))


def _log_coefficients() -> tuple[np.float32, ...]:
    """Coefficients q of log(1 + f) = f - f^2/2 + f^3 q(f), fitted on the range of mantissas."""
    low, high = np.sqrt(0.5) - 1, np.sqrt(2) - 1
    nodes = chebyshev.chebpts1(400) * (high - low) / 2 + (high + low) / 2
    nodes = nodes[np.abs(nodes) > 1e-3]
    rest = (np.log1p(nodes) - nodes + nodes**2 / 2) / nodes**3
    return tuple(np.float32(q) for q in polynomial.polyfit(nodes, rest, 8))


_Q0, _Q1, _Q2, _Q3, _Q4, _Q5, _Q6, _Q7, _Q8 = _log_coefficients()


@intrinsic
def _bits(typing_context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.int32))

    return types.int32(types.float32), generate


@intrinsic
def _float(typing_context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


@njit(inline="always")
def fast_log(x: Any) -> Any:
    """Natural logarithm of a float32 from 1e-38 upwards; -87.7 at 0, so that 0 · log 0 = 0."""
    shifted = np.int32(_bits(x) - np.int32(_LOW_BITS))
    exponent = np.float32(shifted >> np.int32(23))
    f = _float(np.int32((shifted & np.int32(0x7FFFFF)) + np.int32(_LOW_BITS))) - np.float32(1)
    q = _Q8
    q = q * f + _Q7
    q = q * f + _Q6
    q = q * f + _Q5
    q = q * f + _Q4
    q = q * f + _Q3
    q = q * f + _Q2
    q = q * f + _Q1
    q = q * f + _Q0
    return exponent * _LN2 + (f + f * f * (f * q - np.float32(0.5)))


@njit(error_model="numpy", fastmath={"contract"})
def _add_entropy(p: Any, probability_sum: Any, entropy_sum: Any) -> None:
    for v in range(probability_sum.size):
        x = p[v]
        probability_sum[v] += x
        entropy_sum[v] -= x * fast_log(x)


@njit(error_model="numpy", fastmath={"contract"})
def _add_binary_entropy(p: Any, probability_sum: Any, entropy_sum: Any) -> None:
    for v in range(probability_sum.size):
        x = p[v]
        y = np.float32(1) - x
        probability_sum[v] += x
        entropy_sum[v] -= x * fast_log(x) + y * fast_log(y)


@njit(error_model="numpy", fastmath={"contract"})
def _add_scaled_entropy(p: Any, scale: Any, out: Any) -> None:
    for v in range(out.size):
        x = p[v] * scale
        out[v] -= x * fast_log(x)


@njit(error_model="numpy", fastmath={"contract"})
def _add_scaled_binary_entropy(p: Any, scale: Any, out: Any) -> None:
    for v in range(out.size):
        x = min(p[v] * scale, np.float32(1))
        y = np.float32(1) - x
        out[v] -= x * fast_log(x) + y * fast_log(y)


@njit(parallel=True, cache=True)
def fold(p: Any, stride: int, probability_sum: Any, entropy_sum: Any) -> None:
    """Add one member: its probabilities, and its entropy.

    `p` is flat, channel c starts at c · stride. One row of entropies: exclusive classes, -Σ_c p log p. As many rows
    as channels: overlapping regions, the entropy of present or absent in each.
    """
    n_classes, n = probability_sum.shape
    exclusive = entropy_sum.shape[0] == 1
    for block in prange((n + BLOCK - 1) // BLOCK):
        start, stop = block * BLOCK, min((block + 1) * BLOCK, n)
        for c in range(n_classes):
            values, sums = p[c * stride + start : c * stride + stop], probability_sum[c, start:stop]
            if exclusive:
                _add_entropy(values, sums, entropy_sum[0, start:stop])
            else:
                _add_binary_entropy(values, sums, entropy_sum[c, start:stop])


@njit(parallel=True, cache=True)
def entropy_of_mean(probability_sum: Any, n_members: int, out: Any) -> None:
    """Write the entropy of the mean probability; one row of `out` for exclusive classes, one per region otherwise."""
    n_classes, n = probability_sum.shape
    exclusive = out.shape[0] == 1
    scale = np.float32(1) / np.float32(n_members)
    for block in prange((n + BLOCK - 1) // BLOCK):
        start, stop = block * BLOCK, min((block + 1) * BLOCK, n)
        out[:, start:stop] = np.float32(0)
        for c in range(n_classes):
            if exclusive:
                _add_scaled_entropy(probability_sum[c, start:stop], scale, out[0, start:stop])
            else:
                _add_scaled_binary_entropy(probability_sum[c, start:stop], scale, out[c, start:stop])
