"""One ladder of damage for each catalogue of scores: step 0 is perfect, every further step is worse.

A ladder takes an entry of its catalogue and a step, and gives the entry's value; `None` instead of a step asks for the
value where there is nothing to score. A new entry of a catalogue climbs the ladder that is there; a new catalogue needs
one, or its reason in `NO_SCORES`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np

import plausible.evaluate
from plausible.aggregate import PairwiseOverlap
from plausible.core import Catalogue, Classes, Entry, Geometry, Members, walk
from plausible.evaluate import (
    Answers,
    BoundaryBands,
    Overlap,
    RaterConsensus,
    ReliabilityBins,
    SetOverlap,
    TumourCase,
    VolumeForecast,
    acquisition,
    boundary_bands,
    brier_decomposition,
    filtered_counts,
    lesion_detection,
    overlap,
    presence_answers,
    presence_bins,
    presence_levels,
    presence_scores,
    risk_coverage,
    surface_distances,
    top_label_bins,
    voxel_retention,
)
from plausible.evaluate.detection import detection
from tests.evaluate.shapes import SHAPE, SPACING, ellipsoid

STEPS = 5
"""Steps of every ladder above perfection."""

NO_SCORES = {
    "map of rater disagreement": "maps that a score is taken of",
    "protocol": "writes rows of scores that stand in other catalogues",
    "reference": "chooses what is scored against",
    "risk": "turns a score into a risk, without a prediction of its own",
}


def catalogues() -> dict[str, Catalogue[Any]]:
    """Every catalogue that a module of `plausible.evaluate` holds, by its kind."""
    modules = [import_module(f"plausible.evaluate.{each.name}") for each in iter_modules(plausible.evaluate.__path__)]
    found = [each for module in modules for each in vars(module).values() if isinstance(each, Catalogue)]
    own = [each for each in found if any(e.function.__module__.startswith("plausible.evaluate") for e in each)]
    return {each.kind: each for each in own}


def scores() -> Iterator[tuple[str, Entry[Any]]]:
    for kind, catalogue in catalogues().items():
        if kind not in NO_SCORES:
            yield from ((kind, entry) for entry in catalogue)


def shifted(mask: np.ndarray, step: int | None) -> np.ndarray:
    """The mask moved along i, with as many slices cut off along k; nothing for `None`."""
    if step is None:
        return np.zeros_like(mask)
    moved = np.zeros_like(mask)
    moved[step:] = mask[: len(mask) - step]
    moved[:, :, : int(np.flatnonzero(mask.any(axis=(0, 1)))[0]) + step] = False
    return moved


def masks(step: int | None) -> tuple[np.ndarray, np.ndarray]:
    return shifted(ellipsoid(), step), shifted(ellipsoid(), 0 if step is not None else None)


def of_masks(entry: Entry[Any], step: int | None) -> float:
    counts: Overlap = overlap(*masks(step), voxel_volume_ml=0.002)
    return entry.function(counts)


def of_surfaces(entry: Entry[Any], step: int | None) -> float:
    told = {"tolerance_mm": 1.0} if entry.name == "normalized_surface_dice" else {}
    return entry.function(surface_distances(*masks(step), spacing_mm=SPACING), **told)


def of_sets(entry: Entry[Any], step: int | None) -> float:
    geometry = Geometry(SHAPE, np.eye(4))
    liver = Classes.exclusive_of({"background": 0, "liver": 1})

    def overlaps(*steps: int | None) -> PairwiseOverlap:
        labels = [shifted(ellipsoid(), each).astype(np.uint8) for each in steps]
        ((_, found),) = walk(Members.from_labels(labels, geometry=geometry, classes=liver), PairwiseOverlap)
        return found[PairwiseOverlap]

    raters = (0, 1, 2) if step is not None else (None,) * 3
    return entry.function(SetOverlap.of(overlaps(*raters), overlaps(*(r if r is None else r + step for r in raters))))


def answered(step: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Sure probabilities of two classes, half the voxels present, and a truth that differs in a share of each half."""
    shape = (0, 4, 5) if step is None else (20, 4, 5)
    i = np.indices(shape)[0]
    present = (i % 2 == 1).astype(np.float32)
    wrong = i < 2 * (step or 0)
    true = np.where(wrong, 1 - present, present)
    return np.stack([1 - present, present]), np.stack([1 - true, true])


def of_bins(entry: Entry[Any], step: int | None) -> float:
    read = presence_bins if entry.reads is ReliabilityBins else presence_scores
    return entry.function(read(*answered(step), channel=1))


def of_levels(entry: Entry[Any], step: int | None) -> float:
    return entry.function(presence_levels(*answered(step), channel=1))


def of_brier(entry: Entry[Any], step: int | None) -> float:
    return entry.function(brier_decomposition(presence_levels(*answered(step), channel=1)))


