import numpy as np
import pytest
from scipy import stats

from plausible.calibrate import (
    conformal_quantile,
    effective_sample_size,
    estimate_weights,
    fit_weighted_bound,
    group_weights,
    weighted_quantile,
)
from plausible.core import InvalidInput

from .cohorts import WHO, rows

SETTINGS = {"alpha": 0.2, "side": "upper", "absent": "exclude", **WHO}


def shifted(n: int, *, repeats: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Covariate N(0,1) in calibration, N(1,1) for the last, new one; errors grow with it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(repeats, n + 1))
    x[:, n] += 1
    return x, np.exp(x) * rng.exponential(size=x.shape)


def test_equal_weights_are_split_conformal():
    scores = np.random.default_rng(1).normal(size=(50, 37))
    for alpha in (0.05, 0.1, 0.3):
        weighted = weighted_quantile(scores, np.full_like(scores, 3.0), new_weight=3.0, alpha=alpha)
        np.testing.assert_array_equal(weighted, conformal_quantile(scores, alpha))


def test_by_hand():
    """Weights 1 2 3 of scores 10 20 30, and 2 for the new patient: 8 in all."""
    scores, weights = np.array([30.0, 10.0, 20.0]), np.array([3.0, 1.0, 2.0])
    for alpha, bound in ((0.25, 30), (0.6, 30), (0.63, 20), (0.9, 10), (0.2, np.inf)):
        assert weighted_quantile(scores, weights, new_weight=2.0, alpha=alpha) == bound
    assert effective_sample_size(weights) == pytest.approx(36 / 14)
    assert effective_sample_size(np.full(7, 0.3)) == pytest.approx(7)


def test_a_known_shift_is_mended():
    n, alpha, repeats = 300, 0.1, 4000
    x, scores = shifted(n, repeats=repeats)
    weights = np.exp(x - 0.5)  # N(1,1) by N(0,1)
    bound = weighted_quantile(scores[:, :n], weights[:, :n], new_weight=weights[:, n], alpha=alpha)
    held = np.mean(scores[:, n] <= bound)
    naive = np.mean(scores[:, n] <= conformal_quantile(scores[:, :n], alpha))
    assert naive < 0.75
    assert 0.9 - 4 * 0.3 / np.sqrt(repeats) <= held <= 0.95


def test_estimated_weights_come_close():
    rng = np.random.default_rng(2)
    calibration, new = rng.normal(size=(4000, 2)), rng.normal([1, 0], size=(4000, 2))
    ours, theirs = estimate_weights(calibration, new)
    exact = np.exp(calibration[:, 0] - 0.5)
    assert np.corrcoef(np.log(ours), np.log(exact))[0, 1] > 0.99
    assert np.mean(ours) == pytest.approx(1, abs=0.1)
    assert np.mean(theirs) == pytest.approx(np.exp(1), rel=0.15)
    apart, _ = estimate_weights(calibration, new + 50)
    assert np.isfinite(apart).all()


def test_group_weights_by_hand():
    site = {f"p{n}": "A" if n < 8 else "B" for n in range(10)}
    weights = group_weights(site, new_shares={"A": 0.4, "B": 0.6})
    assert weights == {"A": pytest.approx(0.5), "B": pytest.approx(3.0)}
    with pytest.raises(ValueError, match="no calibration patients in C"):
        group_weights(site, new_shares={"C": 1.0})


def test_a_new_mix_of_sites_is_covered():
    rng = np.random.default_rng(3)
    hard = rng.random((6000, 101)) < 0.2
    hard[:, 100] = rng.random(6000) < 0.7
    scores = np.where(hard, 5, 1) * rng.exponential(size=hard.shape)
    weights = np.where(hard, 0.7 / 0.2, 0.3 / 0.8)
    bound = weighted_quantile(scores[:, :100], weights[:, :100], new_weight=weights[:, 100], alpha=0.2)
    naive = conformal_quantile(scores[:, :100], 0.2)
    assert np.mean(scores[:, 100] <= naive) < 0.65
    assert 0.8 - 0.02 <= np.mean(scores[:, 100] <= bound) <= 0.85


def test_record_says_how_many_patients_are_left():
    measured = rows(np.arange(1.0, 21.0), "hd95", unit="mm")
    weights = {r.subject: 1.0 + 9 * (n == 0) for n, r in enumerate(measured)}
    fitted = fit_weighted_bound(measured, weights=weights, **SETTINGS)
    assert fitted.effective_n == pytest.approx(29**2 / 119)
    assert "they leave 7.1 of 20 patients" in fitted.guarantee.statement
    assert fitted.apply("new", weight=1.0) == 15  # 10 + 14 of 30
    assert fitted.apply("new", weight=5.0) == 19  # 10 + 18 of 34
    with pytest.raises(InvalidInput, match="E401"):
        fitted.apply("new", weight=10.0)
    lower = fit_weighted_bound(measured, weights=dict.fromkeys(weights, 1.0), **{**SETTINGS, "side": "lower"})
    assert lower.apply("new", weight=1.0) == 4


def test_weights_must_be_told():
    measured = rows(np.arange(1.0, 21.0), "hd95", unit="mm")
    weights = {r.subject: 1.0 for r in measured}
    for wrong in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="finite and above 0"):
            fit_weighted_bound(measured, weights={**weights, "p0000": wrong}, **SETTINGS)
    del weights["p0003"]
    with pytest.raises(ValueError, match="no weight: p0003"):
        fit_weighted_bound(measured, weights=weights, **SETTINGS)
    with pytest.raises(InvalidInput, match="E401"):
        fit_weighted_bound(measured[:3], weights=weights, **SETTINGS)


def test_effective_size_predicts_the_spread_of_coverage():
    """Coverage of one calibration set scatters as if it had the effective number of patients, not n."""
    x, scores = shifted(400, repeats=600, seed=4)
    weights = np.exp(x - 0.5)
    bound = weighted_quantile(scores[:, :400], weights[:, :400], new_weight=1.0, alpha=0.2)
    rng = np.random.default_rng(5)
    new = np.sort(np.exp(rng.normal(1, 1, 200_000)) * rng.exponential(size=200_000))
    coverage = np.searchsorted(new, bound) / len(new)
    effective = np.mean([effective_sample_size(w) for w in weights[:, :400]])
    assert effective < 250
    assert np.std(coverage) > 1.2 * stats.beta(321, 80).std()
    assert np.std(coverage) == pytest.approx(np.sqrt(0.8 * 0.2 / effective), rel=0.5)
