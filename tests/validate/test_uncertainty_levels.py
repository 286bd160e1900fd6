import math

import numpy as np
import pytest
from scipy.special import expit

from plausible.validate import UncertaintyLevels, calibration_errors, platt_fit, uncertainty_calibration_error

UPPER = math.log(2)


def drawn(seed: int, n: int = 40_000, *, slope: float = 6.0, intercept: float = 3.0) -> UncertaintyLevels:
    """Voxels that are right with probability σ(intercept - slope u)."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(0, UPPER, (1, n, 1, 1))
    return UncertaintyLevels.of(u, rng.random(u.shape) < expit(intercept - slope * u), upper=UPPER)


def test_a_fit_finds_the_law_that_voxels_were_drawn_from():
    fit = platt_fit(drawn(0))
    assert fit is not None
    assert fit.slope == pytest.approx(6, rel=0.05)
    assert fit.intercept == pytest.approx(3, rel=0.05)
    assert uncertainty_calibration_error(drawn(1), fit) < 0.02


def test_the_fit_agrees_with_logistic_regression():
    sklearn = pytest.importorskip("sklearn.linear_model")
    levels = drawn(2)
    u = np.repeat(levels.middles, 2)[:, np.newaxis]
    y = np.tile([1, 0], len(levels.middles))
    weight = np.stack([levels.correct, levels.count - levels.correct], axis=1).ravel()
    theirs = sklearn.LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(u, y, sample_weight=weight)
    fit = platt_fit(levels)
    assert fit is not None
    assert (-fit.slope, fit.intercept) == pytest.approx((theirs.coef_[0, 0], theirs.intercept_[0]), rel=1e-2)


def test_all_right_is_confident_and_not_the_reverse():
    """Published code turns the labels round when every voxel is right, which makes the error 0.999."""
    levels = UncertaintyLevels.of(np.full((1, 10, 10, 10), 0.01), np.ones((1, 10, 10, 10), bool), upper=UPPER)
    fit = platt_fit(levels)
    assert fit is not None
    assert uncertainty_calibration_error(levels, fit) < 0.002


def test_levels_add_and_take_away():
    one, other = drawn(0, 500), drawn(1, 300)
    both = one.merge(other)
    assert both.n == 800
    np.testing.assert_array_equal(both.without(other).count, one.count)
    with pytest.raises(ValueError, match="different range"):
        one.merge(UncertaintyLevels(1.0, other.count, other.correct))


def test_undefined_values_are_left_out_and_the_largest_value_has_a_level():
    u = np.array([np.nan, 0.0, UPPER], dtype=np.float32).reshape(1, 3, 1, 1)
    levels = UncertaintyLevels.of(u, np.ones(u.shape, bool), upper=UPPER)
    assert levels.n == 2
    assert levels.count[0] == levels.count[-1] == 1


def errors_of(*levels, familiar=None, patients=None) -> list[float]:
    n = len(levels)
    return calibration_errors(
        levels, familiar=familiar or [True] * n, patients=patients or [f"p{number}" for number in range(n)]
    )


def test_a_case_is_not_judged_by_a_fit_on_itself():
    """A case unlike all others is far off by their fit, and would look calibrated by its own."""
    wrong = drawn(3, slope=-6.0, intercept=-3.0)
    errors = errors_of(drawn(0), drawn(1), wrong, drawn(4), familiar=[True, True, True, False])
    own = platt_fit(wrong)
    assert own is not None
    assert uncertainty_calibration_error(wrong, own) < 0.05 < 0.3 < errors[2]
    assert len(errors) == 4


def test_a_copy_is_not_judged_by_a_fit_on_its_original():
    wrong, copy = drawn(3, slope=-6.0, intercept=-3.0), drawn(5, slope=-6.0, intercept=-3.0)
    told = {"familiar": [True, True, False], "patients": ["a", "b", "b"]}
    assert errors_of(drawn(0), wrong, copy, **told)[2] > 0.3
    assert errors_of(drawn(0), wrong, copy, familiar=told["familiar"])[2] < 0.3  # of another patient it would be


def test_very_rare_errors_are_fitted_as_well_as_common_ones():
    """A loss per voxel is flat where 14 of a million are wrong, and a fit that stops by its gradient is far off."""
    n = np.zeros(200, np.int64)
    n[0], n[100] = 50_000_000, 2_000
    right = n.copy()
    right[0] -= 281
    right[100] -= 400
    fit = platt_fit(UncertaintyLevels(UPPER, n, right))
    assert fit is not None
    middle = UncertaintyLevels(UPPER, n, right).middles
    np.testing.assert_allclose(fit.confidence(middle)[[0, 100]], [1 - 281 / 50e6, 1 - 400 / 2000], rtol=1e-3)


def test_nothing_to_fit_on_is_undefined():
    nothing = UncertaintyLevels(UPPER, np.zeros(200, np.int64), np.zeros(200, np.int64))
    assert platt_fit(nothing) is None
    assert math.isnan(errors_of(drawn(0, 100), familiar=[False])[0])
    assert math.isnan(errors_of(drawn(0, 100))[0])
