import numpy as np
import pytest
from scipy import stats

from plausible.core import InvalidInput, Score
from plausible.evaluate import (
    area_under_risk_coverage,
    bootstrap_mean,
    bootstrap_statistic,
    paired_difference,
    risk_coverage,
)

SKEWED = np.random.default_rng(5).gamma(2, 1, 40)


def row(subject, value, structure="liver", measure="dice") -> Score:
    return Score(
        subject=subject,
        structure=structure,
        measure=measure,
        value=value,
        unit="1",
        higher_is="better",
        n=1,
        against="r",
    )


@pytest.mark.parametrize("statistic", [np.mean, np.median, lambda x: float(np.std(x))])
def test_scipy_agrees(statistic):
    theirs = stats.bootstrap(
        (SKEWED,), statistic, n_resamples=2000, method="BCa", vectorized=False, rng=np.random.default_rng(3)
    ).confidence_interval
    ours = bootstrap_statistic(lambda x: float(statistic(x)), SKEWED, seed=3, n_resamples=2000)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert ours.value == pytest.approx(statistic(SKEWED))


def test_mean_is_the_general_statistic():
    fast = bootstrap_mean(SKEWED, seed=3, n_resamples=2000)
    slow = bootstrap_statistic(lambda x: float(x.mean()), SKEWED, seed=3, n_resamples=2000)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high))


def test_nan_are_left_out_and_counted():
    holes = bootstrap_mean(np.array([*SKEWED, np.nan, np.nan]), seed=1)
    whole = bootstrap_mean(SKEWED, seed=1)
    assert (holes.n, holes.n_undefined) == (40, 2)
    assert (holes.low, holes.high) == (whole.low, whole.high)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, np.nan], [np.nan, np.nan]])
def test_too_few_subjects_are_named(values):
    with pytest.raises(InvalidInput, match="E401") as caught:
        bootstrap_mean(np.array(values), seed=0)
    n = int(np.sum(~np.isnan(values)))
    assert caught.value.problem.found.startswith(f"{n} subject")


def test_equal_values_have_no_width():
    same = bootstrap_mean(np.full(9, 0.25), seed=0)
    assert same.low == same.value == same.high == 0.25


def test_clusters_are_drawn_together():
    copied = np.repeat(SKEWED, 3)
    names = np.repeat(np.arange(40), 3).tolist()
    one_each = bootstrap_mean(SKEWED, seed=2)
    for made in (
        bootstrap_mean(copied, seed=2, clusters=names),
        bootstrap_statistic(lambda x: float(x.mean()), copied, seed=2, clusters=names),
    ):
        assert (made.low, made.high, made.n) == pytest.approx((one_each.low, one_each.high, 40))
    naive = bootstrap_mean(copied, seed=2)
    assert naive.high - naive.low < 0.7 * (one_each.high - one_each.low)
    with pytest.raises(ValueError, match="clusters for"):
        bootstrap_mean(SKEWED, seed=0, clusters=[1])


def test_seed_decides():
    assert bootstrap_mean(SKEWED, seed=1) == bootstrap_mean(SKEWED, seed=1)
    assert bootstrap_mean(SKEWED, seed=1) != bootstrap_mean(SKEWED, seed=2)


def test_blocks_of_draws_change_nothing(monkeypatch):
    whole = bootstrap_mean(SKEWED, seed=1, n_resamples=500)
    monkeypatch.setattr("plausible.evaluate.bootstrap.BLOCK", 333)
    assert bootstrap_mean(SKEWED, seed=1, n_resamples=500) == whole


def test_covers_the_truth():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        made = bootstrap_mean(rng.normal(size=40), seed=seed, n_resamples=500)
        hits += made.low <= 0 <= made.high
    assert 0.89 <= hits / 200 <= 0.99


def test_area_under_risk_coverage_has_an_interval():
    rng = np.random.default_rng(1)
    risk = rng.random(30)
    made = bootstrap_statistic(
        lambda c, r: area_under_risk_coverage(risk_coverage(c, r)), -risk, risk, seed=0, n_resamples=500
    )
    assert made.low < made.value < made.high


def test_structures_of_a_subject_are_drawn_together():
    apart = dict(enumerate(SKEWED[:12]))
    first = [row(f"s{n:02}", v, structure=s) for n, v in apart.items() for s in ("liver", "kidney", "spleen")]
    second = [row(f"s{n:02}", 0.0, structure=s) for n in apart for s in ("liver", "kidney", "spleen")]
    one_each = bootstrap_mean(SKEWED[:12], seed=4)
    made = paired_difference(first, second, seed=4)
    assert (made.low, made.high, made.n) == pytest.approx((one_each.low, one_each.high, 12))


def test_paired_difference():
    first = [row(f"s{n}", 0.5 + 0.01 * n) for n in range(10)] + [row("only here", 0.1)]
    second = [row(f"s{n}", 0.4 + 0.01 * n) for n in reversed(range(10))]
    made = paired_difference(first, second, seed=0)
    assert made.value == pytest.approx(0.1)
    assert made.high - made.low == pytest.approx(0, abs=1e-12)
    assert (made.n, made.n_undefined) == (10, 1)
    with pytest.raises(ValueError, match="one measure"):
        paired_difference(first, [row("s1", 1.0, measure="iou")], seed=0)
    with pytest.raises(ValueError, match="twice"):
        paired_difference([row("a", 1.0), row("a", 2.0)], second, seed=0)
