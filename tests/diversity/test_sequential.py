from itertools import pairwise, product

import numpy as np
import pytest

from plausible.diversity.sequential import (
    mask_bounds,
    random_orders,
    stop_by_agreement,
    volume_members,
    vote_plan,
)
from plausible.diversity.sequential_cases import early_stopping
from tests.diversity.pools import pool_of


@pytest.mark.parametrize("n_members", [1, 2, 5, 8])
def test_the_exact_plan_never_changes_a_decision_and_stops_as_soon_as_it_is_fixed(n_members):
    for needed in range(1, n_members + 1):
        plan = vote_plan(n_members, needed=needed)
        assert plan.error == 0
        for votes in product([False, True], repeat=n_members):
            found = plan.decide(np.array(votes))
            assert found.decision == (sum(votes) >= needed)
            seen, rest = sum(votes[: found.used]), n_members - found.used
            assert seen >= needed or seen + rest < needed
            before = sum(votes[: found.used - 1])
            assert before < needed <= before + rest + 1


@pytest.mark.parametrize(("n_members", "needed"), [(10, 6), (11, 3), (20, 11)])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_error_of_a_plan_is_the_one_it_states(n_members, needed, alpha):
    plan, exact = vote_plan(n_members, needed=needed, alpha=alpha), vote_plan(n_members, needed=needed)
    assert 0 < plan.error <= alpha
    rng, worst = np.random.default_rng(0), []
    for n_yes in (needed - 1, needed):
        votes = np.arange(n_members) < n_yes
        found = [plan.decide(rng.permutation(votes)) for _ in range(4000)]
        worst.append(np.mean([one.decision != (n_yes >= needed) for one in found]))
        assert np.mean([one.used for one in found]) <= n_members
    assert max(worst) == pytest.approx(plan.error, abs=4 * np.sqrt(alpha / 4000))
    clear = np.zeros(n_members, dtype=bool)
    assert plan.decide(clear).used <= exact.decide(clear).used


def test_plans_refuse_what_makes_no_sense():
    for told in ({"needed": 0}, {"needed": 6}, {"alpha": 1.0}, {"alpha": -0.1}):
        with pytest.raises(ValueError, match="needed <= 5"):
            vote_plan(5, **told)
    with pytest.raises(ValueError, match="got 4 votes"):
        vote_plan(5).decide(np.ones(4, dtype=bool))


def test_the_bounds_of_the_majority_mask_hold_and_close():
    rng = np.random.default_rng(0)
    masks = rng.random((7, 4, 5, 6)) < 0.5
    full = int((masks.sum(axis=0) >= 4).sum())
    bounds = [mask_bounds(masks[:k].sum(axis=0), n_seen=k, n_members=7) for k in range(8)]
    assert bounds[0] == (0, 120)
    assert bounds[7] == (full, full)
    for (low, high), (further, less) in pairwise(bounds):
        assert low <= further <= full <= less <= high
    with pytest.raises(ValueError, match="8 of 7"):
        mask_bounds(masks[0].astype(np.int64), n_seen=8, n_members=7)


def similar(rng, n: int, level: float) -> np.ndarray:
    """Dice of members, each with a quality of its own."""
    own = rng.normal(0, 0.02, n)
    dice = np.clip(level + own[:, np.newaxis] + own + rng.normal(0, 0.005, (n, n)), 0, 1)
    dice = (dice + dice.T) / 2
    np.fill_diagonal(dice, 1)
    return dice


def test_the_exact_rule_of_agreement_never_changes_a_flag():
    rng = np.random.default_rng(2)
    for level in (0.02, 0.5, 0.85, 0.9, 0.99):
        for _ in range(40):
            dice = similar(rng, 9, level)
            full = dice[np.triu_indices(9, 1)].mean() < 0.85
            assert stop_by_agreement(dice, threshold=0.85, alpha=0.0, kind="exact").decision == full


def test_the_statistical_rule_of_agreement_errs_no_more_than_it_says_and_saves_members():
    rng, wrong, used = np.random.default_rng(3), 0, []
    for _ in range(1000):
        dice = similar(rng, 15, float(rng.choice([0.8, 0.845, 0.85, 0.855, 0.9])))
        found = stop_by_agreement(dice, threshold=0.85, alpha=0.1)
        wrong += found.decision != (dice[np.triu_indices(15, 1)].mean() < 0.85)
        used.append(found.used)
    assert wrong / 1000 <= 0.1
    assert np.mean(used) < 13


def test_a_volume_stops_within_its_tolerance():
    rng, off = np.random.default_rng(4), []
    for _ in range(1000):
        values = rng.normal(3.0, 0.1, 12)
        k = volume_members(values, tolerance=0.05, alpha=0.1)
        off.append(abs(values[:k].mean() - values.mean()) > 0.05)
    assert np.mean(off) <= 0.1
    assert volume_members(np.ones(12), tolerance=0.01, alpha=0.1) == 3
    assert volume_members(np.arange(12.0), tolerance=0.01, alpha=0.1) == 12


def test_early_stopping_over_a_pool_is_measured_against_all_members():
    pool = pool_of(6)
    lines = {line.rule: line for line in early_stopping(pool, flag_below=0.9, n_orders=5)}
    everybody = lines["all members"]
    assert (everybody.mean_used, everybody.changed_flags) == (6, 0)
    assert everybody.volume_change_ml == pytest.approx(0, abs=1e-12)
    assert lines["flag, exact"].changed_flags == 0
    assert lines["three members"].mean_used == 3
    assert lines["three members"].volume_change_ml > 0
    assert all(3 <= line.mean_used <= 6 or line.rule == "flag, exact" for line in lines.values())
    assert early_stopping(pool, flag_below=0.9, n_orders=5) == tuple(lines.values())
    assert lines["all members"].to_dict()["n_cases"] == 6


def test_orders_are_permutations_that_repeat_by_seed():
    orders = random_orders(6, n_orders=4, seed=1)
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(6), (4, 1)))
    assert np.array_equal(orders, random_orders(6, n_orders=4, seed=1))
