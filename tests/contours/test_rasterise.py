"""Structures of known volume on a CT of 120 × 90 × 20 voxels of 1 × 1.5 × 3 mm: loops, holes, gaps, odd contours."""

import itertools
import math
import warnings

import numpy as np
import pytest

from plausible.contours import contour_planes, rasterise
from plausible.core import Contours, Geometry, InvalidInput, Loop
from plausible.core.problems import ProblemWarning
from plausible.dose import contours_dvh
from tests.dose.phantoms import circle, dose_of

SPACING = (1.0, 1.5, 3.0)
SHAPE = (120, 90, 20)
AFFINE = np.diag([*SPACING, 1.0])
AFFINE[:3, 3] = (-60.3, -66.9, -30.0)
GEOMETRY = Geometry(SHAPE, AFFINE)
SLICES = [-15.0 + 3 * k for k in range(10)]
WARM = dose_of(lambda x, y, z: 30.0 + 0 * x, 9.0, half_mm=63.0)


def disk_area(radius):
    return math.pi * radius**2


def contours(*loops):
    return Contours("organ", 3, tuple(loops))


def square(side, *, at=(0.0, 0.0), z=0.0, kind="CLOSED_PLANAR", turned=False):
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float) * side + at
    return Loop(np.column_stack([corners[::-1] if turned else corners, np.full(4, z)]), kind)


