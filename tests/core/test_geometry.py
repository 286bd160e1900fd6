"""Grids: where voxels are in mm, when two grids are one, and what a header may not say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.core import Geometry, InvalidInput
from tests.conftest import SHAPE, SPACING


def moved(geometry: Geometry, by_mm: tuple[float, float, float]) -> Geometry:
    affine = np.array(geometry.affine)
    affine[:3, 3] += by_mm
    return Geometry(geometry.shape, affine)


def test_an_oblique_grid_has_the_spacing_and_volume_of_its_voxels(geometry: Geometry) -> None:
    assert geometry.spacing_mm == pytest.approx(SPACING)
    assert geometry.voxel_volume_ml == pytest.approx(0.7 * 1.1 * 3.0 / 1000)
    assert geometry.n_voxels == 5 * 7 * 11


def test_a_mirrored_grid_has_a_volume_above_zero(geometry: Geometry) -> None:
    mirrored = Geometry(SHAPE, geometry.affine @ np.diag([-1, 1, 1, 1]))
    assert mirrored.voxel_volume_ml == pytest.approx(geometry.voxel_volume_ml)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_axial_axis_runs_foot_to_head_however_axes_are_ordered(geometry: Geometry, order: tuple[int, ...]) -> None:
    affine = np.array(geometry.affine)
    affine[:3, :3] = affine[:3, list(order)]
    shape = tuple(SHAPE[axis] for axis in order)
    assert Geometry(shape, affine).axial_axis == order.index(2)


@given(axis=st.integers(0, 2), data=st.data())
def test_a_slab_keeps_every_voxel_where_it_was(geometry: Geometry, axis: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, SHAPE[axis] - 1))
    stop = data.draw(st.integers(start + 1, SHAPE[axis]))
    slab = geometry.slab(start, stop, axis=axis)
    assert slab.shape[axis] == stop - start
    voxel = np.array([1, 1, 1, 1])
    voxel[axis] = 0
    whole = np.array(voxel)
    whole[axis] = start
    np.testing.assert_allclose(slab.affine @ voxel, geometry.affine @ whole, atol=1e-9)


def test_rounding_of_headers_is_no_difference(geometry: Geometry) -> None:
    rounded = Geometry(SHAPE, geometry.affine.astype(np.float32))
    assert geometry.matches(rounded)
    geometry.check_matches(rounded, this="a", that="b")


@pytest.mark.parametrize(("shift_mm", "same"), [(0.009, True), (0.011, False)])
def test_corners_may_differ_by_a_hundredth_of_a_millimetre(geometry: Geometry, shift_mm: float, same: bool) -> None:
    other = moved(geometry, (shift_mm, 0, 0))
    assert geometry.matches(other) is same
    assert geometry.corner_distance_mm(other) == pytest.approx(shift_mm)


def test_a_small_turn_counts_by_its_farthest_corner() -> None:
    straight = Geometry((101, 5, 5), np.eye(4))
    affine = np.eye(4)
    affine[:3, 0] = (np.cos(1e-3), np.sin(1e-3), 0)  # 0.001 rad over 100 mm moves the last voxel by 0.1 mm
    affine[:3, 1] = (-np.sin(1e-3), np.cos(1e-3), 0)
    assert straight.corner_distance_mm(Geometry((101, 5, 5), affine)) == pytest.approx(0.1, rel=0.01)


def test_another_affine_is_told_with_its_distance(geometry: Geometry) -> None:
    with pytest.raises(InvalidInput) as caught:
        moved(geometry, (0, 2, 0)).check_matches(geometry, this="rater 2", that="member 0", subject="s17", file="x.nii")
    problem = caught.value.problem
    assert (problem.code, problem.subject, problem.file) == ("E201", "s17", "x.nii")
    assert "affine of rater 2 differs from member 0 by up to 2 mm on the same 5×7×11 grid" in problem.found


def test_another_shape_is_told_with_both(geometry: Geometry) -> None:
    with pytest.raises(InvalidInput) as caught:
        geometry.slab(0, 4, axis=2).check_matches(geometry, this="rater 2", that="member 0")
    assert caught.value.problem.code == "E202"
    assert "rater 2 has 5×7×4 voxels, member 0 has 5×7×11" in caught.value.problem.found


def changed(*entries: tuple[int, int, float]) -> np.ndarray:
    affine = np.diag([0.7, 1.1, 3.0, 1.0])
    for row, column, value in entries:
        affine[row, column] = value
    return affine


@pytest.mark.parametrize(
    ("shape", "affine", "found"),
    [
        (SHAPE, changed((0, 0, np.nan)), "not a finite"),
        (SHAPE, changed((1, 3, np.inf)), "not a finite"),
        (SHAPE, changed((1, 1, 0.0)), "spacing 0.7, 0, 3 mm"),
        (SHAPE, changed((0, 1, 0.2)), "not orthogonal"),
        (SHAPE, np.eye(3), "4×4"),
        ((5, 0, 11), np.eye(4), "shape (5, 0, 11)"),
    ],
)
def test_an_unusable_header_is_refused(shape: tuple[int, int, int], affine: np.ndarray, found: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Geometry(shape, affine)
    assert caught.value.problem.code == "E204"
    assert found in caught.value.problem.found


def test_the_affine_cannot_be_changed_behind_the_back(geometry: Geometry) -> None:
    affine = np.eye(4)
    own = Geometry(SHAPE, affine)
    affine[0, 3] = 5
    assert own.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        own.affine[0, 3] = 1


def test_places_and_world_coordinates_are_each_other_s_inverse(geometry):
    places = np.array([[0.0, 0, 0], [1.5, -2, 7], [4, 6, 10]])
    points = geometry.to_world_mm(places)
    np.testing.assert_allclose(points[0], geometry.affine[:3, 3])
    np.testing.assert_allclose(points[1], (geometry.affine @ [1.5, -2, 7, 1])[:3])
    np.testing.assert_allclose(geometry.to_places(points), places, atol=1e-9)


def test_a_cut_grid_is_that_of_its_voxels(geometry):
    cut = geometry.cut((slice(1, 4), slice(2, 5), slice(3, 9)))
    assert cut.shape == (3, 3, 6)
    np.testing.assert_allclose(cut.to_world_mm(np.zeros((1, 3))), geometry.to_world_mm(np.array([[1.0, 2, 3]])))
