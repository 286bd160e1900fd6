"""Members and references from DICOM: an RTSTRUCT or a SEG per case, on the grid of the case's image.

`MEMBERS/<member>/CASE.dcm`, or a folder `CASE` with whatever else belongs to the patient. Structures are found by their
name, or by their TG-263 name. Contours become masks: the voxels of which at least half lies inside.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from plausible.contours import rasterise
from plausible.core import (
    Box,
    Classes,
    Contours,
    FrameOfReference,
    Geometry,
    InvalidInput,
    MemberInfo,
    MemberSource,
    Problem,
    as_probabilities,
    standard_name,
)
from plausible.core.problems import ProblemWarning, locating
from plausible.io.dicom.choosing import chosen_structures
from plausible.io.dicom.contour_checks import check_contours
from plausible.io.dicom.folder import sort_folder
from plausible.io.dicom.objects import SegmentationFile, StructureFile
from plausible.io.dicom.roi_names import unique_names
from plausible.io.dicom.rtstruct import read_rtstruct
from plausible.io.dicom.seg import SegImage, seg_on_grid
from plausible.io.dicom_files import files_of

HALF = 0.5 - 1e-6
"""Share from which a voxel belongs to a structure: one half, up to the rounding of sums."""
FLAT_PIXELS = 0.2
"""Loops that reach less far along an axis lie across it."""


@dataclass(frozen=True, slots=True, eq=False)
class ContourSource:
    """Contours of a structure set as a label map.

    Where classes exclude each other, a voxel that two structures have at least half of goes to the one that has more.

    Attributes:
        contours: of each structure, in the order of the classes.
        geometry: grid they are put on.
    """

    contours: tuple[Contours, ...]
    geometry: Geometry
    info: MemberInfo
    classes: Classes
    hard: bool = True

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Part of all structures as probabilities 0 and 1; only what meets the part is rasterised."""
        part = self.geometry.slab(start, stop, axis=axis)
        return _encoded((_share(one, part) for one in self.contours), part.shape, self.classes)


@dataclass(frozen=True, eq=False)
class SegmentSource:
    """Segments of a DICOM SEG: masks, or a probability each. They stay in memory once they are read.

    Attributes:
        names: of the segments, in the order of the classes.
        hard: whether the segments are masks.
    """

    path: Path
    names: tuple[str, ...]
    geometry: Geometry
    frame: FrameOfReference | None
    info: MemberInfo
    classes: Classes
    hard: bool

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Part of all structures.

        Raises:
            InvalidInput: E301, probabilities of classes that exclude each other sum to more than one; what `read_seg`
                finds.
        """
        part = (slice(None),) * (1 + axis) + (slice(start, stop),)
        if self.hard:
            masks = np.unpackbits(self._bits[part], axis=0, count=len(self.names))
            whole = (slice(None), slice(None), slice(None))
            return _encoded(((whole, mask.astype(np.float32)) for mask in masks), masks.shape[1:], self.classes)
        with locating(member=self.info.id):
            return as_probabilities(_with_background(self._fractions[part], self.classes), classes=self.classes)

    @cached_property
    def _bits(self) -> np.ndarray:
        """Masks, eight structures a byte."""
        found = self._segments()
        return np.packbits(np.stack([found.mask(name) for name in self.names]), axis=0)

    @cached_property
    def _fractions(self) -> Float32[np.ndarray, "s i j k"]:
        found = self._segments()
        return np.stack([found.fractions[name] for name in self.names])

    def _segments(self) -> SegImage:
        with locating(member=self.info.id):
            return seg_on_grid(self.path, self.geometry, frame=self.frame)


def open_dicom(
    path: Path, *, info: MemberInfo, classes: Classes, on: Geometry | None, frame: FrameOfReference | None = None
) -> tuple[MemberSource, Geometry]:
    """Open the structure set of a case, or its SEG where there is no structure set.

    Args:
        path: a file, or a folder with everything of the patient.
        info: what is known of the member.
        classes: what structures are wanted.
        on: grid of the case.
        frame: whose coordinates the grid has; None if its image does not say.

    Raises:
        InvalidInput: E627, no grid; E601 or E602, nothing to read, or several; E612 or E613, a structure that is not
            there, or twice; E610 or E611, another frame of reference or patient; E614, all contours lie outside.
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    if on is None:
        raise InvalidInput(_no_grid())
    one = _chosen(path)
    if isinstance(one, SegmentationFile):
        return _open_segments(one, info=info, classes=classes, on=on, frame=frame), on
    return _open_contours(one, info=info, classes=classes, on=on, frame=frame), on


