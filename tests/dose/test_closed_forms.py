"""The engine against what is known in closed form: slabs, continuous solids, curved doses, gEUD."""

import math

import numpy as np
import pytest

from plausible.core import Contours, Dose, Geometry
from plausible.dose import contours_dvh, dvh_of_cells, dvh_of_samples, parse_metric, soft_dvh
from tests.dose.phantoms import (
    AP,
    CENTRE_GY,
    SI,
    R,
    circle,
    contours_of,
    dose_of,
    image,
    inverse,
    linear_dose,
    slab_curve,
)

SLICES = (0.2, 1.0, 3.0)
NAMES = {AP: "AP", SI: "SI"}


def value(dvh, text):
    return parse_metric(text).value(dvh)


@pytest.mark.parametrize("solid", ["sphere", "cylinder", "cone"])
@pytest.mark.parametrize("axis", [AP, SI], ids=NAMES.get)
@pytest.mark.parametrize("slices_mm", SLICES)
@pytest.mark.parametrize("dose_mm", [1.0, 3.0])
def test_slabs_are_exact_to_a_hundredth_of_a_gray(solid, axis, slices_mm, dose_mm):
    dvh = contours_dvh(contours_of(solid, slices_mm), linear_dose(dose_mm, axis), image=image(slices_mm))
    truth = slab_curve(solid, slices_mm, axis)
    total = truth(-20.0)
    assert dvh.total_volume_ml == pytest.approx(total / 1000, rel=1e-5)
    for percent in (99, 98, 95, 50, 5, 2, 1):
        assert value(dvh, f"D{percent}%") == pytest.approx(inverse(truth, percent / 100, -20.0, 60.0), abs=0.01)
    assert value(dvh, "D0.03cc") == pytest.approx(inverse(truth, 30 / total, -20.0, 60.0), abs=0.01)
    # The longest stretch of the curve is steepest for the cylinder across: 24 mm wide, 0.01 mm of boundary.
    assert value(dvh, "V20Gy[%]") == pytest.approx(100 * truth(20.0) / total, abs=0.05)


CONTINUOUS = {  # D_mean, D99, D98, D95, D50, D5, D2, D1, D0.03cc, V20Gy of solids without end caps
    "sphere": (16, 5.4137, 6.0169, 7.2484, 16, 24.7516, 25.9831, 26.5863, 27.0965, 25.9259),
    "cylinder": (16, 4.7880, 5.2559, 6.3354, 16, 25.6646, 26.7441, 27.2120, 27.6670, 29.1791),
}
TEXTS = ("Mean", "D99%", "D98%", "D95%", "D50%", "D5%", "D2%", "D1%", "D0.03cc", "V20Gy[%]")


@pytest.mark.parametrize(("solid", "axis"), [("sphere", AP), ("sphere", SI), ("cylinder", AP)])
@pytest.mark.parametrize(("slices_mm", "within", "volume"), [(0.2, 0.02, 5e-4), (1.0, 0.1, 2e-3), (3.0, 0.25, 2e-2)])
def test_continuous_solids(solid, axis, slices_mm, within, volume):
    dvh = contours_dvh(contours_of(solid, slices_mm), linear_dose(3.0, axis), image=image(slices_mm))
    if solid == "sphere":
        assert dvh.total_volume_ml == pytest.approx(4 / 3 * math.pi * R**3 / 1000, rel=volume)
    for text, expected in zip(TEXTS, CONTINUOUS[solid], strict=True):
        coarse = {"D99%": 0.5, "D1%": 0.5, "D0.03cc": 0.8, "V20Gy[%]": 0.6}.get(text, within)
        assert value(dvh, text) == pytest.approx(expected, abs=coarse if slices_mm == 3 else within)


def test_even_change_between_planes_halves_what_the_slab_costs():
    """As in the published phantoms, the poles are drawn as tiny loops."""
    poles = tuple(circle(0.16, z=z) for z in (-R, R))
    sphere = Contours("sphere", 1, contours_of("sphere", 3.0).loops + poles)
    slab, linear = (
        contours_dvh(sphere, linear_dose(3.0, SI), image=image(3.0), between=between) for between in ("slab", "linear")
    )
    assert linear.total_volume_ml == pytest.approx(slab.total_volume_ml, rel=1e-9)
    for text, expected in {"D99%": 5.4137, "D1%": 26.5863, "D0.03cc": 27.0965}.items():
        assert abs(value(linear, text) - expected) < abs(value(slab, text) - expected) / 2


@pytest.mark.parametrize(("a", "expected"), [(2, 17.4356), (8, 21.6893), (20, 24.2323), (-10, 5.9607), (1, 16.0)])
def test_geud_of_an_even_spread(a, expected):
    dvh = dvh_of_cells(np.array([16.0]), np.array([12.0]), np.array([5.0]), cell_ml=5.0, method="one slab from 4 to 28")
    assert value(dvh, f"gEUD(a={a})") == pytest.approx(expected, abs=1e-4)


