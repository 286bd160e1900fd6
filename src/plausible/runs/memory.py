"""How much memory a case needs: one member at a time, the statistics of all of them, and the maps.

Members do not multiply. Sizes are read off the arrays themselves, which are made once for a grid of a few voxels.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from plausible.core import Classes, Geometry, Member, MemberInfo, Members
from plausible.measure import VOXEL_MEASURES, MapBuilder, default_slab_voxels

TINY = (2, 3, 4)
READING = 1.4
"""Peak of a walk against the sum: decompression, scaling in float64, checks (measured, `tests/runs/test_memory.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """Memory of one case in bytes.

    Attributes:
        subject, shape, n_channels: the case it was worked out for.
        member_bytes: one member (or the slab of it that is in memory at once).
        statistics_bytes: sums over members.
        maps_bytes: the maps that are written.
        machine_bytes: memory of this machine; None where the system does not tell.
    """

    subject: str
    shape: tuple[int, int, int]
    n_channels: int
    member_bytes: int
    statistics_bytes: int
    maps_bytes: int
    machine_bytes: int | None = None

    @property
    def total_bytes(self) -> int:
        """One member, the statistics and the maps together."""
        return self.member_bytes + self.statistics_bytes + self.maps_bytes

    @property
    def peak_bytes(self) -> int:
        """What the process may need at most while it reads files."""
        return int(READING * self.total_bytes)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        sums = {"total_bytes": self.total_bytes, "peak_bytes": self.peak_bytes}
        return {**asdict(self), "shape": list(self.shape), **sums}


def memory_need(members: Members, measures: Sequence[str]) -> MemoryNeed:
    """Work out what a walk over these members needs; nothing of them is read.

    Args:
        members: the members of one case.
        measures: the maps that are made, as `VOXEL_MEASURES` calls them.
    """
    n_voxels = members.geometry.n_voxels
    at_once = min(n_voxels, _slab_voxels(members))
    statistics, maps = _bytes_per_voxel(members.classes, measures)
    return MemoryNeed(
        subject=members.subject,
        shape=members.geometry.shape,
        n_channels=len(members.classes.names),
        member_bytes=np.dtype(np.float32).itemsize * len(members.classes.names) * at_once,
        statistics_bytes=int(statistics * at_once),
        maps_bytes=int(maps * n_voxels),
        machine_bytes=machine_bytes(),
    )


def machine_bytes() -> int | None:
    """Memory of this machine; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _slab_voxels(members: Members) -> int:
    wanted = default_slab_voxels(members)
    slice_voxels = members.geometry.n_voxels // members.geometry.shape[members.slab_axis]
    return members.geometry.n_voxels if wanted is None else max(wanted, slice_voxels)


def _bytes_per_voxel(classes: Classes, measures: Sequence[str]) -> tuple[float, float]:
    """Bytes per voxel of the statistics and of the maps, from those of a few voxels."""
    member = _tiny_member(classes)
    kinds = MapBuilder.start(Members(member.geometry, classes, ()), measures).reads
    statistics = {kind: kind.of(member) for kind in kinds}  # type: ignore[attr-defined]
    kept = sum(_array_bytes(statistic) for statistic in statistics.values())
    frames = sum(_frames(name, statistics) for name in measures)
    return kept / member.geometry.n_voxels, float(np.dtype(np.float32).itemsize * frames)


def _frames(name: str, statistics: dict[type, Any]) -> int:
    entry = VOXEL_MEASURES[name]
    assert entry.reads is not None, f"{name} must say which statistic it reads"
    return len(entry.function(statistics[entry.reads]))


def _array_bytes(statistic: Any) -> int:
    values = (getattr(statistic, field.name) for field in fields(statistic))
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


def _tiny_member(classes: Classes) -> Member:
    p = np.full((len(classes.names), *TINY), 1 / len(classes.names), dtype=np.float32)
    return Member(p, Geometry(TINY, np.eye(4)), classes, MemberInfo(id="tiny"))
