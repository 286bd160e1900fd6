"""The toy beamlets: closed forms of depth and edges, the beam's direction, and the estimate of the matrix's size."""

import numpy as np
import pytest

from plausible.core import Geometry
from plausible.dose.plan import BeamSettings, analytic_influence, beams_on, estimate_nonzeros
from plausible.dose.plan.beamlets import CUT_SIGMAS, water_depth_mm
from plausible.dose.plan.influence import centres_mm

from . import phantom

BOX = Geometry((21, 31, 11), np.array([[4, 0, 0, -40], [0, 4, 0, -60], [0, 0, 5, -25], [0, 0, 0, 1.0]]))


def one_beam(angle, geometry=BOX, **told):
    settings = BeamSettings(angles_deg=(angle,), beamlet_mm=10.0, margin_mm=0.0, **told)
    body = np.ones(geometry.shape, dtype=bool)
    found = analytic_influence(np.zeros((1, 3)), geometry=geometry, body=body, settings=settings)
    dense = np.zeros(geometry.shape)
    dense.ravel()[found.voxels] = found.matrix.toarray()[:, 0]
    return dense


@pytest.mark.parametrize(
    ("angle", "axis", "enters"), [(0.0, 1, "high"), (90.0, 0, "low"), (180.0, 1, "low"), (270.0, 0, "high")]
)
def test_a_beam_from_the_front_enters_at_the_front(angle, axis, enters):
    """RAS: the front is at high j; at 90 degrees the source is on the patient's left, at low i."""
    middle = [10, 15, 5]
    line = np.moveaxis(one_beam(angle), axis, 0)[(slice(None), *(m for n, m in enumerate(middle) if n != axis))]
    if enters == "high":
        line = line[::-1]
    assert (np.diff(line) < 0).all()
    depth = (np.arange(len(line)) + 0.5) * 4
    centre = line[0] / np.exp(-0.005 * depth[0])
    assert line == pytest.approx(centre * np.exp(-0.005 * depth), rel=1e-3)


def test_across_a_beam_the_dose_falls_like_an_error_function():
    dense = one_beam(0.0, attenuation_per_mm=0.0)
    from math import erf, sqrt

    def edge(t):
        return (erf((t + 5) / (3 * sqrt(2))) - erf((t - 5) / (3 * sqrt(2)))) / 2

    for steps in range(4):
        expected = edge(4 * steps) * edge(0) if 4 * steps <= 5 + CUT_SIGMAS * 3 else 0
        assert dense[10 + steps, 15, 5] == pytest.approx(expected, abs=1e-5)
    assert dense[10, 15, 6] == pytest.approx(edge(0) * edge(5), abs=1e-5)
    assert dense[10 + 4, 15, 5] == 0  # 16 mm from the axis


def test_many_beamlets_side_by_side_give_a_flat_field():
    points = np.array([[x, 0, z] for x in range(-30, 31, 5) for z in range(-20, 21, 5)], dtype=float)
    settings = BeamSettings(angles_deg=(0.0,), beamlet_mm=5.0, margin_mm=15.0, attenuation_per_mm=0.0)
    found = analytic_influence(points, geometry=BOX, body=np.ones(BOX.shape, dtype=bool), settings=settings)
    dose = found.dose(np.ones(found.n_beamlets)).dose_gy
    assert dose[7:14, :, 4:7] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("angle", [0, 37, 90, 200])
def test_depth_in_water_of_two_densities(angle):
    """A slab of half density on top of water along j; obliquely the path is longer by the cosine."""
    density = np.ones(BOX.shape, dtype=np.float32)
    density[:, 16:, :] = 0.5
    along = np.array([np.sin(np.deg2rad(angle)), -np.cos(np.deg2rad(angle)), 0])
    points = np.array([[0.0, -6.0, 0.0], [0.0, 20.0, 0.0]])
    found = water_depth_mm(density, points, BOX, along)
    for n, (_, y, _) in enumerate(points):
        top, edge = 62.0, 2.0
        if angle in (0, 37) and (top - y) * np.tan(np.deg2rad(angle)) < 42:
            water, light = max(edge - y, 0), top - max(edge, y)
            assert found[n] == pytest.approx((water + 0.5 * light) / np.cos(np.deg2rad(angle)), abs=2.5)
    if angle == 90:
        assert found == pytest.approx([42, 21], abs=2.5)


def test_a_beam_passes_a_hole_as_if_nothing_was_there():
    density = np.ones(BOX.shape, dtype=np.float32)
    density[:, 20:26, :] = 0
    along = np.array([0.0, -1.0, 0.0])
    assert water_depth_mm(density, np.zeros((1, 3)), BOX, along)[0] == pytest.approx(62 - 24, abs=0.5)


def test_the_estimate_is_close_to_the_matrix():
    target = phantom.ball(25)
    found = phantom.influence(target)
    points = centres_mm(np.flatnonzero(target), phantom.GEOMETRY)
    beams = beams_on(points, phantom.BEAMS)
    assert sum(beam.n_beamlets for beam in beams) == found.n_beamlets
    expected = estimate_nonzeros(beams, found.centres_mm(), beamlet_mm=10.0, reach_mm=5 + CUT_SIGMAS * 3)
    assert expected == pytest.approx(found.matrix.nnz, rel=0.15)


def test_beamlets_cover_the_targets_and_little_more():
    for beam in beams_on(
        np.array([[0.0, 0, 0], [31, 0, 0], [0, 0, 22]]), BeamSettings(angles_deg=(0.0,), margin_mm=0.0)
    ):
        assert beam.n_beamlets == 3


def test_settings_and_targets_are_checked():
    with pytest.raises(ValueError, match="at least one beam"):
        BeamSettings(angles_deg=())
    with pytest.raises(ValueError, match="beamlet_mm"):
        BeamSettings(beamlet_mm=0.0)
    with pytest.raises(ValueError, match="no target"):
        beams_on(np.zeros((0, 3)), BeamSettings())
