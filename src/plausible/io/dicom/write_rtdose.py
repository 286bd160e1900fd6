"""RTDOSE out: a dose, or a statistic of doses, in Gy on its own grid, as 32-bit steps.

Only what is a dose is written: a probability or an entropy in a dose object would be taken for one.
"""

from pathlib import Path
from typing import Any

import numpy as np

from plausible.core import Dose, InvalidInput, Problem
from plausible.io.dicom.datasets import LPS_TO_RAS
from plausible.io.dicom.modules import LONG, discreet, item, new_object, plain, save, sequence
from plausible.io.dicom.source import SourceSeries

SOP_CLASS, PLAN_CLASS = "1.2.840.10008.5.1.4.1.1.481.2", "1.2.840.10008.5.1.4.1.1.481.5"
STEPS = 2**32 - 1
SERIES_NUMBER = 9020


@discreet()
def write_rtdose(
    path: Path, dose: Dose, source: SourceSeries, *, comment: str, plan_uid: str = "", spread: bool = False
) -> None:
    """Write a dose in the source's patient, study and frame of reference.

    Args:
        path: file to write; replaced if it is there.
        dose: on any grid; axes are kept, frames run along the normal.
        source: series that was planned on.
        comment: what the dose is, e.g. "mean over 20 members".
        plan_uid: SOP instance of the plan. The standard wants one; without it the object has no reference, which
            checkers report and planning systems may refuse.
        spread: it is a standard deviation of doses. Its DoseType is then ERROR, the only one that no program sums up.

    Raises:
        InvalidInput: E622, values below 0 or not finite.
        UnfitEnvironment: E901 without the extra `dicom`; E903, the file cannot be written.
    """
    _check(dose)
    made = new_object(source, sop_class_uid=SOP_CLASS, modality="RTDOSE", description=comment, number=SERIES_NUMBER)
    made.DoseUnits, made.DoseType = "GY", "ERROR" if spread else dose.kind.upper()
    made.DoseComment, made.DoseSummationType = plain(f"RESEARCH USE ONLY {comment}", LONG), "PLAN"
    if plan_uid:
        made.ReferencedRTPlanSequence = sequence(
            [item(ReferencedSOPClassUID=PLAN_CLASS, ReferencedSOPInstanceUID=plan_uid)]
        )
    frames = _place(made, dose)
    scaling = f"{max(float(frames.max()), 1e-6) / STEPS:.9e}"
    stored = np.clip(np.rint(frames.astype(np.float64) / float(scaling)), 0, STEPS).astype("<u4")
    made.DoseGridScaling = scaling
    _image(made, stored)
    save(made, path)


def _check(dose: Dose) -> None:
    low = float(dose.dose_gy.min())
    if not np.isfinite(dose.dose_gy).all() or low < 0:
        raise InvalidInput(
            Problem(
                code="E622",
                found=f"a smallest value of {low:.3g} Gy" if np.isfinite(low) else "values that are not finite",
                expected="doses from 0 Gy on: RTDOSE holds unsigned steps",
                fix="export the map to NIfTI instead",
            )
        )


def _place(made: Any, dose: Dose) -> np.ndarray:
    """Write where the grid lies; return frames, rows, columns with frames along the normal."""
    affine = LPS_TO_RAS @ dose.geometry.affine[:3]
    spacing = np.asarray(dose.geometry.spacing_mm)
    directions = affine[:, :3] / spacing
    frames, origin = dose.dose_gy.transpose(2, 1, 0), affine[:, 3]
    if np.cross(directions[:, 0], directions[:, 1]) @ directions[:, 2] < 0:
        origin = origin + affine[:, 2] * (len(frames) - 1)
        frames = frames[::-1]
    made.ImagePositionPatient = [f"{value:.6f}"[:16] for value in origin + 0.0]
    made.ImageOrientationPatient = [f"{value:.10f}" for value in directions[:, :2].T.ravel() + 0.0]
    made.PixelSpacing = [f"{spacing[1]:.8f}", f"{spacing[0]:.8f}"]
    made.SliceThickness = f"{spacing[2]:.8f}"
    made.GridFrameOffsetVector = [f"{n * spacing[2]:.6f}" for n in range(len(frames))]
    return np.ascontiguousarray(frames)


def _image(made: Any, stored: np.ndarray) -> None:
    made.NumberOfFrames, made.Rows, made.Columns = stored.shape
    made.FrameIncrementPointer = 0x3004000C  # GridFrameOffsetVector
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 32, 32, 31, 0
    made.PixelData = stored.tobytes()
