"""One image plane, of a classic file or of a frame of an enhanced one: where it lies and how its values are scaled.

World coordinates here are DICOM's (left, posterior, superior positive); `series` turns them into NIfTI's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plausible.core import InvalidInput
from plausible.io.dicom.datasets import items, numbers, refusal, text

CLASSIC = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
}
ENHANCED = {
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
}
IMAGES = CLASSIC | ENHANCED
"""SOP classes that are read as an image, and their modality."""

_SCALED = ("CT", "PT")
"""Modalities whose stored values mean nothing without a rescale slope and intercept."""

_ATTRIBUTES = {
    "ImagePositionPatient": "where the first pixel lies",
    "ImageOrientationPatient": "how rows and columns run",
    "PixelSpacing": "how far pixels are apart",
}


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One plane of an image series.

    Attributes:
        frame: number of the frame in its file; None for a file of one plane.
        origin_mm: centre of the first pixel.
        orientation: direction cosines along a row, then along a column.
        spacing_mm: distance between rows, then between columns.
        shape: rows, columns.
        slope, intercept: from stored values to units.
        instance_uid: SOP instance of the file.
        header: all elements of the file but its pixels; patient data is in here, so it is never shown.
    """

    path: Path
    frame: int | None
    origin_mm: np.ndarray
    orientation: np.ndarray
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]
    slope: float
    intercept: float
    instance_uid: str
    header: Any = field(repr=False)

    @property
    def normal(self) -> np.ndarray:
        """Direction in which slices are counted: row times column."""
        return np.cross(self.orientation[:3], self.orientation[3:])

    @property
    def key(self) -> tuple[tuple[float, ...], tuple[int, int], tuple[float, float]]:
        """What planes of one volume share: orientation, size, spacing."""
        rows, columns = self.spacing_mm
        turned = tuple(float(v) + 0.0 for v in np.round(self.orientation, 3))
        return turned, self.shape, (round(rows, 4), round(columns, 4))


def planes_of(path: Path, header: Any) -> list[Plane]:
    """Return the planes of a file.

    Raises:
        InvalidInput: E607, position, orientation or pixel spacing missing; E608, rescale missing or 0.
    """
    if text(header, "SOPClassUID") in ENHANCED:
        return [_frame(path, header, n) for n in range(int(header.get("NumberOfFrames") or 1))]
    return [_plane(path, None, header, measures=header, orientation=header, position=header, rescale=header)]


def first_plane(path: Path, header: Any) -> Plane:
    """Return the first frame of an enhanced file, whatever it says how many there are."""
    return _frame(path, header, 0)


def orientation_key(header: Any) -> tuple[float, ...] | None:
    """Rounded orientation of a classic file; None if it does not say."""
    found = numbers(header, "ImageOrientationPatient", 6)
    return None if found is None else tuple(float(v) + 0.0 for v in np.round(found, 3))


def _frame(path: Path, header: Any, frame: int) -> Plane:
    """Attributes of a frame stand in its own functional groups or in those shared by all frames."""
    own = items(header, "PerFrameFunctionalGroupsSequence")
    groups = [*own[frame : frame + 1], *items(header, "SharedFunctionalGroupsSequence")]

    def group(name: str) -> Any:
        return next((found[0] for g in groups if (found := items(g, name))), {})

    return _plane(
        path,
        frame,
        header,
        measures=group("PixelMeasuresSequence"),
        orientation=group("PlaneOrientationSequence"),
        position=group("PlanePositionSequence"),
        rescale=group("PixelValueTransformationSequence"),
    )


def _plane(
    path: Path, frame: int | None, header: Any, *, measures: Any, orientation: Any, position: Any, rescale: Any
) -> Plane:
    origin = numbers(position, "ImagePositionPatient", 3)
    cosines = numbers(orientation, "ImageOrientationPatient", 6)
    spacing = numbers(measures, "PixelSpacing", 2)
    if origin is None or cosines is None or spacing is None or min(spacing) <= 0 or not orthonormal(cosines):
        raise _no_geometry(path, frame, position, orientation, measures)
    slope, intercept = _rescale(path, IMAGES.get(text(header, "SOPClassUID"), ""), rescale)
    return Plane(
        path=path,
        frame=frame,
        origin_mm=origin,
        orientation=cosines,
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        shape=(int(header.get("Rows") or 0), int(header.get("Columns") or 0)),
        slope=slope,
        intercept=intercept,
        instance_uid=text(header, "SOPInstanceUID"),
        header=header,
    )


def orthonormal(cosines: np.ndarray) -> bool:
    """Whether direction cosines are of length one and at right angles, up to the rounding of headers."""
    row, column = cosines[:3], cosines[3:]
    products = float(row @ row) - 1, float(column @ column) - 1, float(row @ column)
    return max(map(abs, products)) < 1e-3


def _no_geometry(path: Path, frame: int | None, position: Any, orientation: Any, measures: Any) -> InvalidInput:
    told = zip(_ATTRIBUTES, (position, orientation, measures), strict=True)
    values = {keyword: text(place, keyword) or "missing" for keyword, place in told}
    where = "" if frame is None else f"frame {frame + 1}: "
    return refusal(
        "E607",
        path=path,
        found=where + "; ".join(f"{keyword} {value}" for keyword, value in values.items()),
        expected="; ".join(f"{keyword}: {meaning}" for keyword, meaning in _ATTRIBUTES.items()),
        fix="export the series again from the scanner or the archive; positions are not guessed from file numbers",
    )


def _rescale(path: Path, modality: str, rescale: Any) -> tuple[float, float]:
    """Slope and intercept; images without a unit (MR) may have none."""
    slope, intercept = text(rescale, "RescaleSlope"), text(rescale, "RescaleIntercept")
    if not slope and not intercept and modality not in _SCALED:
        return 1.0, 0.0
    values = numbers(rescale, "RescaleSlope", 1), numbers(rescale, "RescaleIntercept", 1)
    if values[0] is None or values[1] is None or values[0][0] == 0:
        raise refusal(
            "E608",
            path=path,
            found=f"RescaleSlope {slope or 'missing'}, RescaleIntercept {intercept or 'missing'}",
            expected=f"both, and a slope that is not 0 (modality {modality})",
            fix="export the series again; stored values without them have no unit",
        )
    return float(values[0][0]), float(values[1][0])


def check_modality_table(planes: Sequence[Plane]) -> None:
    """Refuse values that are scaled by a table: only slope and intercept are applied.

    Raises:
        InvalidInput: E608.
    """
    for plane in planes:
        if items(plane.header, "ModalityLUTSequence"):
            raise refusal(
                "E608",
                path=plane.path,
                found="a modality look-up table",
                expected="RescaleSlope and RescaleIntercept",
                fix="export the series with slope and intercept (dcmtk: dcmdump shows ModalityLUTSequence)",
            )
