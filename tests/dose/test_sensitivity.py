"""Dose-aware uncertainty: exact in the limit of small displacements, and zero where it must be."""

import math

import numpy as np
import pytest

from plausible.core import Dose, Geometry
from plausible.dose.dvh import dvh_of_cells
from plausible.dose.metric_text import parse_metric
from plausible.dose.sensitivity import DOSE_SCORES, dose_on_grid, dose_sensitivity, slice_review
from plausible.dose.shape_derivative import SHAPE_DERIVATIVES, metric_weight

H = 0.04
AXIS = np.arange(-1.3, 1.3 + H / 2, H)
X, Y, Z = np.meshgrid(AXIS, AXIS, AXIS, indexing="ij")
RADIUS = np.sqrt(X**2 + Y**2 + Z**2)
METRICS = ["Mean[Gy]", "D2%[Gy]", "D50%[Gy]", "D0.5cc[Gy]", "V41Gy[%]", "V41Gy[cc]", "gEUD(a=8)[Gy]", "Volume[cc]"]


def ball(radius):
    """Share of each voxel inside, from its distance to the surface, soft over two voxels."""
    return np.clip(0.5 + (radius - RADIUS) / (2 * H), 0, 1).astype(np.float32)


def dvh_of(occupancy, dose_gy, voxel_ml=H**3):
    """DVH of voxels with dose linear in them."""
    inside = occupancy > 0
    half = np.sqrt(sum((step / 2) ** 2 for step in np.gradient(dose_gy)))
    volumes = occupancy[inside].astype(float) * voxel_ml
    return dvh_of_cells(dose_gy[inside], half[inside], volumes, cell_ml=voxel_ml, method="a test")


def sensitivity(dose_gy, members, *, nominal=None, metrics=METRICS):
    start = ball(1.0) if nominal is None else nominal
    return dose_sensitivity(
        members,
        start,
        dose_gy.astype(np.float32),
        nominal=dvh_of(start, dose_gy),
        metrics=[parse_metric(text) for text in metrics],
        axis=2,
        structure="ball",
    )


def slope(found, text, step):
    """Central difference over two members, displaced by a step and by minus a step: second orders cancel."""
    out, back = found.changes[text].sum(axis=1)
    return float(out - back) / (2 * step)


def moved(shift, growth=0.0):
    distance = np.sqrt((X - shift) ** 2 + Y**2 + Z**2)
    return np.clip(0.5 + (1.0 + growth - distance) / (2 * H), 0, 1).astype(np.float32)


def test_mean_dose_of_a_growing_ball_in_a_quadratic_dose():
    """D = 40 + 10 x + 5 x^2: D_mean = 40 + R^2, so dD_mean/dR = 2 R."""
    step = 0.02
    found = sensitivity(40 + 10 * X + 5 * X**2, [ball(1.0 + step), ball(1.0 - step)])
    assert slope(found, "Mean[Gy]", step) == pytest.approx(2.0, rel=0.02)


def test_volume_dose_of_a_growing_ball_in_a_linear_dose():
    """D = 40 + 10 x: D_x = 40 + 10 A R, so dD_x/dR = 10 A; A = 0.831925 for 2 %, 0 for 50 %."""
    step = 0.02
    found = sensitivity(40 + 10 * X, [ball(1.0 + step), ball(1.0 - step)])
    assert slope(found, "D2%[Gy]", step) == pytest.approx(8.31925, rel=0.05)
    assert slope(found, "D50%[Gy]", step) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("text", METRICS)
def test_first_order_change_is_the_change(text):
    """Each metric against its own difference between two balls that were shifted and grown."""
    dose, step = 40 + 10 * X + 3 * Y**2, 0.02
    there, back = moved(step, step), moved(-step, -step)
    metric = parse_metric(text)
    real = (metric.value(dvh_of(there, dose)) - metric.value(dvh_of(back, dose))) / (2 * step)
    assert slope(sensitivity(dose, [there, back]), text, step) == pytest.approx(real, rel=0.05, abs=0.2)


