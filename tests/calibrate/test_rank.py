from fractions import Fraction

import numpy as np
import pytest
from crepes import ConformalRegressor
from scipy import stats

from plausible.calibrate import conformal_quantile, conformal_rank, coverage_band, coverage_range, smallest_n
from plausible.core import InvalidInput


@pytest.mark.parametrize("percent", [1, 2, 5, 10, 20, 25, 30, 50, 90])
def test_rank_is_the_smallest_that_covers(percent):
    alpha = Fraction(percent, 100)
    for n in range(1, 250):
        covering = [k for k in range(1, n + 1) if Fraction(k, n + 1) >= 1 - alpha]
        if covering:
            assert conformal_rank(n, percent / 100) == covering[0]
        else:
            assert n < smallest_n(percent / 100)
            with pytest.raises(InvalidInput, match="E401"):
                conformal_rank(n, percent / 100)


@pytest.mark.parametrize(("alpha", "n"), [(0.2, 4), (0.1, 9), (0.05, 19), (0.01, 99)])
def test_fewest_patients(alpha, n):
    assert smallest_n(alpha) == n
    assert conformal_rank(n, alpha) == n
    assert smallest_n(alpha, tails=2) == 2 * (n + 1) - 1


def test_alpha_is_the_decimal_that_was_meant():
    assert conformal_rank(9, 1 - 0.9) == 9
    assert conformal_rank(99, 0.1 + 0.2) == 70


def test_too_few_patients_are_told_what_is_possible():
    with pytest.raises(InvalidInput) as caught:
        conformal_rank(12, 0.05)
    problem = caught.value.problem
    assert problem.code == "E401"
    assert problem.found.startswith("12 calibration patients")
    assert "at least 19" in problem.expected
    assert "alpha 0.077" in problem.expected
    assert conformal_rank(12, 0.077) == 12
    with pytest.raises(InvalidInput, match="at least 39"):
        conformal_rank(30, 0.05, tails=2)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 1.5])
def test_levels_lie_between_0_and_1(alpha):
    with pytest.raises(ValueError, match="between 0 and 1"):
        conformal_rank(10, alpha)


def test_the_bound_is_one_of_the_scores():
    scores = np.random.default_rng(0).normal(size=(7, 33))
    for alpha in (0.05, 0.1, 0.37):
        bounds = conformal_quantile(scores, alpha)
        assert (np.sort(scores)[:, conformal_rank(33, alpha) - 1] == bounds).all()
    assert conformal_quantile(np.arange(1.0, 10.0), 0.2) == 8  # ConSeMa returns the 9th


def test_every_place_of_the_new_score_counts_once():
    """Exact coverage: put the new score at each of its n + 1 places among the others."""
    for n, alpha in ((4, 0.2), (11, 0.1), (20, 0.13)):
        every = np.arange(n + 1.0)
        held = [every[new] <= conformal_quantile(np.delete(every, new), alpha) for new in range(n + 1)]
        assert 1 - alpha - 1e-12 <= np.mean(held) < 1 - alpha + 1 / (n + 1)


def test_crepes_agrees():
    residuals = np.random.default_rng(1).exponential(size=57)
    for alpha in (0.05, 0.1, 0.2):
        theirs = ConformalRegressor().fit(residuals).predict_int(np.zeros(1), confidence=1 - alpha)
        assert theirs[0, 1] == conformal_quantile(residuals, alpha)


def test_trivial_answer_only_when_asked():
    assert conformal_quantile(np.zeros(5), 0.1, if_infeasible="trivial") == np.inf
    assert conformal_quantile(np.zeros(9), 0.1, if_infeasible="trivial") == 0


def test_coverage_of_one_calibration_set():
    low, high = coverage_range(50, 0.1)
    law = stats.beta(46, 5)
    assert law.mean() == pytest.approx(0.90196, abs=1e-5)
    assert law.std() == pytest.approx(0.0412, abs=1e-4)
    assert law.cdf(high) - law.cdf(low) == pytest.approx(0.9)
    assert (round(low, 2), round(high, 2)) == (0.83, 0.96)


def test_coverage_follows_the_beta_binomial_law():
    """Twenty thousand cohorts: 50 patients to calibrate on, 100 new ones."""
    n, n_new, alpha = 50, 100, 0.1
    scores = np.random.default_rng(2).random((20_000, n + n_new))
    covered = (scores[:, n:] <= conformal_quantile(scores[:, :n], alpha)[:, np.newaxis]).mean(axis=1)
    law = stats.betabinom(n_new, 46, 5)
    assert covered.mean() == pytest.approx(46 / 51, abs=4 * law.std() / n_new / np.sqrt(len(covered)))
    assert covered.std() == pytest.approx(law.std() / n_new, rel=0.03)
    low, high = coverage_band(n, n_new, alpha)
    share = np.mean((covered >= low) & (covered <= high))
    assert 0.95 <= share <= 0.97


@pytest.mark.parametrize("n", [5, 10, 25])
def test_clipped_and_interpolated_ranks_break_the_promise(n):
    """What several published implementations do; ours refuses n = 5 and keeps the promise at 10 and 25."""
    alpha = 0.1
    scores = np.random.default_rng(3).random((40_000, n + 1))
    clipped = np.sort(scores[:, :n])[:, min(n, int(np.ceil((n + 1) * (1 - alpha)))) - 1]
    interpolated = np.quantile(scores[:, :n], 1 - alpha, axis=1)
    held = [np.mean(scores[:, n] <= bound) for bound in (clipped, interpolated)]
    assert held[1] < 1 - alpha - 0.02
    if n == 5:
        assert held[0] == pytest.approx(5 / 6, abs=0.01)
        with pytest.raises(InvalidInput, match="E401"):
            conformal_quantile(scores[:, :n], alpha)
    else:
        ours = np.mean(scores[:, n] <= conformal_quantile(scores[:, :n], alpha))
        assert 1 - alpha - 0.006 <= ours <= 1 - alpha + 1 / (n + 1) + 0.006


def test_pooled_voxels_break_the_promise():
    """Distances of 400 voxels in each of 20 patients who differ: voxels as units hold too few."""
    rng = np.random.default_rng(4)
    n, alpha = 20, 0.1
    size = rng.lognormal(sigma=0.8, size=(1500, n + 1, 1))
    distances = (size * rng.random((1500, n + 1, 400))).astype(np.float32)
    of_patient = np.sort(distances, axis=2)[:, :, 379]  # holds 95 % of the voxels
    pooled = np.quantile(distances[:, :n].reshape(1500, -1), 0.95, axis=1)
    ours = conformal_quantile(of_patient[:, :n].astype(np.float64), alpha)
    assert np.mean(of_patient[:, n] <= pooled) < 0.87
    assert 0.9 - 0.03 <= np.mean(of_patient[:, n] <= ours) <= 0.9 + 1 / 21 + 0.03
