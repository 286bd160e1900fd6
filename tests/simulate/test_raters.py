"""Raters and the truth they leave: the recorded volumes of the published recipe, exact radii, shells of H(1/3)."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from plausible.simulate import (
    ToyObject,
    aleatoric_entropy,
    masks_by_quantile,
    masks_by_radius,
    rater_fraction,
    shares,
)

BALL = ToyObject(kind="ball", edge=31, offset=(16, 16, 16))  # the one whose volumes are recorded
SHELL = -(1 / 3 * np.log(1 / 3) + 2 / 3 * np.log(2 / 3))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def nested(masks: np.ndarray) -> bool:
    return bool((masks[:-1] <= masks[1:]).all())


@pytest.mark.parametrize(
    ("sigma", "volumes", "pairs"),
    [(2.0, (2183, 12029, 21823), (0.307, 0.182, 0.711)), (8.0, (4217, 23175, 42115), (0.308, 0.182, 0.710))],
)
def test_the_recipe_gives_the_recorded_volumes_and_dice(sigma, volumes, pairs):
    masks = masks_by_quantile(gaussian_filter(BALL.drawn(64), sigma=sigma), n_raters=3)
    assert tuple(masks.sum(axis=(1, 2, 3))) == volumes
    np.testing.assert_allclose([dice(masks[a], masks[b]) for a, b in ((0, 1), (0, 2), (1, 2))], pairs, atol=5e-4)
    np.testing.assert_allclose(np.array(volumes) / volumes[-1], (0.10, 0.55, 1.00), atol=0.002)
    assert nested(masks)


def test_the_most_generous_rater_is_larger_than_the_drawn_ball():
    """Score against raters, never against what was drawn."""
    masks = masks_by_quantile(gaussian_filter(BALL.drawn(64), sigma=2), n_raters=3)
    assert masks[2].sum() > 1.5 * BALL.drawn(64).sum()


def test_around_a_sharp_object_three_raters_draw_the_same():
    for grey in (1.0, 0.55):
        toy = ToyObject(kind="ball", edge=31, offset=(16, 17, 15), grey=grey)
        for masks in (
            masks_by_quantile(toy.drawn(64), n_raters=3),
            masks_by_radius(toy, size=64, sigma=0.0, n_raters=3),
        ):
            for mask in masks:
                np.testing.assert_array_equal(mask, toy.drawn(64) > 0)
            assert aleatoric_entropy(masks).max() == 0


@pytest.mark.parametrize("sigma", [2.0, 8.0])
@pytest.mark.parametrize("exact", [False, True])
def test_both_shells_hold_0_6365_nat_and_all_else_nothing(sigma, exact):
    blurred = gaussian_filter(BALL.drawn(64), sigma=sigma)
    masks = masks_by_radius(BALL, size=64, sigma=sigma, n_raters=3) if exact else masks_by_quantile(blurred, n_raters=3)
    entropy, fraction = aleatoric_entropy(masks), rater_fraction(masks)
    inner, outer = masks[1] & ~masks[0], masks[2] & ~masks[1]
    assert pytest.approx(0.63651, abs=5e-6) == SHELL
    np.testing.assert_allclose(entropy[inner | outer], SHELL, atol=1e-6)
    assert entropy[masks[0] | ~masks[2]].max() == 0
    for where, share in ((masks[0], 1), (inner, 2 / 3), (outer, 1 / 3), (~masks[2], 0)):
        assert where.any()
        np.testing.assert_allclose(fraction[where], share, atol=1e-6)


@pytest.mark.parametrize("kind", ["ball", "cube"])
def test_clean_raters_are_bodies_of_exact_radii_in_the_proportions_of_the_recipe(kind):
    toy = ToyObject(kind=kind, edge=31, offset=(16, 17, 15))
    masks, reach = masks_by_radius(toy, size=64, sigma=2.0, n_raters=3), toy.reach(sigma=2.0)
    for mask, share in zip(masks, (0.10, 0.55, 1.00), strict=True):
        np.testing.assert_array_equal(mask, toy.distance(64) <= reach * np.cbrt(share))
    assert nested(masks)
    volumes = masks.sum(axis=(1, 2, 3))
    if kind == "cube":
        assert volumes.tolist() == [(2 * int(reach * np.cbrt(share)) + 1) ** 3 for share in (0.10, 0.55, 1.00)]
    else:
        np.testing.assert_allclose(volumes / (4 / 3 * np.pi * reach**3), (0.10, 0.55, 1.00), rtol=0.05)


def test_one_rater_draws_everything_bright():
    blurred = gaussian_filter(BALL.drawn(64), sigma=2)
    (mask,) = masks_by_quantile(blurred, n_raters=1)
    np.testing.assert_array_equal(mask, blurred >= 0.1)
    assert aleatoric_entropy(mask[None]).max() == 0
    assert shares(1) == (1.0,)
    np.testing.assert_allclose(shares(3), (0.10, 0.55, 1.00))
