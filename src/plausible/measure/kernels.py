"""The arithmetic that runs once per member and voxel, compiled: entropies, and means that move with every member.

A walk over the members is bound by memory, except for the logarithm; so the logarithm here is a polynomial that the
compiler turns into vector instructions (largest relative error 1.5e-7), and short runs of voxels pass through all
channels while they are in the nearest cache. Import this module where it is needed, not before: it loads numba.

Kernels run in one thread and release Python's lock; `walk` gives each thread a slab of its own. Members come flat, as
`plausible.measure.layout` views them: channel c starts at c · stride.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import float32, int64, njit, types, void
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.polynomial import chebyshev, polynomial

from plausible.core.compiled import compiled

RUN = 128
"""Voxels of one run; longer ones fall out of the first cache level, whose sets all channels share."""

_LOW_BITS = 0x3F3504F3  # the bits of sqrt(1/2) as float32: mantissas lie in [sqrt(1/2), sqrt(2))
_LN2 = np.float32(np.log(2))

_FLAT = types.Array(float32, 1, "C", readonly=True)
_ROWS = float32[:, ::1]


def _log_coefficients() -> tuple[np.float32, ...]:
    """Coefficients q of log(1 + f) = f - f²/2 + f³ q(f), fitted to the relative error on the range of mantissas."""
    low, high = np.sqrt(0.5) - 1, np.sqrt(2) - 1
    nodes = chebyshev.chebpts1(400) * (high - low) / 2 + (high + low) / 2
    nodes = nodes[np.abs(nodes) > 1e-3]
    rest = (np.log1p(nodes) - nodes + nodes**2 / 2) / nodes**3
    return tuple(np.float32(q) for q in polynomial.polyfit(nodes, rest, 6, w=nodes**2))


_Q0, _Q1, _Q2, _Q3, _Q4, _Q5, _Q6 = _log_coefficients()


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


@intrinsic
def _prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(function, [address, i32(0), i32(3), i32(1)])  # to read, keep it near, data
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@njit(inline="always")
def fast_log(x: Any) -> Any:
    """Natural logarithm of a float32 from 1.2e-38 upwards; between -88.1 and -87.3 below it, so that 0 · log 0 = 0."""
    shifted = np.int32(_bits(x) - np.int32(_LOW_BITS))
    exponent = np.float32(shifted >> np.int32(23))
    f = _float(np.int32((shifted & np.int32(0x7FFFFF)) + np.int32(_LOW_BITS))) - np.float32(1)
    q = _Q6
    q = q * f + _Q5
    q = q * f + _Q4
    q = q * f + _Q3
    q = q * f + _Q2
    q = q * f + _Q1
    q = q * f + _Q0
    return exponent * _LN2 + (f + f * f * (f * q - np.float32(0.5)))


@njit(inline="always")
def _not_negative(x: Any) -> Any:
    return np.float32(0) if x < np.float32(0) else x  # in this order, NaN stays NaN


@njit(inline="always")
def _fetch_run(p: Any, start: int) -> None:
    """Ask for the next run of a channel while this one is worked on: a sixth faster."""
    for line in range(0, RUN, 16):
        _prefetch(p, start + line)


@njit(error_model="numpy", fastmath={"contract"})
def _add_entropy(p: Any, entropy: Any) -> None:
    for v in range(entropy.size):
        x = _not_negative(p[v])
        entropy[v] -= x * fast_log(x)


@njit(error_model="numpy", fastmath={"contract"})
def _add_entropy_and_move(p: Any, entropy: Any, mean: Any, weight: Any) -> None:
    for v in range(entropy.size):
        x = _not_negative(p[v])
        entropy[v] -= x * fast_log(x)
        mean[v] += (x - mean[v]) * weight


@njit(error_model="numpy", fastmath={"contract"})
def _write_binary_entropy(p: Any, entropy: Any) -> None:
    for v in range(entropy.size):
        x = _not_negative(p[v])
        y = _not_negative(np.float32(1) - x)
        entropy[v] = -(x * fast_log(x) + y * fast_log(y))


@njit(error_model="numpy")
def _move(mean: Any, value: Any, weight: Any) -> None:
    for v in range(mean.size):
        mean[v] += (value[v] - mean[v]) * weight


@compiled(void(_FLAT, int64, _ROWS, _ROWS, float32))
def fold_classes(p: Any, stride: int, mean_probability: Any, mean_entropy: Any, weight: float) -> None:
    """Move both means towards one member of exclusive classes by its weight, 1/M for the M-th."""
    n_channels, n = mean_probability.shape
    scratch = np.empty(RUN, np.float32)
    for start in range(0, n, RUN):
        stop = min(start + RUN, n)
        entropy = scratch[: stop - start]
        entropy[:] = np.float32(0)
        for c in range(n_channels):
            _fetch_run(p, c * stride + stop)
            values = p[c * stride + start : c * stride + stop]
            _add_entropy_and_move(values, entropy, mean_probability[c, start:stop], weight)
        _move(mean_entropy[0, start:stop], entropy, weight)


@compiled(void(_FLAT, int64, _ROWS, _ROWS, float32))
def fold_regions(p: Any, stride: int, mean_probability: Any, mean_entropy: Any, weight: float) -> None:
    """Move both means towards one member of overlapping regions by its weight, 1/M for the M-th."""
    n_channels, n = mean_probability.shape
    scratch = np.empty(RUN, np.float32)
    for start in range(0, n, RUN):
        stop = min(start + RUN, n)
        entropy = scratch[: stop - start]
        for c in range(n_channels):
            _fetch_run(p, c * stride + stop)
            values = p[c * stride + start : c * stride + stop]
            _write_binary_entropy(values, entropy)
            _move(mean_entropy[c, start:stop], entropy, weight)
            _move(mean_probability[c, start:stop], values, weight)


@compiled(void(_FLAT, int64, int64, _ROWS))
def write_entropy_of_classes(p: Any, stride: int, n_channels: int, out: Any) -> None:
    """Write the entropy of exclusive classes into one row of zeros."""
    n = out.shape[1]
    for start in range(0, n, RUN):
        stop = min(start + RUN, n)
        for c in range(n_channels):
            _add_entropy(p[c * stride + start : c * stride + stop], out[0, start:stop])


@compiled(void(_FLAT, int64, int64, _ROWS))
def write_entropy_of_regions(p: Any, stride: int, n_channels: int, out: Any) -> None:
    """Write the entropy of each overlapping region into its row."""
    n = out.shape[1]
    for c in range(n_channels):
        _write_binary_entropy(p[c * stride : c * stride + n], out[c])
