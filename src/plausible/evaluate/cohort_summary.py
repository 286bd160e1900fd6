"""Means over the cases of a study: of the ensemble, of single members, of their difference, and of the raters.

A subject's raters, and its single members, are averaged first; NaN are left out, and counted where nothing is left.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from plausible.core import Direction, Score
from plausible.evaluate.bootstrap import Estimate, bootstrap_mean
from plausible.evaluate.case import ENSEMBLE, MEMBER
from plausible.evaluate.ceiling import RATER
from plausible.evaluate.lesion_detection import pooled_scores
from plausible.evaluate.references import reference_kind

SINGLE_MEMBER = "single_member"
DIFFERENCE = "ensemble_minus_single_member"
HUMAN = "human"
ALL_CASES = "all_cases"


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryLine:
    """Mean of one measure over subjects. `low` and `high` are NaN for fewer than two subjects.

    Attributes:
        against: choice of reference, see `reference_kind`.
    """

    measure: str
    structure: str
    region: str
    reduction: str
    against: str
    mean: float
    low: float
    high: float
    level: float
    n: int
    n_undefined: int
    unit: str
    higher_is: Direction


def summary_lines(rows: Sequence[Score], *, seed: int, n_resamples: int, level: float) -> Iterator[SummaryLine]:
    """Yield the mean of every measure over subjects, per structure, region, choice of reference and kind of mask."""
    groups: dict[tuple[str, str, str, str], dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        kind = reference_kind(row.against)
        groups[row.measure, row.structure, row.region, kind][_of(row.reduction)].append(row)
    for (measure, structure, region, kind), by_reduction in groups.items():
        tables = {reduction: per_subject(found) for reduction, found in by_reduction.items()}
        if ENSEMBLE in tables and SINGLE_MEMBER in tables:
            pooled, single = tables[ENSEMBLE], tables[SINGLE_MEMBER]
            tables[DIFFERENCE] = {s: pooled.get(s, math.nan) - single.get(s, math.nan) for s in {**pooled, **single}}
        first = next(iter(by_reduction.values()))[0]
        for reduction, table in tables.items():
            estimate = mean_estimate(list(table.values()), seed=seed, n_resamples=n_resamples, level=level)
            yield SummaryLine(
                measure=measure,
                structure=structure,
                region=region,
                reduction=reduction,
                against=kind,
                mean=estimate.value,
                low=estimate.low,
                high=estimate.high,
                level=level,
                n=estimate.n,
                n_undefined=estimate.n_undefined,
                unit=first.unit,
                higher_is=first.higher_is,
            )


def pooled_lesion_lines(rows: Sequence[Score], *, seed: int, n_resamples: int, level: float) -> Iterator[SummaryLine]:
    """Lesion detection over the lesions of all cases together; n counts the cases."""
    for place, entry, estimate in pooled_scores(rows, seed=seed, n_resamples=n_resamples, level=level):
        structure, region, reduction, kind = place
        yield SummaryLine(
            measure=entry.name,
            structure=structure,
            region=f"{region}:{ALL_CASES}",
            reduction=reduction,
            against=kind,
            mean=estimate.value,
            low=estimate.low,
            high=estimate.high,
            level=level,
            n=estimate.n,
            n_undefined=0,
            unit=entry.unit,
            higher_is=entry.higher_is,
        )


def _of(reduction: str) -> str:
    """What a row is about, for the summary: single members together, and raters together."""
    if reduction.startswith(MEMBER):
        return SINGLE_MEMBER
    return HUMAN if reduction.startswith(RATER) else reduction


def per_subject(rows: Sequence[Score]) -> dict[str, float]:
    """Mean of the defined values of each subject; NaN where there are none."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        values[row.subject].append(row.value)
    return {subject: mean_defined(found) for subject, found in values.items()}


def mean_defined(values: Sequence[float]) -> float:
    """Mean of the defined values; NaN without any."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def mean_estimate(
    values: Sequence[float],
    *,
    seed: int,
    n_resamples: int,
    level: float = 0.95,
    patients: Sequence[Hashable] | None = None,
) -> Estimate:
    """Mean of the defined values with its interval over patients; without one if fewer than two have a value.

    Args:
        values: of each subject.
        seed: of the draws.
        n_resamples: how many draws.
        level: of the interval.
        patients: who each value belongs to; None if each subject is a patient.
    """
    owners = range(len(values)) if patients is None else patients
    known = {owner for owner, value in zip(owners, values, strict=True) if not math.isnan(value)}
    if len(known) > 1:
        return bootstrap_mean(np.array(values), seed=seed, clusters=patients, n_resamples=n_resamples, level=level)
    return no_interval(mean_defined(values), level, n=len(known), n_undefined=sum(map(math.isnan, values)))


def no_interval(value: float, level: float, *, n: int, n_undefined: int = 0) -> Estimate:
    """Return an estimate that says nothing of how far off it could be."""
    return Estimate(value=value, low=math.nan, high=math.nan, level=level, n=n, n_undefined=n_undefined)
