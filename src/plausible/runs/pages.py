"""Draw the page of a case from what lies on disk: case.json, its maps, and evaluation.json where there is one."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from plausible.core import Classes, Geometry, Image, InvalidInput, LabelMap, MemberInfo, Problem
from plausible.core.problems import ProblemWarning
from plausible.io import read_image, read_labels, read_scalar_map
from plausible.io.atomic import write_text
from plausible.io.dicom_files import ACCEPTED, is_dicom_case
from plausible.io.dicom_members import open_dicom
from plausible.io.nifti import read_geometry, stem
from plausible.io.results import PROBABILITY, SEGMENTATION
from plausible.report import CaseReport, StructureSummary, case_from_json, case_page
from plausible.runs.dose_tables import read_dose_result
from plausible.runs.evaluation import EvaluatedCase
from plausible.runs.layout import CASE_JSON, CASE_PAGE, EVALUATION_JSON, read_json

Shown = TypeVar("Shown")

MAX_MB = 8.0
HIDDEN_MAPS = ("mean_probability",)


def draw_case(folder: Path, *, max_mb: float = MAX_MB) -> tuple[Problem, ...]:
    """Write case.html of an assessed case; return why its image or its reference is not shown, if it is not.

    Raises:
        InvalidInput: E305, one of its own files is damaged or missing.
    """
    report = read_case(folder)
    image, no_image = _if_readable(lambda: _image(report, folder), code="E109", subject=report.subject)
    reference, no_reference = _if_readable(lambda: _reference(folder), code="E106", subject=report.subject)
    dose = read_dose_result(folder)
    lost = tuple(problem for problem in (no_image, no_reference) if problem)
    unseen = (f"Not shown: {problem.file}: {problem.found}." for problem in lost)
    page = case_page(
        replace(report, warnings=(*report.warnings, *unseen)),
        image=image,
        probability=read_scalar_map(folder / PROBABILITY),
        segmentation=_labels(folder / SEGMENTATION, classes_of(folder)),
        maps=tuple(
            read_scalar_map(folder / one.path)
            for one in (*report.maps, *(dose.maps if dose else ()))
            if _is_overlay(one.quantity)
        ),
        reference=reference,
        dose=dose,
        max_mb=max_mb,
    )
    write_text(folder / CASE_PAGE, page)
    return lost


def read_case(folder: Path) -> CaseReport:
    """Read case.json, with the scores of evaluation.json where the case was evaluated.

    Raises:
        InvalidInput: E305, the file is damaged or of another version.
    """
    path = folder / CASE_JSON
    try:
        report = case_from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    evaluated = read_evaluation(folder)
    return _with_evaluation(report, evaluated) if evaluated else report


def read_evaluation(folder: Path) -> EvaluatedCase | None:
    """Read evaluation.json; None where the case was not evaluated.

    Raises:
        InvalidInput: E305, the file is damaged or of another version.
    """
    path = folder / EVALUATION_JSON
    content = read_json(path)
    try:
        return None if content is None else EvaluatedCase.from_dict(content)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from error


def classes_of(folder: Path) -> Classes:
    """Classes of a case, from the sidecar of its segmentation."""
    path = folder / (stem(Path(SEGMENTATION)) + ".json")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        labels = tuple(tuple(map(int, values)) for values in told["class_labels"])
        return Classes(
            tuple(map(str, told["classes"])), bool(told["exclusive"]), labels, tuple(told["regions_class_order"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> InvalidInput:
    """Return the error of a result that cannot be read."""
    return InvalidInput(
        Problem(
            code="E305",
            subject=path.parent.name,
            file=path.name,
            found=f"{type(error).__name__}: {str(error)[:300]}",
            expected="the file as plausible writes it",
            fix="run the same command again with --overwrite: it makes this case anew",
        )
    )


def _with_evaluation(report: CaseReport, evaluated: EvaluatedCase) -> CaseReport:
    against = tuple(row.to_dict() for row in evaluated.rows if row.against)
    structures = tuple(_scored(one, evaluated) for one in report.structures)
    return replace(report, structures=structures, scores=(*report.scores, *against))


def _scored(structure: StructureSummary, evaluated: EvaluatedCase) -> StructureSummary:
    return replace(
        structure,
        reference=evaluated.headline(structure.name),
        reference_volume_ml=evaluated.reference_ml.get(structure.name),
    )


def _if_readable(read: Callable[[], Shown], *, code: str, subject: str) -> tuple[Shown | None, Problem | None]:
    """Return what `read` returns, or a warning that says why it cannot be read."""
    try:
        return read(), None
    except InvalidInput as error:
        return None, replace(error.problem, subject=subject, severity="warning")
    except OSError as error:
        return None, Problem(
            code=code,
            subject=subject,
            file=Path(error.filename).name,
            severity="warning",
            found="it is no longer where it was" if isinstance(error, FileNotFoundError) else str(error.strerror),
            expected="the file that the results were made from, so that the page can show it",
            fix="put it back, or run the same command again with the folder where it lies now",
        )


def _is_overlay(quantity: str) -> bool:
    return quantity not in (*HIDDEN_MAPS, "segmentation")


def _image(report: CaseReport, folder: Path) -> Image | None:
    """The image as it was when the case was assessed: what was accepted of a DICOM series then is accepted now."""
    paths = _there(folder, report.image)
    if not paths:
        return None
    onto = read_geometry(folder / SEGMENTATION)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProblemWarning)  # the run that read it first said so
        return read_image(paths, channels=report.channels, subject=report.subject, accept=ACCEPTED, onto=onto)


def _reference(folder: Path) -> LabelMap | None:
    evaluated = read_evaluation(folder)
    if evaluated is None or not evaluated.references:
        return None
    classes = classes_of(folder)
    paths = _there(folder, evaluated.references)
    if len(paths) == 1 and is_dicom_case(paths[0]):
        return _drawn(paths[0], classes, read_geometry(folder / SEGMENTATION)[0])
    if len(paths) == 1:
        return _labels(paths[0], classes)
    return _stacked({stem(path): path for path in paths}, classes)


def _there(folder: Path, names: Sequence[str]) -> list[Path]:
    """Paths of inputs as a case's record names them.

    Raises:
        OSError: one cannot be opened.
    """
    paths = [folder.parent / name for name in names]
    for path in paths:
        if not path.is_dir():
            path.open("rb").close()
    return paths


def _drawn(path: Path, classes: Classes, geometry: Geometry) -> LabelMap:
    """Contours or segments as a label map; where structures overlap the later one is shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProblemWarning)
        source, _ = open_dicom(path, info=MemberInfo(id="reference"), classes=classes, on=geometry)
        masks = classes.masks(source.read(0, geometry.shape[2], axis=2))
    values = np.zeros(geometry.shape, dtype=np.uint16)
    for mask, labels in zip(masks, classes.labels[-len(masks) :], strict=True):
        values[mask] = labels[0]
    return LabelMap(values, geometry, classes)


def _labels(path: Path, classes: Classes) -> LabelMap:
    values, geometry = read_labels(path)
    return LabelMap(np.asarray(values), geometry, classes)


def _stacked(paths: Mapping[str, Path], classes: Classes) -> LabelMap | None:
    """One label map of a reference that has a file per structure; where structures overlap the later one is shown."""
    values, geometry = None, None
    for name, labels in zip(classes.names, classes.labels, strict=True):
        if name in paths:
            mask, geometry = read_labels(paths[name])
            values = np.zeros(mask.shape, dtype=np.uint16) if values is None else values
            values[np.asarray(mask) > 0] = labels[0]
    return LabelMap(values, geometry, classes) if values is not None and geometry is not None else None