def written_names(path: Path) -> list[str]:
    """Names of the structures of a case as its file has them.

    Raises:
        InvalidInput: E601 or E602, nothing to read, or several.
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    one = _chosen(path)
    return list((one.segments if isinstance(one, SegmentationFile) else one.rois).values())


def names_in(paths: Iterable[Path]) -> list[set[str]]:
    """Names of the structures of each case, by TG-263 where they have one there; cases that cannot be read are skipped.

    Raises:
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    found = []
    for path in paths:
        try:
            found.append({standard_name(name) or name for name in written_names(path)})
        except InvalidInput:
            continue
    return found


def _chosen(path: Path) -> StructureFile | SegmentationFile:
    """The structure set of a case, or its segmentation."""
    return chosen_structures(sort_folder(files_of(path)))


def _open_contours(
    one: StructureFile, *, info: MemberInfo, classes: Classes, on: Geometry, frame: FrameOfReference | None
) -> ContourSource:
    found = read_rtstruct(one.instance.path)
    with locating(file=found.file):
        problems = [*frame.check_holds(found.frame, what="structure set")] if frame else []
        wanted = tuple(found.structure(name) for name in classes.structures)
        chosen = replace(found, contours=tuple({one.number: one for one in wanted}.values()))
        problems += check_contours(chosen, on)
        _check_meets(wanted, on)
    for problem in problems:
        warnings.warn(ProblemWarning(replace(problem, member=info.id, file=found.file)), stacklevel=3)
    return ContourSource(wanted, on, info, classes)


def _open_segments(
    one: SegmentationFile, *, info: MemberInfo, classes: Classes, on: Geometry, frame: FrameOfReference | None
) -> SegmentSource:
    named, _ = unique_names(one.segments, path=one.instance.path)
    names = tuple(_segment(name, named) for name in classes.structures)
    soft = one.kind == "FRACTIONAL"
    return SegmentSource(one.instance.path, names, on, frame, info, classes, hard=not soft)


def _segment(wanted: str, named: Mapping[int, str]) -> str:
    """Name of the segment that is meant."""
    names = list(named.values())
    alike = [name for name in names if standard_name(name) == (standard_name(wanted) or wanted)]
    found = [wanted] if wanted in names else alike
    if len(found) != 1:
        raise InvalidInput(
            Problem(
                code="E613" if found else "E612",
                found=f"{wanted}: " + (f"segments {', '.join(found)}" if found else f"none of {', '.join(names)}"),
                expected="one segment of that name, or of one that TG-263 calls so",
                fix="rename the segments, or name only the structures you want in [classes] of study.toml",
            )
        )
    return found[0]


def _check_meets(contours: Sequence[Contours], grid: Geometry) -> None:
    """Refuse contours of which none meets the grid."""
    points = np.concatenate([loop.points_mm for one in contours for loop in one.loops])
    places = grid.to_places(points)
    if (places.max(axis=0) > -0.5).all() and (places.min(axis=0) < np.array(grid.shape) - 0.5).all():
        return
    ends = grid.to_world_mm(np.array([[0.0, 0.0, 0.0], [float(n - 1) for n in grid.shape]]))
    raise InvalidInput(
        Problem(
            code="E614",
            found=f"contours from {_mm(points.min(axis=0))} to {_mm(points.max(axis=0))} mm, image from "
            f"{_mm(ends.min(axis=0))} to {_mm(ends.max(axis=0))} mm",
            expected="contours on the image",
            fix="give the image that the contours were drawn on; a converted image must keep its world coordinates",
        )
    )


