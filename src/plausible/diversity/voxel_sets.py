"""Over which voxels are members compared? A measure of diversity means nothing without them.

Most of an image is background that nobody doubts: over all voxels, any two members hardly differ. So the default is a
band along the contours of all members. Where there are references the band runs along their contours too, so that what
all members miss is inside; sets with and without references are therefore named apart.

A set of one structure belongs to it; that of all structures together is their union.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, UInt64

from plausible.aggregate.hard import pack_masks
from plausible.aggregate.regions import box_around, grown
from plausible.core import Catalogue, Geometry

BAND_MM = 4.0
"""How far the band reaches beyond the contours, on both sides."""


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """Where one structure is, as some segmentations say.

    Attributes:
        ever: voxels that at least one of them puts into the structure.
        always: voxels that all of them do.
    """

    ever: Bool[np.ndarray, "i j k"]
    always: Bool[np.ndarray, "i j k"]


@dataclass(frozen=True, slots=True, eq=False)
class VoxelSet:
    """The voxels of each structure, then those of all together, one bit each.

    Attributes:
        name: which set, with its settings.
    """

    name: str
    bits: UInt64[np.ndarray, "s w"]


FindVoxels: TypeAlias = Callable[..., Bool[np.ndarray, "i j k"]]

VOXEL_SETS: Catalogue[FindVoxels] = Catalogue("voxel set")


@VOXEL_SETS.add(unit="voxel", higher_is="neither", source="unpublished")
def contour_band(marked: Marked, geometry: Geometry, *, band_mm: float) -> Bool[np.ndarray, "i j k"]:
    """Where contours run: voxels that some mark and some do not, and those within a distance of them.

    Voxels within `band_mm` of one that is ever marked and within `band_mm` of one that is not always marked. If all
    agree this is the shell on both sides of their surface. Empty if nobody marks anything.
    """
    band = np.zeros(geometry.shape, dtype=bool)
    box = box_around(marked.ever, margin_mm=band_mm, spacing_mm=geometry.spacing_mm)
    ever, always = marked.ever[box], marked.always[box]
    near_both = (grown(one, margin_mm=band_mm, spacing_mm=geometry.spacing_mm) for one in (ever, ~always))
    band[box] = np.logical_and(*near_both)
    return band


@VOXEL_SETS.add(unit="voxel", higher_is="neither", source="union of the masks")
def ever_foreground(marked: Marked, geometry: Geometry, *, band_mm: float) -> Bool[np.ndarray, "i j k"]:
    """Voxels that at least one segmentation puts into the structure."""
    return marked.ever


@VOXEL_SETS.add(unit="voxel", higher_is="neither", source="all voxels")
def whole_image(marked: Marked, geometry: Geometry, *, band_mm: float) -> Bool[np.ndarray, "i j k"]:
    """Every voxel of the image. Numbers fall as more background is in view."""
    return np.ones(geometry.shape, dtype=bool)


def voxel_set(
    name: str, bits: UInt64[np.ndarray, "n s w"], geometry: Geometry, *, band_mm: float = BAND_MM, references: int = 0
) -> VoxelSet:
    """Find the voxels of a set.

    Args:
        name: one of `VOXEL_SETS`.
        bits: masks of the members, and of the references behind them.
        geometry: grid of the masks.
        band_mm: reach of the band.
        references: how many of the masks are references; for the name only.

    Raises:
        ValueError: no such set, or `band_mm` is not above 0.
    """
    find = VOXEL_SETS[name].function
    if not band_mm > 0:
        raise ValueError(f"band_mm must be above 0, got {band_mm}")
    found = []
    for s in range(bits.shape[1]):
        ever, always = (
            unpacked(one, geometry.shape)
            for one in (np.bitwise_or.reduce(bits[:, s]), np.bitwise_and.reduce(bits[:, s]))
        )
        found.append(pack_masks(find(Marked(ever, always), geometry, band_mm=band_mm)[np.newaxis])[0])
    whole = np.bitwise_or.reduce(np.stack(found))
    return VoxelSet(_told(name, band_mm, references), np.stack([*found, whole]))


def unpacked(bits: UInt64[np.ndarray, " w"], shape: tuple[int, ...]) -> Bool[np.ndarray, "i j k"]:
    """Mask of its bits."""
    flat = np.unpackbits(bits.view(np.uint8), count=math.prod(shape))
    return flat.reshape(shape).view(np.bool_)


def _told(name: str, band_mm: float, references: int) -> str:
    told = f"{name}_{band_mm:g}_mm" if name == contour_band.__name__ else name
    return f"{told}_with_references" if references and name != whole_image.__name__ else told
