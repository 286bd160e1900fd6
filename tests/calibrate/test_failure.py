import numpy as np
import pytest
from scipy import stats

from plausible.calibrate import certified, fit_failure_flag
from plausible.calibrate.failure import accepted_counts, selective_counts
from plausible.core import InvalidInput

from .cohorts import WHO, row, rows

SETTINGS = {"limit": 0.8, "alpha": 0.1, "delta": 0.1, "absent": "exclude", **WHO}


def cohort(n: int, fails: list[int]) -> tuple[list, list]:
    """Patients of falling agreement; those listed fail."""
    score = rows(np.linspace(0.99, 0.5, n), "pairwise_dice", unit="1", higher_is="better")
    quality = np.where(np.isin(np.arange(n), fails), 0.6, 0.9)
    return score, rows(quality, "dice", unit="1", higher_is="better")


def test_by_hand():
    """100 patients, the last 20 fail: P(Bin(80, .1) ≤ 0) is small enough, P(Bin(85, .1) ≤ 5) is not."""
    scores, qualities = cohort(100, list(range(80, 100)))
    fitted = fit_failure_flag(scores, qualities, **SETTINGS)
    assert stats.binom.cdf(0, 80, 0.1) < 0.1 < stats.binom.cdf(5, 85, 0.1)
    assert (fitted.n_accepted, fitted.n_failed) == (80, 0)
    assert fitted.referral_rate == pytest.approx(0.2)
    assert fitted.base_rate == pytest.approx(0.2)
    assert fitted.threshold == scores[80].value  # the first who is left out
    assert fitted.apply(row(scores[79].value, "pairwise_dice")).flagged is False
    assert fitted.apply(row(scores[80].value, "pairwise_dice")).flagged is True
    assert [p.n_accepted for p in fitted.points] == [50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100]
    assert [p.certified for p in fitted.points] == [True] * 7 + [False] * 4
    worst = fitted.points[-1]
    assert stats.binom.cdf(20, 100, worst.rate_high) == pytest.approx(0.1)
    statement = fitted.guarantee.statement
    assert "fail (Dice below 0.8) at a rate of at most 10 %, with confidence 90 %" in statement
    assert "20 % is flagged" in statement


def test_reasons():
    fitted = fit_failure_flag(*cohort(100, list(range(80, 100))), **SETTINGS)
    assert "0.3 is below 0.594" in fitted.apply(row(0.3, "pairwise_dice")).reason
    assert "0.9 is above 0.594" in fitted.apply(row(0.9, "pairwise_dice")).reason
    undefined = fitted.apply(row(np.nan, "pairwise_dice"))
    assert undefined.flagged
    assert undefined.reason == "liver pairwise Dice is undefined"
    with pytest.raises(ValueError, match="calibrated for"):
        fitted.apply(row(0.9, "entropy"))


def test_nothing_fails_accepts_everybody():
    fitted = fit_failure_flag(*cohort(60, []), **SETTINGS)
    assert (fitted.threshold, fitted.referral_rate) == (-np.inf, 0)
    assert not fitted.apply(row(0.01, "pairwise_dice")).flagged
    assert fitted.apply(row(np.nan, "pairwise_dice")).flagged


def test_scores_and_limits_of_which_less_is_better():
    scores, qualities = cohort(100, list(range(80, 100)))
    mirrored = rows([1 - r.value for r in scores], "entropy", unit="nat", higher_is="worse")
    distances = rows([10 * (1 - r.value) for r in qualities], "hd95", unit="mm", higher_is="worse")
    fitted = fit_failure_flag(mirrored, distances, **{**SETTINGS, "limit": 2.0})
    assert fitted.threshold == pytest.approx(1 - scores[80].value)
    assert fitted.apply(row(0.1, "entropy")).flagged is False
    assert fitted.apply(row(0.9, "entropy")).flagged is True
    assert "hd95 above 2" in fitted.failure
    with pytest.raises(ValueError, match="higher is better or worse"):
        fit_failure_flag(rows(np.ones(100)), distances, **SETTINGS)


def test_infeasible_rates_and_too_few_patients():
    with pytest.raises(InvalidInput, match="at least 22"):
        fit_failure_flag(*cohort(21, []), **SETTINGS)
    random = cohort(100, list(range(0, 100, 3)))
    with pytest.raises(InvalidInput, match="E403") as caught:
        fit_failure_flag(*random, **SETTINGS)
    assert caught.value.problem.found == "17 of the 50 most confident of 100 patients fail"
    for patients in (cohort(21, []), random):
        trivial = fit_failure_flag(*patients, if_infeasible="trivial", **SETTINGS)
        assert trivial.referral_rate == 1
        assert trivial.apply(row(1.0, "pairwise_dice")).flagged


def test_few_patients_start_where_a_certificate_is_possible():
    counts = accepted_counts(30, (0.5, 0.6, 0.7, 0.8, 1.0), alpha=0.1, delta=0.1, correction="fixed_sequence")
    assert counts.tolist() == [24, 30]
    counts = accepted_counts(100, (0.2, 0.5, 1.0), alpha=0.1, delta=0.1, correction="bonferroni")
    assert counts.tolist() == [50, 100]  # 33 are needed at a third of delta
    for wrong in ((0.5, 0.4), (0.0, 0.5), (0.5, 1.1), ()):
        with pytest.raises(ValueError, match="coverages must rise"):
            accepted_counts(100, wrong, alpha=0.1, delta=0.1, correction="fixed_sequence")


