import math

import numpy as np
import pytest
import surface_distance
from scipy import ndimage

from plausible.evaluate import (
    SURFACE_SCORES,
    SurfaceDistances,
    average_symmetric_surface_distance,
    hausdorff_distance,
    hausdorff_distance_95,
    normalized_surface_dice,
    surface_distances,
)
from plausible.evaluate.surface import element_areas_mm2
from tests.evaluate.shapes import SHAPE, SPACING, damaged, ellipsoid, one_voxel

EMPTY = np.zeros(SHAPE, bool)
ALL = pytest.mark.parametrize("entry", list(SURFACE_SCORES), ids=lambda e: e.name)
DISTANCES = [entry.function for entry in SURFACE_SCORES if entry.unit == "mm"]


def score(entry, a, b, spacing=SPACING, tolerance=1.0) -> float:
    settings = {"tolerance_mm": tolerance} if entry.unit == "1" else {}
    return entry.function(surface_distances(a, b, spacing_mm=spacing), **settings)


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(24, 30, 20)), 3)
    return field > 0.02, field + 0.3 * ndimage.gaussian_filter(rng.normal(size=field.shape), 3) > 0.02


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), SPACING])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings(
    "ignore:Please import:DeprecationWarning"
)  # the other package imports from scipy's old place
def test_surface_distance_package_agrees(spacing, seed):
    a, b = blobs(seed)
    ours = surface_distances(a, b, spacing_mm=spacing)
    theirs = surface_distance.compute_surface_distances(b, a, spacing)
    agreed = pytest.approx(surface_distance.compute_surface_dice_at_tolerance(theirs, 1.0), rel=0.01)
    assert normalized_surface_dice(ours, tolerance_mm=1.0) == agreed
    far = pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95), rel=0.01)
    assert hausdorff_distance_95(ours) == far
    assert hausdorff_distance(ours) == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 100), rel=1e-5)


def test_cube_shifted_by_one_slice():
    cube = np.zeros((20, 20, 20), bool)
    cube[4:14, 4:14, 4:14] = True
    distances = surface_distances(cube, np.roll(cube, 1, axis=0), spacing_mm=(3.0, 1.0, 1.0))
    assert normalized_surface_dice(distances, tolerance_mm=2.0) == pytest.approx(0.8757, abs=1e-4)
    assert hausdorff_distance_95(distances) == pytest.approx(3.0)


def test_areas_follow_from_geometry():
    i, j, k = SPACING
    areas = element_areas_mm2(SPACING)
    assert areas[0] == areas[255] == 0
    # a plane between two slices: half the neighbourhood inside, the area is that of one voxel's face
    assert areas[0b00001111] == pytest.approx(j * k)
    assert areas[0b00110011] == pytest.approx(i * k)
    assert areas[0b01010101] == pytest.approx(i * j)
    # one corner inside: the triangle through three edge midpoints
    corner = 0.5 * np.linalg.norm(np.cross([-i / 2, j / 2, 0], [-i / 2, 0, k / 2]))
    assert areas[[1 << bit for bit in range(8)]] == pytest.approx(np.full(8, corner))
    # two opposite corners inside: two such triangles; and all but one corner looks like one corner
    assert areas[0b10000001] == pytest.approx(2 * corner)
    assert areas[0b11111110] == pytest.approx(corner)
    # two corners on the diagonal of a face are cut off one by one
    assert areas[0b00001001] == areas[0b00000110] == pytest.approx(2 * corner)


def test_area_of_a_box_tends_to_its_faces():
    box = np.zeros((30, 30, 30), bool)
    box[5:25, 5:25, 5:25] = True
    area = surface_distances(box, box, spacing_mm=(2.0, 1.0, 1.0)).prediction_mm2.sum()
    faces = 2 * (20 * 20 + 2 * 20 * 40)
    assert 0.95 * faces < area < faces


@ALL
def test_both_empty_is_undefined(entry):
    assert math.isnan(score(entry, EMPTY, EMPTY))


def test_one_empty_is_nothing_near_and_no_distance():
    for a, b in ((ellipsoid(), EMPTY), (EMPTY, ellipsoid())):
        distances = surface_distances(a, b, spacing_mm=SPACING)
        assert normalized_surface_dice(distances, tolerance_mm=1e6) == 0
        assert all(math.isnan(distance(distances)) for distance in DISTANCES)


