"""From members to voxel maps: the decomposition of predictive uncertainty, spread and votes."""

from plausible.measure.maps import (
    DEFAULT_MEASURES,
    SLAB_VALUES,
    SLAB_VOXELS,
    MapBuilder,
    default_slab_voxels,
    voxel_maps,
)
from plausible.measure.spread import PROBABILITY_FLOOR, VoxelSpread, expected_pairwise_kl, variance
from plausible.measure.votes import VoteCounts, vote_share
from plausible.measure.voxel import (
    VOXEL_MEASURES,
    VoxelStatistics,
    expected_entropy,
    mean_probability,
    mutual_information,
    one_minus_max_probability,
    predictive_entropy,
)

__all__ = [
    "DEFAULT_MEASURES",
    "PROBABILITY_FLOOR",
    "SLAB_VALUES",
    "SLAB_VOXELS",
    "VOXEL_MEASURES",
    "MapBuilder",
    "VoteCounts",
    "VoxelSpread",
    "VoxelStatistics",
    "default_slab_voxels",
    "expected_entropy",
    "expected_pairwise_kl",
    "mean_probability",
    "mutual_information",
    "one_minus_max_probability",
    "predictive_entropy",
    "variance",
    "vote_share",
    "voxel_maps",
]