@pytest.mark.parametrize("entry", SHAPE_DERIVATIVES, ids=lambda entry: entry.name)
def test_uniform_dose_no_dose_metric_changes(entry):
    texts = {parse_metric(text).name: text for text in METRICS}
    metric = parse_metric(texts[entry.name])
    dose = np.full(X.shape, 45.0)
    weight = metric_weight(metric, dose, dvh_of(ball(1.0), dose))
    if entry.unit == "cc":
        assert (weight > 0).all()
    else:
        assert np.abs(weight).max() == pytest.approx(0, abs=1e-9)


def test_rigid_shift_along_a_gradient_moves_the_mean_by_gradient_times_shift():
    found = sensitivity(40 + 10 * X, [moved(0.1), moved(-0.1)])
    assert slope(found, "Mean[Gy]", 0.1) == pytest.approx(10.0, rel=0.02)


def test_uncertainty_of_a_ball_that_grows_or_shrinks():
    """(1/V) integral of abs(D - D_mean) E abs(u) dS: abs(10 x) is 5 on average over the sphere, times 3/R and u."""
    u = 0.04
    found = sensitivity(40 + 10 * X, [ball(1.0 + u), ball(1.0 - u)])
    assert found.uncertainty_gy == pytest.approx(3 * 5 * u, rel=0.05)
    assert DOSE_SCORES["dose_aware_uncertainty"].function(found) == found.uncertainty_gy


def test_nobody_disagrees_or_the_dose_is_uniform():
    same = sensitivity(40 + 10 * X, [ball(1.0), ball(1.0)])
    assert same.uncertainty_gy == 0
    assert slice_review(same.changes["Mean[Gy]"]).share == 0
    uniform = sensitivity(np.full(X.shape, 45.0), [ball(1.1), ball(0.9)])
    assert uniform.uncertainty_gy == pytest.approx(0, abs=1e-9)
    assert slice_review(uniform.changes["Mean[Gy]"]).slice_index is None


@pytest.mark.parametrize("entry", DOSE_SCORES, ids=lambda entry: entry.name)
def test_every_score_ignores_the_order_of_members_and_scales_with_the_dose(entry):
    members = [ball(1.0 + u) for u in (0.05, -0.03, 0.02)]
    dose = 40 + 10 * X + 5 * Z
    one = entry.function(sensitivity(dose, members))
    assert entry.function(sensitivity(dose, members[::-1])) == pytest.approx(one)
    factor = 2.0 if entry.unit == "Gy" else 1.0
    assert entry.function(sensitivity(2 * dose, members)) == pytest.approx(factor * one, rel=1e-5)


def test_the_slice_whose_review_settles_most():
    """Changes of three slices: the second has all variance but a little; settled, Var of the others remains."""
    changes = np.array([[0.1, 3.0, 0.0], [-0.1, -3.0, 0.0]])
    found = slice_review(changes)
    assert found.slice_index == 1
    assert found.sd == pytest.approx(math.sqrt(2) * 3.1)
    assert found.share == pytest.approx(1 - (0.1 / 3.1) ** 2)


def test_a_slice_that_cancels_another_is_not_chosen():
    changes = np.array([[1.0, -1.0, 0.5], [-1.0, 1.0, -0.5]])
    assert slice_review(changes).slice_index in (0, 2)
    assert slice_review(changes[:1]).slice_index is None


def test_empty_structure_is_undefined():
    empty = np.zeros(X.shape, np.float32)
    found = sensitivity(40 + 10 * X, [ball(1.0)], nominal=empty)
    assert math.isnan(found.uncertainty_gy)


def test_dose_on_another_grid_is_linear_and_unknown_beyond():
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    i = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, 6, 7), np.float32)
    dose = Dose(i, Geometry((5, 6, 7), affine))
    fine = np.eye(4)
    fine[:3, 3] = (1.0, 2.0, 2.0)
    found = dose_on_grid(dose, Geometry((12, 3, 4), fine))
    assert found[:4, 0, 0] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert np.isnan(found[-1]).all()
