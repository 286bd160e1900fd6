"""From maps and members to numbers: uncertainty by region, volumes, agreement, and the slice to see first."""

from plausible.aggregate.agreement import (
    AGREEMENT_SCORES,
    PairwiseOverlap,
    lowest_pairwise_dice,
    mean_pairwise_dice,
    pairwise_dice,
)
from plausible.aggregate.case import INTERVAL_LEVEL, agreement_rows, case_rows, volume_rows
from plausible.aggregate.maps import aggregate_maps
from plausible.aggregate.reductions import REDUCTIONS, RegionValues
from plausible.aggregate.regions import (
    BOUNDARY_MM,
    REGIONS,
    CaseMasks,
    Region,
    boundary,
    ever_foreground,
    predicted_structure,
    regions_of,
    touches_edge,
    whole_image,
)
from plausible.aggregate.slices import SliceProfiles, slice_profiles, worst_slice
from plausible.aggregate.volumes import (
    VOLUME_SCORES,
    MemberVolumes,
    expected_volume,
    volume_cv,
    volume_interval,
    volume_mean,
    volume_sd,
)

__all__ = [
    "AGREEMENT_SCORES",
    "BOUNDARY_MM",
    "INTERVAL_LEVEL",
    "REDUCTIONS",
    "REGIONS",
    "VOLUME_SCORES",
    "CaseMasks",
    "MemberVolumes",
    "PairwiseOverlap",
    "Region",
    "RegionValues",
    "SliceProfiles",
    "aggregate_maps",
    "agreement_rows",
    "boundary",
    "case_rows",
    "ever_foreground",
    "expected_volume",
    "lowest_pairwise_dice",
    "mean_pairwise_dice",
    "pairwise_dice",
    "predicted_structure",
    "regions_of",
    "slice_profiles",
    "touches_edge",
    "volume_cv",
    "volume_interval",
    "volume_mean",
    "volume_rows",
    "volume_sd",
    "whole_image",
    "worst_slice",
]
