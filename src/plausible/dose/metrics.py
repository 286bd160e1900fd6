"""What is read off a dose-volume histogram: doses of volumes, volumes of doses, mean, extremes, gEUD, homogeneity.

Every reader takes a `Dvh` and is exact on its curve. A part outside the dose grid is never dropped: where its dose,
once as the coldest and once as the hottest of all, makes a difference, the answer is NaN. A structure without volume
gives NaN.

Sources: ICRU Report 83 (D2%, D98%, D50%, homogeneity index); Niemierko 1997, doi:10.1118/1.598063 (EUD), 1999 (gEUD).
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from plausible.core import Catalogue
from plausible.dose.dvh import Dvh

SAME_GY = 0.01
"""Doses closer than this are the same, whatever the part outside the grid receives."""
SAME_SHARE = 1e-4
"""Likewise volumes, as a share of the structure."""
NARROW = 1e-2
"""Below this half width, times the exponent over the dose, a series takes the place of a difference of powers."""

DvhMetric: TypeAlias = Callable[..., float]

DVH_METRICS: Catalogue[DvhMetric] = Catalogue("DVH metric")


@DVH_METRICS.add(unit="Gy", higher_is="neither", source="ICRU Report 83, 2010", label="D_x%")
def dose_at_percent(dvh: Dvh, *, percent: float) -> float:
    """Dose that the hottest x % of a structure receive at least, e.g. D95%.

    Raises:
        ValueError: a percentage outside 0 to 100.
    """
    if not 0 <= percent <= 100:
        raise ValueError(f"percent must lie in 0 to 100, got {percent}")
    return _dose_of_hottest(dvh, dvh.total_volume_ml * percent / 100)


@DVH_METRICS.add(unit="Gy", higher_is="neither", source="ICRU Report 91, 2017", label="D_x cc")
def dose_at_volume(dvh: Dvh, *, volume_ml: float) -> float:
    """Dose that the hottest x cc of a structure receive at least, e.g. D0.03cc. NaN if the structure is smaller.

    Raises:
        ValueError: a volume below 0.
    """
    if volume_ml < 0:
        raise ValueError(f"volume_ml must be at least 0, got {volume_ml}")
    return _dose_of_hottest(dvh, volume_ml)


@DVH_METRICS.add(unit="%", higher_is="neither", source="ICRU Report 83, 2010", label="V_d [%]")
def percent_at_dose(dvh: Dvh, *, dose_gy: float) -> float:
    """Share in percent of a structure's own volume that receives at least a dose, e.g. V20Gy."""
    return 100 * volume_at_dose(dvh, dose_gy=dose_gy) / dvh.total_volume_ml if dvh.total_volume_ml else math.nan


@DVH_METRICS.add(unit="cc", higher_is="neither", source="ICRU Report 83, 2010", label="V_d [cc]")
def volume_at_dose(dvh: Dvh, *, dose_gy: float) -> float:
    """Volume in cc (ml) of a structure that receives at least a dose."""
    if not dvh.total_volume_ml or (dvh.outside_ml > SAME_SHARE * dvh.total_volume_ml and dose_gy > 0):
        return math.nan
    return float(dvh.volume_at(dose_gy)) if dose_gy > 0 else dvh.total_volume_ml


@DVH_METRICS.add(unit="Gy", higher_is="neither", source="ICRU Report 83, 2010", label="mean")
def mean_dose(dvh: Dvh) -> float:
    """Mean dose of a structure."""
    share = dvh.outside_ml / dvh.total_volume_ml if dvh.total_volume_ml else 0.0
    unknown = share * max(dvh.max_dose_gy, 0.0) > SAME_GY
    return math.nan if unknown else dvh.mean_dose_gy


@DVH_METRICS.add(unit="Gy", higher_is="neither", source="unpublished", label="minimum")
def min_dose(dvh: Dvh) -> float:
    """Dose at the coldest point of a structure. One point decides it: prefer D98%."""
    return math.nan if _some_outside(dvh) else dvh.min_dose_gy


