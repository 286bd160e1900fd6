import itertools

import numpy as np
import pytest
from mapie.risk_control.fwer_control import FWERBonferroniCorrection, FWERFixedSequenceTesting
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
from scipy import stats

from plausible.calibrate import P_VALUES, betting, binomial, certified, hoeffding_bentkus
from plausible.calibrate.testing import check_enough, smallest_n_certified
from plausible.core import InvalidInput


def test_known_values():
    losses = np.zeros(100)
    losses[:5] = 1
    assert hoeffding_bentkus(losses, alpha=0.1, delta=0.1) == pytest.approx(0.1565, abs=5e-5)
    assert binomial(losses, alpha=0.1, delta=0.1) == pytest.approx(stats.binom.cdf(5, 100, 0.1))
    assert hoeffding_bentkus(np.zeros(22), alpha=0.1, delta=0.1) == pytest.approx(0.9**22)
    assert hoeffding_bentkus(np.ones(22), alpha=0.1, delta=0.1) == 1


def test_fewest_patients_without_loss():
    assert smallest_n_certified(0.1, delta=0.1) == 22
    for alpha, delta in itertools.product((0.05, 0.1, 0.2), (0.05, 0.1)):
        n = smallest_n_certified(alpha, delta=delta)
        assert hoeffding_bentkus(np.zeros(n), alpha=alpha, delta=delta) <= delta
        assert binomial(np.zeros(n - 1), alpha=alpha, delta=delta) > delta
    with pytest.raises(InvalidInput) as caught:
        check_enough(21, alpha=0.1, delta=0.1)
    assert "at least 22" in caught.value.problem.expected
    assert "alpha 0.1039 at best" in caught.value.problem.expected
    check_enough(22, alpha=0.1, delta=0.1)
    with pytest.raises(InvalidInput, match="at least 44"):
        check_enough(22, alpha=0.1, delta=0.1, settings=10)


def test_mapie_agrees():
    losses = np.random.default_rng(0).beta(0.3, 3, size=(50, 80))
    theirs = compute_hoeffding_bentkus_p_value(losses.mean(axis=1), 80, 0.15)[:, 0]
    ours = hoeffding_bentkus(losses, alpha=0.15, delta=0.1)
    np.testing.assert_allclose(ours, np.minimum(theirs, 1), rtol=1e-9)


def laws(n_repeats: int, n: int, alpha: float):
    """Losses whose mean is alpha exactly: the hardest of the wrong settings."""
    rng = np.random.default_rng(1)
    yield "binary", (rng.random((n_repeats, n)) < alpha).astype(float)
    yield "narrow", rng.beta(50 * alpha, 50 * (1 - alpha), size=(n_repeats, n))
    yield "wide", rng.beta(alpha, 1 - alpha, size=(n_repeats, n))
    yield "jumps", np.where(rng.random((n_repeats, n)) < 2 * alpha, rng.random((n_repeats, n)), 0)


@pytest.mark.parametrize("entry", P_VALUES, ids=lambda entry: entry.name)
@pytest.mark.parametrize(("n", "alpha"), [(30, 0.1), (100, 0.2)])
def test_a_wrong_setting_is_certified_with_probability_delta_at_most(entry, n, alpha):
    for name, losses in laws(4000, n, alpha):
        if entry.name == "binomial" and name != "binary":
            continue
        for delta in (0.05, 0.1, 0.3):
            wrong = np.mean(entry.function(losses, alpha=alpha, delta=delta) <= delta)
            assert wrong <= delta + 4 * np.sqrt(delta / 4000), (name, delta)


def test_betting_certifies_losses_that_vary_little_sooner():
    losses = np.random.default_rng(2).beta(5, 95, size=(500, 60))  # mean 0.05, hardly varying
    for delta in (0.1,):
        sooner = np.mean(betting(losses, alpha=0.1, delta=delta) <= delta)
        later = np.mean(hoeffding_bentkus(losses, alpha=0.1, delta=delta) <= delta)
        assert sooner > 0.95
        assert later < 0.5


def test_bets_are_made_before_the_patient_is_seen():
    """The wealth of one gambler, patient after patient; the stake on a patient knows only those before."""
    losses = np.random.default_rng(8).beta(1, 9, size=25)
    alpha, delta, n = 0.2, 0.05, 25
    wealth, best, total, squares, stake_of = 1.0, 1.0, 0.0, 0.0, 0.25
    for seen, loss in enumerate(losses, start=1):
        wealth *= 1 - min(1, np.sqrt(2 * np.log(1 / delta) / (n * stake_of))) * (loss - alpha)
        best = max(best, wealth)
        total += loss
        squares += (loss - (0.5 + total) / (seen + 1)) ** 2
        stake_of = (0.25 + squares) / (seen + 1)
    assert betting(losses, alpha=alpha, delta=delta) == pytest.approx(1 / best)


def test_binomial_is_for_losses_0_or_1():
    with pytest.raises(ValueError, match="losses 0 or 1"):
        binomial(np.array([0.0, 0.5]), alpha=0.1, delta=0.1)


def test_corrections_by_hand():
    p = np.array([0.03, 0.04, 0.2, 0.001])
    assert certified(p, delta=0.1, correction="fixed_sequence").tolist() == [True, True, False, False]
    assert certified(p, delta=0.1, correction="bonferroni").tolist() == [False, False, False, True]
    # parts of 0.025: 0.03 fails; 0.04 fails at 0.025; 0.2 fails; 0.001 passes at 0.025
    assert certified(p, delta=0.1, correction="fallback").tolist() == [False, False, False, True]
    # 0.02 passes at 0.025, 0.045 at 0.05, 0.07 at 0.075, 0.099 at 0.1
    assert certified(np.array([0.02, 0.045, 0.07, 0.099]), delta=0.1, correction="fallback").all()


def test_mapie_corrections_agree():
    rng = np.random.default_rng(3)
    for _ in range(200):
        p = rng.random(8) ** 3
        for ours, theirs in (
            ("fixed_sequence", FWERFixedSequenceTesting(n_starts=1)),
            ("bonferroni", FWERBonferroniCorrection()),
        ):
            passed = np.flatnonzero(certified(p, delta=0.1, correction=ours))
            assert passed.tolist() == sorted(np.asarray(theirs.run(p, 0.1)).tolist())


@pytest.mark.parametrize("correction", ["fixed_sequence", "fallback", "bonferroni"])
def test_corrections_keep_the_chance_of_one_wrong_certificate(correction):
    """Ten settings, every second one wrong, with p-values that all hang together."""
    rng = np.random.default_rng(4)
    shared, own = rng.normal(size=(20_000, 1)), rng.normal(size=(20_000, 10))
    for weight in (0.0, 0.7, 1.0):
        p = stats.norm.cdf(weight * shared + np.sqrt(1 - weight**2) * own)
        p[:, ::2] **= 6  # settings that are right
        passed = certified(p, delta=0.1, correction=correction)
        assert passed[:, 1::2].any(axis=1).mean() <= 0.1 + 4 * 0.3 / np.sqrt(20_000)


def test_uncorrected_tests_certify_wrong_settings():
    p = np.random.default_rng(5).random((5000, 20))
    assert np.mean((p <= 0.1).any(axis=1)) > 0.8
    assert np.mean(certified(p, delta=0.1, correction="bonferroni").any(axis=1)) <= 0.12
