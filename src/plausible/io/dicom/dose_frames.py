"""Where the frames of a dose lie: GridFrameOffsetVector in all its readings, ascending along the normal."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from plausible.core import InvalidInput, Problem
from plausible.io.dicom.datasets import caution, numbers, refusal, text
from plausible.io.dicom.planes import orthonormal

SAME_MM = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames of a dose in ascending order.

    Attributes:
        order: number of the stored frame, by position.
        at_mm: position of each along the normal, from ImagePositionPatient.
        origin_mm: ImagePositionPatient, in DICOM's world.
        orientation: direction cosines along a row, then along a column.
        spacing_mm: between rows, between columns.
        thickness_mm: of a single frame; else 0.
        problems: what was done with uneven frames.
    """

    order: np.ndarray
    at_mm: np.ndarray
    origin_mm: np.ndarray
    orientation: np.ndarray
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]
    thickness_mm: float
    problems: tuple[Problem, ...] = ()

    @property
    def even(self) -> bool:
        """Whether frames are evenly apart, within a hundredth of a millimetre."""
        if len(self.at_mm) < 3:
            return True
        ideal = np.linspace(self.at_mm[0], self.at_mm[-1], len(self.at_mm))
        return bool(np.abs(self.at_mm - ideal).max() <= SAME_MM)


def frames_of(path: Path, header: Any) -> Frames:
    """Return where the frames lie.

    Raises:
        InvalidInput: E607, the plane does not say where it lies; E615, offsets missing or not of these frames.
    """
    origin = numbers(header, "ImagePositionPatient", 3)
    cosines = numbers(header, "ImageOrientationPatient", 6)
    spacing = numbers(header, "PixelSpacing", 2)
    if origin is None or cosines is None or spacing is None or min(spacing) <= 0 or not orthonormal(cosines):
        raise _no_geometry(path, header)
    n_frames = int(header.get("NumberOfFrames") or 1)
    thickness = _thickness(path, header) if n_frames == 1 else 0.0
    offsets = np.zeros(1) if n_frames == 1 else _offsets(path, header, n_frames, origin, cosines)
    order = np.argsort(offsets, kind="stable")
    at = offsets[order]
    if n_frames > 1 and np.diff(at).min() <= SAME_MM:
        raise _wrong_offsets(path, f"two frames at one offset ({at[int(np.argmin(np.diff(at)))]:.3f} mm)")
    frames = Frames(
        order=order,
        at_mm=at,
        origin_mm=origin,
        orientation=cosines,
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        shape=(int(header.get("Rows") or 0), int(header.get("Columns") or 0)),
        thickness_mm=thickness,
    )
    return frames if frames.even else _with_note(path, frames)


def _offsets(path: Path, header: Any, n_frames: int, origin: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """Offsets along the normal: as they stand if the first is 0, else positions along the patient's axis."""
    value = header.get("GridFrameOffsetVector")
    if value is None or len(np.atleast_1d(value)) == 0:
        raise _wrong_offsets(path, f"{n_frames} frames and no GridFrameOffsetVector")
    told = numbers(header, "GridFrameOffsetVector", n_frames)
    if told is None:
        raise _wrong_offsets(path, f"{n_frames} frames and {len(np.atleast_1d(value))} offsets, or some are no numbers")
    if abs(told[0]) <= SAME_MM:
        return told
    normal = np.cross(cosines[:3], cosines[3:])
    axis = int(np.argmax(np.abs(normal)))
    if axis == 2 and abs(abs(normal[2]) - 1) < 1e-3 and abs(told[0] - origin[2]) <= SAME_MM:
        return (told - origin[2]) * np.sign(normal[2])
    raise _wrong_offsets(
        path, f"a first offset of {told[0]:.3f}, ImagePositionPatient {text(header, 'ImagePositionPatient')}"
    )


def _thickness(path: Path, header: Any) -> float:
    found = numbers(header, "SliceThickness", 1)
    if found is None or found[0] <= 0:
        raise _wrong_offsets(path, "a single frame without SliceThickness")
    return float(found[0])


def _wrong_offsets(path: Path, found: str) -> InvalidInput:
    return refusal(
        "E615",
        path=path,
        found=found,
        expected="an offset per frame: relative (the first is 0), or z positions of transverse planes (the first is "
        "that of ImagePositionPatient)",
        fix="export the dose again; distances are not guessed from SliceThickness",
    )


def _no_geometry(path: Path, header: Any) -> InvalidInput:
    keywords = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    return refusal(
        "E607",
        path=path,
        found="; ".join(f"{keyword} {text(header, keyword) or 'missing'}" for keyword in keywords),
        expected="all three; a row and a column of length 1 at right angles; spacing above 0",
        fix="export the dose again from the planning system",
    )


def _with_note(path: Path, frames: Frames) -> Frames:
    distances = np.diff(frames.at_mm)
    note = caution(
        "E604",
        path=path,
        found=f"frames {distances.min():.4g} to {distances.max():.4g} mm apart: interpolated linearly to even ones at "
        "their true positions",
        expected="even frames, or this interpolation",
        fix="nothing; export the dose on an even grid to avoid it",
        severity="note",
    )
    return replace(frames, problems=(note,))
