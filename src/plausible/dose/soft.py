"""The DVH of a structure given as a field of probabilities: its surface is cut out below the size of a voxel.

The surface is where the log-odds are 0: of the structure against everything else, or, where classes exclude each
other, against the most probable other class. Log-odds are interpolated by cubic spline; trilinear interpolation would
lose volume, and probabilities are too sharp at the edge. A voxel that the spline cannot leave (all coefficients that
reach it have one sign) is wholly inside or outside. Any other is asked at the centres of 4 × 4 × 4 parts; what is
inside of each of its eighths is one cell, about the centre of these parts. The dose is linear in cells.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64

from plausible.core import Dose, Geometry
from plausible.dose.dvh import Dvh, dvh_of_cells
from plausible.dose.dvh_on_doses import dvh_on_doses
from plausible.dose.interpolation import DoseField, Interpolation, cubic_coefficients

PARTS = 4
REACH = 2
"""A cubic spline within a voxel depends on coefficients this many voxels away."""
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


def field_dvh(odds: np.ndarray, field: DoseField, *, geometry: Geometry, step_gy: float | None = None) -> Dvh:
    """DVH of the region where a field on a grid is positive; with kinks at multiples of a dose only, if asked."""
    return cells_dvh(cut(odds), field, geometry=geometry, step_gy=step_gy)


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Boxes in voxels of a grid.

    Attributes:
        centres: in voxels.
        edges: along each axis, in voxels.
        shares: volumes, in voxels.
    """

    centres: Float64[np.ndarray, "n 3"]
    edges: Float64[np.ndarray, "n 3"]
    shares: Float64[np.ndarray, " n"]

    @classmethod
    def whole(cls, voxels: np.ndarray) -> "Cells":
        """Whole voxels by their places."""
        return cls(voxels.astype(np.float64), np.ones((len(voxels), 3)), np.ones(len(voxels)))

    def __add__(self, other: "Cells") -> "Cells":
        pairs = ((self.centres, other.centres), (self.edges, other.edges), (self.shares, other.shares))
        centres, edges, shares = (np.concatenate(pair) for pair in pairs)
        return Cells(centres, edges, shares)


def cut(odds: Float[np.ndarray, "i j k"]) -> Cells:
    """Cells of the region where a field is positive: whole voxels, and parts of those that its surface cuts."""
    from scipy.ndimage import maximum_filter, minimum_filter

    from plausible.dose.kernels import cut_voxels

    if not (odds > 0).any():
        return Cells.whole(np.zeros((0, 3)))
    coefficients = _coefficients(odds)
    positive = (coefficients > 0).view(np.uint8)
    inner = (slice(REACH, -REACH),) * 3
    some, every = (found(positive, 2 * REACH + 1)[inner] > 0 for found in (maximum_filter, minimum_filter))
    mixed = np.ascontiguousarray(np.argwhere(some & ~every))
    n_most = 8 * len(mixed) + 1
    centres, edges, shares = np.empty((n_most, 3)), np.empty((n_most, 3)), np.empty(n_most)
    n = cut_voxels(coefficients, mixed, centres, edges, shares)
    return Cells.whole(np.argwhere(every)) + Cells(centres[:n], edges[:n], shares[:n])


def cells_dvh(cells: Cells, field: DoseField, *, geometry: Geometry, step_gy: float | None = None) -> Dvh:
    """DVH of cells of a grid, dose linear in each; with kinks at multiples of a dose only, if asked."""
    matrix = field.from_frame(geometry.affine)
    inside = field.inside(cells.centres @ matrix[:, :3].T + matrix[:, 3])
    sizes = np.ascontiguousarray(cells.edges[inside])
    doses, half_widths = field.in_cells(matrix, cells.centres[inside], np.ones(len(sizes)), sizes)
    volumes = cells.shares * geometry.voxel_volume_ml
    method = f"log-odds, cubic spline, {PARTS} parts an axis, linear in cells; dose {field.interpolation}"
    outside, voxel = float(volumes[~inside].sum()), geometry.voxel_volume_ml
    volumes = volumes[inside]
    if step_gy is None:
        return dvh_of_cells(doses, half_widths, volumes, outside_ml=outside, cell_ml=voxel, method=method)
    return dvh_on_doses(doses, half_widths, volumes, step_gy=step_gy, outside_ml=outside, cell_ml=voxel, method=method)


def _coefficients(odds: np.ndarray) -> Float64[np.ndarray, "u v w"]:
    """Coefficients of the cubic spline with a border of two, mirrored at the outermost centres."""
    return np.ascontiguousarray(np.pad(cubic_coefficients(odds), REACH, mode="reflect"))
