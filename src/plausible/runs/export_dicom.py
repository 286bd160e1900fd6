"""DICOM objects of a case: structure set, segmentations, parametric maps, doses, each in a series of its own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plausible.aggregate.regions import box_around
from plausible.core import Dose, InvalidInput, Problem
from plausible.io import read_scalar_map
from plausible.io.dicom.source import SourceSeries
from plausible.io.dicom.write_parametric_map import write_parametric_map
from plausible.io.dicom.write_rtdose import write_rtdose
from plausible.io.dicom.write_rtstruct import write_rtstruct
from plausible.io.dicom.write_seg import write_seg
from plausible.runs.dose_case import DOSE_MAP
from plausible.runs.dose_tables import read_dose_result
from plausible.runs.export_case import ResultOfCase
from plausible.runs.export_contours import contours_of, doubts
from plausible.runs.export_settings import ExportSettings
from plausible.runs.layout import read_json
from plausible.runs.replan_doses import PLANS, REPLAN_JSON, REPLANNED, REPLANNED_SD

DOSES = (DOSE_MAP,)
"""Maps that are doses. One in Gy need not be: the dose-aware uncertainty is a difference of doses, times a share."""


@dataclass(frozen=True, slots=True)
class Written:
    """Files of one target, names of contours by what they are, and what to be careful with."""

    files: tuple[Path, ...]
    contours: Mapping[str, Mapping[str, object]]
    warnings: tuple[Problem, ...] = ()


DicomTarget = Callable[[ResultOfCase, SourceSeries, Path, ExportSettings], Written]


def rtstruct(case: ResultOfCase, source: SourceSeries, folder: Path, settings: ExportSettings) -> Written:
    """Structure set: nominal contours and lines of equal probability."""
    path = folder / "rtstruct.dcm"
    found = contours_of(case, holes=settings.holes, tg263=settings.tg263)
    meanings = {one.contours.number: one.meaning for one in found}
    write_rtstruct(path, [one.contours for one in found], source, descriptions=meanings)
    told = {
        one.contours.name: {
            "structure": one.structure,
            "level": one.level or "nominal",
            "volume_ml": round(one.outlines.volume_ml, 4),
            "n_loops": len(one.outlines.loops),
            "n_points": one.outlines.n_points,
            "n_holes": one.outlines.n_holes,
        }
        for one in found
    }
    return Written((path,), told, tuple(doubts(found, subject=case.subject)))


def seg(case: ResultOfCase, source: SourceSeries, folder: Path, _: ExportSettings) -> Written:
    """Segmentation of masks."""
    path = folder / "seg.dcm"
    write_seg(path, _masks(case), source, kind="binary", description="segmentation")
    return Written((path,), {})


def seg_labelmap(case: ResultOfCase, source: SourceSeries, folder: Path, _: ExportSettings) -> Written:
    """Segmentation as one label map."""
    path = folder / "seg_labelmap.dcm"
    write_seg(path, _masks(case), source, kind="labelmap", description="segmentation")
    return Written((path,), {})


def seg_fractional(case: ResultOfCase, source: SourceSeries, folder: Path, _: ExportSettings) -> Written:
    """Segmentation of probabilities."""
    path = folder / "seg_fractional.dcm"
    probabilities = {name: case.bands.frame(name) for name in case.classes.structures}
    write_seg(path, probabilities, source, kind="fractional", description=_probability(case))
    return Written((path,), {})


def parametric_map(case: ResultOfCase, source: SourceSeries, folder: Path, _: ExportSettings) -> Written:
    """Probability of each structure, and every map, as parametric maps."""
    return Written(tuple(_parametric_maps(case, source, folder / "parametric_map")), {})


def rtdose(case: ResultOfCase, source: SourceSeries, folder: Path, _: ExportSettings) -> Written:
    """Maps that are doses."""
    doses = [one for one in case.maps if one.name in DOSES]
    judged = read_dose_result(case.folder)
    if judged is None or not doses:
        raise InvalidInput(
            Problem(
                code="E622",
                subject=case.subject,
                found=f"no {' or '.join(DOSES)} among {', '.join(one.name for one in case.maps) or 'no maps'}",
                expected="a dose: nothing else is written as RTDOSE, where it would be taken for one",
                fix="plausible dose makes it; --to parametric-map writes any map",
            )
        )
    files = []
    for one in doses:
        for frame, values in zip(one.frames, one.values, strict=True):
            path = folder / "rtdose" / f"{file_name(one.name, frame)}.dcm"
            box = box_around(values > 0)  # nothing is said of what lies around it
            dose = Dose(np.ascontiguousarray(values[box]), one.geometry.cut(box), judged.dose_kind)
            write_rtdose(path, dose, source, comment=f"{file_name(one.name, frame)}, 0 where it is not known")
            files.append(path)
    return Written(tuple(files), {})


def rtdose_statistics(case: ResultOfCase, source: SourceSeries, folder: Path, _: ExportSettings) -> Written:
    """Mean and SD of the doses that were planned again on every plausible contour."""
    files = []
    for name in REPLANNED:
        found = _replanned(case, name)
        if found is None:
            raise InvalidInput(
                Problem(
                    code="E622",
                    subject=case.subject,
                    found=f"no {name}.nii.gz of this case",
                    expected="doses of at least two members' plans: the mean and the SD of one dose are no statistics",
                    fix="plausible replan makes them, in the folder of the results or in OUT/replan",
                )
            )
        told = read_scalar_map(found)
        path = folder / "rtdose" / f"{name}.dcm"
        dose = Dose(np.ascontiguousarray(told.values[0]), told.geometry)
        write_rtdose(path, dose, source, comment=told.definition, spread=name == REPLANNED_SD)
        files.append(path)
    return Written(tuple(files), {})


def _replanned(case: ResultOfCase, name: str) -> Path | None:
    """A map of plausible replan, or dose --replan, that its record lists."""
    for folder in (case.folder, case.folder.parent / PLANS / case.subject):
        listed = (read_json(folder / REPLAN_JSON) or {}).get("maps", [])
        if f"{name}.nii.gz" in listed and (folder / f"{name}.nii.gz").is_file():
            return folder / f"{name}.nii.gz"
    return None


DICOM_TARGETS: Mapping[str, DicomTarget] = {
    "rtstruct": rtstruct,
    "seg": seg,
    "seg-fractional": seg_fractional,
    "seg-labelmap": seg_labelmap,
    "parametric-map": parametric_map,
    "rtdose": rtdose,
    "rtdose-statistics": rtdose_statistics,
}


def file_name(name: str, frame: str) -> str:
    """Name of a file from a map and one of its frames."""
    parts = f"{name}_{frame}" if frame else name
    return "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in parts)


def _masks(case: ResultOfCase) -> dict[str, np.ndarray]:
    return {name: case.mask(name) for name in case.classes.structures}


def _probability(case: ResultOfCase) -> str:
    if case.hard:
        return "share of members"
    return "calibrated probability" if case.calibrated else "mean probability"


def _parametric_maps(case: ResultOfCase, source: SourceSeries, folder: Path) -> Iterator[Path]:
    wanted = [(case.mean, name) for name in case.classes.structures]
    wanted += [(one, frame) for one in case.maps if one.name not in DOSES for frame in one.frames]
    for one, frame in wanted:
        path = folder / f"{file_name(one.name, frame)}.dcm"
        write_parametric_map(path, one, source, frame=frame)
        yield path
