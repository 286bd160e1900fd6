"""Over which voxels is a map read? Every region of a case, found once and used for all maps.

The background fills most of an image, so that numbers of the whole image say more about its field of view than about
the organ. The other regions follow a structure: where it is predicted, where any member saw it, or a shell around its
predicted surface; or every lesion of a structure on its own.

A structure that is predicted nowhere has empty regions; what is read there is NaN.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import edt
import numpy as np
from jaxtyping import Bool, Float32, UInt64

from plausible.aggregate.components import check_connectivity, connected_components
from plausible.core import Box, Catalogue, Classes, Geometry, ScalarMap
from plausible.measure import VoteCounts

BOUNDARY_MM = 4.0
"""Half the thickness of the shell around a surface."""

ROUNDING_MM = 1e-4
"""Distances up to this much above the limit are within it: rounding must not decide over a whole slice."""


@dataclass(frozen=True, slots=True, eq=False)
class CaseMasks:
    """Where the structures of a case are, as its members say together.

    Attributes:
        predicted: masks decoded from the mean probability.
        ever: voxels that at least one member puts into the structure.
        geometry: grid of the masks.
        structures: names, in the order of the masks.

    Raises:
        ValueError: masks that do not fit the structures or the grid.
    """

    predicted: Bool[np.ndarray, "s i j k"]
    ever: Bool[np.ndarray, "s i j k"]
    geometry: Geometry
    structures: tuple[str, ...]

    def __post_init__(self) -> None:
        expected = (len(self.structures), *self.geometry.shape)
        if self.predicted.shape != expected or self.ever.shape != expected:
            raise ValueError(f"masks {self.predicted.shape} and {self.ever.shape} do not fit {expected}")

    @classmethod
    def of(cls, probability: ScalarMap, votes: VoteCounts, *, classes: Classes) -> "CaseMasks":
        """Masks from the map of the mean probability and the votes of the members."""
        return cls(classes.masks(probability.values), votes.votes > 0, probability.geometry, classes.structures)

    def foreground_voxels(self) -> dict[str, int]:
        """Voxels of each predicted structure, and of all of them together under the empty name."""
        counts = {name: int(np.count_nonzero(mask)) for name, mask in zip(self.structures, self.predicted, strict=True)}
        return {"": int(np.count_nonzero(self.predicted.any(axis=0))), **counts}


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Some voxels of an image.

    Attributes:
        name: which region, with its settings.
        structure: whose; empty for all structures together.
        box: part of the image that holds every voxel of the region.
        inside: voxels of the region, within the box.
    """

    name: str
    structure: str
    box: Box
    inside: Bool[np.ndarray, "u v w"]

    def read(self, values: Float32[np.ndarray, "i j k"]) -> Float32[np.ndarray, " n"]:
        """Values of a map in the region."""
        return values[self.box][self.inside]


FindRegions: TypeAlias = Callable[..., Iterator[Region]]

REGIONS: Catalogue[FindRegions] = Catalogue("region")


@REGIONS.add(unit="voxel", higher_is="neither", source="Kahl et al. 2024, arXiv:2401.08501")
def whole_image(masks: CaseMasks) -> Iterator[Region]:
    """Every voxel of the image, for all structures together. Means fall as more background is in view."""
    yield Region("whole_image", "", _everywhere(masks), np.ones(masks.geometry.shape, dtype=bool))


@REGIONS.add(unit="voxel", higher_is="neither", source="Zenk et al. 2025, arXiv:2406.03323")
def predicted_foreground(masks: CaseMasks) -> Iterator[Region]:
    """Voxels of all predicted structures together; empty if nothing is predicted, never the whole image instead."""
    yield _cropped("predicted_foreground", "", np.asarray(masks.predicted.any(axis=0)))


@REGIONS.add(unit="voxel", higher_is="neither", source="Roy et al. 2019, arXiv:1811.09800")
def predicted_structure(masks: CaseMasks) -> Iterator[Region]:
    """Voxels of each structure as predicted from the mean probability; blind to what the prediction leaves out."""
    for structure, mask in zip(masks.structures, masks.predicted, strict=True):
        yield _cropped("predicted_structure", structure, mask)


@REGIONS.add(unit="voxel", higher_is="neither", source="union of the members' masks")
def ever_foreground(masks: CaseMasks) -> Iterator[Region]:
    """Voxels that at least one member puts into the structure, also where the prediction leaves it out."""
    for structure, mask in zip(masks.structures, masks.ever, strict=True):
        yield _cropped("ever_foreground", structure, mask)


@REGIONS.add(unit="voxel", higher_is="neither", source="Zenk et al. 2025, arXiv:2406.03323; here in mm")
def boundary(masks: CaseMasks, *, boundary_mm: float = BOUNDARY_MM) -> Iterator[Region]:
    """Shell around the surface of each predicted structure, on both sides of it.

    Voxels whose centre lies within `boundary_mm` of the centre of a voxel on the other side of the surface. The border
    of the image is no surface: a structure that is cut off there goes on.

    Raises:
        ValueError: `boundary_mm` is not above 0.
    """
    if not boundary_mm > 0:
        raise ValueError(f"boundary_mm must be above 0, got {boundary_mm}")
    for structure, mask in zip(masks.structures, masks.predicted, strict=True):
        box = box_around(mask, margin_mm=boundary_mm, spacing_mm=masks.geometry.spacing_mm)
        shell = distance_across(mask[box], masks.geometry.spacing_mm) <= boundary_mm + ROUNDING_MM
        yield Region(f"boundary_{boundary_mm:g}_mm", structure, box, shell)


