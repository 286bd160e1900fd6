"""Planes moved to where an even, straight grid has them: only asked for, linear, and said in the report."""

import numpy as np
from jaxtyping import Float, Float32, Float64

from plausible.io.dicom.series_checks import Stack


def at_positions(
    values: Float32[np.ndarray, "n rows columns"],
    at_mm: Float64[np.ndarray, " n"],
    wanted_mm: Float64[np.ndarray, " m"],
) -> Float32[np.ndarray, "m rows columns"]:
    """Interpolate planes linearly along the normal; positions are ascending, the wanted ones lie between the ends."""
    before = np.clip(np.searchsorted(at_mm, wanted_mm, side="right") - 1, 0, max(len(at_mm) - 2, 0))
    after = np.minimum(before + 1, len(at_mm) - 1)
    length = np.where(after > before, at_mm[after] - at_mm[before], 1.0)
    share = np.clip((wanted_mm - at_mm[before]) / length, 0, 1)
    result = np.empty((len(wanted_mm), *values.shape[1:]), dtype=np.float32)
    for n, (b, a, s) in enumerate(zip(before, after, share, strict=True)):
        result[n] = values[b] if s == 0 else (1 - s) * values[b] + s * values[a]
    return result


def even_positions(at_mm: Float64[np.ndarray, " n"], step_mm: float) -> Float64[np.ndarray, " m"]:
    """Positions from the first to the last, about a step apart and evenly so."""
    n_steps = max(round(float(at_mm[-1] - at_mm[0]) / step_mm), 1)
    return np.linspace(at_mm[0], at_mm[-1], n_steps + 1)


def unsheared(
    values: Float32[np.ndarray, "n rows columns"], stack: Stack, *, outside: float
) -> tuple[Float32[np.ndarray, "n rows2 columns2"], Float[np.ndarray, " 2"]]:
    """Move each plane in its own plane to where straight stacking has it.

    Returns:
        The planes on a grid that holds them all, `outside` where there was nothing; and the in-plane position (mm
        along rows, along columns) of the new grid's first pixel from the old one's.
    """
    from scipy.ndimage import shift

    between_rows, between_columns = stack.planes[0].spacing_mm
    along_row, along_column = stack.sideways_mm / stack.step_mm
    away = (stack.at_mm - stack.at_mm[0])[:, None] * np.array([along_column, along_row])
    pixels = away / np.array([between_rows, between_columns])  # rows, columns
    low = np.floor(pixels.min(axis=0)).astype(int)
    high = np.ceil(pixels.max(axis=0)).astype(int)
    size = np.array(values.shape[1:]) + high - low
    result = np.empty((len(values), *size), dtype=np.float32)
    for n, plane in enumerate(values):
        padded = np.full(size, outside, dtype=np.float32)
        padded[-low[0] : -low[0] + plane.shape[0], -low[1] : -low[1] + plane.shape[1]] = plane
        result[n] = shift(padded, pixels[n], order=1, mode="constant", cval=outside)
    return result, np.array([low[1] * between_columns, low[0] * between_rows], dtype=np.float64)
