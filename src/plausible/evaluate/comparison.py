"""Is one method better than another? Every kind of row compared over the same subjects.

A line is the mean difference, first minus second, with its BCa interval over patients; the effect size; the p of a
sign-flip test; and p adjusted for all lines compared. `better` names the method that the mean difference speaks for, as
the measure's own direction has it, whatever the p.

Areas under risk-coverage curves are numbers of the cohort: their difference has an interval of joint draws, in which
both methods get the same subjects, and no p. Sources: see `paired` and `bootstrap`.
"""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from plausible.core import Direction, InvalidInput, Problem, Score
from plausible.evaluate.bootstrap import N_RESAMPLES, Estimate, bootstrap_statistic
from plausible.evaluate.cohort_summary import mean_defined, mean_estimate, no_interval
from plausible.evaluate.paired import (
    N_PERMUTATIONS,
    benjamini_hochberg,
    cohens_d,
    holm,
    probability_of_superiority,
    rank_biserial,
    sign_flip_test,
    unit_sums,
)
from plausible.evaluate.paired_rows import AURC, PairedTable, common_subjects, paired_tables, risk_tables
from plausible.evaluate.risk_coverage import area_under_risk_coverage, risk_coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedLine:
    """One measure of two methods over the same subjects.

    Attributes:
        against: references that the values were taken against.
        mean_first, mean_second: over the subjects that both have a value of.
        difference: first minus second; `low` and `high` are NaN for fewer than two patients.
        cohens_d, rank_biserial: above 0 where the first is higher.
        superiority: share of the subjects in whom the first is better (higher, for a measure without direction).
        p: of the sign-flip test; NaN for fewer than two patients and for areas.
        p_holm, p_benjamini_hochberg: adjusted for all `n_compared` lines with a p.
        better: name of the method that the mean difference speaks for; empty without a direction or difference.
        n: subjects that both have a value of.
        n_patients: patients that these are of.
        n_undefined: common subjects left out because one of the methods has no defined value.
    """

    first: str
    second: str
    measure: str
    structure: str
    region: str
    reduction: str
    against: str
    unit: str
    higher_is: Direction
    mean_first: float
    mean_second: float
    difference: float
    low: float
    high: float
    level: float
    cohens_d: float
    rank_biserial: float
    superiority: float
    p: float
    better: str
    n: int
    n_patients: int
    n_undefined: int
    p_holm: float = math.nan
    p_benjamini_hochberg: float = math.nan
    n_compared: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSettings:
    """How methods are compared.

    Attributes:
        seed: of the draws and signs.
        patients: patient of each subject, where a patient has several; None if each subject is a patient.
        measures: compare these only, and adjust p for no others; all if empty.
        confidence: orders the subjects of a risk-coverage curve: MEASURE, or MEASURE:REGION:REDUCTION.
        n_resamples: draws of an interval.
        n_permutations: signs drawn for a test, unless all of them are fewer.
        level: share of the intervals.
    """

    seed: int = 0
    patients: Mapping[str, str] | None = None
    measures: tuple[str, ...] = ()
    confidence: str = "mean_pairwise_dice"
    n_resamples: int = N_RESAMPLES
    n_permutations: int = N_PERMUTATIONS
    level: float = 0.95

    def wants(self, measure: str) -> bool:
        """Return whether a measure is compared."""
        return not self.measures or measure in self.measures

    def clusters(self, subjects: Sequence[str]) -> list[Hashable] | None:
        """Patient of each subject; None if each is one.

        Raises:
            ValueError: a subject whose patient was not told.
        """
        if self.patients is None:
            return None
        missing = [subject for subject in subjects if subject not in self.patients]
        if missing:
            raise ValueError(f"no patient is told for {', '.join(missing)}")
        return [self.patients[subject] for subject in subjects]


def compare_methods(
    methods: Mapping[str, Sequence[Score]], *, settings: ComparisonSettings | None = None
) -> tuple[ComparedLine, ...]:
    """Compare every pair of methods in every kind of row that both have, and in the area under risk-coverage curves.

    Args:
        methods: rows of each method by its name; at least two.
        settings: how they are compared.

    Raises:
        InvalidInput: E401, fewer than two subjects in common.
        ValueError: fewer than two methods, rows that are there twice, or a subject whose patient was not told.
    """
    chosen = settings or ComparisonSettings()
    if len(methods) < 2:
        raise ValueError(f"a comparison takes at least 2 methods, got {len(methods)}")
    check_enough(common_subjects(methods), chosen)
    lines: list[ComparedLine] = []
    for first, second in combinations(methods, 2):
        pair = {first: methods[first], second: methods[second]}
        tables = [table for table in paired_tables(pair) if chosen.wants(table.line.measure)]
        lines += [compare_table(table, settings=chosen) for table in tables]
        lines += _areas(pair, chosen) if chosen.wants(AURC) else ()
    return _adjusted(lines)


