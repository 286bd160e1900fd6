"""From maps and members to numbers: uncertainty by region, volumes, agreement, and the slice to see first."""

from plausible.aggregate.agreement import (
    AGREEMENT_SCORES,
    PairwiseOverlap,
    lowest_pairwise_dice,
    mean_pairwise_dice,
    pairwise_dice,
)
from plausible.aggregate.bayes_risk import BayesChoice, choose_by_bayes_risk, minimum_bayes_risk
from plausible.aggregate.case import INTERVAL_LEVEL, agreement_rows, case_rows, volume_rows
from plausible.aggregate.decoded_volumes import (
    DECODED_VOLUMES,
    decoded_volume_rows,
    dice_optimal_volume,
    probability_volume,
    thresholded_volume,
)
from plausible.aggregate.decoding import (
    DECODINGS,
    BestDice,
    above_threshold,
    best_dice,
    dice_optimal,
    expected_dice,
    most_probable,
    without_overlap,
)
from plausible.aggregate.maps import aggregate_maps
from plausible.aggregate.pooling import (
    POOLS,
    linear_pool,
    logarithmic_pool,
    majority_vote,
    medoid,
    medoid_of,
    weighted_pool,
)
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
from plausible.aggregate.shape_average import shape_based_average, signed_distance_mm
from plausible.aggregate.slices import SliceProfiles, slice_profiles, worst_slice
from plausible.aggregate.stack import MaskStack
from plausible.aggregate.stacking import StackingWeights, stacking_weights, truth_probability
from plausible.aggregate.staple import StapleEstimate, estimate_staple, staple
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
    "DECODED_VOLUMES",
    "DECODINGS",
    "INTERVAL_LEVEL",
    "POOLS",
    "REDUCTIONS",
    "REGIONS",
    "VOLUME_SCORES",
    "BayesChoice",
    "BestDice",
    "CaseMasks",
    "MaskStack",
    "MemberVolumes",
    "PairwiseOverlap",
    "Region",
    "RegionValues",
    "SliceProfiles",
    "StackingWeights",
    "StapleEstimate",
    "above_threshold",
    "aggregate_maps",
    "agreement_rows",
    "best_dice",
    "boundary",
    "case_rows",
    "choose_by_bayes_risk",
    "decoded_volume_rows",
    "dice_optimal",
    "dice_optimal_volume",
    "estimate_staple",
    "ever_foreground",
    "expected_dice",
    "expected_volume",
    "linear_pool",
    "logarithmic_pool",
    "lowest_pairwise_dice",
    "majority_vote",
    "mean_pairwise_dice",
    "medoid",
    "medoid_of",
    "minimum_bayes_risk",
    "most_probable",
    "pairwise_dice",
    "predicted_structure",
    "probability_volume",
    "regions_of",
    "shape_based_average",
    "signed_distance_mm",
    "slice_profiles",
    "stacking_weights",
    "staple",
    "thresholded_volume",
    "touches_edge",
    "truth_probability",
    "volume_cv",
    "volume_interval",
    "volume_mean",
    "volume_rows",
    "volume_sd",
    "weighted_pool",
    "whole_image",
    "without_overlap",
    "worst_slice",
]
