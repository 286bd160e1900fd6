"""Diversity over the cases of a study, two ways: subject by subject, and from counts pooled over subjects.

"mean_of_subjects" measures each subject and averages: each weighs the same, one in which nothing can be measured is
left out and counted. "pooled" adds the counts up first: each voxel weighs the same, and rates of rare errors are
defined although most subjects have none. Several references of a subject are each taken in turn.

Intervals draw patients. Voxels of one image err together, so that an interval over voxels would be far too narrow.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from plausible.core import Entry, Score
from plausible.diversity.case import ALL_MEMBERS, MEAN_OF_PAIRS, MeasuredPart
from plausible.diversity.pairwise import Counts, ErrorGroup, counts_of, pool, stack
from plausible.diversity.pairwise_measures import DIVERSITY_MEASURES, GROUP_MEASURES, mean_of_pairs
from plausible.evaluate import Estimate, bootstrap_units
from plausible.evaluate.cohort_summary import mean_defined, mean_estimate, no_interval

LEVEL = 0.95
BY_SUBJECT, POOLED = "mean_of_subjects", "pooled"
EACH = "each"
"""What lines are against where every reference of a subject was taken in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiversityLine:
    """One number over subjects with its interval.

    Attributes:
        pooling: "mean_of_subjects" or "pooled".
        n: patients it rests on.
        n_undefined: subjects in which it is undefined.
    """

    structure: str
    region: str
    against: str
    measure: str
    reduction: str
    pooling: str
    value: float
    low: float
    high: float
    level: float
    unit: str
    n: int
    n_undefined: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredMatrix:
    """One measure of every two members, from pooled counts."""

    structure: str
    region: str
    against: str
    measure: str
    unit: str
    members: tuple[str, ...]
    values: Float[np.ndarray, "m m"]


_Key: TypeAlias = tuple[str, str, str, str]
"""Structure, region, against and name of the statistic."""


def pooled_parts(parts: Mapping[str, Sequence[MeasuredPart]]) -> Iterator[MeasuredPart]:
    """Add the counts of all subjects and references up, per structure and set of voxels."""
    for (structure, region, against, _), by_subject in _grouped(parts).items():
        counts = pool(list(by_subject.values()))
        yield MeasuredPart(structure=structure, region=region, against=against, counts=counts)


def matrices_of(parts: Sequence[MeasuredPart]) -> Iterator[MeasuredMatrix]:
    """Every measure of pairs of these counts, as matrices."""
    for part in parts:
        for entry in measures_of(part.counts):
            if entry.reads is not None and not isinstance(part.counts, ErrorGroup):
                yield MeasuredMatrix(
                    structure=part.structure,
                    region=part.region,
                    against=part.against,
                    measure=entry.name,
                    unit=entry.unit,
                    members=part.counts.members,
                    values=entry.function(part.counts),
                )


def measures_of(counts: Counts) -> list[Entry[Any]]:
    """Measures that read a statistic."""
    if isinstance(counts, ErrorGroup):
        return list(GROUP_MEASURES)
    return [entry for entry in DIVERSITY_MEASURES if entry.reads is type(counts)]


def pooled_lines(
    parts: Mapping[str, Sequence[MeasuredPart]], patients: Mapping[str, str], *, seed: int, n_resamples: int
) -> Iterator[DiversityLine]:
    """Every measure of counts pooled over subjects; each draw of patients is pooled anew."""
    for (structure, region, against, _), by_subject in _grouped(parts).items():
        by_patient: dict[str, list[Counts]] = {}
        for subject, counts in by_subject.items():
            by_patient.setdefault(patients.get(subject, subject), []).append(counts)
        stacked = stack([pool(found) for found in by_patient.values()])
        for entry in measures_of(stacked):
            found = _bootstrapped(stacked, entry, len(by_patient), seed=seed, n_resamples=n_resamples)
            reduction = ALL_MEMBERS if isinstance(stacked, ErrorGroup) else MEAN_OF_PAIRS
            yield _line((structure, region, against, entry.name, reduction), POOLED, found, entry.unit)


def lines_by_subject(
    rows: Mapping[str, Sequence[Score]], patients: Mapping[str, str], *, seed: int, n_resamples: int
) -> Iterator[DiversityLine]:
    """Mean over subjects of every row; a subject's references are averaged first."""
    groups: dict[tuple[str, str, str, str, str], dict[str, list[float]]] = {}
    units: dict[str, str] = {}
    for subject, found in rows.items():
        for row in found:
            key = (row.structure, row.region, EACH if row.against else "", row.measure, row.reduction)
            groups.setdefault(key, {}).setdefault(subject, []).append(row.value)
            units[row.measure] = row.unit
    for key, by_subject in groups.items():
        values = [mean_defined(told) for told in by_subject.values()]
        owners = [patients.get(subject, subject) for subject in by_subject]
        estimate = mean_estimate(values, seed=seed, n_resamples=n_resamples, level=LEVEL, patients=owners)
        yield _line(key, BY_SUBJECT, estimate, units[key[3]])


def _bootstrapped(stacked: Counts, entry: Entry[Any], n_patients: int, *, seed: int, n_resamples: int) -> Estimate:
    names = counts_of(stacked)

    def of_drawn(drawn: np.ndarray) -> np.ndarray:
        weights = np.stack([np.bincount(row, minlength=n_patients) for row in drawn]).astype(np.float64)
        sums: dict[str, Any] = {name: np.tensordot(weights, getattr(stacked, name), axes=1) for name in names}
        values = entry.function(replace(stacked, **sums))
        return np.asarray(values if isinstance(stacked, ErrorGroup) else mean_of_pairs(values))

    if n_patients < 2:
        return no_interval(float(of_drawn(np.zeros((1, 1), np.int64))[0]), LEVEL, n=n_patients)
    return bootstrap_units(of_drawn, n_units=n_patients, seed=seed, n_resamples=n_resamples, level=LEVEL)


def _grouped(parts: Mapping[str, Sequence[MeasuredPart]]) -> dict[_Key, dict[str, Counts]]:
    """Counts by what they are of and subject; those against several references of a subject are added up."""
    found: dict[_Key, dict[str, list[Any]]] = {}
    for subject, of_case in parts.items():
        for part in of_case:
            key = (part.structure, part.region, EACH if part.against else "", type(part.counts).__name__)
            found.setdefault(key, {}).setdefault(subject, []).append(part.counts)
    return {key: {subject: pool(counts) for subject, counts in of_key.items()} for key, of_key in found.items()}


def _line(key: tuple[str, str, str, str, str], pooling: str, found: Estimate, unit: str) -> DiversityLine:
    structure, region, against, measure, reduction = key
    return DiversityLine(
        structure=structure,
        region=region,
        against=against,
        measure=measure,
        reduction=reduction,
        pooling=pooling,
        value=found.value,
        low=found.low,
        high=found.high,
        level=found.level,
        unit=unit,
        n=found.n,
        n_undefined=found.n_undefined,
    )
