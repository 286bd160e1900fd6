"""Intervals that admit few members: their coverage is a theorem, so it is tested as one."""

import math

import numpy as np
import pytest

from plausible.dose.spread import interval_method, metric_spread, prediction_interval


def covered(draw, *, m, level, n=20_000):
    values = draw((m + 1, n))
    low, high = prediction_interval(values[:m], level=level)
    return float(((low <= values[m]) & (values[m] <= high)).mean())


@pytest.mark.parametrize("m", [2, 3, 5, 10, 18])
def test_student_covers_a_further_member_where_the_metric_is_normal(m):
    rng = np.random.default_rng(m)
    assert interval_method(m, level=0.9) == "Student"
    assert covered(lambda shape: rng.normal(30.0, 2.0, shape), m=m, level=0.9) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(("m", "level"), [(3, 0.5), (7, 0.5), (19, 0.9), (39, 0.9)])
def test_order_statistics_cover_a_further_member_whatever_the_distribution(m, level):
    rng = np.random.default_rng(m)
    assert interval_method(m, level=level) == "order statistics"
    assert covered(lambda shape: rng.exponential(2.0, shape), m=m, level=level) == pytest.approx(level, abs=0.01)


def test_the_plain_range_of_five_members_is_too_narrow():
    """What the correction is for: 63 % of the true width, and a coverage far from 90 %."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.0, 1.0, (6, 20_000))
    low, high = np.quantile(values[:5], (0.05, 0.95), axis=0)
    assert (high - low).mean() / (2 * 1.6449) == pytest.approx(0.63, abs=0.01)
    assert ((low <= values[5]) & (values[5] <= high)).mean() < 0.65


def test_width_for_five_members():
    """t(0.95, 4) c4(5) sqrt(6/5) / z(0.95) = 2.1318 x 0.9400 x 1.0954 / 1.6449 of the true width."""
    rng = np.random.default_rng(1)
    low, high = prediction_interval(rng.normal(0.0, 1.0, (5, 20_000)), level=0.9)
    assert (high - low).mean() / (2 * 1.6449) == pytest.approx(2.1318 * 0.94 * 1.0954 / 1.6449, abs=0.01)


def test_one_member_has_no_interval():
    found = metric_spread(np.array([12.0]))
    assert (found.median, found.mean, found.n) == (12.0, 12.0, 1)
    assert math.isnan(found.sd)
    assert all(math.isnan(end) for end in found.interval_90)
    assert found.method_90 == "none"


def test_no_member_is_undefined():
    found = metric_spread(np.array([math.nan, math.nan]))
    assert (found.n, found.n_undefined) == (0, 2)
    assert math.isnan(found.median)


def test_by_hand():
    found = metric_spread(np.array([10.0, 14.0, 12.0]))
    assert (found.median, found.mean, found.sd) == (12.0, 12.0, 2.0)
    assert found.interval_50 == (10.0, 14.0)  # ranks (3 + 1)/4 and 3 (3 + 1)/4
    reach = 2.919986 * 2 * math.sqrt(1 + 1 / 3)  # t(0.95, 2)
    assert found.interval_90 == pytest.approx((12 - reach, 12 + reach))


def test_ends_stay_possible():
    found = metric_spread(np.array([0.0, 90.0, 100.0]), upper=100.0)
    assert found.interval_90 == (0.0, 100.0)


def test_equal_members_have_no_width():
    for m in (2, 5, 25):
        found = metric_spread(np.full(m, 33.0))
        assert found.interval_50 == found.interval_90 == (33.0, 33.0)
        assert found.sd == 0


def test_scaling_and_order():
    values = np.array([10.0, 14.0, 12.0, 9.0, 17.0])
    one, other = metric_spread(values), metric_spread(values[::-1] * 2)
    assert other.sd == pytest.approx(2 * one.sd)
    assert other.interval_90 == pytest.approx((2 * one.interval_90[0], 2 * one.interval_90[1]))
