"""What other DVH code is known to get wrong, one test each: dicompyler-core 0.5.6 fails every one of them.

Its issues: #26, #148, #197, #243, #284, #340, #389, #192 (github.com/dicompyler/dicompyler-core).
"""

import math

import numpy as np
import pytest

from plausible.core import Contours, Dose, Geometry
from plausible.dose import contours_dvh, dose_grid_dvh, mask_dvh, parse_metric, soft_dvh
from tests.dose.phantoms import AP, SI, R, circle, contours_of, dose_of, image, linear_dose


def value(dvh, text):
    return parse_metric(text).value(dvh)


def sphere(slices_mm=1.0, dose_mm=1.0, axis=AP):
    return contours_dvh(contours_of("sphere", slices_mm), linear_dose(dose_mm, axis), image=image(slices_mm))


def test_near_maximum_of_a_sphere_is_not_cold():
    dvh = sphere()
    assert value(dvh, "D5%") == pytest.approx(24.7516, abs=0.1)
    assert value(dvh, "D0.03cc") == pytest.approx(27.0965, abs=0.1)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("dose_mm", [1.0, 3.0])
def test_interpolated_dose_is_not_shifted_by_half_a_pixel(dose_mm, interpolation):
    """PR 192."""
    dose = linear_dose(dose_mm, AP)
    dvh = contours_dvh(contours_of("sphere", 1.0), dose, image=image(1.0), interpolation=interpolation)
    assert value(dvh, "Mean") == pytest.approx(16.0, abs=1e-3)


@pytest.mark.parametrize("text", ["D95%", "D98%", "D99%", "D99.9%"])
@pytest.mark.parametrize("slices_mm", [1.0, 3.0])
def test_near_minimum_is_never_nought(text, slices_mm):
    """Issue 340: the nearest volume is that of the first bin."""
    assert 4.0 < value(sphere(slices_mm, 3.0), text) < 8.0


@pytest.mark.parametrize("radius", [1.2, 1.5, 2.0, 3.0, 5.0])
def test_near_minimum_of_a_small_disk_is_never_nought(radius):
    disk = Contours("disk", 1, (circle(radius, at=(0.3, 0.2)),))
    dvh = contours_dvh(disk, linear_dose(3.0, AP), image=image(1.0))
    assert value(dvh, "D99%") == pytest.approx(16 + 0.2 - radius * 0.95, abs=radius * 0.06)


@pytest.mark.parametrize("solid", ["sphere", "cylinder", "cone"])
def test_flat_ends_get_their_half_slab_and_no_more(solid):
    made = contours_of(solid, 3.0)
    areas = [math.pi * np.max(np.linalg.norm(loop.points_mm[:, :2], axis=1)) ** 2 for loop in made.loops]
    dvh = contours_dvh(made, linear_dose(3.0, SI), image=image(3.0))
    assert dvh.total_volume_ml == pytest.approx(sum(areas) * 3 / 1000, rel=2e-4)


def test_volume_does_not_depend_on_the_dose_grid():
    """Issues 26 and 148."""
    volumes = [sphere(dose_mm=dose_mm).total_volume_ml for dose_mm in (0.75, 1.0, 2.5, 4.5)]
    assert volumes == pytest.approx([volumes[0]] * 4, rel=1e-9)


def test_dose_of_half_a_millilitre_is_the_closed_form():
    """Issue 243, 10 Gy off: for a cap of 0.5 ml at the hot end, π/3 (R − t)² (2R + t) = 500 mm³."""
    from scipy.optimize import brentq

    t = brentq(lambda t: math.pi / 3 * (R - t) ** 2 * (2 * R + t) - 500, 0, R)
    assert value(sphere(0.2), "D0.5cc") == pytest.approx(16 + t, abs=0.02)


@pytest.mark.parametrize("row", [0.3, 0.9])
def test_contour_along_the_edges_of_voxels_is_not_empty(row):
    """Issue 389."""
    grid = image(1.0)
    low = grid.affine[:2, 3] - 0.3
    corners = low + np.array([[0, 0], [6, 0], [6, 6], [0, 6]]) * 0.6 + 0.6 * 30
    loop = circle(1.0)
    square = type(loop)(np.column_stack([corners, np.full(4, 0.0)]))
    dvh = contours_dvh(Contours("square", 1, (square,)), linear_dose(3.0, AP), image=grid)
    assert dvh.total_volume_ml == pytest.approx(3.6**2 / 1000, rel=1e-9)
    assert math.isfinite(value(dvh, "D50%"))


def leaving(share_inside=0.5):
    """A sphere whose centre lies on the border of the dose grid."""
    dose = linear_dose(1.0, AP)
    cut = 28
    inner = Dose(dose.dose_gy[cut:].copy(), dose.geometry.slab(cut, dose.geometry.shape[0], axis=0))
    border = inner.geometry.affine[0, 3] - 0.5
    loops = tuple(circle(math.sqrt(R**2 - z**2), at=(border, 0.0), z=z) for z in range(-11, 12))
    return Contours("sphere", 1, loops), inner