@ALL
def test_more_damage_is_worse_and_perfect_is_perfect(entry):
    whole = ellipsoid()
    values = [score(entry, damaged(whole, steps=n), whole) for n in range(5)]
    assert values == sorted(values, reverse=entry.higher_is == "better")
    assert values[0] == (1 if entry.higher_is == "better" else 0)
    assert values[-1] != values[0]


@ALL
def test_symmetric_and_blind_to_axis_order_and_place(entry):
    a, b = damaged(ellipsoid(), steps=3), ellipsoid()
    value = score(entry, a, b)
    assert score(entry, b, a) == pytest.approx(value)
    turned = (2, 0, 1)
    spacing = tuple(SPACING[axis] for axis in turned)
    assert score(entry, a.transpose(turned)[::-1], b.transpose(turned)[::-1], spacing) == pytest.approx(value, rel=1e-6)
    assert score(entry, np.pad(a, 3), np.pad(b, 3)) == pytest.approx(value)


@ALL
def test_spacing_scales_distances_only(entry):
    a, b = blobs(5)
    spacing = tuple(2.5 * s for s in SPACING)
    factor = 2.5 if entry.unit == "mm" else 1
    assert score(entry, a, b, spacing, tolerance=2.5) == pytest.approx(factor * score(entry, a, b), rel=1e-5)


def test_one_voxel_apart():
    a = one_voxel()
    distances = surface_distances(a, np.roll(a, 4, axis=2), spacing_mm=SPACING)
    # the facing elements are 3 slices apart, the far ones 4 slices
    assert hausdorff_distance(distances) == pytest.approx(4 * 3.0)
    assert average_symmetric_surface_distance(distances) == pytest.approx((3 * 3.0 + 4 * 3.0) / 2)


def test_rounding_does_not_decide():
    slab = np.zeros((12, 9, 9), bool)
    slab[3:7] = True
    distances = surface_distances(slab, np.roll(slab, 1, axis=0), spacing_mm=(1.1, 1.0, 1.0))
    assert hausdorff_distance(distances) > 1.1  # distances are float32
    assert normalized_surface_dice(distances, tolerance_mm=1.1) == 1


def test_quantile_weighs_by_area_in_each_direction():
    far, near = (np.array([0.0, 1.0, 7.0]), np.array([90.0, 5.0, 5.0])), (np.array([0.0, 0.5]), np.array([1.0, 99.0]))
    for distances in (SurfaceDistances(*far, *near), SurfaceDistances(*near, *far)):
        assert hausdorff_distance_95(distances) == 1.0
        assert hausdorff_distance(distances) == 7.0
        mean = (5 * 1.0 + 5 * 7.0 + 99 * 0.5) / (100 + 100)
        assert average_symmetric_surface_distance(distances) == pytest.approx(mean)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="spacing"):
        surface_distances(EMPTY, EMPTY, spacing_mm=(1.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="tolerance"):
        normalized_surface_dice(surface_distances(EMPTY, EMPTY, spacing_mm=SPACING), tolerance_mm=-1.0)


def test_a_picture_has_contours_and_no_caps():
    """Two squares moved by three pixels: the contour says 3 mm where caps would say 0 for most of the area."""
    one, other = np.zeros((20, 20, 1), bool), np.zeros((20, 20, 1), bool)
    one[4:12, 4:12], other[7:15, 4:12] = True, True
    found = surface_distances(one, other, spacing_mm=(1.0, 1.0, 5.0))
    assert hausdorff_distance(found) == pytest.approx(3)
    many = np.repeat(one, 9, axis=2), np.repeat(other, 9, axis=2)
    inside = surface_distances(*many, spacing_mm=(1.0, 1.0, 5.0))
    assert found.prediction_mm2.sum() == pytest.approx(4 * (8 - 1) * 5 + 4 * math.sqrt(0.5) * 5, rel=0.05)
    assert normalized_surface_dice(found, tolerance_mm=1.0) < normalized_surface_dice(inside, tolerance_mm=1.0)
    for axis in range(3):
        turned = (np.moveaxis(mask, 2, axis) for mask in (one, other))
        spacing = tuple(np.insert([1.0, 1.0], axis, 5.0).tolist())
        again = surface_distances(*turned, spacing_mm=spacing)
        assert average_symmetric_surface_distance(again) == pytest.approx(average_symmetric_surface_distance(found))
