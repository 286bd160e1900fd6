"""How uncertain is each voxel, and of which kind: the decomposition of predictive uncertainty over members.

Exclusive classes share one distribution per voxel and one map; overlapping regions are one yes-or-no question each
and get a frame each. Natural logarithm, unit nat, 0 · log 0 = 0.

Means move with every member instead of summing up, so that float32 suffices: the error of every entropy is below
1e-6 nat for 100 members and 1e-5 for 1000, and members that all say the same have exactly no mutual information.

What the names claim: `expected_entropy` is read as aleatoric and `mutual_information` as epistemic uncertainty when
members differ by their weights; where members are data hypotheses (a stochastic segmentation network) the roles swap.

One member measures no disagreement: quantities of disagreement are NaN there, not 0.

Sources: Depeweg et al. 2018, arXiv:1710.07283; Kahl et al. 2024 (ValUES), arXiv:2401.08501.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from plausible.core import Catalogue, Classes, Member
from plausible.measure.layout import channels, memory_order, rows, zeros_in


@dataclass(frozen=True, slots=True, eq=False)
class VoxelStatistics:
    """Means over members, from which the decomposition is read.

    Attributes:
        n_members: how many members were pooled.
        mean_probability: (1/M) Σ_m p_m, per channel.
        mean_entropy: (1/M) Σ_m H(p_m) in nat; one frame for exclusive classes, one per region for overlapping ones.
        exclusive: whether channels exclude each other.
    """

    n_members: int
    mean_probability: Float[np.ndarray, "c i j k"]
    mean_entropy: Float[np.ndarray, "f i j k"]
    exclusive: bool

    @classmethod
    def of(cls, member: Member, *, dtype: type = np.float32) -> "VoxelStatistics":
        """Return the statistic of one member; float64 is slower, and exact to 1e-14 nat."""
        shape, exclusive = member.probabilities.shape, member.classes.exclusive
        order = memory_order(member.probabilities)
        entropy = zeros_in(order, (1, *shape[1:]) if exclusive else shape, dtype)
        return cls(0, zeros_in(order, shape, dtype), entropy, exclusive).add(member)

    def merge(self, other: "VoxelStatistics") -> "VoxelStatistics":
        """Return the statistic of the members of both."""
        n = self.n_members + other.n_members
        weight = self.mean_probability.dtype.type(other.n_members / n)
        return VoxelStatistics(
            n,
            self.mean_probability + (other.mean_probability - self.mean_probability) * weight,
            self.mean_entropy + (other.mean_entropy - self.mean_entropy) * weight,
            self.exclusive,
        )

    def join(self, *others: "VoxelStatistics", axis: int) -> "VoxelStatistics":
        """Return the statistic of the voxels of all, one after the other along an axis."""
        parts = (self, *others)
        mean = np.concatenate([part.mean_probability for part in parts], axis=axis + 1)
        entropy = np.concatenate([part.mean_entropy for part in parts], axis=axis + 1)
        return VoxelStatistics(self.n_members, mean, entropy, self.exclusive)

    def add(self, member: Member) -> "VoxelStatistics":
        """Return the statistic with one member more, in the same memory."""
        n = self.n_members + 1
        if self.mean_probability.dtype == np.float32:
            self._fold(member.probabilities, np.float32(1 / n))
        else:
            exact = np.clip(member.probabilities.astype(np.float64), 0, 1)
            np.add(self.mean_probability, (exact - self.mean_probability) / n, out=self.mean_probability)
            entropy = _exact_entropy(exact, exclusive=self.exclusive)
            np.add(self.mean_entropy, (entropy - self.mean_entropy) / n, out=self.mean_entropy)
        return VoxelStatistics(n, self.mean_probability, self.mean_entropy, self.exclusive)

    def _fold(self, p: Float[np.ndarray, "c i j k"], weight: np.float32) -> None:
        from plausible.measure import kernels

        order = memory_order(self.mean_probability)
        probability, entropy = rows(self.mean_probability, order), rows(self.mean_entropy, order)
        fold = kernels.fold_classes if self.exclusive else kernels.fold_regions
        fold(*channels(p, order), probability, entropy, weight)


VoxelMeasure: TypeAlias = Callable[[Any], np.ndarray]

VOXEL_MEASURES: Catalogue[VoxelMeasure] = Catalogue("voxel measure")


def highest_entropy(n_channels: int, *, exclusive: bool) -> float:
    """Largest entropy of one voxel in nat: log C for exclusive classes, log 2 for each overlapping region."""
    return float(np.log(n_channels if exclusive else 2))


def _entropy_limit(classes: Classes) -> float:
    return highest_entropy(len(classes.names), exclusive=classes.exclusive)


@VOXEL_MEASURES.add(
    unit="1",
    higher_is="neither",
    source="linear opinion pool: Stone 1961, doi:10.1214/aoms/1177704873",
    reads=VoxelStatistics,
    upper=lambda classes: 1.0,
)
def mean_probability(statistics: VoxelStatistics) -> Float[np.ndarray, "c i j k"]:
    """Probability of each class, averaged over the members.

    p̄ = (1/M) Σ_m p_m: the linear pool, an average of probabilities and never of logits.
    """
    return np.clip(statistics.mean_probability, 0, 1)


@VOXEL_MEASURES.add(
    unit="nat",
    higher_is="worse",
    source="Depeweg et al. 2018, arXiv:1710.07283",
    reads=VoxelStatistics,
    upper=_entropy_limit,
)
def predictive_entropy(statistics: VoxelStatistics) -> Float[np.ndarray, "f i j k"]:
    """Total uncertainty of the members' mean: how hard it is to name the class of this voxel.

    H(p̄) = -Σ_c p̄_c log p̄_c, from 0 (certain) to log C; per region for overlapping regions, up to log 2.
    Equals expected entropy + mutual information.
    """
    mean = statistics.mean_probability
    if mean.dtype != np.float32:
        return _within(_exact_entropy(mean, exclusive=statistics.exclusive), statistics)
    from plausible.measure import kernels

    order = memory_order(mean)
    out = zeros_in(order, statistics.mean_entropy.shape, np.float32)
    write = kernels.write_entropy_of_classes if statistics.exclusive else kernels.write_entropy_of_regions
    write(*channels(mean, order), len(mean), rows(out, order))
    return _within(out, statistics)


@VOXEL_MEASURES.add(
    unit="nat",
    higher_is="worse",
    source="Depeweg et al. 2018, arXiv:1710.07283",
    reads=VoxelStatistics,
    upper=_entropy_limit,
)
def expected_entropy(statistics: VoxelStatistics) -> Float[np.ndarray, "f i j k"]:
    """Uncertainty that the members share: the mean of each member's own entropy.

    (1/M) Σ_m H(p_m), from 0 to log C. Read as aleatoric uncertainty when members differ by their weights.
    """
    return _within(statistics.mean_entropy.copy(), statistics)


@VOXEL_MEASURES.add(
    unit="nat",
    higher_is="worse",
    source="Depeweg et al. 2018, arXiv:1710.07283",
    reads=VoxelStatistics,
    upper=_entropy_limit,
)
def mutual_information(statistics: VoxelStatistics) -> Float[np.ndarray, "f i j k"]:
    """Uncertainty from the members' disagreement: what knowing the member would tell about the class.

    H(p̄) - (1/M) Σ_m H(p_m), from 0 (all members say the same) to log min(M, C); the generalised Jensen-Shannon
    divergence of the members. Clipped at 0 against rounding. NaN for a single member.
    """
    apart = predictive_entropy(statistics)
    apart -= expected_entropy(statistics)
    return needs_two(np.maximum(apart, 0, out=apart), statistics.n_members)


@VOXEL_MEASURES.add(
    unit="1",
    higher_is="worse",
    source="Hendrycks and Gimpel 2017, arXiv:1610.02136",
    label="1 - max probability",
    reads=VoxelStatistics,
    upper=lambda classes: 1 - 1 / len(classes.names) if classes.exclusive else 0.5,
)
def one_minus_max_probability(statistics: VoxelStatistics) -> Float[np.ndarray, "f i j k"]:
    """How far the winning class is from certain: one minus the largest mean probability.

    1 - max_c p̄_c, from 0 to 1 - 1/C; min(p̄, 1 - p̄) per region for overlapping regions.
    """
    mean = mean_probability(statistics)
    if not statistics.exclusive:
        return np.minimum(mean, 1 - mean)
    return np.minimum(1 - mean.max(axis=0, keepdims=True), 1 - 1 / len(mean))


def needs_two(values: np.ndarray, n_members: int) -> np.ndarray:
    """Return a quantity of disagreement, NaN where there is only one member."""
    return values if n_members > 1 else np.full_like(values, np.nan)


def outcomes(p: np.ndarray, *, exclusive: bool) -> Float[np.ndarray, "o f i j k"]:
    """Distributions: over the classes in one frame, or over present and absent in a frame per region."""
    return p[:, np.newaxis] if exclusive else np.stack([p, 1 - p])


def _within(entropy: np.ndarray, statistics: VoxelStatistics) -> np.ndarray:
    """Clip to the range of an entropy, in place: probabilities may sum to 1 only within 0.01."""
    upper = highest_entropy(len(statistics.mean_probability), exclusive=statistics.exclusive)
    return np.clip(entropy, 0, upper, out=entropy)


def _exact_entropy(p: np.ndarray, *, exclusive: bool) -> Float[np.ndarray, "f i j k"]:
    """Entropy in nat by numpy, in the precision of the input."""
    q = outcomes(p, exclusive=exclusive)
    entropy: np.ndarray = -(q * np.log(np.where(q > 0, q, 1))).sum(axis=0)
    return entropy
