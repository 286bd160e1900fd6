"""The DVH of a structure given as a field of probabilities: its surface is cut out below the size of a voxel.

The surface is where the log-odds are 0: of the structure against everything else, or, where classes exclude each
other, against the most probable other class. Log-odds are interpolated by cubic spline; trilinear interpolation would
lose volume, and probabilities are too sharp at the edge. A voxel that the spline cannot leave (all coefficients that
reach it have one sign) is one cell, inside or out, with dose linear in it; any other is split 4 × 4 × 4 and parts with
positive log-odds at their centre belong.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64

from plausible.core import Dose, Geometry
from plausible.dose.dvh import Dvh, dvh_of_cells
from plausible.dose.interpolation import DoseField, Interpolation

PARTS = 4
CLIP = 1 / 131070
"""Probabilities are held within this distance of 0 and 1: half a step of 16 bits."""


def log_odds(probability: Float[np.ndarray, "*n"]) -> Float32[np.ndarray, "*n"]:
    """Log-odds log(p / (1 − p)) of probabilities, which are held within half a step of 16 bits of 0 and 1."""
    held = np.clip(probability, CLIP, 1 - CLIP, dtype=np.float32)
    return np.log(held) - np.log1p(-held)


def class_log_odds(
    probabilities: Float[np.ndarray, "c i j k"], channel: int, *, exclusive: bool
) -> Float32[np.ndarray, "i j k"]:
    """Log-odds of a channel: against the most probable other one if classes exclude each other, else against 1 − p."""
    if not exclusive:
        return log_odds(probabilities[channel])
    others = np.max([p for c, p in enumerate(probabilities) if c != channel], axis=0)
    ours, theirs = (np.maximum(p, CLIP, dtype=np.float32) for p in (probabilities[channel], others))
    return np.log(ours) - np.log(theirs)


def soft_dvh(
    odds: Float[np.ndarray, "i j k"], dose: Dose, *, geometry: Geometry, interpolation: Interpolation = "linear"
) -> Dvh:
    """DVH of the region where a field is positive, cut at a quarter of a voxel.

    Args:
        odds: log-odds, or any smooth field that is positive inside; see `log_odds` and `class_log_odds`.
        dose: on any grid.
        geometry: grid of the field.
        interpolation: of the dose.
    """
    return field_dvh(odds, DoseField.of(dose, interpolation=interpolation), geometry=geometry)


def field_dvh(odds: np.ndarray, field: DoseField, *, geometry: Geometry) -> Dvh:
    """DVH of the region where a field on a grid is positive."""
    voxels, parts = cut(odds)
    return cells_dvh(voxels, parts, field, geometry=geometry)


def cut(odds: Float[np.ndarray, "i j k"]) -> tuple[np.ndarray, Float64[np.ndarray, "n 3"]]:
    """Voxels wholly inside, and centres (in voxels) of the parts of other voxels that lie inside."""
    from plausible.dose.kernels import cut_voxel_parts, mark_mixed

    if not (odds > 0).any():
        return np.zeros((0, 3)), np.zeros((0, 3))
    coefficients = _coefficients(odds)
    kinds = np.empty(odds.shape, np.uint8)
    mark_mixed(coefficients, kinds)
    mixed = np.ascontiguousarray(np.argwhere(kinds == 1))
    found = np.empty((len(mixed), PARTS**3), bool)
    cut_voxel_parts(coefficients, mixed, found)
    voxel, part = np.nonzero(found)
    steps = np.stack(np.unravel_index(part, (PARTS,) * 3), axis=1)
    return np.argwhere(kinds == 2).astype(np.float64), mixed[voxel] + (steps + 0.5) / PARTS - 0.5


def cells_dvh(full: np.ndarray, parts: np.ndarray, field: DoseField, *, geometry: Geometry) -> Dvh:
    """DVH of whole voxels and of parts of voxels, by their centres in voxels of a grid."""
    matrix = field.from_frame(geometry.affine)
    centres = np.concatenate([full, parts])
    size = np.repeat([1.0, 1 / PARTS], [len(full), len(parts)])
    inside = field.inside(centres @ matrix[:, :3].T + matrix[:, 3])
    sizes = np.repeat(size[inside, None], 3, axis=1)
    doses, half_widths = field.in_cells(matrix, centres[inside], np.ones(len(sizes)), sizes)
    volumes = size**3 * geometry.voxel_volume_ml
    return dvh_of_cells(
        doses,
        half_widths,
        volumes[inside],
        outside_ml=float(volumes[~inside].sum()),
        cell_ml=geometry.voxel_volume_ml,
        method=f"log-odds, cubic spline, {PARTS} parts a voxel and axis, linear in cells; dose {field.interpolation}",
    )


def _coefficients(odds: np.ndarray) -> Float64[np.ndarray, "u v w"]:
    """Coefficients of the cubic spline with a border of two, mirrored at the outermost centres."""
    from scipy.ndimage import spline_filter1d

    found = np.asarray(odds, dtype=np.float64)
    for axis, n in enumerate(found.shape):
        if n > 1:
            found = spline_filter1d(found, order=3, axis=axis, mode="mirror")
    return np.ascontiguousarray(np.pad(found, 2, mode="reflect"))
