import math
from dataclasses import replace

import numpy as np
import pytest

from plausible.core import InvalidInput
from plausible.diversity.acceptance import AcceptanceRule, Evidence, accept, evidence_of, weighted_area_difference
from plausible.diversity.swapping import swap_test
from plausible.evaluate import Estimate, area_under_risk_coverage, risk_coverage
from tests.diversity.pools import pool_of

QUICK = AcceptanceRule(n_resamples=1000)
N = 40


def evidence(*, member=0.0, nll=0.0, brier=0.0, silent=0.0, seed=0, noise=0.01, name="change") -> Evidence:
    """Forty subjects; the given shifts, and a little noise of its own on each column."""
    base, own = np.random.default_rng(99), np.random.default_rng(seed)
    difficulty = base.gamma(4, 0.05, N)

    def column(level: float, shift: float) -> np.ndarray:
        return level + difficulty + shift + own.normal(0, noise, N)

    return Evidence(
        name=name,
        n_members=5,
        subjects=tuple(f"s{n:02d}" for n in range(N)),
        member=column(0.5, member),
        scores={"nll": column(0.4, nll)[np.newaxis], "brier": column(0.2, brier)[np.newaxis]},
        silent_failures=column(0.1, silent),
    )


BASELINE = evidence(seed=1, name="first five")


@pytest.mark.parametrize(
    ("planted", "decision", "why"),
    [
        ({"nll": -0.05}, "accepted", "ensemble: nll improves"),
        ({"brier": -0.05}, "accepted", "ensemble: brier improves"),
        ({"nll": -0.05, "member": 0.2}, "rejected", "members: mean member worse"),
        ({"nll": -0.05, "silent": 0.2}, "rejected", "silent failures: rate worse"),
        ({"nll": 0.05, "brier": 0.05}, "rejected", "ensemble: nll gets worse"),
        ({}, "undecided", "ensemble: nll no difference shown"),
        ({"nll": -0.05, "brier": 0.05}, "accepted", "note: brier of the ensemble gets worse"),
        ({"nll": -0.05, "member": 0.01, "silent": 0.001}, "accepted", "members: mean member not worse"),
    ],
)
def test_truth_table(planted, decision, why):
    verdict = accept(evidence(**planted), BASELINE, rule=QUICK)
    assert verdict.decision == decision, verdict.reasons
    assert any(reason.startswith(why) for reason in verdict.reasons), verdict.reasons


def test_noise_leaves_a_condition_open_and_the_verdict_undecided():
    noisy = evidence(nll=-0.3, member=0.05, noise=0.2, seed=5)
    verdict = accept(noisy, BASELINE, rule=QUICK)
    assert verdict.outcome("members") == "open"
    assert verdict.outcome("ensemble") == "met"
    assert verdict.decision == "undecided"


def test_tolerances_are_shares_of_the_baseline():
    shifted = evidence(nll=-0.05, member=0.05)  # the baseline's mean is near 0.7
    strict = accept(shifted, BASELINE, rule=replace(QUICK, member_tolerance=0.01))
    loose = accept(shifted, BASELINE, rule=replace(QUICK, member_tolerance=0.2))
    assert (strict.decision, loose.decision) == ("rejected", "accepted")
    line = loose.lines[0]
    assert line.tolerance == pytest.approx(0.2 * BASELINE.member.mean())
    assert line.difference.value == pytest.approx(shifted.member.mean() - BASELINE.member.mean())


def test_more_scores_need_wider_intervals():
    change = evidence(nll=-0.05)
    one = accept(
        replace(change, scores={"nll": change.scores["nll"]}),
        replace(BASELINE, scores={"nll": BASELINE.scores["nll"]}),
        rule=QUICK,
    )
    two = accept(change, BASELINE, rule=QUICK)
    assert [line.difference.level for line in one.lines] == [0.95, 0.95, 0.95]
    assert [line.difference.level for line in two.lines] == pytest.approx([0.95, 0.975, 0.975, 0.95])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_change_without_effect_is_accepted_as_rarely_as_promised():
    """Condition 2 alone must hold the promise: the others are made certain, and three scores have a chance each."""
    n_repeats, accepted = 400, 0
    certain = dict.fromkeys(("member", "silent"), np.full(N, 0.5))
    for repeat in range(n_repeats):
        rng = np.random.default_rng(repeat)
        both = []
        for name in ("change", "baseline"):
            scores = {score: rng.gamma(2, 0.1, (1, N)) for score in ("a", "b", "c")}
            both.append(Evidence(name=name, n_members=5, subjects=BASELINE.subjects, member=certain["member"],
                                 scores=scores, silent_failures=certain["silent"]))  # fmt: skip
        accepted += accept(*both, rule=AcceptanceRule(n_resamples=1500), seed=repeat).decision == "accepted"
    promised = 0.05 / 2
    assert accepted / n_repeats <= promised + 2.5 * math.sqrt(promised * (1 - promised) / n_repeats)
    assert accepted > 0  # else the intervals would be far too wide