def check_enough(subjects: Sequence[str], settings: ComparisonSettings) -> None:
    """Check that the subjects are of two patients at least.

    Raises:
        InvalidInput: E401, they are not.
    """
    n = len(set(settings.clusters(subjects) or subjects))
    if n < 2:
        raise InvalidInput(
            Problem(
                code="E401",
                found=f"{n} patient{'' if n == 1 else 's'} that all methods have results of",
                expected="at least 2 patients in common",
                fix="evaluate the methods on the same cases",
            )
        )


def compare_table(table: PairedTable, *, settings: ComparisonSettings) -> ComparedLine:
    """Compare the two methods of a table; p is not adjusted yet."""
    first, second = table.values
    apart = first - second
    known = ~np.isnan(apart)
    clusters = settings.clusters(table.subjects)
    toward = -1.0 if table.higher_is == "worse" else 1.0
    estimate, p = _estimate_mean(apart, clusters, settings)
    return _line(
        table,
        estimate,
        means=(mean_defined(first[known].tolist()), mean_defined(second[known].tolist())),
        n=int(known.sum()),
        effects=(cohens_d(apart), rank_biserial(apart), probability_of_superiority(toward * apart)),
        p=p,
    )


def _estimate_mean(
    apart: Float[np.ndarray, " s"], clusters: list[Hashable] | None, settings: ComparisonSettings
) -> tuple[Estimate, float]:
    estimate = mean_estimate(
        apart.tolist(), seed=settings.seed, patients=clusters, n_resamples=settings.n_resamples, level=settings.level
    )
    if estimate.n < 2:
        return estimate, math.nan
    return estimate, sign_flip_test(
        apart, seed=settings.seed, clusters=clusters, n_permutations=settings.n_permutations
    )


def _areas(pair: Mapping[str, Sequence[Score]], settings: ComparisonSettings) -> Iterator[ComparedLine]:
    for confidences, risks in risk_tables(pair, confidence=settings.confidence):
        columns = np.concatenate([confidences.values, risks.values])
        known = ~np.isnan(columns).any(axis=0)
        clusters = settings.clusters(risks.subjects)
        n = len(unit_sums(np.where(known, 1.0, np.nan), clusters))
        first, second = (area(columns[m, known], columns[m + 2, known]) for m in (0, 1))
        estimate = no_interval(first - second, settings.level, n=n, n_undefined=int((~known).sum()))
        if n > 1:
            estimate = bootstrap_statistic(
                _area_difference,
                *columns,
                seed=settings.seed,
                clusters=clusters,
                n_resamples=settings.n_resamples,
                level=settings.level,
            )
        yield _line(risks, estimate, means=(first, second), n=int(known.sum()))


def area(confidence: Float[np.ndarray, " s"], risk: Float[np.ndarray, " s"]) -> float:
    """Area under the risk-coverage curve of one method's confidences and risks."""
    return area_under_risk_coverage(risk_coverage(confidence, risk))


def _area_difference(
    first: Float[np.ndarray, " s"],
    second: Float[np.ndarray, " s"],
    first_risk: Float[np.ndarray, " s"],
    second_risk: Float[np.ndarray, " s"],
) -> float:
    return area(first, first_risk) - area(second, second_risk)


def _line(
    table: PairedTable,
    estimate: Estimate,
    *,
    means: tuple[float, float],
    n: int,
    effects: tuple[float, float, float] = (math.nan, math.nan, math.nan),
    p: float = math.nan,
) -> ComparedLine:
    line, (first, second) = table.line, table.methods
    return ComparedLine(
        first=first,
        second=second,
        measure=line.measure,
        structure=line.structure,
        region=line.region,
        reduction=line.reduction,
        against="; ".join(table.against),
        unit=table.unit,
        higher_is=table.higher_is,
        mean_first=means[0],
        mean_second=means[1],
        difference=estimate.value,
        low=estimate.low,
        high=estimate.high,
        level=estimate.level,
        cohens_d=effects[0],
        rank_biserial=effects[1],
        superiority=effects[2],
        p=p,
        better=_better(table, estimate.value),
        n=n,
        n_patients=estimate.n,
        n_undefined=estimate.n_undefined,
    )


def _better(table: PairedTable, difference: float) -> str:
    if table.higher_is == "neither" or math.isnan(difference) or difference == 0:
        return ""
    return table.methods[(difference > 0) == (table.higher_is == "worse")]


def _adjusted(lines: Sequence[ComparedLine]) -> tuple[ComparedLine, ...]:
    p = np.array([line.p for line in lines], dtype=np.float64)
    n_compared = int((~np.isnan(p)).sum())
    both = zip(lines, holm(p).tolist(), benjamini_hochberg(p).tolist(), strict=True)
    return tuple(
        replace(line, p_holm=strict, p_benjamini_hochberg=loose, n_compared=n_compared) for line, strict, loose in both
    )
