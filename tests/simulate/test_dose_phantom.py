"""The dose phantom: solids of the stated size at the stated place, in a linear dose."""

import numpy as np
import pytest

from plausible.simulate import dose_phantom, probability_mean_dose_above
from plausible.simulate.dose_phantom import CENTRE_GY, GRADIENT_GY_PER_MM, HALF_LENGTH_MM, RADIUS_MM


@pytest.fixture(scope="module")
def phantom():
    return dose_phantom(n_members=6, seed=3, spacing_mm=(1.0, 1.1, 0.9))


def test_members_are_solids_of_known_volume_and_place(phantom):
    height = phantom.members.geometry.affine[2, 3] + 0.9 * np.arange(phantom.members.geometry.shape[2])
    for m, member in enumerate(phantom.members):
        cylinder, ball = member.probabilities[1] >= 0.5, member.probabilities[2] >= 0.5
        voxel_ml = phantom.members.geometry.voxel_volume_ml
        assert cylinder.sum() * voxel_ml == pytest.approx(np.pi * RADIUS_MM**2 * 2 * HALF_LENGTH_MM / 1000, rel=0.04)
        assert ball.sum() * voxel_ml == pytest.approx(4 / 3 * np.pi * phantom.radii_mm[m] ** 3 / 1000, rel=0.02)
        weights = member.probabilities[1].sum(axis=(0, 1))
        centre = (weights * height).sum() / weights.sum()
        assert centre == pytest.approx(phantom.shifts_mm[m], abs=0.02)
        assert not (cylinder & ball).any()


def test_the_dose_is_linear_wherever_a_structure_can_be(phantom):
    height = phantom.dose.geometry.affine[2, 3] + 2.5 * np.arange(phantom.dose.geometry.shape[2])
    near = np.abs(height) < HALF_LENGTH_MM + 5 * 3
    np.testing.assert_allclose(
        phantom.dose.dose_gy[3, 4, near], CENTRE_GY + GRADIENT_GY_PER_MM * height[near], rtol=1e-6
    )


def test_the_same_seed_gives_the_same_phantom():
    one, same, other = (dose_phantom(n_members=2, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.image.values, same.image.values)
    np.testing.assert_array_equal(one.shifts_mm, same.shifts_mm)
    assert not np.array_equal(one.shifts_mm, other.shifts_mm)
    with pytest.raises(ValueError, match="at least one member"):
        dose_phantom(n_members=0)


def test_the_true_probability_of_a_mean_dose_is_that_of_a_normal_shift():
    """Φ(-4/3) = 0.0912."""
    assert probability_mean_dose_above(CENTRE_GY + 4) == pytest.approx(0.0912, abs=5e-5)
    assert probability_mean_dose_above(CENTRE_GY) == 0.5
