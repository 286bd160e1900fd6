"""Walk once over the members and feed every statistic; slab by slab when asked, so that memory stays flat."""

from collections.abc import Iterator, Mapping, Sequence
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


def collect(members: Members, *statistics: type, slab_voxels: int | None = None) -> Collected:
    """Walk once over the members and return every statistic of them.

    Args:
        members: the plausible segmentations; one is in memory at a time.
        *statistics: the types to build, e.g. `VoxelStatistics, MemberVolumes`.
        slab_voxels: work in slabs of about this many voxels, all members of one slab before the next. None walks
            whole members. Slabs cost a repeated read where `members.sliceable` is False.

    Returns:
        The statistics by type; the same whether in slabs or whole.

    Raises:
        ValueError: there are no members.
    """
    parts = [collected for _, collected in walk(members, *statistics, slab_voxels=slab_voxels)]
    return join(parts, axis=members.slab_axis)


def walk(
    members: Members, *statistics: type, slab_voxels: int | None = None
) -> Iterator[tuple[tuple[int, int], Collected]]:
    """Yield, slab after slab, its bounds along `members.slab_axis` and the statistics of all members there.

    What keeps a value per voxel can be read and dropped slab by slab, so that nothing but the result stays in memory.

    Raises:
        ValueError: there are no members.
    """
    if not len(members):
        raise ValueError(f"{members.subject or 'these members'}: there are no members to walk over")
    for start, stop in slabs(members, slab_voxels=slab_voxels):
        yield (start, stop), _pool(members.slab(start, stop), statistics)


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
    return Collected(pooled)


def _include(statistic: Any, member: Member) -> Any:
    if isinstance(statistic, Accumulates):
        return statistic.add(member)
    return statistic.merge(type(statistic).of(member))
