"""The smallest part of a pool that is as good as all of it: cheaper inference at a score that hardly changes.

Each size is looked for in two ways, by adding to the best member and by taking away from the whole pool; the better of
both counts. Chosen on some cases, it must be judged on others, like any selection.

Source: Caruana et al. 2004, doi:10.1145/1015330.1015432 (selection); backward elimination is classical.
"""

from plausible.diversity.pool_cases import Pool
from plausible.diversity.pool_scores import scored
from plausible.diversity.selection import Selection, selection_of
from plausible.diversity.selection_rules import elimination, greedy


def prune(pool: Pool, *, score: str, tolerance: float) -> Selection:
    """Return the smallest subset whose score is at most so much worse than that of the whole pool.

    Args:
        pool: cases to choose on.
        score: a name of `POOL_SCORES`, an error.
        tolerance: how much worse the score may be, in its unit; at least 0.

    Returns:
        The subset; the whole pool if nothing smaller will do.

    Raises:
        ValueError: a negative tolerance.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")
    pool = pool.select(sorted(pool.members))
    limit = scored(pool, pool.equal(pool.members), score) + tolerance
    added = greedy(pool, score=score, n_members=len(pool.members)).path
    taken = elimination(pool, score=score, n_members=1).path
    for size in range(1, len(pool.members)):
        grown = [step.member for step in added[:size]]
        gone = {step.member for step in taken[: len(pool.members) - size]}
        left = [one for one in pool.members if one not in gone]
        best = min((grown, left), key=lambda ids: scored(pool, pool.equal(ids), score))
        if scored(pool, pool.equal(best), score) <= limit + 1e-12:
            return selection_of(pool, best, rule="prune", score=score, path=taken)
    return selection_of(pool, list(pool.members), rule="prune", score=score, path=taken)