def of_protocol(entry: Entry[Any], step: int | None) -> float:
    if entry.name == "calibration_error_50_bins":
        return entry.function([top_label_bins(*answered(step))] * 2)
    prediction, reference = masks(step)
    case = TumourCase(prediction.astype(np.float32), (reference,) * 3, reference, SPACING, 0.002)
    if entry.name != "vascular_involvement_distance":
        return entry.function(case)
    vessel = np.zeros(SHAPE, bool)
    vessel[3:7, 12:16] = True
    return entry.function(case, vessel, axis=2)


def of_boundary(entry: Entry[Any], step: int | None) -> float:
    prediction, reference = (mask[:0] if step is None else mask for mask in masks(step))
    p = prediction.astype(np.float32)
    answers: Answers = presence_answers(np.stack([1 - p, p]), channel=1)
    truth = reference.astype(np.uint8)
    if entry.reads is BoundaryBands:
        return entry.function(boundary_bands(answers, truth, spacing_mm=SPACING))
    return entry.function(answers, truth, spacing_mm=SPACING, sigma_mm=1.0)


def ordered(step: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Twelve risks and an uncertainty that orders them, but for as many of the worst as there are steps."""
    if step is None:
        return np.empty(0), np.empty(0)
    risk = np.arange(1.0, 13.0) / 20
    unsure = risk.copy()
    unsure[len(risk) - step :] = -risk[len(risk) - step :]
    return unsure, risk


def of_detection(entry: Entry[Any], step: int | None) -> float:
    unsure, risk = ordered(step)
    return entry.function(detection(unsure, risk > 0.35))


def of_risk(entry: Entry[Any], step: int | None) -> float:
    unsure, risk = ordered(step)
    return entry.function(risk_coverage(-unsure, risk))


def of_acquisition(entry: Entry[Any], step: int | None) -> float:
    return entry.function(acquisition(*ordered(step)))


def of_lesions(entry: Entry[Any], step: int | None) -> float:
    reference, prediction = np.zeros((2, 15, 5, 7), bool)
    if step is not None:
        reference[1:14:2, 1, 1] = prediction[1 + 2 * step : 14 : 2, 1, 1] = True
        prediction[1 : 1 + 2 * step : 2, 3, 5] = True
    return entry.function(lesion_detection(prediction, reference, connectivity=26))


def of_consensus(entry: Entry[Any], step: int | None) -> float:
    prediction, reference = (mask[:0] if step is None else mask for mask in masks(step))
    raters = [reference, reference & (np.indices(reference.shape)[1] < 10)]
    return entry.function(RaterConsensus.of(prediction.astype(np.float32), prediction, raters))


def of_retention(entry: Entry[Any], step: int | None) -> float:
    prediction, reference = masks(None if step is None else 2)
    unsure = (prediction ^ reference).astype(np.float64)
    wrong = np.flatnonzero(unsure)
    unsure.flat[wrong[: len(wrong) * (step or 0) // STEPS]] = -1
    return entry.function(voxel_retention(prediction, reference, unsure))


def of_filter(entry: Entry[Any], step: int | None) -> float:
    prediction, reference = masks(step)
    unsure = np.where(prediction ^ reference, 0.0, 10.0 * (step or 0))
    return entry.function(filtered_counts(prediction, reference, unsure, within=np.ones(prediction.shape, bool)))


def of_volumes(entry: Entry[Any], step: int | None) -> float:
    raters = np.array([[9.0], [10.0], [11.0]]) * (step is not None)
    members = raters + 0.4 * (step or 0)
    (value,) = entry.function(VolumeForecast(("liver",), members, members.mean(axis=0), raters))
    return float(value)


Ladder = Callable[[Entry[Any], int | None], float]

LADDERS: dict[str, Ladder] = {
    "overlap score": of_masks,
    "surface score": of_surfaces,
    "ambiguity score": of_sets,
    "calibration score": of_bins,
    "adaptive calibration score": of_levels,
    "Brier term": of_brier,
    "protocol score": of_protocol,
    "boundary calibration score": of_boundary,
    "detection score": of_detection,
    "risk-coverage score": of_risk,
    "acquisition score": of_acquisition,
    "lesion detection score": of_lesions,
    "rater consensus score": of_consensus,
    "retention score": of_retention,
    "QU-BraTS score": of_filter,
    "volume forecast score": of_volumes,
}


def climb(kind: str, entry: Entry[Any]) -> Callable[[int | None], float]:
    """The ladder of a score; says what to do where its catalogue has none."""
    if kind not in LADDERS:
        raise AssertionError(f"no ladder for the catalogue {kind!r}: add one to LADDERS or a reason to NO_SCORES")
    return partial(LADDERS[kind], entry)
