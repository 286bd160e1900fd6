"""What is read from the hard masks of one walk: sizes, and what each two segmentations share. Masks are made once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt64

from plausible.aggregate import MemberVolumes, PairwiseOverlap
from plausible.aggregate.agreement import bits_of
from plausible.core import Member


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """`PairwiseOverlap` and `MemberVolumes` of the same members."""

    overlap: PairwiseOverlap
    volumes: MemberVolumes

    @classmethod
    def of(cls, member: Member, *, bits: UInt64[np.ndarray, "s w"] | None = None) -> "Decisions":
        """Return both of one member; `bits` are those of its masks, where they are made already."""
        bits = bits_of(member) if bits is None else bits
        return cls(PairwiseOverlap.of(member, bits=bits), MemberVolumes.of(member, bits=bits))

    def merge(self, other: "Decisions") -> "Decisions":
        """Return both of the members of both."""
        return Decisions(self.overlap.merge(other.overlap), self.volumes.merge(other.volumes))

    def join(self, *others: "Decisions", axis: int) -> "Decisions":
        """Return both in the voxels of all; along which axis they follow does not matter."""
        return Decisions(
            self.overlap.join(*(other.overlap for other in others), axis=axis),
            self.volumes.join(*(other.volumes for other in others), axis=axis),
        )
