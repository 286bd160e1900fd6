"""From members to voxel maps in one walk: every measure that is asked for, slab by slab."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plausible.core import ArraySource, Classes, Collected, LabelSource, Members, ScalarMap, walk
from plausible.measure.voxel import VOXEL_MEASURES

DEFAULT_MEASURES = ("mean_probability", "predictive_entropy", "expected_entropy", "mutual_information")
SLAB_VOXELS = 2**18
"""Voxels of a slab of the member store: its chunks along i, each of which is then unpacked once."""
SLAB_VALUES = 3 * 2**18
"""Values of a slab of arrays in memory, all channels together: 3 MiB of means stay in the cache while all members pass
(above 4 MiB, numpy asks for huge pages, and emptying them takes as long as the arithmetic)."""


@dataclass(frozen=True, slots=True, eq=False)
class MapBuilder:
    """Voxel maps of one image, filled slab by slab from the statistics of a walk.

    Attributes:
        members: whose maps these are.
        names: measures, as `VOXEL_MEASURES` calls them.
    """

    members: Members
    names: tuple[str, ...]
    _values: dict[str, np.ndarray]

    @classmethod
    def start(cls, members: Members, names: Sequence[str]) -> "MapBuilder":
        """Return a builder of these measures.

        Raises:
            ValueError: a name that is no measure.
        """
        for name in names:
            VOXEL_MEASURES[name]
        return cls(members, tuple(names), {})

    @property
    def reads(self) -> tuple[type, ...]:
        """The statistics that a walk has to build for these measures."""
        return tuple(dict.fromkeys(kind for name in self.names if (kind := VOXEL_MEASURES[name].reads)))

    def put(self, bounds: tuple[int, int], collected: Collected) -> None:
        """Read the measures of one slab into the maps."""
        axis = self.members.slab_axis
        for name in self.names:
            entry = VOXEL_MEASURES[name]
            assert entry.reads is not None, f"{name} must say which statistic it reads"
            part = entry.function(collected[entry.reads])
            if name not in self._values:
                self._values[name] = self._empty(part)
            self._values[name][(slice(None),) * (axis + 1) + (slice(*bounds),)] = part

    def finish(self) -> dict[str, ScalarMap]:
        """Return the maps by measure."""
        return {name: self._map(name) for name in self.names}

    def _empty(self, part: np.ndarray) -> np.ndarray:
        return np.empty((part.shape[0], *self.members.geometry.shape), dtype=np.float32)

    def _map(self, name: str) -> ScalarMap:
        entry, classes = VOXEL_MEASURES[name], self.members.classes
        values = self._values[name]
        upper = entry.upper(classes) if entry.upper else np.inf
        frames = _frames(len(values), classes)
        return ScalarMap(name, values, self.members.geometry, entry.unit, (0.0, upper), entry.summary, frames)


def voxel_maps(
    members: Members,
    names: Sequence[str] = DEFAULT_MEASURES,
    *,
    slab_voxels: int | None = None,
    n_threads: int | None = None,
) -> dict[str, ScalarMap]:
    """Walk once over the members and return the maps of these measures.

    Args:
        members: the plausible segmentations.
        names: measures, as `VOXEL_MEASURES` calls them.
        slab_voxels: size of a slab; by default what `default_slab_voxels` says.
        n_threads: slabs that are worked on at a time; None takes the processors that this process may use.

    Returns:
        One `ScalarMap` per name; quantities of disagreement are NaN for a single member.

    Raises:
        ValueError: a name that is no measure, or no members.
    """
    builder = MapBuilder.start(members, names)
    slabs = slab_voxels or default_slab_voxels(members)
    for bounds, collected in walk(members, *builder.reads, slab_voxels=slabs, n_threads=n_threads):
        builder.put(bounds, collected)
    return builder.finish()


def default_slab_voxels(members: Members) -> int | None:
    """Slabs that stay in the cache where reading them is cheap, whole members otherwise."""
    if not members.sliceable:
        return None
    in_memory = all(isinstance(source, ArraySource | LabelSource) for source in members.sources)
    return SLAB_VALUES // len(members.classes.names) if in_memory else SLAB_VOXELS


def _frames(n_frames: int, classes: Classes) -> tuple[str, ...]:
    if n_frames == len(classes.names):
        return classes.names
    return classes.structures if n_frames == len(classes.structures) and n_frames > 1 else ("",) * n_frames
