"""How many members are enough? Each score against the number of members, and what more of them would still gain.

A curve is the mean score over subsets of the pool of each size, all of them or as many as are drawn; the spread over
the subsets says how much is luck of the draw.

For a score that is a quadratic form of the mean (Brier score, volume CRPS) the mean over all subsets of M members is
a + b / M exactly: a is what members like these reach without end, b the part that a single member pays for being one.
So it may be extrapolated beyond the pool, for members of the same kind as those in it. The log loss follows it to the
first order of 1 / M; the fit's misfit says how well. Dice, AURC and silent failures follow no such law and are not
extrapolated: an order of cases and a unanimous error depend on which members, not on how many.

Intervals are over patients, for these members; that the next members would be like them is assumed.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from plausible.diversity.pool_cases import Pool
from plausible.diversity.pool_scores import POOL_SCORES, reduced
from plausible.evaluate import Estimate, bootstrap_mean

EXTRAPOLATED = ("negative_log_likelihood", "brier_score", "volume_crps")
"""Scores that follow a + b / M, the last two exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreCurve:
    """A score against the number of members.

    Attributes:
        score: its name.
        unit: its unit.
        subjects: the cases.
        sizes: numbers of members.
        values: score of each size, mean over subsets.
        low, high: the middle nine tenths of the subsets.
        n_subsets: subsets of each size.
        by_subject: mean over subsets of each case's own value; of AURC its risk.
    """

    score: str
    unit: str
    subjects: tuple[str, ...]
    sizes: tuple[int, ...]
    values: Float64[np.ndarray, " m"]
    low: Float64[np.ndarray, " m"]
    high: Float64[np.ndarray, " m"]
    n_subsets: tuple[int, ...]
    by_subject: Float64[np.ndarray, "m s"]

    def rows(self) -> list[dict[str, Any]]:
        """Return a line per size."""
        return [
            {"score": self.score, "unit": self.unit, "members": size, "value": value, "low": low, "high": high,
             "n_subsets": n, "forward_passes": size * len(self.subjects)}
            for size, value, low, high, n in zip(self.sizes, self.values.tolist(), self.low.tolist(),
                                                 self.high.tolist(), self.n_subsets, strict=True)
        ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrapolation:
    """A score as a + b / M.

    Attributes:
        limit: a, what members like these reach without end.
        single: b, what one member alone pays on top.
        misfit: largest distance of the fit from the curve, as a share of b.
    """

    score: str
    limit: Estimate
    single: Estimate
    misfit: float

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        ends = {f"{name}_{end}": getattr(getattr(self, name), end)
                for name in ("limit", "single") for end in ("value", "low", "high")}  # fmt: skip
        return {"score": self.score, **ends, "misfit": None if math.isnan(self.misfit) else self.misfit}


def score_curve(
    pool: Pool, *, score: str, sizes: Sequence[int] | None = None, n_subsets: int = 50, seed: int = 0
) -> ScoreCurve:
    """Measure a score against the number of members.

    Args:
        pool: cases on which the members were not chosen.
        score: a name of `POOL_SCORES`.
        sizes: numbers of members; all from 1 to the whole pool if None.
        n_subsets: subsets of each size; all of them where there are no more.
        seed: of the subsets.

    Raises:
        ValueError: a size that the pool does not have.
    """
    entry, ordered = POOL_SCORES[score], pool.select(sorted(pool.members))
    asked = tuple(sizes or range(1, len(pool.members) + 1))
    if min(asked) < 1 or max(asked) > len(pool.members):
        raise ValueError(f"sizes must lie in 1 to {len(pool.members)}, got {asked}")
    rng = np.random.default_rng(seed)
    found, spread, by_subject, counts = [], [], [], []
    for size in asked:
        subsets = _subsets(ordered.members, size, n_subsets, rng)
        tables = [entry.function(ordered, ordered.equal(ids)) for ids in subsets]
        each = np.array([reduced(table) for table in tables])
        found.append(float(each.mean()))
        spread.append(np.quantile(each, (0.05, 0.95)))
        by_subject.append(np.mean([table[-1] for table in tables], axis=0))
        counts.append(len(subsets))
    low, high = np.array(spread).T
    return ScoreCurve(score, entry.unit, pool.subjects, asked, np.array(found), low, high, tuple(counts),
                      np.array(by_subject))  # fmt: skip


def extrapolate(
    curve: ScoreCurve, *, patients: Sequence[Hashable] | None = None, seed: int = 0, n_resamples: int = 10_000
) -> Extrapolation:
    """Fit a + b / M to a curve, patient by patient, so that both have intervals over patients.

    Args:
        curve: of a score that follows it, `EXTRAPOLATED`; at least two sizes.
        patients: who each case belongs to; None if each is a patient.
        seed: of the draws.
        n_resamples: how many draws.

    Raises:
        InvalidInput: E401, fewer than two patients.
        ValueError: a score that cannot be extrapolated, or one size only.
    """
    if curve.score not in EXTRAPOLATED:
        raise ValueError(f"{curve.score} does not follow a + b / M; these do: {', '.join(EXTRAPOLATED)}")
    if len(curve.sizes) < 2:
        raise ValueError("a line needs two sizes or more")
    design = np.stack([np.ones(len(curve.sizes)), 1 / np.array(curve.sizes)], axis=1)
    limits, singles = np.linalg.pinv(design) @ curve.by_subject
    a, b = (bootstrap_mean(column, seed=seed, clusters=patients, n_resamples=n_resamples)
            for column in (limits, singles))  # fmt: skip
    known = ~np.isnan(curve.by_subject).any(axis=0)
    apart = np.abs(design @ np.array([a.value, b.value]) - curve.by_subject[:, known].mean(axis=1)).max()
    misfit = float(apart / abs(b.value)) if b.value else math.nan
    return Extrapolation(score=curve.score, limit=a, single=b, misfit=misfit)


def _subsets(members: Sequence[str], size: int, most: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Return all subsets of a size, or so many different ones drawn by lot."""
    from itertools import combinations

    if math.comb(len(members), size) <= most:
        return list(combinations(members, size))
    drawn: set[tuple[str, ...]] = set()
    while len(drawn) < most:
        drawn.add(tuple(sorted(rng.choice(members, size, replace=False).tolist())))
    return sorted(drawn)