def test_patients_with_several_cases_are_drawn_together():
    change = evidence(nll=-0.05)
    owners = {subject: f"p{n // 10}" for n, subject in enumerate(change.subjects)}
    verdict = accept(change, BASELINE, rule=QUICK, patients=owners)
    assert {line.difference.n for line in verdict.lines} == {4}


def test_undefined_subjects_are_left_out_of_their_line_only():
    change = evidence(nll=-0.05)
    change.scores["nll"][0, :3] = np.nan
    verdict = accept(change, BASELINE, rule=QUICK)
    assert [line.difference.n for line in verdict.lines] == [N, N - 3, N, N]
    assert verdict.lines[1].difference.n_undefined == 3


def test_what_cannot_be_compared_is_refused():
    change = evidence()
    with pytest.raises(ValueError, match="same subjects"):
        accept(replace(change, subjects=change.subjects[::-1]), BASELINE)
    with pytest.raises(ValueError, match="same scores"):
        accept(replace(change, scores={"nll": change.scores["nll"]}), BASELINE)
    with pytest.raises(ValueError, match="tolerances"):
        AcceptanceRule(member_tolerance=-0.1)
    one = {
        "scores": {"nll": np.array([[1.0]])},
        "subjects": ("a",),
        "member": np.ones(1),
        "silent_failures": np.ones(1),
    }
    with pytest.raises(InvalidInput, match="E401"):
        accept(replace(change, **one), replace(BASELINE, **one))


def test_evidence_of_a_pool_judges_an_area_by_two_columns():
    pool = pool_of(12)
    good, bad = (evidence_of(pool, pool.equal(ids), name=" ".join(ids)) for ids in (["m0", "m1"], ["m4", "m5"]))
    assert good.scores["area_under_risk_coverage"].shape == (2, 12)
    assert good.n_members == 2
    verdict = accept(good, bad, rule=QUICK)
    assert verdict.decision == "accepted"
    assert accept(bad, good, rule=QUICK).decision == "rejected"
    told = verdict.to_dict()
    assert len(told["lines"]) == 6
    assert told["lines"][0]["score"] == "mean member"


@pytest.mark.parametrize(("rows", "n_repeats"), [(1, 80), (2, 15)])
def test_swapping_alike_ensembles_gives_even_p_and_a_large_effect_a_small_one(rows, n_repeats):
    found = []
    for repeat in range(n_repeats):
        rng = np.random.default_rng(repeat)
        found.append(swap_test(rng.random((rows, 12)), rng.random((rows, 12)), owners=range(12), seed=repeat))
    assert 0.3 < np.mean(found) < 0.7
    rng = np.random.default_rng(0)
    risk = rng.random(12)
    good, bad = np.array([-risk, risk])[-rows:], np.array([risk, risk + 0.3])[-rows:]
    assert swap_test(good, bad, owners=range(12), seed=0) < 0.01
    assert swap_test(good, bad, owners=[0] * 6 + [1] * 6, seed=0) > 0.2  # two patients prove nothing
    assert np.isnan(swap_test(good * np.nan, bad, owners=range(12), seed=0))


def test_the_weighted_area_difference_is_that_of_the_areas():
    rng = np.random.default_rng(0)
    c, r, d, s = rng.random((4, 9))
    expected = area_under_risk_coverage(risk_coverage(c, r)) - area_under_risk_coverage(risk_coverage(d, s))
    assert weighted_area_difference(c, r, d, s)(np.ones((1, 9)))[0] == pytest.approx(expected)


def test_other_numbers_of_members_are_said():
    verdict = accept(replace(evidence(nll=-0.05), n_members=3), BASELINE, rule=QUICK)
    assert "3 members against 5" in verdict.reasons[-1]
    assert isinstance(verdict.lines[0].difference, Estimate)
