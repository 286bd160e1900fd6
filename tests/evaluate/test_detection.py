"""Failures and out-of-distribution cases: scikit-learn agrees, ties count one half, and traps of published code."""

import math

import numpy as np
import pytest

from plausible.core import Score, select
from plausible.evaluate import (
    DETECTION_SCORES,
    area_under_generalized_risk_coverage,
    area_under_roc,
    average_precision,
    failure_detection,
    failure_rows,
    false_positive_rate_at_sensitivity,
    ood_detection,
    ood_rows,
    risk_coverage,
)
from plausible.evaluate.detection import Detection, detection

ALL = pytest.mark.parametrize("entry", list(DETECTION_SCORES), ids=lambda e: e.name)
NOTHING = np.zeros(0)


def tied(seed=0, n=60) -> tuple[np.ndarray, np.ndarray]:
    """Eleven levels of suspicion, and cases that follow them loosely."""
    rng = np.random.default_rng(seed)
    suspicion = rng.integers(0, 11, n) / 10
    return suspicion, rng.random(n) < 0.2 + 0.6 * suspicion


def test_by_hand():
    """Suspicions 4, 3, 3, 1 of wanted, wanted, other, other: one pair in four is tied."""
    cases = detection(np.array([4.0, 3.0, 3.0, 1.0]), np.array([True, True, False, False]))
    assert (cases.found.tolist(), cases.false_alarms.tolist()) == ([1, 2, 2], [0, 1, 2])
    assert area_under_roc(cases) == pytest.approx((1 + 1 + 1 + 1 / 2) / 4)
    assert false_positive_rate_at_sensitivity(cases) == 1 / 2
    assert false_positive_rate_at_sensitivity(cases, sensitivity=0.5) == 0
    assert average_precision(cases) == pytest.approx((1 * 1 + 1 * 2 / 3) / 2)


@pytest.mark.parametrize("seed", range(4))
def test_scikit_learn_agrees_on_ties_and_without(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    suspicion, wanted = tied(seed)
    for values in (suspicion, suspicion + np.random.default_rng(seed).random(60) / 100):
        cases = detection(values, wanted)
        assert area_under_roc(cases) == pytest.approx(metrics.roc_auc_score(wanted, values))
        assert average_precision(cases) == pytest.approx(metrics.average_precision_score(wanted, values))
        false_alarms, found, _ = metrics.roc_curve(wanted, values, drop_intermediate=False)
        assert false_positive_rate_at_sensitivity(cases) == pytest.approx(false_alarms[np.argmax(found >= 0.95)])


@ALL
def test_order_of_files_and_scale_do_not_matter(entry):
    suspicion, wanted = tied()
    turn = np.random.default_rng(1).permutation(len(wanted))
    expected = entry.function(detection(suspicion, wanted))
    assert entry.function(detection(suspicion[turn], wanted[turn])) == expected
    assert entry.function(detection(np.exp(3 * suspicion), wanted)) == expected


@ALL
def test_a_better_score_is_better_and_ends_are_known(entry):
    rng = np.random.default_rng(2)
    wanted, noise = rng.random(400) < 0.3, rng.normal(size=400)
    values = [entry.function(detection(wanted + width * noise, wanted)) for width in (0, 0.4, 3)]
    assert values == sorted(values, reverse=entry.higher_is == "better")
    assert values[0] == (1 if entry.higher_is == "better" else 0)
    silent = detection(np.zeros(400), wanted)
    uninformed = {
        "area_under_roc": 0.5,
        "false_positive_rate_at_sensitivity": 1.0,
        "average_precision": wanted.mean(),
    }
    assert entry.function(silent) == pytest.approx(uninformed[entry.name])


@ALL
def test_one_kind_or_nothing_is_undefined_and_nan_is_counted(entry):
    assert math.isnan(entry.function(detection(NOTHING, np.zeros(0, bool))))
    assert math.isnan(entry.function(detection(np.arange(3.0), np.ones(3, bool))))
    assert math.isnan(entry.function(detection(np.arange(3.0), np.zeros(3, bool))))
    suspicion, wanted = tied()
    holes = detection(np.append(suspicion, np.nan), np.append(wanted, True))
    assert holes.n_undefined == 1
    assert entry.function(holes) == entry.function(detection(suspicion, wanted))


def test_sensitivity_is_reached_not_nearly_reached():
    """Zenk's code accepts 0.9495: with 19 of 20 found both agree, with 94.97 % only ours goes on."""
    n_found, n = 1889, 1989
    assert 0.9495 < n_found / n < 0.95
    suspicion = np.concatenate([np.full(n_found, 2.0), np.zeros(n - n_found), np.full(30, 1.0), np.full(70, -1.0)])
    wanted = np.append(np.ones(n, bool), np.zeros(100, bool))
    cases = detection(suspicion, wanted)
    assert false_positive_rate_at_sensitivity(cases) == 0.3
    assert false_positive_rate_at_sensitivity(cases, sensitivity=0.9495) == 0  # wrong for "95 %"


def test_trapezoids_under_precision_and_recall_are_too_optimistic():
    cases = detection(np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, False, False, True]))
    precision = cases.found / (cases.found + cases.false_alarms)
    optimistic = np.trapezoid(np.append(1, precision), np.append(0, cases.sensitivity))
    assert average_precision(cases) == pytest.approx((1 + 2 / 4) / 2)
    assert optimistic != pytest.approx(average_precision(cases), abs=0.01)


