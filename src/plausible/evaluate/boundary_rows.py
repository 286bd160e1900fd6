"""Calibration of the mean of all members near each rater's contour, as rows: BA-ECE in mm, and SPACE.

Distances do not stop at the edge of a slab: the mean is made slab by slab, and of it the answer given and its
confidence are kept for the whole image. Exclusive classes are one question (the structure of the rows is empty),
overlapping regions one each.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Integer

from plausible.core import Entry, Members, Score, walk
from plausible.evaluate.boundary_calibration import (
    BAND_EDGES_MM,
    BOUNDARY_CALIBRATION_SCORES,
    Answers,
    BoundaryScore,
    boundary_aware_calibration_error,
    boundary_bands,
    presence_answers,
    spatial_calibration_error,
    top_label_answers,
)
from plausible.evaluate.calibration import questions
from plausible.evaluate.case import ENSEMBLE
from plausible.measure import VoxelStatistics, mean_probability

BANDS = "bands_" + "_".join(f"{edge:g}" for edge in BAND_EDGES_MM) + "_mm"


def boundary_calibration_rows(
    members: Members, raters: Members, *, sigma_mm: float, subject: str = "", slab_voxels: int | None = None
) -> list[Score]:
    """Score the mean of the members against every rater, over the whole image.

    Args:
        members: the predictions; one slab of one member is in memory at a time.
        raters: the references, on the same grid and with the same classes.
        sigma_mm: width of the Gaussian of SPACE; the rows' region names it, and the bands of BA-ECE.
        subject: name for the rows; the members' own if empty.
        slab_voxels: work in slabs of about this many voxels.

    Returns:
        Two rows per rater and question; n counts the voxels.

    Raises:
        InvalidInput: E201 or E202, raters on another grid.
    """
    raters.geometry.check_matches(members.geometry, this="the reference", that="the members", subject=members.subject)
    spacing, asked = members.geometry.spacing_mm, questions(members.classes)
    answers = _answers(members, slab_voxels)
    ba_ece = BOUNDARY_CALIBRATION_SCORES[boundary_aware_calibration_error.__name__]
    space = BOUNDARY_CALIBRATION_SCORES[spatial_calibration_error.__name__]
    rows = []
    for rater in raters:
        for question, given in zip(asked, answers, strict=True):
            named = {"subject": subject or members.subject, "structure": question, "against": rater.info.id}
            reference = _reference(rater.probabilities, rater.classes.channel(question) if question else None)
            bands = boundary_bands(given, reference, spacing_mm=spacing)
            value = spatial_calibration_error(given, reference, spacing_mm=spacing, sigma_mm=sigma_mm)
            rows.append(_row(ba_ece, ba_ece.function(bands), bands.n, region=BANDS, named=named))
            rows.append(_row(space, value, reference.size, region=f"sigma_{sigma_mm:g}_mm", named=named))
    return rows


def _answers(members: Members, slab_voxels: int | None) -> list[Answers]:
    """Answers to every question in the whole image."""
    parts = [
        list(_asked(members, mean_probability(found[VoxelStatistics])))
        for _, found in walk(members, VoxelStatistics, slab_voxels=slab_voxels)
    ]
    return [_joined(slabs, axis=members.slab_axis) for slabs in zip(*parts, strict=True)]


def _asked(members: Members, p: Float[np.ndarray, "c i j k"]) -> Iterator[Answers]:
    for question in questions(members.classes):
        channel = members.classes.channel(question) if question else None
        found = top_label_answers(p) if channel is None else presence_answers(p, channel=channel)
        yield replace(found, given=found.given.astype(np.uint16))


def _joined(slabs: tuple[Answers, ...], *, axis: int) -> Answers:
    return Answers(
        np.concatenate([slab.given for slab in slabs], axis=axis),
        np.concatenate([slab.confidence for slab in slabs], axis=axis),
    )


def _reference(truth: Float[np.ndarray, "c i j k"], channel: int | None) -> Integer[np.ndarray, "i j k"]:
    chosen = truth.argmax(axis=0) if channel is None else truth[channel] > 0.5
    return np.asarray(chosen, dtype=np.uint16)


def _row(entry: Entry[BoundaryScore], value: float, n: int, *, region: str, named: dict[str, str]) -> Score:
    return Score(
        measure=entry.name, value=value, unit=entry.unit, higher_is=entry.higher_is, n=n, region=region,
        reduction=ENSEMBLE, **named,
    )  # fmt: skip
