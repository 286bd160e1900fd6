"""What most raters drew: below the voxel, like their own contours, and by the rule of the segmentation."""

import math

import numpy as np
import pytest

from plausible.core import Contours, Dose, Geometry
from plausible.dose import contours_dvh
from plausible.dose.drawn import MOST_VOXELS, finer, majority_dvh
from plausible.dose.interpolation import DoseField
from tests.dose.phantoms import circle

COARSE = Geometry((16, 16, 10), np.diag([4.0, 4.0, 3.0, 1.0]))
CENTRE = (30.0, 30.0)


def cylinder(radius: float, *, n_planes: int = 5) -> Contours:
    return Contours("organ", 1, tuple(circle(radius, at=CENTRE, z=3.0 * k) for k in range(2, 2 + n_planes)))


def dose() -> Dose:
    along = np.arange(16) * 4.0
    return Dose(np.broadcast_to(along[:, None, None], COARSE.shape).astype(np.float32).copy(), COARSE)


def most(*radii: float):
    return majority_dvh([cylinder(r) for r in radii], DoseField.of(dose(), interpolation="linear"), image=COARSE)


@pytest.mark.parametrize("radius", [3.0, 5.5, 9.0])
def test_members_that_agree_are_what_most_drew(radius):
    own = contours_dvh(cylinder(radius), dose(), image=COARSE)
    found = most(radius, radius, radius)
    assert found.total_volume_ml == pytest.approx(own.total_volume_ml, rel=0.02)
    assert found.mean_dose_gy == pytest.approx(own.mean_dose_gy, abs=0.1)
    assert found.max_dose_gy == pytest.approx(own.max_dose_gy, abs=1.0)


def test_most_is_more_than_half():
    def volume_ml(radius):
        return math.pi * radius**2 * 15 / 1000

    assert most(4.0, 6.0, 8.0).total_volume_ml == pytest.approx(volume_ml(6.0), rel=0.03)
    assert most(4.0, 8.0).total_volume_ml == pytest.approx(volume_ml(4.0), rel=0.05)  # as p > 0.5 has it
    assert most(4.0, 6.0, 8.0, 9.0).total_volume_ml == pytest.approx(volume_ml(6.0), rel=0.03)


def test_a_single_plane_is_as_thick_as_a_slice_of_the_image():
    field = DoseField.of(dose(), interpolation="linear")
    found = majority_dvh([cylinder(6.0, n_planes=1)], field, image=COARSE)
    assert found.total_volume_ml == pytest.approx(math.pi * 36 * 3 / 1000, rel=0.03)


def test_the_finer_grid_fills_the_same_box_and_stays_small():
    fine = finer(COARSE)
    assert fine.n_voxels <= MOST_VOXELS
    assert max(fine.spacing_mm) < 1
    for corner in ((-0.5, -0.5, -0.5), (15.5, 15.5, 9.5)):
        place = fine.to_places(COARSE.to_world_mm(np.array([corner])))[0]
        ends = [-0.5 if c < 0 else n - 0.5 for c, n in zip(corner, fine.shape, strict=True)]
        assert place == pytest.approx(ends)
    assert finer(Geometry((512, 512, 150), np.diag([3.0, 3.0, 3.0, 1.0]))).n_voxels <= max(MOST_VOXELS, 512 * 512 * 150)
