"""How uncertain is each voxel, and of which kind: the decomposition of predictive uncertainty over members.

Exclusive classes share one distribution per voxel and one map; overlapping regions are one yes-or-no question each
and get a frame each. Natural logarithm, unit nat, 0 · log 0 = 0. Sums run in float32 (error below 2e-6 nat for 100
members), so mutual information is clipped at 0.

What the names claim: `expected_entropy` is read as aleatoric and `mutual_information` as epistemic uncertainty when
members differ by their weights; where members are data hypotheses (a stochastic segmentation network) the roles swap.

One member measures no disagreement: quantities of disagreement are NaN there, not 0.

Sources: Depeweg et al. 2018, arXiv:1710.07283; Kahl et al. 2024 (ValUES), arXiv:2401.08501; Malinin and Gales 2021,
arXiv:2002.07650 (expected pairwise KL).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Integer

from plausible.core import Catalogue, Classes, Member
from plausible.measure import kernels

PROBABILITY_FLOOR = 1 / 131070
"""Smallest probability inside a logarithm that stands alone: half a step of the member store, 0 below it."""


@dataclass(frozen=True, slots=True, eq=False)
class VoxelStatistics:
    """Sums over members, from which the decomposition is read.

    Attributes:
        n_members: how many members were pooled.
        probability_sum: Σ_m p_m, per channel.
        entropy_sum: Σ_m H(p_m) in nat; one frame for exclusive classes, one per region for overlapping ones.
        exclusive: whether channels exclude each other.
    """

    n_members: int
    probability_sum: Float[np.ndarray, "c i j k"]
    entropy_sum: Float[np.ndarray, "f i j k"]
    exclusive: bool

    @classmethod
    def of(cls, member: Member, *, dtype: type = np.float32) -> "VoxelStatistics":
        """Return the statistic of one member; float64 is slower, and exact to 1e-15 nat."""
        sums = _zeros_like(member.probabilities, dtype)
        entropies = _zeros_like(member.probabilities[:1] if member.classes.exclusive else member.probabilities, dtype)
        return cls(0, sums, entropies, member.classes.exclusive).add(member)

    def merge(self, other: "VoxelStatistics") -> "VoxelStatistics":
        """Return the statistic of the members of both."""
        return VoxelStatistics(
            self.n_members + other.n_members,
            self.probability_sum + other.probability_sum,
            self.entropy_sum + other.entropy_sum,
            self.exclusive,
        )

    def join(self, *others: "VoxelStatistics", axis: int) -> "VoxelStatistics":
        """Return the statistic of the voxels of all, one after the other along an axis."""
        parts = (self, *others)
        sums = np.concatenate([part.probability_sum for part in parts], axis=axis + 1)
        entropies = np.concatenate([part.entropy_sum for part in parts], axis=axis + 1)
        return VoxelStatistics(self.n_members, sums, entropies, self.exclusive)

    def add(self, member: Member) -> "VoxelStatistics":
        """Return the statistic with one member more, in the same memory."""
        p = member.probabilities
        if self.probability_sum.dtype == np.float32:
            base, stride = _channels(p, like=self.probability_sum)
            kernels.fold(base, stride, _rows(self.probability_sum), _rows(self.entropy_sum))
        else:
            exact = p.astype(np.float64)
            np.add(self.probability_sum, exact, out=self.probability_sum)
            np.add(self.entropy_sum, _entropy(exact, exclusive=self.exclusive), out=self.entropy_sum)
        return VoxelStatistics(self.n_members + 1, self.probability_sum, self.entropy_sum, self.exclusive)


@dataclass(frozen=True, slots=True, eq=False)
class VoxelSpread:
    """Sums over members from which their variance and their pairwise divergence are read.

    `o` counts outcomes: the classes, or present and absent for each overlapping region (one frame each).

    Attributes:
        n_members: how many members were pooled.
        probability_sum: Σ_m q_m.
        square_sum: Σ_m Σ_o q_m².
        log_sum: Σ_m log q_m in nat, q floored at PROBABILITY_FLOOR.
        self_sum: Σ_m Σ_o q_m log q_m in nat, floored likewise.
        exclusive: whether channels exclude each other.
    """

    n_members: int
    probability_sum: Float[np.ndarray, "o f i j k"]
    square_sum: Float[np.ndarray, "f i j k"]
    log_sum: Float[np.ndarray, "o f i j k"]
    self_sum: Float[np.ndarray, "f i j k"]

    @classmethod
    def of(cls, member: Member) -> "VoxelSpread":
        """Return the statistic of one member."""
        q = _outcomes(member.probabilities, exclusive=member.classes.exclusive)
        logs = np.log(np.maximum(q, np.float32(PROBABILITY_FLOOR)))
        return cls(1, q, np.square(q).sum(axis=0), logs, (q * logs).sum(axis=0))

    def merge(self, other: "VoxelSpread") -> "VoxelSpread":
        """Return the statistic of the members of both."""
        return VoxelSpread(
            self.n_members + other.n_members,
            self.probability_sum + other.probability_sum,
            self.square_sum + other.square_sum,
            self.log_sum + other.log_sum,
            self.self_sum + other.self_sum,
        )

    def join(self, *others: "VoxelSpread", axis: int) -> "VoxelSpread":
        """Return the statistic of the voxels of all, one after the other along an axis."""
        parts = (self, *others)
        return VoxelSpread(
            self.n_members,
            np.concatenate([part.probability_sum for part in parts], axis=axis + 2),
            np.concatenate([part.square_sum for part in parts], axis=axis + 1),
            np.concatenate([part.log_sum for part in parts], axis=axis + 2),
            np.concatenate([part.self_sum for part in parts], axis=axis + 1),
        )


@dataclass(frozen=True, slots=True, eq=False)
class VoteCounts:
    """How many members put each voxel into each structure."""

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


VoxelMeasure: TypeAlias = Callable[[Any], np.ndarray]

VOXEL_MEASURES: Catalogue[VoxelMeasure] = Catalogue("voxel measure")


def _highest_entropy(classes: Classes) -> float:
    return float(np.log(len(classes.names) if classes.exclusive else 2))


@VOXEL_MEASURES.add(
    unit="1", higher_is="neither", source="linear opinion pool", reads=VoxelStatistics, upper=lambda classes: 1.0
)
def mean_probability(statistics: VoxelStatistics) -> Float[np.ndarray, "c i j k"]:
    """Probability of each class, averaged over the members.

    p̄ = (1/M) Σ_m p_m: the linear pool, an average of probabilities and never of logits.
    """
    mean = statistics.probability_sum / np.float32(statistics.n_members)
    return np.minimum(mean, 1, out=mean)


@VOXEL_MEASURES.add(
    unit="nat",
    higher_is="worse",
    source="Depeweg et al. 2018, arXiv:1710.07283",
    reads=VoxelStatistics,
    upper=_highest_entropy,
)
def predictive_entropy(statistics: VoxelStatistics) -> Float[np.ndarray, "f i j k"]:
    """Total uncertainty of the members' mean: how hard it is to name the class of this voxel.

    H(p̄) = -Σ_c p̄_c log p̄_c, from 0 (certain) to log C; per region for overlapping regions, up to log 2.
    Equals expected entropy + mutual information.
    """
    if statistics.probability_sum.dtype != np.float32:
        return _entropy(statistics.probability_sum / statistics.n_members, exclusive=statistics.exclusive)
    out = np.empty_like(statistics.entropy_sum)
    kernels.entropy_of_mean(_rows(statistics.probability_sum), statistics.n_members, _rows(out))
    return np.maximum(out, 0, out=out)


@VOXEL_MEASURES.add(
    unit="nat",
    higher_is="worse",
    source="Depeweg et al. 2018, arXiv:1710.07283",
    reads=VoxelStatistics,
    upper=_highest_entropy,
)
def expected_entropy(statistics: VoxelStatistics) -> Float[np.ndarray, "f i j k"]:
    """Uncertainty that the members share: the mean of each member's own entropy.

    (1/M) Σ_m H(p_m), from 0 to log C. Read as aleatoric uncertainty when members differ by their weights.
    """
    mean = statistics.entropy_sum / statistics.entropy_sum.dtype.type(statistics.n_members)
    return np.maximum(mean, 0, out=mean)


@VOXEL_MEASURES.add(
    unit="nat",
    higher_is="worse",
    source="Depeweg et al. 2018, arXiv:1710.07283",
    reads=VoxelStatistics,
    upper=_highest_entropy,
)
def mutual_information(statistics: VoxelStatistics) -> Float[np.ndarray, "f i j k"]:
    """Uncertainty from the members' disagreement: what knowing the member would tell about the class.

    H(p̄) - (1/M) Σ_m H(p_m), from 0 (all members say the same) to log min(M, C); the generalised Jensen-Shannon
    divergence of the members. Clipped at 0 against rounding. NaN for a single member.
    """
    apart = predictive_entropy(statistics)
    apart -= expected_entropy(statistics)
    return _needs_two(np.maximum(apart, 0, out=apart), statistics.n_members)


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
    return np.maximum(1 - mean.max(axis=0, keepdims=True), 0)


@VOXEL_MEASURES.add(
    unit="1",
    higher_is="worse",
    source="law of total variance",
    reads=VoxelSpread,
    upper=lambda classes: 0.5 * (1 - 1 / len(classes.names)) if classes.exclusive else 0.25,
)
def variance(spread: VoxelSpread) -> Float[np.ndarray, "f i j k"]:
    """Spread of the members' probabilities around their mean.

    ½ Σ_o Var_m[q_mo]: with two classes, or per overlapping region, the variance of the probability that the structure
    is present. Divided by M, not M - 1. From 0 to ½(1 - 1/C), ¼ for two classes. NaN for a single member.
    """
    mean = spread.probability_sum / np.float32(spread.n_members)
    apart = (spread.square_sum / np.float32(spread.n_members) - np.square(mean).sum(axis=0)) / 2
    return _needs_two(np.maximum(apart, 0), spread.n_members)


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

    EPKL = (1/M²) Σ_m Σ_k KL(p_m ‖ p_k) = (1/M) Σ_m Σ_o q_m log q_m - Σ_o q̄ (1/M) Σ_k log q_k; equals mutual
    information plus (1/M) Σ_m KL(p̄ ‖ p_m). Probabilities are floored at 1/131070 inside the logarithm, so that it
    ends at 11.8 nat instead of infinity. NaN for a single member.
    """
    n = np.float32(spread.n_members)
    cross = (spread.probability_sum / n * (spread.log_sum / n)).sum(axis=0)
    return _needs_two(np.maximum(spread.self_sum / n - cross, 0), spread.n_members)


