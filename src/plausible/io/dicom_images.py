"""An image series in a folder as a channel of an image: what `images` does for NIfTI files, for folders of DICOM."""

import warnings
from collections.abc import Collection
from pathlib import Path

import numpy as np

from plausible.core import FrameOfReference, Geometry
from plausible.core.problems import ProblemWarning
from plausible.io.dicom.series import SeriesImage, read_series
from plausible.io.dicom_cases import grid_of, series_of
from plausible.io.dicom_files import Accept

RESAMPLED: tuple[Accept, ...] = ("missing_slices", "uneven_slices", "tilted_gantry")
"""What changes the grid of a series, so that its headers alone do not tell it."""


def read_series_channel(folder: Path, *, accept: Collection[Accept] = ()) -> tuple[np.ndarray, Geometry]:
    """Read the image series of a folder; what looks odd is warned of.

    Raises:
        InvalidInput: what `read_series` finds.
        UnfitEnvironment: E901 without the extra `dicom`, or `codecs` for compressed pixels.
    """
    found = _read(folder, accept)
    for problem in found.problems:
        if problem.severity == "warning":
            warnings.warn(ProblemWarning(problem), stacklevel=2)
    return found.values, found.geometry


def series_geometry(folder: Path, *, accept: Collection[Accept] = ()) -> Geometry:
    """Grid of the image series of a folder: from its headers, unless it is resampled.

    Raises:
        InvalidInput: as `read_series_channel`, but for what only the pixels show.
    """
    return _read(folder, accept).geometry if set(accept) & set(RESAMPLED) else grid_of(folder)


def series_frame(folder: Path, *, accept: Collection[Accept] = ()) -> FrameOfReference:
    """Whose coordinates the image series of a folder has.

    Raises:
        InvalidInput: E601 or E602, no series, or several that could be meant.
    """
    found = series_of(folder).frame
    return FrameOfReference(found.uid, found.patient, others_accepted="other_frame" in accept)


def _read(folder: Path, accept: Collection[Accept]) -> SeriesImage:
    return read_series(
        series_of(folder).paths,
        fill_missing="missing_slices" in accept,
        resample_uneven="uneven_slices" in accept,
        resample_tilt="tilted_gantry" in accept,
    )