def _mm(point: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.0f}" for value in point) + ")"


def _box(contours: Contours, grid: Geometry) -> Box:
    """Voxels of a grid that a structure can reach: narrow in its planes, everything along their normal."""
    loops = [grid.to_places(loop.points_mm) for loop in contours.loops]
    flat = np.max([np.ptp(places, axis=0) for places in loops], axis=0)
    low = np.clip(np.floor(np.min([places.min(axis=0) for places in loops], axis=0)) - 1, 0, grid.shape).astype(int)
    high = np.max([places.max(axis=0) for places in loops], axis=0)
    high = np.clip(np.ceil(high) + 2, low, grid.shape).astype(int)
    across = [int(np.argmin(flat))] if flat.min() < FLAT_PIXELS else [0, 1, 2]
    low[across], high[across] = 0, np.array(grid.shape)[across]
    i, j, k = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    return i, j, k


def _share(contours: Contours, grid: Geometry) -> tuple[Box, Float32[np.ndarray, "_ _ _"]]:
    """Share of each voxel in a box of a grid that lies inside; none outside of it."""
    box = _box(contours, grid)
    shape = tuple(side.stop - side.start for side in box)
    return box, rasterise(contours, grid.cut(box)) if min(shape) > 0 else np.zeros(shape, dtype=np.float32)


def _encoded(
    shares: Iterable[tuple[Box, Float32[np.ndarray, "_ _ _"]]], shape: tuple[int, ...], classes: Classes
) -> Float32[np.ndarray, "c i j k"]:
    """Masks of the structures as probabilities 0 and 1.

    Args:
        shares: of each structure, the share of the voxels in a box.
        shape: of the grid.
        classes: if they exclude each other, the largest share takes a voxel, the first of equals.
    """
    found = np.zeros((len(classes.names), *shape), dtype=np.float32)
    if not classes.exclusive:
        for mask, (box, share) in zip(found, shares, strict=True):
            mask[box] = share >= HALF
        return found
    largest = np.zeros(shape, dtype=np.float32)
    taken = np.zeros(shape, dtype=np.uint8 if len(classes.names) < 256 else np.uint16)
    twice = set[int]()
    for n, (box, share) in enumerate(shares, start=1):
        inside = share >= HALF
        others = np.unique(taken[box][inside & (taken[box] > 0)])
        twice |= {n, *map(int, others)} if len(others) else set()
        more = inside & (share > largest[box])
        taken[box][more], largest[box][more] = n, share[more]
    if twice:
        _warn_of_shared([classes.names[n] for n in sorted(twice)])
    for n, mask in enumerate(found):
        np.equal(taken, n, out=mask, casting="unsafe")
    return found


def _warn_of_shared(names: Sequence[str]) -> None:
    problem = Problem(
        code="E614",
        severity="warning",
        found=f"{', '.join(names)} share voxels; each went to the structure that covers more of it",
        expected="structures that exclude each other, as the classes say",
        fix="mend the contours, or declare overlapping classes ([classes] exclusive = false in study.toml)",
    )
    warnings.warn(ProblemWarning(problem), stacklevel=4)


def _with_background(shares: Float32[np.ndarray, "s i j k"], classes: Classes) -> Float32[np.ndarray, "c i j k"]:
    """Add what classes that exclude each other leave to the background."""
    if not classes.exclusive:
        return shares
    rest = np.maximum(0, 1 - shares.sum(axis=0, keepdims=True, dtype=np.float32))
    return np.concatenate([rest, shares])


def _no_grid() -> Problem:
    return Problem(
        code="E627",
        found="structures of DICOM, and neither an image nor members that have a grid",
        expected="the image they were drawn on: contours have no voxels of their own",
        fix="give the images: --images FOLDER with CASE_0000.nii.gz, or a folder CASE with the DICOM series",
    )
