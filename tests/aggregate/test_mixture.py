import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture as SklearnMixture

from plausible.aggregate import GaussianMixture, fit_mixture


def two_clusters(seed: int = 0, n: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    first = rng.multivariate_normal([0, 0], [[1.0, 0.6], [0.6, 1.0]], n)
    second = rng.multivariate_normal([7, -5], [[0.5, 0.0], [0.0, 2.0]], n // 2)
    return np.concatenate([first, second])


def test_one_normal_distribution_by_hand():
    mixture = GaussianMixture(np.ones(1), np.zeros((1, 2)), np.diag([1.0, 4.0])[None])
    expected = -math.log(2 * math.pi) - math.log(2) - (1 / 1 + 4 / 4) / 2
    assert mixture.log_density(np.array([[1.0, 2.0]])) == pytest.approx([expected])
    assert mixture.n_parameters == 2 + 3


def test_one_component_is_mean_and_covariance():
    table = two_clusters()
    mixture = fit_mixture(table, seed=0, n_components=[1])
    assert mixture.means[0] == pytest.approx(table.mean(axis=0))
    assert mixture.covariances[0] == pytest.approx(np.cov(table.T, bias=True), abs=2e-6)


def test_bic_finds_the_number_of_clusters():
    assert len(fit_mixture(two_clusters(), seed=0).weights) == 2
    rng = np.random.default_rng(1)
    assert len(fit_mixture(rng.normal(size=(300, 3)), seed=0).weights) == 1


@settings(max_examples=5)
@given(seed=st.integers(0, 20))
def test_density_and_bic_of_another_library(seed):
    table = two_clusters(seed)
    ours = fit_mixture(table, seed=seed, n_components=[2])
    theirs = SklearnMixture(2, covariance_type="full", tol=1e-9, max_iter=1000, n_init=5, random_state=seed).fit(table)
    assert ours.bic(table) == pytest.approx(theirs.bic(table), rel=1e-5)
    new = np.random.default_rng(seed).normal(2, 5, (30, 2))
    assert ours.log_density(new) == pytest.approx(theirs.score_samples(new), rel=1e-2)
    same = SklearnMixture(2, covariance_type="full")
    same.weights_, same.means_, same.covariances_ = ours.weights, ours.means, ours.covariances
    same.precisions_cholesky_ = np.array([np.linalg.cholesky(np.linalg.inv(c)) for c in ours.covariances])
    assert ours.log_density(new) == pytest.approx(same.score_samples(new), rel=1e-9)
    assert ours.n_parameters == same._n_parameters()


def test_the_same_seed_fits_the_same_and_order_of_rows_hardly_matters():
    table = two_clusters()
    first, again = fit_mixture(table, seed=3), fit_mixture(table, seed=3)
    assert np.array_equal(first.means, again.means)
    mixed = fit_mixture(np.random.default_rng(0).permutation(table), seed=3)
    assert mixed.bic(table) == pytest.approx(first.bic(table), rel=1e-4)


def test_more_components_than_the_table_bears_are_left_out():
    table = np.random.default_rng(0).normal(size=(7, 2))
    assert len(fit_mixture(table, seed=0, n_components=[1, 2, 3]).weights) <= 2
    with pytest.raises(ValueError, match="7 cases are too few for 2 numbers each: at least 9"):
        fit_mixture(table, seed=0, n_components=[3])


def test_equal_rows_do_not_break_the_fit():
    table = np.repeat([[0.0, 1.0], [2.0, 3.0]], 10, axis=0)
    assert np.isfinite(fit_mixture(table, seed=0).log_density(table)).all()