def test_geud_of_the_sphere_and_its_limits():
    dvh = contours_dvh(contours_of("sphere", 0.2), linear_dose(3.0, AP), image=image(0.2))
    assert value(dvh, "gEUD(a=8)") == pytest.approx(20.1345, abs=0.005)
    assert value(dvh, "gEUD(a=-10)") == pytest.approx(7.3744, abs=0.02)
    assert value(dvh, "gEUD(a=1)") == pytest.approx(dvh.mean_dose_gy, abs=1e-9)
    assert value(dvh, "gEUD(a=5000)") == pytest.approx(dvh.max_dose_gy, abs=0.1)


def test_geud_with_a_cold_spot_is_zero_and_powers_do_not_overflow():
    dvh = dvh_of_samples(np.array([0.0, 60.0]), np.array([1.0, 3.0]), cell_ml=1.0, method="two points")
    assert value(dvh, "gEUD(a=-10)") == 0.0
    assert value(dvh, "gEUD(a=900)") == pytest.approx(60.0, rel=1e-2)


def gaussian(x, y, z):
    return 60.0 * np.exp(-(x**2 + y**2 + z**2) / 200.0)


def test_gaussian_dose_in_a_sphere_with_cubic_interpolation():
    dvh = contours_dvh(contours_of("sphere", 1.0), dose_of(gaussian, 2.5), image=image(1.0), interpolation="cubic")
    truth = {"D95%": 29.9207, "D50%": 38.1213, "D2%": 56.9, "Mean": 39.664, "D0.03cc": 58.8956}
    for text, expected in truth.items():
        assert value(dvh, text) == pytest.approx(expected, abs=0.1), text
    assert value(dvh, "D98%") == pytest.approx(29.4878, abs=0.25)
    assert dvh.total_volume_ml == pytest.approx(7.2382, rel=2e-3)


def test_trilinear_dose_loses_the_curvature_it_is_said_to():
    """h²/12 times the mean Laplacian, which for this Gaussian is the outward flux over the volume."""
    dvh = contours_dvh(contours_of("sphere", 1.0), dose_of(gaussian, 3.0), image=image(1.0))
    slope = -60 * math.exp(-(R**2) / 200) * R / 100
    laplacian = slope * 4 * math.pi * R**2 / (4 / 3 * math.pi * R**3)
    assert value(dvh, "Mean") - 39.664 == pytest.approx(9 / 12 * laplacian, abs=0.1)


def test_unit_ball_in_a_linear_dose():
    """The ball of radius 1 in D = 40 + 10 x, drawn as log-odds on a grid of a twentieth."""
    n, step = 49, 0.05
    x, y, z = (np.indices((n, n, n)) - n // 2) * step
    affine = np.diag([step] * 3 + [1.0])
    affine[:3, 3] = -(n // 2) * step
    geometry = Geometry((n, n, n), affine)
    odds = (10 * (1 - np.sqrt(x**2 + y**2 + z**2))).astype(np.float32)
    dvh = soft_dvh(odds, Dose((40 + 10 * x).astype(np.float32), geometry), geometry=geometry)
    for dose, share in ((34, 0.896), (40, 0.5), (43, 0.28175), (48, 0.028)):
        assert value(dvh, f"V{dose}Gy[%]") == pytest.approx(100 * share, abs=0.05)
    assert value(dvh, "D2%") == pytest.approx(48.3192, abs=0.01)
    assert value(dvh, "D95%") == pytest.approx(32.7070, abs=0.01)
    assert value(dvh, "D98%") == pytest.approx(31.6808, abs=0.01)


@pytest.mark.parametrize("radius", [4.0, 6.0])
def test_mean_dose_of_a_growing_ball(radius):
    """D = 40 + x / 2 + x² / 4 in a ball: the mean is 40 + R² / 20."""
    loops = tuple(
        circle(math.sqrt(radius**2 - z**2), z=z) for z in np.arange(-radius + 0.1, radius, 0.2) if abs(z) < radius
    )
    contours = Contours("ball", 1, loops)
    dose = dose_of(lambda x, y, z: 40 + x / 2 + x**2 / 4, 0.75, half_mm=12.0)
    dvh = contours_dvh(contours, dose, image=image(0.2, half_mm=8.0), interpolation="cubic")
    assert value(dvh, "Mean") == pytest.approx(40 + radius**2 / 20, rel=2e-3)


def test_homogeneity_of_the_sphere():
    dvh = contours_dvh(contours_of("sphere", 0.2), linear_dose(3.0, AP), image=image(0.2))
    assert value(dvh, "HI") == pytest.approx((25.9831 - 6.0169) / CENTRE_GY, abs=1e-3)
