import numpy as np
import pytest

from plausible.calibrate import conformal_quantile, fit_rater_interval, weighted_quantile
from plausible.core import InvalidInput

from .cohorts import WHO, row, rows

REPEATS, N, R, ALPHA = 4000, 40, 5, 0.1


def ratings() -> tuple[np.ndarray, np.ndarray]:
    """Error of the prediction of each patient, and how far each rater lies from the patients' truth."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(REPEATS, N + 1)), 2 * rng.normal(size=(REPEATS, N + 1, R))


def coverage(bound: np.ndarray, patient: np.ndarray, rater: np.ndarray) -> float:
    """Share of new patients whose first rater (they are alike) lies within the bound."""
    return float(np.mean(np.abs(patient[:, N] + rater[:, N, 0]) <= bound))


def test_the_mean_rater_promises_nothing_about_raters():
    patient, rater = ratings()
    mean = np.abs(patient + rater.mean(axis=2))
    median = np.abs(patient + np.median(rater, axis=2))
    single = np.abs(patient[..., np.newaxis] + rater)[:, :N].reshape(REPEATS, -1)
    weights = np.full((REPEATS, N * R), 1 / R)
    assert coverage(conformal_quantile(mean[:, :N], ALPHA), patient, rater) < 0.8
    assert coverage(conformal_quantile(median[:, :N], ALPHA), patient, rater) < 0.8
    ours = coverage(weighted_quantile(single, weights, new_weight=1.0, alpha=ALPHA), patient, rater)
    assert 1 - ALPHA - 0.02 <= ours <= 1 - ALPHA + 1 / (N + 1) + 0.02
    assert ours >= 1 - 2 * ALPHA


def test_limit_of_many_draws():
    """Mean of the p-values of draws of one rater per patient, as the method is published."""
    rng = np.random.default_rng(1)
    scores = rng.exponential(size=(19, 4))
    bound = weighted_quantile(scores.ravel(), np.full(76, 1 / 4), new_weight=1.0, alpha=ALPHA)
    drawn = scores[np.arange(19), rng.integers(0, 4, (40_000, 19))]
    for candidate, inside in ((bound * 0.98, True), (bound * 1.02, False)):
        p = (1 + (drawn >= candidate).sum(axis=1)).mean() / 20
        assert (p > ALPHA) == inside


def test_by_hand():
    """Two raters at 1 and 3 above the prediction for 19 patients: the mean p-value falls below .05 beyond 3."""
    predicted = rows(np.full(19, 10.0))
    told = [*rows(np.full(19, 11.0), "rated", against="a"), *rows(np.full(19, 13.0), "rated", against="b")]
    fitted = fit_rater_interval(predicted, told, alpha=0.1, **WHO)
    assert (fitted.below, fitted.above) == (-1, 3)
    made = fitted.apply(row(20.0))
    assert (made.low, made.high) == (21, 23)
    assert fitted.proven_alpha == 0.2
    assert fitted.n_raters == 38
    assert "about 90 %, and at least 80 % by the theorem" in fitted.guarantee.statement
    assert fitted.guarantee.n_patients == 19
    shared = fit_rater_interval(predicted, told, alpha=0.1, tails="shared", **WHO)
    assert shared.below == shared.above == 3


def test_patients_weigh_alike_however_many_raters_they_have():
    """One patient with 100 raters far away weighs as much as one with a single rater."""
    predicted = rows(np.full(39, 10.0))
    told = [
        *rows(np.linspace(9, 11, 39), "rated", against="a"),
        *[row(50.0, "rated", subject="p0000", against=f"r{n}") for n in range(99)],
    ]
    fitted = fit_rater_interval(predicted, told, alpha=0.2, **WHO)
    assert fitted.above < 1.01
    assert fitted.guarantee.n_patients == 39


def test_one_rater_is_the_plain_interval():
    from plausible.calibrate import fit_interval

    predicted, true = rows(np.zeros(30)), rows(np.random.default_rng(2).normal(size=30), "rated", against="a")
    for tails in ("separate", "shared"):
        one = fit_rater_interval(predicted, true, alpha=0.2, tails=tails, **WHO)
        plain = fit_interval(predicted, true, alpha=0.2, tails=tails, **WHO)
        assert (one.below, one.above) == (plain.below, plain.above)


def test_ratings_that_do_not_fit_are_refused():
    predicted = rows(np.full(30, 10.0))
    told = rows(np.full(30, 11.0), "rated", against="a")
    with pytest.raises(InvalidInput, match="at least 39"):
        fit_rater_interval(predicted, told, alpha=0.05, **WHO)
    with pytest.raises(ValueError, match="no rater: p0029"):
        fit_rater_interval(predicted, told[:-1], alpha=0.2, **WHO)
    with pytest.raises(ValueError, match="comes twice"):
        fit_rater_interval(predicted, told + told[:1], alpha=0.2, **WHO)
    other = fit_rater_interval(predicted, rows(np.full(30, 12.0), "rated", against="a"), alpha=0.2, **WHO)
    same = fit_rater_interval(predicted, told, alpha=0.2, **WHO)
    assert other.guarantee.data_hash != same.guarantee.data_hash
