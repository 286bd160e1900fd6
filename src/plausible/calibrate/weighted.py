"""Bounds and intervals when new patients differ from the calibration patients in a known way: weighted conformal.

If new patients are drawn with another distribution of covariates (more large tumours, another mix of scanners) but the
errors given the covariates are the same, calibration patients are weighted by w(x), how much more often such a patient
comes now than in the calibration set. The bound is the smallest score whose cumulated weight reaches 1 - α, where the
new patient's own weight counts as infinite.

The promise holds for weights that are known (shares of sites or size classes). Estimated weights make it approximate.
The effective number of patients, (Σw)² / Σw², says what is left of n: far below n, bounds are unstable.

Source: Tibshirani, Barber, Candès and Ramdas 2019, arXiv:1904.06019.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import optimize

from plausible.calibrate.bounds import Side
from plausible.calibrate.guarantee import CALIBRATIONS, Absent, Calibration, about, percent, record
from plausible.calibrate.patients import all_of_rows, settle
from plausible.calibrate.rank import check_level, conformal_rank, too_few
from plausible.core import Score

ROUNDING = 1e-12
"""Sums of weights may be off by this much."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedBound(Calibration):
    """Scores of the calibration patients and their weights, from which each new patient's bound is read.

    Attributes:
        scores: values that the bound is about, turned so that larger is worse.
        weights: how much more often such a patient comes now than in the calibration set, up to a common factor.
        effective_n: (Σw)² / Σw².
    """

    measure: str
    unit: str
    side: Side
    scores: tuple[float, ...]
    weights: tuple[float, ...]
    effective_n: float

    def apply(self, subject: str, *, weight: float) -> float:
        """Return the bound for a new patient of this weight.

        Raises:
            InvalidInput: E402, a patient of the calibration set; E401, too little weight on patients like this one.
        """
        self.guarantee.check_unseen(subject)
        bound = self.bound(weight=weight)
        if math.isinf(bound):
            share = weight / (sum(self.weights) + weight)
            n = math.floor(self.effective_n)
            raise too_few(n, alpha=self.guarantee.alpha, needed=math.ceil(1 / self.guarantee.alpha) - 1, best=share)
        return bound

    def bound(self, *, weight: float) -> float:
        """Bound for a patient of this weight; infinite where only the trivial answer is right."""
        scores, weights = np.array(self.scores), np.array(self.weights)
        quantile = float(weighted_quantile(scores, weights, new_weight=weight, alpha=self.guarantee.alpha))
        return quantile if self.side == "upper" else -quantile


@CALIBRATIONS.add(
    unit="of the row", higher_is="neither", source="Tibshirani et al. 2019, arXiv:1904.06019", label="weighted bound"
)
def fit_weighted_bound(
    rows: Sequence[Score],
    *,
    weights: Mapping[str, float],
    alpha: float,
    side: Side,
    absent: Absent,
    population: str,
    date: str,
) -> WeightedBound:
    """Bound on a patient's value when the mix of patients has changed since the calibration.

    For an interval, fit the signed errors of the prediction at both sides with half of alpha each.

    Args:
        rows: one per calibration patient, of one structure and measure.
        weights: of each patient; only their ratios matter.
        alpha: share of new patients that may lie beyond.
        side: "upper" or "lower".
        absent: what a patient counts as whose value is NaN.
        population: which patients the weights lead to, in words.
        date: day of the calibration.

    Raises:
        InvalidInput: E401, too few patients even without weights.
        ValueError: patients without a weight, or weights that are not above 0 and finite.
    """
    sign = 1 if side == "upper" else -1
    patients = settle(all_of_rows(rows), absent=absent, covered=-sign * math.inf, missed=sign * math.inf)
    conformal_rank(patients.n, alpha)
    alone = [subject for subject in patients.subjects if subject not in weights]
    if alone:
        raise ValueError(f"{len(alone)} patients have no weight: {', '.join(alone[:5])}")
    w = np.array([weights[subject] for subject in patients.subjects])
    if not (np.isfinite(w) & (w > 0)).all():
        raise ValueError("weights must be finite and above 0; leave out patients of weight 0, who cannot come any more")
    first = rows[0]
    effective = effective_sample_size(w)
    return WeightedBound(
        guarantee=patients.promise(
            f"{about(first.structure, first.measure)} keeps the bound of a patient of its weight with probability at "
            f"least {percent(1 - alpha)}, on average over calibration sets, if the weights are right (they leave "
            f"{effective:.1f} of {patients.n} patients)",
            method="weighted conformal prediction",
            alpha=alpha,
            population=population,
            date=date,
            structure=first.structure,
            absent=absent,
        ),
        measure=first.measure,
        unit=first.unit,
        side=side,
        scores=tuple((sign * patients.values[0]).tolist()),
        weights=tuple(w.tolist()),
        effective_n=effective,
    )


