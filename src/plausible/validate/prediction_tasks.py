"""Tasks that judge the prediction itself: overlap, calibration, and the set of members against several raters."""

import math
from collections.abc import Callable, Iterator
from functools import partial

from plausible.evaluate import (
    AMBIGUITY_SCORES,
    CALIBRATION_SCORES,
    ENSEMBLE,
    REFERENCE_BOX,
    VOLUME_FORECAST_SCORES,
    WHOLE_IMAGE,
)
from plausible.validate.arm import Arm, Heading, Judged, Line
from plausible.validate.tasks import TASKS, VALUES
from plausible.validate.uncertainty_levels import calibration_errors


@TASKS.add(unit="1", higher_is="better", source=VALUES)
def segmentation(arm: Arm) -> Iterator[Line | None]:
    """How good the mean of the members is, on images like the training data and on others: Dice and surface Dice."""
    for name, part in arm.sets.items():
        for score in ("dice", "normalized_surface_dice"):
            heading = Heading(task="segmentation", score=score, unit="1", higher_is="better", cases=name)
            yield part.mean(heading, of_mean(score))


@TASKS.add(unit="1", higher_is="worse", source=VALUES)
def calibration(arm: Arm) -> Iterator[Line | None]:
    """Whether probabilities are frequencies, and whether a map of uncertainty tells how often a voxel is wrong.

    Of the prediction: calibration errors and proper scores, whole image and within the references' box. Of each map:
    the calibration error after Platt's fit on the familiar cases of other patients.
    """
    for name, part in arm.sets.items():
        for entry in CALIBRATION_SCORES:
            for region in (WHOLE_IMAGE, REFERENCE_BOX):
                heading = Heading(
                    task="calibration", score=entry.name, unit=entry.unit, higher_is=entry.higher_is,
                    aggregation=region, cases=name,
                )  # fmt: skip
                yield part.mean(heading, of_mean(entry.name, structure="", region=region))
    for measure in arm.measures:
        yield from _map_calibration(arm, measure)


def _map_calibration(arm: Arm, measure: str) -> Iterator[Line | None]:
    told = [case for case in arm.cases if measure in case.levels]
    errors = calibration_errors(
        [case.levels[measure] for case in told],
        familiar=[not case.shifted for case in told],
        patients=[case.patient for case in told],
    )
    found = {case.subject: error for case, error in zip(told, errors, strict=True)}
    for name, part in arm.sets.items():
        heading = Heading(
            task="calibration", score="uncertainty_calibration_error", unit="1", higher_is="worse", measure=measure,
            aggregation=WHOLE_IMAGE, cases=name,
        )  # fmt: skip
        yield part.mean(heading, lambda case: found.get(case.subject, math.nan))


@TASKS.add(unit="1", higher_is="neither", source=VALUES)
def ambiguity(arm: Arm) -> Iterator[Line | None]:
    """Whether the members spread as the raters do: distances between the two sets, and volumes.

    Needs several raters. The correlation of maps with the raters' disagreement belongs to `separation`.
    """
    for name, part in arm.sets.items():
        for entry in (*AMBIGUITY_SCORES, *VOLUME_FORECAST_SCORES):
            heading = Heading(
                task="ambiguity", score=entry.name, unit=entry.unit, higher_is=entry.higher_is, cases=name
            )
            yield part.mean(heading, partial(Judged.mean, measure=entry.name, structure=""))


def of_mean(score: str, *, structure: str | None = None, region: str | None = None) -> Callable[[Judged], float]:
    """Return what reads a score of the mean of the members, mean over raters, from a case."""
    return lambda case: case.mean(score, structure=structure, region=region, reduction=ENSEMBLE)
