"""Scores of one case's members: of their mean probability against the reference, and what they say about themselves."""

import numpy as np
from hippocampus_ensemble import NEAR_MM
from scipy.ndimage import distance_transform_edt

from plausible.aggregate import PairwiseOverlap, mean_pairwise_dice
from plausible.core import Classes, Geometry, Members, collect
from plausible.evaluate import (
    brier_score,
    dice,
    expected_calibration_error,
    negative_log_likelihood,
    normalized_surface_dice,
    overlap,
    probability_scores,
    surface_distances,
    top_label_bins,
)
from plausible.measure import VoxelStatistics, mean_probability, mutual_information, predictive_entropy

TOLERANCE_MM = 1.0


def accuracy(members: Members, truth: np.ndarray) -> dict[str, float]:
    """Return Dice, NSD, NLL, Brier and ECE of the members' mean probability.

    NLL, Brier and ECE are taken within 5 mm of the reference: elsewhere the background is easy and hides everything.
    """
    mean = mean_probability(collect(members, VoxelStatistics)[VoxelStatistics]).astype(np.float32)
    near = distance_transform_edt(truth[0] > 0.5, sampling=members.geometry.spacing_mm) <= NEAR_MM
    proper = probability_scores(mean, truth, within=near)
    return {
        **_masks(mean, truth, members.classes, members.geometry),
        "NLL": negative_log_likelihood(proper),
        "Brier": brier_score(proper),
        "ECE": expected_calibration_error(top_label_bins(mean, truth, within=near)),
    }


def uncertainty(members: Members) -> dict[str, float | None]:
    """Return what members say without a reference; None where one member cannot say it.

    Agreement is the mean pairwise Dice over members and structures; entropy that of the predicted structures' voxels;
    information and image entropy are means over the image.
    """
    found = collect(members, VoxelStatistics, PairwiseOverlap)
    predicted = mean_probability(found[VoxelStatistics]).argmax(axis=0) > 0
    entropy = predictive_entropy(found[VoxelStatistics])[0]
    several = len(members) > 1
    agreement = mean_pairwise_dice(found[PairwiseOverlap]) if several else np.array([np.nan])
    return {
        "agreement": float(np.nanmean(agreement)) if np.isfinite(agreement).any() else None,
        "entropy": float(entropy[predicted].mean()) if predicted.any() else None,
        "information": float(mutual_information(found[VoxelStatistics])[0].mean()) if several else None,
        "image entropy": float(entropy.mean()),
    }


def _masks(mean: np.ndarray, truth: np.ndarray, classes: Classes, geometry: Geometry) -> dict[str, float]:
    pairs = list(zip(classes.masks(mean), classes.masks(truth), strict=True))
    overlaps = [dice(overlap(a, b, voxel_volume_ml=geometry.voxel_volume_ml)) for a, b in pairs]
    surfaces = [surface_distances(a, b, spacing_mm=geometry.spacing_mm) for a, b in pairs]
    nsd = [normalized_surface_dice(found, tolerance_mm=TOLERANCE_MM) for found in surfaces]
    return {"Dice": float(np.mean(overlaps)), "NSD": float(np.mean(nsd))}