@VOXEL_MEASURES.add(unit="1", higher_is="neither", source="majority vote", reads=VoteCounts, upper=lambda classes: 1.0)
def vote_share(counts: VoteCounts) -> Float[np.ndarray, "s i j k"]:
    """Share of the members that put this voxel into the structure, from 0 to 1; one frame per structure."""
    return (counts.votes / np.float32(counts.n_members)).astype(np.float32)


def _needs_two(values: np.ndarray, n_members: int) -> np.ndarray:
    return values if n_members > 1 else np.full_like(values, np.nan)


def _outcomes(p: np.ndarray, *, exclusive: bool) -> Float[np.ndarray, "o f i j k"]:
    """Distributions: over the classes in one frame, or over present and absent in a frame per region."""
    return p[:, np.newaxis].copy() if exclusive else np.stack([p, 1 - p])


def _entropy(p: np.ndarray, *, exclusive: bool) -> Float[np.ndarray, "f i j k"]:
    """Entropy in nat by numpy, in the precision of the input."""
    q = _outcomes(p, exclusive=exclusive)
    return -(q * np.log(np.where(q > 0, q, 1))).sum(axis=0)


def _zeros_like(p: np.ndarray, dtype: type) -> np.ndarray:
    """Zeros in the memory order of a member, without gaps, whatever larger array the member was cut from."""
    order = _memory_order(p)
    zeros: np.ndarray = np.zeros([p.shape[axis] for axis in order], dtype=dtype)
    return zeros.transpose(np.argsort(order))


