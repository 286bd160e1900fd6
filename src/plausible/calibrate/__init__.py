"""Promises that hold for new patients: conformal prediction, risk control, failure flags, and a lamp over them all."""

from plausible.calibrate.bounds import ScoreBound, fit_score_bound
from plausible.calibrate.constraint_pass import ConstraintPass, PassDecision, fit_constraint_pass
from plausible.calibrate.counts import ThresholdCounts, log_odds_grid, threshold_counts
from plausible.calibrate.dvh_band import DvhBand, DvhBandOfPatient, DvhCurve, fit_dvh_band
from plausible.calibrate.failure import (
    COVERAGES,
    FailureFlag,
    FlagDecision,
    WorkingPoint,
    fit_failure_flag,
)
from plausible.calibrate.groups import GroupedCalibration, fit_by_group, fit_by_structure
from plausible.calibrate.guarantee import CALIBRATIONS, Absent, Calibration, Guarantee, IfInfeasible
from plausible.calibrate.intervals import (
    CalibratedInterval,
    IntervalCalibration,
    Tails,
    fit_interval,
    fit_quantile_interval,
)
from plausible.calibrate.lamp import (
    MARTINGALES,
    ExchangeabilityLamp,
    LampReading,
    conformal_p_values,
    fit_lamp,
    online_p_values,
    power_mixture,
    simple_jumper,
)
from plausible.calibrate.learn_then_test import fit_learn_then_test, fit_risk_bound
from plausible.calibrate.losses import (
    LOSSES,
    LossCurve,
    dice_loss,
    excess_rate,
    false_discovery_rate,
    false_negative_rate,
    false_positive_rate,
    loss_curve,
)
from plausible.calibrate.margins import Margin, MarginCurve, fit_margin, grown, margin_curve, margin_grid, shrunk
from plausible.calibrate.novelty import (
    DISTANCES,
    Novelty,
    NoveltyReading,
    fit_novelty,
    mahalanobis,
    nearest_neighbours,
)
from plausible.calibrate.posthoc import (
    ProbabilityCalibrator,
    TransformsProbabilities,
    calibrated_members,
    fit_probabilities,
)
from plausible.calibrate.posthoc_fiducio import FiducioTransform, fit_fiducio
from plausible.calibrate.posthoc_maps import PROBABILITY_CALIBRATIONS, LogMap
from plausible.calibrate.quality import QualityPrediction, fit_quality
from plausible.calibrate.rank import conformal_quantile, conformal_rank, coverage_band, coverage_range, smallest_n
from plausible.calibrate.raters import RaterInterval, fit_rater_interval
from plausible.calibrate.risk_control import SetThreshold, fit_risk_control
from plausible.calibrate.samples import (
    MemberModes,
    SampleSetCurve,
    member_modes,
    reach_grid,
    sample_set_curve,
)
from plausible.calibrate.samples_fit import PlausibleSet, SampleSet, fit_sample_set, smallest_reach
from plausible.calibrate.subsample import STRATA_MM, VoxelSample, boundary_distance_mm, sample_voxels
from plausible.calibrate.testing import P_VALUES, Correction, betting, binomial, certified, hoeffding_bentkus
from plausible.calibrate.weighted import (
    WeightedBound,
    effective_sample_size,
    estimate_weights,
    fit_weighted_bound,
    group_weights,
    weighted_quantile,
)
from plausible.core.limits import Operator

__all__ = [
    "CALIBRATIONS",
    "COVERAGES",
    "DISTANCES",
    "LOSSES",
    "MARTINGALES",
    "PROBABILITY_CALIBRATIONS",
    "P_VALUES",
    "STRATA_MM",
    "Absent",
    "CalibratedInterval",
    "Calibration",
    "ConstraintPass",
    "Correction",
    "DvhBand",
    "DvhBandOfPatient",
    "DvhCurve",
    "ExchangeabilityLamp",
    "FailureFlag",
    "FiducioTransform",
    "FlagDecision",
    "GroupedCalibration",
    "Guarantee",
    "IfInfeasible",
    "IntervalCalibration",
    "LampReading",
    "LogMap",
    "LossCurve",
    "Margin",
    "MarginCurve",
    "MemberModes",
    "Novelty",
    "NoveltyReading",
    "Operator",
    "PassDecision",
    "PlausibleSet",
    "ProbabilityCalibrator",
    "QualityPrediction",
    "RaterInterval",
    "SampleSet",
    "SampleSetCurve",
    "ScoreBound",
    "SetThreshold",
    "Tails",
    "ThresholdCounts",
    "TransformsProbabilities",
    "VoxelSample",
    "WeightedBound",
    "WorkingPoint",
    "betting",
    "binomial",
    "boundary_distance_mm",
    "calibrated_members",
    "certified",
    "conformal_p_values",
    "conformal_quantile",
    "conformal_rank",
    "coverage_band",
    "coverage_range",
    "dice_loss",
    "effective_sample_size",
    "estimate_weights",
    "excess_rate",
    "false_discovery_rate",
    "false_negative_rate",
    "false_positive_rate",
    "fit_by_group",
    "fit_by_structure",
    "fit_constraint_pass",
    "fit_dvh_band",
    "fit_failure_flag",
    "fit_fiducio",
    "fit_interval",
    "fit_lamp",
    "fit_learn_then_test",
    "fit_margin",
    "fit_novelty",
    "fit_probabilities",
    "fit_quality",
    "fit_quantile_interval",
    "fit_rater_interval",
    "fit_risk_bound",
    "fit_risk_control",
    "fit_sample_set",
    "fit_score_bound",
    "fit_weighted_bound",
    "group_weights",
    "grown",
    "hoeffding_bentkus",
    "log_odds_grid",
    "loss_curve",
    "mahalanobis",
    "margin_curve",
    "margin_grid",
    "member_modes",
    "nearest_neighbours",
    "online_p_values",
    "power_mixture",
    "reach_grid",
    "sample_set_curve",
    "sample_voxels",
    "shrunk",
    "simple_jumper",
    "smallest_n",
    "smallest_reach",
    "threshold_counts",
    "weighted_quantile",
]
