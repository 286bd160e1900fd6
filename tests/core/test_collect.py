"""One walk feeds every statistic, reads every member once, and cuts the image into slabs that cover it once."""

import weakref
from dataclasses import dataclass, field
from threading import Event, Lock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.core import Accumulates, Classes, Geometry, Member, MemberInfo, Members, Statistic, collect, slabs, walk

CLASSES = Classes.overlapping_of({"liver": [1], "tumour": [2]})
SHAPE = (5, 7, 11)
SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


@dataclass(frozen=True, eq=False)
class Sums:
    """A statistic that only merges."""

    ids: tuple[str, ...]
    values: np.ndarray

    @classmethod
    def of(cls, member: Member) -> "Sums":
        return cls((member.info.id,), member.probabilities.copy())

    def merge(self, other: "Sums") -> "Sums":
        return Sums(self.ids + other.ids, self.values + other.values)

    def join(self, *others: "Sums", axis: int) -> "Sums":
        return Sums(self.ids, np.concatenate([part.values for part in (self, *others)], axis=axis + 1))


@dataclass(frozen=True, eq=False)
class Highest:
    """A statistic that takes members in without a second copy of itself; merging it would be a mistake."""

    n_members: int
    values: np.ndarray

    @classmethod
    def of(cls, member: Member) -> "Highest":
        return cls(1, member.probabilities.copy())

    def merge(self, other: "Highest") -> "Highest":
        raise AssertionError("a walk adds what can be added")

    def add(self, member: Member) -> "Highest":
        np.maximum(self.values, member.probabilities, out=self.values)
        return Highest(self.n_members + 1, self.values)

    def join(self, *others: "Highest", axis: int) -> "Highest":
        return Highest(self.n_members, np.concatenate([part.values for part in (self, *others)], axis=axis + 1))


@dataclass(eq=False)
class Counting:
    """A source that makes its values anew each time, counts how often, and how many are alive."""

    info: MemberInfo
    shape: tuple[int, int, int] = SHAPE
    hard: bool = False
    reads: list[tuple[int, int, int]] = field(default_factory=list)
    alive: list[weakref.ref] = field(default_factory=list)
    most_alive: int = 0
    lock: Lock = field(default_factory=Lock)

    def read(self, start: int, stop: int, *, axis: int) -> np.ndarray:
        with self.lock:
            self.alive[:] = [one for one in self.alive if one() is not None]
            self.most_alive = max(self.most_alive, len(self.alive))
            self.reads.append((start, stop, axis))
        whole = np.random.default_rng(int(self.info.id)).random((2, *self.shape), dtype=np.float32)
        values = whole[(slice(None),) * (axis + 1) + (slice(start, stop),)].copy()
        with self.lock:
            self.alive.append(weakref.ref(values))
        return values


def members_of(n_members: int, shape: tuple[int, int, int] = SHAPE, *, slab_axis: int = 0) -> Members:
    sources = tuple(Counting(MemberInfo(id=str(m)), shape) for m in range(n_members))
    for source in sources[1:]:
        source.alive, source.lock = sources[0].alive, sources[0].lock
    return Members(Geometry(shape, np.eye(4)), CLASSES, sources, "s1", slab_axis=slab_axis)


def test_the_examples_are_what_they_stand_for():
    assert issubclass(Sums, Statistic)
    assert issubclass(Highest, Statistic)
    assert issubclass(Highest, Accumulates)
    assert not issubclass(Sums, Accumulates)


def test_one_walk_feeds_several_statistics_and_reads_each_member_once():
    members = members_of(3)
    found = collect(members, Sums, Highest)
    values = [source.read(0, 5, axis=0) for source in members.sources]
    np.testing.assert_allclose(found[Sums].values, sum(values), atol=1e-6)
    np.testing.assert_array_equal(found[Highest].values, np.max(values, axis=0))
    assert found[Sums].ids == ("0", "1", "2")
    assert found[Highest].n_members == 3
    assert [len(source.reads) for source in members.sources] == [2, 2, 2]  # the walk's, and ours above


def test_members_can_be_walked_again():
    members = members_of(2)
    first, again = collect(members, Sums)[Sums], collect(members, Sums)[Sums]
    np.testing.assert_array_equal(first.values, again.values)


def test_a_statistic_that_is_named_twice_counts_every_member_once():
    assert collect(members_of(2), Sums, Highest, Sums)[Sums].ids == ("0", "1")


