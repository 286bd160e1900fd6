"""The mask that is best on average over joint samples: minimum Bayes risk with Dice as the gain.

Candidates are the members' own masks and the sets of voxels that at least k members mark. Members are whole plausible
segmentations, so what comes and goes together is decided together: a block that is there in 45 % of the samples stays
out, though a rule for independent voxels would take it in.

Two walks over the members: one for the votes and the pairs, one to see how each vote count shares voxels with each
member. Of candidates with the same expected Dice the first one is taken: members before sets of votes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from plausible.aggregate.agreement import PairwiseOverlap, pairwise_dice
from plausible.aggregate.pooling import POOLS, as_hard_pool
from plausible.core import Member, Members, collect
from plausible.measure import VoteCounts

VOTES = "votes>="


@dataclass(frozen=True, slots=True, eq=False)
class BayesChoice:
    """Which candidate was chosen for each structure.

    Attributes:
        structures: organs and targets.
        chosen: name of a member, or "votes>=k" for the voxels that at least k members mark.
        expected_dice: its mean Dice to all members; two empty masks count 1.
        masks: the chosen masks. Those of exclusive classes may overlap.
    """

    structures: tuple[str, ...]
    chosen: tuple[str, ...]
    expected_dice: tuple[float, ...]
    masks: Bool[np.ndarray, "s i j k"]


def choose_by_bayes_risk(members: Members, *, slab_voxels: int | None = None) -> BayesChoice:
    """Choose, per structure, the candidate with the largest mean Dice to all members.

    argmax_S (1/K) Σ_k Dice(S, y_k) over members and sets of votes.
    """
    collected = collect(members, VoteCounts, PairwiseOverlap, slab_voxels=slab_voxels)
    votes, overlap = collected[VoteCounts].votes, collected[PairwiseOverlap]
    own = np.nan_to_num(pairwise_dice(overlap), nan=1.0).mean(axis=2)
    expected = np.concatenate([own, _dice_of_votes(members, votes).mean(axis=2)], axis=1).round(12)
    names = (*overlap.members, *(f"{VOTES}{k}" for k in range(1, len(members) + 1)))
    best = expected.argmax(axis=1)
    masks = np.zeros(votes.shape, dtype=bool)
    for s, place in enumerate(best):
        if place < len(members):
            masks[s] = _mask_of(members, overlap.members[place], s)
        else:
            masks[s] = votes[s] >= place - len(members) + 1
    values = tuple(float(expected[s, place]) for s, place in enumerate(best))
    return BayesChoice(overlap.structures, tuple(names[place] for place in best), values, masks)


@POOLS.add(unit="1", higher_is="neither", source="minimum Bayes risk with Dice as gain, over joint samples")
def minimum_bayes_risk(members: Members, *, slab_voxels: int | None = None) -> Member:
    """Masks with the largest mean Dice to all members, out of the members and their sets of votes.

    Exclusive classes: what two chosen masks claim goes to the structure with more votes, see `choose_by_bayes_risk`.
    """
    masks = choose_by_bayes_risk(members, slab_voxels=slab_voxels).masks
    if members.classes.exclusive:
        votes = collect(members, VoteCounts, slab_voxels=slab_voxels)[VoteCounts].votes
        claimed = np.where(masks, votes.astype(np.int32), -1)
        masks &= claimed.argmax(axis=0) == np.arange(len(masks))[:, np.newaxis, np.newaxis, np.newaxis]
    return as_hard_pool(masks, members, "minimum_bayes_risk")


def _dice_of_votes(members: Members, votes: np.ndarray) -> Float[np.ndarray, "s k m"]:
    """Dice of the set of at least k votes, k = 1 to M, with each member."""
    n, n_structures = len(members), len(votes)
    sizes = np.array([_at_least(votes[s].ravel(), n) for s in range(n_structures)])
    dice = np.ones((n_structures, n, n))
    for m, member in enumerate(members):
        masks = member.classes.masks(member.probabilities)
        for s in range(n_structures):
            shared = _at_least(votes[s][masks[s]], n)
            both = sizes[s] + np.count_nonzero(masks[s])
            np.divide(2 * shared, both, out=dice[s, :, m], where=both > 0)
    return dice


def _at_least(votes: np.ndarray, n_members: int) -> Int64[np.ndarray, " k"]:
    """Voxels with at least 1, 2, ... M votes."""
    counts = np.bincount(votes, minlength=n_members + 1)
    return np.cumsum(counts[::-1])[::-1][1:].astype(np.int64)


def _mask_of(members: Members, name: str, structure: int) -> Bool[np.ndarray, "i j k"]:
    (member,) = members.select([name])
    return member.classes.masks(member.probabilities)[structure]