def test_equal_scores_are_accepted_or_flagged_together():
    confidence = np.array([0.9, 0.9, 0.8, 0.8, 0.8, 0.7, -np.inf])
    failed = np.array([False, True, False, True, False, True, True])
    cut, accepted, failures = selective_counts(confidence, failed, np.array([1, 2, 4, 5, 6, 7]))
    assert cut.tolist() == [0.9, 0.8, 0.8, 0.7, -np.inf, -np.inf]
    assert accepted.tolist() == [0, 2, 2, 5, 6, 6]
    assert failures.tolist() == [0, 1, 1, 2, 3, 3]
    shuffled = np.random.default_rng(0).permutation(7)
    for ours, theirs in zip(
        selective_counts(confidence[shuffled], failed[shuffled], np.array([1, 2, 4, 5, 6, 7])),
        (cut, accepted, failures),
        strict=True,
    ):
        assert ours.tolist() == theirs.tolist()


def test_what_an_undefined_quality_counts_as():
    scores, qualities = cohort(60, [])
    unknown = [*qualities[:50], *rows(np.full(10, np.nan), "dice", unit="1", higher_is="better", first=50)]
    rates = {
        absent: fit_failure_flag(scores, unknown, **{**SETTINGS, "absent": absent})
        for absent in ("exclude", "covered", "missed")
    }
    assert [r.base_rate for r in rates.values()] == [0, 0, pytest.approx(1 / 6)]
    assert [r.guarantee.n_patients for r in rates.values()] == [50, 60, 60]
    assert rates["missed"].referral_rate > 0


def population(score: np.ndarray, *, slope: float, base: float) -> np.ndarray:
    """Probability of failure at a score; the score is normal over patients."""
    return stats.norm.cdf(stats.norm.ppf(base) * np.sqrt(1 + slope**2) - slope * score)


def selective_risk(*, slope: float, base: float) -> tuple[np.ndarray, np.ndarray]:
    """Failure rate among patients above each score, exactly."""
    grid = np.linspace(-6, 6, 20_001)
    weight = stats.norm.pdf(grid)
    fails = (population(grid, slope=slope, base=base) * weight)[::-1].cumsum()[::-1]
    return grid, fails / weight[::-1].cumsum()[::-1]


@pytest.mark.parametrize("correction", ["fixed_sequence", "fallback", "bonferroni"])
@pytest.mark.parametrize(("slope", "base", "n"), [(2.0, 0.2, 80), (0.5, 0.12, 150), (0.0, 0.101, 60)])
def test_accepted_cases_fail_at_the_promised_rate(correction, slope, base, n):
    """5000 cohorts; a score that ranks well, one that hardly ranks, one that does not at all."""
    alpha, delta, repeats = 0.1, 0.1, 5000
    rng = np.random.default_rng(n)
    score = rng.normal(size=(repeats, n))
    failed = rng.random(score.shape) < population(score, slope=slope, base=base)
    counts = accepted_counts(n, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), alpha=alpha, delta=delta, correction=correction)
    cut, accepted, failures = selective_counts(score, failed, counts)
    passed = certified(stats.binom.cdf(failures, accepted, alpha), delta=delta, correction=correction)
    grid, risk = selective_risk(slope=slope, base=base)
    true_risk = np.interp(np.maximum(cut, -6), grid, risk)
    wrong = (passed & (true_risk > alpha)).any(axis=1).mean()
    assert wrong <= delta + 4 * 0.3 / np.sqrt(repeats)
    if slope == 2.0 and correction == "fixed_sequence":
        assert passed.any(axis=1).mean() > 0.9


def test_the_best_looking_threshold_breaks_the_promise():
    """Taking the largest coverage whose observed failure rate is at most alpha: a coin toss, not a guarantee."""
    n, alpha, repeats = 80, 0.1, 4000
    rng = np.random.default_rng(1)
    score = rng.normal(size=(repeats, n))
    failed = rng.random(score.shape) < population(score, slope=1.0, base=0.2)
    cut, accepted, failures = selective_counts(score, failed, np.arange(10, n + 1))
    looks_good = failures <= alpha * accepted
    best = np.where(looks_good.any(axis=1), looks_good.shape[1] - 1 - looks_good[:, ::-1].argmax(axis=1), 0)
    grid, risk = selective_risk(slope=1.0, base=0.2)
    true_risk = np.interp(np.maximum(cut[np.arange(repeats), best], -6), grid, risk)
    assert np.mean(true_risk > alpha) > 0.4


def test_patients_without_a_score_are_never_accepted():
    """Ten of 60 have no score and fail: they are flagged, and cost no certificate."""
    scores, qualities = cohort(60, list(range(50, 60)))
    unknown = [*scores[:50], *rows(np.full(10, np.nan), "pairwise_dice", unit="1", higher_is="better", first=50)]
    fitted = fit_failure_flag(unknown, qualities, **SETTINGS)
    assert (fitted.threshold, fitted.n_accepted, fitted.n_failed) == (-np.inf, 50, 0)
    assert fitted.referral_rate == pytest.approx(10 / 60)
