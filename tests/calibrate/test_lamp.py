import numpy as np
import pytest
from scipy import integrate, stats

from plausible.calibrate import MARTINGALES, conformal_p_values, fit_lamp, online_p_values
from plausible.core import InvalidInput

from .cohorts import WHO, row, rows

REPEATS, N, M = 3000, 50, 60


def test_conformal_p_values_by_hand():
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(conformal_p_values(scores, np.array([5.0, 4.0, 2.5, 0.0])), [0.2, 0.4, 0.6, 1.0])


def test_online_p_values_are_uniform_and_independent_even_with_ties():
    rng = np.random.default_rng(0)
    for scores in (rng.normal(size=(REPEATS, N + 5)), rng.integers(0, 3, (REPEATS, N + 5)).astype(float)):
        p = online_p_values(scores[:, :N], scores[:, N:], seed=1)
        for turn in range(5):
            assert stats.kstest(p[:, turn], "uniform").pvalue > 0.001
        correlation = np.corrcoef(p.T)[np.triu_indices(5, 1)]
        assert np.abs(correlation).max() < 4 / np.sqrt(REPEATS)


@pytest.mark.parametrize("entry", MARTINGALES, ids=lambda entry: entry.name)
def test_the_martingale_rings_with_probability_alpha_at_most(entry):
    """Ville: however long one watches, the chance that it ever exceeds 1/alpha is at most alpha."""
    scores = np.random.default_rng(2).normal(size=(REPEATS, N + M))
    path = entry.function(online_p_values(scores[:, :N], scores[:, N:], seed=3))
    for alpha in (0.05, 0.1, 0.3):
        assert np.mean(path.max(axis=1) >= np.log10(1 / alpha)) <= alpha + 4 * 0.3 / np.sqrt(REPEATS)


@pytest.mark.parametrize("entry", MARTINGALES, ids=lambda entry: entry.name)
def test_the_bets_are_fair(entry):
    """Whatever came before, the expected capital after one more uniform p-value is the capital now."""

    def capital(u: float, before: list[float]) -> float:
        return 20 * u**19 * 10 ** float(entry.function(np.array([*before, u**20]))[-1])  # p = u^20 tames the pole at 0

    for before in ([], [0.3], [0.01, 0.8, 0.5]):
        now = 10 ** float(entry.function(np.array(before))[-1]) if before else 1.0
        assert integrate.quad(capital, 0, 1, args=(before,))[0] == pytest.approx(now, rel=1e-6)


@pytest.mark.parametrize("entry", MARTINGALES, ids=lambda entry: entry.name)
def test_the_martingale_sees_a_drift(entry):
    scores = np.random.default_rng(5).normal(size=(400, 100 + M))
    scores[:, 100:] += 1.5
    path = entry.function(online_p_values(scores[:, :100], scores[:, 100:], seed=6))
    assert np.mean(path.max(axis=1) >= np.log10(20)) > 0.9


def test_martingales_by_hand():
    jumper, power = (entry.function(np.array([0.5, 0.1])) for entry in MARTINGALES)
    # three gamblers of 1/3 each: nobody wins at .5; at .1 they hold 1.4, 1, .6 times a third
    assert jumper == pytest.approx([0, 0], abs=1e-12)
    epsilons = np.linspace(0.05, 1, 20)
    first = np.mean(epsilons * 0.5 ** (epsilons - 1))
    both = np.mean(epsilons**2 * 0.05 ** (epsilons - 1))
    assert power == pytest.approx(np.log10([first, both]))


def test_testing_p_values_for_uniformity_as_if_independent_cries_wolf():
    """60 new cases against 50 calibration patients: the plain test rings far too often, the lamp's does not."""
    scores = np.random.default_rng(7).normal(size=(400, N + M))
    p = conformal_p_values(scores[:, :N], scores[:, N:])
    naive = [stats.kstest(one, "uniform").pvalue <= 0.1 for one in p]
    ours = [stats.ks_2samp(one[:N], one[N:]).pvalue <= 0.1 for one in scores]
    assert np.mean(naive) > 0.2
    assert np.mean(ours) <= 0.1 + 4 * 0.3 / np.sqrt(400)


def test_lamp_lights_and_stays_dark():
    rng = np.random.default_rng(8)
    fitted = fit_lamp(rows(rng.normal(size=80), "entropy"), alpha=0.1, seed=0, **WHO)
    same = fitted.apply(rows(rng.normal(size=40), "entropy", first=100))
    assert not same.in_doubt
    assert "give no sign" in same.reason
    assert (same.first_alarm, same.n_new, len(same.path)) == ("", 40, 40)
    other = fitted.apply(rows(rng.normal(1.5, size=40), "entropy", first=100))
    assert other.in_doubt
    assert other.martingale > 20
    assert other.drift_p_value < 0.001
    assert other.first_alarm.startswith("p01")
    assert "do not look like" in other.reason


def test_lamp_rings_falsely_with_probability_alpha_at_most():
    rng = np.random.default_rng(9)
    lit = []
    for seed in range(250):
        fitted = fit_lamp(rows(rng.normal(size=30), "entropy"), alpha=0.2, seed=seed, **WHO)
        lit.append(fitted.apply(rows(rng.normal(size=20), "entropy", first=100)).in_doubt)
    assert np.mean(lit) <= 0.2 + 4 * 0.4 / np.sqrt(250)


def test_undefined_scores_are_left_out_and_counted():
    fitted = fit_lamp(rows(np.arange(30.0), "entropy"), alpha=0.1, seed=0, **WHO)
    reading = fitted.apply(rows([np.nan, 12.0, np.nan], "entropy", first=100))
    assert reading.n_new == 1
    nothing = fitted.apply(rows([np.nan], "entropy", first=100))
    assert (nothing.in_doubt, nothing.martingale, nothing.path) == (False, 1.0, ())


def test_rows_that_do_not_fit_are_refused():
    fitted = fit_lamp(rows(np.arange(30.0), "entropy"), alpha=0.1, seed=0, **WHO)
    for wrong in ([], [row(1.0, "dice")], [row(1.0, "entropy"), row(1.0, "entropy", structure="kidney")]):
        with pytest.raises(ValueError, match="lamp watches"):
            fitted.apply(wrong)
    with pytest.raises(ValueError, match="several times"):
        fitted.apply([row(1.0, "entropy"), row(2.0, "entropy")])
    with pytest.raises(InvalidInput, match="E402"):
        fitted.apply([row(1.0, "entropy", subject="p0003")])
    with pytest.raises(ValueError, match="no martingale"):
        fit_lamp(rows(np.arange(30.0), "entropy"), alpha=0.1, seed=0, bet="roulette", **WHO)
