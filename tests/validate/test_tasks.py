import math

import numpy as np
import pytest

from plausible.evaluate import ENSEMBLE
from plausible.validate import TASKS, Arm, Judged, Line, effects, lines_of, rank_correlation
from tests.validate.arms import ENTROPY, INFORMATION, arm, case, row


def lines(task: str, told: Arm, **wanted: str) -> list[Line]:
    found = lines_of(TASKS[task].function(told))
    return [line for line in found if all(getattr(line, key) == value for key, value in wanted.items())]


def one(task: str, told: Arm, **wanted: str) -> Line:
    found = lines(task, told, **wanted)
    assert len(found) == 1, found
    return found[0]


SHIFT = arm(
    *(case(n, dice=0.9 - 0.01 * n, mutual_information=0.01 * n, expected_entropy=0.5) for n in range(6)),
    *(
        case(n, dice=0.6 - 0.01 * n, shifted=True, mutual_information=1.0 + n, expected_entropy=0.5)
        for n in range(6, 10)
    ),
)


def test_information_that_is_higher_on_every_shifted_case_separates_and_a_constant_does_not():
    found = one("out_of_distribution", SHIFT, measure=INFORMATION, score="area_under_roc")
    assert (found.value, found.low, found.high, found.n, found.cases) == (1, 1, 1, 10, "all")
    assert one("out_of_distribution", SHIFT, measure=ENTROPY, score="area_under_roc").value == 0.5


def test_without_shifted_cases_there_is_nothing_to_detect():
    assert lines("out_of_distribution", arm(case(0, dice=0.9, mutual_information=1.0), case(1, dice=0.8))) == []


def test_failure_is_judged_in_each_set_and_a_perfect_order_has_no_excess():
    for cases, n in (("familiar", 6), ("all", 10)):
        told = {"measure": INFORMATION, "cases": cases}
        assert one("failure", SHIFT, score="excess_area_under_risk_coverage", **told).value == pytest.approx(0)
        found = one("failure", SHIFT, score="normalized_area_under_risk_coverage", **told)
        assert (found.value, found.n) == (pytest.approx(1), n)
    flat = one("failure", SHIFT, score="area_under_risk_coverage", measure=ENTROPY, cases="familiar")
    assert flat.value == pytest.approx(np.mean([0.1 + 0.01 * n for n in range(6)]))


def test_active_learning_sends_the_worst_cases_first():
    told = {"score": "acquisition_gain", "cases": "familiar"}
    assert one("active_learning", SHIFT, measure=INFORMATION, **told).value == pytest.approx(1)
    assert one("active_learning", SHIFT, measure=ENTROPY, **told).value == pytest.approx(0)


def test_a_measure_that_is_better_when_higher_is_turned_round():
    rows = [case(n, dice=0.9 - 0.1 * n) for n in range(4)]
    agreed = [
        Judged(c.subject, c.patient, c.shifted, c.ambiguous,
               (*c.rows, row(c.subject, "mean_pairwise_dice", 0.9 - 0.2 * n, higher_is="better")))
        for n, c in enumerate(rows)
    ]  # fmt: skip
    found = one("failure", arm(*agreed), measure="mean_pairwise_dice", score="normalized_area_under_risk_coverage")
    assert found.value == pytest.approx(1)


def test_the_subjects_own_row_goes_before_those_of_its_structures():
    rows = [row("a", INFORMATION, v, structure=s, region="r", reduction="mean") for s, v in (("x", 1.0), ("y", 3.0))]
    only_structures = Judged("a", "a", False, False, tuple(rows))
    whole = Judged("b", "b", False, False, (*rows, row("b", INFORMATION, 7.0, region="r", reduction="mean")))
    values = arm(only_structures, whole).uncertainties()[INFORMATION, "r:mean"].values
    np.testing.assert_array_equal(values, [2.0, 7.0])


def test_the_risk_is_the_mean_over_raters_and_structures_and_leaves_out_the_undefined():
    rows = [
        row("a", "dice", v, structure=s, reduction=ENSEMBLE, against=r, higher_is="better")
        for s, r, v in (("x", "r1", 0.8), ("x", "r2", 0.6), ("y", "r1", math.nan))
    ]
    rows.append(row("a", "dice", 0.1, structure="x", reduction="member:m", against="r1", higher_is="better"))
    assert Judged("a", "a", False, False, tuple(rows)).risk == pytest.approx(0.3)


def test_copies_of_a_patient_are_drawn_together():
    cases = [case(n, dice=0.9 - 0.05 * n, patient=f"p{n % 3}", mutual_information=0.1) for n in range(6)]
    assert one("segmentation", arm(*cases), score="dice", cases="familiar").n == 3


