"""The closed loop on the water phantom: what planning on a wrong target does, and what a fixed dose says of it."""

import numpy as np
import pytest

from plausible.dose.metric_text import parse_metric
from plausible.dose.plan import (
    Asked,
    PlanGoal,
    Planner,
    SearchSettings,
    closed_loop,
    disagreement,
    fit_names,
    read_plan,
    usual_metrics,
)

from . import phantom

RADII = {"reference": 22, "small": 17, "smaller": 14, "large": 26, "larger": 29}
SETTINGS = SearchSettings(iterations=80, warm_iterations=50, body_share=0.3)


@pytest.fixture(scope="module")
def contourings():
    return [phantom.contouring(name, phantom.ball(radius)) for name, radius in RADII.items()]


@pytest.fixture(scope="module")
def influence():
    return phantom.influence(phantom.ball(max(RADII.values())))


@pytest.fixture(scope="module")
def loop(influence, contourings):
    return {one.structure: one for one in closed_loop(influence, contourings, phantom.GOALS, settings=SETTINGS)}


def test_every_plan_gives_its_own_target_the_prescription(loop):
    assert np.diagonal(loop["target"].values) == pytest.approx(60, abs=1e-3)


def test_a_plan_on_too_large_a_target_covers_the_truth_and_a_fixed_dose_says_it_looks_bad(loop):
    fixed, closed = (dict(zip(loop["target"].ids[1:], found, strict=True)) for found in
                     (loop["target"].fixed, loop["target"].closed))  # fmt: skip
    for name in ("large", "larger"):
        assert fixed[name] < 55  # its rim lies outside the field
        assert closed[name] > 59.5  # and the truth is covered
    for name in ("small", "smaller"):
        assert fixed[name] >= 59.9  # looks good
        assert closed[name] < 55  # and is a miss
    assert disagreement(loop["target"]).correlation < -0.5


def test_reading_does_not_depend_on_how_many_others_are_read(influence, contourings, loop):
    few = {one.structure: one for one in closed_loop(influence, contourings, phantom.GOALS, settings=SETTINGS,
                                                     asked=[Asked("cord", parse_metric("D0.1cc[Gy]"))])}  # fmt: skip
    assert np.array_equal(few["cord"].values, loop["cord"].values)


def test_fixed_dose_is_one_plan_read_everywhere(influence, contourings, loop):
    planner = Planner(influence, contourings, phantom.GOALS, SETTINGS)
    plan = planner.plan(contourings[0])
    asked = usual_metrics(phantom.GOALS, ["target", "cord"])
    dose = influence.dose(plan.weights)
    for n, contours in enumerate(contourings):
        target, cord = read_plan(dose, contours, asked)
        assert target == pytest.approx(loop["target"].values[0, n])
        assert cord == pytest.approx(loop["cord"].values[0, n])


def test_metrics_follow_the_goals():
    asked = usual_metrics(phantom.GOALS, ["target", "cord"])
    assert [(one.structure, one.metric.text) for one in asked] == [("target", "D95%[Gy]"), ("cord", "D0.1cc[Gy]")]


def test_goals_take_the_names_of_the_study():
    goals = [
        PlanGoal(structure=name, objective="mean_dose") for name in ("Parotid_L", "Bone_Mandible", "body", "Lens_R")
    ]
    found = fit_names(goals, ["LeftParotid", "Mandible", "Larynx"])
    assert [goal.structure for goal in found] == ["LeftParotid", "Mandible", "body"]


def test_a_contouring_without_a_target_cannot_be_planned_on(influence, contourings):
    planner = Planner(influence, contourings, phantom.GOALS, SETTINGS)
    empty = phantom.contouring("empty", np.zeros(phantom.GEOMETRY.shape, dtype=bool))
    with pytest.raises(ValueError, match="no target"):
        planner.plan(empty)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="body_share"):
        SearchSettings(body_share=0.0)
    with pytest.raises(ValueError, match="a dose in Gy"):
        SearchSettings(normalise="V20Gy[%]")