def test_one_member_is_in_memory_at_a_time():
    members = members_of(4)
    collect(members, Sums, Highest)
    assert max(source.most_alive for source in members.sources) == 0  # when the next one is read, the last is gone


def test_no_members_are_refused_by_name():
    with pytest.raises(ValueError, match="s1: there are no members"):
        collect(members_of(0), Sums)
    with pytest.raises(ValueError, match="these members: there are no members"):
        next(walk(Members(Geometry(SHAPE, np.eye(4)), CLASSES, ()), Sums))


def test_a_statistic_that_was_not_collected_is_not_found():
    with pytest.raises(KeyError):
        collect(members_of(1), Sums)[Highest]


@given(shape=SHAPES, axis=st.integers(0, 2), slab_voxels=st.none() | st.integers(1, 1000))
def test_slabs_cover_the_axis_once_and_keep_their_size(shape, axis: int, slab_voxels: int | None) -> None:
    cut = slabs(members_of(1, shape, slab_axis=axis), slab_voxels=slab_voxels)
    assert [n for start, stop in cut for n in range(start, stop)] == list(range(shape[axis]))
    plane = np.prod(shape) // shape[axis]
    thickest = max(stop - start for start, stop in cut)
    if slab_voxels is None:
        assert len(cut) == 1
    else:
        assert thickest * plane <= max(slab_voxels, plane)
        assert thickest == shape[axis] or (thickest + 1) * plane > slab_voxels


@given(
    shape=SHAPES,
    axis=st.integers(0, 2),
    slab_voxels=st.integers(1, 300),
    n_members=st.integers(1, 4),
    n_threads=st.none() | st.integers(1, 4),
)
def test_slabs_and_threads_give_what_the_whole_gives(shape, axis, slab_voxels, n_members, n_threads) -> None:
    members = members_of(n_members, shape, slab_axis=axis)
    whole = collect(members, Sums, Highest)
    parts = collect(members, Sums, Highest, slab_voxels=slab_voxels, n_threads=n_threads)
    np.testing.assert_array_equal(parts[Sums].values, whole[Sums].values)
    np.testing.assert_array_equal(parts[Highest].values, whole[Highest].values)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_slabs_come_in_their_order_with_their_bounds(n_threads: int) -> None:
    members = members_of(2)
    whole = collect(members, Sums)[Sums].values
    stops = [0]
    for (start, stop), part in walk(members, Sums, slab_voxels=1, n_threads=n_threads):
        assert start == stops[-1]
        np.testing.assert_array_equal(part[Sums].values, whole[:, start:stop])
        stops.append(stop)
    assert stops == [0, 1, 2, 3, 4, 5]


def test_threads_do_not_run_further_ahead_than_they_may():
    members = members_of(1, (40, 2, 2))
    slab_by_slab = walk(members, Sums, slab_voxels=4, n_threads=2)
    for n in range(1, 5):
        next(slab_by_slab)
        assert len(members.sources[0].reads) <= n + 2
    slab_by_slab.close()
    read = len(members.sources[0].reads)
    assert read <= 4 + 2


def test_slabs_are_worked_on_at_the_same_time():
    met = [Event(), Event()]

    @dataclass
    class Meeting:
        """A member whose two slabs wait for each other."""

        info: MemberInfo
        hard: bool = False

        def read(self, start: int, stop: int, *, axis: int) -> np.ndarray:
            met[start].set()
            assert met[1 - start].wait(timeout=30)
            return np.zeros((2, 1, 1, 1), np.float32)

    members = Members(Geometry((2, 1, 1), np.eye(4)), CLASSES, (Meeting(MemberInfo(id="0")),))
    assert collect(members, Sums, slab_voxels=1, n_threads=2)[Sums].values.shape == (2, 2, 1, 1)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_what_goes_wrong_in_a_slab_reaches_the_caller(n_threads: int) -> None:
    @dataclass
    class Broken:
        info: MemberInfo
        hard: bool = False

        def read(self, start: int, stop: int, *, axis: int) -> np.ndarray:
            if start >= 3:
                raise OSError(f"slab {start} cannot be read")
            return np.zeros((2, stop - start, 7, 11), np.float32)

    members = Members(Geometry(SHAPE, np.eye(4)), CLASSES, (Broken(MemberInfo(id="0")),))
    with pytest.raises(OSError, match="slab 3 cannot be read"):
        collect(members, Sums, slab_voxels=1, n_threads=n_threads)
