from itertools import combinations

import numpy as np
import pytest

from plausible.core import InvalidInput
from plausible.diversity import selection_rules
from plausible.diversity.pool_cases import Pool
from plausible.diversity.pool_scores import POOL_SCORES, scored
from plausible.diversity.pruning import prune
from plausible.diversity.selection import SELECTION_RULES, select_members
from plausible.diversity.selection_rules import (
    greedy_determinant,
    likelihood_kernel,
    single_values,
)
from plausible.diversity.weighting import simplex_weights, stacked_likelihood
from tests.diversity.pools import NOISE, pool_of

PROPER = ("negative_log_likelihood", "brier_score", "volume_crps", "area_under_risk_coverage")
FEWER = ("greedy_with_replacement", "stacking")
"""Rules that may end with fewer members than asked for."""


@pytest.fixture(scope="module")
def pool():
    return pool_of(6)


@pytest.mark.parametrize("rule", SELECTION_RULES.names)
@pytest.mark.parametrize("score", PROPER)
def test_a_rule_returns_as_many_members_as_asked_for_and_shares_that_sum_to_one(pool, rule, score):
    found = select_members(pool, rule=rule, score=score, n_members=3)
    assert found.rule == rule
    assert len(found.members) <= 3 if rule in FEWER else len(found.members) == 3
    assert set(found.members) <= set(pool.members)
    assert sum(found.weights.values()) == pytest.approx(1)
    assert min(found.weights.values()) > 0
    assert found.equal or rule in FEWER
    assert found.value == pytest.approx(scored(pool, found.on(pool), score))


@pytest.mark.parametrize("rule", SELECTION_RULES.names)
def test_neither_the_order_of_members_nor_a_second_run_changes_a_choice(pool, rule):
    shuffled = pool.select(["m3", "m0", "m5", "m1", "m4", "m2"])
    first, again, turned = (
        select_members(one, rule=rule, score="negative_log_likelihood", n_members=3, seed=4)
        for one in (pool, pool, shuffled)
    )
    assert first == again == turned


@pytest.mark.parametrize("rule", SELECTION_RULES.names)
def test_the_whole_pool_leaves_nothing_to_choose(pool, rule):
    found = select_members(pool, rule=rule, score="brier_score", n_members=6)
    assert rule in FEWER or found.members == pool.members


@pytest.mark.parametrize("score", POOL_SCORES.names)
@pytest.mark.parametrize("n_members", [1, 2, 5])
def test_greedy_is_never_worse_than_the_best_single_member_on_the_cases_chosen_on(pool, score, n_members):
    found = select_members(pool, rule="greedy_with_replacement", score=score, n_members=n_members)
    assert found.value <= min(single_values(pool, score)) + 1e-12


@pytest.mark.parametrize("score", PROPER)
@pytest.mark.parametrize("n_members", [1, 2, 3, 5])
def test_no_rule_beats_all_subsets_and_that_is_what_a_loop_finds(pool, score, n_members):
    best = min(scored(pool, pool.equal(ids), score) for ids in combinations(pool.members, n_members))
    found = select_members(pool, rule="exhaustive", score=score, n_members=n_members)
    assert found.value == pytest.approx(best, abs=1e-12)
    for rule in set(SELECTION_RULES.names) - set(FEWER):
        other = select_members(pool, rule=rule, score=score, n_members=n_members)
        assert other.value >= best - 1e-12, rule


def test_all_members_of_a_pool_are_the_pool_and_another_order_is_not(pool):
    assert pool.select(list(pool.members)) is pool
    assert pool.select(pool.members[::-1]).members == pool.members[::-1]


def test_greedy_steps_are_the_best_step_each_time(pool):
    path = select_members(pool, rule="greedy", score="brier_score", n_members=4).path
    chosen = []
    for step in path:
        rest = [one for one in pool.members if one not in chosen]
        best = min(rest, key=lambda one: scored(pool, pool.equal([*chosen, one]), "brier_score"))
        assert step.member == best
        chosen.append(best)
        assert step.value == scored(pool, pool.equal(chosen), "brier_score")
    assert [step.n_members for step in path] == [1, 2, 3, 4]


def test_the_members_with_least_noise_are_best(pool):
    assert NOISE[0] < NOISE[1]
    found = select_members(pool, rule="best_members", score="negative_log_likelihood", n_members=2)
    values = dict(zip(pool.members, single_values(pool, "negative_log_likelihood"), strict=True))
    assert set(found.members) == set(sorted(values, key=lambda one: values[one])[:2])


def test_low_agreement_takes_the_one_least_like_the_first(pool):
    found = select_members(pool, rule="low_agreement", score="brier_score", n_members=2)
    values = single_values(pool, "brier_score")
    first = int(np.argmin(values))
    apart = [np.mean([case.dice[:, first, m].mean() for case in pool.cases]) for m in range(6)]
    assert set(found.members) == {pool.members[first], pool.members[int(np.argmin(apart))]}


