"""In which planes does a structure's outline lie, and how thick is the slab that each plane stands for?

Planes run along the contours' own normal, at the contours' own positions: neither has to be the image's. A plane's slab
reaches half way to its neighbours; at both ends as far outwards as inwards, and a single plane is as thick as a slice
of the image. A gap much wider than the others separates two parts, between which nothing is filled in: there the slab
reaches half a slice outwards.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from plausible.core import Contours, Geometry, InvalidInput, Loop, Problem
from plausible.core.problems import ProblemWarning

SAME_PLANE_MM = 0.05
"""Loops closer than this along the normal lie in one plane."""
FLAT_MM = 0.2
"""A loop is flat if its points keep to its plane this closely; files round coordinates."""
WIDE = 1.5
"""A gap this many times the usual one (or a slice, if that is more) separates two parts."""
FEW_SLICES = 3.5
"""With one or two gaps nothing is usual; one of more than this many slices then separates parts."""


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The loops of one plane and the slab it stands for.

    Attributes:
        position_mm: along the normal of the frame.
        below_mm: how far the slab reaches down the normal.
        above_mm: how far it reaches up the normal.
        joined: whether the slab meets that of a neighbour below, and above.
        loops: the loops as they are drawn.
        pixels: their points in pixels of the frame.
    """

    position_mm: float
    below_mm: float
    above_mm: float
    joined: tuple[bool, bool]
    loops: tuple[Loop, ...]
    pixels: tuple[Float64[np.ndarray, "_ 2"], ...]

    @property
    def thickness_mm(self) -> float:
        """Thickness of the slab."""
        return self.below_mm + self.above_mm


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """All planes of a structure.

    Attributes:
        affine: from the frame to world coordinates. The first two axes count pixels, whose centres are whole numbers;
            the third is the distance in mm along the normal.
        axis: the image's axis along the normal; None where the contours lie across the image's slices.
        planes: by position.
    """

    affine: Float64[np.ndarray, "4 4"]
    axis: int | None
    planes: tuple[Plane, ...]

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Size of a pixel along the first two axes."""
        u, v = np.linalg.norm(self.affine[:3, :2], axis=0)
        return float(u), float(v)


def contour_planes(
    contours: Contours,
    image: Geometry,
    *,
    finer: tuple[float, float] = (np.inf, np.inf),
    drawn_on: Geometry | None = None,
) -> Planes:
    """Sort a structure's loops into planes, with the slab of each.

    Args:
        contours: loops of fewer than three points are left out, with a warning.
        image: gives pixels and slice thickness.
        finer: pixels are divided so that they are not much larger than this (mm).
        drawn_on: gives the slice thickness instead, where `image` is another grid than the contours were drawn on.

    Raises:
        InvalidInput: E701, loops that are not flat or not parallel to each other.
    """
    loops = tuple(loop for loop in contours.loops if len(loop.points_mm) >= 3)
    if len(loops) < len(contours.loops):
        warn_of(
            name_of(contours),
            f"{len(contours.loops) - len(loops)} loops of fewer than three points",
            "loops that enclose an area",
            "nothing, they hold no volume; delete them where the contours were drawn",
        )
    affine, axis, slice_mm = _frame(contours, loops, image, finer)
    if drawn_on is not None:
        slice_mm = _frame(contours, loops, drawn_on, finer)[2]
    inverse = np.linalg.inv(affine)
    local = [loop.points_mm @ inverse[:3, :3].T + inverse[:3, 3] for loop in loops]
    groups = _grouped(np.array([points[:, 2].mean() for points in local]))
    positions = np.array([np.mean([local[n][:, 2].mean() for n in group]) for group in groups])
    below, above = slab_halves(positions, slice_mm=slice_mm)
    _warn_of_gaps(contours, positions, slice_mm)
    meets = np.concatenate([[False], ~separating_gaps(positions, slice_mm=slice_mm), [False]])
    planes = tuple(
        Plane(
            float(positions[p]),
            float(below[p]),
            float(above[p]),
            (bool(meets[p]), bool(meets[p + 1])),
            tuple(loops[n] for n in group),
            tuple(np.ascontiguousarray(local[n][:, :2]) for n in group),
        )
        for p, group in enumerate(groups)
    )
    return Planes(affine, axis, planes)


def reach_mm(loops: Sequence[Loop], grid: Geometry) -> Float64[np.ndarray, "3"]:
    """How far the widest loop reaches along each axis of a grid; along that which they lie across it is about 0."""
    found = np.zeros(3)
    for loop in loops:
        found = np.maximum(found, np.ptp(grid.to_places(loop.points_mm), axis=0) * np.array(grid.spacing_mm))
    return found


def slab_halves(
    positions_mm: Float64[np.ndarray, " p"], *, slice_mm: float
) -> tuple[Float64[np.ndarray, " p"], Float64[np.ndarray, " p"]]:
    """How far each plane's slab reaches down and up, given ascending positions and the thickness of a slice."""
    gaps = np.diff(positions_mm)
    wide = separating_gaps(positions_mm, slice_mm=slice_mm)
    half = np.where(wide, np.minimum(slice_mm, gaps) / 2, gaps / 2)
    if not len(half):
        alone = np.full(len(positions_mm), slice_mm / 2)
        return alone, alone
    return np.concatenate([half[:1], half]), np.concatenate([half, half[-1:]])


