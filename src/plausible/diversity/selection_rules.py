"""Rules that choose a few members of a pool, one function each.

Every rule takes a pool (its members in order of their names), the name of a score, how many members, and a seed, and
returns a `Selection`. What is chosen on some cases says nothing about others until it was judged there: `accept`.

Sources: Caruana et al. 2004, doi:10.1145/1015330.1015432 (greedy, with replacement); Wenzel et al. 2020,
arXiv:2006.13570 (hyper-deep ensembles); Georgescu, Ionescu and Miron 2023, arXiv:2210.12388 (low agreement); Kulesza
and Taskar 2012, arXiv:1207.6083 (determinantal); Chen, Zhang and Zhou 2018, arXiv:1709.05135 (greedy MAP).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float64

from plausible.core import InvalidInput, Problem
from plausible.diversity.pool_cases import Pool
from plausible.diversity.pool_scores import mean_agreement, scored
from plausible.diversity.selection import SELECTION_RULES, Selection, Step, selection_of

MOST_SUBSETS = 50_000
"""So many subsets are tried at most."""


@SELECTION_RULES.add(unit="members", higher_is="neither", source="single best by score (top-k)")
def best_members(pool: Pool, *, score: str, n_members: int, seed: int = 0) -> Selection:
    """The members that score best on their own; what they have in common does not matter (top-k)."""
    _ = seed
    value = dict(zip(pool.members, single_values(pool, score), strict=True))
    chosen = sorted(pool.members, key=lambda one: (_last(value[one]), one))[:n_members]
    return selection_of(pool, chosen, rule="best_members", score=score)


@SELECTION_RULES.add(unit="members", higher_is="neither", source="random subset")
def random_members(pool: Pool, *, score: str, n_members: int, seed: int = 0) -> Selection:
    """Members drawn by lot: what any rule must beat. Look at several seeds."""
    rng = np.random.default_rng(seed)
    chosen = [pool.members[m] for m in sorted(rng.choice(len(pool.members), n_members, replace=False))]
    return selection_of(pool, chosen, rule="random_members", score=score)


@SELECTION_RULES.add(unit="members", higher_is="neither", source="Caruana et al. 2004, doi:10.1145/1015330.1015432")
def greedy(pool: Pool, *, score: str, n_members: int, seed: int = 0) -> Selection:
    """Add one member after the other, each time the one with which the mean scores best; nobody twice.

    It goes on to the number asked for, also where a step makes the score worse; the path tells.
    """
    _ = seed
    chosen, path = _grow(pool, score, n_members, lambda taken: [m for m in pool.members if m not in taken])
    return selection_of(pool, chosen, rule="greedy", score=score, path=path)


@SELECTION_RULES.add(unit="members", higher_is="neither", source="Caruana et al. 2004, doi:10.1145/1015330.1015432")
def greedy_with_replacement(pool: Pool, *, score: str, n_members: int, seed: int = 0) -> Selection:
    """Add one member after the other, the same ones again if that scores best, and keep the best that was met.

    At most as many picks as asked for: the result is a weighted mean of as many members or fewer. On the cases chosen
    on it is never worse than the best single member.
    """
    _ = seed
    chosen, path = _grow(pool, score, n_members, lambda taken: pool.members)
    best = min(range(len(path)), key=lambda step: (_last(path[step].value), step))
    return selection_of(pool, chosen[: best + 1], rule="greedy_with_replacement", score=score, path=path)


@SELECTION_RULES.add(unit="members", higher_is="neither", source="Georgescu et al. 2023, arXiv:2210.12388")
def low_agreement(pool: Pool, *, score: str, n_members: int, seed: int = 0) -> Selection:
    """Begin with the best member, then add each time the one that agrees least, by Dice, with those chosen.

    Nobody's quality is asked but the first one's, so a bad member that nobody agrees with is taken early.
    """
    _ = seed
    dice = mean_agreement(pool)
    chosen = [_best_first(pool, single_values(pool, score))]
    while len(chosen) < n_members:
        rest = [m for m in range(len(pool.members)) if m not in chosen]
        chosen.append(min(rest, key=lambda m: (round(float(dice[m, chosen].mean()), 12), m)))
    return selection_of(pool, [pool.members[m] for m in chosen], rule="low_agreement", score=score)


@SELECTION_RULES.add(unit="members", higher_is="neither", source="Chen, Zhang and Zhou 2018, arXiv:1709.05135")
def determinantal(pool: Pool, *, score: str, n_members: int, seed: int = 0) -> Selection:
    """Members that are good and unlike: greedy search for the largest determinant of quality and similarity.

    L_ij = q_i Dice_ij q_j with q = exp(-z / 2), z the member's own score standardised over the pool (the scale is this
    project's choice). The determinant of a subset falls as its members come to resemble each other.
    """
    _ = seed
    chosen = greedy_determinant(likelihood_kernel(pool, score), n_members)
    return selection_of(pool, [pool.members[m] for m in chosen], rule="determinantal", score=score)


@SELECTION_RULES.add(unit="members", higher_is="neither", source="all subsets of a size")
def exhaustive(pool: Pool, *, score: str, n_members: int, seed: int = 0) -> Selection:
    """The subset of this size that scores best, by trying all of them.

    Raises:
        InvalidInput: E413, more than 50 000 subsets.
    """
    _ = seed
    n_subsets = math.comb(len(pool.members), n_members)
    if n_subsets > MOST_SUBSETS:
        raise InvalidInput(
            Problem(
                code="E413",
                found=f"{n_subsets} subsets of {n_members} out of {len(pool.members)} members",
                expected=f"at most {MOST_SUBSETS}",
                fix="--rule greedy, a smaller pool, or fewer members",
            )
        )
    found = _best_of(pool, score, combinations(pool.members, n_members))
    return selection_of(pool, found, rule="exhaustive", score=score)


@SELECTION_RULES.add(unit="members", higher_is="neither", source="backward elimination")
def elimination(pool: Pool, *, score: str, n_members: int, seed: int = 0) -> Selection:
    """Begin with the whole pool and take away, each time, the member without which the mean scores best."""
    _ = seed
    chosen, path = list(pool.members), list[Step]()
    while len(chosen) > n_members:
        kept = _best_of(pool, score, [[m for m in chosen if m != out] for out in chosen])
        (gone,) = set(chosen) - set(kept)
        chosen = list(kept)
        path.append(Step(member=gone, n_members=len(chosen), value=scored(pool, pool.equal(chosen), score)))
    return selection_of(pool, chosen, rule="elimination", score=score, path=tuple(path))


def single_values(pool: Pool, score: str) -> list[float]:
    """Score of every member on its own."""
    return [scored(pool, pool.equal([one]), score) for one in pool.members]


def likelihood_kernel(pool: Pool, score: str) -> Float64[np.ndarray, "m m"]:
    """Kernel of `determinantal`: Dice of two members times the quality of both. It has no negative eigenvalue."""
    value = np.array(single_values(pool, score))
    spread = float(np.nanstd(value))
    z = (value - np.nanmean(value)) / spread if spread > 0 else np.zeros(len(value))
    quality = np.exp(-np.nan_to_num(z, nan=np.inf) / 2)
    return quality[:, np.newaxis] * mean_agreement(pool) * quality


def greedy_determinant(kernel: Float64[np.ndarray, "m m"], n_members: int) -> list[int]:
    """Members that raise the determinant of their part of the kernel most, one after the other.

    Keeps what of each member the chosen ones do not explain (the squared pivots of a Cholesky factor), so that a step
    costs one product.
    """
    left = np.diagonal(kernel).astype(np.float64).copy()
    rows = np.zeros((n_members, len(kernel)))
    chosen: list[int] = []
    for step in range(n_members):
        open_ = [m for m in range(len(kernel)) if m not in chosen]
        best = max(open_, key=lambda m: (round(float(left[m]), 12), -m))
        pivot = math.sqrt(max(float(left[best]), 1e-300))
        rows[step] = (kernel[best] - rows[:step, best] @ rows[:step]) / pivot if left[best] > 1e-12 else 0.0
        left = left - rows[step] ** 2
        chosen.append(best)
    return chosen


def _grow(
    pool: Pool, score: str, n_members: int, allowed: Callable[[Sequence[str]], Sequence[str]]
) -> tuple[list[str], tuple[Step, ...]]:
    chosen, path = list[str](), list[Step]()
    while len(chosen) < n_members:
        chosen = list(_best_of(pool, score, [[*chosen, one] for one in allowed(chosen)]))
        value = scored(pool, pool.equal(chosen), score)
        path.append(Step(member=chosen[-1], n_members=len(set(chosen)), value=value))
    return chosen, tuple(path)


def _best_of(pool: Pool, score: str, subsets: Iterable[Sequence[str]]) -> Sequence[str]:
    """Return the subset that scores best, the first of equals."""
    return min(subsets, key=lambda ids: _last(scored(pool, pool.equal(ids), score)))


def _best_first(pool: Pool, value: Sequence[float]) -> int:
    return min(range(len(pool.members)), key=lambda m: (_last(value[m]), m))


def _last(value: float) -> float:
    """Undefined scores come last; rounding does not decide."""
    return math.inf if math.isnan(value) else round(value, 12)
