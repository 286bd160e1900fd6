"""Confidences judged by risks: closed forms, directions, ties, and what is left out."""

import math
from dataclasses import replace

import numpy as np
import pytest

from plausible.core import Score
from plausible.evaluate import (
    RISK_MEASURES,
    RISKS,
    CaseRisks,
    ConfidenceSettings,
    acquisition,
    acquisition_gain,
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    area_under_roc,
    judge_confidences,
    ood_detection,
    risk_coverage,
)

DICE = (0.9, 0.8, 0.7, 0.6, 0.4, 0.2)
UNSURE = (0.1, 0.3, 0.2, 0.5, 0.5, 0.9)
PLAIN = ConfidenceSettings(limits={}, n_resamples=50)


def row(subject: str, measure: str, value: float, **fields: object) -> Score:
    told = {"unit": "1", "higher_is": "better", "n": 1, "structure": "liver"} | fields
    return Score(subject=subject, measure=measure, value=value, **told)


def cohort(dice=DICE, unsure=UNSURE, *, against: str = "r") -> list[Score]:
    rows = []
    for n, (d, u) in enumerate(zip(dice, unsure, strict=True)):
        rows.append(row(f"s{n}", "dice", d, reduction="ensemble", against=against))
        rows.append(row(f"s{n}", "predictive_entropy", u, higher_is="worse", region="whole_image", reduction="mean"))
    return rows


def lines(rows, settings=PLAIN, **wanted):
    return [
        line
        for line in judge_confidences(rows, settings)
        if all(getattr(line, name) == value for name, value in wanted.items())
    ]


def value(rows, score: str, settings=PLAIN, **wanted) -> float:
    (line,) = lines(rows, settings, score=score, **wanted)
    return line.value


def test_every_risk_has_a_measure():
    assert set(RISK_MEASURES) == set(RISKS.names)


def test_areas_are_those_of_the_plain_functions():
    confidence, risk = -np.array(UNSURE), 1 - np.array(DICE)
    curve = risk_coverage(confidence, risk)
    rows = cohort()
    assert value(rows, "area_under_risk_coverage") == pytest.approx(area_under_risk_coverage(curve))
    assert value(rows, "area_under_generalized_risk_coverage") == pytest.approx(
        area_under_generalized_risk_coverage(curve)
    )
    gain = acquisition_gain(acquisition(np.array(UNSURE), risk))
    assert value(rows, "acquisition_gain") == pytest.approx(gain)
    assert {(line.risk, line.n, line.against) for line in lines(rows)} == {("dice_loss", 6, "each")}
    assert {line.convention for line in lines(rows, score="area_under_risk_coverage")} == {"flat_start"}


def test_gain_and_generalised_area_say_the_same():
    rows, risk = cohort(), 1 - np.array(DICE)
    best = area_under_generalized_risk_coverage(risk_coverage(-risk, risk))
    area = value(rows, "area_under_generalized_risk_coverage")
    expected = (risk.mean() / 2 - area) / (risk.mean() / 2 - best)
    assert value(rows, "acquisition_gain") == pytest.approx(expected)


def test_a_confidence_and_its_opposite_uncertainty_are_one():
    turned = [
        replace(r, value=-r.value, higher_is="better") if r.measure == "predictive_entropy" else r for r in cohort()
    ]
    for ours, theirs in zip(lines(cohort()), lines(turned), strict=True):
        assert (ours.score, ours.value, ours.low) == (theirs.score, theirs.value, theirs.low)


def test_perfect_order_chance_and_reverse():
    risk = 1 - np.array(DICE)
    assert value(cohort(unsure=tuple(risk)), "normalized_area_under_risk_coverage") == pytest.approx(1)
    assert value(cohort(unsure=(0.5,) * 6), "normalized_area_under_risk_coverage") == pytest.approx(0, abs=1e-12)
    assert value(cohort(unsure=tuple(-risk)), "normalized_area_under_risk_coverage") < 0


def test_the_order_of_cases_does_not_matter():
    rows = cohort()
    for ours, theirs in zip(lines(rows), lines(rows[::-1]), strict=True):
        np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-12)


