import numpy as np
import pytest
from scipy import ndimage

from plausible.calibrate import conformal_quantile, fit_margin, grown, margin_curve, margin_grid, shrunk
from plausible.core import InvalidInput

from .cohorts import WHO, margin_curves

SPACING = (0.7, 1.1, 3.0)
SHAPE = (31, 29, 17)
WHOLE = {"subject": "p0", "structure": "liver"}


def ball(radius_mm: float, *, centre=(15, 14, 8)) -> np.ndarray:
    squared = sum(((axis - c) * s) ** 2 for axis, c, s in zip(np.indices(SHAPE), centre, SPACING, strict=True))
    return squared <= radius_mm**2


def distance(mask: np.ndarray) -> np.ndarray:
    return ndimage.distance_transform_edt(~mask, sampling=SPACING)


@pytest.mark.parametrize("margin_mm", [0.0, 0.7, 2.1, 3.0, 4.4])
def test_a_reference_grown_by_k_mm_has_a_margin_of_k_mm(margin_mm):
    prediction = ball(4.0)
    reference = distance(prediction) <= margin_mm + 1e-6
    curve = margin_curve(prediction, reference, spacing_mm=SPACING, **WHOLE)
    assert curve.outer_mm(1.0) == pytest.approx(margin_mm)
    assert curve.inner_mm(1.0) == 0
    held = grown(prediction, margin_mm=margin_mm, spacing_mm=SPACING)
    np.testing.assert_array_equal(held, reference)


@pytest.mark.parametrize("margin_mm", [0.7, 2.1, 3.0])
def test_a_reference_shrunk_by_k_mm_has_an_inner_margin_of_k_mm(margin_mm):
    prediction = ball(6.0)
    reference = prediction & (distance(~prediction) > margin_mm + 1e-6)
    curve = margin_curve(prediction, reference, spacing_mm=SPACING, **WHOLE)
    assert curve.inner_mm(1.0) == pytest.approx(margin_mm)
    assert curve.outer_mm(1.0) == 0
    np.testing.assert_array_equal(shrunk(prediction, margin_mm=margin_mm, spacing_mm=SPACING), reference)


