"""Are the members uncertain where the raters disagree? Correlation of two maps over voxels.

The reference is a map of how much the raters disagree at each voxel, made from the shares of raters that chose each
class: the entropy or the Gini index of these shares. Neither changes when classes are renumbered. The variance of the
label *numbers*, as published code takes it, does.

Sums over slabs are moments around the means (Chan et al. 1983), so that slabs join without loss. A map that is the same
everywhere correlates with nothing: NaN.

Sources: Kahl et al. 2024 (ValUES), arXiv:2401.08501 (the question); Pearson 1895 (the correlation).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from plausible.core import Catalogue, Classes, Member
from plausible.measure import VoxelStatistics, mean_probability, predictive_entropy

ROUNDING = 1e-6
"""Standard deviations below this share of the largest value are the rounding of float32: the map is constant."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """Moments of two maps over the same voxels.

    Attributes:
        n: voxels.
        means: mean of each map.
        squares: Σ (x - x̄)² of each map.
        product: Σ (x - x̄)(y - ȳ).
        largest: largest absolute value of each map.
    """

    n: int
    means: tuple[float, float]
    squares: tuple[float, float]
    product: float
    largest: tuple[float, float]

    @classmethod
    def of(cls, prediction: Float[np.ndarray, "f i j k"], reference: Float[np.ndarray, "f i j k"]) -> "Correlation":
        """Return the moments of two maps."""
        if not prediction.size:
            return cls(0, (0.0, 0.0), (0.0, 0.0), 0.0, (0.0, 0.0))
        from plausible.evaluate.kernels import write_moments

        found, kind = np.empty(7), np.result_type(prediction, reference)
        write_moments(_flat(prediction, kind), _flat(reference, kind), found)
        mean_x, mean_y, square_x, square_y, product, largest_x, largest_y = found.tolist()
        return cls(prediction.size, (mean_x, mean_y), (square_x, square_y), product, (largest_x, largest_y))

    def merge(self, *others: "Correlation") -> "Correlation":
        """Return the moments over the voxels of this and others."""
        total = self
        for other in others:
            total = total._with(other)
        return total

    def _with(self, other: "Correlation") -> "Correlation":
        n = self.n + other.n
        if not other.n:
            return self
        apart = other.means[0] - self.means[0], other.means[1] - self.means[1]
        share = other.n / n
        weight = self.n * share
        return Correlation(
            n,
            (self.means[0] + share * apart[0], self.means[1] + share * apart[1]),
            (
                self.squares[0] + other.squares[0] + weight * apart[0] ** 2,
                self.squares[1] + other.squares[1] + weight * apart[1] ** 2,
            ),
            self.product + other.product + weight * apart[0] * apart[1],
            (max(self.largest[0], other.largest[0]), max(self.largest[1], other.largest[1])),
        )


@dataclass(frozen=True, slots=True, eq=False)
class PresenceStatistics:
    """`VoxelStatistics` of exclusive classes, each structure asked alone: is it there, yes or no?"""

    statistics: VoxelStatistics

    @classmethod
    def of(cls, member: Member) -> "PresenceStatistics":
        """Return the statistic of one member."""
        return cls(VoxelStatistics.of(presence_of(member)))

    def merge(self, other: "PresenceStatistics") -> "PresenceStatistics":
        """Return the statistic of the members of both."""
        return PresenceStatistics(self.statistics.merge(other.statistics))

    def join(self, *others: "PresenceStatistics", axis: int) -> "PresenceStatistics":
        """Return the statistic of the voxels of all, one after the other along an axis."""
        return PresenceStatistics(self.statistics.join(*(other.statistics for other in others), axis=axis))

    def add(self, member: Member) -> "PresenceStatistics":
        """Return the statistic with one member more, in the same memory."""
        return PresenceStatistics(self.statistics.add(presence_of(member)))


def presence_of(member: Member) -> Member:
    """Return the structures of a member as regions of their own, without the background."""
    if not member.classes.exclusive:
        return member
    names, labels = member.classes.names[1:], member.classes.labels[1:]
    regions = Classes.overlapping_of(dict(zip(names, labels, strict=True)))
    return replace(member, probabilities=member.probabilities[1:], classes=regions)


def structures_of(raters: VoxelStatistics) -> VoxelStatistics:
    """Return the shares of raters of each structure of exclusive classes, asked alone; for hard raters that is all."""
    shares = raters.mean_probability[1:]
    certain = np.broadcast_to(np.zeros(1, shares.dtype), shares.shape)
    return VoxelStatistics(raters.n_members, shares, certain, exclusive=False)


AmbiguityMap: TypeAlias = Callable[[VoxelStatistics], np.ndarray]

AMBIGUITY_MAPS: Catalogue[AmbiguityMap] = Catalogue("map of rater disagreement")


@AMBIGUITY_MAPS.add(unit="nat", higher_is="worse", source="Shannon 1948, doi:10.1002/j.1538-7305.1948.tb01338.x")
def rater_entropy(raters: VoxelStatistics) -> Float[np.ndarray, "f i j k"]:
    """Entropy of the shares of raters that chose each class; 0 where all agree. Statistics of the raters go in."""
    return predictive_entropy(raters)


@AMBIGUITY_MAPS.add(unit="1", higher_is="worse", source="Gini 1912; Simpson 1949, doi:10.1038/163688a0")
def rater_gini(raters: VoxelStatistics) -> Float[np.ndarray, "f i j k"]:
    """Chance that two raters drawn with replacement chose different classes: 1 - Σ_c f_c²; 0 where all agree."""
    f = mean_probability(raters)
    if not raters.exclusive:
        return 2 * f * (1 - f)
    return np.maximum(1 - np.square(f).sum(axis=0, keepdims=True), 0)


def normalized_cross_correlation(moments: Correlation) -> float:
    """How far a map of uncertainty follows the raters' disagreement: Pearson correlation over voxels.

    Σ (x - x̄)(y - ȳ) / sqrt(Σ (x - x̄)² Σ (y - ȳ)²), from -1 to 1; a map with itself gives exactly 1, where published
    code gives (N - 1)/N. NaN if either map is constant, which published code calls 0, or holds a NaN.
    """
    for square, largest in zip(moments.squares, moments.largest, strict=True):
        if not moments.n or math.sqrt(square / moments.n) <= ROUNDING * largest:
            return math.nan
    ratio = moments.product / math.sqrt(moments.squares[0] * moments.squares[1])
    return max(-1.0, min(1.0, ratio)) if not math.isnan(ratio) else math.nan


def _flat(values: np.ndarray, kind: np.dtype) -> Float[np.ndarray, " n"]:
    return np.ascontiguousarray(values, dtype=np.float32 if kind == np.float32 else np.float64).ravel()