def test_structure_that_leaves_the_dose_grid_is_reported_and_not_dropped():
    """Issue 197: a crash."""
    contours, dose = leaving()
    dvh = contours_dvh(contours, dose, image=image(1.0))
    assert dvh.total_volume_ml == pytest.approx(7.2257, rel=1e-4)
    assert dvh.outside_ml == pytest.approx(dvh.total_volume_ml / 2, rel=1e-2)
    for text in ("D95%", "D2%", "D0.03cc", "V20Gy[%]", "V20Gy[cc]", "Mean", "Min", "Max", "gEUD(a=8)", "HI"):
        reading = parse_metric(text).read(dvh)
        assert math.isnan(reading.value), text
        assert any("outside the dose grid" in flag for flag in reading.flags)
    assert value(dvh, "Volume") == dvh.total_volume_ml


def test_outside_counts_as_zero_only_if_asked_for():
    contours, dose = leaving()
    dvh = contours_dvh(contours, dose, image=image(1.0))
    asked = dvh.outside_as_zero()
    assert asked.outside_ml == 0
    assert asked.total_volume_ml == pytest.approx(dvh.total_volume_ml)
    assert value(asked, "Mean") == pytest.approx(16 / 2, rel=2e-2)
    assert value(asked, "Min") == 0
    assert value(asked, "D25%") == pytest.approx(16.0, abs=0.2)
    assert value(asked, "V1Gy[%]") == pytest.approx(50, abs=0.5)


@pytest.mark.parametrize("way", ["mask", "soft"])
def test_voxels_outside_the_dose_grid_are_counted(way):
    _, dose = leaving()
    grid = image(1.0, pixel_mm=1.5)
    x, y, z = (
        np.indices(grid.shape) * np.array(grid.spacing_mm)[:, None, None, None] + grid.affine[:3, 3, None, None, None]
    )
    odds = (R - np.sqrt((x - dose.geometry.affine[0, 3] + 0.5) ** 2 + y**2 + z**2)).astype(np.float32)
    dvh = mask_dvh(odds > 0, dose, geometry=grid) if way == "mask" else soft_dvh(odds, dose, geometry=grid)
    assert dvh.outside_ml == pytest.approx(dvh.total_volume_ml / 2, rel=0.12)
    assert math.isnan(value(dvh, "Mean"))


def test_part_outside_that_makes_no_difference_leaves_the_value():
    """A uniform dose of half a structure: D_x of it is known only where both guesses agree."""
    contours, dose = leaving()
    flat = Dose(np.full_like(dose.dose_gy, 20), dose.geometry)
    dvh = contours_dvh(contours, flat, image=image(1.0))
    outside = 100 * dvh.outside_ml / dvh.total_volume_ml
    assert outside < 51
    assert math.isnan(value(dvh, "D30%"))
    half = contours_dvh(Contours("more", 1, contours.loops[:1]), flat, image=image(1.0))
    assert math.isnan(value(half, "D10%"))


def test_dose_grids_of_any_orientation_are_the_same_dose():
    """Issue 284: other orders of planes. A flipped grid with its own affine holds the same dose."""
    dose = linear_dose(3.0, SI)
    flip = dose.geometry.affine.copy()
    flip[:3, 3] += flip[:3, 2] * (dose.geometry.shape[2] - 1)
    flip[:3, 2] *= -1
    other = Dose(dose.dose_gy[:, :, ::-1].copy(), Geometry(dose.geometry.shape, flip))
    one, two = (contours_dvh(contours_of("cone", 1.0), d, image=image(1.0)) for d in (dose, other))
    for text in ("D98%", "D2%", "Mean"):
        assert value(two, text) == pytest.approx(value(one, text), abs=1e-4)


def test_dose_grid_of_one_slice_has_an_inside():
    dose = linear_dose(3.0, AP)
    thin = Dose(dose.dose_gy[:, :, 9:10].copy(), dose.geometry.slab(9, 10, axis=2))
    disk = Contours("disk", 1, (circle(8.0),))
    dvh = contours_dvh(disk, thin, image=image(1.0))
    assert dvh.outside_ml == 0
    assert dvh.mean_dose_gy == pytest.approx(16, abs=1e-3)


def test_whole_dose_grid_has_its_own_volume():
    dose = dose_of(lambda x, y, z: 10 + x, 3.0)
    dvh = dose_grid_dvh(dose)
    assert dvh.total_volume_ml == pytest.approx(dose.geometry.n_voxels * dose.geometry.voxel_volume_ml)
    assert dvh.outside_ml == 0