def test_a_failure_is_beyond_its_limit_on_the_bad_side():
    settings = ConfidenceSettings(limits={"dice": 0.65}, n_resamples=50)
    assert value(cohort(), "area_under_roc", settings, risk="dice<0.65") == 1  # .5 .5 .9 against .1 .3 .2
    far = [
        replace(r, measure="hausdorff_distance_95", value=10 * r.value) if r.measure == "dice" else r for r in cohort()
    ]
    settings = ConfidenceSettings(limits={"hausdorff_distance_95": 6.5}, n_resamples=50)
    assert value(far, "area_under_roc", settings, risk="hausdorff_distance_95>6.5") == 0


@pytest.mark.parametrize("limit", [0.3, 0.5, 0.7])
def test_the_name_of_a_failure_has_the_side_of_the_measure(limit):
    settings = ConfidenceSettings(limits={"dice": limit}, n_resamples=50)
    assert {line.risk for line in lines(cohort(), settings, score="average_precision")} == {f"dice<{limit:g}"}


def test_nothing_failed_is_undefined_and_has_no_interval():
    settings = ConfidenceSettings(limits={"dice": 0.1}, n_resamples=50)
    (line,) = lines(cohort(), settings, score="area_under_roc")
    assert math.isnan(line.value)
    assert math.isnan(line.low)


def test_cases_without_a_risk_are_left_out_and_counted():
    (line,) = lines(cohort(dice=(*DICE[:5], math.nan)), score="area_under_risk_coverage")
    assert (line.n, line.n_undefined) == (5, 1)


def test_intervals_hold_the_value_and_need_five_cases():
    (line,) = lines(cohort(), score="area_under_risk_coverage")
    assert line.low <= line.value <= line.high
    (few,) = lines(cohort(DICE[:4], UNSURE[:4]), score="area_under_risk_coverage")
    assert math.isnan(few.low)


def test_the_first_choice_of_reference_is_the_risk_and_raters_are_averaged():
    first = [replace(r, value=r.value / 2) if r.against else r for r in cohort(against="consensus_staple")]
    both = [*first, *(r for r in cohort() if r.against)]
    assert CaseRisks.of(both).risks("dice_loss", structure="liver")["s0"] == pytest.approx(1 - 0.9 / 2)
    assert {line.against for line in lines(both)} == {"consensus_staple"}
    two = [*cohort(against="a"), *(replace(r, value=0.5) for r in cohort(against="b") if r.against)]
    assert CaseRisks.of(two).risks("dice_loss", structure="liver")["s0"] == pytest.approx(1 - (0.9 + 0.5) / 2)


def test_the_subject_is_judged_by_the_mean_of_its_structures():
    rows = [*cohort(), *(replace(r, structure="spleen", value=1.0) for r in cohort() if r.against)]
    assert CaseRisks.of(rows).risks("dice_loss", structure="")["s5"] == pytest.approx(1 - (0.2 + 1) / 2)


def test_cases_out_of_distribution_need_no_reference():
    rows = [r for r in cohort() if not r.against]
    settings = ConfidenceSettings(limits={}, outside=("s3", "s5"), n_resamples=50)
    expected = area_under_roc(ood_detection(np.array([0.1, 0.3, 0.2, 0.5]), np.array([0.5, 0.9])))
    (line,) = lines(rows, settings, score="area_under_roc")
    assert (line.value, line.task, line.risk) == (expected, "out_of_distribution", "out_of_distribution")
    assert expected == (3.5 + 4) / 8
    with pytest.raises(ValueError, match="no results of the out-of-distribution cases s9"):
        lines(rows, replace(settings, outside=("s9",)))


def test_a_limit_that_no_risk_is_made_of_is_refused():
    with pytest.raises(ValueError, match=r"no risk is made of iou; .*dice"):
        ConfidenceSettings(limits={"iou": 0.5})


def test_what_has_no_direction_is_not_judged():
    rows = [*cohort(), *(row(f"s{n}", "volume_mean", float(n), higher_is="neither") for n in range(6))]
    assert {line.confidence for line in lines(rows)} == {"predictive_entropy"}
