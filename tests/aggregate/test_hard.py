import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate.hard import HardMap, channel_sums, is_one_hot, labels_of, packed_labels
from plausible.core import Classes, Geometry, Member, MemberInfo
from tests.aggregate.cases import random_members

SHAPE = (5, 7, 11)
NINE = Classes.overlapping_of({f"region {n}": [n] for n in range(1, 10)})


def nine_regions(seed: int) -> Member:
    """More regions than fit into one word; the last is empty."""
    p = np.random.default_rng(seed).random((9, *SHAPE)).astype(np.float32)
    p[8] = 0.5
    return Member(p, Geometry(SHAPE, np.eye(4)), NINE, MemberInfo(id="a"))


@pytest.mark.parametrize("kind", ["classes", "regions", "nine"])
@given(seed=st.integers(0, 9))
def test_masks_are_those_of_the_classes(kind, geometry, request, seed):
    if kind == "nine":
        member = nine_regions(seed)
    else:
        member = next(iter(random_members(geometry, request.getfixturevalue(kind), n_members=1, seed=seed)))
    hard, masks = HardMap.of(member), member.classes.masks(member.probabilities)
    box = (slice(1, 4), slice(0, 6), slice(2, 9))
    parts = [hard.slab(0, 2, axis=2), hard.slab(2, hard.words.shape[3], axis=2)]
    for s, mask in enumerate(masks):
        assert np.array_equal(hard.mask(s), mask)
        assert np.array_equal(hard.mask(s, box=box), mask[box])
        assert np.array_equal(parts[0].join(parts[1], axis=2).mask(s), mask)


@pytest.mark.parametrize("exclusive", [True, False])
def test_boxes_hold_all_voxels_and_no_empty_side(exclusive):
    masks = np.zeros((3, *SHAPE), dtype=np.float32)
    masks[0, 1:3, 6, 2:5] = 1
    masks[2, 4, 0, 10] = 1
    regions = {"a": [1], "b": [2], "c": [3]}
    labels = {"none": 0, "a": 1, "b": 2, "c": 3}
    classes = Classes.exclusive_of(labels) if exclusive else Classes.overlapping_of(regions)
    p = np.concatenate([1 - masks.sum(axis=0, keepdims=True), masks]) if exclusive else masks
    boxes = HardMap.of(Member(p, Geometry(SHAPE, np.eye(4)), classes, MemberInfo(id="a"))).boxes()
    assert boxes == [(slice(1, 3), slice(6, 7), slice(2, 5)), None, (slice(4, 5), slice(0, 1), slice(10, 11))]


def test_equals_go_to_the_first_in_any_order_of_memory():
    p = np.random.default_rng(3).integers(0, 3, (4, *SHAPE)).astype(np.float32)
    for array in (p, np.asfortranarray(p), np.stack(list(np.moveaxis(p, 1, 3))).transpose(0, 3, 1, 2), p[:, ::-1]):
        assert np.array_equal(labels_of(array), array.argmax(axis=0))
        np.testing.assert_allclose(channel_sums(array), p.sum(axis=(1, 2, 3), dtype=np.float64), rtol=1e-14)


def test_bits_are_those_of_packbits_in_whole_words():
    labels = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
    bits = packed_labels(np.asfortranarray(labels), 3)
    expected = np.packbits(np.stack([labels == s for s in (1, 2, 3)]).reshape(3, -1), axis=1)
    assert bits.shape == (3, 56)  # 385 voxels: 7 words of 8 bytes
    assert np.array_equal(bits[:, : expected.shape[1]], expected)
    assert not bits[:, expected.shape[1] :].any()


def test_one_hot():
    classes = Classes.exclusive_of({"none": 0, "a": 1})
    p = np.zeros((2, 1, 1, 2), dtype=np.float32)
    p[0, ..., 0] = p[1, ..., 1] = 1
    assert is_one_hot(classes, p)
    for wrong in (p * np.float32(0.5), p * 0, np.ones_like(p)):
        assert not is_one_hot(classes, wrong)
