"""pyRadPlan's matrix on a small phantom: right place, right direction, and a clear word where it is missing."""

import importlib.util
import sys

import numpy as np
import pytest

from plausible.core import Geometry, UnfitEnvironment
from plausible.dose.plan import BeamSettings, Region, analytic_influence, dose_grid, pyradplan_influence
from plausible.dose.plan.influence import centres_mm
from plausible.dose.plan.pyradplan import in_air, patient_grid

GEOMETRY = Geometry((30, 26, 14), np.array([[-6, 0, 0, 90], [0, 6, 0, -75], [0, 0, 6, -40], [0, 0, 0, 1.0]]))
"""Image axes left, anterior, superior: one is turned against the patient's."""
POINTS = centres_mm(np.arange(GEOMETRY.n_voxels), GEOMETRY)
BODY = (((POINTS[:, :2] / [80, 65]) ** 2).sum(axis=1) < 1).reshape(GEOMETRY.shape)
TARGET = (((POINTS - [12, 18, 6]) ** 2).sum(axis=1) < 18**2).reshape(GEOMETRY.shape)
installed = pytest.mark.skipif(
    importlib.util.find_spec("pyRadPlan") is None, reason="pyRadPlan is not installed (pip install 'plausible[plan]')"
)


@installed
@pytest.mark.filterwarnings("ignore")
def test_dose_lies_where_the_toy_model_has_it():
    settings = BeamSettings(angles_deg=(40.0,), beamlet_mm=10.0)
    found = pyradplan_influence(
        np.where(BODY, 0.0, -1000.0), geometry=GEOMETRY, target=TARGET, body=BODY, spacing_mm=6.0, settings=settings
    )
    grid = dose_grid(GEOMETRY, spacing_mm=6.0)
    water = Region.of(BODY, GEOMETRY).holds(centres_mm(np.arange(grid.n_voxels), grid)).reshape(grid.shape)
    toy = analytic_influence(Region.of(TARGET, GEOMETRY).points_mm(), geometry=grid, body=water, settings=settings)
    fields = [one.dose(np.ones(one.n_beamlets)) for one in (found, toy)]
    there, here = (
        np.average(centres_mm(np.arange(one.geometry.n_voxels), one.geometry), axis=0, weights=one.dose_gy.ravel())
        for one in fields
    )
    assert there == pytest.approx(here, abs=6)
    inside = [Region.of(TARGET, GEOMETRY).holds(one.centres_mm()) for one in (found, toy)]
    for one, held in zip((found, toy), inside, strict=True):
        values = one.matrix @ np.ones(one.n_beamlets, dtype=np.float32)
        assert values[held].mean() > 2 * values[~held].mean()


@installed
@pytest.mark.filterwarnings("ignore")
def test_a_target_in_the_last_slice_is_shone_on_with_rays_beside_the_image():
    target = (((POINTS - [0, 0, 38]) ** 2).sum(axis=1) < 15**2).reshape(GEOMETRY.shape)
    assert target[:, :, -1].any()
    found = pyradplan_influence(np.where(BODY, 0.0, -1000.0), geometry=GEOMETRY, target=target, body=BODY,
                                spacing_mm=6.0, settings=BeamSettings(angles_deg=(0.0,)))  # fmt: skip
    dose = found.matrix @ np.ones(found.n_beamlets, dtype=np.float32)
    assert dose[Region.of(target, GEOMETRY).holds(found.centres_mm())].min() > dose.max() / 3


def test_air_around_an_image_keeps_its_voxels(geometry):
    wider = in_air(geometry, margin_mm=2.0)
    assert wider.shape == tuple(n + 2 * more for n, more in zip(geometry.shape, (3, 2, 1), strict=True))
    places = np.linalg.inv(wider.affine) @ geometry.affine @ np.array([1.0, 2, 3, 1])
    assert places[:3] == pytest.approx([4, 4, 4])


@pytest.mark.skipif(importlib.util.find_spec("pyRadPlan") is not None, reason="pyRadPlan is installed")
def test_where_it_is_missing_the_extra_is_named():
    with pytest.raises(UnfitEnvironment, match=r"plausible\[plan\]"):
        pyradplan_influence(np.zeros(GEOMETRY.shape), geometry=GEOMETRY, target=TARGET, body=BODY, spacing_mm=5,
                            settings=BeamSettings())  # fmt: skip


def test_a_pydantic_that_breaks_it_is_refused(monkeypatch):
    import pydantic

    monkeypatch.setitem(sys.modules, "pyRadPlan", type(sys)("pyRadPlan"))
    monkeypatch.setattr(pydantic, "VERSION", "2.14.3")
    with pytest.raises(UnfitEnvironment, match=r"E650.*"):
        pyradplan_influence(np.zeros(GEOMETRY.shape), geometry=GEOMETRY, target=TARGET, body=BODY, spacing_mm=5,
                            settings=BeamSettings())  # fmt: skip


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (-1, 1, -1)])
def test_the_patients_grid_has_the_images_own_voxels(order, signs):
    affine, spacing, shape = np.eye(4), (2.0, 3.0, 5.0), (4, 6, 9)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, axis] = sign * spacing[axis]
    affine[:3, 3] = 7, -11, 3
    image = Geometry(shape, affine)
    grid = patient_grid(image)
    ours, theirs = (np.unique(np.round(centres_mm(np.arange(one.n_voxels), one), 6), axis=0) for one in (image, grid))
    assert np.array_equal(ours, theirs)
    assert np.sign(np.diag(grid.affine)[:3]).tolist() == [-1, -1, 1]


def test_the_patients_grid_covers_an_oblique_image(geometry):
    grid = patient_grid(geometry)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in geometry.shape], indexing="ij")).reshape(3, -1)
    world = np.vstack([geometry.affine[:3, :3] @ corners + geometry.affine[:3, 3:], np.ones(8)])
    places = np.linalg.inv(grid.affine) @ world
    assert (places[:3].min(axis=1) > -1e-6).all()
    assert (places[:3].max(axis=1) < np.array(grid.shape) - 1 + 1e-6).all()
