"""The 256 ways in which a surface can pass between eight voxels, and the area of each.

Sources: Lorensen and Cline 1987 (the polygons); Nikolov et al. 2021, arXiv:1809.04430 (weighting by area).
"""

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

CORNERS: tuple[tuple[int, int, int], ...] = tuple((i, j, k) for i, j, k in product((0, 1), repeat=3))
"""The 8 voxels of a neighbourhood; the place in this list is the bit in its code."""


def neighbourhoods(mask: np.ndarray, flat: tuple[bool, ...]) -> UInt8[np.ndarray, "u v w"]:
    """Which of its 8 voxels are inside, as one bit each, for every 2 × 2 × 2 neighbourhood; outside beyond the box.

    Along an axis on which the image has one voxel, that voxel goes on.
    """
    padded = np.pad(mask, [(0, 0) if one else (1, 1) for one in flat]).astype(np.uint8)
    padded = np.pad(padded, [(0, 1) if one else (0, 0) for one in flat], mode="edge")
    codes = np.zeros([n - 1 for n in padded.shape], np.uint8)
    for bit, corner in enumerate(CORNERS):
        part = padded[tuple(slice(c, c + n) for c, n in zip(corner, codes.shape, strict=True))]
        codes |= part << np.uint8(bit)
    return codes


Edge: TypeAlias = frozenset[int]


@cache
def element_areas_mm2(spacing_mm: tuple[float, float, float]) -> Float[np.ndarray, "256"]:
    """Area in mm² of the surface element of each of the 256 neighbourhoods."""
    i, j, k = spacing_mm
    stretch = np.array([j * k, k * i, i * j])
    areas = [float(np.linalg.norm(vectors * stretch, axis=1).sum()) for vectors in _area_vectors()]
    return np.array(areas)


@cache
def _area_vectors() -> tuple[np.ndarray, ...]:
    """Area vectors of the triangles of each neighbourhood, for a spacing of 1."""
    return tuple(_triangles(tuple(bool(code >> bit & 1) for bit in range(8))) for code in range(256))


def _triangles(inside: tuple[bool, ...]) -> Float[np.ndarray, "t 3"]:
    """Cut the polygons of one neighbourhood into triangles around their centres."""
    vectors = [np.zeros((0, 3))]
    for loop in _loops(inside):
        points = np.array([np.mean([CORNERS[corner] for corner in edge], axis=0) for edge in loop])
        spokes = points - points.mean(axis=0)
        vectors.append(np.cross(spokes, np.roll(spokes, -1, axis=0)) / 2)
    return np.concatenate(vectors)


def _loops(inside: tuple[bool, ...]) -> Iterator[list[Edge]]:
    """Polygons of one neighbourhood as edges in turn: the segments on the six faces, end to end."""
    links: dict[Edge, list[Edge]] = {}
    for face in _faces():
        for start, end in _segments(face, inside):
            links.setdefault(start, []).append(end)
            links.setdefault(end, []).append(start)
    while links:
        loop = [next(iter(links))]
        while len(ahead := links.pop(loop[-1])) and (free := [edge for edge in ahead if edge in links]):
            loop.append(free[0])
        yield loop


def _faces() -> list[tuple[int, ...]]:
    """The four corners of each face, in turn around it."""
    faces = []
    for axis, side in product(range(3), (0, 1)):
        around = []
        for first, second in ((0, 0), (0, 1), (1, 1), (1, 0)):
            corner = [first, second]
            corner.insert(axis, side)
            around.append(CORNERS.index((corner[0], corner[1], corner[2])))
        faces.append(tuple(around))
    return faces


def _segments(face: tuple[int, ...], inside: tuple[bool, ...]) -> list[tuple[Edge, Edge]]:
    """Segments where the surface meets a face; two corners inside on a diagonal are cut off one by one."""
    edges = [frozenset((face[n], face[(n + 1) % 4])) for n in range(4)]
    crossed = [edge for edge in edges if len({inside[corner] for corner in edge}) == 2]
    if len(crossed) == 4:
        return [(edges[n - 1], edges[n]) for n in range(4) if inside[face[n]]]
    return [(crossed[0], crossed[1])] if crossed else []
