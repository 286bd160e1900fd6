"""Areas under curves for thousands of draws of patients at once.

A draw is a weight per case: how often it was drawn. Sorting does not depend on the draw, so that each area is a few
sums over a table of draws by cases; the numbers are those of the functions that take one sample.

Source: the areas are defined in `risk_coverage`, `detection` and `acquisition`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Integer

from plausible.evaluate.bootstrap import N_RESAMPLES, Estimate, bootstrap_units, defined_columns

OfWeights: TypeAlias = Callable[[Float64[np.ndarray, "r s"]], Float64[np.ndarray, " r"]]
"""A statistic of weighted cases: a row of weights per draw in, one value per draw out."""
OfCurve: TypeAlias = Callable[[Float64[np.ndarray, "r s"]], Float64[np.ndarray, "3 r"]]


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
    table, unit, n_undefined = defined_columns(columns, clusters)
    of_weights = statistic(*table)
    n_units = int(unit.max(initial=-1)) + 1
    single = n_units == len(unit)

    def each(drawn: Integer[np.ndarray, "r u"]) -> Float[np.ndarray, " r"]:
        times = _times_drawn(drawn, n_units)
        return of_weights(times if single else times[:, unit])

    return bootstrap_units(
        each, n_units=n_units, seed=seed, n_resamples=n_resamples, level=level, n_undefined=n_undefined
    )


def weighted_aurc(confidence: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"]) -> OfWeights:
    """Area under risk and coverage, as `area_under_risk_coverage` (flat start)."""
    order, ends = _sorted(-confidence, risk)
    sorted_risk = risk[order]

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
        from plausible.evaluate.resampling_kernels import write_mean_areas

        found = np.empty(len(weights))
        write_mean_areas(np.ascontiguousarray(weights), order, ends, sorted_risk, found)
        return found

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
    curve = _curve(order, ends, np.ones(len(risk)), risk)

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
        area, n, _ = curve(weights)
        return np.asarray(area / n**2)

    return areas


def weighted_auroc(suspicion: Float64[np.ndarray, " s"], wanted: Float64[np.ndarray, " s"]) -> OfWeights:
    """Area under the ROC curve, as `area_under_roc`; `wanted` is 1 or 0."""
    order, ends = _sorted(-suspicion, wanted)
    curve = _curve(order, ends, 1 - wanted, wanted)

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
        area, n_other, n_wanted = curve(weights)
        total = n_other * n_wanted
        return _ratio(area, total, where=total > 0)

    return areas


def weighted_acquisition_gain(uncertainty: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"]) -> OfWeights:
    """Gain of annotating the least sure cases first, as `acquisition_gain`."""
    of_order, of_best = _concentration(uncertainty, risk), _concentration(risk, risk)

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
        return _ratio(of_order(weights) - 0.5, of_best(weights) - 0.5, where=_spread(weights, risk) > 0)

    return areas


WEIGHTED_AREAS: Mapping[str, Callable[..., OfWeights]] = {
    "area_under_risk_coverage": weighted_aurc,
    "excess_area_under_risk_coverage": weighted_excess_aurc,
    "normalized_area_under_risk_coverage": weighted_naurc,
    "area_under_generalized_risk_coverage": weighted_augrc,
}
"""What takes all draws at once for each of `RISK_COVERAGE_SCORES`."""


def _concentration(uncertainty: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"]) -> OfWeights:
    order, ends = _sorted(-uncertainty, risk)
    curve = _curve(order, ends, np.ones(len(risk)), risk)

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
        area, n, found = curve(weights)
        total = n * found
        return _ratio(area, total, where=total > 0)

    return areas


def _curve(order: np.ndarray, ends: np.ndarray, along: np.ndarray, up: np.ndarray) -> OfCurve:
    """Area under the sum of one column over the sum of another, and both sums in full."""
    sorted_along, sorted_up = along[order], up[order]

    def areas(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, "3 r"]:
        from plausible.evaluate.resampling_kernels import write_areas

        found = np.empty((len(weights), 3))
        write_areas(np.ascontiguousarray(weights), order, ends, sorted_along, sorted_up, found)
        return found.T

    return areas


def _sorted(
    key: Float64[np.ndarray, " s"], second: Float64[np.ndarray, " s"]
) -> tuple[Int64[np.ndarray, " s"], Bool[np.ndarray, " s"]]:
    """Order of the cases, and whether a case in it is the last of its key."""
    order = np.lexsort((second, key)).astype(np.int64)
    return order, np.append(np.diff(key[order]) != 0, np.ones(min(1, len(order)), dtype=bool))


def _times_drawn(drawn: Integer[np.ndarray, "r u"], n_units: int) -> Float64[np.ndarray, "r n"]:
    """How often each unit was drawn, in each row."""
    from plausible.evaluate.resampling_kernels import count_drawn

    times = np.zeros((len(drawn), n_units))
    count_drawn(np.ascontiguousarray(drawn, dtype=np.int64), times)
    return times


def _spread(weights: Float64[np.ndarray, "r s"], risk: Float64[np.ndarray, " s"]) -> Float64[np.ndarray, " r"]:
    """Largest minus smallest risk of the cases drawn."""
    drawn = weights > 0
    return np.asarray(np.where(drawn, risk, -np.inf).max(axis=1) - np.where(drawn, risk, np.inf).min(axis=1))


def _ratio(
    above: Float64[np.ndarray, " r"], below: Float64[np.ndarray, " r"], *, where: np.ndarray
) -> Float64[np.ndarray, " r"]:
    return np.asarray(np.divide(above, below, out=np.full(len(above), np.nan), where=where & (below != 0)))
