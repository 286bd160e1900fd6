"""The correlation length found again from what was drawn with it, and the integral it rests on."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from plausible.core import Geometry, InvalidInput, Members
from plausible.sample.copula import CopulaSettings, draw_members
from plausible.sample.copula_fit import VolumeSpread, fit_correlation_length, threshold_covariance, volume_variance_ml2
from tests.sample.test_copula import ONE, ball, mean_of

GRID = Geometry((20, 22, 11), np.diag([1.0, 1.0, 2.0, 1.0]))
P = ball(GRID.shape, radius=6)


def spreads(n_cases: int, n_raters: int, **settings) -> list[VolumeSpread]:
    found = []
    for n in range(n_cases):
        drawn = draw_members(mean_of(P[None], GRID), draws=range(n_raters), seed=n, settings=CopulaSettings(**settings))
        members = Members.from_arrays([one.probabilities for one in drawn], geometry=GRID, classes=ONE)
        found.append(VolumeSpread.of(members, structure="organ"))
    return found


@pytest.mark.parametrize("correlation_mm", [1.5, 4.0])
def test_the_length_is_found_again_from_hard_masks(correlation_mm):
    fit = fit_correlation_length(spreads(8, 24, correlation_mm=correlation_mm), n_pairs=80_000)
    assert fit.correlation_mm == pytest.approx(correlation_mm, rel=0.15)
    assert (fit.coherence, fit.n_cases) == (1.0, 8)
    assert fit.observed_sd_ml > 2 * fit.independent_sd_ml


def test_length_and_coherence_are_found_again_from_soft_members():
    fit = fit_correlation_length(spreads(8, 24, correlation_mm=3.0, coherence=0.7), n_pairs=80_000)
    assert fit.coherence == pytest.approx(0.7, abs=0.05)
    assert fit.correlation_mm == pytest.approx(3.0, rel=0.15)


def test_few_raters_are_balanced_by_many_cases():
    """The masks' mean of three raters takes part of the variance away, from single voxels and volumes alike."""
    fit = fit_correlation_length(spreads(25, 3, correlation_mm=3.0), n_pairs=25_000)
    assert fit.correlation_mm == pytest.approx(3.0, rel=0.3)


def test_the_ends_of_the_scale():
    grid = Geometry((6, 6, 6), np.eye(4))
    together = Members.from_labels([np.zeros((6, 6, 6), int), np.ones((6, 6, 6), int)], geometry=grid, classes=ONE)
    assert fit_correlation_length([VolumeSpread.of(together, structure="organ")]).correlation_mm == np.inf
    half = np.indices((6, 6, 6)).sum(axis=0) % 2
    against = Members.from_labels([half, 1 - half], geometry=grid, classes=ONE)
    assert fit_correlation_length([VolumeSpread.of(against, structure="organ")]).correlation_mm == 0


def test_without_disagreement_there_is_nothing_to_fit():
    same = Members.from_labels([np.ones((5, 7, 11), int)] * 2, geometry=Geometry((5, 7, 11), np.eye(4)), classes=ONE)
    with pytest.raises(InvalidInput) as caught:
        fit_correlation_length([VolumeSpread.of(same, structure="organ")])
    assert caught.value.problem.code == "E401"
    with pytest.raises(ValueError, match="two raters"):
        VolumeSpread.of(same.select(["member_0"]), structure="organ")


@pytest.mark.parametrize(("rho", "tolerance"), [(0.0, 1e-12), (0.3, 1e-8), (0.9, 1e-8), (0.999, 1e-8), (1.0, 3e-4)])
def test_the_covariance_of_two_thresholded_normals_agrees_with_scipy(rho, tolerance):
    random = np.random.default_rng(4)
    a = random.normal(size=60)
    b = a + random.normal(size=60) * random.choice([0.0, 0.1, 1.0], 60)
    found = threshold_covariance(a, b, np.full(60, rho))
    law = multivariate_normal(cov=[[1, rho], [rho, 1]], allow_singular=True)
    joint = law.cdf(np.stack([a, b], axis=1)) if rho < 1 else norm.cdf(np.minimum(a, b))
    np.testing.assert_allclose(found, joint - norm.cdf(a) * norm.cdf(b), atol=tolerance)


def test_at_zero_it_is_sheppards_arcsine():
    rho, nothing = np.linspace(0, 1, 11), np.zeros(11)
    np.testing.assert_allclose(threshold_covariance(nothing, nothing, rho), np.arcsin(rho) / (2 * np.pi), atol=1e-12)


def test_some_pairs_stand_for_all():
    small = P[4:-4, 4:-4, 2:-2]
    grid = Geometry(small.shape, GRID.affine)
    every = volume_variance_ml2(small, grid, correlation_mm=4.0, n_pairs=10**7)
    some = volume_variance_ml2(small, grid, correlation_mm=4.0, n_pairs=10**5)
    assert some == pytest.approx(every, rel=0.03)
    assert some != every


def test_the_variance_grows_with_the_length():
    found = [volume_variance_ml2(P, GRID, correlation_mm=length, n_pairs=10**5) for length in (0.0, 1.0, 3.0, 9.0)]
    single = np.sum(P * (1 - P)) * GRID.voxel_volume_ml**2
    assert found[0] == pytest.approx(single, rel=1e-6)
    assert found == sorted(found)
