"""The methods of the study: each calibrates on some patients, is applied to others, and says what it kept and cost.

A method raises `InvalidInput` where it refuses (too few patients, no setting keeps the promise); refusals are counted.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from conformal_data import Cohort, Split

from plausible.calibrate import (
    IntervalCalibration,
    Tails,
    fit_failure_flag,
    fit_interval,
    fit_margin,
    fit_quality,
    fit_quantile_interval,
    fit_risk_control,
)
from plausible.runs.calibrate_settings import FailureRule

WHO: dict[str, Any] = {"population": "patients of this study", "date": "2026-01-01"}
FEATURES = ("mean_pairwise_dice", "predictive_entropy")

Promise = Literal["coverage", "risk", "failures"]
Law = Literal["one tail", "two tails", "none"]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What happened to the test patients of one split.

    Attributes:
        achieved: per test patient 1 if covered and else 0; or the loss; or, of accepted patients, 1 if failed.
        sizes: what it costs, per test patient or once.
    """

    achieved: np.ndarray
    sizes: np.ndarray


Run = Callable[[Cohort, Split, float], Outcome]


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the study.

    Attributes:
        name: as tables say it.
        promise: coverage of at least 1 - alpha, a mean loss of at most alpha, or failures among accepted cases of at
            most alpha.
        size: what `Outcome.sizes` are, with their unit.
        run: calibrate and apply.
        law: exact law of the coverage of a split, if there are no ties.
        naive: whether nothing is promised, and it is shown for comparison.
    """

    name: str
    promise: Promise
    size: str
    run: Run
    law: Law = "none"
    naive: bool = False


def interval(
    cohort: Cohort, split: Split, alpha: float, *, volume: str, tails: Tails, spread_floor_ml: float
) -> Outcome:
    """Volume interval: plain, normalized by the members' spread, or from quantiles of the members."""
    fitted = _fit_interval(cohort, split, alpha, volume, tails, spread_floor_ml)
    starts = "volume_interval_low" if fitted.from_quantiles else "segmented_volume"
    ends = []
    for subject in split.test:
        upper = cohort.rows["volume_interval_high"][subject] if fitted.from_quantiles else None
        spread = cohort.rows["volume_sd"][subject] if fitted.normalized else None
        found = fitted.apply(cohort.rows[starts][subject], upper=upper, spread=spread)
        ends.append((found.low, found.high))
    return covered(np.array(ends), cohort.values("reference_volume", split.test))


def margin(cohort: Cohort, split: Split, alpha: float, *, share: float) -> Outcome:
    """Outer margin that holds a share of the structure."""
    curves = [cohort.margins[subject] for subject in split.calibration]
    fitted = fit_margin(curves, alpha=alpha, share=share, sides="outer", absent="exclude", **WHO)
    assert fitted.outer_mm is not None
    return margin_outcome(cohort, split, fitted.outer_mm, share=share)


def risk_control(cohort: Cohort, split: Split, alpha: float) -> Outcome:
    """Voxel set whose missed share is at most alpha on average."""
    curves = [cohort.missed[subject] for subject in split.calibration]
    return set_outcome(cohort, split, fit_risk_control(curves, alpha=alpha, absent="exclude", **WHO).threshold)


def failure_flag(cohort: Cohort, split: Split, alpha: float, *, rule: FailureRule, delta: float) -> Outcome:
    """Accept cases by the members' pairwise Dice; sizes are 1 for referred patients."""
    scores, qualities = (cohort.column(name, split.calibration) for name in (FEATURES[0], rule.measure))
    fitted = fit_failure_flag(scores, qualities, limit=rule.limit, alpha=alpha, delta=delta, absent="exclude", **WHO)
    flagged = np.array([fitted.apply(row).flagged for row in cohort.column(FEATURES[0], split.test)])
    return Outcome(failed(cohort, split.test, rule)[~flagged], flagged.astype(float))


