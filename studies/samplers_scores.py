"""Scores of one case's members: of their mean probability against the reference, and what they say about themselves."""

from typing import Any

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


def case_scores(members: Members, truth: np.ndarray, *, seed: int) -> dict[str, Any]:
    """Return Dice, NSD, NLL, Brier and ECE of the mean probability, and entropy, information and agreement of members.

    NLL, Brier and ECE are taken within 5 mm of the reference: elsewhere the background is easy and hides everything.
    """
    found = collect(members, VoxelStatistics, PairwiseOverlap)
    mean = mean_probability(found[VoxelStatistics]).astype(np.float32)
    near = distance_transform_edt(truth[0] > 0.5, sampling=members.geometry.spacing_mm) <= NEAR_MM
    proper = probability_scores(mean, truth, within=near)
    predicted = mean.argmax(axis=0) > 0
    entropy = predictive_entropy(found[VoxelStatistics])[0]
    agreement = mean_pairwise_dice(found[PairwiseOverlap]) if len(members) > 1 else np.array([np.nan])
    information = mutual_information(found[VoxelStatistics])[0] if len(members) > 1 else np.full(near.shape, np.nan)
    return {
        **_masks(mean, truth, members.classes, members.geometry),
        "NLL": negative_log_likelihood(proper),
        "Brier": brier_score(proper),
        "ECE": expected_calibration_error(top_label_bins(mean, truth, within=near)),
        "agreement": float(np.nanmean(agreement)) if np.isfinite(agreement).any() else None,
        "entropy": float(entropy[predicted].mean()) if predicted.any() else None,
        "information": _number(information.mean()),
        "image entropy": float(entropy.mean()),
    }


def _masks(mean: np.ndarray, truth: np.ndarray, classes: Classes, geometry: Geometry) -> dict[str, float]:
    pairs = list(zip(classes.masks(mean), classes.masks(truth), strict=True))
    overlaps = [dice(overlap(a, b, voxel_volume_ml=geometry.voxel_volume_ml)) for a, b in pairs]
    surfaces = [surface_distances(a, b, spacing_mm=geometry.spacing_mm) for a, b in pairs]
    nsd = [normalized_surface_dice(found, tolerance_mm=TOLERANCE_MM) for found in surfaces]
    return {"Dice": float(np.mean(overlaps)), "NSD": float(np.mean(nsd))}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
