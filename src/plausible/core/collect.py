"""Walk once over the members and feed every statistic; slab by slab when asked, so that memory stays flat."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from plausible.core.members import Member, Members

S = TypeVar("S")


@runtime_checkable
class Statistic(Protocol):
    """What is kept of the members: small, mergeable, and all that measures and scores read.

    `merge` pools other members of the same voxels, `join` appends further voxels of the same members.
    Both are associative, and neither changes its operands.
    """

    @classmethod
    def of(cls, member: Member) -> "Statistic":
        """Return the statistic of one member."""
        ...

    def merge(self, other: Any) -> "Statistic":
        """Return the statistic of the members of both."""
        ...

    def join(self, *others: Any, axis: int) -> "Statistic":
        """Return the statistic of the voxels of all, the others following along an axis."""
        ...


@runtime_checkable
class Accumulates(Protocol):
    """A statistic that can take in a member without a second copy of itself."""

    def add(self, member: Member) -> Any:
        """Return the statistic with this member pooled in; may reuse its own memory, so only its owner may call it."""
        ...


@dataclass(frozen=True, slots=True)
class Collected:
    """The statistics of one walk, each found by its type: `collected[VoxelStatistics]`."""

    by_type: Mapping[type, Any]

    def __getitem__(self, statistic: type[S]) -> S:
        found: S = self.by_type[statistic]
        return found


def collect(
    members: Members, *statistics: type, slab_voxels: int | None = None, n_threads: int | None = None
) -> Collected:
    """Walk once over the members and return every statistic of them.

    Args:
        members: the plausible segmentations; one is in memory at a time.
        *statistics: the types to build, e.g. `VoxelStatistics, MemberVolumes`.
        slab_voxels: work in slabs of about this many voxels, all members of one slab before the next. None walks
            whole members. Slabs cost a repeated read where `members.sliceable` is False.
        n_threads: slabs that are worked on at a time; None takes the processors that this process may use.

    Returns:
        The statistics by type; the same whether in slabs or whole.

    Raises:
        ValueError: there are no members.
    """
    parts = [collected for _, collected in walk(members, *statistics, slab_voxels=slab_voxels, n_threads=n_threads)]
    return join(parts, axis=members.slab_axis)


def walk(
    members: Members, *statistics: type, slab_voxels: int | None = None, n_threads: int | None = None
) -> Iterator[tuple[tuple[int, int], Collected]]:
    """Yield, slab after slab, its bounds along `members.slab_axis` and the statistics of all members there.

    What keeps a value per voxel can be read and dropped slab by slab, so that nothing but the result stays in memory.
    Threads work ahead by as many slabs as there are threads; the order of slabs and every value stay the same.

    Raises:
        ValueError: there are no members.
    """
    if not len(members):
        raise ValueError(f"{members.subject or 'these members'}: there are no members to walk over")
    kinds = tuple(dict.fromkeys(statistics))
    bounds = slabs(members, slab_voxels=slab_voxels)
    workers = min(n_threads or usable_processors(), len(bounds))
    if workers == 1:
        for start, stop in bounds:
            yield (start, stop), _pool(members.slab(start, stop), kinds)
        return
    with ThreadPoolExecutor(workers) as executor:
        ahead: deque[tuple[tuple[int, int], Future[Collected]]] = deque()
        for start, stop in bounds:
            ahead.append(((start, stop), executor.submit(_pool, members.slab(start, stop), kinds)))
            if len(ahead) > workers:
                done, future = ahead.popleft()
                yield done, future.result()
        for done, future in ahead:
            yield done, future.result()


def usable_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def join(parts: Sequence[Collected], *, axis: int) -> Collected:
    """Return the statistics of all slabs together, in their order along an axis."""
    first, *others = parts
    return Collected({k: s.join(*(o.by_type[k] for o in others), axis=axis) for k, s in first.by_type.items()})


def slabs(members: Members, *, slab_voxels: int | None) -> list[tuple[int, int]]:
    """Cut the slab axis into parts of about `slab_voxels` voxels each; one part if None."""
    length = members.geometry.shape[members.slab_axis]
    if slab_voxels is None:
        return [(0, length)]
    thickness = max(1, slab_voxels * length // members.geometry.n_voxels)
    return [(start, min(start + thickness, length)) for start in range(0, length, thickness)]


def _pool(members: Iterator[Member], statistics: Sequence[type]) -> Collected:
    pooled: dict[type, Any] = {}
    for member in members:
        for kind in statistics:
            pooled[kind] = _include(pooled[kind], member) if kind in pooled else kind.of(member)  # type: ignore[attr-defined]
        del member  # the next one is read before the name is bound again: two would be in memory
    return Collected(pooled)


def _include(statistic: Any, member: Member) -> Any:
    if isinstance(statistic, Accumulates):
        return statistic.add(member)
    return statistic.merge(type(statistic).of(member))