def separating_gaps(positions_mm: Float64[np.ndarray, " p"], *, slice_mm: float) -> np.ndarray:
    """Which gaps between ascending positions separate two parts of a structure."""
    gaps = np.diff(positions_mm)
    if not len(gaps):
        return np.zeros(0, dtype=bool)
    limit = WIDE * max(float(np.median(gaps)), slice_mm)
    if len(gaps) < 3:
        limit = (
            min(WIDE * max(float(gaps.min()), slice_mm), FEW_SLICES * slice_mm)
            if len(gaps) == 2
            else FEW_SLICES * slice_mm
        )
    return gaps > limit + 1e-6


def _frame(
    contours: Contours, loops: Sequence[Loop], image: Geometry, finer: tuple[float, float]
) -> tuple[np.ndarray, int | None, float]:
    """Affine of the frame, the image's axis along the normal and the thickness of a slice."""
    spacing, reach = np.array(image.spacing_mm), reach_mm(loops, image)
    axis = int(np.argmin(reach)) if loops else image.axial_axis
    if reach[axis] <= FLAT_MM:
        first, second = (n for n in range(3) if n != axis)
        columns = [image.affine[:3, n] for n in (first, second)]
        normal, origin = image.affine[:3, axis] / spacing[axis], image.affine[:3, 3]
        return _divided(columns, normal, origin, finer), axis, float(spacing[axis])
    normal = _normal(contours, loops)
    nearest = int(np.argmax(np.abs(image.affine[:3, :3].T @ normal) / spacing))
    u = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    u *= spacing.min() / np.linalg.norm(u)
    return _divided([u, np.cross(normal, u)], normal, loops[0].points_mm[0], finer), None, float(spacing[nearest])


def _divided(
    columns: list[np.ndarray], normal: np.ndarray, origin: np.ndarray, finer: tuple[float, float]
) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, 2], affine[:3, 3] = normal, origin
    for n, (column, limit) in enumerate(zip(columns, finer, strict=True)):
        parts = max(1, round(float(np.linalg.norm(column)) / limit))
        affine[:3, n] = column / parts
        affine[:3, 3] += (column / parts - column) / 2
    return affine


def _normal(contours: Contours, loops: Sequence[Loop]) -> np.ndarray:
    centred = np.concatenate([loop.points_mm - loop.points_mm.mean(axis=0) for loop in loops])
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    apart = float(np.abs(centred @ axes[2]).max())
    if apart > FLAT_MM:
        raise InvalidInput(
            Problem(
                code="E701",
                found=f"{name_of(contours)}: points {apart:.2f} mm off their loop's plane",
                expected=f"flat loops in parallel planes (within {FLAT_MM} mm)",
                fix="export the structure with axial contours",
            )
        )
    return axes[2]


def _grouped(positions: np.ndarray) -> list[list[int]]:
    groups: list[list[int]] = []
    last = -np.inf
    for n in np.argsort(positions, kind="stable"):
        if positions[n] - last > SAME_PLANE_MM:
            groups.append([])
        groups[-1].append(int(n))
        last = positions[n]
    return groups


def _warn_of_gaps(contours: Contours, positions: np.ndarray, slice_mm: float) -> None:
    gaps, wide = np.diff(positions), separating_gaps(positions, slice_mm=slice_mm)
    usual = float(np.median(gaps[~wide])) if (~wide).any() else slice_mm
    if wide.any():
        warn_of(
            name_of(contours),
            f"{wide.sum()} gaps between contours, the widest {gaps[wide].max():.4g} mm",
            f"contours about every {usual:.4g} mm; the parts were kept apart, nothing was filled in",
            "check whether contours are missing there; interpolate them where they were drawn",
        )
    if usual > WIDE * slice_mm:
        warn_of(
            name_of(contours),
            f"contours every {usual:.4g} mm on slices of {slice_mm:.4g} mm",
            "a contour on every slice; each stands for a slab of its spacing",
            "interpolate the contours where they were drawn",
        )


def warn_of(name: str, found: str, expected: str, fix: str) -> None:
    """Warn (E702) of contours that had to be interpreted."""
    problem = Problem(code="E702", severity="warning", found=f"{name}: {found}", expected=expected, fix=fix)
    warnings.warn(ProblemWarning(problem), stacklevel=4)


def name_of(contours: Contours) -> str:
    """What messages call a structure."""
    return f"structure {contours.number} ({contours.name})"
