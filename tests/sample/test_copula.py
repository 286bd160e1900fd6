"""The Gaussian-field copula: its correlation, its exact marginals, what classes do, and the law of the volume."""

import numpy as np
import pytest
from scipy import stats

from plausible.core import Classes, Geometry, InvalidInput, Member, MemberInfo
from plausible.sample.copula import CopulaSettings, GaussianField, conditional_probability, draw_members
from plausible.sample.copula_fit import volume_variance_ml2
from tests.cli.program import run_alone
from tests.io.folders import probabilities
from tests.measure.cases import SHAPE

LAWS = [("exclusive", "own"), ("exclusive", "shared"), ("regions", "own"), ("regions", "shared")]
ONE = Classes.overlapping_of({"organ": [1]})


def mean_of(values: np.ndarray, geometry: Geometry, classes: Classes = ONE) -> Member:
    return Member(np.asarray(values, dtype=np.float32), geometry, classes, MemberInfo(id="mean"))


def draws(mean: Member, n: int, *, seed=0, subject="", **settings) -> np.ndarray:
    drawn = draw_members(mean, draws=range(n), seed=seed, subject=subject, settings=CopulaSettings(**settings))
    return np.stack([member.probabilities for member in drawn])


def distance_mm(geometry: Geometry) -> np.ndarray:
    where = np.argwhere(np.ones(geometry.shape)) * geometry.spacing_mm
    return np.linalg.norm(where[:, None] - where, axis=-1)


def ball(shape, *, radius, softness=1.5) -> np.ndarray:
    apart = np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2, axis=-1)
    return 1 / (1 + np.exp((apart - radius) / softness))


@pytest.mark.parametrize("correlation_mm", [0.4, 2.2, 6.0])
def test_the_correlation_is_gaussian_in_mm_up_to_the_border_of_an_oblique_grid(geometry, correlation_mm):
    """Over all pairs of voxels; variance one everywhere, and nothing periodic: opposite borders are far apart."""
    law, random, n = GaussianField.of(geometry, correlation_mm=correlation_mm), np.random.default_rng(1), 4000
    fields = np.stack([law.draw(random).ravel() for _ in range(n)]).astype(np.float64)
    expected = np.exp(-(distance_mm(geometry) ** 2) / (2 * correlation_mm**2))
    found = fields.T @ fields / n
    error = np.sqrt((1 + expected**2) / n)
    assert np.abs((found - expected) / error).max() < 6
    assert np.std((found - expected) / error) < 1.1


def test_the_setting_is_the_distance_at_which_the_correlation_is_exp_minus_one_half(geometry):
    along_i, _, along_k = GaussianField.of(geometry, correlation_mm=3 * geometry.spacing_mm[0]).roots
    between = (along_i @ along_i.T)[0]
    np.testing.assert_allclose(between[3], np.exp(-1 / 2), atol=1e-5)
    np.testing.assert_allclose(between[0], 1, atol=1e-6)
    np.testing.assert_allclose((along_k @ along_k.T)[4, 5], np.exp(-((3.0 / 2.1) ** 2) / 2), atol=1e-5)


