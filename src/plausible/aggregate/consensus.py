"""How far are the members from what they say together? Each member against the consensus, and all of them at once.

The consensus is the segmentation of the mean probability. It is known once all members were seen, so the overlap is
counted from the bits that `PairwiseOverlap` keeps of a slab, or in a second walk.

One member is its own consensus and nothing can disagree: NaN. So is a structure that neither the consensus nor any
member has.

Sources: Molchanova et al. 2025, arXiv:2311.08931 (PSU, with IoU); Roy et al. 2019, arXiv:1811.09800 (IoU of all).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int64

from plausible.aggregate.agreement import PairwiseOverlap, count_bits
from plausible.aggregate.hard import pack_masks
from plausible.core import Catalogue, Members, walk


@dataclass(frozen=True, slots=True, eq=False)
class ConsensusOverlap:
    """Voxels that the consensus shares with each member, and that all or any of the members have.

    Attributes:
        structures: organs and targets.
        members: names of the members.
        consensus: voxels of the consensus.
        sizes: voxels of each member.
        shared: voxels of both.
        in_all: voxels that every member has.
        in_any: voxels that at least one member has.
    """

    structures: tuple[str, ...]
    members: tuple[str, ...]
    consensus: Int64[np.ndarray, " s"]
    sizes: Int64[np.ndarray, "m s"]
    shared: Int64[np.ndarray, "m s"]
    in_all: Int64[np.ndarray, " s"]
    in_any: Int64[np.ndarray, " s"]

    @classmethod
    def of(cls, predicted: Bool[np.ndarray, "s i j k"], overlap: PairwiseOverlap) -> "ConsensusOverlap":
        """Count in one slab, from the masks of the consensus and the bits of all members there.

        Raises:
            ValueError: slabs were joined before: the bits are gone.
        """
        if not overlap.bits:
            raise ValueError("count the consensus in each slab before joining slabs: joined slabs keep only counts")
        bits = np.array(overlap.bits)
        consensus = pack_masks(predicted)
        return cls(
            overlap.structures,
            overlap.members,
            count_bits(consensus),
            np.array([count_bits(one) for one in bits]),
            np.array([count_bits(one & consensus) for one in bits]),
            count_bits(np.bitwise_and.reduce(bits)),
            count_bits(np.bitwise_or.reduce(bits)),
        )

    def join(self, *others: "ConsensusOverlap", axis: int) -> "ConsensusOverlap":
        """Return the counts in the voxels of all; along which axis they follow does not matter.

        Raises:
            ValueError: other structures or members.
        """
        parts = (self, *others)
        if any((part.structures, part.members) != (self.structures, self.members) for part in others):
            raise ValueError(f"slabs of other members or structures than {self.members}, {self.structures}")
        return ConsensusOverlap(
            self.structures,
            self.members,
            np.sum([part.consensus for part in parts], axis=0),
            np.sum([part.sizes for part in parts], axis=0),
            np.sum([part.shared for part in parts], axis=0),
            np.sum([part.in_all for part in parts], axis=0),
            np.sum([part.in_any for part in parts], axis=0),
        )


def consensus_overlap(
    members: Members, predicted: Bool[np.ndarray, "s i j k"], *, slab_voxels: int | None = None
) -> ConsensusOverlap:
    """Walk over the members and compare each with the consensus.

    Args:
        members: the plausible segmentations.
        predicted: masks of the consensus, such as `CaseMasks.predicted`.
        slab_voxels: work in slabs of about this many voxels; None walks whole members.
    """
    parts = []
    for (start, stop), collected in walk(members, PairwiseOverlap, slab_voxels=slab_voxels):
        within = (slice(None),) * (members.slab_axis + 1) + (slice(start, stop),)
        parts.append(ConsensusOverlap.of(predicted[within], collected[PairwiseOverlap]))
    return parts[0].join(*parts[1:], axis=members.slab_axis)


ConsensusScore: TypeAlias = Callable[[ConsensusOverlap], np.ndarray]

CONSENSUS_SCORES: Catalogue[ConsensusScore] = Catalogue("consensus score")


@CONSENSUS_SCORES.add(
    unit="1",
    higher_is="worse",
    source="Molchanova et al. 2025, arXiv:2311.08931",
    label="structural uncertainty (IoU)",
)
def predicted_structure_uncertainty(overlap: ConsensusOverlap) -> Float[np.ndarray, " s"]:
    """How little the members share with the consensus on average (PSU).

    1 - (1/M) Σ_m IoU(consensus, member m), from 0 (all the same) to 1 (nothing shared). Members that lack a structure
    which the consensus lacks too are left out. NaN for a single member, and if nobody has the structure.
    """
    return 1 - _mean_over_members(overlap, overlap.consensus + overlap.sizes - overlap.shared, overlap.shared)


@CONSENSUS_SCORES.add(
    unit="1",
    higher_is="worse",
    source="Molchanova et al. 2025, arXiv:2311.08931; here with Dice",
    label="structural uncertainty (Dice)",
)
def predicted_structure_uncertainty_dice(overlap: ConsensusOverlap) -> Float[np.ndarray, " s"]:
    """How little the members share with the consensus on average, by Dice: smaller than by IoU for the same masks.

    1 - (1/M) Σ_m Dice(consensus, member m), from 0 to 1. NaN as by IoU.
    """
    return 1 - _mean_over_members(overlap, overlap.consensus + overlap.sizes, 2 * overlap.shared)


@CONSENSUS_SCORES.add(
    unit="1", higher_is="better", source="Roy et al. 2019, arXiv:1811.09800", label="IoU of all members"
)
def iou_of_all_members(overlap: ConsensusOverlap) -> Float[np.ndarray, " s"]:
    """Voxels that all members share, as a share of those that any of them has.

    |∩_m A_m| / |∪_m A_m|, from 0 to 1 (all the same); falls with every further member. NaN for a single member, and if
    no member has the structure.
    """
    undefined = np.full(len(overlap.structures), math.nan)
    if len(overlap.members) < 2:
        return undefined
    return np.divide(overlap.in_all, overlap.in_any, out=undefined, where=overlap.in_any > 0)


def _mean_over_members(
    overlap: ConsensusOverlap, whole: Int64[np.ndarray, "m s"], part: Int64[np.ndarray, "m s"]
) -> Float[np.ndarray, " s"]:
    """Mean of part / whole over the members for which it is defined."""
    undefined = np.full(len(overlap.structures), math.nan)
    if len(overlap.members) < 2:
        return undefined
    defined = whole > 0
    ratios = np.divide(part, whole, out=np.zeros(whole.shape), where=defined)
    return np.divide(ratios.sum(axis=0), defined.sum(axis=0), out=undefined, where=defined.any(axis=0))
