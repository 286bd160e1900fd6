"""Objects and their blur in closed form, against the filter on a grid and against what is known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import chi

from plausible.simulate import ToyObject, ball_profile, edge_profile
from plausible.simulate.objects import LEVEL

BALL = ToyObject(kind="ball", edge=31, offset=(16, 17, 15))
CUBE = ToyObject(kind="cube", edge=15, offset=(9, 11, 8))


def test_a_ball_of_radius_15_has_14147_voxels():
    """Points of the integer grid within 15 of the origin."""
    assert (BALL.radius, BALL.centre) == (15.0, (31.0, 32.0, 30.0))
    assert np.count_nonzero(BALL.drawn(64)) == 14147


def test_a_cube_has_its_edge_cubed():
    drawn = CUBE.drawn(32)
    assert np.count_nonzero(drawn) == 15**3
    assert [tuple(np.flatnonzero(drawn.any(axis=axes))[[0, -1]]) for axes in ((1, 2), (0, 2), (0, 1))] == [
        (9, 23),
        (11, 25),
        (8, 22),
    ]


def test_over_the_border_only_what_is_inside_is_drawn():
    assert np.count_nonzero(ToyObject(kind="cube", edge=12, offset=(-4, 0, 30)).drawn(32)) == 8 * 12 * 2


def test_in_its_middle_a_blurred_ball_is_as_bright_as_a_chi_variable_is_small():
    """The centre sees the share of a 3-D Gaussian that lies within the ball."""
    found = [float(ball_profile(np.zeros(1), radius=radius, sigma=2.0)[0]) for radius in (1.0, 2.0, 5.0)]
    np.testing.assert_allclose(found, chi(3).cdf([0.5, 1.0, 2.5]), atol=1e-12)
    np.testing.assert_allclose(ball_profile(np.array([1e-4, 1e-2]), radius=5.0, sigma=2.0), found[2], atol=1e-5)


@pytest.mark.parametrize("toy", [BALL, CUBE])
def test_the_closed_form_is_the_filter_without_a_grid(toy):
    """What is left is the stair of the voxels; away from borders, which the filter reflects."""
    away = ToyObject(kind=toy.kind, edge=15, offset=(32, 33, 30))
    filtered, exact = gaussian_filter(away.drawn(80), sigma=5), away.blurred(80, sigma=5.0)
    assert np.abs(filtered - exact).max() < 0.01
    assert np.abs(filtered - exact).max() < 0.02 * exact.max()


def test_blur_keeps_the_mass():
    radii = np.linspace(0, 40, 4001)
    shells = 4 * np.pi * radii**2 * ball_profile(radii, radius=6.0, sigma=3.0)
    assert np.trapezoid(shells, radii) == pytest.approx(4 / 3 * np.pi * 6**3, rel=1e-6)
    x = np.linspace(-40, 40, 8001)
    assert np.trapezoid(edge_profile(x, half=6.0, sigma=3.0), x) == pytest.approx(12, rel=1e-6)


@pytest.mark.parametrize("kind", ["ball", "cube"])
@pytest.mark.parametrize("grey", [1.0, 0.5])
def test_the_reach_is_where_the_brightness_has_fallen_to_a_tenth(kind, grey):
    toy = ToyObject(kind=kind, edge=21, offset=(22, 22, 22), grey=grey)
    reach, sigma = toy.reach(sigma=4.0), 4.0
    middle = 22 + 10
    along = toy.blurred(65, sigma=sigma)[middle:, middle, middle]
    assert along[int(reach)] >= LEVEL > along[int(reach) + 1]
    assert toy.reach(sigma=0.0) == 10


def test_what_blur_hides_has_no_reach():
    """A ball of 12 voxels under a blur of 8: the smallest of the published recipe."""
    with pytest.raises(ValueError, match="nowhere brighter"):
        ToyObject(kind="ball", edge=12, offset=(0, 0, 0)).reach(sigma=8.0)
