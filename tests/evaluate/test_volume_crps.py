"""Volume forecasts: closed forms, scoringrules and scipy, and where the published protocol stops to tell."""

import math

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import energy_distance, norm

from plausible.aggregate import MemberVolumes
from plausible.core import Classes, Geometry, Members, collect
from plausible.evaluate import (
    VOLUME_FORECAST_SCORES,
    VolumeForecast,
    crps_curvas_of,
    crps_gaussian,
    crps_sample,
)
from tests.aggregate.cases import random_members, reordered

volumes = st.lists(st.floats(1, 1000), min_size=2, max_size=8)


def forecast(members, raters, expected=None) -> VolumeForecast:
    of = np.asarray(members, np.float64)
    mean = np.array([of.mean() if expected is None else expected], np.float64)
    return VolumeForecast(("liver",), of[:, np.newaxis], mean, np.asarray(raters, np.float64)[:, np.newaxis])


def score(name: str, *args, **kwargs) -> float:
    (value,) = VOLUME_FORECAST_SCORES[name].function(forecast(*args, **kwargs))
    return float(value)


@pytest.mark.parametrize(
    ("z", "expected"), [(0, 0.2337), (1, 0.6024), (2, 1.4528), (3, 2.4366), (4, 3.4358), (10, 9.4358)]
)
def test_acceptance_of_the_gaussian(z, expected):
    assert crps_gaussian(100.0 + 10 * z, mean=100.0, sd=10.0) == pytest.approx(10 * expected, abs=6e-4)
    assert crps_gaussian(100.0 - 10 * z, mean=100.0, sd=10.0) == pytest.approx(10 * expected, abs=6e-4)


@given(value=st.floats(-50, 250), mean=st.floats(0, 200), sd=st.floats(0.1, 50))
def test_scoringrules_agrees_on_the_gaussian(value, mean, sd):
    assert crps_gaussian(value, mean=mean, sd=sd) == pytest.approx(scoringrules.crps_normal(value, mean, sd), abs=1e-8)


@given(sample=volumes, value=st.floats(0, 1000))
def test_scoringrules_agrees_on_samples(sample, value):
    x = np.array(sample)
    assert crps_sample(x, value) == pytest.approx(scoringrules.crps_ensemble(value, x, estimator="nrg"), abs=1e-8)
    fair = scoringrules.crps_ensemble(value, x, estimator="fair")
    assert crps_sample(x, value, estimator="u") == pytest.approx(fair, abs=1e-8)


@given(members=volumes, raters=volumes)
def test_scipy_agrees_on_the_energy_distance(members, raters):
    assert score("volume_energy_distance", members, raters) == pytest.approx(
        energy_distance(members, raters) ** 2, abs=1e-7
    )


@given(members=volumes, raters=volumes)
def test_crps_is_half_the_energy_distance_and_the_raters_own_spread(members, raters):
    own = np.abs(np.subtract.outer(raters, raters)).mean() / 2
    expected = score("volume_energy_distance", members, raters) / 2 + own
    assert score("volume_crps", members, raters) == pytest.approx(expected, abs=1e-8)


def test_no_spread_leaves_the_distance():
    assert crps_gaussian(120.0, mean=100.0, sd=0.0) == 20
    assert crps_sample(np.array([7.0]), 10.0) == 3
    assert math.isnan(crps_sample(np.array([7.0]), 10.0, estimator="u"))
    assert score("volume_crps_gaussian", [120, 120], [100, 100]) == 20


@given(sample=volumes, value=st.floats(0, 1000), times=st.floats(0.1, 10), more=st.floats(0, 100))
def test_units_scale(sample, value, times, more):
    x = np.array(sample)
    assert crps_sample(times * x + more, times * value + more) == pytest.approx(times * crps_sample(x, value), abs=1e-7)


def test_the_fair_estimator_does_not_depend_on_the_number_of_members():
    rng = np.random.default_rng(0)
    draws = {n: rng.normal(0, 1, (4000, n)) for n in (2, 50)}
    for estimator, same in (("u", True), ("v", False)):
        few, many = (np.mean([crps_sample(x, 0.3, estimator=estimator) for x in draws[n]]) for n in (2, 50))
        assert (abs(few - many) < 0.02) == same


def test_truth_forecasts_best():
    """The score is proper: of Gaussian forecasts for a Gaussian truth, the right centre and width win."""
    grid = norm.ppf((np.arange(60) + 0.5) / 60)
    raters = 100 + 10 * norm.ppf((np.arange(200) + 0.5) / 200)
    right = score("volume_crps", 100 + 10 * grid, raters)
    for centre, width in ((100, 3), (100, 30), (95, 10), (110, 10)):
        assert score("volume_crps", centre + width * grid, raters) > right


