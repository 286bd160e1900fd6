"""Shares of the members instead of a choice among them: stacking on the simplex, as one more selection rule.

The best shares come from `plausible.aggregate.stacking_weights`; here they are cut to the number of members that one is
ready to pay for, and fitted again among those.

Sources: Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1; Yao et al. 2018, doi:10.1214/17-BA1091.
"""

import numpy as np
from jaxtyping import Float64

from plausible.aggregate import stacking_weights
from plausible.diversity.pool_cases import Pool, Weights
from plausible.diversity.selection import NEGLIGIBLE, SELECTION_RULES, Selection, weighted_selection

MOST_VOXELS = 200_000
"""So many voxels are fitted on at most; a case gives the same share of them, at even steps."""


@SELECTION_RULES.add(unit="members", higher_is="neither", source="Yao et al. 2018, doi:10.1214/17-BA1091")
def stacking(pool: Pool, *, score: str, n_members: int, seed: int = 0) -> Selection:
    """Shares on the simplex that minimise the log loss, of at most as many members as asked for.

    Fitted over the whole pool first, then again among the members with the largest shares. Members with less than a
    thousandth are left out, so it may be fewer. Always fitted to the log loss; `score` only says what is reported.
    """
    _ = seed
    weights = simplex_weights(pool)
    kept = sorted(np.argsort(-weights.round(9), kind="stable")[:n_members].tolist())
    part = pool.select([pool.members[m] for m in kept])
    final = np.zeros(len(weights))
    final[kept] = _without_negligible(simplex_weights(part))
    return weighted_selection(pool, final, rule="stacking", score=score)


def simplex_weights(pool: Pool) -> Weights:
    """Shares of the members that minimise the log loss on the cases of a pool; each case counts by its voxels."""
    table = stacked_likelihood(pool)
    found = stacking_weights(table, members=pool.members).weights
    return np.array([found[one] for one in pool.members])


def stacked_likelihood(pool: Pool) -> Float64[np.ndarray, "m n"]:
    """Probability of what was said, cases one after the other; answers of single raters among several count alike."""
    step = max(1, -(-sum(case.answers.size for case in pool.cases) // MOST_VOXELS))
    return np.concatenate([case.likelihood[:, ::step] for case in pool.cases], axis=1).astype(np.float64)


def _without_negligible(weights: Weights) -> Weights:
    kept = np.where(weights < NEGLIGIBLE, 0.0, weights)
    return np.asarray(kept / kept.sum())
