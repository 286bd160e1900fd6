"""Terms of a plan: closed forms by hand, slopes by finite differences, the rule for overlaps."""

import numpy as np
import pytest

from plausible.dose.plan import OBJECTIVES, PlanGoal, Term, terms_of
from plausible.dose.plan.objectives import total

DOSE = np.array([10.0, 22.0, 35.0, 50.0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target_dose", (20**2 + 8**2 + 5**2 + 20**2) / 4),
        ("maximum_dose", (5**2 + 20**2) / 4),
        ("minimum_dose", (20**2 + 8**2) / 4),
        ("mean_dose", 0.0),  # the mean, 29.25 Gy, is below 30 Gy
    ],
)
def test_value_by_hand(name, value):
    assert OBJECTIVES[name].function(DOSE, 30.0)[0] == pytest.approx(value)


def test_mean_dose_above_its_level():
    assert OBJECTIVES["mean_dose"].function(DOSE, 9.25)[0] == pytest.approx(20**2)


@pytest.mark.parametrize("name", OBJECTIVES.names)
def test_slope_is_that_of_finite_differences(name):
    function, step = OBJECTIVES[name].function, 1e-4
    _, slope = function(DOSE, 28.0)
    for n in range(len(DOSE)):
        moved = np.eye(len(DOSE))[n] * step
        found = (function(DOSE + moved, 28.0)[0] - function(DOSE - moved, 28.0)[0]) / (2 * step)
        assert slope[n] == pytest.approx(found, abs=1e-6)


def test_sum_of_terms_has_the_weighted_value_and_slope():
    terms = (
        Term(PlanGoal(structure="a", objective="target_dose", dose_gy=20, weight=3, aim=1.1), np.array([0, 2])),
        Term(PlanGoal(structure="b", objective="maximum_dose", dose_gy=30, weight=2), np.array([2, 3])),
    )
    value, slope = total(terms, DOSE)
    assert value == pytest.approx(3 * (12**2 + 13**2) / 2 + 2 * (5**2 + 20**2) / 2)
    assert slope == pytest.approx([3 * -12, 0, 3 * 13 + 2 * 5, 2 * 20])


def test_overlaps_go_to_the_higher_prescription_and_to_organs_that_keep_them():
    goals = (
        PlanGoal(structure="low", objective="target_dose", dose_gy=50),
        PlanGoal(structure="high", objective="target_dose", dose_gy=70),
        PlanGoal(structure="cord", objective="maximum_dose", dose_gy=45, keeps_overlap=True),
        PlanGoal(structure="parotid", objective="mean_dose"),
        PlanGoal(structure="absent", objective="mean_dose"),
        PlanGoal(structure="body", objective="mean_dose"),
    )
    inside = {
        "low": np.array([1, 1, 1, 0, 0, 0, 0], dtype=bool),
        "high": np.array([0, 0, 1, 1, 0, 0, 0], dtype=bool),
        "cord": np.array([0, 0, 0, 1, 1, 0, 0], dtype=bool),
        "parotid": np.array([1, 0, 0, 0, 0, 1, 0], dtype=bool),
        "unasked": np.array([0, 0, 0, 0, 0, 0, 0], dtype=bool),
    }
    found = {term.goal.structure: term.rows.tolist() for term in terms_of(goals, inside)}
    assert found == {"low": [0, 1], "high": [2, 3], "cord": [3, 4], "parotid": [5], "body": [6]}


def test_a_goal_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no objective 'least_dose'"):
        PlanGoal(structure="a", objective="least_dose")
    with pytest.raises(ValueError, match="weight must be at least 0"):
        PlanGoal(structure="a", objective="mean_dose", weight=-1)
