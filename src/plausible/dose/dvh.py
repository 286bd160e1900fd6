"""How much of a structure receives at least a dose: the cumulative dose-volume histogram, without bins.

The curve is piecewise linear between kinks, so every reading is exact on it. It is made in one of two ways:

- from **cells**: each spreads its volume evenly over the doses between its coldest and its hottest point;
- from **samples**: points that stand for a volume each. The midpoint rule puts the n-th hottest at the volume of all
  hotter ones and half its own.

Volumes are in ml, absolute, and never counted in voxels of the dose. What lies outside the dose grid belongs to the
structure: it is in `total_volume_ml`, its dose is unknown, and readings that depend on it are NaN.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float64

FLAT_GY = 1e-6
"""Half widths below this are a jump of the curve."""


@dataclass(frozen=True, slots=True, eq=False)
class Dvh:
    """Cumulative dose-volume histogram of one structure.

    Attributes:
        dose_gy: doses of the kinks, ascending; a dose that stands there twice is a jump.
        volume_ml: volume inside the dose grid that receives at least this dose, from all of it down to 0.
        total_volume_ml: volume of the structure, the part outside the dose grid included.
        mean_dose_gy: mean dose of the part inside; NaN if there is none.
        min_dose_gy: lowest dose of the part inside.
        max_dose_gy: highest dose of the part inside.
        outside_ml: volume outside the dose grid.
        n_cells: cells or samples the curve was made of.
        cell_ml: volume of the largest of them, or of the voxel they are cut from.
        method: how it was made, for the record.
    """

    dose_gy: Float64[np.ndarray, " k"]
    volume_ml: Float64[np.ndarray, " k"]
    total_volume_ml: float
    mean_dose_gy: float
    min_dose_gy: float
    max_dose_gy: float
    outside_ml: float
    n_cells: int
    cell_ml: float
    method: str

    @property
    def inside_ml(self) -> float:
        """Volume inside the dose grid."""
        return float(self.volume_ml[0]) if len(self.volume_ml) else 0.0

    def volume_at(self, dose_gy: Float[np.ndarray, "*n"] | float) -> Float64[np.ndarray, "*n"] | float:
        """Volume in ml inside the dose grid that receives at least a dose, or each of several."""
        asked = np.asarray(dose_gy, dtype=np.float64)
        found = _at_least(self.dose_gy, self.volume_ml, asked) if len(self.dose_gy) else np.zeros(asked.shape)
        return found if asked.ndim else float(found)

    def dose_at(self, volume_ml: Float[np.ndarray, "*n"] | float) -> Float64[np.ndarray, "*n"] | float:
        """Dose in Gy that the hottest `volume_ml` receive at least, or each of several volumes.

        NaN for more than what lies inside the dose grid, and for an empty structure.
        """
        asked = np.asarray(volume_ml, dtype=np.float64)
        if len(self.dose_gy):
            found = np.interp(asked, self.volume_ml[::-1], self.dose_gy[::-1])
            found = np.where(asked > self.inside_ml * (1 + 1e-9), np.nan, found)
        else:
            found = np.full(asked.shape, np.nan)
        return found if asked.ndim else float(found)

    def outside_as_zero(self) -> "Dvh":
        """Return the DVH with the part outside the dose grid counted as 0 Gy."""
        if not self.outside_ml:
            return self
        zero = np.zeros(1)
        part = dvh_of_samples(zero, np.array([self.outside_ml]), cell_ml=self.cell_ml, method=self.method)
        return replace(
            join([replace(self, total_volume_ml=self.inside_ml, outside_ml=0.0), part]), n_cells=self.n_cells
        )


def dvh_of_cells(
    dose_gy: Float64[np.ndarray, " n"],
    half_width_gy: Float64[np.ndarray, " n"],
    cells_ml: Float64[np.ndarray, " n"],
    *,
    outside_ml: float = 0.0,
    cell_ml: float,
    method: str,
) -> Dvh:
    """Curve of cells that spread their volumes evenly over [dose − half width, dose + half width]."""
    from plausible.dose.kernels import cumulate

    held = cells_ml > 0
    dose, half, volume = dose_gy[held], np.minimum(half_width_gy, np.abs(dose_gy))[held], cells_ml[held]
    if not len(dose):
        return _empty(outside_ml, cell_ml, method)
    flat = half < FLAT_GY
    wide, density = ~flat, volume[~flat] / (2 * half[~flat])
    kinks = np.concatenate([dose[wide] + half[wide], dose[wide] - half[wide], dose[flat]])
    slopes = np.concatenate([density, -density, np.zeros(flat.sum())])
    jumps = np.concatenate([np.zeros(2 * wide.sum()), volume[flat]])
    order = np.argsort(-kinks)
    doses, volumes = np.empty(2 * len(kinks)), np.empty(2 * len(kinks))
    n_points = cumulate(kinks[order], slopes[order], jumps[order], doses, volumes)
    inside = float(volume.sum())
    volumes = np.minimum(volumes[:n_points], inside)
    volumes[-1] = inside
    return Dvh(
        doses[:n_points][::-1].copy(),
        volumes[::-1].copy(),
        inside + outside_ml,
        _mean(dose, volume),
        float(doses[n_points - 1]),
        float(doses[0]),
        outside_ml,
        len(dose),
        cell_ml,
        method,
    )


def dvh_of_samples(
    dose_gy: Float64[np.ndarray, " n"],
    samples_ml: Float64[np.ndarray, " n"],
    *,
    outside_ml: float = 0.0,
    cell_ml: float,
    method: str,
) -> Dvh:
    """Curve of samples, midpoint rule: the n-th hottest sits at the volume of all hotter ones and half its own."""
    if not len(dose_gy):
        return _empty(outside_ml, cell_ml, method)
    order = np.argsort(dose_gy)
    dose, volume = dose_gy[order], samples_ml[order]
    hotter = np.cumsum(volume[::-1])[::-1]
    inside = float(hotter[0])
    return Dvh(
        np.concatenate([dose[:1], dose, dose[-1:]]),
        np.concatenate([[inside], hotter - volume / 2, [0.0]]),
        inside + outside_ml,
        _mean(dose, volume),
        float(dose[0]),
        float(dose[-1]),
        outside_ml,
        len(dose),
        cell_ml,
        method,
    )


def join(parts: Sequence[Dvh]) -> Dvh:
    """DVH of several disjoint parts of one structure: volumes add at every dose.

    Raises:
        ValueError: no part.
    """
    if not parts:
        raise ValueError("nothing to join: no DVH was given")
    held = [part for part in parts if len(part.dose_gy)]
    doses = np.unique(np.concatenate([part.dose_gy for part in held])) if held else np.zeros(0)
    upper, lower = np.zeros(len(doses)), np.zeros(len(doses))
    for part in held:
        upper += _at_least(part.dose_gy, part.volume_ml, doses)
        lower += _more_than(part.dose_gy, part.volume_ml, doses)
    jump = upper - lower > 1e-12 * upper.max(initial=0)
    doses, volumes = np.repeat(doses, 1 + jump), np.insert(upper, np.flatnonzero(jump) + 1, lower[jump])
    return Dvh(
        doses,
        volumes,
        sum(part.total_volume_ml for part in parts),
        _mean(np.array([p.mean_dose_gy for p in held]), np.array([p.inside_ml for p in held])) if held else math.nan,
        min((part.min_dose_gy for part in held), default=math.nan),
        max((part.max_dose_gy for part in held), default=math.nan),
        sum(part.outside_ml for part in parts),
        sum(part.n_cells for part in parts),
        max(part.cell_ml for part in parts),
        "; ".join(dict.fromkeys(part.method for part in parts)),
    )


def on_doses(dvh: Dvh, *, step_gy: float) -> Dvh:
    """Return the DVH with kinks only at multiples of a dose, where it stays exact, and at its ends."""
    if len(dvh.dose_gy) < 3:
        return dvh
    first, last = np.ceil(dvh.min_dose_gy / step_gy), np.floor(dvh.max_dose_gy / step_gy)
    inner = np.arange(first, last + 1) * step_gy
    inner = inner[(inner > dvh.min_dose_gy) & (inner < dvh.max_dose_gy)]
    if len(inner) + 4 >= len(dvh.dose_gy):
        return dvh
    ends = np.array([dvh.min_dose_gy, dvh.max_dose_gy])
    low, high = _more_than(dvh.dose_gy, dvh.volume_ml, ends), _at_least(dvh.dose_gy, dvh.volume_ml, ends)
    doses = np.concatenate([ends[:1], ends[:1], inner, ends[1:], ends[1:]])
    volumes = np.concatenate([[high[0], low[0]], _at_least(dvh.dose_gy, dvh.volume_ml, inner), [high[1], low[1]]])
    return replace(dvh, dose_gy=doses, volume_ml=volumes)


def _empty(outside_ml: float, cell_ml: float, method: str) -> Dvh:
    none = np.zeros(0)
    return Dvh(none, none, outside_ml, math.nan, math.nan, math.nan, outside_ml, 0, cell_ml, method)


def _mean(dose: np.ndarray, volume: np.ndarray) -> float:
    """Mean dose; rounding must not make a uniform dose differ from itself."""
    return float(np.clip(volume @ dose / volume.sum(), dose.min(), dose.max()))


def _at_least(doses: np.ndarray, volumes: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Volume receiving at least a dose: at a jump, the upper end."""
    after = np.asarray(np.clip(np.searchsorted(doses, asked, side="left"), 0, len(doses) - 1))
    return _between(doses, volumes, asked, after)


def _more_than(doses: np.ndarray, volumes: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Volume receiving more than a dose: at a jump, the lower end."""
    before = np.searchsorted(doses, asked, side="right")
    found = _between(doses, volumes, asked, np.clip(before, 0, len(doses) - 1))
    exact = (before > 0) & (doses[np.maximum(before - 1, 0)] == asked)
    return np.where(exact, volumes[np.maximum(before - 1, 0)], found)


def _between(doses: np.ndarray, volumes: np.ndarray, asked: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Linear between the kink `after` and the one before it; all below the first, nothing above the last."""
    before = np.maximum(after - 1, 0)
    width = doses[after] - doses[before]
    share = np.divide(doses[after] - asked, width, out=np.zeros(asked.shape), where=width > 0)
    found = volumes[after] + np.clip(share, 0, 1) * (volumes[before] - volumes[after])
    return np.where(asked > doses[-1], 0.0, np.where(asked <= doses[0], volumes[0], found))