def volume_ml(made):
    """Volume on the grid, which must be that of the DVH."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProblemWarning)
        share = rasterise(made, GEOMETRY)
        dvh = contours_dvh(made, WARM, image=GEOMETRY)
    assert share.min() >= 0
    assert share.max() <= 1
    assert dvh.total_volume_ml == pytest.approx(share.sum(dtype=float) * GEOMETRY.voxel_volume_ml, rel=1e-5)
    return dvh.total_volume_ml


def test_disk():
    made = contours(*(circle(20, at=(0.4, -0.7), z=z) for z in SLICES))
    assert volume_ml(made) == pytest.approx(disk_area(20) * 30 / 1000, rel=1e-6)


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_ring_of_two_loops(kind):
    loops = itertools.chain(*((circle(20, z=z, kind=kind), circle(10, at=(1, 2), z=z, kind=kind)) for z in SLICES))
    assert volume_ml(contours(*loops)) == pytest.approx((disk_area(20) - disk_area(10)) * 30 / 1000, rel=1e-6)


def test_island_in_the_hole_of_a_ring():
    made = contours(circle(20), circle(10, at=(1, 2)), circle(4, at=(1, 3)))
    expected = disk_area(20) - disk_area(10) + disk_area(4)
    assert volume_ml(made) == pytest.approx(expected * 3 / 1000, rel=1e-6)


def test_loops_in_any_order_are_the_same_ring():
    loops = [circle(20), circle(10, at=(1, 2)), circle(4, at=(1, 3)), circle(5, at=(-40, 0))]
    volumes = [volume_ml(contours(*order)) for order in itertools.permutations(loops)]
    assert np.ptp(volumes) < 1e-9


@pytest.mark.parametrize("at_mm", [0.0, 1e-7])
def test_ring_as_a_keyhole(at_mm):
    """In along a line to the hole, round it the other way, and back along (nearly) the same line."""
    outer, inner = circle(20).points_mm, circle(10).points_mm[::-1]
    inner = np.vstack([inner[-1:], inner])
    back = np.array([[0, at_mm, 0]])
    made = contours(Loop(np.vstack([outer, outer[:1], inner, inner[:1] + back, outer[:1] + back])))
    assert volume_ml(made) == pytest.approx((disk_area(20) - disk_area(10)) * 3 / 1000, rel=1e-5)


def lens(radius, apart):
    return 2 * radius**2 * math.acos(apart / 2 / radius) - apart / 2 * math.sqrt(4 * radius**2 - apart**2)


def test_loops_that_overlap_in_part_are_united_with_a_warning():
    made = contours(circle(15, at=(-8, 0)), circle(15, at=(8, 0)))
    with pytest.warns(ProblemWarning, match=r"organ.*overlap in part"):
        share = rasterise(made, GEOMETRY)
    expected = (2 * disk_area(15) - lens(15, 16)) * 3 / 1000
    assert share.sum(dtype=float) * GEOMETRY.voxel_volume_ml == pytest.approx(expected, rel=1e-3)
    assert volume_ml(made) == pytest.approx(expected, rel=1e-3)


def test_exclusive_or_leaves_out_what_two_loops_share():
    made = contours(*(circle(15, at=(x, 0), kind="CLOSEDPLANAR_XOR") for x in (-8, 8)))
    expected = (2 * disk_area(15) - 2 * lens(15, 16)) * 3 / 1000
    assert volume_ml(made) == pytest.approx(expected, rel=2e-3)


def test_the_same_loop_twice():
    with pytest.warns(ProblemWarning, match="overlap in part"):
        share = rasterise(contours(square(10), square(10)), GEOMETRY)
    assert share.sum() * GEOMETRY.voxel_volume_ml == pytest.approx(0.3, rel=1e-6)
    assert volume_ml(contours(*(square(10, kind="CLOSEDPLANAR_XOR") for _ in range(2)))) == pytest.approx(0, abs=1e-12)


def test_separate_loops_that_share_an_edge_add_up_exactly():
    made = contours(square(10.3, at=(0.2, 0.1)), square(10.3, at=(10.5, 0.1), turned=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert volume_ml(made) == pytest.approx(2 * 10.3**2 * 3 / 1000, rel=1e-9)


def test_hole_that_touches_the_outline_is_a_hole():
    made = contours(square(20), square(5, at=(0.0, 5.0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert volume_ml(made) == pytest.approx((20**2 - 5**2) * 3 / 1000, rel=1e-9)


def test_tiny_structure_on_two_slices():
    made = contours(circle(3, at=(0.5, 0.6), z=0), circle(3, at=(0.5, 0.6), z=3))
    assert volume_ml(made) == pytest.approx(disk_area(3) * 6 / 1000, rel=1e-6)


def test_loop_smaller_than_a_pixel():
    assert volume_ml(contours(circle(0.06, at=(0.2, 0.3)))) == pytest.approx(disk_area(0.06) * 3 / 1000, rel=1e-6)


@pytest.mark.parametrize("every", [2, 3])
def test_every_second_or_third_slice_becomes_thicker_slabs_with_a_warning(every):
    planes = SLICES[::every]
    made = contours(*(circle(10, z=z) for z in planes))
    with pytest.warns(ProblemWarning, match=f"contours every {3 * every} mm on slices of 3 mm"):
        rasterise(made, GEOMETRY)
    assert volume_ml(made) == pytest.approx(disk_area(10) * 3 * every * len(planes) / 1000, rel=1e-6)


def test_irregular_gap_separates_two_parts_with_a_warning():
    made = contours(*(circle(10, z=z) for z in (-9, -6, -3, 6, 9, 12)))
    with pytest.warns(ProblemWarning, match="1 gaps between contours, the widest 9 mm"):
        share = rasterise(made, GEOMETRY)
    empty = round((0 - AFFINE[2, 3]) / 3)
    assert not share[:, :, empty : empty + 2].any()
    assert volume_ml(made) == pytest.approx(disk_area(10) * 18 / 1000, rel=1e-6)


def test_two_single_contours_far_apart_are_a_slice_each():
    made = contours(circle(10, z=-12), circle(10, z=12))
    assert volume_ml(made) == pytest.approx(disk_area(10) * 6 / 1000, rel=1e-6)


def test_one_contour_is_as_thick_as_a_slice():
    assert volume_ml(contours(circle(10))) == pytest.approx(disk_area(10) * 3 / 1000, rel=1e-6)


def test_uneven_spacing_takes_half_of_each_gap():
    positions = np.array([0.0, 2.0, 5.0, 7.5])
    widths = (2.0, 2.5, 2.75, 2.5)
    loops = [circle(10 + n, z=z) for n, z in enumerate(positions)]
    expected = sum(disk_area(10 + n) * w for n, w in enumerate(widths))
    assert volume_ml(contours(*loops)) == pytest.approx(expected / 1000, rel=1e-6)


def test_contour_off_its_slice_keeps_its_position():
    made = contours(circle(20, z=1.2))
    share = rasterise(made, GEOMETRY)
    along = share.sum(axis=(0, 1)) / share.sum()
    middle = round((0 - AFFINE[2, 3]) / 3)
    assert along[middle] == pytest.approx((1.5 - (-0.3)) / 3, abs=1e-5)
    assert along[middle + 1] == pytest.approx(1 - 0.6, abs=1e-5)
    assert volume_ml(made) == pytest.approx(disk_area(20) * 3 / 1000, rel=1e-6)


def test_loop_of_two_points_is_left_out_with_a_warning():
    short = Loop(np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]))
    made = contours(circle(9), short)
    with pytest.warns(ProblemWarning, match="1 loops of fewer than three points"):
        rasterise(made, GEOMETRY)
    assert volume_ml(made) == pytest.approx(disk_area(9) * 3 / 1000, rel=1e-6)


def test_no_loop_at_all_is_an_empty_structure():
    assert volume_ml(contours()) == 0.0


def test_loop_that_crosses_itself_counts_both_lobes_with_a_warning():
    eight = Loop(np.array([[-10.0, -10, 0], [10, 10, 0], [10, -10, 0], [-10, 10, 0]]))
    with pytest.warns(ProblemWarning, match="crosses itself"):
        rasterise(contours(eight), GEOMETRY)
    assert volume_ml(contours(eight)) == pytest.approx(200 * 3 / 1000, rel=5e-3)


def test_unclosed_and_repeated_points_change_nothing():
    loop = circle(9).points_mm
    closed = np.vstack([np.repeat(loop, 2, axis=0), loop[:1]])
    assert volume_ml(contours(Loop(closed))) == pytest.approx(volume_ml(contours(Loop(loop))), rel=1e-12)


def test_contour_on_voxel_edges_is_the_box_it_draws():
    low = AFFINE[:2, 3] - np.array(SPACING[:2]) / 2 + np.array(SPACING[:2]) * (50, 40)
    corners = low + np.array([[0, 0], [10, 0], [10, 8], [0, 8]]) * SPACING[:2]
    share = rasterise(contours(Loop(np.column_stack([corners, np.zeros(4)]))), GEOMETRY)
    assert np.isin(share, (0, 1)).all()
    assert share.sum() == 80
    assert share[50:60, 40:48].sum() == 80


def test_part_beyond_the_grid_is_lost_from_the_grid_but_not_from_the_dvh():
    made = contours(circle(20, at=(AFFINE[0, 3] - 0.5, 0)))
    share = rasterise(made, GEOMETRY)
    assert share.sum() * GEOMETRY.voxel_volume_ml == pytest.approx(disk_area(20) * 3 / 2000, rel=1e-3)
    assert contours_dvh(made, WARM, image=GEOMETRY).total_volume_ml == pytest.approx(disk_area(20) * 3 / 1000, rel=1e-6)


def turned(angles):
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", angles, degrees=True).as_matrix()


def test_sagittal_contours_use_their_own_normal():
    loops = []
    for n in range(8):
        points = circle(12).points_mm
        loops.append(Loop(np.column_stack([np.full(len(points), -4.0 + n), points[:, 0], points[:, 1]])))
    planes = contour_planes(contours(*loops), GEOMETRY)
    assert planes.axis == 0
    assert volume_ml(contours(*loops)) == pytest.approx(disk_area(12) * 8 / 1000, rel=1e-6)


def test_contours_across_the_slices_use_their_own_normal():
    turn = turned((30, 20, 10))
    made = contours(*(Loop(circle(12, z=z).points_mm @ turn.T) for z in np.arange(-6, 6.1, 2.0)))
    planes = contour_planes(made, GEOMETRY)
    assert planes.axis is None
    assert abs(planes.affine[:3, 2] @ turn[:, 2]) == pytest.approx(1, abs=1e-6)
    assert contours_dvh(made, WARM, image=GEOMETRY).total_volume_ml == pytest.approx(
        disk_area(12) * 14 / 1000, rel=1e-5
    )
    share = rasterise(made, GEOMETRY)
    assert share.sum() * GEOMETRY.voxel_volume_ml == pytest.approx(disk_area(12) * 14 / 1000, rel=5e-3)


def test_oblique_grid_gives_the_same_shares():
    made = contours(circle(12, at=(1, 2), z=0.7), circle(11, at=(1, 2), z=3.7))
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = turned((25, -15, 40)), (3, -8, 11)
    moved = Geometry(SHAPE, turn @ AFFINE)
    there = contours(*(Loop(loop.points_mm @ turn[:3, :3].T + turn[:3, 3]) for loop in made.loops))
    assert np.abs(rasterise(there, moved) - rasterise(made, GEOMETRY)).max() < 1e-4


def test_loops_that_are_not_flat_are_refused():
    bent = circle(10).points_mm.copy()
    bent[::7, 2] += 4
    with pytest.raises(InvalidInput, match=r"(?s)E701.*structure 3 \(organ\)") as refused:
        contours_dvh(contours(Loop(bent)), WARM, image=GEOMETRY)
    assert "flat" in refused.value.problem.expected
