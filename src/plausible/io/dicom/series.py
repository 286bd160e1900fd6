"""An image series (CT, MR, PET; classic or enhanced) as one volume on NIfTI's axes and in NIfTI's world.

Slices are sorted by position along their normal, each with its own rescale. Their geometry is checked and never
guessed: gaps, uneven distances, a tilted gantry and two slices at one place are refused, or resampled where asked.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from plausible.core import FrameOfReference, Geometry, Problem
from plausible.io.dicom import resampling
from plausible.io.dicom.choosing import chosen_series
from plausible.io.dicom.datasets import (
    LPS_TO_RAS,
    caution,
    check_size,
    check_whole,
    decoded,
    read_header,
    refusal,
    text,
    tolerant,
)
from plausible.io.dicom.folder import DicomFolder, sort_folder
from plausible.io.dicom.objects import SeriesFiles, patient_of
from plausible.io.dicom.planes import Plane, check_modality_table, planes_of
from plausible.io.dicom.series_checks import Stack, check_even, check_straight, evened, gaps, stacked, without_copies
from plausible.io.dicom.series_values import check_values, pixel_cautions


@dataclass(frozen=True, slots=True, eq=False)
class SeriesImage:
    """An image series as a volume, and what is needed to write objects that belong to it.

    Attributes:
        values: in the units of the modality (HU for CT).
        geometry: grid in NIfTI's world; k ascends along the slice normal.
        modality: "CT", "MR" or "PT".
        instance_uids: SOP instance of each slice k; empty where a slice was interpolated.
        headers: data sets of the source files without pixels and private elements, in the order of the slices. They
            hold patient data: for DICOM outputs only, never for logs or tables.
        problems: what was changed or looks odd; for the report.
    """

    values: Float32[np.ndarray, "i j k"]
    geometry: Geometry
    modality: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    sop_class_uid: str
    instance_uids: tuple[str, ...] = field(repr=False)
    headers: tuple[Any, ...] = field(repr=False)
    problems: tuple[Problem, ...] = ()

    @property
    def frame(self) -> FrameOfReference:
        """Whose coordinates it has."""
        return FrameOfReference(self.frame_of_reference_uid, patient_of(self.headers[0]))


def read_series(
    source: Path | Sequence[Path] | DicomFolder,
    *,
    series_uid: str | None = None,
    drawn_on: Collection[str] = (),
    fill_missing: bool = False,
    resample_uneven: bool = False,
    resample_tilt: bool = False,
) -> SeriesImage:
    """Read the image series of a folder (sorted by UIDs, whatever else lies there) or of a list of files.

    Args:
        source: folder, files, or a folder that was sorted.
        series_uid: SeriesInstanceUID, where there are several.
        drawn_on: SOP instances a structure set refers to (`StructureSet.image_uids`): they choose the series too.
        fill_missing: interpolate single missing slices.
        resample_uneven: interpolate to even slices of the median distance.
        resample_tilt: move the slices of a tilted gantry to where straight stacking has them.

    Raises:
        InvalidInput: E601 to E609 and E619: what does not fit, in which file, and what mends it.
        UnfitEnvironment: E901 without the extra `dicom`, or `codecs` for compressed pixels.
    """
    with tolerant():
        folder = sort_folder(source)
        series, problems = chosen_series(folder, series_uid=series_uid, drawn_on=drawn_on)
        stack, copies = without_copies(stacked(read_planes(series)))
        found = [*folder.problems, *problems, *copies, *pixel_cautions(stack.planes)]
        if not resample_tilt or not stack.tilted:
            check_straight(stack)
        if not _may_interpolate(stack, fill_missing=fill_missing, resample_uneven=resample_uneven):
            check_even(stack)
        return _image(series, stack, found)


def look_at_series(series: SeriesFiles) -> tuple[Geometry, tuple[Problem, ...]]:
    """Return the grid of a series and what is odd about it, from its headers alone.

    Raises:
        InvalidInput: as `read_series`, but for what only the pixels show.
    """
    with tolerant():
        stack, found = without_copies(stacked(read_planes(series)))
        found += pixel_cautions(stack.planes)
        check_straight(stack)
        check_even(stack)
        first, n_slices = stack.planes[0], len(stack.planes)
        step_mm = stack.step_mm if n_slices > 1 else _thickness(first, found)
        shape = (n_slices, *first.shape)
        return _geometry(stack, shape, step_mm=step_mm, start_mm=_start(stack), moved_mm=np.zeros(2)), tuple(found)


def read_planes(series: SeriesFiles) -> list[Plane]:
    """Return the planes of a series, from its files' headers.

    Raises:
        InvalidInput: E607 to E609, E611 or E619.
    """
    rows, columns = series.shape
    check_size(
        rows * columns * series.n_planes, path=series.paths[0], what=f"{series.n_planes} slices {rows}×{columns}"
    )
    headers = [(path, read_header(path)) for path in series.paths]
    if len({text(header, "PatientID") for _, header in headers}) > 1:
        raise refusal(
            "E611",
            found=f"several PatientIDs in series {series.series_uid}",
            expected="one patient in a series",
            fix="sort the files by patient; the identifiers are not printed here",
        )
    for path, header in headers:
        check_whole(path, header)
    planes = [plane for path, header in headers for plane in planes_of(path, header)]
    check_modality_table(planes)
    return planes


def _may_interpolate(stack: Stack, *, fill_missing: bool, resample_uneven: bool) -> bool:
    """Whether what was asked for mends this stack: two slices missing in a row are invented by neither."""
    missing = gaps(stack) if len(stack.planes) > 1 else []
    if missing and evened(stack, missing):
        return fill_missing and all(count == 1 for _, count in missing)
    return resample_uneven


def _image(series: SeriesFiles, stack: Stack, found: list[Problem]) -> SeriesImage:
    values = _values(stack)
    found += check_values(values, modality=series.modality, path=stack.planes[0].path)
    instance_uids = tuple(plane.instance_uid for plane in stack.planes)
    moved, step_mm, start = np.zeros(2), stack.step_mm, _start(stack)
    if stack.tilted:
        values, moved = resampling.unsheared(values, stack, outside=float(values.min()))
        found.append(_untilted(stack))
    if len(stack.planes) == 1:
        step_mm = _thickness(stack.planes[0], found)
    elif not stack.even:
        wanted = resampling.even_positions(stack.at_mm, stack.step_mm)
        values = resampling.at_positions(values, stack.at_mm, wanted)
        step_mm, start = float(wanted[1] - wanted[0]), stack.at_mm[0]
        found.append(_resampled(stack, len(wanted)))
        instance_uids = _instances_at(stack, wanted)
    first = stack.planes[0]
    return SeriesImage(
        values=values.transpose(2, 1, 0),
        geometry=_geometry(stack, values.shape, step_mm=step_mm, start_mm=start, moved_mm=moved),
        modality=series.modality,
        study_uid=series.instances[0].study_uid,
        series_uid=series.series_uid,
        frame_of_reference_uid=series.frame_of_reference_uid,
        sop_class_uid=text(first.header, "SOPClassUID"),
        instance_uids=instance_uids,
        headers=_headers(stack),
        problems=tuple(found),
    )


def _values(stack: Stack) -> Float32[np.ndarray, "n rows columns"]:
    values = np.empty((len(stack.planes), *stack.planes[0].shape), dtype=np.float32)
    for n, plane in enumerate(stack.planes):
        stored = decoded(plane.path, frame=plane.frame)
        if stored.shape != plane.shape:
            raise refusal(
                "E609",
                path=plane.path,
                found=f"pixel data of shape {stored.shape}",
                expected=f"{plane.shape[0]} rows and {plane.shape[1]} columns of one grey value each",
                fix="export the series as grey values, not as a secondary capture or screenshot",
            )
        values[n] = stored * plane.slope + plane.intercept
    return values


def _start(stack: Stack) -> float:
    """Position of the first slice of the even grid: the median takes out jitter."""
    ideal = stack.step_mm * np.arange(len(stack.planes))
    return float(np.median(stack.at_mm - ideal))


def _geometry(
    stack: Stack, shape: tuple[int, ...], *, step_mm: float, start_mm: float, moved_mm: np.ndarray
) -> Geometry:
    first = stack.planes[0]
    row, column = first.orientation[:3], first.orientation[3:]
    step = first.normal * step_mm
    drift_mm = (len(stack.planes) - 1) * float(np.linalg.norm(stack.sideways_mm))
    if not stack.tilted and drift_mm > 0.05:  # straight enough for a grid, and more than headers round
        step = step + stack.sideways_mm[0] * row + stack.sideways_mm[1] * column
    affine = np.eye(4)
    affine[:3, 0] = row * first.spacing_mm[1]
    affine[:3, 1] = column * first.spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = (
        first.origin_mm + first.normal * (start_mm - stack.at_mm[0]) + moved_mm[0] * row + moved_mm[1] * column
    )
    affine[:3] = LPS_TO_RAS @ affine[:3]
    return Geometry((shape[2], shape[1], shape[0]), affine)


def _thickness(plane: Plane, found: list[Problem]) -> float:
    """Thickness of a single slice: nothing else says how far it reaches."""
    thickness = text(plane.header, "SliceThickness")
    try:
        value = float(thickness)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise refusal(
            "E607",
            path=plane.path,
            found=f"a single slice, SliceThickness {thickness or 'missing'}",
            expected="at least two slices, or a thickness",
            fix="give the folder of the whole series",
        )
    found.append(
        caution(
            "E607",
            path=plane.path,
            found=f"a single slice; its SliceThickness of {value:.4g} mm is taken as the spacing",
            expected="at least two slices, whose positions give the spacing",
            fix="give the folder of the whole series",
        )
    )
    return value


def _instances_at(stack: Stack, wanted: np.ndarray) -> tuple[str, ...]:
    """Instances whose planes lie where a slice is wanted; none for the others."""
    apart = np.abs(stack.at_mm[None, :] - wanted[:, None])
    nearest = apart.argmin(axis=1)
    near = apart.min(axis=1) <= stack.tolerance_mm
    return tuple(stack.planes[n].instance_uid if there else "" for n, there in zip(nearest, near, strict=True))


def _headers(stack: Stack) -> tuple[Any, ...]:
    headers = list({id(plane.header): plane.header for plane in stack.planes}.values())
    for header in headers:
        header.remove_private_tags()
    return tuple(headers)


def _resampled(stack: Stack, n_slices: int) -> Problem:
    missing = gaps(stack)
    gap = bool(missing) and evened(stack, missing)
    what = f"{sum(count for _, count in missing)} missing slice(s)" if gap else "uneven distances"
    return caution(
        "E603" if gap else "E604",
        path=stack.planes[0].path,
        found=f"{what}: {len(stack.planes)} slices were interpolated linearly to {n_slices} even ones",
        expected=f"a slice every {stack.step_mm:.4g} mm",
        fix="export the whole series again; results between the original slices rest on interpolation",
    )


def _untilted(stack: Stack) -> Problem:
    degrees = np.degrees(np.arctan2(np.linalg.norm(stack.sideways_mm), stack.step_mm))
    return caution(
        "E605",
        path=stack.planes[0].path,
        found=f"a gantry tilt of {degrees:.1f}°: slices were moved by linear interpolation to a straight stack",
        expected="slices stacked straight along their normal",
        fix="reconstruct the series without tilt; contours drawn on the original slices keep their own positions",
    )
