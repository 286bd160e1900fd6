"""Would it have looked as good the other way round? A test that swaps two ensembles, patient by patient.

If a change has no effect, which of the two results of a patient belongs to the change is arbitrary. For scores that are
means this is the sign-flip test of `plausible.evaluate`; for an area over cases the results themselves are swapped.

Source: Phipson and Smyth 2010, doi:10.2202/1544-6115.1585 (p of drawn permutations).
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float

from plausible.evaluate import sign_flip_test
from plausible.evaluate.bootstrap import unit_numbers
from plausible.evaluate.comparison import area

N_MEAN, N_AREA = 20_000, 1000
"""Draws of the test of a mean, and of an area."""


def swap_test(
    ours: Float[np.ndarray, "k s"], theirs: Float[np.ndarray, "k s"], *, owners: Sequence[Hashable], seed: int
) -> float:
    """P that a difference at least this far from 0, on either side, comes from swapping the two at random.

    Args:
        ours: one column whose mean counts, or confidence and risk, whose area does. Cases with a NaN
            are left out.
        theirs: of the other ensemble, likewise.
        owners: patient of each case; a patient's cases are swapped together.
        seed: of the swaps.

    Returns:
        Above 0, to 1; NaN without cases.
    """
    if len(ours) == 1:
        return sign_flip_test(ours[0] - theirs[0], seed=seed, clusters=owners, n_permutations=N_MEAN)
    known = np.asarray(~np.isnan(np.concatenate([ours, theirs])).any(axis=0))
    if not known.any():
        return math.nan
    first, second, unit = ours[:, known], theirs[:, known], unit_numbers(known, owners)
    reached = abs(area(*first) - area(*second)) - 1e-12
    rng, found = np.random.default_rng(seed), 0
    for _ in range(N_AREA):
        swapped = (rng.random(int(unit.max()) + 1) < 0.5)[unit]
        a, b = np.where(swapped, second, first), np.where(swapped, first, second)
        found += abs(area(*a) - area(*b)) >= reached
    return (found + 1) / (N_AREA + 1)
