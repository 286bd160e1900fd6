"""Doses beside cases: one per case, as NIfTI in Gy (`CASE.nii.gz`) or as RTDOSE (`CASE.dcm`, or a folder CASE).

A dose has a grid of its own, which is rarely that of the image; nothing is resampled here.
"""

import warnings
from pathlib import Path

import numpy as np

from plausible.core import Dose, Geometry, InvalidInput, Problem
from plausible.core.geometry import whole_mm
from plausible.core.problems import ProblemWarning, locating
from plausible.io.dicom import read_rtdose
from plausible.io.dicom_cases import is_patient_folder
from plausible.io.dicom_files import files_of, is_dicom_case
from plausible.io.nifti import ENDINGS, read_nifti, stem

LARGEST_GY = 200.0
"""Hotter than any plan in Gy: such values are cGy, nearly always."""


def find_doses(folder: Path) -> dict[str, Path]:
    """Dose of each subject, by the name of its file (without a channel suffix _0000) or of its folder of RTDOSE files.

    A folder in which planes of an image lie is that of one patient, called as the folder is.

    Raises:
        InvalidInput: E632, the folder is not there, holds no dose, or two of one subject.
    """
    if is_patient_folder(folder):
        return {folder.name: folder}
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        subject = _subject_of(path)
        if subject and subject in found:
            raise _two_doses(subject, found[subject], path)
        if subject:
            found[subject] = path
    if not found:
        raise InvalidInput(
            Problem(
                code="E632",
                file=folder.name,
                found="no dose" if folder.is_dir() else "no such folder",
                expected="CASE.nii.gz in Gy, CASE.dcm (RTDOSE), or a folder CASE with RTDOSE files",
                fix="give the folder of the doses with --dose",
            )
        )
    return found


def _subject_of(path: Path) -> str:
    """Whose dose a file or folder is; empty if it is none."""
    if path.name.startswith("."):
        return ""
    if path.name.endswith(ENDINGS):
        return stem(path).removesuffix("_0000")
    if not is_dicom_case(path):
        return ""
    return path.name if path.is_dir() else path.stem


def _two_doses(subject: str, one: Path, other: Path) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E632",
            subject=subject,
            file=other.name,
            found=f"two doses of one case: {one.name} and {other.name}",
            expected="one dose per case",
            fix="move the one that is not meant out of the folder",
        )
    )


def dose_files(path: Path) -> list[Path]:
    """Files that a dose is read from."""
    return files_of(path)


def read_dose(path: Path, *, subject: str = "") -> Dose:
    """Read a dose in Gy, on its own grid. Values that look like cGy are warned of (E633), not changed.

    Raises:
        InvalidInput: E632, not three axes, values below 0, not finite, or 0 everywhere; E305 or E204, as `read_nifti`;
            what the reader of RTDOSE finds.
    """
    with locating(subject=subject, file=path.name):
        dose = _read_rtdose(path) if is_dicom_case(path) else _read_nifti(path)
        if fault := _fault(dose.dose_gy):
            raise InvalidInput(
                Problem(
                    code="E632",
                    found=fault,
                    expected="dose in Gy at every voxel: three axes, finite, at least 0, and above 0 somewhere",
                    fix="export the dose again",
                )
            )
    _warn_of_unit(dose, path, subject)
    return dose


def check_overlap(dose: Dose, geometry: Geometry, *, subject: str = "", file: str = "") -> None:
    """Refuse a dose whose grid does not meet the image's.

    Raises:
        InvalidInput: E634, with the boxes of both.
    """
    (low, high), (other_low, other_high) = dose.geometry.bounds_mm, geometry.bounds_mm
    if (np.minimum(high, other_high) - np.maximum(low, other_low) > 0).all():
        return
    raise InvalidInput(
        Problem(
            code="E634",
            subject=subject,
            file=file,
            found=f"dose from {whole_mm(low)} to {whole_mm(high)}, structures from {whole_mm(other_low)} to "
            f"{whole_mm(other_high)}",
            expected="a dose that covers the structures, in the same world coordinates",
            fix="check that dose and image are of one patient and one frame of reference; export the dose again",
        )
    )


def _read_nifti(path: Path) -> Dose:
    values, geometry = read_nifti(path)
    if values.ndim != 3:
        raise InvalidInput(
            Problem(code="E632", found=f"{values.ndim} axes", expected="three axes", fix="give one dose per file")
        )
    return Dose(np.ascontiguousarray(values, dtype=np.float32), geometry)


def _read_rtdose(path: Path) -> Dose:
    return read_rtdose(dose_files(path))


def _fault(dose_gy: np.ndarray) -> str:
    if not np.isfinite(dose_gy).all():
        return f"{int(np.count_nonzero(~np.isfinite(dose_gy)))} voxels that are NaN or infinite"
    if dose_gy.min() < 0:
        return f"{int(np.count_nonzero(dose_gy < 0))} voxels below 0, down to {float(dose_gy.min()):.4g}"
    return "" if dose_gy.max() > 0 else "0 everywhere"


def _warn_of_unit(dose: Dose, path: Path, subject: str) -> None:
    hottest = float(dose.dose_gy.max())
    if hottest > LARGEST_GY:
        problem = Problem(
            code="E633",
            subject=subject,
            file=path.name,
            severity="warning",
            found=f"a maximum of {hottest:.4g}",
            expected=f"Gy, at most about {LARGEST_GY:g}; these look like cGy",
            fix="divide the dose by 100 and write it again, if it is in cGy",
        )
        warnings.warn(ProblemWarning(problem), stacklevel=3)