def test_each_voxel_is_uniform_before_it_is_thresholded(geometry):
    law, random = GaussianField.of(geometry, correlation_mm=3.0), np.random.default_rng(3)
    corner, middle = zip(*[(z[0, -1, 0], z[2, 3, 5]) for z in (law.draw(random) for _ in range(2000))], strict=True)
    for seen in (corner, middle):
        assert stats.kstest(stats.norm.cdf(seen), "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("kind", "fields"), LAWS)
@pytest.mark.parametrize("coherence", [1.0, 0.6])
def test_every_class_keeps_its_probability_at_every_voxel(kind, fields, coherence, geometry, classes, regions):
    """A theorem: counts are binomial, whatever the law of classes; soft members have a smaller spread."""
    n, told = 600, classes if kind == "exclusive" else regions
    p = probabilities(told, geometry.shape, seed=5, sharpness=1.5)
    p[:, 0] = np.eye(len(p))[1][:, None, None]  # certain voxels stay what they are
    seen = draws(mean_of(p, geometry, told), n, correlation_mm=2.0, coherence=coherence, fields=fields)
    p = p.astype(np.float64)
    error = np.sqrt(p * (1 - p) / n)
    apart = seen.mean(axis=0, dtype=np.float64) - p
    np.testing.assert_array_equal(seen[:, :, 0], np.broadcast_to(p[:, 0], seen[:, :, 0].shape))
    assert (np.abs(apart[:, 1:]) < 5.5 * error[:, 1:] + 1e-6).all()
    if coherence == 1:
        assert set(np.unique(seen)) == {0.0, 1.0}
        assert 0.85 < np.sqrt(np.mean((apart[:, 1:] / error[:, 1:]) ** 2)) < 1.15
    if kind == "exclusive":
        np.testing.assert_allclose(seen.sum(axis=1), 1, atol=1e-6)


def test_soft_members_vary_as_their_coherence_says(geometry):
    """At p = 1/2 the variance of a soft member over draws is arcsin(w) / 2π (Sheppard)."""
    soft = draws(mean_of(np.full((1, *SHAPE), 0.5), geometry), 1500, correlation_mm=0.2, coherence=0.6)
    np.testing.assert_allclose(soft.var(axis=0).mean(), np.arcsin(0.6) / (2 * np.pi), rtol=0.02)


def test_one_field_keeps_structures_inside_each_other(geometry, regions):
    """Whole ⊇ core ⊇ enhancing in probability stays so in every draw with one field, and not with a field each."""
    outer = probabilities(regions, geometry.shape, seed=2)[0]
    mean = mean_of(np.stack([outer, outer * 0.7, outer * 0.4]), geometry, regions)
    nested = draws(mean, 20, correlation_mm=3.0)
    assert (nested[:, 0] >= nested[:, 1]).all()
    assert (nested[:, 1] >= nested[:, 2]).all()
    apart = draws(mean, 20, correlation_mm=3.0, fields="own")
    assert (apart[:, 0] < apart[:, 1]).any()


@pytest.mark.parametrize(("fields", "dependent"), [("own", False), ("shared", True)])
def test_two_organs_that_do_not_touch_move_apart_with_a_field_each(fields, dependent):
    grid = Geometry((9, 8, 7), np.eye(4))
    p = np.zeros((3, 9, 8, 7))
    p[1, :4], p[2, 5:] = 0.5, 0.5
    p[0] = 1 - p[1] - p[2]
    mean = mean_of(p, grid, Classes.exclusive_of({"background": 0, "a": 1, "b": 2}))
    volumes = draws(mean, 400, correlation_mm=20.0, fields=fields).sum(axis=(2, 3, 4))
    together = stats.pearsonr(volumes[:, 1], volumes[:, 2])[0]
    assert together > 0.5 if dependent else abs(together) < 0.15


@pytest.mark.parametrize("correlation_mm", [0.0, 1.5, 4.0, np.inf])
def test_the_volume_varies_as_the_bivariate_normal_says(correlation_mm):
    grid, n = Geometry((10, 11, 7), np.diag([1.0, 1.0, 2.0, 1.0])), 1500
    p = ball(grid.shape, radius=3)
    volumes = draws(mean_of(p[None], grid), n, correlation_mm=correlation_mm).sum(axis=(1, 2, 3, 4)) * 2 / 1000
    expected = volume_variance_ml2(p, grid, correlation_mm=correlation_mm, n_pairs=10**5)
    assert abs(volumes.var() / expected - 1) < 6 * np.sqrt(2 / n)
    assert abs(volumes.mean() - p.sum() * 2 / 1000) < 5 * np.sqrt(expected / n)


def test_at_one_half_the_volume_varies_as_sheppard_says(geometry):
    """Cov(1[X < 0], 1[Y < 0]) = arcsin(ρ) / 2π."""
    n, half = 1200, np.full((1, *geometry.shape), 0.5)
    rho = np.exp(-(distance_mm(geometry) ** 2) / (2 * 3.0**2))
    expected = np.sum(np.arcsin(np.minimum(rho, 1)) / (2 * np.pi))
    found = draws(mean_of(half, geometry), n, correlation_mm=3.0).sum(axis=(1, 2, 3, 4)).var()
    assert abs(found / expected - 1) < 6 * np.sqrt(2 / n)


def test_independent_voxels_lose_the_volume_variance_as_one_over_n():
    """Negative control: on a grid twice as fine the variance in mm³ falls to an eighth; coherent draws keep it."""
    kept, lost = [], []
    for fine in (1, 2):
        grid = Geometry((6 * fine, 6 * fine, 6 * fine), np.diag([1 / fine] * 3 + [1]))
        mean = mean_of(np.full((1, *grid.shape), 0.5), grid)
        for variances, length in ((lost, 0.0), (kept, 2.0)):
            volumes = draws(mean, 500, correlation_mm=length).sum(axis=(1, 2, 3, 4)) / fine**3
            variances.append(volumes.var())
    assert lost[0] == pytest.approx(6**3 / 4, rel=0.25)
    assert lost[1] / lost[0] == pytest.approx(1 / 8, rel=0.25)
    assert kept[1] / kept[0] == pytest.approx(1, rel=0.25)


def test_a_draw_depends_on_number_seed_and_subject_only(geometry, classes):
    mean = mean_of(probabilities(classes, geometry.shape, seed=1), geometry, classes)
    first = draws(mean, 4)
    (third,) = draw_members(mean, draws=[2], seed=0)
    np.testing.assert_array_equal(third.probabilities, first[2])
    assert (third.info.id, third.info.kind, third.info.draw, third.info.seed) == ("draw_2", "draw", 2, 0)
    assert (third.info.method, third.hard) == ("gaussian_field_copula", True)
    assert not np.array_equal(draws(mean, 4, seed=1), first)
    assert not np.array_equal(draws(mean, 4, subject="case_b"), first)
    assert len({one.tobytes() for one in first}) == 4


def test_certain_voxels_stay_certain_however_far_the_field_goes():
    far = np.array([-40.0, -6.0, 6.0, 40.0], dtype=np.float32)
    for coherence in (1.0, 0.5):
        one = conditional_probability(np.ones(4, np.float32), far, coherence=coherence)
        none = conditional_probability(np.zeros(4, np.float32), far, coherence=coherence)
        np.testing.assert_array_equal([one, none], [[1] * 4, [0] * 4])


def test_a_prediction_that_is_sure_everywhere_gives_itself(geometry, classes):
    sure = classes.encode(np.full(geometry.shape, 2))
    np.testing.assert_array_equal(draws(mean_of(sure, geometry, classes), 2), np.stack([sure, sure]))


def test_a_label_map_is_refused(geometry, classes):
    values = classes.encode(np.full(geometry.shape, 2))
    hard = Member(values, geometry, classes, MemberInfo(id="labels"), hard=True)
    with pytest.raises(InvalidInput, match="save probabilities") as caught:
        next(draw_members(hard, draws=[0], seed=0, subject="case_7"))
    assert (caught.value.problem.code, caught.value.problem.subject) == ("E315", "case_7")


@pytest.mark.parametrize("wrong", [{"correlation_mm": -1.0}, {"correlation_mm": np.nan}, {"coherence": 0.0}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CopulaSettings(**wrong)


def test_no_network_library_is_loaded():
    code = "import sys, plausible.sample.copula, plausible.sample.copula_fit; print('torch' in sys.modules)"
    assert run_alone(before=("-c", code)).strip() == "False"
