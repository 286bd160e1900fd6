"""How different members are, where that comes from, which of them to keep, and how many are enough."""

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
from plausible.diversity.variance_components import Components, variance_components
from plausible.diversity.voxel_sets import VOXEL_SETS, VoxelSet, voxel_set
from plausible.diversity.weights import linear_cka, loss_barrier, weight_cosine

__all__ = [
    "DECOMPOSITIONS",
    "DIVERSITY_MEASURES",
    "GROUP_MEASURES",
    "VOXEL_SETS",
    "Ambiguity",
    "BiasVarianceDiversity",
    "CaseDiversity",
    "Components",
    "DecisionPairs",
    "Decisions",
    "Embedding",
    "ErrorGroup",
    "ErrorPairs",
    "FortPlane",
    "MaskPairs",
    "MeasuredPart",
    "SoftPairs",
    "SourceDesign",
    "SurfacePairs",
    "VoxelSet",
    "brier_arithmetic",
    "brier_bias_variance_diversity",
    "cross_entropy_arithmetic",
    "cross_entropy_bias_variance_diversity",
    "cross_entropy_geometric",
    "decision_pairs",
    "design_of",
    "diversity_rows",
    "embed",
    "error_counts",
    "fort_plane",
    "independent_errors",
    "levels_of",
    "linear_cka",
    "loss_barrier",
    "mask_pairs",
    "mean_of_pairs",
    "measure_case",
    "pool",
    "stack",
    "surface_pairs",
    "variance_components",
    "voxel_set",
    "weight_cosine",
]
