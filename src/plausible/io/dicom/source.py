"""The image series that results belong to: its planes in order, and what of its headers goes into what we write."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from plausible.core import Geometry
from plausible.io.dicom.datasets import LPS_TO_RAS, items, pydicom, refusal, text
from plausible.io.dicom.planes import Plane, planes_of
from plausible.io.dicom.series import SeriesImage
from plausible.io.dicom.uids import UidMap

REPLACED = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
"""Identifiers of an image that lead back to the archive."""
KEPT = (
    "SOPClassUID", "Modality", "ImageType", "Rows", "Columns", "NumberOfFrames", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "ImageOrientationPatient", "ImagePositionPatient", "InstanceNumber", "SeriesNumber",
    "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
"""What is left of an image's header when it is de-identified: geometry and layout."""
EMPTIED = (
    "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Elements that must be there and are left empty when the source is de-identified."""
GEOMETRY_GROUPS = ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence")
METHOD = "plausible: identifiers replaced, all but geometry left out"


MOST_APART_MM, MOST_APART = 0.1, 0.02
"""Planes may lie so far from the slices (mm, or share of a slice): headers round, and slices jitter."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceSeries:
    """The planes of one volume, in the order of the grid's last axis.

    Attributes:
        planes: each with the header of its file.
        geometry: `i` along a row, `j` down a column, `k` from plane to plane, in NIfTI's world coordinates.
    """

    planes: tuple[Plane, ...]
    geometry: Geometry

    @property
    def header(self) -> Any:
        """Header of the first plane: patient, study and frame of reference are those of all."""
        return self.planes[0].header

    @property
    def headers(self) -> list[Any]:
        """Headers of its files: one per plane, or one for all frames of an enhanced file."""
        return list({plane.instance_uid: plane.header for plane in self.planes}.values())

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of reference of its planes."""
        return text(self.header, "FrameOfReferenceUID")

    def framed(self, values: np.ndarray) -> np.ndarray:
        """Turn values `i j k` (further axes behind them) into frames, rows, columns, in the order of the headers.

        Raises:
            InvalidInput: E623, the frames of enhanced files are not one for each slice.
        """
        frames = np.swapaxes(values, 0, 2)
        told = [plane.frame for plane in self.planes if plane.frame is not None]
        if not told:
            return frames
        if len(self.headers) > 1 or sorted(told) != list(range(int(self.header.get("NumberOfFrames") or 1))):
            raise refusal(
                "E623",
                found=f"{len(self.headers)} enhanced files, whose frames are not one for each of {len(told)} slices",
                expected="one enhanced file that holds the volume and nothing else",
                fix="export to RTSTRUCT or NIfTI, or export the series as classic slices",
            )
        return frames[np.argsort(told)]

    def plane_of(self, point_mm: np.ndarray) -> tuple[Plane, np.ndarray]:
        """Return the plane next to a point (NIfTI's world), and how far and where to the point must move to lie in it.

        Headers round positions and slices jitter by parts of a millimetre; the move is that small.
        """
        affine = self.geometry.affine
        k = float(np.linalg.solve(affine[:3, :3], point_mm - affine[:3, 3])[2])
        plane = self.planes[int(np.clip(round(k), 0, len(self.planes) - 1))]
        normal = LPS_TO_RAS @ plane.normal
        return plane, normal * float(normal @ (LPS_TO_RAS @ plane.origin_mm - point_mm))


def source_of(series: SeriesImage) -> SourceSeries:
    """Return the planes of a series that was read, one for each slice of its grid.

    Raises:
        InvalidInput: E623, slices were interpolated, so that nothing written can refer to them.
    """
    inverse = np.linalg.inv(series.geometry.affine)
    found = dict[int, Plane]()
    for plane in (one for header in series.headers for one in planes_of(Path(), header)):
        place = inverse[:3, :3] @ (LPS_TO_RAS @ plane.origin_mm) + inverse[:3, 3]
        found[round(float(place[2]))] = plane
    n_slices = series.geometry.shape[2]
    _check_where_they_lie(found, series.geometry)
    if sorted(found) != list(range(n_slices)):
        raise refusal(
            "E623",
            found=f"{n_slices} slices, {len(found)} of them in the files; the others were interpolated",
            expected="a file or frame for every slice, that contours and segments refer to",
            fix="export to NIfTI, or export the whole series again from the archive",
        )
    return SourceSeries(tuple(found[k] for k in range(n_slices)), series.geometry)


def _check_where_they_lie(planes: Mapping[int, Plane], grid: Geometry) -> None:
    """Refuse planes that lie elsewhere than the slices of the grid: a tilt or uneven distances were resampled away."""
    apart = [
        float(np.linalg.norm(LPS_TO_RAS @ plane.origin_mm - grid.to_world_mm(np.array([[0.0, 0.0, float(k)]]))[0]))
        for k, plane in planes.items()
    ]
    if max(apart, default=0.0) > max(MOST_APART_MM, MOST_APART * grid.spacing_mm[2]):
        raise refusal(
            "E623",
            found=f"planes up to {max(apart):.3g} mm from the slices of the results: the series was resampled",
            expected="slices where the files have them, that contours and segments refer to",
            fix="export to NIfTI, or export an even, straight series again from the archive",
        )


def deidentified(source: SourceSeries, uids: UidMap, *, pseudonym: str) -> SourceSeries:
    """Return the series without patient, study and device: geometry, layout and replaced identifiers are left.

    Args:
        source: the series as it was read; it is not changed.
        uids: replacements so far; new ones are added.
        pseudonym: name and number of the patient from now on.
    """
    headers = {uid: _stripped(one, uids, pseudonym) for one in source.headers for uid in [one.SOPInstanceUID]}
    planes = (
        replace(plane, header=headers[plane.instance_uid], instance_uid=uids.of(plane.instance_uid))
        for plane in source.planes
    )
    return replace(source, planes=tuple(planes))


def _stripped(header: Any, uids: UidMap, pseudonym: str) -> Any:
    bare = pydicom().Dataset()
    for keyword in KEPT:
        if keyword in header:
            setattr(bare, keyword, deepcopy(header[keyword].value))
    for keyword in REPLACED:
        setattr(bare, keyword, uids.of(text(header, keyword)))
    for keyword in EMPTIED:
        setattr(bare, keyword, "")
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if keyword in header:
            setattr(bare, keyword, [_geometry_of(group) for group in items(header, keyword)])
    bare.PatientName, bare.PatientID = f"{pseudonym}^", pseudonym  # the caret: one component is meant
    bare.PatientIdentityRemoved, bare.DeidentificationMethod = "YES", METHOD
    return bare


def _geometry_of(group: Any) -> Any:
    bare = pydicom().Dataset()
    for keyword in GEOMETRY_GROUPS:
        if keyword in group:
            setattr(bare, keyword, deepcopy(group[keyword].value))
    return bare