def weighted_quantile(
    scores: Float[np.ndarray, "*repeats n"],
    weights: Float[np.ndarray, "*repeats n"],
    *,
    new_weight: Float[np.ndarray, "*repeats"] | float,
    alpha: float,
) -> Float[np.ndarray, "*repeats"]:
    """Smallest score whose cumulated weight is 1 - α of all, the new patient's included; infinite if none is."""
    check_level(alpha, name="alpha")
    order = np.argsort(scores, axis=-1)
    ordered, cumulated = np.take_along_axis(scores, order, -1), np.take_along_axis(weights, order, -1).cumsum(axis=-1)
    total = cumulated[..., -1] + new_weight
    reached = cumulated >= ((1 - alpha) * total)[..., np.newaxis] * (1 - ROUNDING)
    chosen = np.take_along_axis(ordered, reached.argmax(axis=-1)[..., np.newaxis], -1)[..., 0]
    return np.asarray(np.where(reached.any(axis=-1), chosen, np.inf))


def effective_sample_size(weights: Float[np.ndarray, " n"]) -> float:
    """How many equally weighted patients these are worth: (Σw)² / Σw², from 1 to n (Kish 1965)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def group_weights(calibration: Mapping[str, str], *, new_shares: Mapping[str, float]) -> dict[str, float]:
    """Weight of each group when the mix of groups has changed: its new share by its share of the calibration set.

    Args:
        calibration: group of each calibration patient.
        new_shares: share of each group among new patients.

    Raises:
        ValueError: a group among new patients that no calibration patient belongs to.
    """
    names = list(calibration.values())
    missing = sorted(group for group, share in new_shares.items() if share > 0 and group not in names)
    if missing:
        raise ValueError(f"no calibration patients in {', '.join(missing)}: weights cannot stand in for them")
    return {group: new_shares.get(group, 0.0) * len(names) / names.count(group) for group in sorted(set(names))}


def estimate_weights(
    calibration: Float[np.ndarray, "n d"], new: Float[np.ndarray, "m d"], *, ridge: float = 1e-3
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
    """Weights of calibration and new patients from their covariates: odds that a patient is a new one.

    Logistic regression of "is new" on standardised covariates; odds times n/m estimate dP_new/dP_calibration. The
    promise then holds as far as these odds are right.

    Args:
        calibration: covariates of each calibration patient.
        new: the same covariates of new patients, no reference needed.
        ridge: penalty on the squared coefficients, so that two groups that do not overlap stay finite.
    """
    both = np.concatenate([calibration, new])
    spread = both.std(axis=0)
    table = np.column_stack([np.ones(len(both)), (both - both.mean(axis=0)) / np.where(spread > 0, spread, 1)])
    is_new = np.repeat([0.0, 1.0], [len(calibration), len(new)])

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        z = table @ beta
        slope = table.T @ (1 / (1 + np.exp(-z)) - is_new) / len(z)
        value = float(np.mean(np.logaddexp(0, z) - is_new * z) + ridge / 2 * (beta[1:] ** 2).sum())
        return value, slope + ridge * np.append(0, beta[1:])

    beta = optimize.minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B").x
    odds = np.exp(table @ beta) * len(calibration) / len(new)
    return odds[: len(calibration)], odds[len(calibration) :]
