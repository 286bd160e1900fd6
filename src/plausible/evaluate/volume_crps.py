"""How good is a forecast of the volume, given the volumes that several raters drew? In ml, exact.

The members' volumes are a sample forecast. It is scored against each rater, or against all of them as a distribution:
the energy distance needs no Gaussian from three raters. A single number (the expected volume) can be scored against the
Gaussian of the raters instead, as CURVAS does: exactly, or with the protocol's own integral, which stops at three
standard deviations and then no longer tells a bad forecast from an absurd one.

A structure that no rater and no member has is NaN. A rater without the structure drew 0 ml.

Sources: Gneiting and Raftery 2007, doi:10.1198/016214506000001437 (CRPS); Ferro 2014, doi:10.1002/qj.2270 (fair CRPS);
Székely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018 (energy distance); Riera-Marín et al. 2025, arXiv:2505.08685
(CURVAS).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import ndtr, ndtri

from plausible.aggregate import MemberVolumes
from plausible.core import Catalogue

Estimator: TypeAlias = Literal["v", "u"]
"""Whether members are compared with themselves too (v) or only with others (u, "fair")."""


@dataclass(frozen=True, slots=True, eq=False)
class VolumeForecast:
    """Volumes of the members and of the raters, in ml.

    Attributes:
        structures: organs and targets.
        members_ml: volume of each member's mask.
        expected_ml: sum of the mean probability, times the volume of a voxel.
        raters_ml: volume of each rater's mask.
    """

    structures: tuple[str, ...]
    members_ml: Float[np.ndarray, "m s"]
    expected_ml: Float[np.ndarray, " s"]
    raters_ml: Float[np.ndarray, "r s"]

    @classmethod
    def of(cls, members: MemberVolumes, raters: MemberVolumes) -> "VolumeForecast":
        """Return the volumes of both.

        Raises:
            ValueError: they have other structures.
        """
        if members.structures != raters.structures:
            raise ValueError(f"raters have other structures: {raters.structures} instead of {members.structures}")
        return cls(members.structures, members.volumes_ml, members.expected_ml.mean(axis=0), raters.volumes_ml)

    @property
    def absent(self) -> Bool[np.ndarray, " s"]:
        """Structures that no rater and no member has."""
        return (self.members_ml.sum(axis=0) + self.raters_ml.sum(axis=0)) == 0


def crps_sample(sample: Float[np.ndarray, " m"], value: float, *, estimator: Estimator = "v") -> float:
    """Continuous ranked probability score of a sample, for one value.

    E|X - y| - ½ E|X - X'|, in the unit of the values, from 0; of one member |x - y|. The estimator "u" leaves out pairs
    of a member with itself and is NaN for a single one.
    """
    return float(np.abs(sample - value).mean()) - _half_spread(sample, estimator)


def crps_gaussian(value: float, *, mean: float, sd: float) -> float:
    """Continuous ranked probability score of a Gaussian, for one value.

    σ [z (2Φ(z) - 1) + 2φ(z) - 1/√π], z = (y - μ)/σ; grows like |y - μ| far out. |y - μ| if σ is 0.
    """
    if sd == 0:
        return abs(value - mean)
    z = (value - mean) / sd
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return float(sd * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi)))


def crps_curvas_of(value: float, *, mean: float, sd: float) -> float:
    """CURVAS's own number: ∫ (F(y) - 1[y ≥ value])² dy from μ - 3σ to μ + 3σ, exactly.

    F joins 100 points of the Gaussian between its quantiles of 1 and 99 % by lines, and is 0 and 1 beyond. More than 3σ
    away, every value scores the same 2.44 σ; raters that agree in full (σ = 0) score 0 whatever the value.
    """
    if sd == 0:
        return 0.0
    grid = np.linspace(mean + sd * ndtri(0.01), mean + sd * ndtri(0.99), 100)
    low, high = mean - 3 * sd, mean + 3 * sd
    edges = np.unique(np.concatenate([[low, high, min(max(value, low), high)], grid]))
    half = np.diff(edges) / 2
    middle = (edges[:-1] + edges[1:]) / 2
    total = 0.0
    for node in (-1 / math.sqrt(3), 1 / math.sqrt(3)):  # two nodes of Gauss are exact for the square of a line
        y = middle + node * half
        below = np.interp(y, grid, ndtr((grid - mean) / sd), left=0.0, right=1.0)
        total += float(half @ np.square(below - (y >= value)))
    return total


VolumeForecastScore: TypeAlias = Callable[[VolumeForecast], np.ndarray]

VOLUME_FORECAST_SCORES: Catalogue[VolumeForecastScore] = Catalogue("volume forecast score")


@VOLUME_FORECAST_SCORES.add(
    unit="ml", higher_is="worse", source="Gneiting and Raftery 2007, doi:10.1198/016214506000001437",
    label="volume CRPS",
)  # fmt: skip
def volume_crps(forecast: VolumeForecast) -> Float[np.ndarray, " s"]:
    """Score of the members' volumes as a forecast of a rater's volume, mean over the raters, in ml.

    E|X - y| - ½ E|X - X'| over all pairs of members; from 0, and never below half the raters' own spread.
    """
    return _per_structure(forecast, lambda x, y, _: float(np.mean([crps_sample(x, one) for one in y])))


@VOLUME_FORECAST_SCORES.add(
    unit="ml", higher_is="worse", source="Ferro 2014, doi:10.1002/qj.2270", label="volume CRPS (fair)"
)
def volume_crps_fair(forecast: VolumeForecast) -> Float[np.ndarray, " s"]:
    """The same without bias from the number of members: pairs of different members only. NaN for a single one."""
    return _per_structure(forecast, lambda x, y, _: float(np.mean([crps_sample(x, one, estimator="u") for one in y])))


@VOLUME_FORECAST_SCORES.add(
    unit="ml", higher_is="worse", source="Székely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018"
)
def volume_energy_distance(forecast: VolumeForecast) -> Float[np.ndarray, " s"]:
    """How far the members' volumes are from the raters' as distributions, in ml.

    2 E|X - Y| - E|X - X'| - E|Y - Y'| = 2 ∫ (F - G)² dv, from 0 (the same volumes in the same shares).
    """
    return _per_structure(
        forecast,
        lambda x, y, _: 2 * (float(np.abs(x[:, np.newaxis] - y).mean()) - _half_spread(x, "v") - _half_spread(y, "v")),
    )


@VOLUME_FORECAST_SCORES.add(
    unit="ml", higher_is="worse", source="Gneiting and Raftery 2007, doi:10.1198/016214506000001437",
    label="volume CRPS (Gaussian raters)",
)  # fmt: skip
def volume_crps_gaussian(forecast: VolumeForecast) -> Float[np.ndarray, " s"]:
    """CRPS between the expected volume and the Gaussian of the raters' volumes (SD divided by R), in ml; exact."""
    return _per_structure(forecast, lambda _, y, v: crps_gaussian(v, mean=float(y.mean()), sd=float(y.std())))


