"""How far apart are the members at each voxel: variance of their probabilities, and divergence between pairs of them.

Both are second moments around the means, updated member by member (Welford 1962, doi:10.1080/00401706.1962.10490022)
and merged pairwise (Chan et al. 1983, doi:10.1080/00031305.1983.10483115), so that float32 loses nothing to
cancellation and members that all say the same have exactly no spread.

One member measures no disagreement: NaN, not 0.

Sources: Malinin and Gales 2021, arXiv:2002.07650 (expected pairwise KL).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from plausible.core import Classes, Member
from plausible.measure.voxel import VOXEL_MEASURES, needs_two, outcomes

PROBABILITY_FLOOR = 1 / 131070
"""Smallest probability inside a logarithm that stands alone: half a step of the member store, 0 below it."""


@dataclass(frozen=True, slots=True, eq=False)
class VoxelSpread:
    """Means over members and what lies around them.

    `o` counts outcomes: the classes, or present and absent for each overlapping region (one frame each).

    Attributes:
        n_members: how many members were pooled.
        mean: q̄ = (1/M) Σ_m q_m.
        mean_log: (1/M) Σ_m log q_m in nat, q floored at PROBABILITY_FLOOR.
        square_sum: Σ_m Σ_o (q_m - q̄)².
        product_sum: Σ_m Σ_o (q_m - q̄) · (log q_m - mean_log), in nat.
    """

    n_members: int
    mean: Float[np.ndarray, "o f i j k"]
    mean_log: Float[np.ndarray, "o f i j k"]
    square_sum: Float[np.ndarray, "f i j k"]
    product_sum: Float[np.ndarray, "f i j k"]

    @classmethod
    def of(cls, member: Member, *, dtype: type = np.float32) -> "VoxelSpread":
        """Return the statistic of one member."""
        p: np.ndarray = np.clip(member.probabilities, 0, 1).astype(dtype, copy=False)
        q = outcomes(p, exclusive=member.classes.exclusive)
        none = np.zeros_like(q[0])
        return cls(1, q, np.log(np.maximum(q, dtype(PROBABILITY_FLOOR))), none, none)

    def merge(self, other: "VoxelSpread") -> "VoxelSpread":
        """Return the statistic of the members of both."""
        n = self.n_members + other.n_members
        weight = self.mean.dtype.type(other.n_members / n)
        apart, logs_apart = other.mean - self.mean, other.mean_log - self.mean_log
        between = weight * self.n_members
        return VoxelSpread(
            n,
            self.mean + apart * weight,
            self.mean_log + logs_apart * weight,
            self.square_sum + other.square_sum + np.square(apart).sum(axis=0) * between,
            self.product_sum + other.product_sum + (apart * logs_apart).sum(axis=0) * between,
        )

    def join(self, *others: "VoxelSpread", axis: int) -> "VoxelSpread":
        """Return the statistic of the voxels of all, one after the other along an axis."""
        parts = (self, *others)
        return VoxelSpread(
            self.n_members,
            np.concatenate([part.mean for part in parts], axis=axis + 2),
            np.concatenate([part.mean_log for part in parts], axis=axis + 2),
            np.concatenate([part.square_sum for part in parts], axis=axis + 1),
            np.concatenate([part.product_sum for part in parts], axis=axis + 1),
        )


def _largest_variance(classes: Classes) -> float:
    return 0.5 * (1 - 1 / len(classes.names)) if classes.exclusive else 0.25


@VOXEL_MEASURES.add(
    unit="1", higher_is="worse", source="law of total variance", reads=VoxelSpread, upper=_largest_variance
)
def variance(spread: VoxelSpread) -> Float[np.ndarray, "f i j k"]:
    """Spread of the members' probabilities around their mean.

    ½ Σ_o Var_m[q_mo]: with two classes, or per overlapping region, the variance of the probability that the structure
    is present. Divided by M, not M - 1. From 0 to ½(1 - 1/C), ¼ for two classes. NaN for a single member.
    """
    return needs_two(spread.square_sum / (2 * spread.n_members), spread.n_members)


@VOXEL_MEASURES.add(
    unit="nat",
    higher_is="worse",
    source="Malinin and Gales 2021, arXiv:2002.07650",
    label="expected pairwise KL",
    reads=VoxelSpread,
    upper=lambda classes: float(-np.log(PROBABILITY_FLOOR)),
)
def expected_pairwise_kl(spread: VoxelSpread) -> Float[np.ndarray, "f i j k"]:
    """Mean divergence between two members drawn at random: disagreement that does not level off.

    EPKL = (1/M²) Σ_m Σ_k KL(p_m ‖ p_k) = Σ_o Cov_m[q_mo, log q_mo]; equals mutual information plus
    (1/M) Σ_m KL(p̄ ‖ p_m). Probabilities are floored at 1/131070 inside the logarithm, so that it ends at 11.8 nat
    instead of infinity. NaN for a single member.
    """
    return needs_two(np.maximum(spread.product_sum / spread.n_members, 0), spread.n_members)