@pytest.mark.parametrize("share", [0.8, 0.95, 1.0])
def test_curves_say_what_grown_and_shrunk_masks_hold(share):
    """Against masks that are really grown and shrunk, in the whole image and at its border."""
    rng = np.random.default_rng(0)
    grid = margin_grid(largest_mm=30.0, step_mm=0.5)
    for shift in rng.integers(-14, 15, (12, 3)):
        prediction, reference = ball(5.0), ball(6.0, centre=tuple(np.array((15, 14, 8)) + shift // (1, 1, 2)))
        if not reference.any():
            continue
        curve = margin_curve(prediction, reference, spacing_mm=SPACING, margins_mm=grid, **WHOLE)
        covered = [(distance(prediction) <= m + 1e-4)[reference].mean() for m in grid]
        depth = distance(~prediction)
        spilled = [(prediction & (depth > m + 1e-4) & ~reference).sum() / reference.sum() for m in grid]
        np.testing.assert_allclose(curve.covered, covered)
        np.testing.assert_allclose(curve.spilled, spilled, atol=1e-12)
        enough = [m for m, c in zip(grid, covered, strict=True) if c >= share - 1e-12]
        assert curve.outer_mm(share) == (enough[0] if enough else np.inf)
        few = [m for m, s in zip(grid, spilled, strict=True) if s <= 1 - share + 1e-12]
        assert curve.inner_mm(share) == few[0]


def test_an_empty_prediction_has_no_margin_and_an_absent_structure_none_either():
    curve = margin_curve(np.zeros(SHAPE, bool), ball(5.0), spacing_mm=SPACING, **WHOLE)
    assert curve.outer_mm(0.5) == np.inf
    assert curve.inner_mm(0.5) == 0
    curve = margin_curve(ball(5.0), np.zeros(SHAPE, bool), spacing_mm=SPACING, **WHOLE)
    assert np.isnan(curve.outer_mm(0.5))
    assert np.isnan(curve.inner_mm(0.5))


def test_margins_beyond_the_grid_are_infinite_not_its_end():
    far = ball(2.0, centre=(2, 2, 2)), ball(2.0, centre=(28, 26, 14))
    curve = margin_curve(*far, spacing_mm=SPACING, margins_mm=margin_grid(largest_mm=10.0), **WHOLE)
    assert curve.outer_mm(0.5) == np.inf
    assert margin_curve(*far, spacing_mm=SPACING, **WHOLE).outer_mm(0.5) > 10


def test_fit_by_hand():
    curves = margin_curves(np.arange(1, 20) / 2, np.arange(19, 0, -1) / 10)
    outer = fit_margin(curves, alpha=0.1, share=0.95, sides="outer", absent="exclude", **WHO)
    assert (outer.outer_mm, outer.inner_mm) == (9.0, None)
    both = fit_margin(curves, alpha=0.1, share=1.0, sides="both", absent="exclude", **WHO)
    assert (both.outer_mm, both.inner_mm) == (9.5, 1.9)  # the largest: half of alpha each
    inner = fit_margin(curves, alpha=0.2, share=0.9, sides="inner", absent="exclude", **WHO)
    assert (inner.outer_mm, inner.inner_mm) == (None, 1.6)
    assert "grown by 9.5 mm, holds at least 100 % of the true one" in both.guarantee.statement
    assert "spills over the true one by 10 % at most" in inner.guarantee.statement
    with pytest.raises(ValueError, match="inner margin was not calibrated"):
        outer.inner(ball(5.0), spacing_mm=SPACING, subject="new")


def test_apply():
    curves = margin_curves(np.full(20, 2.1), np.full(20, 0.7))
    fitted = fit_margin(curves, alpha=0.1, share=1.0, sides="both", absent="exclude", **WHO)
    mask = ball(5.0)
    np.testing.assert_array_equal(fitted.outer(mask, spacing_mm=SPACING, subject="new"), distance(mask) <= 2.1 + 1e-6)
    np.testing.assert_array_equal(fitted.inner(mask, spacing_mm=SPACING, subject="new"), distance(~mask) > 0.7 + 1e-6)


def test_missed_structures_and_empty_predictions():
    lost = margin_curves([*np.arange(1.0, 18.0) / 2, np.inf, np.inf, np.nan])
    settings = {"share": 1.0, "sides": "outer", **WHO}
    assert fit_margin(lost, alpha=0.2, absent="exclude", **settings).outer_mm == 8.0  # 16th of 19
    assert fit_margin(lost, alpha=0.2, absent="covered", **settings).outer_mm == 8.0  # 17th of 20, one at 0
    assert fit_margin(lost, alpha=0.2, absent="missed", **settings).outer_mm == 8.5  # 17th of 20
    with pytest.raises(InvalidInput, match="E403") as caught:
        fit_margin(lost, alpha=0.1, absent="missed", **settings)
    assert caught.value.problem.found.startswith("in 3 of 20")
    trivial = fit_margin(lost, alpha=0.1, absent="missed", if_infeasible="trivial", **settings)
    assert trivial.outer(ball(3.0), spacing_mm=SPACING, subject="new").all()
    assert not shrunk(ball(3.0), margin_mm=np.inf, spacing_mm=SPACING).any()


def test_too_few_patients_for_both_sides():
    curves = margin_curves(np.arange(10.0))
    settings = {"alpha": 0.1, "share": 0.9, "absent": "exclude", **WHO}
    assert fit_margin(curves, sides="outer", **settings).outer_mm == 9
    with pytest.raises(InvalidInput, match="at least 19"):
        fit_margin(curves, sides="both", **settings)
    with pytest.raises(ValueError, match="share must be"):
        fit_margin(curves, sides="outer", **{**settings, "share": 0.0})


def test_patients_are_held_as_promised():
    """Sixty made-up patients, drawn again and again into 19 to calibrate on and 41 new ones."""
    rng = np.random.default_rng(1)
    scores = []
    for _ in range(60):
        prediction = ball(rng.uniform(3, 7))
        reference = ball(rng.uniform(3, 7), centre=tuple(np.array((15, 14, 8)) + rng.integers(-1, 2, 3)))
        curve = margin_curve(prediction, reference, spacing_mm=SPACING, **WHOLE)
        scores.append((curve.outer_mm(0.95), curve.inner_mm(0.95)))
    drawn = rng.permuted(np.tile(np.arange(60), (4000, 1)), axis=1)
    outer, inner = np.array(scores).T[:, drawn]
    held = (outer[:, 19:] <= conformal_quantile(outer[:, :19], 0.1)[:, np.newaxis]).mean()
    assert 0.9 - 0.003 <= held <= 0.9 + 1 / 20 + 0.02  # ties add to it
    both = (outer[:, 19:] <= conformal_quantile(outer[:, :19], 0.1, tails=2)[:, np.newaxis]) & (
        inner[:, 19:] <= conformal_quantile(inner[:, :19], 0.1, tails=2)[:, np.newaxis]
    )
    assert both.mean() >= 0.9 - 0.003
