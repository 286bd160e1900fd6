"""Two methods on the same subjects: is the difference chance, how large is it, and how many were looked at?

Differences are first minus second, one per subject (or per case, where a patient has several). NaN are left out.

Test: under the null hypothesis each patient's difference could as well have had the other sign. All 2^n signs are gone
through where that is few enough, else they are drawn by a seed and the p is (b + 1) / (B + 1), which is never 0.

Sources: Cohen 1988 (d of paired differences, d_z); Kerby 2014, doi:10.2466/11.IT.3.1 (matched-pairs rank-biserial);
McGraw and Wong 1992, doi:10.1037/0033-2909.111.2.361 (probability of superiority); Phipson and Smyth 2010,
doi:10.2202/1544-6115.1585 (p of drawn permutations); Holm 1979; Benjamini and Hochberg 1995,
doi:10.1111/j.2517-6161.1995.tb02031.x.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Num

N_PERMUTATIONS = 100_000
BLOCK = 2_000_000
"""Signs in memory at a time."""
ROUNDING = 1e-12
"""Differences between equal numbers that were added in another order, as a share of the largest."""

OfOrdered: TypeAlias = Callable[[Float[np.ndarray, " k"]], Float[np.ndarray, " k"]]
"""Adjustment of p in rising order."""


def sign_flip_test(
    differences: Num[np.ndarray, " s"],
    *,
    seed: int,
    clusters: Sequence[Hashable] | None = None,
    n_permutations: int = N_PERMUTATIONS,
) -> float:
    """P that a mean difference at least this far from 0 on either side comes by chance, signs being exchangeable.

    Exact where 2^n is at most `n_permutations`; n counts the units whose difference is not 0.

    Args:
        differences: one per subject; NaN are left out.
        seed: of the signs.
        clusters: who each difference belongs to, where a patient has several: their signs turn together.
        n_permutations: how many signs are drawn at most.

    Returns:
        Above 0, to 1 (always 1 if all differences are 0); NaN without subjects.
    """
    sums = unit_sums(differences, clusters)
    if not len(sums):
        return math.nan
    largest = float(np.abs(sums).max())
    sums = sums[np.abs(sums) > ROUNDING * largest]
    reached = abs(float(sums.sum())) - ROUNDING * len(sums) * largest
    n_all = 2 ** len(sums)
    exact = n_all <= n_permutations
    blocks = _all_signs(len(sums)) if exact else _drawn_signs(len(sums), seed, n_permutations)
    found = sum(int(np.count_nonzero(np.abs(signs @ sums) >= reached)) for signs in blocks)
    return found / n_all if exact else (found + 1) / (n_permutations + 1)


def cohens_d(differences: Num[np.ndarray, " s"]) -> float:
    """Mean difference in units of the differences' own standard deviation (d_z, ddof 1).

    By custom 0.2 is small, 0.5 medium, 0.8 large. NaN are left out. NaN for fewer than two subjects, or if all
    differences are equal.
    """
    known = _known(differences)
    if len(known) < 2 or _is_constant(known):
        return math.nan
    return float(known.mean() / known.std(ddof=1))


def rank_biserial(differences: Num[np.ndarray, " s"]) -> float:
    """Share of the ranks that speak for the first minus the share that speaks for the second (matched pairs).

    Ranks are those of the absolute differences, ties averaged and zeros left out, as in Wilcoxon's signed-rank test.
    1: the first is higher in every subject; -1: the second. NaN are left out. NaN if there is no difference but 0.
    """
    known = _known(differences)
    known = known[known != 0]
    if not len(known):
        return math.nan
    _, place, count = np.unique(np.abs(known), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((np.sign(known) * ranks).sum() / ranks.sum())


def probability_of_superiority(differences: Num[np.ndarray, " s"]) -> float:
    """Share of the subjects in whom the first is higher, an equal one counting half. NaN without subjects."""
    known = _known(differences)
    return float((np.sign(known) + 1).mean() / 2) if len(known) else math.nan


def holm(p: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Adjust p so that the chance of any false finding among all of them stays below the level asked for.

    NaN stay NaN and do not count.
    """
    return _adjusted(p, lambda ordered: np.maximum.accumulate(ordered * np.arange(len(ordered), 0, -1)))


def benjamini_hochberg(p: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Adjust p so that the expected share of false ones among the findings stays below the level asked for.

    For rows that are independent or positively dependent. NaN stay NaN and do not count.
    """
    return _adjusted(p, lambda ordered: np.minimum.accumulate((ordered * _steps(len(ordered)))[::-1])[::-1])


def unit_sums(values: Num[np.ndarray, " s"], clusters: Sequence[Hashable] | None) -> Float[np.ndarray, " u"]:
    """Sum of each patient's defined values, in the order in which the patients come.

    Raises:
        ValueError: not one cluster for each value.
    """
    if clusters is None:
        return _known(values)
    if len(clusters) != len(values):
        raise ValueError(f"{len(clusters)} clusters for {len(values)} values")
    sums: dict[Hashable, float] = {}
    for cluster, value in zip(clusters, values.tolist(), strict=True):
        if not math.isnan(value):
            sums[cluster] = sums.get(cluster, 0.0) + value
    return np.array(list(sums.values()), dtype=np.float64)


def _known(values: Num[np.ndarray, " s"]) -> Float[np.ndarray, " k"]:
    values = np.asarray(values, dtype=np.float64)
    return np.asarray(values[~np.isnan(values)])


def _is_constant(known: Float[np.ndarray, " k"]) -> bool:
    return float(np.ptp(known)) <= ROUNDING * float(np.abs(known).max())


def _all_signs(n: int) -> Iterator[Float[np.ndarray, "r u"]]:
    step = max(1, BLOCK // max(n, 1))
    for start in range(0, 2**n, step):
        numbers = np.arange(start, min(start + step, 2**n))[:, np.newaxis]
        yield 1.0 - 2.0 * (numbers >> np.arange(n) & 1)


def _drawn_signs(n: int, seed: int, n_permutations: int) -> Iterator[Float[np.ndarray, "r u"]]:
    rng = np.random.default_rng(seed)
    step = max(1, BLOCK // n)
    for start in range(0, n_permutations, step):
        rows = min(step, n_permutations - start)
        bits = np.unpackbits(np.frombuffer(rng.bytes(-(-rows * n // 8)), np.uint8), count=rows * n)
        yield 1.0 - 2.0 * bits.reshape(rows, n)


def _steps(n: int) -> Float[np.ndarray, " n"]:
    return np.asarray(n / np.arange(1, n + 1))


def _adjusted(p: Float[np.ndarray, " n"], of_ordered: OfOrdered) -> Float[np.ndarray, " n"]:
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(of_ordered(p[order]), 1.0)
    return adjusted
