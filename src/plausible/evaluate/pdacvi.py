"""The scores of the PDACVI 2025 challenge: a pancreatic tumour, five raters, and the vessels it touches.

Of the tumour: Dice with the STAPLE consensus, Dice over six thresholds of the probability against the same share of
raters, calibration error in 50 bins around what any rater marked, and CURVAS's volume CRPS (it saturates, see
`crps_curvas`). Of each vessel and plane: how far the predicted angle of contact is from the raters'.

Written from the published definitions, with one change: the angle counts each side of a vessel's outline once, see
`vascular_involvement_degrees`.

Sources: Riera-Marín et al. 2026, arXiv:2604.27582.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from plausible.aggregate import staple
from plausible.core import Entry, Member, Members, Score
from plausible.evaluate.calibration import ReliabilityBins, top_label_bins
from plausible.evaluate.curvas import CURVAS_BINS, PROTOCOL_SCORES, calibration_error_50_bins
from plausible.evaluate.overlap import dice, overlap
from plausible.evaluate.vessels import involvement_distance_degrees, vascular_involvement_degrees
from plausible.evaluate.volume_crps import VOLUME_FORECAST_SCORES, crps_curvas, crps_curvas_of

PDACVI_THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in np.linspace(0.1, 0.8, 6))
PDACVI_MARGIN_VOXELS = 20
SOURCE = "Riera-Marín et al. 2026 (PDACVI), arXiv:2604.27582"


@dataclass(frozen=True, slots=True, eq=False)
class TumourCase:
    """One structure of a prediction and of several raters.

    Attributes:
        probability: of the structure.
        raters: mask of each rater.
        consensus: where the STAPLE estimate of the raters is above 0.5.
        spacing_mm: along i, j, k.
        voxel_volume_ml: volume of a voxel.
    """

    probability: Float[np.ndarray, "i j k"]
    raters: tuple[Bool[np.ndarray, "i j k"], ...]
    consensus: Bool[np.ndarray, "i j k"]
    spacing_mm: tuple[float, float, float]
    voxel_volume_ml: float

    @classmethod
    def of(cls, pooled: Member, raters: Members, *, structure: str) -> "TumourCase":
        """Return the structure of a prediction and of its raters."""
        channel, place = pooled.classes.channel(structure), pooled.classes.structures.index(structure)
        masks = tuple(rater.classes.masks(rater.probabilities)[place] for rater in raters)
        consensus = staple(raters).probabilities[channel] > 0.5
        grid = pooled.geometry
        return cls(pooled.probabilities[channel], masks, consensus, grid.spacing_mm, grid.voxel_volume_ml)


@PROTOCOL_SCORES.add(unit="1", higher_is="better", source=SOURCE, label="Dice with STAPLE")
def staple_dice(case: TumourCase) -> float:
    """Dice of p > 0.5 with the STAPLE consensus of the raters, 0 to 1; NaN if both are empty."""
    return dice(overlap(case.probability > 0.5, case.consensus, voxel_volume_ml=case.voxel_volume_ml))


@PROTOCOL_SCORES.add(unit="1", higher_is="better", source=SOURCE)
def thresholded_dice(case: TumourCase) -> float:
    """Dice between what is more probable than t and what more than a share t of the raters marked, mean over six t.

    t = 0.1, 0.24, ... 0.8. From 0 to 1. Two empty masks count 1, as the protocol has it; a NaN elsewhere here.
    """
    share = np.mean(case.raters, axis=0)
    values = [
        dice(overlap(case.probability > t, share > t, voxel_volume_ml=case.voxel_volume_ml)) for t in PDACVI_THRESHOLDS
    ]
    return float(np.nan_to_num(values, nan=1.0).mean())


@PROTOCOL_SCORES.add(unit="degree", higher_is="worse", source=SOURCE, label="vascular involvement")
def vascular_involvement_distance(case: TumourCase, vessel: Bool[np.ndarray, "i j k"], *, axis: int) -> float:
    """How far the predicted angle of contact with a vessel is from the raters', in degrees, 0 to 360.

    Wasserstein-1 distance of the angles over six thresholds and over the raters, the largest of the slices along an
    axis; 360 where one side has no tumour at all, NaN where both have none, or without a vessel.
    """
    if not vessel.any():
        return math.nan
    predicted = [case.probability > t for t in PDACVI_THRESHOLDS]
    ours, theirs = (
        [vascular_involvement_degrees(mask, vessel, spacing_mm=case.spacing_mm, axis=axis) for mask in masks]
        for masks in (predicted, case.raters)
    )
    return involvement_distance_degrees(ours, theirs)


def pdacvi_2025_rows(
    pooled: Member,
    raters: Members,
    *,
    structure: str,
    vessels: Mapping[str, Bool[np.ndarray, "i j k"]],
    subject: str,
) -> list[Score]:
    """Score one prediction of a tumour as the PDACVI 2025 challenge does.

    Args:
        pooled: the prediction, such as `linear_pool` of the members.
        raters: the references, on the same grid and with the same classes.
        structure: the tumour.
        vessels: masks of the vessels by name.
        subject: name for the rows.

    Returns:
        Rows of the tumour; then one per vessel and voxel axis, with the axis in `region`. n counts raters.

    Raises:
        InvalidInput: E201 or E202, raters on another grid.
        ValueError: fewer than two raters, or no structure of this name.
    """
    if len(raters) < 2:
        raise ValueError(f"PDACVI is defined for several raters, got {len(raters)}")
    raters.geometry.check_matches(pooled.geometry, this="the raters", that="the prediction", subject=subject)
    case = TumourCase.of(pooled, raters, structure=structure)
    named = {
        "subject": subject,
        "structure": structure,
        "reduction": pooled.info.id,
        "against": f"{len(raters)}_raters",
    }
    entries: dict[str, Entry] = {entry.name: entry for entry in (*PROTOCOL_SCORES, *VOLUME_FORECAST_SCORES)}
    return [
        Score(
            measure=measure,
            value=value,
            unit=entries[measure].unit,
            higher_is=entries[measure].higher_is,
            n=len(raters),
            **{**named, **where},
        )
        for measure, value, where in (*_of_tumour(case), *_of_vessels(case, vessels))
    ]


def _of_tumour(case: TumourCase) -> Iterator[tuple[str, float, dict[str, str]]]:
    """Yield measure, value and where it was taken."""
    yield staple_dice.__name__, staple_dice(case), {"against": f"{len(case.raters)}_raters:staple"}
    yield thresholded_dice.__name__, thresholded_dice(case), {}
    bins = raters_box_bins(case)
    box = {"region": f"raters_box_{PDACVI_MARGIN_VOXELS}_voxels"}
    yield calibration_error_50_bins.__name__, calibration_error_50_bins(bins) if bins else math.nan, box
    yield crps_curvas.__name__, _volume_score(case), {}


def _volume_score(case: TumourCase) -> float:
    """CURVAS's CRPS of the expected volume in ml; NaN if neither a rater nor the mask of the prediction has any."""
    drawn = np.array([np.count_nonzero(mask) for mask in case.raters]) * case.voxel_volume_ml
    if not drawn.any() and not (case.probability > 0.5).any():
        return math.nan
    expected = float(case.probability.sum(dtype=np.float64)) * case.voxel_volume_ml
    return crps_curvas_of(expected, mean=float(drawn.mean()), sd=float(drawn.std()))


