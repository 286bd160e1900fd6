"""Bands of DVHs: what the curve of a structure could be, dose by dose.

All curves are relative: share of the structure (of *that member's* structure) that receives at least a dose.

- The alpha-DVH is the pointwise quantile of the members' curves; median, 50 and 90 % bands are made of such quantiles
  (of prediction intervals, where members are few: see `spread`). A band is pointwise: a curve need not lie inside from
  end to end with that probability, and no single member needs to run along its edge.
- The *expected DVH* is the mean of the members' curves, E[V(d) / V]: a mean of ratios.
- The *DVH of the mean map* weighs each voxel by its mean probability, E[V(d)] / E[V]: a ratio of means. It is not the
  expected DVH, because a large member counts for more in it. Two members of 1 and 2 ml with doses of 50 and 10 Gy: at
  40 Gy the mean of 1 and 0 is 0.5, the ratio of means (1 + 0) / (1 + 2) = 0.33.
- A dose read off either curve is not the expected dose: D98 of an expected DVH is far below the mean of the D98.

Source: alpha-DVH and its moments, Wahl et al. 2020 (arXiv 2001.04884).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from plausible.dose.dvh import Dvh
from plausible.dose.spread import interval_method, prediction_interval

N_POINTS = 256


@dataclass(frozen=True, slots=True, eq=False)
class DvhBands:
    """Curves of one structure over a grid of doses, as shares from 0 to 1.

    Attributes:
        dose_gy: the grid, from 0 to a little above the hottest member.
        nominal: of the segmentation; NaN where it is empty.
        median: pointwise median of the members.
        band_50, band_90: low and high curve of each pointwise band; NaN with fewer than two members.
        sd: standard deviation of the members' curves; NaN with fewer than two members.
        expected: mean of the members' curves (mean of ratios).
        of_mean_map: curve of the mean map (ratio of means).
        n: members that have the structure.
        method_50, method_90: how the bands were made.
    """

    dose_gy: Float64[np.ndarray, "d"]
    nominal: Float64[np.ndarray, "d"]
    median: Float64[np.ndarray, "d"]
    band_50: tuple[Float64[np.ndarray, "d"], Float64[np.ndarray, "d"]]
    band_90: tuple[Float64[np.ndarray, "d"], Float64[np.ndarray, "d"]]
    sd: Float64[np.ndarray, "d"]
    expected: Float64[np.ndarray, "d"]
    of_mean_map: Float64[np.ndarray, "d"]
    n: int
    method_50: str
    method_90: str


def dvh_bands(dvhs: Sequence[Dvh], *, nominal: Dvh, beside: Sequence[Dvh] = (), n_points: int = N_POINTS) -> DvhBands:
    """Bands of the DVHs of all members; members without the structure are left out.

    Args:
        dvhs: one per member.
        nominal: of the segmentation.
        beside: further curves that will be read at the same doses, such as references: the grid reaches their ends.
        n_points: doses at which curves are read.
    """
    present = [one for one in dvhs if one.total_volume_ml > 0]
    tops = [one.max_dose_gy for one in (*present, nominal, *beside) if one.total_volume_ml > 0]
    dose_gy = np.linspace(0.0, 1.02 * max([*tops, 0.1]), n_points)
    curves = relative_curves(present, dose_gy)
    weights = np.array([one.total_volume_ml for one in present])
    undefined = np.full(n_points, np.nan)
    return DvhBands(
        dose_gy=dose_gy,
        nominal=relative_curves([nominal], dose_gy)[0] if nominal.total_volume_ml > 0 else undefined,
        median=alpha_dvh(curves, 0.5) if present else undefined,
        band_50=band(curves, level=0.5),
        band_90=band(curves, level=0.9),
        sd=curves.std(axis=0, ddof=1) if len(present) > 1 else undefined,
        expected=curves.mean(axis=0) if present else undefined,
        of_mean_map=weights @ curves / weights.sum() if present else undefined,
        n=len(present),
        method_50=interval_method(len(present), level=0.5),
        method_90=interval_method(len(present), level=0.9),
    )


def relative_curves(dvhs: Sequence[Dvh], dose_gy: Float64[np.ndarray, "d"]) -> Float64[np.ndarray, "m d"]:
    """Share of each structure that receives at least each dose."""
    found = [np.asarray(one.volume_at(dose_gy), dtype=np.float64) / one.total_volume_ml for one in dvhs]
    return np.stack(found) if found else np.empty((0, len(dose_gy)))


def alpha_dvh(curves: Float64[np.ndarray, "m d"], alpha: float) -> Float64[np.ndarray, "d"]:
    """Pointwise quantile of the members' curves, linear between members."""
    return np.asarray(np.quantile(curves, alpha, axis=0), dtype=np.float64)


def band(
    curves: Float64[np.ndarray, "m d"], *, level: float
) -> tuple[Float64[np.ndarray, "d"], Float64[np.ndarray, "d"]]:
    """Pointwise band in which a further member's curve lies with this probability, dose by dose.

    Ends are kept within 0 and 1 and made to fall with dose, as a DVH does; both only where few members make them do
    otherwise, and only outwards.
    """
    low, high = prediction_interval(curves, level=level)
    low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
    return np.minimum.accumulate(low), np.maximum.accumulate(high[::-1])[::-1]


def coverage_map(curves: Float64[np.ndarray, "m d"], shares: Float[np.ndarray, "v"]) -> Float64[np.ndarray, "v d"]:
    """Dose-volume coverage map Q(d, v): share of the members in which at least a share v receives a dose d.

    Its level line at q is the alpha-DVH at 1 - q; its row at v is the coverage probability of D_v against dose.

    Args:
        curves: of the members that have the structure (`relative_curves`); without any, the map is NaN.
        shares: of the structure's volume, from 0 to 1.

    Source: Gordon and Siebers 2008 (the map); Gordon et al. 2010, Med Phys 37(2):550 (its rows, coverage histograms).
    """
    if not len(curves):
        return np.full((len(shares), curves.shape[1]), np.nan)
    return np.stack([(curves >= share - 1e-12).mean(axis=0) for share in shares])