@DVH_METRICS.add(unit="Gy", higher_is="neither", source="unpublished", label="maximum")
def max_dose(dvh: Dvh) -> float:
    """Dose at the hottest point of a structure. One point decides it: prefer D2% or D0.03cc."""
    return math.nan if _some_outside(dvh) else dvh.max_dose_gy


@DVH_METRICS.add(unit="cc", higher_is="neither", source="unpublished", label="volume")
def volume(dvh: Dvh) -> float:
    """Volume in cc (ml) of a structure, the part outside the dose grid included."""
    return dvh.total_volume_ml


@DVH_METRICS.add(unit="Gy", higher_is="neither", source="Niemierko 1999, Med Phys 26:1100", label="gEUD")
def generalised_equivalent_uniform_dose(dvh: Dvh, *, a: float) -> float:
    """Uniform dose taken to have the same effect: (Σ v d^a)^(1/a), Σ v = 1.

    a = 1 is the mean, large a nears the maximum, very negative a the minimum (targets). With a < 0 any volume at 0 Gy
    gives 0. A segment of the curve counts with the mean of d^a over it.

    Raises:
        ValueError: an exponent of 0.
    """
    if a == 0:
        raise ValueError("the exponent a of gEUD must not be 0")
    if not dvh.inside_ml or _some_outside(dvh):
        return math.nan
    if dvh.max_dose_gy <= 0 or (a < 0 and dvh.min_dose_gy <= 0):
        return 0.0
    unit = dvh.max_dose_gy if a > 0 else dvh.min_dose_gy  # powers of ratios up to 1 cannot overflow
    dose, parts = np.maximum(dvh.dose_gy, 0) / unit, -np.diff(dvh.volume_ml)
    mean = parts @ _mean_power(dose[:-1], dose[1:], a) / dvh.inside_ml
    return float(unit * mean ** (1 / a))


@DVH_METRICS.add(unit="1", higher_is="worse", source="ICRU Report 83, 2010", label="HI")
def homogeneity_index(dvh: Dvh) -> float:
    """Spread of the dose in a target: (D2% − D98%) / D50%; 0 is a uniform dose. NaN if D50% is 0."""
    near_max, near_min, median = (dose_at_percent(dvh, percent=x) for x in (2.0, 98.0, 50.0))
    return (near_max - near_min) / median if median else math.nan


def _dose_of_hottest(dvh: Dvh, volume_ml: float) -> float:
    """Dose of a volume if the part outside is the coldest; NaN if it would be another one were it the hottest."""
    if not dvh.inside_ml or volume_ml > dvh.total_volume_ml * (1 + 1e-9):
        return math.nan
    volume_ml = min(volume_ml, dvh.total_volume_ml)
    if dvh.outside_ml <= 1e-9 * dvh.total_volume_ml:
        return float(dvh.dose_at(min(volume_ml, dvh.inside_ml)))
    coldest = float(dvh.dose_at(volume_ml)) if volume_ml <= dvh.inside_ml else 0.0
    hottest = float(dvh.dose_at(max(volume_ml - dvh.outside_ml, 0.0))) if volume_ml >= dvh.outside_ml else math.inf
    return coldest if hottest - coldest <= SAME_GY else math.nan


def _some_outside(dvh: Dvh) -> bool:
    return dvh.outside_ml > 1e-9 * dvh.total_volume_ml


def _mean_power(low: Float64[np.ndarray, " n"], high: Float64[np.ndarray, " n"], a: float) -> Float64[np.ndarray, " n"]:
    """Mean of d^a over segments of evenly spread dose."""
    middle, half = (low + high) / 2, (high - low) / 2
    ratio = np.divide(half, middle, out=np.zeros(len(middle)), where=middle > 0)
    narrow = np.abs(a) * ratio < NARROW
    wide = ~narrow
    found = np.zeros(len(middle))
    inside = narrow & (middle > 0)
    found[inside] = middle[inside] ** a * (1 + a * (a - 1) / 6 * ratio[inside] ** 2)
    if a == -1:
        found[wide] = np.log(high[wide] / low[wide]) / (2 * half[wide])
    else:
        found[wide] = (high[wide] ** (a + 1) - low[wide] ** (a + 1)) / (2 * half[wide] * (a + 1))
    return found