def test_the_greedy_determinant_takes_the_largest_determinant_each_time():
    rng = np.random.default_rng(0)
    for n in (4, 7):
        factor = rng.normal(size=(n, 5))
        kernel = factor @ factor.T + 0.1 * np.eye(n)
        chosen = greedy_determinant(kernel, n)
        for k in range(n):
            rest = [m for m in range(n) if m not in chosen[:k]]
            gains = [np.linalg.det(kernel[np.ix_([*chosen[:k], m], [*chosen[:k], m])]) for m in rest]
            assert chosen[k] == rest[int(np.argmax(gains))]


def test_the_greedy_determinant_of_a_pool_is_close_to_the_largest(pool):
    kernel = likelihood_kernel(pool, "negative_log_likelihood")
    assert np.linalg.eigvalsh(kernel).min() > -1e-9
    every = {ids: np.linalg.det(kernel[np.ix_(ids, ids)]) for ids in combinations(range(6), 3)}
    found = every[tuple(sorted(greedy_determinant(kernel, 3)))]
    assert max(every.values()) / 6**2 <= found <= max(every.values()) + 1e-12  # bound of greedy: (k!)², k = 3


def test_a_copy_is_never_the_second_choice_of_the_determinant():
    pool = pool_of(3, noise=(0.6, 0.6, 2.0), ids=("a", "b", "c"))
    copies = Pool(tuple(case.select(["a", "c"]) for case in pool.cases))
    kernel = likelihood_kernel(copies, "brier_score")
    doubled = kernel[np.ix_([0, 0, 1], [0, 0, 1])]
    assert sorted(greedy_determinant(doubled, 2)) == [0, 2]
    assert sorted(greedy_determinant(doubled, 3)) == [0, 1, 2]


def test_stacking_weighs_what_is_worth_it_and_is_never_worse_than_equal_shares(pool):
    found = select_members(pool, rule="stacking", score="negative_log_likelihood", n_members=6)
    equal = scored(pool, pool.equal(pool.members), "negative_log_likelihood")
    assert found.value < equal
    assert found.weights["m0"] > found.weights.get("m5", 0.0)
    assert simplex_weights(pool).sum() == pytest.approx(1)
    assert stacked_likelihood(pool).shape[0] == 6


def test_few_stacked_members_are_those_with_the_largest_shares(pool):
    weights = simplex_weights(pool)
    found = select_members(pool, rule="stacking", score="brier_score", n_members=2)
    assert set(found.members) <= {pool.members[m] for m in np.argsort(-weights)[:2]}


def test_random_draws_differ_by_seed(pool):
    names = {select_members(pool, rule="random_members", score="brier_score", n_members=3, seed=s).members
             for s in range(8)}  # fmt: skip
    assert len(names) > 1


@pytest.mark.parametrize("tolerance", [0.0, 0.002, 0.05, 9.0])
def test_pruning_keeps_the_score_with_as_few_members_as_its_paths_have(pool, tolerance):
    whole = scored(pool, pool.equal(pool.members), "negative_log_likelihood")
    found = prune(pool, score="negative_log_likelihood", tolerance=tolerance)
    assert found.value <= whole + tolerance + 1e-9
    for size in range(1, len(found.members)):
        smaller = select_members(pool, rule="greedy", score="negative_log_likelihood", n_members=size)
        assert smaller.value > whole + tolerance
    assert len(found.members) == 1 or tolerance < 9


def test_pruning_goes_no_further_than_its_tolerance():
    pool = pool_of(4, noise=(1.5,) * 5)
    whole = scored(pool, pool.equal(pool.members), "negative_log_likelihood")
    excess = prune(pool, score="negative_log_likelihood", tolerance=9.0).value - whole
    assert excess > 0.01
    strict = prune(pool, score="negative_log_likelihood", tolerance=0.9 * excess)
    assert strict.value - whole <= 0.9 * excess
    assert len(strict.members) > 1


def test_greedy_with_replacement_goes_back_to_the_best_it_met():
    pool = pool_of(4, noise=(1.0, 1.0, 7.0))
    found = select_members(pool, rule="greedy_with_replacement", score="brier_score", n_members=3)
    values = [step.value for step in found.path]
    assert len(values) == 3
    assert values[2] > values[1]  # two alike members, and then one of them again
    assert found.weights == {"m0": 0.5, "m1": 0.5}
    assert found.value == min(values)


def test_pruning_refuses_a_negative_tolerance(pool):
    with pytest.raises(ValueError, match="at least 0"):
        prune(pool, score="brier_score", tolerance=-0.1)


def test_what_cannot_be_chosen_is_refused(pool, monkeypatch):
    with pytest.raises(InvalidInput, match="E412"):
        select_members(pool, rule="greedy", score="brier_score", n_members=7)
    with pytest.raises(ValueError, match="no selection rule 'best'"):
        select_members(pool, rule="best", score="brier_score", n_members=2)
    monkeypatch.setattr(selection_rules, "MOST_SUBSETS", 19)
    with pytest.raises(InvalidInput, match=r"E413.*\n.*20 subsets"):
        select_members(pool, rule="exhaustive", score="brier_score", n_members=3)
