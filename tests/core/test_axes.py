import itertools

import numpy as np
import pytest

from plausible.core import Geometry
from plausible.core.axes import axes_between
from tests.io.folders import code_of


def reordered(geometry: Geometry, order: tuple[int, ...], flips: tuple[bool, ...]) -> tuple[Geometry, np.ndarray]:
    """The same voxels with other axes, and each of its voxels' place among those of the old grid."""
    places = np.arange(geometry.n_voxels).reshape(geometry.shape).transpose(order)
    affine = geometry.affine[:, [*order, 3]].copy()
    for axis in np.flatnonzero(flips):
        affine[:, 3] += affine[:, axis] * (places.shape[axis] - 1)
        affine[:, axis] *= -1
        places = np.flip(places, axis)
    return Geometry(places.shape, affine), places


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product([False, True], repeat=3)))
def test_any_order_and_direction_of_the_axes_is_found(geometry: Geometry, order, flips) -> None:
    found, places = reordered(geometry, order, flips)
    axes = axes_between(found, geometry)
    assert np.array_equal(axes.turn(places), np.arange(geometry.n_voxels).reshape(geometry.shape))
    assert axes.geometry(found).matches(geometry)
    stacked = axes.turn(np.stack([places, -places]))
    assert np.array_equal(stacked[1], -stacked[0])


def moved(geometry: Geometry, by_mm: float) -> Geometry:
    affine = geometry.affine.copy()
    affine[0, 3] += by_mm
    return Geometry(geometry.shape, affine)


def test_what_headers_round_is_let_through_and_more_is_not(geometry: Geometry) -> None:
    axes_between(moved(geometry, 0.05), geometry)
    assert code_of(lambda: axes_between(moved(geometry, 0.11), geometry)) == "E620"


def test_other_voxels_are_refused(geometry: Geometry) -> None:
    larger = Geometry((*geometry.shape[:2], geometry.shape[2] + 1), geometry.affine)
    coarser = Geometry(geometry.shape, geometry.affine @ np.diag([2, 1, 1, 1]))
    c, s = np.cos(0.9), np.sin(0.9)
    turned = Geometry((5, 5, 5), np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    for other in (larger, coarser):
        assert code_of(lambda other=other: axes_between(other, geometry)) == "E620"
    assert code_of(lambda: axes_between(turned, Geometry((5, 5, 5), np.eye(4)))) == "E620"