def test_one_case_has_a_value_and_no_interval():
    found = one("segmentation", arm(case(0, dice=0.7)), score="dice", cases="familiar")
    assert (found.value, found.n) == (pytest.approx(0.7), 1)
    assert math.isnan(found.low)


def test_maps_that_are_specific_have_one_effect_each_and_no_interaction():
    rng = np.random.default_rng(0)
    cases = [
        case(8 * n + 4 * a + 2 * s, dice=0.8, ambiguous=bool(a), shifted=bool(s),
             expected_entropy=3 * a + float(rng.normal(0, 0.1)), mutual_information=5 * s + float(rng.normal(0, 0.1)))
        for n in range(12) for a in (0, 1) for s in (0, 1)
    ]  # fmt: skip
    told = arm(*cases)
    effect = {
        (line.measure, line.score): line.value
        for line in lines("entanglement", told)
        if line.score != "rank_correlation"
    }
    assert effect[ENTROPY, "effect_of_ambiguity"] > 20 > 1 > abs(effect[ENTROPY, "effect_of_shift"])
    assert effect[INFORMATION, "effect_of_shift"] > 30 > 1 > abs(effect[INFORMATION, "effect_of_ambiguity"])
    assert max(abs(effect[name, "interaction"]) for name in (ENTROPY, INFORMATION)) < 2
    ambiguous = lines("separation", told, score="area_under_roc_of_ambiguous")
    assert {line.measure: round(line.value, 1) for line in ambiguous}[ENTROPY] == 1.0


def test_effects_by_hand():
    values = np.array([0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 9.0, 11.0])  # cells 00, 10, 01, 11; each spreads by ±1
    ambiguous, shifted = np.array([0, 0, 1, 1, 0, 0, 1, 1]) > 0, np.array([0, 0, 0, 0, 1, 1, 1, 1]) > 0
    within = math.sqrt(8 / 4)
    found = effects(values, ambiguous, shifted)
    assert found["effect_of_ambiguity"] == pytest.approx((4 + 8) / 2 / within)
    assert found["effect_of_shift"] == pytest.approx((1 + 5) / 2 / within)
    assert found["interaction"] == pytest.approx((8 - 4) / within)
    assert math.isnan(effects(values[:4], ambiguous[:4], shifted[:4])["interaction"])


def test_rank_correlation_of_a_constant_is_undefined():
    assert rank_correlation(np.arange(4.0), np.arange(4.0) ** 3) == pytest.approx(1)
    assert math.isnan(rank_correlation(np.arange(4.0), np.ones(4)))


@pytest.mark.parametrize("entry", TASKS, ids=lambda entry: entry.name)
def test_no_task_depends_on_the_order_of_cases(entry):
    turned = Arm(SHIFT.data, SHIFT.model, SHIFT.cases[::-1], SHIFT.measures, SHIFT.seed, SHIFT.resamples)
    found = [
        {(x.score, x.measure, x.aggregation, x.cases): x.value for x in lines_of(entry.function(told))}
        for told in (SHIFT, turned)
    ]
    assert found[0].keys() == found[1].keys()
    for key, value in found[0].items():
        np.testing.assert_allclose(found[1][key], value, atol=1e-12)


def test_an_area_is_compared_with_that_of_the_agreement_over_the_same_draws():
    cases = [
        Judged(c.subject, c.patient, c.shifted, c.ambiguous,
               (*c.rows, row(c.subject, "mean_pairwise_dice", 0.9 - 0.1 * n, higher_is="better")))
        for n, c in enumerate(case(n, dice=0.9 - 0.05 * n, mutual_information=float(n % 2)) for n in range(8))
    ]  # fmt: skip
    told = arm(*cases)
    areas = {x.measure: x.value for x in lines("failure", told, score="area_under_risk_coverage")}
    found = one("failure", told, score="difference_of_aurc_to_mean_pairwise_dice")
    assert (found.measure, found.value) == (
        INFORMATION,
        pytest.approx(areas[INFORMATION] - areas["mean_pairwise_dice"]),
    )
    assert found.low < found.value <= found.high


def test_every_line_says_how_many_cases_it_rests_on():
    cases = [case(n, dice=0.9 - 0.05 * n, mutual_information=float(n)) for n in range(6)]
    cases += [case(n, dice=0.2, mutual_information=math.nan) for n in range(6, 8)]
    for task in ("failure", "active_learning"):
        found = lines(task, arm(*cases), measure=INFORMATION)
        assert {(line.n, line.n_undefined) for line in found} == {(6, 2)}, task
