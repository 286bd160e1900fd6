"""Methods compared over the same subjects, and ranked: what is paired with what, directions, and joint draws."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from plausible.core import InvalidInput, Score
from plausible.evaluate import (
    AURC,
    ComparisonSettings,
    area_under_risk_coverage,
    bootstrap_mean,
    cohens_d,
    common_subjects,
    compare_methods,
    paired_tables,
    rank_methods,
    ranks,
    risk_coverage,
    sign_flip_test,
    unpaired_lines,
)

QUICK = ComparisonSettings(n_resamples=100, n_permutations=500)
SUBJECTS = [f"s{number:02}" for number in range(12)]
RNG = np.random.default_rng(2)
DICE = RNG.uniform(0.5, 0.9, 12)
BETTER = DICE + RNG.normal(0.02, 0.03, 12)
AGREED = {"a": DICE + RNG.normal(0, 0.05, 12), "b": BETTER + RNG.normal(0, 0.2, 12)}


def row(subject, value, measure="dice", *, higher_is="better", against="r", reduction="ensemble", structure="liver"):
    return Score(
        subject=subject,
        structure=structure,
        measure=measure,
        value=float(value),
        unit="1",
        higher_is=higher_is,
        n=1,
        against=against,
        reduction=reduction,
    )


def rows(values, measure="dice", subjects=SUBJECTS, **more) -> list[Score]:
    return [row(subject, value, measure, **more) for subject, value in zip(subjects, values, strict=True)]


def agreement(values) -> list[Score]:
    return rows(values, "mean_pairwise_dice", against="", reduction="")


TWO = {"a": rows(DICE) + agreement(AGREED["a"]), "b": rows(BETTER) + agreement(AGREED["b"])}


def line(methods, measure="dice", settings=QUICK):
    (found,) = [one for one in compare_methods(methods, settings=settings) if one.measure == measure]
    return found


def test_a_line_is_made_of_the_parts():
    found, apart = line(TWO), DICE - BETTER
    interval = bootstrap_mean(apart, seed=0, n_resamples=100)
    assert (found.difference, found.low, found.high) == (interval.value, interval.low, interval.high)
    assert found.p == sign_flip_test(apart, seed=0, n_permutations=500)
    assert found.cohens_d == cohens_d(apart)
    assert (found.first, found.second, found.better) == ("a", "b", "b")
    assert (found.mean_first, found.mean_second) == pytest.approx((DICE.mean(), BETTER.mean()))
    assert (found.n, found.n_patients, found.n_undefined, found.against) == (12, 12, 0, "r")


def test_scipys_paired_bootstrap_agrees():
    ours = line(TWO, settings=replace(QUICK, n_resamples=2000, seed=3, measures=("dice",)))
    theirs = stats.bootstrap(
        (DICE - BETTER,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(3)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_a_constant_difference_has_no_width_and_the_rarest_p():
    found = line(
        {"a": rows(np.full(8, 0.75), subjects=SUBJECTS[:8]), "b": rows(np.full(8, 0.5), subjects=SUBJECTS[:8])}
    )
    assert found.low == found.difference == found.high == 0.25
    assert found.p == 2 / 2**8
    assert math.isnan(found.cohens_d)
    assert (found.superiority, found.rank_biserial, found.better) == (1, 1, "a")


def test_the_same_method_twice_has_no_difference():
    found = line({"a": rows(DICE), "b": rows(DICE)})
    assert (found.difference, found.p, found.better, found.superiority) == (0, 1, "", 0.5)


@pytest.mark.parametrize(
    ("higher_is", "better", "superiority"), [("better", "a", 1), ("worse", "b", 0), ("neither", "", 1)]
)
def test_the_direction_says_which_method_is_better(higher_is, better, superiority):
    found = line({"a": rows(DICE + 1, higher_is=higher_is), "b": rows(DICE, higher_is=higher_is)})
    assert (found.better, found.superiority) == (better, superiority)
    assert found.difference > 0


@pytest.mark.parametrize("measure", ["dice", AURC])
def test_swapping_the_methods_turns_the_signs(measure):
    one, other = line(TWO, measure), line({"b": TWO["b"], "a": TWO["a"]}, measure)
    assert (other.difference, other.low, other.high) == pytest.approx((-one.difference, -one.high, -one.low))
    assert (other.mean_first, other.mean_second, other.better) == (one.mean_second, one.mean_first, one.better)
    if measure == "dice":
        assert (other.cohens_d, other.rank_biserial) == pytest.approx((-one.cohens_d, -one.rank_biserial))
        assert (other.superiority, other.p) == pytest.approx((1 - one.superiority, one.p))


def test_the_order_of_rows_changes_nothing():
    order = np.random.default_rng(0).permutation(len(TWO["a"]))
    mixed = {"a": [TWO["a"][place] for place in order], "b": TWO["b"][::-1]}
    found = {one.measure: one for one in compare_methods(mixed, settings=QUICK)}
    expected = {one.measure: one for one in compare_methods(TWO, settings=QUICK)}
    for name in ("dice", "mean_pairwise_dice"):
        assert found[name] == expected[name]
    assert found[AURC].difference == expected[AURC].difference
    assert found[AURC].low == expected[AURC].low


def test_only_common_subjects_are_compared():
    more = {"a": [*rows(DICE), row("s99", 0.1)], "b": rows(BETTER[:7], subjects=SUBJECTS[:7])}
    assert common_subjects(more) == tuple(SUBJECTS[:7])
    assert line(more).n == 7
    assert line(more) == line({"a": rows(DICE[:7], subjects=SUBJECTS[:7]), "b": more["b"]})


def test_undefined_values_are_left_out_in_pairs_and_counted():
    holes = {"a": rows([np.nan, *DICE[1:]]), "b": rows([*BETTER[:-1], np.nan])}
    found = line(holes)
    assert (found.n, found.n_undefined) == (10, 2)
    assert found.mean_first == pytest.approx(DICE[1:-1].mean())
    lacking = {
        "a": [*rows(DICE), row("s12", 1, "iou")],
        "b": [*rows(BETTER[1:], subjects=SUBJECTS[1:]), row("s00", 1, "iou")],
    }
    assert (line(lacking).n, line(lacking).n_undefined) == (11, 1)


def test_raters_are_paired_by_name_and_averaged_per_subject():
    two = {
        "a": [
            row("s0", 0.5, against="x"),
            row("s0", 0.7, against="y"),
            row("s1", 0.4, against="x"),
            row("s1", 0.8, against="y"),
        ],
        "b": [
            row("s0", 0.4, against="x"),
            row("s0", np.nan, against="y"),
            row("s1", 0.1, against="x"),
            row("s1", 0.3, against="y"),
        ],
    }
    found = line(two)
    assert (found.n, found.difference) == (2, pytest.approx((0.1 + (0.3 + 0.5) / 2) / 2))
    assert (found.mean_first, found.against) == (pytest.approx((0.5 + 0.6) / 2), "x; y")


def test_members_are_averaged_because_they_have_no_partner():
    many = [one for m in range(3) for one in rows(DICE + m, reduction=f"member:{m}")]
    single = rows(DICE, reduction="member:only")
    found = line({"a": many, "b": single})
    assert (found.reduction, found.difference) == ("single_member", pytest.approx(1))


def test_cases_of_a_patient_are_drawn_together():
    patients = {subject: f"p{number // 2}" for number, subject in enumerate(SUBJECTS)}
    found = line(TWO, settings=replace(QUICK, patients=patients))
    assert (found.n, found.n_patients) == (12, 6)
    names = [patients[subject] for subject in SUBJECTS]
    assert found.low == bootstrap_mean(DICE - BETTER, seed=0, clusters=names, n_resamples=100).low
    assert line(TWO, AURC, replace(QUICK, patients=patients)).n_patients == 6
    with pytest.raises(ValueError, match="no patient is told for s11"):
        compare_methods(TWO, settings=replace(QUICK, patients=dict(list(patients.items())[:11])))


def test_p_is_adjusted_over_all_lines_of_all_pairs():
    three = {**TWO, "c": rows(DICE - 0.2) + agreement(AGREED["a"])}
    found = compare_methods(three, settings=QUICK)
    assert {(one.first, one.second) for one in found} == {("a", "b"), ("a", "c"), ("b", "c")}
    assert {one.n_compared for one in found} == {6}
    tested = [one for one in found if not math.isnan(one.p)]
    lowest = min(tested, key=lambda one: one.p)
    assert lowest.p_holm == pytest.approx(6 * lowest.p)
    expected = stats.false_discovery_control([one.p for one in tested])
    np.testing.assert_allclose([one.p_benjamini_hochberg for one in tested], expected)
    chosen = compare_methods(three, settings=replace(QUICK, measures=("dice",)))
    assert {(one.measure, one.n_compared) for one in chosen} == {("dice", 3)}


def test_areas_differ_by_the_difference_of_the_curves_over_the_same_draws():
    found = line(TWO, AURC)
    areas = [area_under_risk_coverage(risk_coverage(AGREED[m], 1 - dice)) for m, dice in (("a", DICE), ("b", BETTER))]
    assert (found.mean_first, found.mean_second) == pytest.approx(areas)
    assert found.difference == pytest.approx(areas[0] - areas[1])
    assert found.low < found.difference < found.high
    assert math.isnan(found.p)
    same = line({"a": TWO["a"], "b": TWO["a"]}, AURC)
    assert same.low == same.difference == same.high == 0


def test_the_confidence_of_several_regions_must_be_chosen():
    def entropies(values):
        return [
            replace(one, region=region)
            for region in ("whole", "shell")
            for one in rows(values, "entropy", higher_is="worse", against="", reduction="mean")
        ]

    two = {"a": rows(DICE) + entropies(-AGREED["a"]), "b": rows(BETTER) + entropies(-AGREED["b"])}
    with pytest.raises(ValueError, match="choose one of entropy:shell:mean, entropy:whole:mean"):
        compare_methods(two, settings=replace(QUICK, confidence="entropy"))
    turned = line(two, AURC, replace(QUICK, confidence="entropy:whole:mean"))
    assert turned.difference == pytest.approx(line(TWO, AURC).difference)
    assert turned.reduction == "entropy:whole:mean"


def test_one_subject_is_too_few_and_named():
    with pytest.raises(InvalidInput, match="E401") as caught:
        compare_methods({"a": rows(DICE), "b": [row("s03", 0.5)]}, settings=QUICK)
    assert caught.value.problem.found.startswith("1 patient ")
    everyone = dict.fromkeys(SUBJECTS, "p")
    with pytest.raises(InvalidInput, match="E401"):
        compare_methods(TWO, settings=replace(QUICK, patients=everyone))
    with pytest.raises(ValueError, match="at least 2 methods"):
        compare_methods({"a": rows(DICE)}, settings=QUICK)


def test_a_line_with_one_defined_subject_has_no_interval_and_no_p():
    lonely = {"a": rows([0.5, *[np.nan] * 11]), "b": rows(BETTER)}
    found = line(lonely)
    assert (found.n, found.n_undefined) == (1, 11)
    assert found.difference == pytest.approx(0.5 - BETTER[0])
    assert math.isnan(found.low)
    assert math.isnan(found.p)


def test_rows_that_are_there_twice_or_mean_something_else_are_refused():
    with pytest.raises(ValueError, match="two values of dice liver"):
        list(paired_tables({"a": rows(DICE) * 2, "b": rows(BETTER)}))
    with pytest.raises(ValueError, match="unit or direction"):
        list(paired_tables({"a": rows(DICE), "b": rows(BETTER, higher_is="worse")}))


def test_kinds_of_rows_that_one_method_lacks_are_named():
    assert unpaired_lines({"a": TWO["a"], "b": rows(BETTER)}) == {"mean_pairwise_dice liver": ("a",)}


def test_ranks_share_their_mean_where_values_are_equal():
    found = ranks(np.array([[0.3, 0.1, 0.2], [5.0, 5.0, 1.0], [2.0, 2.0, 2.0]]))
    assert found.tolist() == [[3, 1, 2], [2.5, 2.5, 1], [2, 2, 2]]
    noise = np.round(np.random.default_rng(0).normal(size=(50, 6)), 1)
    np.testing.assert_array_equal(ranks(noise), stats.rankdata(noise, axis=1))


def test_a_method_better_in_every_subject_is_first_in_every_draw():
    three = {"low": rows(DICE - 0.3), "high": rows(DICE + 0.1), "middle": rows(DICE)}
    found = {one.method: one for one in rank_methods(three, settings=QUICK, n_resamples=50)}
    assert {name: one.rank for name, one in found.items()} == {"high": 1, "middle": 2, "low": 3}
    assert (found["high"].share_first, found["low"].share_first) == (1, 0)
    assert (found["low"].low, found["low"].mean_rank, found["low"].high) == (3, 3, 3)
    turned = {name: rows(1 - np.array([one.value for one in of]), higher_is="worse") for name, of in three.items()}
    assert {one.method: one.rank for one in rank_methods(turned, settings=QUICK, n_resamples=20)}["high"] == 1


def test_how_often_a_method_is_first_is_how_often_its_mean_is_higher():
    (a, b) = [one for one in rank_methods(TWO, settings=QUICK, n_resamples=400) if one.measure == "dice"]
    draws = np.random.default_rng(1).integers(0, 12, (4000, 12))
    expected = float(((BETTER - DICE)[draws].mean(axis=1) > 0).mean())
    assert b.share_first == pytest.approx(expected, abs=0.06)
    assert a.share_first + b.share_first == pytest.approx(1)
    assert a.mean_rank + b.mean_rank == pytest.approx(3)


def test_areas_are_ranked_too_and_volumes_without_direction_are_not():
    more = {name: [*of, *rows(DICE, "volume", higher_is="neither")] for name, of in TWO.items()}
    found = rank_methods(more, settings=QUICK, n_resamples=20)
    assert {one.measure for one in found} == {"dice", "mean_pairwise_dice", AURC}
    values = {one.method: one for one in found if one.measure == AURC}
    assert (values["a"].rank < values["b"].rank) == (values["a"].value < values["b"].value)
