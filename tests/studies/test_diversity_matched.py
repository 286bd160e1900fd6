"""Ensembles against the mean of all plain ensembles of their size, on a made-up pool."""

import numpy as np
import pytest
from diversity_matched import difference, matched, table

from plausible.diversity import Pool, scored
from tests.diversity.pools import case_of

PLAIN, CHANGED = ("deep_0", "deep_1", "deep_2"), ("ncl_0", "ncl_1")


@pytest.fixture(scope="module")
def pool():
    return Pool(tuple(case_of(n, ids=(*PLAIN, *CHANGED, "other"))[0] for n in range(14)))


@pytest.fixture(scope="module")
def told(pool):
    return matched(pool, CHANGED, PLAIN, size=2, n_arms=1, seed=0)


@pytest.mark.parametrize("score", ["negative_log_likelihood", "volume_crps", "area_under_risk_coverage"])
def test_the_difference_is_from_the_mean_of_all_pairs_of_plain_members(pool, told, score):
    pairs = [("deep_0", "deep_1"), ("deep_0", "deep_2"), ("deep_1", "deep_2")]
    theirs = [scored(pool, pool.equal(pair), score) for pair in pairs]
    found = told["differences"][score]
    assert found["value"] == pytest.approx(scored(pool, pool.equal(CHANGED), score) - np.mean(theirs))
    assert found["low"] <= found["value"] <= found["high"]


def test_every_plain_pair_gets_a_verdict(told):
    assert (told["members"], told["size"], told["plain"]) == (2, 2, 3)
    assert sum(told["verdicts"].values()) == 3
    assert set(told["verdicts"]) <= {"accepted", "rejected", "undecided"}


def test_nothing_differs_from_itself():
    values = np.random.default_rng(0).random((2, 20))
    found = difference(values, [values, values], seed=0)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_the_table_has_a_line_for_each(told):
    text = table([{"name": "ncl", **told}])
    assert text.count("\n") == 3
    assert "| ncl | 2 | " in text


def test_at_equal_cost_it_is_compared_with_single_members(pool):
    alone = matched(pool, CHANGED, PLAIN, size=1, n_arms=1, seed=0)
    score = "brier_score"
    expected = scored(pool, pool.equal(CHANGED), score) - np.mean([scored(pool, pool.equal([m]), score) for m in PLAIN])
    assert alone["differences"][score]["value"] == pytest.approx(expected)
    assert "pairwise_dice" not in alone["differences"]
    assert "| ncl | 1 | " in table([{"name": "ncl", **alone}])
