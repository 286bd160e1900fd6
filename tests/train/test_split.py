"""Splits by seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.train import Split, split_cases
from plausible.train.split import member_splits

NAMES = [f"s{n}" for n in range(20)]


@given(seed=st.integers(0, 1000))
def test_shares_are_disjoint_complete_and_repeatable(seed):
    parts = split_cases(NAMES, fractions=(0.6, 0.15, 0.25), seed=seed)
    assert [len(part) for part in parts] == [12, 3, 5]
    assert sorted(sum(parts, ())) == sorted(NAMES)
    assert parts == split_cases(NAMES[::-1], fractions=(0.6, 0.15, 0.25), seed=seed)


def test_seeds_give_other_splits():
    assert len({split_cases(NAMES, fractions=(0.5, 0.5), seed=seed) for seed in range(5)}) == 5


@pytest.mark.parametrize("fractions", [(0.5, 0.6), (1.2, -0.2), (0.99, 0.01)])
def test_impossible_shares_are_refused(fractions):
    with pytest.raises(ValueError, match=r"fractions|few"):
        split_cases(NAMES, fractions=fractions, seed=0)


def test_nobody_stands_on_both_sides():
    with pytest.raises(ValueError, match="more than once: b"):
        Split(("a", "b"), ("b",))


def test_deep_members_see_the_same_and_folds_partition():
    split = Split(tuple(NAMES), ("v",))
    deep = member_splits({"": split}, members=5, ensemble="deep", seed=7)
    assert {part.key for part in deep} == {deep[0].key}
    assert [part.seed for part in deep] == [7, 8, 9, 10, 11]
    folds = member_splits({"": split}, members=5, ensemble="cv", seed=7)
    left_out = [set(NAMES) - set(part.train) for part in folds]
    assert sorted(name for out in left_out for name in out) == sorted(NAMES)
    assert all(set(part.validation) == out | {"v"} for part, out in zip(folds, left_out, strict=True))
    assert len({part.key for part in folds}) == 5


@pytest.mark.parametrize(("members", "ensemble"), [(0, "deep"), (1, "cv"), (21, "cv")])
def test_impossible_ensembles_are_refused(members, ensemble):
    with pytest.raises(ValueError, match="at least"):
        member_splits({"": Split(tuple(NAMES))}, members=members, ensemble=ensemble, seed=0)
