"""Areas under curves for thousands of draws of patients at once.

A draw is a weight per case: how often it was drawn. Sorting does not depend on the draw, so that each area is a few
cumulative sums over a table of draws by cases; the numbers are those of the functions that take one sample.

Source: the areas are defined in `risk_coverage`, `detection` and `acquisition`.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Float64, Integer

from plausible.evaluate.bootstrap import N_RESAMPLES, Estimate, bootstrap_units, unit_numbers

OfWeights: TypeAlias = Callable[[Float64[np.ndarray, "r s"]], Float64[np.ndarray, " r"]]
"""A statistic of weighted cases: a row of weights per draw in, one value per draw out."""


def bootstrap_weighted(
    statistic: Callable[..., OfWeights],
    *columns: Float[np.ndarray, " s"],
    seed: int,
    clusters: Sequence[Hashable] | None = None,
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
) -> Estimate:
    """Interval of a statistic of weighted cases; the same interval as `bootstrap_statistic` gives, much faster.

    Args:
        statistic: takes the columns and returns a function of weights, such as `weighted_aurc`.
        *columns: one value per case each; cases with a NaN in any of them are left out.
        seed: of the draws.
        clusters: who each case belongs to, where a patient has several; None if each is one of its own.
        n_resamples: how many draws.
        level: share of the interval.

    Raises:
        InvalidInput: E401, fewer than two patients.
        ValueError: columns of different length.
    """
    table = np.stack([np.asarray(column, dtype=np.float64) for column in columns])
    known = np.asarray(~np.isnan(table).any(axis=0))
    unit = unit_numbers(known, clusters)
    of_weights = statistic(*table[:, known])
    n_units = int(unit.max(initial=-1)) + 1

    single = n_units == len(unit)

    def each(drawn: Integer[np.ndarray, "r u"]) -> Float[np.ndarray, " r"]:
        times = _times_drawn(drawn, n_units)
        return of_weights(times if single else times[:, unit])

    n_undefined = int((~known).sum())
    return bootstrap_units(
        each, n_units=n_units, seed=seed, n_resamples=n_resamples, level=level, n_undefined=n_undefined
    )


def weighted_aurc(confidence: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"]) -> OfWeights:
    """Area under risk and coverage, as `area_under_risk_coverage` (flat start)."""
    order, ends = _sorted(-confidence, risk)
    sorted_risk = risk[order]

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
        drawn = np.take(weights, order, axis=1)
        kept, sums = _reached(drawn, ends), _reached(drawn * sorted_risk, ends)
        with np.errstate(invalid="ignore"):
            selective = sums / kept
        coverage = kept / kept[:, -1:]
        first = np.argmax(kept > 0, axis=1)
        start = np.take_along_axis(selective, first[:, np.newaxis], axis=1)
        selective = np.where(kept > 0, selective, start)
        return _trapezoids(np.append(start, selective, axis=1), _from_zero(coverage))

    return areas


def weighted_naurc(confidence: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"]) -> OfWeights:
    """Area between chance (0) and the best order (1), as `normalized_area_under_risk_coverage`."""
    of_order, of_best = weighted_aurc(confidence, risk), weighted_aurc(-risk, risk)

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
        mean = weights @ risk / weights.sum(axis=1)
        best, apart = of_best(weights), _spread(weights, risk)
        return _ratio(mean - of_order(weights), mean - best, where=apart > 0)

    return areas


def weighted_excess_aurc(confidence: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"]) -> OfWeights:
    """AURC minus the one of the best order, as `excess_area_under_risk_coverage`."""
    of_order, of_best = weighted_aurc(confidence, risk), weighted_aurc(-risk, risk)
    return lambda weights: of_order(weights) - of_best(weights)


def weighted_augrc(confidence: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"]) -> OfWeights:
    """Area under the generalised risk, as `area_under_generalized_risk_coverage`."""
    order, ends = _sorted(-confidence, risk)

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
        drawn = np.take(weights, order, axis=1)
        kept = _from_zero(_reached(drawn, ends))
        sums = _from_zero(_reached(drawn * risk[order], ends))
        return np.asarray(_trapezoids(sums, kept) / kept[:, -1] ** 2)

    return areas


def weighted_auroc(suspicion: Float64[np.ndarray, " s"], wanted: Float64[np.ndarray, " s"]) -> OfWeights:
    """Area under the ROC curve, as `area_under_roc`; `wanted` is 1 or 0."""
    order, ends = _sorted(-suspicion, wanted)
    sorted_wanted = wanted[order]

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
        drawn = np.take(weights, order, axis=1)
        found = _reached(drawn * sorted_wanted, ends)
        alarms = _reached(drawn * (1 - sorted_wanted), ends)
        area = _trapezoids(_from_zero(found), _from_zero(alarms))
        total = found[:, -1] * alarms[:, -1]
        return _ratio(area, total, where=total > 0)

    return areas


def weighted_acquisition_gain(uncertainty: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"]) -> OfWeights:
    """Gain of annotating the least sure cases first, as `acquisition_gain`."""
    of_order, of_best = _concentration(uncertainty, risk), _concentration(risk, risk)

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
        return _ratio(of_order(weights) - 0.5, of_best(weights) - 0.5, where=_spread(weights, risk) > 0)

    return areas


def _concentration(uncertainty: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"]) -> OfWeights:
    order, ends = _sorted(-uncertainty, risk)
    sorted_risk = risk[order]

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
        drawn = np.take(weights, order, axis=1)
        sent = _reached(drawn, ends)
        found = _reached(drawn * sorted_risk, ends)
        area = _trapezoids(_from_zero(found), _from_zero(sent))
        total = found[:, -1] * sent[:, -1]
        return _ratio(area, total, where=total > 0)

    return areas


def _sorted(
    key: Float64[np.ndarray, " s"], second: Float64[np.ndarray, " s"]
) -> tuple[Integer[np.ndarray, " s"], Integer[np.ndarray, " d"]]:
    """Order of the cases, and the last case of each distinct key in it."""
    order = np.lexsort((second, key))
    last = np.flatnonzero(np.diff(key[order]))
    return order, np.append(last, len(order) - 1)


def _reached(values: Float64[np.ndarray, "r s"], ends: Integer[np.ndarray, " d"]) -> Float64[np.ndarray, "r d"]:
    """Sum of all values up to the last case of each distinct key."""
    sums = np.cumsum(values, axis=1)
    return np.asarray(sums if len(ends) == sums.shape[1] else sums[:, ends])


def _times_drawn(drawn: Integer[np.ndarray, "r u"], n_units: int) -> Float64[np.ndarray, "r n"]:
    """How often each unit was drawn, in each row."""
    places = drawn + np.arange(len(drawn))[:, np.newaxis] * n_units
    counts = np.bincount(places.ravel(), minlength=len(drawn) * n_units)
    return counts.reshape(len(drawn), n_units).astype(np.float64)


def _from_zero(values: Float64[np.ndarray, "r d"]) -> Float64[np.ndarray, "r e"]:
    return np.append(np.zeros((len(values), 1)), values, axis=1)


def _trapezoids(y: Float64[np.ndarray, "r d"], x: Float64[np.ndarray, "r d"]) -> Float64[np.ndarray, " r"]:
    return np.asarray(np.trapezoid(y, x, axis=1))


def _spread(weights: Float64[np.ndarray, "r s"], risk: Float64[np.ndarray, " s"]) -> Float64[np.ndarray, " r"]:
    """Largest minus smallest risk of the cases drawn."""
    drawn = weights > 0
    return np.asarray(np.where(drawn, risk, -np.inf).max(axis=1) - np.where(drawn, risk, np.inf).min(axis=1))


def _ratio(
    above: Float64[np.ndarray, " r"], below: Float64[np.ndarray, " r"], *, where: np.ndarray
) -> Float64[np.ndarray, " r"]:
    return np.asarray(np.divide(above, below, out=np.full(len(above), np.nan), where=where & (below != 0)))