def quality(cohort: Cohort, split: Split, alpha: float) -> Outcome:
    """Predicted Dice with its interval, learnt on half of the calibration patients."""
    columns = [cohort.column(name, split.calibration) for name in FEATURES]
    fitted = fit_quality(
        columns,
        cohort.column("dice", split.calibration),
        alpha=alpha,
        seed=split.seed,
        tails="shared",
        valid_range=(0.0, 1.0),
        **WHO,
    )
    found = [fitted.apply([cohort.rows[name][subject] for name in FEATURES])[1] for subject in split.test]
    return covered(np.array([(one.low, one.high) for one in found]), cohort.values("dice", split.test))


def covered(ends: np.ndarray, true: np.ndarray) -> Outcome:
    """Whether intervals hold the truth, and their widths; patients without a truth are left out."""
    known = ~np.isnan(true)
    low, high, value = ends[known, 0], ends[known, 1], true[known]
    return Outcome(((low <= value) & (value <= high)).astype(float), high - low)


def margin_outcome(cohort: Cohort, split: Split, margin_mm: float, *, share: float) -> Outcome:
    """Whether a margin holds a share of each test patient's structure, where there is one."""
    needed = np.array([cohort.margins[subject].outer_mm(share) for subject in split.test])
    return Outcome((needed[~np.isnan(needed)] <= margin_mm + 1e-9).astype(float), np.array([margin_mm]))


def set_outcome(cohort: Cohort, split: Split, threshold: float) -> Outcome:
    """Missed share of each test patient at a threshold, and volume of the set by that of the reference."""
    present = [subject for subject in split.test if cohort.counts[subject].n_reference]
    place = int(np.searchsorted(cohort.missed[present[0]].thresholds, threshold))
    missed = [cohort.missed[subject].values[place] for subject in present]
    counts = [cohort.counts[subject] for subject in present]
    return Outcome(np.array(missed), np.array([(c.inside[place] + c.outside[place]) / c.n_reference for c in counts]))


def failed(cohort: Cohort, subjects: Sequence[str], rule: FailureRule) -> np.ndarray:
    """Which patients fail by the rule; a quality that is undefined does not."""
    worse = -1 if cohort.rows[rule.measure][subjects[0]].higher_is == "better" else 1
    return np.asarray(worse * cohort.values(rule.measure, subjects) > worse * rule.limit, dtype=float)


def conformal_methods(rules: Sequence[FailureRule], *, delta: float, spread_floor_ml: float) -> list[Method]:
    """Every method that promises something."""
    found = []
    for tails, law in (("separate", "two tails"), ("shared", "one tail")):
        for volume in ("plain", "normalized", "quantiles"):
            run = partial(interval, volume=volume, tails=tails, spread_floor_ml=spread_floor_ml)
            exact = law if volume != "quantiles" or tails == "shared" else "none"
            found.append(Method(f"volume interval, {volume}, {tails} tails", "coverage", "width, ml", run, exact))
    for share in (0.95, 1.0):
        name = f"margin that holds {100 * share:g} %"
        found.append(Method(name, "coverage", "margin, mm", partial(margin, share=share), "one tail"))
    flags = [partial(failure_flag, rule=rule, delta=delta) for rule in rules]
    return [
        *found,
        Method("predicted Dice, interval", "coverage", "width, Dice", quality),
        Method("risk control of the missed share", "risk", "set / reference", risk_control),
        *(
            Method(f"failure flag, {said(rule)}", "failures", "referred", flag)
            for rule, flag in zip(rules, flags, strict=True)
        ),
    ]


def said(rule: FailureRule) -> str:
    """Rule in words; every score here is better where it is higher."""
    return f"{rule.measure} < {rule.limit:g}"


def _fit_interval(
    cohort: Cohort, split: Split, alpha: float, volume: str, tails: Tails, floor_ml: float
) -> IntervalCalibration:
    shared: dict[str, Any] = {"alpha": alpha, "tails": tails, "valid_range": (0.0, math.inf), **WHO}
    of = partial(cohort.column, subjects=split.calibration)
    if volume == "quantiles":
        lows, highs = of("volume_interval_low"), of("volume_interval_high")
        return fit_quantile_interval(lows, highs, of("reference_volume"), **shared)
    spreads = of("volume_sd") if volume == "normalized" else None
    return fit_interval(
        of("segmented_volume"), of("reference_volume"), spreads=spreads, spread_floor=floor_ml, **shared
    )
