"""The average shape: the mean of the members' signed distances to their own surface, in mm.

A signed distance is that from a voxel's centre to the nearest voxel centre on the other side of the surface, above 0
inside. Where the mean over members is 0 or more, the voxel is inside. Two members that differ by a shift give a surface
half way, where a vote only picks one of the two or nothing.

The image's border is no surface. Distances are measured in the box around all masks, which changes nothing but the
time.

Sources: Rohlfing and Maurer 2007, doi:10.1109/TIP.2006.884936.
"""

import math
from collections.abc import Iterator

import edt
import numpy as np
from jaxtyping import Bool, Float, Float32

from plausible.aggregate.pooling import POOLS, as_hard_pool
from plausible.aggregate.stack import MaskStack
from plausible.core import Geometry, Member, Members, collect

ROUNDING_MM = 1e-4
"""Means of distances that are 0 up to this much lie on the surface, and count as inside."""


@POOLS.add(unit="1", higher_is="neither", source="Rohlfing and Maurer 2007, doi:10.1109/TIP.2006.884936")
def shape_based_average(members: Members, *, slab_voxels: int | None = None) -> Member:
    """Mask whose surface lies in the middle of the members' surfaces, in mm.

    A structure is there if at least half of the members have it, and is averaged over these alone: an empty mask has
    no surface. Exclusive classes: the background is a class with a distance of its own, a voxel goes to the class with
    the largest mean distance, to a structure rather than to the background, and to the first of two structures.
    """
    stack = collect(members, MaskStack, slab_voxels=slab_voxels)[MaskStack]
    averaged = np.zeros((len(stack.structures), *stack.shape), dtype=bool)
    everything = np.logical_or.reduce([stack.union(s) for s in range(len(stack.structures))])
    box = box_around(everything)
    if box is None:
        return as_hard_pool(averaged, members, "shape_based_average")
    distances = np.stack([_mean_distance(stack, (s,), box, members.geometry) for s in range(len(stack.structures))])
    inside = distances >= -ROUNDING_MM
    if members.classes.exclusive:
        together = _mean_distance(stack, range(len(stack.structures)), box, members.geometry)
        best = distances.max(axis=0)
        first = distances.argmax(axis=0)
        wins = np.isfinite(best) & (best >= -together - ROUNDING_MM)
        inside = np.stack([wins & (first == s) for s in range(len(distances))])
    averaged[(slice(None), *box)] = inside
    return as_hard_pool(averaged, members, "shape_based_average")


def box_around(mask: Bool[np.ndarray, "i j k"]) -> tuple[slice, slice, slice] | None:
    """Smallest box around a mask with one voxel more on each side, where the image goes on; None if it is empty."""
    box = []
    for axis in range(3):
        present = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(present):
            return None
        box.append(slice(max(0, int(present[0]) - 1), int(present[-1]) + 2))
    return box[0], box[1], box[2]


def signed_distance_mm(
    mask: Bool[np.ndarray, "i j k"], *, spacing_mm: tuple[float, float, float]
) -> Float32[np.ndarray, "i j k"]:
    """Distance from each voxel to the nearest one on the other side of the surface, above 0 inside, below 0 outside.

    Where the other side does not exist, it is taken to lie as far away as the image is long.
    """
    sides = mask.astype(np.uint8) + np.uint8(1)
    across = edt.edt(sides, anisotropy=spacing_mm, black_border=False, parallel=1)
    furthest = math.dist((0, 0, 0), [n * s for n, s in zip(mask.shape, spacing_mm, strict=True)])
    across = np.minimum(across, np.float32(furthest))
    return np.where(mask, across, -across)


def _mean_distance(
    stack: MaskStack, structures: range | tuple[int, ...], box: tuple[slice, slice, slice], geometry: Geometry
) -> Float[np.ndarray, "u v w"]:
    """Mean signed distance of some structures together; minus infinity if fewer than half of the members have any."""
    total = np.zeros(
        [part.stop - part.start for part in _within(box, stack.shape)]
    )  # float64: any order of members gives the same sum
    n = 0
    for mask in _masks(stack, structures):
        if mask.any():
            total += signed_distance_mm(mask[box], spacing_mm=geometry.spacing_mm)
            n += 1
    return total / n if 2 * n >= len(stack.members) else np.full_like(total, -np.inf)


def _masks(stack: MaskStack, structures: range | tuple[int, ...]) -> Iterator[Bool[np.ndarray, "i j k"]]:
    for m in range(len(stack.members)):
        yield np.logical_or.reduce([stack.mask(m, s) for s in structures])


def _within(box: tuple[slice, slice, slice], shape: tuple[int, int, int]) -> list[slice]:
    return [slice(part.start, min(part.stop, n)) for part, n in zip(box, shape, strict=True)]
