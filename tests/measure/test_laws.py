"""What holds for every entry of the catalogue, whatever the members."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.core import collect
from plausible.measure import VOXEL_MEASURES
from tests.measure.cases import KINDS, SHAPE, Example, examples, members_of, random_stack, read
from tests.measure.exact import DISAGREEMENT

ALL = pytest.mark.parametrize("entry", list(VOXEL_MEASURES), ids=lambda entry: entry.name)
ATOL = 4e-6  # rounding of another order; logarithms of the pairwise divergence go up to 11.8


def close(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_allclose(one, other, rtol=0, atol=ATOL)


@ALL
def test_it_says_what_a_reader_must_know(entry) -> None:
    assert entry.unit in {"1", "nat"}
    assert entry.source
    assert entry.summary.endswith(".")
    assert entry.reads is not None
    assert entry.upper is not None


@ALL
@given(example=examples(), seed=st.integers(0, 99))
def test_the_order_of_members_is_irrelevant(entry, example: Example, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(example.stack))
    close(read(entry, members_of(example.stack[order], example.classes)), read(entry, example.members))


@ALL
@given(
    example=examples(),
    axes=st.sampled_from(list(permutations((0, 1, 2)))),
    flips=st.tuples(*[st.sampled_from([1, -1])] * 3),
)
def test_voxels_do_not_know_where_they_are(entry, example: Example, axes, flips) -> None:
    def turn(array: np.ndarray) -> np.ndarray:
        lead = array.ndim - 3
        flipped = array[(slice(None),) * lead + tuple(slice(None, None, step) for step in flips)]
        return flipped.transpose(*range(lead), *(lead + axis for axis in axes))

    close(read(entry, members_of(turn(example.stack), example.classes)), turn(read(entry, example.members)))


@ALL
@given(example=examples(min_members=1), axis=st.integers(0, 2), slab_voxels=st.integers(1, 500), n=st.integers(1, 3))
def test_slabs_equal_the_whole(entry, example: Example, axis: int, slab_voxels: int, n: int) -> None:
    members = members_of(example.stack, example.classes, slab_axis=axis)
    close(read(entry, members, slab_voxels=slab_voxels, n_threads=n), read(entry, members))


@ALL
@given(example=examples(min_members=3), data=st.data())
def test_merging_is_associative_and_equals_adding(entry, example: Example, data: st.DataObject) -> None:
    first, second = sorted(data.draw(st.sets(st.integers(1, len(example.stack) - 1), min_size=2, max_size=2)))
    parts = (example.stack[:first], example.stack[first:second], example.stack[second:])
    a, b, c = (collect(members_of(part, example.classes), entry.reads)[entry.reads] for part in parts)
    added = read(entry, example.members)
    close(entry.function(a.merge(b).merge(c)), added)
    close(entry.function(a.merge(b.merge(c))), added)
    close(entry.function(c.merge(a).merge(b)), added)


@ALL
@given(example=examples(), times=st.integers(2, 3))
def test_counting_every_member_more_than_once_changes_nothing(entry, example: Example, times: int) -> None:
    again = np.concatenate([example.stack] * times)
    close(read(entry, members_of(again, example.classes)), read(entry, example.members))


@ALL
@given(example=examples(sharpness="hard"))
def test_certain_and_unanimous_is_zero(entry, example: Example) -> None:
    if entry.higher_is == "worse":
        unanimous = members_of([example.stack[0]] * 4, example.classes)
        np.testing.assert_array_equal(read(entry, unanimous), 0)


@ALL
@given(example=examples())
def test_values_keep_their_bounds(entry, example: Example) -> None:
    values = read(entry, example.members)
    assert values.min() >= 0
    assert values.max() <= entry.upper(example.classes) * (1 + 1e-6)
    assert values.dtype == np.float32


@ALL
@given(example=examples(min_members=1), seed=st.integers(0, 99))
def test_probabilities_that_sum_to_one_only_nearly_keep_the_bounds_too(entry, example: Example, seed: int) -> None:
    off = 1 + np.random.default_rng(seed).uniform(-0.01, 0.01, example.stack[:, :1].shape).astype(np.float32)
    stack = np.minimum(example.stack * off, np.float32(1))
    values = read(entry, members_of(np.concatenate([stack, stack]), example.classes))
    assert values.min() >= 0
    assert values.max() <= entry.upper(example.classes) * (1 + 1e-6)


@ALL
@given(example=examples())
def test_inputs_are_not_changed(entry, example: Example) -> None:
    before = example.stack.copy()
    members = example.members
    statistic = collect(members, entry.reads)[entry.reads]
    first = entry.function(statistic)
    kept = first.copy()
    first[...] = -1  # a result is nobody else's memory
    np.testing.assert_array_equal(entry.function(statistic), kept)
    np.testing.assert_array_equal(example.stack, before)


@ALL
@given(example=examples())
def test_merging_changes_neither_side(entry, example: Example) -> None:
    a, b = (
        collect(members_of(part, example.classes), entry.reads)[entry.reads] for part in np.split(example.stack, [1])
    )
    alone = entry.function(b)
    one = entry.function(a)
    a.merge(b)
    b.merge(a)
    np.testing.assert_array_equal(entry.function(b), alone)
    np.testing.assert_array_equal(entry.function(a), one)


@ALL
@given(example=examples(sharpness="hard"))
def test_hard_members_are_never_undefined(entry, example: Example) -> None:
    assert np.isfinite(read(entry, example.members)).all()


@ALL
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sharpness", ["soft", "hard"])
def test_one_member_measures_no_disagreement(entry, kind: str, sharpness: str) -> None:
    stack = random_stack(KINDS[kind], n_members=1, seed=0, sharpness=sharpness)
    undefined = np.isnan(read(entry, members_of(stack, KINDS[kind])))
    assert undefined.all() if entry.name in DISAGREEMENT else not undefined.any()


@ALL
@pytest.mark.parametrize("kind", KINDS)
def test_certain_members_that_contradict_each_other_are_at_least_as_uncertain(entry, kind: str) -> None:
    if entry.higher_is != "worse":
        return
    agree = np.zeros((2, len(KINDS[kind].names), *SHAPE), np.float32)
    agree[:, 0] = 1
    differ = agree.copy()
    differ[1] = np.roll(differ[1], 1, axis=0) if KINDS[kind].exclusive else 0
    before, after = read(entry, members_of(agree, KINDS[kind])), read(entry, members_of(differ, KINDS[kind]))
    if entry.name == "expected_entropy":
        np.testing.assert_array_equal(after, before)  # each member is as certain as before
    else:
        assert (after[0] > before[0]).all()
