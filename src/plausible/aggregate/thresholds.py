"""From which value on is a voxel uncertain? A threshold learnt on validation maps, streamed and never stacked.

`MapHistogram` counts the values of a map in bins of a relative width of 2^-10: the bits of a float32 without the last
13 of its mantissa. Maps of any shape, slabs and cluster tasks merge by adding counts, in 2 MB. A quantile read from it
is the lower end of a bin, so the empirical quantile (type 1 of Hyndman and Fan 1996) lies at most 0.1 % above it.

Source: Kahl et al. 2024 (ValUES), arXiv:2401.08501, which stacks all maps and so needs equal shapes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from plausible.aggregate.regions import CaseMasks

DROPPED_BITS = 13
N_BINS = 1 << (31 - DROPPED_BITS)
"""Bins of the values from 0 up; float32 has 31 bits without the sign."""

RELATIVE_ERROR = 2.0**-10
"""How far above a quantile of the histogram the quantile of the values may lie, as a share of it."""


@dataclass(frozen=True, slots=True, eq=False)
class MapHistogram:
    """How often each value occurs in maps that were looked at one by one.

    Attributes:
        counts: values of each bin.
    """

    counts: Int64[np.ndarray, " b"]

    @classmethod
    def of(cls, values: Float32[np.ndarray, "*shape"]) -> "MapHistogram":
        """Return the histogram of one map, or of any part of one.

        Raises:
            ValueError: a value that is negative, infinite or NaN.
        """
        low, high = values.min(initial=0), values.max(initial=0)
        if not (low >= 0 and high < math.inf):
            raise ValueError(f"values of uncertainty are at least 0 and finite, got {low:g} to {high:g}")
        bits = np.ascontiguousarray(values, dtype=np.float32).ravel() + np.float32(0)  # -0.0 becomes 0.0
        bins = bits.view(np.uint32) >> np.uint32(DROPPED_BITS)
        return cls(np.bincount(bins, minlength=N_BINS))

    def merge(self, other: "MapHistogram") -> "MapHistogram":
        """Return the histogram of the values of both."""
        return MapHistogram(self.counts + other.counts)

    @property
    def n(self) -> int:
        """Values that were counted."""
        return int(self.counts.sum())

    def quantile(self, share: float) -> float:
        """Value that a share of all values does not exceed, at most 0.1 % too low; NaN without any value.

        Raises:
            ValueError: the share is not between 0 and 1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie between 0 and 1, got {share}")
        if not self.n:
            return math.nan
        rank = max(1, math.ceil(share * self.n * (1 - 1e-12)))  # shares are fractions of n that were rounded
        place = np.searchsorted(np.cumsum(self.counts), rank)
        return float(np.array([place << DROPPED_BITS], dtype=np.uint32).view(np.float32)[0])


def background_share(masks: CaseMasks) -> float:
    """Share of the image's voxels that belong to no predicted structure."""
    return 1 - np.count_nonzero(masks.predicted.any(axis=0)) / masks.geometry.n_voxels


def threshold_of_validation(maps: MapHistogram, background_shares: Sequence[float]) -> float:
    """Threshold for `mean_above_threshold`: as many voxels reach it in all maps together as foreground is predicted.

    τ is the quantile of all values at the mean over the cases of the share of background, as ValUES has it.

    Args:
        maps: histogram of the validation maps of one measure, pooled over the cases (and members).
        background_shares: `background_share` of each of them.

    Raises:
        ValueError: there is no case.
    """
    if not background_shares:
        raise ValueError("a threshold is learnt from at least one validation case")
    return maps.quantile(float(np.mean(background_shares)))
