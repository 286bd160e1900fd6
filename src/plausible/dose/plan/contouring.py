"""One set of contours of a patient as a planner has it: a mask per structure, each cut to its own box."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from plausible.aggregate.regions import box_around
from plausible.core import Geometry


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The voxels of one structure in the smallest box that holds them, with the grid of that box."""

    mask: Bool[np.ndarray, "i j k"]
    geometry: Geometry

    @classmethod
    def of(cls, mask: Bool[np.ndarray, "i j k"], geometry: Geometry) -> "Region":
        """Cut a mask on an image's grid to its box; an empty one keeps one voxel that is not in it."""
        box = box_around(mask) if mask.any() else (slice(0, 1), slice(0, 1), slice(0, 1))
        return cls(np.ascontiguousarray(mask[box]), geometry.cut(box))

    @property
    def volume_ml(self) -> float:
        """Volume of the voxels."""
        return float(np.count_nonzero(self.mask)) * self.geometry.voxel_volume_ml

    @property
    def key(self) -> str:
        """Hash of the voxels and of where they are."""
        where = np.round(self.geometry.affine, 4).tobytes() + np.asarray(self.mask.shape, dtype=np.int64).tobytes()
        return hashlib.sha256(where + np.packbits(self.mask).tobytes()).hexdigest()

    def holds(self, points_mm: Float64[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Whether each point lies in one of the voxels."""
        places = np.rint(self.geometry.to_places(points_mm)).astype(np.int64)
        on_grid = ((places >= 0) & (places < self.mask.shape)).all(axis=1)
        found = np.zeros(len(points_mm), dtype=bool)
        found[on_grid] = self.mask[tuple(places[on_grid].T)]
        return found

    def onto(self, geometry: Geometry) -> Bool[np.ndarray, "i j k"]:
        """Mask on the whole grid that the box was cut from."""
        (start,) = np.rint(geometry.to_places(self.geometry.affine[np.newaxis, :3, 3])).astype(int)
        whole = np.zeros(geometry.shape, dtype=bool)
        whole[tuple(slice(s, s + n) for s, n in zip(start, self.mask.shape, strict=True))] = self.mask
        return whole

    def points_mm(self) -> Float64[np.ndarray, "n 3"]:
        """World coordinates of the voxels' centres."""
        return self.geometry.to_world_mm(np.argwhere(self.mask))


@dataclass(frozen=True, slots=True, eq=False)
class Contouring:
    """All structures of one plausible set of contours, by name."""

    id: str
    regions: Mapping[str, Region]

    @property
    def key(self) -> str:
        """Hash of all structures and their names; the id does not count."""
        told = "".join(f"{name}:{self.regions[name].key};" for name in sorted(self.regions))
        return hashlib.sha256(told.encode()).hexdigest()

    def inside(self, points_mm: Float64[np.ndarray, "n 3"]) -> dict[str, Bool[np.ndarray, " n"]]:
        """For each structure whether each point lies in it."""
        return {name: region.holds(points_mm) for name, region in self.regions.items()}


def union_points_mm(contourings: Iterable[Contouring], names: Iterable[str]) -> Float64[np.ndarray, "n 3"]:
    """Centres of all voxels that any contouring has in any of these structures; a voxel may come more than once."""
    wanted = set(names)
    found = [region.points_mm() for each in contourings for name, region in each.regions.items() if name in wanted]
    points = np.concatenate(found) if found else np.zeros((0, 3))
    return np.unique(np.round(points, 3), axis=0)
