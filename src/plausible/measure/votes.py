"""How many members put each voxel into each structure."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Integer

from plausible.core import Member
from plausible.measure.voxel import VOXEL_MEASURES


@dataclass(frozen=True, slots=True, eq=False)
class VoteCounts:
    """How many members put each voxel into each structure.

    Attributes:
        n_members: how many members voted.
        votes: members whose mask has the voxel, per structure; the first of equally probable classes wins.
    """

    n_members: int
    votes: Integer[np.ndarray, "s i j k"]

    @classmethod
    def of(cls, member: Member) -> "VoteCounts":
        """Return the statistic of one member: its masks."""
        return cls(1, member.classes.masks(member.probabilities).astype(np.uint16))

    def merge(self, other: "VoteCounts") -> "VoteCounts":
        """Return the statistic of the members of both."""
        return VoteCounts(self.n_members + other.n_members, self.votes + other.votes)

    def join(self, *others: "VoteCounts", axis: int) -> "VoteCounts":
        """Return the statistic of the voxels of all, one after the other along an axis."""
        return VoteCounts(self.n_members, np.concatenate([p.votes for p in (self, *others)], axis=axis + 1))

    def add(self, member: Member) -> "VoteCounts":
        """Return the statistic with one member more, in the same memory."""
        np.add(self.votes, member.classes.masks(member.probabilities), out=self.votes)
        return VoteCounts(self.n_members + 1, self.votes)


@VOXEL_MEASURES.add(unit="1", higher_is="neither", source="majority vote", reads=VoteCounts, upper=lambda classes: 1.0)
def vote_share(counts: VoteCounts) -> Float32[np.ndarray, "s i j k"]:
    """Share of the members that put this voxel into the structure, from 0 to 1; one frame per structure."""
    share: np.ndarray = counts.votes / np.float32(counts.n_members)
    return share.astype(np.float32, copy=False)