@REGIONS.add(unit="voxel", higher_is="neither", source="Zenk et al. 2025, arXiv:2406.03323; here in mm")
def outside_boundary(masks: CaseMasks, *, boundary_mm: float = BOUNDARY_MM) -> Iterator[Region]:
    """All of the image but the shell around the surface of each predicted structure, inside and outside of it.

    What is uncertain here is not a matter of where exactly the contour runs. The whole image if nothing is predicted.

    Raises:
        ValueError: `boundary_mm` is not above 0.
    """
    for shell in boundary(masks, boundary_mm=boundary_mm):
        inside = np.ones(masks.geometry.shape, dtype=bool)
        inside[shell.box] = ~shell.inside
        yield Region(f"outside_{shell.name}", shell.structure, _everywhere(masks), inside)


@REGIONS.add(unit="voxel", higher_is="neither", source="Molchanova et al. 2025, arXiv:2311.08931")
def lesion(masks: CaseMasks, *, connectivity: int) -> Iterator[Region]:
    """Every connected component of each predicted structure, the largest first.

    Raises:
        ValueError: a connectivity that is not 6, 18 or 26.
    """
    check_connectivity(connectivity)
    for structure, mask in zip(masks.structures, masks.predicted, strict=True):
        around = box_around(mask)
        found = connected_components(mask[around], connectivity=connectivity)
        for number, box in enumerate(found.boxes, start=1):
            yield Region(
                lesion_name(number, connectivity), structure, shifted(box, around), found.labels[box] == number
            )


def lesion_name(number: int, connectivity: int) -> str:
    """Name of a lesion in rows: its number by size, and the connectivity it was found with."""
    return f"lesion_{number}_connectivity_{connectivity}"


def regions_of(
    masks: CaseMasks, names: Sequence[str], *, boundary_mm: float = BOUNDARY_MM, connectivity: int | None = None
) -> Iterator[Region]:
    """Yield the regions of these kinds, one in memory at a time.

    Raises:
        ValueError: a name that is no region, or lesions without a connectivity.
    """
    settings: dict[str, dict[str, Any]] = {
        boundary.__name__: {"boundary_mm": boundary_mm},
        outside_boundary.__name__: {"boundary_mm": boundary_mm},
        lesion.__name__: {"connectivity": connectivity},
    }
    if lesion.__name__ in names:
        check_connectivity(connectivity)
    for name in names:
        yield from REGIONS[name].function(masks, **settings.get(name, {}))


def touches_edge(mask: Bool[np.ndarray, "i j k"]) -> bool:
    """Whether a structure reaches the border of the image, where it may be cut off. Axes of one voxel do not count."""
    return any(bool(mask.take(end, axis=axis).any()) for axis in range(3) if mask.shape[axis] > 1 for end in (0, -1))


def _everywhere(masks: CaseMasks) -> Box:
    i, j, k = masks.geometry.shape
    return slice(0, i), slice(0, j), slice(0, k)


def _cropped(name: str, structure: str, mask: Bool[np.ndarray, "i j k"]) -> Region:
    box = box_around(mask)
    return Region(name, structure, box, mask[box])


def shifted(box: Box, around: Box) -> Box:
    """A box within a box, as a box of the image."""
    i, j, k = (slice(a.start + b.start, a.start + b.stop) for a, b in zip(around, box, strict=True))
    return i, j, k


def box_around(
    mask: Bool[np.ndarray, "i j k"], *, margin_mm: float = 0.0, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Box:
    """Smallest box around a mask, and a margin; a box of no voxels if the mask is empty."""
    box = []
    for axis in range(3):
        present = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        margin = math.floor((margin_mm + ROUNDING_MM) / spacing_mm[axis])
        start, stop = (int(present[0]), int(present[-1]) + 1) if len(present) else (0, 0)
        box.append(slice(max(0, start - margin), stop + margin) if stop else slice(0, 0))
    return box[0], box[1], box[2]


def grown(
    mask: Bool[np.ndarray, "i j k"], *, margin_mm: float, spacing_mm: tuple[float, float, float]
) -> Bool[np.ndarray, "i j k"]:
    """Voxels of a mask, and those whose centre lies within a distance of one of theirs; none if the mask is empty."""
    found = np.zeros(mask.shape, dtype=bool)
    box = box_around(mask, margin_mm=margin_mm, spacing_mm=spacing_mm)
    found[box] = mask[box] | (distance_across(mask[box], spacing_mm) <= margin_mm + ROUNDING_MM)
    return found


def distance_across(
    sides: Bool[np.ndarray, "u v w"] | UInt64[np.ndarray, "u v w"], spacing_mm: tuple[float, float, float]
) -> Float32[np.ndarray, "u v w"]:
    """Distance in mm from each voxel to the nearest one on another side of a surface; infinite without one.

    Sides are a mask, or a number for each label.
    """
    if not sides.size:
        return np.zeros(sides.shape, dtype=np.float32)
    numbered = sides.astype(np.uint8) + np.uint8(1) if sides.dtype == bool else sides + np.uint64(1)
    return np.asarray(edt.edt(numbered, anisotropy=spacing_mm, black_border=False, parallel=1))
