from itertools import combinations

import numpy as np
import pytest

from plausible.diversity.enough import EXTRAPOLATED, ScoreCurve, extrapolate, score_curve
from plausible.diversity.pool_scores import POOL_SCORES, scored
from tests.diversity.pools import pool_of


@pytest.fixture(scope="module")
def pool():
    return pool_of(5)


@pytest.mark.parametrize("score", POOL_SCORES.names)
def test_a_curve_is_the_mean_over_all_subsets(pool, score):
    curve = score_curve(pool, score=score, sizes=(1, 3, 6), n_subsets=20)
    assert curve.n_subsets == (6, 20, 1)
    for size, value in zip(curve.sizes, curve.values, strict=True):
        every = [scored(pool, pool.equal(ids), score) for ids in combinations(pool.members, size)]
        assert value == pytest.approx(np.mean(every))
    assert curve.low[2] == curve.values[2] == curve.high[2]
    assert [row["forward_passes"] for row in curve.rows()] == [5, 15, 30]


@pytest.mark.parametrize("score", ["brier_score", "volume_crps"])
def test_quadratic_scores_follow_the_law_exactly(pool, score):
    curve = score_curve(pool, score=score, n_subsets=20)
    found = extrapolate(curve, n_resamples=200)
    assert found.misfit < 1e-6
    for size, value in zip(curve.sizes, curve.values, strict=True):
        assert found.limit.value + found.single.value / size == pytest.approx(value, abs=1e-9)
    from_three = extrapolate(score_curve(pool, score=score, sizes=(1, 2, 3), n_subsets=20), n_resamples=200)
    of_six = scored(pool, pool.equal(pool.members), score)
    assert from_three.limit.value + from_three.single.value / 6 == pytest.approx(of_six, abs=1e-9)


def test_the_log_loss_follows_it_nearly(pool):
    found = extrapolate(score_curve(pool, score="negative_log_likelihood", n_subsets=20), n_resamples=200)
    assert 0 < found.misfit < 0.3
    assert found.single.value > 0


def test_planted_a_and_b_are_recovered_with_intervals_over_patients():
    rng = np.random.default_rng(0)
    a, b, sizes = rng.normal(0.3, 0.05, 40), rng.normal(0.2, 0.02, 40), (1, 2, 4, 8)
    table = np.array([a + b / m for m in sizes])
    mean = table.mean(axis=1)
    curve = ScoreCurve("brier_score", "1", tuple(map(str, range(40))), sizes, mean, mean, mean, (9,) * 4, table)
    found = extrapolate(curve, n_resamples=500)
    assert found.limit.value == pytest.approx(a.mean())
    assert found.single.value == pytest.approx(b.mean())
    assert found.limit.low < 0.3 < found.limit.high
    assert extrapolate(curve, patients=[n // 4 for n in range(40)], n_resamples=500).limit.n == 10


@pytest.mark.parametrize("score", sorted(set(POOL_SCORES.names) - set(EXTRAPOLATED)))
def test_what_follows_no_law_is_not_extrapolated(pool, score):
    with pytest.raises(ValueError, match="does not follow"):
        extrapolate(score_curve(pool, score=score, sizes=(1, 2), n_subsets=3))


def test_a_law_needs_two_sizes_and_sizes_that_exist(pool):
    with pytest.raises(ValueError, match="two sizes"):
        extrapolate(score_curve(pool, score="brier_score", sizes=(2,), n_subsets=3))
    with pytest.raises(ValueError, match="1 to 6"):
        score_curve(pool, score="brier_score", sizes=(7,))


def test_drawn_subsets_are_different_and_repeat_by_seed(pool):
    first, again, other = (score_curve(pool, score="brier_score", sizes=(3,), n_subsets=7, seed=s) for s in (1, 1, 2))
    assert first.values == again.values != other.values
    assert first.n_subsets == (7,)