@VOLUME_FORECAST_SCORES.add(
    unit="ml", higher_is="worse", source="Riera-Marín et al. 2025 (CURVAS), arXiv:2505.08685", label="CRPS (CURVAS)"
)
def crps_curvas(forecast: VolumeForecast) -> Float[np.ndarray, " s"]:
    """CRPS as the CURVAS protocol computes it, in ml: for comparison with its tables alone, see `crps_curvas_of`.

    It ends at 2.44 SD of the raters, and is 0 for any volume where the raters agree in full.
    """
    return _per_structure(forecast, lambda _, y, v: crps_curvas_of(v, mean=float(y.mean()), sd=float(y.std())))


def _half_spread(sample: Float[np.ndarray, " m"], estimator: Estimator) -> float:
    """½ E|X - X'|, from the order of the sample: Σ_i (2i - M - 1) x_(i) / M², or / M(M - 1)."""
    m = len(sample)
    pairs = m**2 if estimator == "v" else m * (m - 1)
    ranks = 2 * np.arange(1, m + 1) - m - 1
    return float(ranks @ np.sort(sample)) / pairs if pairs else math.nan


def _per_structure(
    forecast: VolumeForecast, score: Callable[[np.ndarray, np.ndarray, float], float]
) -> Float[np.ndarray, " s"]:
    values = [
        math.nan if absent else score(forecast.members_ml[:, s], forecast.raters_ml[:, s], forecast.expected_ml[s])
        for s, absent in enumerate(forecast.absent)
    ]
    return np.array(values, dtype=np.float64)
