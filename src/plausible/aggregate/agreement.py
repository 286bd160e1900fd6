"""How much do the members (or the raters) agree on each structure, two at a time?

A hard mask takes one bit per voxel. Pooling members compares the bits of each new pair at once; what is kept of them
are counts: how many voxels two members share. Joining slabs adds the counts and drops the bits, so that memory does
not grow with the image.

If two members both lack a structure there is nothing to compare and their Dice is NaN; if one lacks it, 0. Means leave
NaN out.

Sources: Dice 1945; Roy et al. 2019, arXiv:1811.09800 (between samples of one network); Zenk et al.
2025, arXiv:2406.03323 (as confidence of the whole segmentation).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int64, UInt64

from plausible.aggregate.hard import labels_of, pack_masks, packed_labels
from plausible.core import Catalogue, Member


@dataclass(frozen=True, slots=True, eq=False)
class PairwiseOverlap:
    """Voxels that two members share, for every pair of members and every structure.

    Attributes:
        structures: organs and targets.
        members: names of the members, or of the raters.
        shared: voxels in the masks of both members; on the diagonal, voxels of one member's mask.
        bits: hard masks, one array per member; empty once slabs were joined.
    """

    structures: tuple[str, ...]
    members: tuple[str, ...]
    shared: Int64[np.ndarray, "s m m"]
    bits: tuple[UInt64[np.ndarray, "s w"], ...]

    @classmethod
    def of(cls, member: Member, *, bits: UInt64[np.ndarray, "s w"] | None = None) -> "PairwiseOverlap":
        """Return the masks of one member; `bits` are those of `bits_of`, where they are made already."""
        bits = bits_of(member) if bits is None else bits
        shared = count_bits(bits)[:, np.newaxis, np.newaxis]
        return cls(member.classes.structures, (member.info.id,), shared, (bits,))

    def merge(self, other: "PairwiseOverlap") -> "PairwiseOverlap":
        """Return the overlaps within and between the members of both, which must cover the same voxels.

        Raises:
            ValueError: other structures, other voxels, or slabs were joined before: the bits are gone.
        """
        if not self.bits or not other.bits:
            raise ValueError("pool the members of a slab before joining slabs: joined slabs keep only counts")
        if self.structures != other.structures or self.bits[0].shape != other.bits[0].shape:
            raise ValueError("only members with the same structures and the same voxels can be compared")
        across = np.array([[count_bits(a & b) for b in other.bits] for a in self.bits]).transpose(2, 0, 1)
        above = np.concatenate([self.shared, across], axis=2)
        below = np.concatenate([across.transpose(0, 2, 1), other.shared], axis=2)
        shared = np.concatenate([above, below], axis=1)
        return PairwiseOverlap(self.structures, self.members + other.members, shared, self.bits + other.bits)

    def join(self, *others: "PairwiseOverlap", axis: int) -> "PairwiseOverlap":
        """Return the overlaps in the voxels of all, without their bits; along which axis they follow does not matter.

        Raises:
            ValueError: other structures or members.
        """
        for other in others:
            if (other.structures, other.members) != (self.structures, self.members):
                raise ValueError(f"slabs of other members or structures: {other.members} instead of {self.members}")
        shared = np.stack([part.shared for part in (self, *others)]).sum(axis=0)
        return PairwiseOverlap(self.structures, self.members, shared, ())

    @property
    def n_pairs(self) -> Int64[np.ndarray, " s"]:
        """Pairs of members of which at least one has the structure."""
        return np.array([np.count_nonzero(~np.isnan(values)) for values in _pairs(pairwise_dice(self))], np.int64)


def pairwise_dice(overlap: PairwiseOverlap) -> Float[np.ndarray, "s m m"]:
    """Dice of every member with every other one, per structure.

    2 |A ∩ B| / (|A| + |B|); 1 on the diagonal. NaN where both members lack the structure, 0 where one does.
    """
    sizes = np.diagonal(overlap.shared, axis1=1, axis2=2)
    both = sizes[:, :, np.newaxis] + sizes[:, np.newaxis, :]
    undefined = np.full(both.shape, np.nan)
    return np.divide(2 * overlap.shared, both, out=undefined, where=both > 0)


AgreementScore: TypeAlias = Callable[[PairwiseOverlap], np.ndarray]

AGREEMENT_SCORES: Catalogue[AgreementScore] = Catalogue("agreement score")


@AGREEMENT_SCORES.add(unit="1", higher_is="better", source="Roy et al. 2019, arXiv:1811.09800", label="pairwise Dice")
def mean_pairwise_dice(overlap: PairwiseOverlap) -> Float[np.ndarray, " s"]:
    """How much two members share on average: mean Dice over all pairs of members.

    (2 / M(M - 1)) Σ_{m<k} Dice(m, k), from 0 (nothing shared) to 1 (all the same). Pairs that both lack the structure
    are left out; NaN for a single member, and if no member has the structure.
    """
    return np.array([_mean(values) for values in _pairs(pairwise_dice(overlap))])


@AGREEMENT_SCORES.add(
    unit="1", higher_is="better", source="smallest Dice of a pair of members", label="lowest pairwise Dice"
)
def lowest_pairwise_dice(overlap: PairwiseOverlap) -> Float[np.ndarray, " s"]:
    """Dice of the two members that agree least; one member apart from the others shows here.

    From 0 to 1, at most the mean. NaN for a single member, and if no member has the structure.
    """
    return np.array([np.fmin.reduce(values, initial=np.nan) for values in _pairs(pairwise_dice(overlap))])


def _pairs(matrices: Float[np.ndarray, "s m m"]) -> Iterator[Float[np.ndarray, " p"]]:
    """Yield, per structure, the values of all pairs m < k."""
    above = np.triu_indices(matrices.shape[1], k=1)
    return (matrix[above] for matrix in matrices)


def _mean(values: Float[np.ndarray, " p"]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def bits_of(member: Member) -> UInt64[np.ndarray, "s w"]:
    """Hard masks of a member, one bit per voxel: the most probable class, or p > 0.5 for overlapping regions."""
    classes, p = member.classes, member.probabilities
    if not classes.exclusive:
        return pack_masks(p > 0.5)
    return packed_labels(labels_of(p), len(classes.structures)).view(np.uint64)


def count_bits(bits: UInt64[np.ndarray, "s w"]) -> Int64[np.ndarray, " s"]:
    """Voxels of each mask."""
    return np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
