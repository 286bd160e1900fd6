"""Shape-based average: half way between surfaces, in mm, and what happens where a member has none."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from plausible.aggregate import majority_vote, shape_based_average, signed_distance_mm
from plausible.core import Classes, Geometry, Members

LIVER = Classes.exclusive_of({"background": 0, "liver": 1})
SHAPE = (41, 37, 21)
SPACING = (0.7, 0.8, 1.5)
CENTRE = (14.0, 14.4, 15.0)


def members_of(*labels, classes=LIVER, spacing=SPACING) -> Members:
    geometry = Geometry(labels[0].shape, np.diag([*spacing, 1.0]))
    return Members.from_labels([each.astype(np.uint8) for each in labels], geometry=geometry, classes=classes)


def distance(shape=SHAPE) -> np.ndarray:
    i, j, k = np.indices(shape)
    return np.sqrt(sum((n * s - c) ** 2 for n, s, c in zip((i, j, k), SPACING, CENTRE, strict=True)))


def ball(radius_mm: float) -> np.ndarray:
    return distance() <= radius_mm


@pytest.mark.parametrize("radii", [(6.0, 12.0), (5.0, 10.0), (4.0, 8.0, 12.0)])
def test_concentric_balls_give_the_ball_of_the_mean_radius(radii):
    found = shape_based_average(members_of(*map(ball, radii))).probabilities[1] > 0
    middle = np.mean(radii)
    off = np.abs(distance()[found != (distance() <= middle)] - middle)
    assert off.max(initial=0) < 1.0  # voxels are 1.9 mm across their diagonal
    assert found.sum() == pytest.approx(4 / 3 * np.pi * middle**3 / np.prod(SPACING), rel=0.05)
    if len(radii) == 2:  # a vote can only pick one of the two
        voted = majority_vote(members_of(*map(ball, radii)), ties="foreground").probabilities[1] > 0
        np.testing.assert_array_equal(voted, ball(radii[1]))


def test_distances_are_in_mm_and_those_of_scipy():
    mask = ball(7.0)
    ours = signed_distance_mm(mask, spacing_mm=SPACING)
    inside, outside = distance_transform_edt(mask, sampling=SPACING), distance_transform_edt(~mask, sampling=SPACING)
    np.testing.assert_allclose(ours, inside - outside, atol=1e-4)


def test_a_shift_is_met_half_way():
    first, second = (np.zeros((30, 9, 9), bool) for _ in range(2))
    first[4:14, 2:7, 2:7] = True
    second[8:18, 2:7, 2:7] = True
    found = shape_based_average(members_of(first, second, spacing=(1, 1, 1))).probabilities[1] > 0
    assert np.flatnonzero(found[:, 4, 4]).tolist() == list(range(6, 16))


def test_the_box_changes_nothing():
    small, large = ball(5.0), ball(9.0)
    whole = shape_based_average(members_of(small, large)).probabilities
    padded = [np.pad(mask, 6) for mask in (small, large)]
    wide = shape_based_average(members_of(*padded)).probabilities
    np.testing.assert_array_equal(wide[:, 6:-6, 6:-6, 6:-6], whole)


def test_members_without_the_structure_have_no_surface():
    nothing = np.zeros(SHAPE, bool)
    one = shape_based_average(members_of(ball(8.0), nothing)).probabilities[1]
    np.testing.assert_array_equal(one > 0, ball(8.0))
    none = shape_based_average(members_of(ball(8.0), nothing, nothing)).probabilities[1]
    assert not none.any()
    assert not shape_based_average(members_of(nothing, nothing)).probabilities[1].any()
    everywhere = shape_based_average(members_of(~nothing, ~nothing)).probabilities[1]
    assert everywhere.all()


def test_neighbours_that_members_cut_elsewhere_leave_no_gap(classes):
    """Where all members see one structure or the other there is no background between them."""
    first, second = (np.zeros((30, 9, 9), np.uint8) for _ in range(2))
    for labels, cut in ((first, 10), (second, 16)):
        labels[4:cut, 2:7, 2:7], labels[cut:26, 2:7, 2:7] = 1, 2
    found = shape_based_average(members_of(first, second, classes=classes, spacing=(1, 1, 1)))
    labels = classes.decode(found.probabilities)[:, 4, 4]
    assert (labels[4:26] > 0).all()
    assert labels[4:13].tolist() == [1] * 9
    assert labels[13:26].tolist() == [2] * 13
