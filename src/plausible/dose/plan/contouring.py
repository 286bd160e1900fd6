"""One set of contours of a patient as a planner has it: a mask per structure, each cut to its own box."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from plausible.core import Geometry


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The voxels of one structure in the smallest box that holds them, with the grid of that box."""

    mask: Bool[np.ndarray, "i j k"]
    geometry: Geometry

    @classmethod
    def of(cls, mask: Bool[np.ndarray, "i j k"], geometry: Geometry) -> "Region":
        """Cut a mask on an image's grid to its box; an empty one keeps one voxel that is not in it."""
        cut = geometry
        bounds = []
        for axis in range(3):
            present = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
            start, stop = (int(present[0]), int(present[-1]) + 1) if len(present) else (0, 1)
            bounds.append(slice(start, stop))
            cut = cut.slab(start, stop, axis=axis)
        return cls(np.ascontiguousarray(mask[tuple(bounds)]), cut)

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
        inverse = np.linalg.inv(self.geometry.affine)
        places = np.rint(points_mm @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
        on_grid = ((places >= 0) & (places < self.mask.shape)).all(axis=1)
        found = np.zeros(len(points_mm), dtype=bool)
        found[on_grid] = self.mask[tuple(places[on_grid].T)]
        return found

    def onto(self, geometry: Geometry) -> Bool[np.ndarray, "i j k"]:
        """Mask on the whole grid that the box was cut from."""
        offset = np.linalg.inv(geometry.affine) @ self.geometry.affine[:, 3]
        start = np.rint(offset[:3]).astype(int)
        whole = np.zeros(geometry.shape, dtype=bool)
        whole[tuple(slice(s, s + n) for s, n in zip(start, self.mask.shape, strict=True))] = self.mask
        return whole

    def points_mm(self) -> Float64[np.ndarray, "n 3"]:
        """World coordinates of the voxels' centres."""
        places = np.argwhere(self.mask).astype(np.float64)
        return np.asarray(places @ self.geometry.affine[:3, :3].T + self.geometry.affine[:3, 3])


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
