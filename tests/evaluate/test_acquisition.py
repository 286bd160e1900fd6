import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.evaluate import ACQUISITION_SCORES, acquisition, acquisition_gain, worst_cases_found

RISKS = np.array([0.4, 0.3, 0.2, 0.1])


def test_worst_first_is_perfect_and_its_reverse_is_as_far_below_chance():
    assert acquisition_gain(acquisition(RISKS, RISKS)) == pytest.approx(1)
    assert acquisition_gain(acquisition(-RISKS, RISKS)) == pytest.approx(-1)


def test_the_curve_by_hand():
    cases = acquisition(np.array([3.0, 1.0, 2.0, 0.0]), RISKS)  # sent: .4, .2, .3, .1
    np.testing.assert_allclose(cases.share_found, [0, 0.4, 0.6, 0.9, 1])
    np.testing.assert_allclose(cases.share_sent, [0, 0.25, 0.5, 0.75, 1])
    area, best = (0.2 + 0.5 + 0.75 + 0.95) / 4, (0.2 + 0.55 + 0.8 + 0.95) / 4
    assert acquisition_gain(cases) == pytest.approx((area - 0.5) / (best - 0.5))


def test_an_uncertainty_that_is_the_same_everywhere_is_chance_in_any_order_of_files():
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        cases = acquisition(np.ones(4), RISKS[order])
        assert acquisition_gain(cases) == pytest.approx(0, abs=1e-12)
        assert worst_cases_found(cases) == pytest.approx(1 / 4)


def test_worst_cases_with_ties_count_in_part():
    risk = np.array([0.5, 0.5, 0.1, 0.1, 0.1])  # k = 1: each of the two worst counts one half
    assert worst_cases_found(acquisition(np.array([9.0, 1.0, 2.0, 3.0, 4.0]), risk)) == pytest.approx(0.5)
    assert worst_cases_found(acquisition(np.array([9.0, 9.0, 2.0, 3.0, 4.0]), risk)) == pytest.approx(0.5)
    assert worst_cases_found(acquisition(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), risk)) == 0


@pytest.mark.parametrize("entry", ACQUISITION_SCORES, ids=lambda entry: entry.name)
def test_nothing_to_find_is_undefined(entry):
    for risk in (np.array([]), np.zeros(3), np.full(3, 0.3)):
        assert math.isnan(entry.function(acquisition(np.arange(len(risk), dtype=float), risk)))


def test_undefined_cases_are_left_out_and_counted():
    cases = acquisition(np.array([1.0, np.nan, 2.0]), np.array([0.1, 0.2, np.nan]))
    assert (cases.n, cases.n_undefined) == (1, 2)


def test_a_negative_risk_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        acquisition(np.array([1.0]), np.array([-0.1]))


@given(st.data(), st.integers(2, 12))
@pytest.mark.parametrize("entry", ACQUISITION_SCORES, ids=lambda entry: entry.name)
def test_the_order_of_cases_and_the_scale_of_the_uncertainty_do_not_matter(entry, data, n):
    risk = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.9]), min_size=n, max_size=n)))
    unsure = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=n, max_size=n)))
    order = np.array(data.draw(st.permutations(range(n))))
    value = entry.function(acquisition(unsure, risk))
    np.testing.assert_allclose(entry.function(acquisition(unsure[order], risk[order])), value, atol=1e-12)
    np.testing.assert_allclose(entry.function(acquisition(np.exp(unsure), risk)), value, atol=1e-12)
    if not math.isnan(value):
        assert value <= entry.function(acquisition(risk, risk)) + 1e-12
