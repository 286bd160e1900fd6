"""The hard masks of all members at once, one bit per voxel: for what has to look at the members side by side."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from plausible.aggregate.hard import labels_of, packed_labels
from plausible.core import Member

CHUNK = 30
"""Members whose decisions are written into one integer at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskStack:
    """Masks of every member.

    Attributes:
        structures: organs and targets.
        members: names of the members.
        shape: voxels along i, j, k.
        bits: masks, one array per member: structure, then voxels in C order, filled up with zeros.
    """

    structures: tuple[str, ...]
    members: tuple[str, ...]
    shape: tuple[int, int, int]
    bits: tuple[UInt8[np.ndarray, "s w"], ...]

    @classmethod
    def of(cls, member: Member) -> "MaskStack":
        """Return the masks of one member: the most probable class, or p > 0.5 for overlapping regions."""
        structures, p, shape = member.classes.structures, member.probabilities, member.geometry.shape
        if not member.classes.exclusive:
            return cls(structures, (member.info.id,), shape, (_pack(p > 0.5),))
        bits = packed_labels(labels_of(p), len(structures))[:, : -(-math.prod(shape) // 8)]
        return cls(structures, (member.info.id,), shape, (bits,))

    def merge(self, other: "MaskStack") -> "MaskStack":
        """Return the masks of the members of both, which must cover the same voxels.

        Raises:
            ValueError: other structures or another grid.
        """
        if (self.structures, self.shape) != (other.structures, other.shape):
            raise ValueError("only members with the same structures and the same voxels can be stacked")
        return MaskStack(self.structures, self.members + other.members, self.shape, self.bits + other.bits)

    def join(self, *others: "MaskStack", axis: int) -> "MaskStack":
        """Return the masks in the voxels of all, one after the other along an axis."""
        parts = (self, *others)
        bits = []
        for m in range(len(self.members)):
            masks = [[part.mask(m, s) for part in parts] for s in range(len(self.structures))]
            bits.append(np.concatenate([_pack(np.concatenate(rows, axis=axis)[np.newaxis]) for rows in masks]))
        shape = list(self.shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        return MaskStack(self.structures, self.members, (shape[0], shape[1], shape[2]), tuple(bits))

    def mask(self, member: int, structure: int) -> Bool[np.ndarray, "i j k"]:
        """Mask of one structure in one member, by their places."""
        flat = np.unpackbits(self.bits[member][structure], count=math.prod(self.shape))
        return flat.reshape(self.shape).view(np.bool_)

    def union(self, structure: int) -> Bool[np.ndarray, "i j k"]:
        """Voxels that at least one member puts into the structure."""
        packed = np.bitwise_or.reduce([bits[structure] for bits in self.bits])
        return np.unpackbits(packed, count=math.prod(self.shape)).reshape(self.shape).view(np.bool_)

    def patterns(
        self, structure: int
    ) -> tuple[Bool[np.ndarray, "m p"], Int64[np.ndarray, " p"], Int64[np.ndarray, " n"]]:
        """Which members marked what together: each combination that occurs, the one of nobody first.

        Returns:
            Decisions of the members per combination; voxels that have it; and, for the voxels of `union` in C order,
            the place of their combination.
        """
        union = self.union(structure)
        codes = np.zeros(int(np.count_nonzero(union)), np.int64)
        for start in range(0, len(self.members), CHUNK):
            for m in range(start, min(start + CHUNK, len(self.members))):
                codes = 2 * codes + self.mask(m, structure)[union]
            codes = np.unique(codes, return_inverse=True)[1]
        count = np.bincount(codes)
        example = np.zeros(len(count), np.int64)
        example[codes] = np.flatnonzero(union)
        decisions = [self.mask(m, structure).ravel()[example] for m in range(len(self.members))]
        nobody = np.zeros((len(self.members), 1), dtype=bool)
        counts = np.concatenate([[union.size - len(codes)], count]).astype(np.int64)
        return np.concatenate([nobody, np.array(decisions)], axis=1), counts, codes + 1


def _pack(masks: Bool[np.ndarray, "s i j k"]) -> UInt8[np.ndarray, "s w"]:
    return np.packbits(masks.reshape(len(masks), -1), axis=1)