# what the published protocol does


def test_curvas_saturates_beyond_three_sd_and_the_exact_score_does_not():
    exact, published = [], []
    for volume in (130.0, 140.0, 200.0, 1000.0):
        exact.append(crps_gaussian(volume, mean=100.0, sd=10.0))
        published.append(crps_curvas_of(volume, mean=100.0, sd=10.0))
    assert exact == pytest.approx([24.4, 34.4, 94.4, 894.4], abs=0.06)
    assert published == pytest.approx([24.42] * 4, abs=0.01)


def test_curvas_agrees_within_three_sd():
    for volume in np.linspace(71, 129, 30):
        ours = crps_gaussian(float(volume), mean=100.0, sd=10.0)
        assert crps_curvas_of(float(volume), mean=100.0, sd=10.0) == pytest.approx(ours, abs=0.1)


def test_curvas_is_the_integral_that_it_says():
    for value in (62.0, 93.0, 100.0, 121.7, 500.0):
        y = np.linspace(70, 130, 600_001)
        grid = np.linspace(norm.ppf(0.01, 100, 10), norm.ppf(0.99, 100, 10), 100)
        below = np.interp(y, grid, norm.cdf(grid, 100, 10), left=0, right=1)
        integral = np.trapezoid((below - (y >= value)) ** 2, y)
        assert crps_curvas_of(value, mean=100.0, sd=10.0) == pytest.approx(integral, abs=2e-4)


def test_raters_that_agree_forgive_everything_in_curvas_alone():
    assert score("crps_curvas", [0, 0], [50, 50, 50]) == 0
    assert score("volume_crps_gaussian", [0, 0], [50, 50, 50]) == 50
    assert score("volume_crps", [0, 0], [50, 50, 50]) == 50


# members and raters


def collected(members: Members) -> MemberVolumes:
    return collect(members, MemberVolumes)[MemberVolumes]


def test_structures_go_by_name_and_may_be_missing():
    """Published code reads the count of one organ for another where labels skip a number, and fails without one."""
    classes = Classes.exclusive_of({"background": 0, "pancreas": 1, "kidney": 3})
    geometry = Geometry((1, 1, 4), np.diag([10.0, 10.0, 10.0, 1.0]))
    labels = [np.array([[row]]) for row in ([1, 3, 3, 3], [1, 1, 0, 0])]
    raters = Members.from_labels(labels, geometry=geometry, classes=classes)
    made = VolumeForecast.of(collected(raters), collected(raters))
    np.testing.assert_allclose(made.raters_ml, [[1, 3], [2, 0]])
    assert made.expected_ml == pytest.approx([1.5, 1.5])
    for entry in VOLUME_FORECAST_SCORES:
        assert np.isfinite(entry.function(made)).all()


@pytest.mark.parametrize("entry", VOLUME_FORECAST_SCORES, ids=lambda entry: entry.name)
@given(seed=st.integers(0, 99))
def test_order_does_not_matter_and_volumes_scale_with_spacing(entry, geometry, classes, seed):
    raters = random_members(geometry, classes, n_members=3, seed=seed, absent=("spleen",))
    members = random_members(geometry, classes, n_members=4, seed=seed + 500, absent=("spleen",))
    values = entry.function(VolumeForecast.of(collected(members), collected(raters)))
    assert np.isnan(values).tolist() == [False, False, True]  # nobody has a spleen
    assert (values[:2] >= 0).all() or entry.name == "volume_crps_fair"
    turned = VolumeForecast.of(collected(reordered(members, [2, 0, 3, 1])), collected(reordered(raters, [1, 2, 0])))
    np.testing.assert_allclose(entry.function(turned), values, rtol=1e-6)
    wider = Geometry(geometry.shape, geometry.affine @ np.diag([2.0, 1.0, 3.0, 1.0]))
    wide = [
        collected(Members.from_arrays([m.probabilities for m in each], geometry=wider, classes=classes))
        for each in (members, raters)
    ]
    np.testing.assert_allclose(entry.function(VolumeForecast.of(*wide)), 6 * values, rtol=1e-6)


def test_other_structures_are_refused(geometry, classes, regions):
    with pytest.raises(ValueError, match="other structures"):
        VolumeForecast.of(collected(random_members(geometry, classes)), collected(random_members(geometry, regions)))
