"""What is often done instead, shown beside the methods that promise something. No theorem stands behind these."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from conformal_data import Cohort, Split
from conformal_methods import (
    FEATURES,
    Method,
    Outcome,
    covered,
    failed,
    margin_outcome,
    said,
    set_outcome,
)
from scipy import stats

from plausible.calibrate import MarginCurve, conformal_rank
from plausible.core import InvalidInput
from plausible.runs.calibrate_settings import FailureRule


def members_middle(cohort: Cohort, split: Split, alpha: float) -> Outcome:
    """Middle 90 % of the members' volumes, whatever alpha is."""
    low, high = (cohort.values(f"volume_interval_{end}", split.test) for end in ("low", "high"))
    return covered(np.column_stack([low, high]), cohort.values("reference_volume", split.test))


def members_normal(cohort: Cohort, split: Split, alpha: float) -> Outcome:
    """Mean and sd of the members' volumes, as if volumes were normal and the members knew their spread."""
    mean, sd = cohort.values("volume_mean", split.test), cohort.values("volume_sd", split.test)
    reach = stats.norm.ppf(1 - alpha / 2) * sd
    return covered(np.column_stack([mean - reach, mean + reach]), cohort.values("reference_volume", split.test))


def interpolated_quantiles(cohort: Cohort, split: Split, alpha: float) -> Outcome:
    """Interval from numpy's quantiles of the errors: no rank for the new patient, and interpolated."""
    below, above = np.quantile(_errors(cohort, split), [alpha / 2, 1 - alpha / 2])
    return _around(cohort, split, float(below), float(above))


def clipped_rank(cohort: Cohort, split: Split, alpha: float) -> Outcome:
    """The conformal interval with separate tails, its rank cut to the largest error there is instead of refused."""
    errors = np.sort(_errors(cohort, split))
    try:
        rank = conformal_rank(len(errors), alpha, tails=2)
    except InvalidInput:
        rank = len(errors)
    return _around(cohort, split, float(errors[len(errors) - rank]), float(errors[rank - 1]))


def pooled_margin(cohort: Cohort, split: Split, alpha: float, *, share: float) -> Outcome:
    """Margin that holds a share of the voxels of all calibration patients thrown together."""
    curves = [cohort.margins[subject] for subject in split.calibration if cohort.counts[subject].n_reference]
    weights = [cohort.counts[curve.subject].n_reference for curve in curves]
    held = np.average([curve.covered for curve in curves], axis=0, weights=weights)
    pooled = MarginCurve("all", cohort.structure, curves[0].margins_mm, held, np.zeros(len(held)))
    return margin_outcome(cohort, split, pooled.outer_mm(share), share=share)


def pooled_threshold(cohort: Cohort, split: Split, alpha: float) -> Outcome:
    """Threshold that misses alpha of the reference voxels of all calibration patients thrown together."""
    counts = [cohort.counts[subject] for subject in split.calibration]
    missed = 1 - np.sum([one.inside for one in counts], axis=0) / sum(one.n_reference for one in counts)
    return set_outcome(cohort, split, float(counts[0].thresholds[np.flatnonzero(missed <= alpha)[-1]]))


def half(cohort: Cohort, split: Split, alpha: float) -> Outcome:
    """Voxels whose mean probability is at least a half, whatever alpha is."""
    return set_outcome(cohort, split, 0.5)


def same_patients(cohort: Cohort, split: Split, alpha: float) -> Outcome:
    """Predicted Dice with the interval of the residuals of the very patients it was learnt on."""
    table, new = (
        np.array([cohort.values(name, part) for name in FEATURES]).T for part in (split.calibration, split.test)
    )
    dice = cohort.values("dice", split.calibration)
    known = ~np.isnan(np.column_stack([table, dice])).any(axis=1)
    design = np.column_stack([np.ones(int(known.sum())), table[known]])
    coefficients = np.linalg.lstsq(design, dice[known], rcond=None)[0]
    reach = np.quantile(np.abs(design @ coefficients - dice[known]), 1 - alpha)
    predicted = np.clip(coefficients[0] + new @ coefficients[1:], 0, 1)
    ends = np.clip(np.column_stack([predicted - reach, predicted + reach]), 0, 1)
    return covered(ends, cohort.values("dice", split.test))


def best_looking(cohort: Cohort, split: Split, alpha: float, *, rule: FailureRule) -> Outcome:
    """Accept as many calibration patients as keep their own failure rate at alpha, without any test."""
    order = np.argsort(-cohort.values(FEATURES[0], split.calibration), kind="stable")
    ranked = [split.calibration[place] for place in order]
    rates = np.cumsum(failed(cohort, ranked, rule)) / np.arange(1, len(ranked) + 1)
    kept = np.flatnonzero(rates <= alpha)
    cut = cohort.rows[FEATURES[0]][ranked[kept[-1]]].value if len(kept) else np.inf
    flagged = ~(cohort.values(FEATURES[0], split.test) >= cut)
    return Outcome(failed(cohort, split.test, rule)[~flagged], flagged.astype(float))


def naive_methods(rules: Sequence[FailureRule]) -> list[Method]:
    """Every alternative that promises nothing."""
    return [
        Method("members' middle 90 %, not calibrated", "coverage", "width, ml", members_middle, naive=True),
        Method("members' mean and sd, not calibrated", "coverage", "width, ml", members_normal, naive=True),
        Method("numpy quantiles of the errors", "coverage", "width, ml", interpolated_quantiles, naive=True),
        Method("margin that holds 95 % of pooled voxels", "coverage", "margin, mm", _pooled_95, naive=True),
        Method("predicted Dice, same patients", "coverage", "width, Dice", same_patients, naive=True),
        Method("threshold from pooled voxels", "risk", "set / reference", pooled_threshold, naive=True),
        Method("threshold 0.5", "risk", "set / reference", half, naive=True),
        *(
            Method(f"flag by the rate seen, {said(rule)}", "failures", "referred", run, naive=True)
            for rule, run in ((rule, partial(best_looking, rule=rule)) for rule in rules)
        ),
    ]


_pooled_95 = partial(pooled_margin, share=0.95)


def _errors(cohort: Cohort, split: Split) -> np.ndarray:
    return cohort.values("reference_volume", split.calibration) - cohort.values("segmented_volume", split.calibration)


def _around(cohort: Cohort, split: Split, below: float, above: float) -> Outcome:
    predicted = cohort.values("segmented_volume", split.test)
    ends = np.maximum(np.column_stack([predicted + below, predicted + above]), 0)
    return covered(ends, cohort.values("reference_volume", split.test))
