import itertools

import numpy as np
import pytest

from plausible.core import Geometry
from plausible.report.plane import AxialView

SHAPE = (5, 7, 11)
SPACING = (0.7, 1.1, 3.0)


def oriented(order: tuple[int, ...], signs: tuple[int, ...], turn_deg: float = 0.0) -> Geometry:
    """Grid whose voxel axis a runs along world axis order[a], forwards or backwards."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for a in range(3):
        affine[order[a], a] = signs[a] * SPACING[a]
    angle = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (10.0, -4.0, 2.5)
    return Geometry(SHAPE, affine)


ALL = [(order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)]


@pytest.mark.parametrize(("order", "signs"), ALL)
@pytest.mark.parametrize("turn_deg", [0.0, 20.0])
def test_patient_left_is_on_the_right_and_front_is_up_in_every_orientation(order, signs, turn_deg) -> None:
    geometry = oriented(order, signs, turn_deg)
    view = AxialView.of(geometry)
    indices = np.indices(SHAPE).reshape(3, -1)
    world = (geometry.affine @ np.vstack([indices, np.ones(indices.shape[1])]))[:3].reshape(3, *SHAPE)
    x, y, z = (view.slices(world[a]) for a in range(3))
    assert (x[:, 0, 0] > x[:, 0, -1]).all(), "world x grows to the patient's right, so it falls across the screen"
    assert (y[:, 0, 0] > y[:, -1, 0]).all(), "world y grows to the front, so it falls down the screen"
    assert np.sign(z[-1, 0, 0] - z[0, 0, 0]) == view.towards_head


@pytest.mark.parametrize(("order", "signs"), ALL)
def test_size_and_pixel_follow_the_axes(order, signs) -> None:
    geometry = oriented(order, signs)
    view = AxialView.of(geometry)
    assert view.slices(np.zeros(SHAPE)).shape == (view.n_slices, view.size[1], view.size[0])
    assert view.pixel_mm == pytest.approx((SPACING[order.index(0)], SPACING[order.index(1)]))
    assert view.n_slices == SHAPE[order.index(2)]


def test_position_is_the_world_height_of_the_middle_of_a_slice() -> None:
    view = AxialView.of(oriented((0, 1, 2), (1, 1, 1)))
    assert view.position_mm(4) == pytest.approx(2.5 + 4 * 3.0)


def test_nothing_is_copied() -> None:
    values = np.zeros(SHAPE)
    assert np.shares_memory(AxialView.of(oriented((0, 1, 2), (1, 1, 1))).slices(values), values)
