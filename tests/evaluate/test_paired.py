"""Paired tests, effect sizes and corrections: closed forms, scipy, and p that are uniform under the null hypothesis."""

import math

import numpy as np
import pytest
from scipy import stats

from plausible.evaluate import (
    benjamini_hochberg,
    cohens_d,
    holm,
    probability_of_superiority,
    rank_biserial,
    sign_flip_test,
)

RNG = np.random.default_rng(11)
FEW = RNG.normal(0.3, 1, 9)
MANY = RNG.normal(0.2, 1, 60)
P = np.array([0.01, 0.04, 0.03, 0.005, 0.5])


def theirs(differences, **more) -> float:
    found = stats.permutation_test(
        (differences, np.zeros_like(differences)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        **more,
    )
    return float(found.pvalue)


@pytest.mark.parametrize("differences", [FEW, FEW[:2], FEW - 0.9 * FEW.mean(), np.round(FEW, 0), -FEW])
def test_scipy_agrees_where_all_signs_are_gone_through(differences):
    assert sign_flip_test(differences, seed=0) == pytest.approx(min(1.0, theirs(differences, n_resamples=np.inf)))


def test_scipy_agrees_within_the_noise_where_signs_are_drawn():
    other = theirs(MANY, n_resamples=20_000, rng=np.random.default_rng(4))
    assert sign_flip_test(MANY, seed=0, n_permutations=20_000) == pytest.approx(other, abs=0.02)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_a_constant_difference_is_as_rare_as_all_signs_equal(n):
    assert sign_flip_test(np.full(n, 0.1), seed=0) == 2 / 2**n


def test_drawn_signs_never_give_a_p_of_0_and_depend_on_the_seed_only():
    assert sign_flip_test(np.full(40, 0.1), seed=0, n_permutations=999) == 1 / 1000
    ps = [sign_flip_test(MANY, seed=seed, n_permutations=999) for seed in (1, 1, 2)]
    assert ps[0] == ps[1] != ps[2]


def test_p_is_uniform_when_there_is_no_difference():
    null = np.random.default_rng(3).normal(size=(400, 25))
    ps = [sign_flip_test(one, seed=7, n_permutations=400) for one in null]
    assert stats.kstest(ps, "uniform").pvalue > 0.01
    assert np.mean(np.array(ps) <= 0.1) == pytest.approx(0.1, abs=0.045)


def test_cases_of_a_patient_turn_together():
    copied, names = np.repeat(FEW, 3), np.repeat(np.arange(9), 3).tolist()
    assert sign_flip_test(copied, seed=0, clusters=names) == sign_flip_test(FEW, seed=0)
    assert sign_flip_test(copied, seed=0) < sign_flip_test(FEW, seed=0)
    null = np.random.default_rng(3).normal(size=(200, 12))
    ps = [sign_flip_test(np.repeat(one, 4), seed=1, clusters=np.repeat(np.arange(12), 4).tolist()) for one in null]
    assert np.mean(np.array(ps) <= 0.1) == pytest.approx(0.1, abs=0.065)
    with pytest.raises(ValueError, match="clusters for"):
        sign_flip_test(FEW, seed=0, clusters=["a"])


def test_nothing_and_zeros():
    assert math.isnan(sign_flip_test(np.array([np.nan]), seed=0))
    assert sign_flip_test(np.zeros(30), seed=0) == 1
    with_zeros = np.append(FEW, np.zeros(30))
    assert sign_flip_test(with_zeros, seed=0) == sign_flip_test(FEW, seed=0)
    for effect in (cohens_d, rank_biserial):
        assert math.isnan(effect(np.zeros(4)))
        assert math.isnan(effect(np.array([])))
    assert probability_of_superiority(np.zeros(4)) == 0.5
    assert math.isnan(probability_of_superiority(np.array([])))


def test_effect_sizes_by_hand():
    differences = np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    assert cohens_d(differences) == pytest.approx(2.5 / math.sqrt((2.25 + 0.25 + 0.25 + 2.25) / 3))
    assert math.isnan(cohens_d(np.full(5, 0.8 - 0.7)))
    assert math.isnan(cohens_d(np.array([0.1 + 0.2, 0.3, 0.3])))
    assert rank_biserial(differences) == 1
    assert rank_biserial(np.array([-1.0, 2.0, -3.0, 0.0])) == pytest.approx((2 - 1 - 3) / 6)
    assert rank_biserial(np.array([1.0, -1.0, 2.0])) == pytest.approx((1.5 - 1.5 + 3) / 6)
    assert probability_of_superiority(np.array([-1.0, 2.0, 0.0, 5.0])) == 2.5 / 4


def test_rank_biserial_is_wilcoxons_statistic_as_a_share():
    smaller = stats.wilcoxon(MANY).statistic
    assert abs(rank_biserial(MANY)) == pytest.approx(1 - 2 * smaller / (60 * 61 / 2))


@pytest.mark.parametrize("effect", [cohens_d, rank_biserial])
def test_effects_turn_their_sign_with_the_methods(effect):
    assert effect(-MANY) == pytest.approx(-effect(MANY))
    assert probability_of_superiority(-MANY) == pytest.approx(1 - probability_of_superiority(MANY))


def test_benjamini_hochberg_is_scipys():
    np.testing.assert_allclose(benjamini_hochberg(P), stats.false_discovery_control(P))


def test_holm_by_hand():
    # in order 0.005, 0.01, 0.03, 0.04, 0.5 times 5, 4, 3, 2, 1, never falling
    np.testing.assert_allclose(holm(P), [4 * 0.01, 3 * 0.03, 3 * 0.03, 5 * 0.005, 0.5])
    assert holm(np.array([0.7, 0.8])).tolist() == [1, 1]


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_corrections_leave_nan_out_and_do_not_depend_on_the_order(adjust):
    with_holes = np.array([np.nan, *P[:2], np.nan, *P[2:]])
    adjusted = adjust(with_holes)
    assert np.isnan(adjusted[[0, 3]]).all()
    np.testing.assert_allclose(adjusted[[1, 2, 4, 5, 6]], adjust(P))
    np.testing.assert_allclose(adjust(P[::-1].copy())[::-1], adjust(P))
    assert (adjust(P) >= P).all()
    assert not len(adjust(np.array([])))


def test_holm_finds_something_false_in_at_most_its_level_of_studies():
    null = np.random.default_rng(5).uniform(size=(2000, 20))
    some = np.mean([(holm(one) <= 0.1).any() for one in null])
    assert some == pytest.approx(1 - 0.995**20, abs=0.025)
