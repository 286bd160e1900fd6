"""Dice of a network on validation cases, on the network's own grid; only to choose and to stop, not to report."""

import math

import numpy as np

from plausible.train.cache import load_case
from plausible.train.hooks import Functions
from plausible.train.infer import padded_shape, window_probabilities
from plausible.train.job import MemberJob


def validation_dice(functions: Functions, job: MemberJob) -> dict[str, float | None]:
    """Mean Dice of the point prediction over the validation cases, by structure.

    None where no case has the structure or a prediction of it.
    """
    rows = []
    for subject in job.split.validation:
        case = load_case(job.cache, subject)
        function = functions.draw(None, shape=padded_shape(case.image, job.plan.patch))
        probabilities = window_probabilities(
            function,
            case.image,
            job.plan.patch,
            exclusive=job.classes.exclusive,
            device=job.device,
            precision=job.settings.precision,
        )
        reference = job.classes.masks(job.classes.encode(case.labels))
        rows.append([_dice(a, b) for a, b in zip(job.classes.masks(probabilities), reference, strict=True)])
    by_structure = np.array(rows).T
    return {
        name: None if np.isnan(values).all() else float(np.nanmean(values))
        for name, values in zip(job.classes.structures, by_structure, strict=True)
    }


def mean_of(dice: dict[str, float | None]) -> float:
    """Mean over the structures that have a Dice; 0 if none has."""
    known = [value for value in dice.values() if value is not None]
    return float(np.mean(known)) if known else 0.0


def _dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    total = int(prediction.sum()) + int(reference.sum())
    return 2 * int((prediction & reference).sum()) / total if total else math.nan
