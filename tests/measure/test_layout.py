"""Wherever a member lies in memory, its voxels are measured in place, and never as those of their neighbours."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.core import Members, collect
from plausible.measure import VOXEL_MEASURES, VoxelStatistics, predictive_entropy, voxel_maps
from plausible.measure.layout import channels, memory_order, rows, zeros_in
from tests.measure.cases import KINDS, SHAPE, grid, member_of, members_of, random_stack


def inside(axis: int) -> Callable[[np.ndarray], np.ndarray]:
    """A view of a larger array, cut along one axis."""

    def place(array: np.ndarray) -> np.ndarray:
        shape = list(array.shape)
        shape[axis] += 6
        larger = np.full(shape, np.nan, array.dtype)
        view = larger[(slice(None),) * axis + (slice(2, 2 + array.shape[axis]),)]
        view[...] = array
        return view

    return place


def in_order(*axes: int) -> Callable[[np.ndarray], np.ndarray]:
    """A copy that lies in memory with these axes from the slowest to the fastest."""
    return lambda array: np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes))


def backwards(array: np.ndarray) -> np.ndarray:
    return array[:, ::-1, :, ::-1].copy()[:, ::-1, :, ::-1]


def locked(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array: np.ndarray) -> np.ndarray:
    view = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def packed(array: np.ndarray) -> np.ndarray:
    records = np.zeros(array.shape, np.dtype([("flag", np.uint8), ("p", array.dtype)]))
    records["p"] = array
    return records["p"]


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "NIfTI, one file per class": in_order(0, 3, 2, 1),
    "NIfTI, classes last": in_order(3, 2, 1, 0),
    "classes in the middle": in_order(1, 0, 3, 2),
    "classes of more": inside(0),
    "slab along i": inside(1),
    "slab along j": inside(2),
    "slab along k": inside(3),
    "every second voxel": lambda array: np.repeat(array, 2, axis=3)[..., ::2],
    "backwards": backwards,
    "classes backwards": lambda array: array[::-1].copy()[::-1],
    "read-only": locked,
    "unaligned": unaligned,
    "packed with something else": packed,
}
EVERY_LAYOUT = pytest.mark.parametrize("place", LAYOUTS.values(), ids=LAYOUTS)


def every_measure(members: Members, **walking) -> dict[str, np.ndarray]:
    found = collect(members, *{entry.reads for entry in VOXEL_MEASURES}, **walking)
    return {entry.name: entry.function(found[entry.reads]) for entry in VOXEL_MEASURES}


def close(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], rtol=0, atol=4e-6, err_msg=name)


@EVERY_LAYOUT
@pytest.mark.parametrize("kind", KINDS)
def test_the_layout_of_members_is_irrelevant(place, kind: str) -> None:
    stack = random_stack(KINDS[kind], n_members=3, seed=0)
    expected = every_measure(members_of(stack, KINDS[kind]))
    placed = [place(one) for one in stack]
    close(every_measure(members_of(placed, KINDS[kind])), expected)
    close(every_measure(members_of([stack[0], placed[1], placed[2]], KINDS[kind])), expected)
    close(every_measure(members_of([placed[0], stack[1], placed[2]], KINDS[kind])), expected)


@EVERY_LAYOUT
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slabs_of_any_layout_equal_the_whole(place, axis: int) -> None:
    classes = KINDS["classes"]
    stack = random_stack(classes, n_members=3, seed=1)
    members = members_of([place(one) for one in stack], classes, slab_axis=axis)
    expected = every_measure(members_of(stack, classes))
    for slab_voxels in (1, 80):
        close(every_measure(members, slab_voxels=slab_voxels), expected)
    maps = voxel_maps(members, VOXEL_MEASURES.names, slab_voxels=80)
    close({name: made.values for name, made in maps.items()}, expected)


@EVERY_LAYOUT
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_merged_and_joined_statistics_can_take_in_more_members(place, axis: int) -> None:
    classes = KINDS["classes"]
    stack = random_stack(classes, n_members=3, seed=2)
    expected = every_measure(members_of(stack, classes))["predictive_entropy"]
    parts = []
    for pieces in zip(*(np.split(place(one), [2], axis=axis + 1) for one in stack[:2]), strict=True):
        a, b = (VoxelStatistics.of(member_of(piece, classes)) for piece in pieces)
        parts.append(a.merge(b))
    whole = parts[0].join(parts[1], axis=axis).add(member_of(place(stack[2]), classes))
    np.testing.assert_allclose(predictive_entropy(whole), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8])
def test_other_types_are_read_as_float32(dtype: type) -> None:
    classes = KINDS["classes"]
    stack = random_stack(classes, n_members=3, seed=3, sharpness="hard" if dtype == np.uint8 else "soft").astype(dtype)
    members = Members.from_arrays(list(stack), geometry=grid(SHAPE), classes=classes)
    close(every_measure(members), every_measure(members_of(stack.astype(np.float32), classes)))


def test_a_statistic_with_gaps_is_refused_not_ignored():
    classes = KINDS["classes"]
    a, b = (member_of(one, classes) for one in random_stack(classes, n_members=2, seed=4))
    whole = VoxelStatistics.of(a)
    part = VoxelStatistics(1, whole.mean_probability[..., ::2], whole.mean_entropy[..., ::2], whole.exclusive)
    half = member_of(b.probabilities[..., ::2], classes)
    with pytest.raises(ValueError, match="part of a larger array"):
        part.add(half)
    np.testing.assert_array_equal(predictive_entropy(part), predictive_entropy(whole)[..., ::2])


@EVERY_LAYOUT
def test_channels_view_the_voxels_in_their_order(place) -> None:
    array = place(random_stack(KINDS["classes"], n_members=1, seed=5)[0])
    order = memory_order(array)
    flat, stride = channels(array, order)
    expected = array.transpose(order).reshape(4, -1)
    for c in range(4):
        np.testing.assert_array_equal(flat[c * stride : c * stride + expected.shape[1]], expected[c])


@pytest.mark.parametrize("name", ["C", "NIfTI, one file per class", "classes of more", "slab along i", "read-only"])
def test_members_that_lie_densely_are_not_copied(name: str) -> None:
    array = LAYOUTS[name](random_stack(KINDS["classes"], n_members=1, seed=5)[0])
    assert np.shares_memory(channels(array, memory_order(array))[0], array)


@given(order=st.permutations([1, 2, 3]), n=st.integers(1, 4))
def test_rows_write_through(order: list[int], n: int) -> None:
    axes = (0, *order)
    zeros = zeros_in(axes, (n, *SHAPE), np.float32)
    rows(zeros, axes)[...] = np.arange(zeros.size, dtype=np.float32).reshape(n, -1)
    assert zeros.shape == (n, *SHAPE)
    np.testing.assert_array_equal(zeros.transpose(axes).ravel(), np.arange(zeros.size))


def test_a_single_voxel_and_a_single_region():
    classes = KINDS["one region"]
    stack = np.array([0.25, 0.75], np.float32).reshape(2, 1, 1, 1, 1)
    found = collect(members_of(stack, classes), VoxelStatistics)[VoxelStatistics]
    assert predictive_entropy(found).item() == pytest.approx(np.log(2), abs=1e-6)