def test_failures_are_risks_above_the_threshold():
    confidence, risk = np.array([0.9, 0.8, 0.7, 0.2, np.nan, 0.5]), np.array([0.1, 0.2, 0.4, 0.5, 0.9, np.nan])
    cases = failure_detection(confidence, risk, threshold=0.2)
    assert (cases.n_positive, cases.n_negative, cases.n_undefined) == (2, 2, 2)
    assert area_under_roc(cases) == 1
    assert area_under_roc(failure_detection(-confidence, risk, threshold=0.2)) == 0
    assert math.isnan(area_under_roc(failure_detection(confidence, risk, threshold=0.9)))


def test_failure_rows_name_risk_and_threshold():
    confidence, risk = np.array([0.9, 0.1]), np.array([0.1, 0.4])
    named = {"score": "mean_pairwise_dice", "named_risk": "1 - dice", "structure": "liver"}
    rows = list(failure_rows(confidence, risk, threshold=0.2, **named))
    assert [row.measure for row in rows] == list(DETECTION_SCORES.names)
    assert {(row.structure, row.reduction, row.against, row.n) for row in rows} == {
        ("liver", "mean_pairwise_dice", "1 - dice > 0.2", 2)
    }
    assert rows[0].value == 1


@pytest.mark.parametrize("n_levels", [7, 100_000])
def test_generalized_risk_of_failures_follows_from_their_auroc(n_levels):
    """Exact for risks of 0 and 1, with ties and without: AUGRC = (1 - AUROC) a (1 - a) + (1 - a)² / 2."""
    rng = np.random.default_rng(4)
    confidence, failed = rng.integers(0, n_levels, 200).astype(float), (rng.random(200) < 0.3).astype(float)
    auroc = area_under_roc(failure_detection(confidence, failed, threshold=0.5))
    a = 1 - failed.mean()
    expected = (1 - auroc) * a * (1 - a) + (1 - a) ** 2 / 2
    assert area_under_generalized_risk_coverage(risk_coverage(confidence, failed)) == pytest.approx(expected, rel=1e-12)


def test_unfamiliar_cases_are_the_wanted_ones():
    cases = ood_detection(np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.9]))
    assert (cases.n_positive, cases.n_negative) == (2, 3)
    assert area_under_roc(cases) == pytest.approx((3 + 2 + 1 / 2) / 6)


def row(subject, measure, value, higher_is, **more) -> Score:
    return Score(subject=subject, measure=measure, value=value, unit="1", higher_is=higher_is, n=1, **more)


def test_every_uncertainty_of_rows_is_judged_by_its_direction():
    """Subjects are named: reading them from their file numbers, as ValUES does, would turn this one around."""
    rows = []
    for subject, unsure in (("case_01", 0.9), ("case_02", 0.8), ("case_30", 0.1), ("case_31", 0.2)):
        rows += [
            row(subject, "mutual_information", unsure, "worse", region="whole_image", reduction="mean"),
            row(subject, "mean_pairwise_dice", 1 - unsure, "better", structure="liver"),
            row(subject, "volume_mean", unsure, "neither", structure="liver"),
            row(subject, "dice", unsure, "better", structure="liver", against="rater_1"),
        ]
    found = ood_rows(rows, outside={"case_01", "case_02"}, against="other_scanner")
    assert len(found) == 2 * len(DETECTION_SCORES)
    assert [r.value for r in select(found, measure="area_under_roc")] == [1, 1]
    assert {(r.structure, r.region, r.reduction, r.against, r.n) for r in found} == {
        ("", "mutual_information:whole_image", "mean", "other_scanner", 4),
        ("liver", "mean_pairwise_dice", "", "other_scanner", 4),
    }
    assert len({r.key for r in found}) == len(found)
    with pytest.raises(ValueError, match="case_99"):
        ood_rows(rows, outside={"case_99"})


def test_wrong_settings_are_refused():
    cases: Detection = detection(*tied())
    for sensitivity in (0.0, 1.1):
        with pytest.raises(ValueError, match="sensitivity"):
            false_positive_rate_at_sensitivity(cases, sensitivity=sensitivity)
    # while shapes are checked, jaxtyping refuses before our own message does
    with pytest.raises((ValueError, TypeError), match=r"confidences for|risk"):
        failure_detection(np.zeros(3), np.zeros(4), threshold=0.5)
    with pytest.raises((ValueError, TypeError), match=r"suspicions for|wanted"):
        detection(np.zeros(3), np.zeros(4, bool))
