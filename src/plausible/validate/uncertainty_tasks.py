"""Tasks that judge one number per case: does it find shifted cases, failures, and cases worth annotating?"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from plausible.evaluate import (
    ACQUISITION_SCORES,
    DETECTION_SCORES,
    RISK_COVERAGE_SCORES,
    WEIGHTED_AREAS,
    acquisition,
    acquisition_gain,
    area_under_roc,
    weighted_acquisition_gain,
    weighted_aurc,
    weighted_auroc,
)
from plausible.evaluate.detection import detection
from plausible.evaluate.resampling import OfWeights
from plausible.validate.arm import SETS, Arm, Heading, Line
from plausible.validate.tasks import TASKS, VALUES

AGREEMENT = "mean_pairwise_dice"
"""What published comparisons found best for failures, and others are compared with."""


@TASKS.add(unit="1", higher_is="better", source=VALUES)
def out_of_distribution(arm: Arm) -> Iterator[Line | None]:
    """Whether an uncertainty tells images unlike the training data from familiar ones."""
    if len(arm.sets) < len(SETS):
        return
    shifted = arm.values(lambda case: float(case.shifted))
    for (measure, aggregation), found in arm.uncertainties().items():
        if not np.isfinite(found.suspicion).any():
            continue
        cases = detection(found.suspicion, shifted > 0)
        for entry in DETECTION_SCORES:
            heading = Heading(
                task="out_of_distribution", score=entry.name, unit=entry.unit, higher_is=entry.higher_is,
                measure=measure, aggregation=aggregation, cases="all",
            )  # fmt: skip
            if entry.function is area_under_roc:
                yield arm.weighted(heading, weighted_auroc, found.suspicion, shifted)
            else:
                yield arm.plain(heading, entry.function(cases), found.suspicion)


@TASKS.add(unit="risk", higher_is="worse", source=VALUES)
def failure(arm: Arm) -> Iterator[Line | None]:
    """Whether the least sure cases are the worst ones: risk (1 - Dice) against coverage.

    Also each area minus that of the members' mean pairwise Dice over the same draws of patients: intervals of two areas
    overlap long after their difference is clear.
    """
    for name, part in arm.sets.items():
        yield from _against_agreement(part, name)
        risks = part.risks
        for (measure, aggregation), found in part.uncertainties().items():
            if not np.isfinite(found.suspicion + risks).any():
                continue
            for entry in RISK_COVERAGE_SCORES:
                heading = Heading(
                    task="failure", score=entry.name, unit=entry.unit, higher_is=entry.higher_is, measure=measure,
                    aggregation=aggregation, cases=name,
                )  # fmt: skip
                yield part.weighted(heading, WEIGHTED_AREAS[entry.name], -found.suspicion, risks)


def _against_agreement(part: Arm, cases: str) -> Iterator[Line | None]:
    found, risks = part.uncertainties(), part.risks
    agreement = found.get((AGREEMENT, ""))
    if agreement is None or not np.isfinite(agreement.suspicion + risks).any():
        return
    for (measure, aggregation), one in found.items():
        if measure != AGREEMENT and np.isfinite(one.suspicion + agreement.suspicion + risks).any():
            heading = Heading(
                task="failure", score=f"difference_of_aurc_to_{AGREEMENT}", unit="risk", higher_is="worse",
                measure=measure, aggregation=aggregation, cases=cases,
            )  # fmt: skip
            yield part.weighted(heading, _difference, -one.suspicion, -agreement.suspicion, risks)


def _difference(
    first: Float64[np.ndarray, " s"], second: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"]
) -> OfWeights:
    ours, theirs = weighted_aurc(first, risk), weighted_aurc(second, risk)
    return lambda weights: ours(weights) - theirs(weights)


@TASKS.add(unit="1", higher_is="better", source=VALUES)
def active_learning(arm: Arm) -> Iterator[Line | None]:
    """Whether the least sure cases are those where annotation would pay: share of all risk among the first ones sent.

    A ranking, without training again: that the worst cases are found first does not promise that training on them
    helps most.
    """
    for name, part in arm.sets.items():
        risks = part.risks
        for (measure, aggregation), found in part.uncertainties().items():
            if not np.isfinite(found.suspicion + risks).any():
                continue
            for entry in ACQUISITION_SCORES:
                heading = Heading(
                    task="active_learning", score=entry.name, unit=entry.unit, higher_is=entry.higher_is,
                    measure=measure, aggregation=aggregation, cases=name,
                )  # fmt: skip
                if entry.function is acquisition_gain:
                    yield part.weighted(heading, weighted_acquisition_gain, found.suspicion, risks)
                else:
                    sent = acquisition(found.suspicion, risks)
                    yield part.plain(heading, entry.function(sent), found.suspicion, risks)