def _of_vessels(
    case: TumourCase, vessels: Mapping[str, Bool[np.ndarray, "i j k"]]
) -> Iterator[tuple[str, float, dict[str, str]]]:
    for name, vessel in vessels.items():
        for axis in range(3):
            where = {"structure": name, "region": f"slices_along_axis_{axis}"}
            value = vascular_involvement_distance(case, vessel, axis=axis)
            yield vascular_involvement_distance.__name__, value, where


def raters_box_bins(case: TumourCase) -> Sequence[ReliabilityBins]:
    """Bins of present or absent, per rater, in the box around all that any rater marked and 20 voxels more.

    Nothing if nobody marked anything.
    """
    marked = np.logical_or.reduce(case.raters)
    if not marked.any():
        return []
    box = []
    for axis in range(3):
        present = np.flatnonzero(marked.any(axis=tuple({0, 1, 2} - {axis})))
        low, high = int(present[0]) - PDACVI_MARGIN_VOXELS, int(present[-1]) + 1 + PDACVI_MARGIN_VOXELS
        box.append(slice(max(0, low), high))
    p = case.probability[tuple(box)]
    both = np.stack([1 - p, p])
    truths = [mask[tuple(box)].astype(np.float32) for mask in case.raters]
    return [top_label_bins(both, np.stack([1 - y, y]), n_bins=CURVAS_BINS) for y in truths]
