"""How large is each structure, and how far do the members differ in its size?

Two volumes per member and structure: of the hard mask (the most probable class, or p > 0.5 for overlapping regions)
and the expected one, the sum of the probabilities. They differ where a member is unsure: the mean of the hard volumes
is the sum of the vote share, the mean of the expected ones the sum of the mean probability.

Voxels are counted as integers and probabilities summed as float64, so that slabs add up to the whole. A structure that
no member has is 0 ml, not NaN; what is undefined there is its relative spread.

Sources: Roy et al. 2019, arXiv:1811.09800 (coefficient of variation of the volume); Hyndman and Fan
1996, doi:10.1080/00031305.1996.10473566 (quantiles).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt64

from plausible.aggregate.agreement import bits_of, count_bits
from plausible.aggregate.hard import channel_sums
from plausible.core import Catalogue, Member


@dataclass(frozen=True, slots=True, eq=False)
class MemberVolumes:
    """Size of every structure in every member.

    Attributes:
        structures: organs and targets, in the order of the columns.
        members: names of the members, in the order of the rows.
        voxels: voxels of each hard mask.
        probability_sum: sum of the probability of each structure.
        voxel_volume_ml: volume of one voxel in ml.
    """

    structures: tuple[str, ...]
    members: tuple[str, ...]
    voxels: Int64[np.ndarray, "m s"]
    probability_sum: Float64[np.ndarray, "m s"]
    voxel_volume_ml: float

    @classmethod
    def of(cls, member: Member, *, bits: UInt64[np.ndarray, "s w"] | None = None) -> "MemberVolumes":
        """Return the volumes of one member; `bits` are those of `bits_of`, where they are made already."""
        names, member_ids = member.classes.structures, (member.info.id,)
        sums = channel_sums(member.probabilities)[len(member.classes.names) - len(names) :]
        voxels = count_bits(bits_of(member) if bits is None else bits)
        return cls(names, member_ids, voxels[np.newaxis], sums[np.newaxis], member.geometry.voxel_volume_ml)

    def merge(self, other: "MemberVolumes") -> "MemberVolumes":
        """Return the volumes of the members of both.

        Raises:
            ValueError: other structures, or voxels of another size.
        """
        self._check(other)
        return MemberVolumes(
            self.structures,
            self.members + other.members,
            np.concatenate([self.voxels, other.voxels]),
            np.concatenate([self.probability_sum, other.probability_sum]),
            self.voxel_volume_ml,
        )

    def join(self, *others: "MemberVolumes", axis: int) -> "MemberVolumes":
        """Return the volumes in the voxels of all; along which axis they follow does not matter.

        Raises:
            ValueError: other structures or members, or voxels of another size.
        """
        for other in others:
            self._check(other)
            if other.members != self.members:
                raise ValueError(f"slabs of other members: {other.members} instead of {self.members}")
        parts = (self, *others)
        voxels = np.stack([part.voxels for part in parts]).sum(axis=0)
        sums = np.stack([part.probability_sum for part in parts]).sum(axis=0)
        return MemberVolumes(self.structures, self.members, voxels, sums, self.voxel_volume_ml)

    @property
    def volumes_ml(self) -> Float64[np.ndarray, "m s"]:
        """Volume of each hard mask in ml."""
        return self.voxels * self.voxel_volume_ml

    @property
    def expected_ml(self) -> Float64[np.ndarray, "m s"]:
        """Expected (soft) volume in ml: sum of the probability times the volume of a voxel."""
        return self.probability_sum * self.voxel_volume_ml

    def _check(self, other: "MemberVolumes") -> None:
        if other.structures != self.structures:
            raise ValueError(f"volumes of other structures: {other.structures} instead of {self.structures}")
        if not np.isclose(other.voxel_volume_ml, self.voxel_volume_ml, rtol=1e-6, atol=0):
            raise ValueError(f"voxels of {other.voxel_volume_ml:.6g} ml instead of {self.voxel_volume_ml:.6g} ml")


VolumeScore: TypeAlias = Callable[[MemberVolumes], np.ndarray]

VOLUME_SCORES: Catalogue[VolumeScore] = Catalogue("volume score")


@VOLUME_SCORES.add(unit="ml", higher_is="neither", source="arithmetic mean", label="mean volume")
def volume_mean(volumes: MemberVolumes) -> Float[np.ndarray, " s"]:
    """Mean over the members of the volume of the hard mask, in ml; 0 if no member has the structure."""
    return volumes.volumes_ml.mean(axis=0)


@VOLUME_SCORES.add(unit="ml", higher_is="worse", source="sample standard deviation", label="SD of volume")
def volume_sd(volumes: MemberVolumes) -> Float[np.ndarray, " s"]:
    """Standard deviation over the members of the volume of the hard mask, in ml.

    sqrt(Σ_m (V_m - V̄)² / (M - 1)), from 0 (all the same). NaN for a single member.
    """
    if len(volumes.members) < 2:
        return np.full(len(volumes.structures), np.nan)
    return volumes.volumes_ml.std(axis=0, ddof=1)


@VOLUME_SCORES.add(unit="1", higher_is="worse", source="Roy et al. 2019, arXiv:1811.09800", label="CV of volume")
def volume_cv(volumes: MemberVolumes) -> Float[np.ndarray, " s"]:
    """Standard deviation of the members' volumes as a share of their mean (coefficient of variation).

    From 0 (all the same) to sqrt(M) (one member alone has the structure). NaN for a single member, and if no member
    has the structure.
    """
    mean = volume_mean(volumes)
    undefined = np.full_like(mean, np.nan)
    return np.divide(volume_sd(volumes), mean, out=undefined, where=mean > 0)


@VOLUME_SCORES.add(unit="ml", higher_is="neither", source="expectation of a sum")
def expected_volume(volumes: MemberVolumes) -> Float[np.ndarray, " s"]:
    """Volume to expect: sum of the mean probability of the structure, in ml.

    Σ_v p̄(v) times the volume of a voxel. Not the volume of p̄ > 0.5, nor the mean of the members' hard masks.
    """
    return volumes.expected_ml.mean(axis=0)


def volume_interval(volumes: MemberVolumes, *, level: float) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """Range in ml of the middle share of the members' volumes. Not calibrated: it promises no coverage.

    Empirical quantiles at (1 - level)/2 and (1 + level)/2 of the volumes of the hard masks, linear between two members
    (type 7 of Hyndman and Fan 1996).

    Args:
        volumes: volumes of the members.
        level: share of the members inside, above 0 and below 1.

    Returns:
        Lower and upper end per structure; NaN for a single member, which has no range.

    Raises:
        ValueError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if len(volumes.members) < 2:
        undefined = np.full(len(volumes.structures), np.nan)
        return undefined, undefined.copy()
    low, high = np.quantile(volumes.volumes_ml, [(1 - level) / 2, (1 + level) / 2], axis=0, method="linear")
    return low, high
