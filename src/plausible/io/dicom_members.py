"""Members and references from DICOM: an RTSTRUCT or a SEG per case, on the grid of the case's image.

`MEMBERS/<member>/CASE.dcm`, or a folder `CASE` with whatever else belongs to the patient. Structures are found by their
name, or by their TG-263 name. Contours become masks: the voxels of which at least half lies inside.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import Float32, Float64

from plausible.contours import FLAT_MM, HALF, rasterise, reach_mm
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
from plausible.core.geometry import whole_mm
from plausible.core.problems import ProblemWarning, locating
from plausible.io.dicom.contour_checks import check_contours
from plausible.io.dicom.objects import SegmentationFile, StructureFile
from plausible.io.dicom.roi_names import numbers_of
from plausible.io.dicom.rtstruct import StructureSet
from plausible.io.dicom.seg import segments_on_grid
from plausible.io.dicom_cases import State, state_of, structure_set, structures_of


@dataclass(frozen=True, slots=True, eq=False)
class ContourSource:
    """Contours of a structure set as a label map.

    Where classes exclude each other, a voxel that two structures have at least half of goes to the one that has more.

    Attributes:
        contours: of each structure, in the order of the classes.
        geometry: grid they are put on.
        frame_of_reference: whose coordinates they have.
    """

    contours: tuple[Contours, ...]
    geometry: Geometry
    info: MemberInfo
    classes: Classes
    frame_of_reference: FrameOfReference
    hard: bool = True

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Part of all structures as probabilities 0 and 1; only what meets the part is rasterised."""
        part = self.geometry.slab(start, stop, axis=axis)
        return _encoded((_share(one, part) for one in self.contours), part.shape, self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class SegmentSource:
    """Segments of a DICOM SEG: masks, or a probability each.

    Attributes:
        state: the file, with its size and time of change.
        numbers: of the segments, in the order of the classes.
        geometry: grid they are put on.
        frame_of_reference: whose coordinates they have.
        hard: whether the segments are masks.
    """

    state: State
    numbers: tuple[int, ...]
    geometry: Geometry
    info: MemberInfo
    classes: Classes
    frame_of_reference: FrameOfReference
    hard: bool

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Part of all structures.

        Raises:
            InvalidInput: E301, probabilities of classes that exclude each other sum to more than one; what `read_seg`
                finds.
        """
        part = (slice(None),) * axis + (slice(start, stop),)
        whole = (slice(None), slice(None), slice(None))
        affine = tuple(map(float, self.geometry.affine.ravel()))
        with locating(member=self.info.id):
            with _READING:  # threads that want the same file wait for it
                shares = _shares(self.state, self.numbers, self.geometry.shape, affine)
            if not self.hard:
                values = np.stack([one[part] for one in shares]).astype(np.float32)
                return as_probabilities(_with_background(values, self.classes), classes=self.classes)
            cut = ((whole, one[part].astype(np.float32)) for one in shares)
            return _encoded(cut, shares[0][part].shape, self.classes)


_READING = Lock()


@lru_cache(maxsize=4)
def _shares(
    state: State, numbers: tuple[int, ...], shape: tuple[int, int, int], affine: tuple[float, ...]
) -> tuple[np.ndarray, ...]:
    """Segments of a file on a grid; those of the last few files stay in memory for the slabs of a walk."""
    grid = Geometry(shape, np.array(affine).reshape(4, 4))
    return segments_on_grid(Path(state[0][0]), grid, numbers)


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
    one = structures_of(path)
    if isinstance(one, SegmentationFile):
        return _open_segments(one, info=info, classes=classes, on=on, frame=frame), on
    return _open_contours(one, info=info, classes=classes, on=on, frame=frame), on


def drawn_names(path: Path) -> list[str]:
    """Names of the structures of a case that have a volume, as its file has them; those that it has twice are left out.

    Raises:
        InvalidInput: E601 or E602, nothing to read, or several; E612, no ROI has a closed loop.
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    written = _written(structures_of(path))
    meant = Counter(standard_name(name) or name for name in written.values())
    return [name for name in written.values() if name and meant[standard_name(name) or name] == 1]


def names_in(paths: Iterable[Path]) -> list[set[str]]:
    """Names of the structures of each case, by TG-263 where they have one there; cases that cannot be read are skipped.

    Raises:
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    found = []
    for path in paths:
        try:
            found.append({standard_name(name) or name for name in drawn_names(path)})
        except InvalidInput:
            continue
    return found


def _written(one: StructureFile | SegmentationFile) -> dict[int, str]:
    """Names as they are written, by number; of a structure set, of ROIs with a closed loop."""
    if isinstance(one, SegmentationFile):
        return dict(one.segments)
    return structure_set(one.instance.path).written


def _wanted(written: Mapping[int, str], classes: Classes) -> list[int]:
    """Number of each class's structure: that of its name as written, or of its TG-263 name.

    Raises:
        InvalidInput: E612, structures that are not there; E613, one that several could be.
    """
    chosen, lacking = list[int](), list[str]()
    for name in classes.structures:
        found = numbers_of(name, written)
        if len(found) > 1:
            raise InvalidInput(_twice(name, [f"{number} {written[number]!r}" for number in found]))
        chosen += found
        lacking += [] if found else [name]
    if lacking:
        raise InvalidInput(_lacking(lacking, list(written.values())))
    return chosen


def _twice(name: str, found: Sequence[str]) -> Problem:
    return Problem(
        code="E613",
        found=f"{name}: {', '.join(found)}",
        expected="one structure of that name, or of one that TG-263 calls so",
        fix="rename or delete the others, or name the structure as it is written in [classes] of study.toml",
    )


def _lacking(lacking: Sequence[str], there: Sequence[str]) -> Problem:
    return Problem(
        code="E612",
        found=f"no contours of {', '.join(lacking)}; there are: {', '.join(sorted(there)) or 'none'}",
        expected="every structure in every case and member: by its name, or by its name of TG-263",
        fix="draw them, or name only the structures you want in [classes] of study.toml",
    )


def _open_contours(
    one: StructureFile, *, info: MemberInfo, classes: Classes, on: Geometry, frame: FrameOfReference | None
) -> ContourSource:
    found = structure_set(one.instance.path)
    with locating(file=found.file):
        problems = [*frame.check_holds(found.frame, what="structure set")] if frame else []
        numbers = _wanted(_written(one), classes)
        by_number = {contours.number: contours for contours in found.contours}
        wanted = tuple(by_number[number] for number in numbers)
        problems += _about(found, numbers)
        problems += check_contours(replace(found, contours=tuple(dict.fromkeys(wanted))), on)
        _check_meets(wanted, on)
    for problem in problems:
        warnings.warn(ProblemWarning(replace(problem, member=info.id, file=found.file)), stacklevel=3)
    return ContourSource(wanted, on, info, classes, found.frame)


def _about(found: StructureSet, numbers: Sequence[int]) -> list[Problem]:
    """Warnings of the reader that name one of these ROIs."""
    names = {found.names[number] for number in numbers}
    names |= {contours.name for contours in found.contours if contours.number in numbers}
    return [one for one in found.problems if one.severity == "warning" and any(name in one.found for name in names)]


def _open_segments(
    one: SegmentationFile, *, info: MemberInfo, classes: Classes, on: Geometry, frame: FrameOfReference | None
) -> SegmentSource:
    numbers = tuple(_wanted(_written(one), classes))
    state = state_of([one.instance.path])
    own = one.instance.frame
    for problem in frame.check_holds(own, what="segmentation") if frame else ():
        warnings.warn(ProblemWarning(replace(problem, member=info.id)), stacklevel=3)
    return SegmentSource(state, numbers, on, info, classes, own, hard=one.kind != "FRACTIONAL")


def _check_meets(contours: Sequence[Contours], grid: Geometry) -> None:
    """Refuse contours of which none meets the grid."""
    points = _points_mm(contours)
    places = grid.to_places(points)
    if (places.max(axis=0) > -0.5).all() and (places.min(axis=0) < np.array(grid.shape) - 0.5).all():
        return
    low, high = grid.bounds_mm
    raise InvalidInput(
        Problem(
            code="E614",
            found=f"contours from {whole_mm(points.min(axis=0))} to {whole_mm(points.max(axis=0))}, image from "
            f"{whole_mm(low)} to {whole_mm(high)}",
            expected="contours on the image",
            fix="give the image that the contours were drawn on; a converted image must keep its world coordinates",
        )
    )


def _points_mm(contours: Sequence[Contours]) -> Float64[np.ndarray, "n 3"]:
    return np.concatenate([loop.points_mm for one in contours for loop in one.loops])


def _box(contours: Contours, grid: Geometry) -> Box:
    """Voxels of a grid that a structure can reach: narrow in its planes, everything along their normal."""
    places, reach = grid.to_places(_points_mm([contours])), reach_mm(contours.loops, grid)
    low = np.clip(np.floor(places.min(axis=0)) - 1, 0, grid.shape).astype(int)
    high = np.clip(np.ceil(places.max(axis=0)) + 2, low, grid.shape).astype(int)
    across = [int(np.argmin(reach))] if reach.min() <= FLAT_MM else [0, 1, 2]
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
        found="structures of DICOM, and no grid to put them on",
        expected="the image they were drawn on: contours have no voxels of their own",
        fix="give the images: --images FOLDER with CASE_0000.nii.gz, or a folder CASE with the DICOM series",
    )
