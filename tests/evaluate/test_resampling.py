"""The fast areas are the plain ones, draw by draw, and so are their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.evaluate import (
    acquisition,
    acquisition_gain,
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    area_under_roc,
    bootstrap_statistic,
    bootstrap_weighted,
    excess_area_under_risk_coverage,
    normalized_area_under_risk_coverage,
    risk_coverage,
    weighted_acquisition_gain,
    weighted_augrc,
    weighted_aurc,
    weighted_auroc,
    weighted_excess_aurc,
    weighted_naurc,
)
from plausible.evaluate.detection import detection

PAIRS = {
    "aurc": (weighted_aurc, lambda a, b: area_under_risk_coverage(risk_coverage(a, b))),
    "naurc": (weighted_naurc, lambda a, b: normalized_area_under_risk_coverage(risk_coverage(a, b))),
    "e-aurc": (weighted_excess_aurc, lambda a, b: excess_area_under_risk_coverage(risk_coverage(a, b))),
    "augrc": (weighted_augrc, lambda a, b: area_under_generalized_risk_coverage(risk_coverage(a, b))),
    "auroc": (weighted_auroc, lambda a, b: area_under_roc(detection(a, b > 0))),
    "gain": (weighted_acquisition_gain, lambda a, b: acquisition_gain(acquisition(a, b))),
}


@given(st.data(), st.integers(2, 9))
@pytest.mark.parametrize("name", PAIRS)
def test_a_weighted_area_is_that_of_the_drawn_sample(name, data, n):
    fast, plain = PAIRS[name]
    first = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=n, max_size=n)))
    second = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=n, max_size=n)))
    if name != "auroc":
        second = second * 0.25 + 0.5 * (np.arange(n) % 3)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    times[data.draw(st.integers(0, n - 1))] += 1
    drawn = np.repeat(np.arange(n), times)
    found = fast(first, second)(times[np.newaxis].astype(float))
    np.testing.assert_allclose(found[0], plain(first[drawn], second[drawn]), atol=1e-12)


@pytest.mark.parametrize("clusters", [None, [n // 2 for n in range(24)]])
@pytest.mark.parametrize("name", PAIRS)
def test_the_interval_is_the_same(name, clusters):
    fast, plain = PAIRS[name]
    rng = np.random.default_rng(0)
    second = rng.random(24)
    first = second + 0.3 * rng.standard_normal(24)
    first[[3, 7]] = np.nan
    if name == "auroc":
        second = (second > 0.5).astype(float)
    told = {"seed": 1, "n_resamples": 300, "clusters": clusters}
    ours, theirs = bootstrap_weighted(fast, first, second, **told), bootstrap_statistic(plain, first, second, **told)
    assert (ours.n, ours.n_undefined) == (theirs.n, theirs.n_undefined)
    assert ours.value == pytest.approx(theirs.value, abs=1e-12)
    # draws that equal the value but for the last digit move the corrected levels by one draw
    np.testing.assert_allclose([ours.low, ours.high], [theirs.low, theirs.high], atol=5e-3)
