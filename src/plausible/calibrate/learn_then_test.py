"""Thresholds whose risk is at most α with confidence 1 - δ over the calibration set, for one risk or several at once.

- `fit_risk_bound` (risk-controlling prediction sets): one loss that rises or falls; thresholds are tested from the set
  without loss onwards, until the first that cannot be certified.
- `fit_learn_then_test`: any losses together, e.g. sensitivity and precision. A threshold is certified if every risk is
  (the largest of its p-values counts). Which thresholds are tested, and in which order, is decided before anyone looks
  at the losses.

Any certified threshold keeps the promise, so one may be picked afterwards.

Sources: Bates et al. 2021, arXiv:2101.02703; Angelopoulos et al. 2021, arXiv:2110.01052.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Integer

from plausible.calibrate.counts import same_grid
from plausible.calibrate.guarantee import CALIBRATIONS, Absent, IfInfeasible, about, percent
from plausible.calibrate.losses import LossCurve, course_of, stack
from plausible.calibrate.patients import Patients, settle
from plausible.calibrate.rank import infeasible
from plausible.calibrate.risk_control import SetThreshold, trivial_index
from plausible.calibrate.testing import P_VALUES, Correction, certified, check_enough, tested_at_once

Prefer: TypeAlias = Literal["largest_set", "smallest_set"]


@CALIBRATIONS.add(
    unit="1", higher_is="neither", source="Bates et al. 2021, arXiv:2101.02703", label="risk-controlling sets"
)
def fit_risk_bound(
    curves: Sequence[LossCurve],
    *,
    alpha: float,
    delta: float,
    absent: Absent,
    population: str,
    date: str,
    p_value: str = "hoeffding_bentkus",
    if_infeasible: IfInfeasible = "raise",
) -> SetThreshold:
    """Set whose risk is at most α with confidence 1 - δ, for a loss that rises or falls with the threshold.

    Args:
        curves: one per calibration patient, of one structure and one loss.
        alpha: largest expected loss allowed.
        delta: probability, over the draw of calibration patients, that the risk is larger.
        absent: what a patient counts as in whom the loss is undefined.
        population: which patients these are, in words.
        date: day of the calibration.
        p_value: one of `P_VALUES`.
        if_infeasible: "trivial" gives the whole image (or the empty set) where nothing else is right.

    Raises:
        InvalidInput: E401, too few patients; E403, only the trivial set is certified.
        ValueError: a loss that neither rises nor falls, or curves that do not belong together.
    """
    every, thresholds = stack(curves)
    course, loss, structure = course_of(every.values), curves[0].loss, curves[0].structure
    if course == "neither":
        raise ValueError(f"{loss} neither rises nor falls with the threshold; use fit_learn_then_test")
    patients = settle(every, absent=absent, covered=0.0, missed=curves[0].bound)
    trivial = trivial_index(course, len(thresholds))
    order = np.arange(len(thresholds)) if course == "rises" else np.arange(len(thresholds))[::-1]
    passed: list[int] = []
    if if_infeasible == "raise":
        check_enough(patients.n, alpha=alpha / curves[0].bound, delta=delta)
    if patients.n:
        p = P_VALUES[p_value].function(patients.values / curves[0].bound, alpha=alpha / curves[0].bound, delta=delta)
        passed = order[certified(p[order], delta=delta, correction="fixed_sequence")].tolist()
    index = passed[-1] if passed else trivial
    if index == trivial and if_infeasible == "raise":
        raise _nothing_certified([loss], {loss: alpha}, patients.n, delta)
    return SetThreshold(
        guarantee=patients.promise(
            f"the {about('', loss)} of the {structure} set (mean probability at least {thresholds[index]:.4g}) is at "
            f"most {alpha:g} on average over patients, with confidence {percent(1 - delta)} in the calibration set",
            method="risk-controlling prediction sets",
            alpha=alpha,
            delta=delta,
            population=population,
            date=date,
            structure=structure,
            absent=absent,
        ),
        threshold=float(thresholds[index]),
        targets={loss: alpha},
        estimates={loss: float(patients.values[index].mean())},
        certified=tuple(sorted(float(t) for t in thresholds[passed])),
        rule=f"{p_value}, fixed sequence from the trivial set",
    )


@CALIBRATIONS.add(
    unit="1", higher_is="neither", source="Angelopoulos et al. 2021, arXiv:2110.01052", label="learn then test"
)
def fit_learn_then_test(
    curves: Sequence[LossCurve],
    *,
    targets: Mapping[str, float],
    delta: float,
    order: Sequence[float],
    correction: Correction,
    prefer: Prefer,
    absent: Absent,
    population: str,
    date: str,
    p_value: str = "hoeffding_bentkus",
) -> SetThreshold:
    """Threshold that keeps every risk at or below its target, all with confidence 1 - δ.

    Args:
        curves: one per calibration patient and loss, of one structure.
        targets: for each loss, the largest expected loss allowed.
        delta: probability, over the draw of calibration patients, that one of the risks is larger.
        order: thresholds to test, in order; decided without the losses. The nearest points of the grid are taken.
        correction: how the thresholds share delta. A fixed sequence should start where all risks are likely kept;
            fallback and bonferroni want few thresholds (5 to 20).
        prefer: which of the certified thresholds to take.
        absent: what a patient counts as in whom a loss is undefined; excluded patients are so for all losses.
        population: which patients these are, in words.
        date: day of the calibration.
        p_value: one of `P_VALUES`.

    Raises:
        InvalidInput: E401, too few patients; E403, no threshold is certified. There is no trivial answer.
        ValueError: losses without a target, targets without curves, or curves that do not belong together.
    """
    tables, thresholds = _tables(curves, targets, absent)
    n = next(iter(tables.values())).n
    places = _places(order, thresholds)
    for alpha in targets.values():
        check_enough(n, alpha=alpha, delta=delta, settings=tested_at_once(correction, len(places)))
    function = P_VALUES[p_value].function
    worst = np.max(
        [function(tables[loss].values[places], alpha=alpha, delta=delta) for loss, alpha in targets.items()], axis=0
    )
    passed = places[certified(worst, delta=delta, correction=correction)]
    if not len(passed):
        raise _nothing_certified(list(targets), targets, n, delta)
    index = int(passed.min() if prefer == "largest_set" else passed.max())
    together = " and ".join(f"the {about('', loss)} at most {alpha:g}" for loss, alpha in targets.items())
    structure = curves[0].structure
    return SetThreshold(
        guarantee=_pooled(tables).promise(
            f"the {structure} set (mean probability at least {thresholds[index]:.4g}) has {together} on average over "
            f"patients, with confidence {percent(1 - delta)} in the calibration set",
            method="learn then test",
            alpha=max(targets.values()),
            delta=delta,
            population=population,
            date=date,
            structure=structure,
            absent=absent,
        ),
        threshold=float(thresholds[index]),
        targets=dict(targets),
        estimates={loss: float(table.values[index].mean()) for loss, table in tables.items()},
        certified=tuple(sorted(float(t) for t in thresholds[passed])),
        rule=f"{p_value}, {correction.replace('_', ' ')} over {len(places)} thresholds",
    )


def _tables(
    curves: Sequence[LossCurve], targets: Mapping[str, float], absent: Absent
) -> tuple[dict[str, Patients], Float[np.ndarray, " t"]]:
    """Losses of the same patients, by name of the loss."""
    by_loss: dict[str, list[LossCurve]] = defaultdict(list)
    for curve in curves:
        by_loss[curve.loss].append(curve)
    if by_loss.keys() != targets.keys():
        raise ValueError(f"curves of {', '.join(sorted(by_loss))}, targets for {', '.join(sorted(targets))}")
    if any(curve.bound != 1 for curve in curves) or len({curve.structure for curve in curves}) > 1:
        raise ValueError("curves must be of one structure, with losses between 0 and 1")
    stacked = {loss: stack(by_loss[loss]) for loss in targets}
    thresholds = same_grid([grid for _, grid in stacked.values()], what="thresholds")
    every = [patients for patients, _ in stacked.values()]
    if len({patients.subjects for patients in every}) > 1:
        raise ValueError("every loss needs a curve of every patient")
    wanted = np.asarray(~np.any([np.isnan(patients.values).any(axis=0) for patients in every], axis=0))
    kept = [patients.keep(wanted) if absent == "exclude" else patients for patients in every]
    settled = [settle(patients, absent=absent, covered=0.0, missed=1.0) for patients in kept]
    return dict(zip(targets, settled, strict=True)), thresholds


def _places(order: Sequence[float], thresholds: Float[np.ndarray, " t"]) -> Integer[np.ndarray, " k"]:
    """Grid points nearest to the thresholds asked for, each once, in order."""
    finite = thresholds[:-1]
    nearest = [len(finite) if np.isinf(t) else int(np.abs(finite - t).argmin()) for t in order]
    if not nearest:
        raise ValueError("name the thresholds to test")
    return np.array(list(dict.fromkeys(nearest)))


def _pooled(tables: Mapping[str, Patients]) -> Patients:
    """All losses of the patients in one table, for the record."""
    first = next(iter(tables.values()))
    return Patients(first.subjects, np.concatenate([table.values for table in tables.values()]), first.excluded)


def _nothing_certified(losses: Sequence[str], targets: Mapping[str, float], n: int, delta: float) -> Exception:
    asked = " and ".join(f"{about('', loss)} at most {targets[loss]:g}" for loss in losses)
    return infeasible(
        f"no threshold but a trivial one is certified in {n} patients",
        expected=f"a threshold with {asked}, with confidence {percent(1 - delta)}",
        fix="add patients, test fewer thresholds, start where the risk is lowest, or ask for larger targets",
    )
