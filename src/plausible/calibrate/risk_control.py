"""A set of voxels whose loss is bounded on average over patients: conformal risk control.

For a loss between 0 and B that rises (or falls) with the threshold in every patient, take the largest (smallest)
threshold t with (n R̂(t) + B) / (n + 1) ≤ α, R̂ the mean loss of n calibration patients. Then the expected loss of a new
patient is at most α, and at least α - 2B/(n + 1) if the loss has no jumps.

The loss is controlled on average over patients: a few may do much worse. For a bound that holds with confidence 1 - δ
over the calibration set, or for losses that neither rise nor fall, see `learn_then_test`.

Source: Angelopoulos, Bates, Fisch, Lei and Schuster 2024, arXiv:2208.02814.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer

from plausible.calibrate.guarantee import CALIBRATIONS, Absent, Calibration, IfInfeasible, about, record
from plausible.calibrate.losses import Course, LossCurve, course_of, stack
from plausible.calibrate.patients import settle
from plausible.calibrate.rank import check_level, infeasible, too_few

ROUNDING = 1e-12
"""Sums of losses may be off by this much."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class SetThreshold(Calibration):
    """The threshold of the mean probability at which the set of voxels keeps its promise.

    Attributes:
        threshold: the set is {p̄ ≥ threshold}; 0 is the whole image, infinity the empty set.
        targets: for each loss, the largest risk allowed.
        estimates: for each loss, its mean over the calibration patients at the threshold.
        certified: every threshold that keeps the promise, where several were tested.
        rule: how the threshold was found, e.g. the p-value and the order of tests.
    """

    threshold: float
    targets: Mapping[str, float]
    estimates: Mapping[str, float]
    certified: tuple[float, ...] = ()
    rule: str = ""

    def apply(self, probability: Float[np.ndarray, "i j k"], *, subject: str) -> Bool[np.ndarray, "i j k"]:
        """Return the set of a new patient from the mean probability of the structure.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
        """
        self.guarantee.check_unseen(subject)
        return np.asarray(probability >= np.float32(self.threshold))


@CALIBRATIONS.add(
    unit="1", higher_is="neither", source="Angelopoulos et al. 2024, arXiv:2208.02814", label="conformal risk control"
)
def fit_risk_control(
    curves: Sequence[LossCurve],
    *,
    alpha: float,
    absent: Absent,
    population: str,
    date: str,
    if_infeasible: IfInfeasible = "raise",
) -> SetThreshold:
    """Smallest set whose expected loss is at most α for a loss that falls as the set grows; largest for the other kind.

    Args:
        curves: one per calibration patient, of one structure and one loss.
        alpha: largest expected loss allowed.
        absent: what a patient counts as in whom the loss is undefined.
        population: which patients these are, in words.
        date: day of the calibration.
        if_infeasible: "trivial" gives the whole image (or the empty set) where nothing else is right.

    Raises:
        InvalidInput: E401, too few patients; E403, only the trivial set keeps the risk.
        ValueError: a loss that neither rises nor falls, or curves that do not belong together.
    """
    check_level(alpha, name="alpha")
    every, thresholds = stack(curves)
    course, bound = course_of(every.values), curves[0].bound
    patients = settle(every, absent=absent, covered=0.0, missed=bound)
    index = int(controlled_index(patients.values, alpha=alpha, bound=bound, course=course))
    if index in (-1, trivial_index(course, len(thresholds))):
        if if_infeasible == "raise":
            raise _no_set(patients.n, alpha, bound, course)
        index = trivial_index(course, len(thresholds))
    loss, structure = curves[0].loss, curves[0].structure
    return SetThreshold(
        guarantee=patients.promise(
            f"the {about('', loss)} of the {structure} set (mean probability at least {thresholds[index]:.4g}) is at "
            f"most {alpha:g} on average over patients and calibration sets",
            method="conformal risk control",
            alpha=alpha,
            population=population,
            date=date,
            structure=structure,
            absent=absent,
        ),
        threshold=float(thresholds[index]),
        targets={loss: alpha},
        estimates={loss: float(patients.values[index].mean())},
        rule="(n R + B) / (n + 1) <= alpha",
    )


def controlled_index(
    losses: Float[np.ndarray, "*repeats t s"], *, alpha: float, bound: float, course: Course
) -> Integer[np.ndarray, "*repeats"]:
    """Index of the threshold that conformal risk control picks; -1 if none keeps the risk.

    Raises:
        ValueError: a loss that neither rises nor falls.
    """
    if course == "neither":
        raise ValueError(
            "this loss neither rises nor falls with the threshold, so its expectation cannot be controlled this way; "
            "use fit_learn_then_test"
        )
    n = losses.shape[-1]
    kept = losses.sum(axis=-1) + bound <= alpha * (n + 1) + ROUNDING
    if course == "falls":
        return np.where(kept.any(axis=-1), kept.argmax(axis=-1), -1)
    last = kept.shape[-1] - 1 - kept[..., ::-1].argmax(axis=-1)
    return np.where(kept.any(axis=-1), last, -1)


def trivial_index(course: Course, n_thresholds: int) -> int:
    """Index of the set that has no loss whatever the patient: the whole image, or the empty set."""
    return 0 if course == "rises" else n_thresholds - 1


def _no_set(n: int, alpha: float, bound: float, course: Course) -> Exception:
    if bound > alpha * (n + 1) + ROUNDING:
        return too_few(n, alpha=alpha, needed=math.ceil(bound / alpha - 1 - 1e-9), best=bound / (n + 1))
    trivial = "whole image" if course == "rises" else "empty set"
    return infeasible(
        f"no set but the {trivial} has a loss small enough in these {n} patients",
        expected=f"(n · mean loss + {bound:g}) / (n + 1) at most {alpha:g} for some threshold",
        fix="look at the patients with the largest loss, use a better model, or ask for a larger alpha",
    )
