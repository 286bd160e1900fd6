"""The pieces of the study on the conformal family, on made-up patients whose laws are known."""

from xml.etree import ElementTree

import numpy as np
import pytest
from conformal_data import Split, random_splits
from conformal_methods import Method, conformal_methods
from conformal_naive import clipped_rank, naive_methods
from conformal_plot import coverage_plot
from conformal_results import all_patients_table, flag_table, law_of, repeat, spread_table, summary, table
from scipy import stats

from plausible.runs.calibrate_settings import FailureRule

from .made_up import cohort

RULE = FailureRule("dice", 0.7)
METHODS = [*conformal_methods([RULE], delta=0.1, spread_floor_ml=0.01), *naive_methods([RULE])]
REPEATS = 120


def method(name: str) -> Method:
    (found,) = [one for one in METHODS if one.name == name]
    return found


@pytest.fixture(scope="module")
def patients():
    return cohort()


@pytest.fixture(scope="module")
def splits(patients):
    return random_splits(patients.subjects, n_calibration=30, repeats=REPEATS, seed=3)


def test_splits_share_nobody_and_lose_nobody():
    splits = random_splits(["a", "b", "c", "d", "e"], n_calibration=2, repeats=20, seed=0)
    for split in splits:
        assert sorted((*split.calibration, *split.test)) == ["a", "b", "c", "d", "e"]
        assert len(split.calibration) == 2
    assert len({frozenset(split.calibration) for split in splits}) > 5
    assert splits == random_splits(["a", "b", "c", "d", "e"], n_calibration=2, repeats=20, seed=0)
    with pytest.raises(ValueError, match="leave nobody"):
        random_splits(["a", "b"], n_calibration=2, repeats=1, seed=0)


def test_the_law_by_hand():
    """25 patients at 0.1: rank 24 of 26 places for one tail; 25 at each end for two."""
    assert law_of("one tail", 25, 20, 0.1)[0] == pytest.approx(24 / 26)
    assert law_of("two tails", 25, 20, 0.1)[0] == pytest.approx(24 / 26)
    assert law_of("one tail", 25, 20, 0.2)[0] == pytest.approx(21 / 26)
    assert law_of("two tails", 25, 20, 0.2)[0] == pytest.approx(22 / 26)
    low, high = law_of("one tail", 9, 1, 0.1)[1]
    assert (low, high) == (0, 1)
    assert np.isnan(law_of("none", 25, 20, 0.1)[0])


@pytest.mark.parametrize("one", [one for one in METHODS if one.law != "none"], ids=lambda one: one.name)
def test_coverage_follows_the_law_over_splits(patients, splits, one):
    """Whatever the patients: splits are random, so that ranks alone decide where there are no ties."""
    for alpha in (0.1, 0.2):
        found = repeat(patients, one, splits, alpha)
        spread = stats.betabinom(30, 31 * found.expected, 31 * (1 - found.expected)).std() / 30
        ties = 0.03 if "margin" in one.name else 0
        assert -4 * spread / np.sqrt(REPEATS) < found.achieved - found.expected < 4 * spread / np.sqrt(REPEATS) + ties
        assert found.inside > 0.85
        assert found.refused == 0


def test_risk_is_kept_where_pooled_voxels_lose_it(patients, splits):
    ours = repeat(patients, method("risk control of the missed share"), splits, 0.1)
    theirs = repeat(patients, method("threshold from pooled voxels"), splits, 0.1)
    assert ours.achieved < 0.1 < 0.13 < theirs.achieved
    assert ours.size > theirs.size


def test_pooled_voxels_are_cut_exactly(patients, splits):
    """All voxels together, two patients by hand: the last threshold at which their 4200 voxels miss a tenth."""
    pair = next(s for s in splits if {patients.counts[p].n_reference for p in s.calibration[:2]} == {200, 4000})
    split = Split(pair.calibration[:2], pair.test, 0)
    held = sum(patients.counts[subject].inside for subject in split.calibration)
    place = np.flatnonzero(held >= 0.9 * 4200)[-1]
    expected = [patients.missed[subject].values[place] for subject in split.test]
    found = method("threshold from pooled voxels").run(patients, split, 0.1)
    assert found.achieved.tolist() == expected


@pytest.mark.parametrize(
    ("naive", "most"),
    [
        ("members' middle 90 %, not calibrated", 0.4),
        ("members' mean and sd, not calibrated", 0.6),
        ("numpy quantiles of the errors", 0.89),
        ("margin that holds 95 % of pooled voxels", 0.7),
    ],
)
def test_alternatives_cover_less_than_they_seem_to_say(patients, splits, naive, most):
    found = repeat(patients, method(naive), splits, 0.1)
    assert 0 < found.achieved < most
    assert found.naive


def test_too_few_patients_are_refused_and_counted(patients):
    few = random_splits(patients.subjects, n_calibration=8, repeats=60, seed=0)
    ours = repeat(patients, METHODS[0], few, 0.1)
    assert (ours.n_splits, ours.refused, ours.why) == (0, 60, "E401")
    assert np.isnan(ours.achieved)
    clipped = repeat(patients, Method("clipped", "coverage", "ml", clipped_rank, naive=True), few, 0.1)
    assert clipped.achieved == pytest.approx(1 - 2 / 9, abs=0.05)


def test_failure_flags_refer_some_and_accept_few_failures(patients, splits):
    found = repeat(patients, method("failure flag, dice < 0.7"), splits, 0.2)
    assert found.n_splits + found.refused == REPEATS
    assert found.n_splits > REPEATS / 2
    assert 0 < found.achieved < 0.2
    assert 0 < found.size < 1
    lines = flag_table([found], [patients], [RULE]).splitlines()
    n_failed = int((patients.values("dice", patients.subjects) < 0.7).sum())
    assert f"{n_failed} of 60" in lines[2]
    assert found.beyond <= 0.15


def test_intervals_that_need_no_calibration_are_judged_on_everybody(patients):
    text = all_patients_table([patients], [method("members' middle 90 %, not calibrated")], 0.1)
    ends, true = (patients.values(name, patients.subjects) for name in ("volume_interval_low", "reference_volume"))
    spread = 2 * (patients.values("volume_mean", patients.subjects) - ends)
    held = int(((ends <= true) & (true <= ends + spread)).sum())
    assert f"| {held} of 60 |" in text


def test_spread_that_says_nothing_of_errors_is_shown_as_such(patients):
    line = spread_table([patients], seed=0).splitlines()[-1]
    correlation, low, high = (float(word.strip("()")) for word in line.split("|")[5].replace("to", "").split())
    assert low < 0 < high
    assert low < correlation < high
    assert float(line.split("|")[3]) == pytest.approx(2, abs=0.4)


def test_every_method_is_in_the_tables(patients, splits):
    results = [repeat(patients, one, splits[:5], 0.1) for one in METHODS]
    for text in (table(results), summary(results, alpha=0.1)):
        rows = text.splitlines()
        assert len(rows) == len(METHODS) + 2
        assert len({row.count("|") for row in rows}) == 1
        assert all(one.name in text for one in METHODS)
    assert all(one.to_dict()["structure"] == "liver" for one in results)


def test_the_plot_is_a_small_picture():
    text = coverage_plot({"ours": [(0.8, 0.81), (0.9, 0.9)], "*theirs": [(0.8, 0.3)]}, [(0.8, 0.6, 1.0)], title="T")
    tree = ElementTree.fromstring(text)
    words = [element.text for element in tree.iter() if element.tag.endswith("text")]
    assert {"ours", "theirs", "T"} <= set(words)
    assert len(text) < 10_000
