"""How different members are, where that comes from, which of them to keep, and how many are enough."""

from plausible.diversity.acceptance import AcceptanceRule, Evidence, Verdict, accept, evidence_of
from plausible.diversity.case import CaseDiversity, MeasuredPart, diversity_rows, measure_case
from plausible.diversity.decisions import Decisions, decision_pairs, error_counts, mask_pairs, surface_pairs
from plausible.diversity.decomposition import (
    DECOMPOSITIONS,
    Ambiguity,
    BiasVarianceDiversity,
    brier_arithmetic,
    brier_bias_variance_diversity,
    cross_entropy_arithmetic,
    cross_entropy_bias_variance_diversity,
    cross_entropy_geometric,
)
from plausible.diversity.design import SourceDesign, design_of, levels_of
from plausible.diversity.embedding import Embedding, embed
from plausible.diversity.enough import Extrapolation, ScoreCurve, extrapolate, score_curve
from plausible.diversity.fort_plane import FortPlane, fort_plane, independent_errors
from plausible.diversity.pairwise import (
    DecisionPairs,
    ErrorGroup,
    ErrorPairs,
    MaskPairs,
    SoftPairs,
    SurfacePairs,
    pool,
    stack,
)
from plausible.diversity.pairwise_measures import DIVERSITY_MEASURES, GROUP_MEASURES, mean_of_pairs
from plausible.diversity.pool_cases import Pool, PoolCase, pool_case
from plausible.diversity.pool_scores import POOL_SCORES, scored
from plausible.diversity.pruning import prune
from plausible.diversity.selection import SELECTION_RULES, Selection, select_members
from plausible.diversity.sequential import (
    VotePlan,
    mask_bounds,
    stop_by_agreement,
    volume_members,
    vote_plan,
)
from plausible.diversity.sequential_cases import EarlyStopping, early_stopping
from plausible.diversity.variance_components import Components, variance_components
from plausible.diversity.voxel_sets import VOXEL_SETS, VoxelSet, voxel_set
from plausible.diversity.weighting import simplex_weights
from plausible.diversity.weights import linear_cka, loss_barrier, weight_cosine

__all__ = [
    "DECOMPOSITIONS",
    "DIVERSITY_MEASURES",
    "GROUP_MEASURES",
    "POOL_SCORES",
    "SELECTION_RULES",
    "VOXEL_SETS",
    "AcceptanceRule",
    "Ambiguity",
    "BiasVarianceDiversity",
    "CaseDiversity",
    "Components",
    "DecisionPairs",
    "Decisions",
    "EarlyStopping",
    "Embedding",
    "ErrorGroup",
    "ErrorPairs",
    "Evidence",
    "Extrapolation",
    "FortPlane",
    "MaskPairs",
    "MeasuredPart",
    "Pool",
    "PoolCase",
    "ScoreCurve",
    "Selection",
    "SoftPairs",
    "SourceDesign",
    "SurfacePairs",
    "Verdict",
    "VotePlan",
    "VoxelSet",
    "accept",
    "brier_arithmetic",
    "brier_bias_variance_diversity",
    "cross_entropy_arithmetic",
    "cross_entropy_bias_variance_diversity",
    "cross_entropy_geometric",
    "decision_pairs",
    "design_of",
    "diversity_rows",
    "early_stopping",
    "embed",
    "error_counts",
    "evidence_of",
    "extrapolate",
    "fort_plane",
    "independent_errors",
    "levels_of",
    "linear_cka",
    "loss_barrier",
    "mask_bounds",
    "mask_pairs",
    "mean_of_pairs",
    "measure_case",
    "pool",
    "pool_case",
    "prune",
    "score_curve",
    "scored",
    "select_members",
    "simplex_weights",
    "stack",
    "stop_by_agreement",
    "surface_pairs",
    "variance_components",
    "volume_members",
    "vote_plan",
    "voxel_set",
    "weight_cosine",
]
