"""Plans on the water phantom: symmetric where the phantom is, the same for the same seed, whole from some rows."""

import numpy as np
import pytest

from plausible.dose.plan import Influence, choose_rows, dose_grid

from . import phantom


@pytest.fixture(scope="module")
def matrix() -> Influence:
    return phantom.influence(phantom.ball(30))


def test_a_symmetric_phantom_gets_a_symmetric_plan(matrix):
    """Of few iterations: in many, what is rounded grows along directions that hardly change the value."""
    contours = phantom.contouring("ball", phantom.ball(25))
    dose = matrix.dose(phantom.plan(matrix, contours, iterations=20).weights).dose_gy
    inside = phantom.ball(25)
    assert dose == pytest.approx(dose[::-1], abs=0.2)  # left and right
    assert dose == pytest.approx(dose[:, :, ::-1], abs=0.2)  # head and foot
    assert dose[inside].mean() == pytest.approx(60, abs=1)


def test_the_dose_falls_where_goals_ask_for_it(matrix):
    dose = matrix.dose(phantom.plan(matrix, phantom.contouring("ball", phantom.ball(25))).weights).dose_gy
    mirrored = phantom.CORD[:, ::-1]  # as far in front of the target as the cord is behind
    assert dose[phantom.CORD].max() < dose[mirrored].max() - 5


def test_full_dose_does_not_depend_on_the_rows_of_the_search(matrix):
    weights = np.random.default_rng(0).random(matrix.n_beamlets)
    rows = np.arange(0, len(matrix.voxels), 7)
    whole = matrix.dose(weights).dose_gy.ravel()[matrix.voxels]
    assert matrix.planning_rows(rows).dose(weights) == pytest.approx(whole[rows], rel=1e-5)
    outside = np.ones(matrix.geometry.n_voxels, dtype=bool)
    outside[matrix.voxels] = False
    assert (matrix.dose(weights).dose_gy.ravel()[outside] == 0).all()


def test_a_tenth_of_the_body_gives_nearly_the_plan_of_all_of_it(matrix):
    contours = phantom.contouring("ball", phantom.ball(25))
    part, whole = (phantom.plan(matrix, contours, body_share=share) for share in (0.1, 1.0))
    a, b = (matrix.dose(found.weights).dose_gy[phantom.ball(25)] for found in (part, whole))
    assert a.mean() == pytest.approx(b.mean(), abs=0.2)
    assert np.percentile(a, 5) == pytest.approx(np.percentile(b, 5), abs=0.7)


def test_the_same_seed_takes_the_same_rows_and_another_others():
    inside = np.zeros(1000, dtype=bool)
    inside[100:200] = True
    first, again, other = (choose_rows(inside, body_share=0.1, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert set(range(100, 200)) <= set(first.tolist())
    assert len(first) == len(set(first.tolist())) == 100 + 90
    with pytest.raises(ValueError, match="body_share"):
        choose_rows(inside, body_share=1.5, seed=0)


def test_a_dose_grid_fills_the_image(geometry):
    grid = dose_grid(geometry, spacing_mm=2.0)
    assert grid.spacing_mm == pytest.approx((2, 2, 2))
    assert grid.shape == (2, 4, 17)  # 3.5, 7.7 and 33 mm
    corner = np.array([-0.5, -0.5, -0.5, 1])
    assert grid.affine @ corner == pytest.approx(geometry.affine @ corner)
