"""Do the maps separate what the data leave open from what the model has not learnt?

Where raters differ the data leave the label open (aleatoric); images unlike the training data are what a model has not
learnt (epistemic). A map of the one kind follows the raters' disagreement and does not rise on shifted images; a map of
the other kind does the opposite. The names of the maps claim neither.

`entanglement` crosses both, blur x shift: main effects and interaction of each number, in standard deviations within
the four cells, and the rank correlation between the two maps over cases.

Sources: Kahl et al. 2024 (ValUES), arXiv:2401.08501 (the questions); the factorial design is ours. On entanglement:
Wimmer et al. 2023, arXiv:2209.03302; Mucsányi et al. 2024, arXiv:2402.19460.
"""

import math
from collections.abc import Callable, Iterator
from itertools import combinations, product

import numpy as np
from jaxtyping import Float64
from scipy.stats import spearmanr

from plausible.evaluate import WHOLE_IMAGE, weighted_auroc
from plausible.measure import VOXEL_MEASURES
from plausible.validate.arm import Arm, Heading, Judged, Line
from plausible.validate.tasks import TASKS, VALUES

DIFFER, AGREE = "raters_differ", "raters_agree"
RATER_ENTROPY = "rater_entropy"
"""Entropy of the shares of raters: the aleatoric truth where raters are all there are."""
CORRELATION, DISTANCE = "normalized_cross_correlation", "distance_from_rater_entropy"
NAT = "nat"
EFFECTS = ("effect_of_ambiguity", "effect_of_shift", "interaction")


@TASKS.add(unit="nat", higher_is="neither", source=VALUES)
def separation(arm: Arm) -> Iterator[Line | None]:
    """Each map where raters differ and where they agree, its correlation with their entropy, and ambiguous images."""
    for name, part in arm.sets.items():
        for measure in (RATER_ENTROPY, *arm.measures):
            for region in (DIFFER, AGREE):
                unit = VOXEL_MEASURES[measure].unit if measure in VOXEL_MEASURES else NAT
                heading = _heading("mean", measure, region, name, unit=unit)
                yield part.mean(heading, _of(measure, region=region))
        for measure in arm.measures:
            heading = _heading(CORRELATION, measure, WHOLE_IMAGE, name)
            yield part.mean(heading, _of(CORRELATION, structure="", reduction=measure))
            heading = _heading(DISTANCE, measure, WHOLE_IMAGE, name, unit=NAT)
            yield part.mean(heading, _of(DISTANCE, reduction=measure))
    yield from _ambiguous(arm)


def _ambiguous(arm: Arm) -> Iterator[Line | None]:
    """Does a number tell ambiguous familiar images from the others?"""
    familiar = arm.sets.get("familiar")
    if familiar is None or len({case.ambiguous for case in familiar.cases}) < 2:
        return
    wanted = familiar.values(lambda case: float(case.ambiguous))
    for (measure, aggregation), found in familiar.uncertainties().items():
        if np.isfinite(found.suspicion).any():
            heading = _heading("area_under_roc_of_ambiguous", measure, aggregation, "familiar")
            yield familiar.weighted(heading, weighted_auroc, found.suspicion, wanted)


def _of(
    measure: str, *, structure: str | None = None, region: str | None = None, reduction: str | None = None
) -> Callable[[Judged], float]:
    return lambda case: case.mean(measure, structure=structure, region=region, reduction=reduction)


def _heading(score: str, measure: str, aggregation: str, cases: str, *, unit: str = "1") -> Heading:
    return Heading(
        task="separation", score=score, unit=unit, higher_is="neither", measure=measure, aggregation=aggregation,
        cases=cases,
    )  # fmt: skip


@TASKS.add(unit="1", higher_is="neither", source="unpublished")
def entanglement(arm: Arm) -> Iterator[Line | None]:
    """Main effects and interaction of ambiguity and shift on each number, and the correlation between the maps.

    Needs ambiguous and other images, both as in training and shifted.
    """
    if len({(case.ambiguous, case.shifted) for case in arm.cases}) < 4:
        return
    ambiguous = arm.values(lambda case: float(case.ambiguous))
    shifted = arm.values(lambda case: float(case.shifted))
    found = {key: one.values for key, one in arm.uncertainties().items() if key[0] in arm.measures}
    for (measure, aggregation), values in found.items():
        if np.isfinite(values).any():
            for score in EFFECTS:
                heading = _crossed(score, measure, aggregation, unit="sd")
                yield arm.statistic(heading, _effect(score), values, ambiguous, shifted)
    for (first, second), aggregation in product(combinations(arm.measures, 2), dict.fromkeys(key[1] for key in found)):
        if (first, aggregation) in found and (second, aggregation) in found:
            heading = _crossed("rank_correlation", f"{first} and {second}", aggregation)
            yield arm.statistic(heading, rank_correlation, found[first, aggregation], found[second, aggregation])


def _crossed(score: str, measure: str, aggregation: str, *, unit: str = "1") -> Heading:
    return Heading(
        task="entanglement", score=score, unit=unit, higher_is="neither", measure=measure, aggregation=aggregation,
        cases="all",
    )  # fmt: skip


def _effect(name: str) -> Callable[..., float]:
    return lambda values, ambiguous, shifted: effects(values, ambiguous > 0, shifted > 0)[name]


def effects(values: Float64[np.ndarray, " s"], ambiguous: np.ndarray, shifted: np.ndarray) -> dict[str, float]:
    """Main effects and interaction of a 2 x 2 design, in standard deviations within cells.

    With the cell means m_as (a ambiguous, s shifted): effect of ambiguity ((m₁₀ - m₀₀) + (m₁₁ - m₀₁))/2, of shift
    ((m₀₁ - m₀₀) + (m₁₁ - m₁₀))/2, interaction (m₁₁ - m₀₁) - (m₁₀ - m₀₀). NaN for an empty cell, or no spread within.
    """
    cells = {(a, s): values[(ambiguous == a) & (shifted == s)] for a in (False, True) for s in (False, True)}
    n = sum(map(len, cells.values()))
    if not all(map(len, cells.values())) or n <= len(cells):
        return dict.fromkeys(EFFECTS, math.nan)
    m = {cell: float(v.mean()) for cell, v in cells.items()}
    within = math.sqrt(sum(float(np.square(v - v.mean()).sum()) for v in cells.values()) / (n - len(cells)))
    if within == 0:
        return dict.fromkeys(EFFECTS, math.nan)
    alone, together = m[True, False] - m[False, False], m[True, True] - m[False, True]
    shift = (m[False, True] - m[False, False] + m[True, True] - m[True, False]) / 2
    return dict(
        zip(EFFECTS, ((alone + together) / 2 / within, shift / within, (together - alone) / within), strict=True)
    )


def rank_correlation(one: Float64[np.ndarray, " s"], other: Float64[np.ndarray, " s"]) -> float:
    """Spearman's rank correlation; NaN if either is constant or there are fewer than three cases."""
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(spearmanr(one, other).statistic)
