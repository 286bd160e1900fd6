"""RTDOSE to Gy on a grid of its own: scaling, frames at their true positions, and what the values sum over.

Dose = stored integer × DoseGridScaling; a rescale slope has no place here. Frame n lies at ImagePositionPatient plus
its offset along the normal (DICOM PS3.3 C.8.8.3.2): offsets may be relative, descending, absolute, or uneven.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from plausible.core import Dose, Geometry, Problem
from plausible.core.problems import ProblemWarning
from plausible.io.dicom import resampling
from plausible.io.dicom.datasets import LPS_TO_RAS, check_size, decoded, numbers, read_header, refusal, text, tolerant
from plausible.io.dicom.dose_checks import check_what_it_is, implausible, stray_rescale
from plausible.io.dicom.dose_choice import Chosen, check_fractions, chosen_doses, summed
from plausible.io.dicom.dose_frames import Frames, frames_of
from plausible.io.dicom.folder import DicomFolder, sort_folder
from plausible.io.dicom.objects import DOSE, frame_of


@dataclass(frozen=True, slots=True, eq=False)
class RtDose:
    """A dose as its file has it, and what it belongs to.

    Attributes:
        dose: Gy on the dose's own grid.
        summation: DoseSummationType.
        method: how frames came to an even grid and beams to one dose, in words.
        instance_uids: SOP instances of the files.
        plan_uids, structure_uids: plans and structure sets it refers to.
        problems: what looks odd; for the report.
    """

    dose: Dose
    summation: str
    method: str
    instance_uids: tuple[str, ...]
    plan_uids: tuple[str, ...]
    structure_uids: tuple[str, ...]
    problems: tuple[Problem, ...] = ()


def read_rtdose(
    source: Path | Sequence[Path] | DicomFolder,
    *,
    instance_uid: str | None = None,
    prescription_gy: float | None = None,
    n_fractions: int | None = None,
) -> Dose:
    """Read the dose of a plan; what looks odd is warned about (`ProblemWarning`). See `open_rtdose`."""
    opened = open_rtdose(source, instance_uid=instance_uid, prescription_gy=prescription_gy, n_fractions=n_fractions)
    for problem in opened.problems:
        if problem.severity == "warning":
            warnings.warn(ProblemWarning(problem), stacklevel=2)
    return opened.dose


def open_rtdose(
    source: Path | Sequence[Path] | DicomFolder,
    *,
    instance_uid: str | None = None,
    prescription_gy: float | None = None,
    n_fractions: int | None = None,
) -> RtDose:
    """Read the dose of a plan with what it belongs to and what looks odd.

    Args:
        source: an RTDOSE file, several, or a folder with everything mixed, sorted or not. One PLAN dose is taken;
            without one, a complete set of BEAM doses is added, which takes their RTPLAN among the files.
        instance_uid: SOPInstanceUID of the dose, where there are several.
        prescription_gy: what the value 1 of a RELATIVE dose stands for, in Gy.
        n_fractions: by how many fractions a dose of one FRACTION is multiplied.

    Raises:
        InvalidInput: E601, E609, E611, E615 to E617, E619: what does not fit and what mends it.
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    with tolerant():
        chosen = chosen_doses(sort_folder(source), instance_uid=instance_uid)
        doses = [read_dose_object(path, prescription_gy=prescription_gy) for path in chosen.paths]
        check_fractions(doses[0].summation, n_fractions, path=chosen.paths[0])
        return _finished(chosen, doses, n_fractions=n_fractions)


def _finished(chosen: Chosen, doses: Sequence[RtDose], *, n_fractions: int | None) -> RtDose:
    first = doses[0]
    dose = summed([one.dose for one in doses], chosen.paths)
    method = first.method
    if len(doses) > 1:
        method += f"; {len(doses)} beams added"
    if first.summation == "FRACTION" and n_fractions:
        dose = replace(dose, dose_gy=dose.dose_gy * np.float32(n_fractions))
        method += f"; one fraction times {n_fractions}"
    found = [problem for one in doses for problem in one.problems]
    return replace(
        first,
        dose=dose,
        method=method,
        instance_uids=tuple(uid for one in doses for uid in one.instance_uids),
        problems=(*chosen.problems, *found, *implausible(dose, path=chosen.paths[0])),
    )


