"""Do the members vary as the raters do? Distances between two sets of segmentations.

Everything is read from the voxels that each pair of segmentations shares, counted once per pair: R raters and M members
have (R + M)(R + M - 1) / 2 pairs.

The distance of two segmentations is 1 - Dice or 1 - IoU: of one structure, or the mean over the structures that at
least one of the two has. Two that are both empty are the same, at distance 0, as long as anybody has the structure:
leaving such pairs out would make a model wrong that leaves out what most raters leave out. If nobody has it, all scores
are NaN.

Two estimators of the same distance of distributions: **V** counts each segmentation against itself too, so that it
falls as members are added, GED_V = GED_U + d(r, r')/R + d(m, m')/M with the means over different raters and members.
Compare V only between the same numbers of members and raters. **U** does not depend on them, and may be negative.

Sources: Székely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018 (energy distance); Kohl et al. 2018, arXiv:1806.05034
(of segmentations).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int64
from scipy.optimize import linear_sum_assignment

from plausible.aggregate import PairwiseOverlap
from plausible.core import Catalogue

Similarity: TypeAlias = Literal["dice", "iou"]


@dataclass(frozen=True, slots=True, eq=False)
class SetOverlap:
    """Voxels that two segmentations share, for every pair out of raters and members.

    Attributes:
        structures: organs and targets.
        raters: names of the raters; they come first along both axes of `shared`.
        members: names of the members.
        shared: voxels in both masks; on the diagonal, voxels of one mask.
    """

    structures: tuple[str, ...]
    raters: tuple[str, ...]
    members: tuple[str, ...]
    shared: Int64[np.ndarray, "s n n"]

    @classmethod
    def of(cls, raters: PairwiseOverlap, members: PairwiseOverlap) -> "SetOverlap":
        """Return the overlaps within and between both sets in a slab, whose masks must be there still.

        Raises:
            ValueError: other structures, other voxels, or slabs were joined before.
        """
        return cls(raters.structures, raters.members, members.members, raters.merge(members).shared)

    def join(self, *others: "SetOverlap") -> "SetOverlap":
        """Return the overlaps in the voxels of this and further slabs."""
        shared = np.sum([part.shared for part in (self, *others)], axis=0)
        return SetOverlap(self.structures, self.raters, self.members, shared)

    def only(self, structure: str) -> "SetOverlap":
        """Return the overlaps of one structure."""
        place = self.structures.index(structure)
        return SetOverlap((structure,), self.raters, self.members, self.shared[place : place + 1])

    @property
    def n_pairs(self) -> int:
        """Pairs of different segmentations."""
        n = len(self.raters) + len(self.members)
        return n * (n - 1) // 2


def similarities(overlap: SetOverlap, *, by: Similarity) -> Float[np.ndarray, "n n"]:
    """Dice or IoU of every pair, mean over the structures that at least one of the two has.

    1 for two segmentations that are both empty, NaN if all are.
    """
    sizes = np.diagonal(overlap.shared, axis1=1, axis2=2)
    both = sizes[:, :, np.newaxis] + sizes[:, np.newaxis, :]
    part, whole = (2 * overlap.shared, both) if by == "dice" else (overlap.shared, both - overlap.shared)
    if not sizes.any():
        return np.full(both.shape[1:], np.nan)
    present = both > 0
    each = np.divide(part, whole, out=np.zeros(both.shape), where=present)
    n = present.sum(axis=0)
    return np.divide(each.sum(axis=0), n, out=np.ones(n.shape), where=n > 0)


AmbiguityScore: TypeAlias = Callable[[SetOverlap], float]

AMBIGUITY_SCORES: Catalogue[AmbiguityScore] = Catalogue("ambiguity score")

GED_SOURCE = "Kohl et al. 2018, arXiv:1806.05034"


@AMBIGUITY_SCORES.add(unit="1", higher_is="worse", source=GED_SOURCE, label="GED² (Dice, V)")
def generalized_energy_distance_dice_v(overlap: SetOverlap) -> float:
    """Distance between raters and members by 1 - Dice, each also compared with itself.

    2 E d(r, m) - E d(r, r') - E d(m, m') over all ordered pairs. 0 for the same set; 2 d for one rater and one member.
    """
    return _energy_distance(overlap, by="dice", with_itself=True)


@AMBIGUITY_SCORES.add(unit="1", higher_is="worse", source=GED_SOURCE, label="GED² (Dice, U)")
def generalized_energy_distance_dice_u(overlap: SetOverlap) -> float:
    """Distance between raters and members by 1 - Dice, without bias from how many there are.

    2 E d(r, m) - E d(r, r') - E d(m, m') over pairs of different ones; below 0 where members vary less around the
    raters than these among themselves. NaN for a single rater or member.
    """
    return _energy_distance(overlap, by="dice", with_itself=False)


@AMBIGUITY_SCORES.add(unit="1", higher_is="worse", source=GED_SOURCE, label="GED² (IoU, V)")
def generalized_energy_distance_iou_v(overlap: SetOverlap) -> float:
    """Distance between raters and members by 1 - IoU, each also compared with itself; see the one by Dice."""
    return _energy_distance(overlap, by="iou", with_itself=True)


@AMBIGUITY_SCORES.add(unit="1", higher_is="worse", source=GED_SOURCE, label="GED² (IoU, U)")
def generalized_energy_distance_iou_u(overlap: SetOverlap) -> float:
    """Distance between raters and members by 1 - IoU, without bias from how many there are; see the one by Dice."""
    return _energy_distance(overlap, by="iou", with_itself=False)


@AMBIGUITY_SCORES.add(unit="1", higher_is="better", source="Kohl et al. 2019, arXiv:1905.13077", label="matched IoU")
def hungarian_matched_iou(overlap: SetOverlap) -> float:
    """Mean IoU after each rater got a member of its own, in the best way there is.

    Both sets are repeated to the least common multiple of their sizes and matched one to one so that the mean IoU is
    largest. From 0 to 1: 1 if the members are the raters, in equal shares. NaN if nobody has the structure.
    """
    n_raters, n_members = len(overlap.raters), len(overlap.members)
    between = similarities(overlap, by="iou")[:n_raters, n_raters:]
    if np.isnan(between).any():
        return math.nan
    times = math.lcm(n_raters, n_members)
    repeated = np.tile(between, (times // n_raters, times // n_members))
    return float(repeated[linear_sum_assignment(repeated, maximize=True)].mean())


@AMBIGUITY_SCORES.add(unit="1", higher_is="better", source="Dice 1945, doi:10.2307/1932409", label="inter-rater Dice")
def inter_rater_dice(overlap: SetOverlap) -> float:
    """Mean Dice of two different raters: what a model can be measured against, and hardly exceed.

    Pairs that both lack the structure are left out. NaN for a single rater.
    """
    n_raters = len(overlap.raters)
    return _mean_defined(overlap, *np.triu_indices(n_raters, k=1))


@AMBIGUITY_SCORES.add(unit="1", higher_is="better", source="Dice 1945, doi:10.2307/1932409", label="member-rater Dice")
def member_rater_dice(overlap: SetOverlap) -> float:
    """Mean Dice of a member and a rater, over all pairs; stands beside the inter-rater Dice.

    Pairs that both lack the structure are left out.
    """
    n_raters, n_members = len(overlap.raters), len(overlap.members)
    rater, member = np.indices((n_raters, n_members)).reshape(2, -1)
    return _mean_defined(overlap, rater, member + n_raters)


def _energy_distance(overlap: SetOverlap, *, by: Similarity, with_itself: bool) -> float:
    n_raters, n_members = len(overlap.raters), len(overlap.members)
    distance = 1 - similarities(overlap, by=by)
    within = [distance[:n_raters, :n_raters], distance[n_raters:, n_raters:]]
    if not with_itself and min(n_raters, n_members) < 2:
        return math.nan
    pairs = [n**2 if with_itself else n * (n - 1) for n in (n_raters, n_members)]
    means = [float(each.sum()) / n for each, n in zip(within, pairs, strict=True)]
    return 2 * float(distance[:n_raters, n_raters:].mean()) - sum(means)


def _mean_defined(overlap: SetOverlap, first: np.ndarray, second: np.ndarray) -> float:
    """Mean Dice of some pairs, of those that have a structure in either one."""
    sizes = np.diagonal(overlap.shared, axis1=1, axis2=2).sum(axis=0)
    held = sizes[first] + sizes[second] > 0
    values = similarities(overlap, by="dice")[first, second][held]
    return float(values.mean()) if values.size else math.nan