def _rows(array: np.ndarray) -> np.ndarray:
    """Channels by voxels, in memory order, without a copy."""
    if array.flags.c_contiguous:
        return array.reshape(array.shape[0], -1)
    turned = array.transpose(_memory_order(array))
    return turned.reshape(array.shape[0], -1)


def _memory_order(array: np.ndarray) -> tuple[int, ...]:
    """Axes from the slowest to the fastest in memory, channels kept first."""
    return (0, *sorted((1, 2, 3), key=lambda axis: -array.strides[axis]))


def _channels(p: np.ndarray, *, like: np.ndarray) -> tuple[np.ndarray, int]:
    """One flat view over all channels of a member, and the distance from one channel to the next.

    Voxels follow the memory order of `like`. A slab of a larger array is viewed in place; anything else is copied.
    """
    order = _memory_order(like)
    turned = p.transpose(order)
    inner = turned[0]
    if not inner.flags.c_contiguous or p.dtype != np.float32 or (len(p) > 1 and turned.strides[0] < inner.nbytes):
        turned = np.ascontiguousarray(turned, dtype=np.float32)
    stride = turned.strides[0] // turned.itemsize if len(turned) > 1 else 0
    n = turned[0].size
    return np.lib.stride_tricks.as_strided(turned, shape=((len(turned) - 1) * stride + n,), strides=(4,)), stride