def read_dose_object(path: Path, *, prescription_gy: float | None = None) -> RtDose:
    """Read one RTDOSE file, whatever part of a plan it is the dose of.

    Raises:
        InvalidInput: E601, E607, E609, E615, E616 or E619.
    """
    header = read_header(path)
    if text(header, "SOPClassUID") != DOSE:
        raise refusal(
            "E601",
            path=path,
            found=f"an object of modality {text(header, 'Modality') or 'unknown'}",
            expected="an RT Dose",
            fix="plausible inspect -i FOLDER lists the doses of a folder",
        )
    frames = frames_of(path, header)
    kind, to_gy, problems = check_what_it_is(path, header, prescription_gy=prescription_gy)
    scaling = _scaling(path, header)
    values = _values(path, frames, scaling * to_gy)
    values, at_mm, method = _even(values, frames)
    problems += [*frames.problems, *stray_rescale(path, header, scaling=scaling * to_gy)]
    return RtDose(
        dose=Dose(values.transpose(2, 1, 0), _geometry(frames, at_mm), kind, frame_of(header)),
        summation=text(header, "DoseSummationType").upper(),
        method=method,
        instance_uids=(text(header, "SOPInstanceUID"),),
        plan_uids=_referenced(header, "ReferencedRTPlanSequence"),
        structure_uids=_referenced(header, "ReferencedStructureSetSequence"),
        problems=tuple(problems),
    )


def _scaling(path: Path, header: Any) -> float:
    found = numbers(header, "DoseGridScaling", 1)
    if found is None or found[0] <= 0:
        raise refusal(
            "E615",
            path=path,
            found=f"DoseGridScaling {text(header, 'DoseGridScaling') or 'missing'}",
            expected="a factor above 0 from stored integers to dose",
            fix="export the dose again; without it the values have no unit",
        )
    return float(found[0])


def _values(path: Path, frames: Frames, scaling: float) -> Float32[np.ndarray, "n rows columns"]:
    n, (rows, columns) = len(frames.at_mm), frames.shape
    check_size(n * rows * columns, path=path, what=f"{n} frames {rows}×{columns}")
    stored = decoded(path).reshape(-1, rows, columns)
    if len(stored) != n:
        raise refusal(
            "E609",
            path=path,
            found=f"{len(stored)} frames of pixel data",
            expected=f"{n} frames",
            fix="copy or export the dose again",
        )
    return np.multiply(stored[frames.order], scaling, dtype=np.float64).astype(np.float32)


def _even(values: Float32[np.ndarray, "n rows columns"], frames: Frames) -> tuple[np.ndarray, np.ndarray, str]:
    """Frames on an even grid: as they are, or interpolated linearly at the smallest distance."""
    if frames.even:
        return values, frames.at_mm, "frames as stored"
    smallest = float(np.diff(frames.at_mm).min())
    wanted = resampling.even_positions(frames.at_mm, smallest)
    method = (
        f"uneven frames: {len(values)} frames interpolated linearly at their true positions to {len(wanted)}, "
        f"{wanted[1] - wanted[0]:.4g} mm apart"
    )
    return resampling.at_positions(values, frames.at_mm, wanted), wanted, method


def _geometry(frames: Frames, at_mm: np.ndarray) -> Geometry:
    row, column = frames.orientation[:3], frames.orientation[3:]
    step = float(at_mm[1] - at_mm[0]) if len(at_mm) > 1 else frames.thickness_mm
    affine = np.eye(4)
    affine[:3, 0] = row * frames.spacing_mm[1]
    affine[:3, 1] = column * frames.spacing_mm[0]
    affine[:3, 2] = np.cross(row, column) * step
    affine[:3, 3] = frames.origin_mm + np.cross(row, column) * at_mm[0]
    affine[:3] = LPS_TO_RAS @ affine[:3]
    return Geometry((frames.shape[1], frames.shape[0], len(at_mm)), affine)


def _referenced(header: Any, keyword: str) -> tuple[str, ...]:
    return tuple(text(one, "ReferencedSOPInstanceUID") for one in header.get(keyword) or [])
