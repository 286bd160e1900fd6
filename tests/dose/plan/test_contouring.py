"""Boxes of structures on an oblique grid: where their voxels are, and back to the whole grid."""

import numpy as np
import pytest

from plausible.dose.plan import Contouring, Region, union_points_mm


@pytest.fixture
def mask(geometry):
    found = np.zeros(geometry.shape, dtype=bool)
    found[1:3, 2:6, 7:9] = True
    found[2, 3, 8] = False
    return found


def test_a_box_keeps_voxels_volume_and_places(mask, geometry):
    region = Region.of(mask, geometry)
    assert region.mask.shape == (2, 4, 2)
    assert region.volume_ml == pytest.approx(15 * 0.7 * 1.1 * 3.0 / 1000)
    assert np.array_equal(region.onto(geometry), mask)
    first = geometry.affine @ np.array([1, 2, 7, 1.0])
    assert region.points_mm()[0] == pytest.approx(first[:3])


def test_a_point_is_inside_where_its_voxel_is(mask, geometry):
    every = np.argwhere(np.ones(geometry.shape, dtype=bool)).astype(float)
    points = every @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    assert np.array_equal(Region.of(mask, geometry).holds(points), mask.ravel())
    assert not Region.of(mask, geometry).holds(np.array([[1e4, 0, 0]])).any()


def test_an_empty_structure_holds_nothing(geometry):
    region = Region.of(np.zeros(geometry.shape, dtype=bool), geometry)
    assert region.volume_ml == 0
    assert len(region.points_mm()) == 0
    assert not region.onto(geometry).any()


def test_a_key_tells_contours_apart_and_not_their_ids(mask, geometry):
    one = Contouring("a", {"liver": Region.of(mask, geometry)})
    same = Contouring("b", {"liver": Region.of(mask.copy(), geometry)})
    moved = Contouring("a", {"liver": Region.of(np.roll(mask, 1, axis=2), geometry)})
    other = Contouring("a", {"spleen": Region.of(mask, geometry)})
    filled = mask.copy()
    filled[2, 3, 8] = True  # the same box, another voxel
    whole = Contouring("a", {"liver": Region.of(filled, geometry)})
    assert one.key == same.key
    assert len({one.key, moved.key, other.key, whole.key}) == 4


def test_a_union_has_each_voxel_once(mask, geometry):
    both = [Contouring(str(n), {"ptv": Region.of(np.roll(mask, n, axis=1), geometry)}) for n in (0, 1)]
    assert len(union_points_mm(both, ["ptv"])) == np.count_nonzero(mask | np.roll(mask, 1, axis=1))
    assert union_points_mm(both, ["other"]).shape == (0, 3)
