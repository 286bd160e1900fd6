"""Which method comes first, and would it with other patients? Ranks over bootstrap draws.

In each draw of patients every method gets its mean (or its area under the risk-coverage curve) and methods are ranked,
1 for the best, equal ones sharing the mean of their ranks. Subjects of which a method has no defined value are left
out.

Sources: Wiesenfarth et al. 2021, doi:10.1038/s41598-021-82017-6; Zenk et al. 2025, arXiv:2406.03323.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Integer

from plausible.core import Score
from plausible.evaluate.comparison import ComparisonSettings, area, check_enough
from plausible.evaluate.paired_rows import AURC, PairedTable, common_subjects, paired_tables, risk_tables

N_RANK_RESAMPLES = 1_000
"""Draws for ranks: shares to about 0.03, and curves of many methods stay quick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """Place of one method among all in one measure.

    Attributes:
        value: mean over the subjects, or area.
        rank: by the value; 1 is the best.
        mean_rank, low, high: of the rank over the draws.
        share_first: share of the draws in which no method is better.
        n: subjects of which every method has a value.
        n_undefined: common subjects left out.
    """

    method: str
    measure: str
    structure: str
    region: str
    reduction: str
    value: float
    rank: float
    mean_rank: float
    low: float
    high: float
    level: float
    share_first: float
    n: int
    n_undefined: int


OfCases: TypeAlias = Callable[[Integer[np.ndarray, " k"]], Float[np.ndarray, " m"]]
"""Number of each method from the places of the drawn subjects."""


def rank_methods(
    methods: Mapping[str, Sequence[Score]],
    *,
    settings: ComparisonSettings | None = None,
    n_resamples: int = N_RANK_RESAMPLES,
) -> tuple[Ranked, ...]:
    """Rank the methods in every measure that has a direction and that all have, and in their risk-coverage areas.

    Lines of which fewer than two patients are left are not ranked.

    Raises:
        InvalidInput: E401, fewer than two patients in common.
    """
    chosen = settings or ComparisonSettings()
    check_enough(common_subjects(methods), chosen)
    found: list[Ranked] = []
    for table in paired_tables(methods):
        if table.higher_is != "neither" and chosen.wants(table.line.measure):
            known = ~np.isnan(table.values).any(axis=0)
            found += _ranked(table, known, _means(table.values), chosen, n_resamples)
    of_cohort = risk_tables(methods, confidence=chosen.confidence) if chosen.wants(AURC) else ()
    for confidences, risks in of_cohort:
        known = ~np.isnan(np.concatenate([confidences.values, risks.values])).any(axis=0)
        found += _ranked(risks, known, _areas(confidences.values, risks.values), chosen, n_resamples)
    return tuple(found)


def ranks(values: Float[np.ndarray, "r m"]) -> Float[np.ndarray, "r m"]:
    """Rank the columns of each row, 1 for the lowest; equal ones share the mean of their ranks."""
    lower = (values[:, :, np.newaxis] > values[:, np.newaxis, :]).sum(axis=2)
    alike = (values[:, :, np.newaxis] == values[:, np.newaxis, :]).sum(axis=2)
    return np.asarray(lower + (alike + 1) / 2)


def _ranked(
    table: PairedTable, known: Bool[np.ndarray, " s"], of_cases: OfCases, settings: ComparisonSettings, n_resamples: int
) -> Iterator[Ranked]:
    places = np.flatnonzero(known)
    units = _units(places, settings.clusters(table.subjects))
    if len(units) < 2:
        return
    toward = 1.0 if table.higher_is == "worse" else -1.0
    values = of_cases(places)
    rng = np.random.default_rng(settings.seed)
    drawn = rng.integers(0, len(units), (n_resamples, len(units)))
    draws = ranks(toward * np.array([of_cases(np.concatenate([units[u] for u in row])) for row in drawn]))
    ends = np.quantile(draws, [(1 - settings.level) / 2, (1 + settings.level) / 2], axis=0)
    first = (draws == draws.min(axis=1, keepdims=True)).mean(axis=0)
    for m, rank in enumerate(ranks(toward * values[np.newaxis])[0].tolist()):
        yield Ranked(
            method=table.methods[m],
            measure=table.line.measure,
            structure=table.line.structure,
            region=table.line.region,
            reduction=table.line.reduction,
            value=float(values[m]),
            rank=rank,
            mean_rank=float(draws[:, m].mean()),
            low=float(ends[0, m]),
            high=float(ends[1, m]),
            level=settings.level,
            share_first=float(first[m]),
            n=len(places),
            n_undefined=int((~known).sum()),
        )


def _units(places: Integer[np.ndarray, " k"], clusters: Sequence[Hashable] | None) -> list[Integer[np.ndarray, " c"]]:
    """Places of the subjects of each patient."""
    found: dict[Hashable, list[int]] = {}
    for place in places.tolist():
        found.setdefault(clusters[place] if clusters else place, []).append(place)
    return [np.array(together) for together in found.values()]


def _means(values: Float[np.ndarray, "m s"]) -> OfCases:
    def means(places: Integer[np.ndarray, " k"]) -> Float[np.ndarray, " m"]:
        return np.asarray(values[:, places].mean(axis=1))

    return means


def _areas(confidences: Float[np.ndarray, "m s"], risks: Float[np.ndarray, "m s"]) -> OfCases:
    def areas(places: Integer[np.ndarray, " k"]) -> Float[np.ndarray, " m"]:
        pairs = zip(confidences[:, places], risks[:, places], strict=True)
        return np.array([area(confidence, risk) for confidence, risk in pairs])

    return areas
