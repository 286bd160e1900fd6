"""Say what DICOM objects a folder holds, what belongs together, and how to mend each problem.

No identifiers of people: UIDs, geometry, names of structures. File names that may carry a person's are hashed unless
asked for.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from plausible.core import InvalidInput, Problem, standard_name
from plausible.io.dicom import DicomFolder, file_names_kept, read_rtstruct, read_series, sort_folder
from plausible.io.dicom.contour_checks import check_contours
from plausible.io.dicom.datasets import file_label
from plausible.io.dicom.dose_choice import check_fractions, chosen_doses
from plausible.io.dicom.objects import DoseFile, Instance, SegmentationFile, SeriesFiles, StructureFile
from plausible.io.dicom.rtdose import read_dose_object
from plausible.io.dicom.series import SeriesImage, look_at_series
from plausible.io.dicom_files import holds_dicom_files, is_dicom
from plausible.io.recognise import folder_kind
from plausible.runs.dicom_inspection import (
    DicomGroup,
    DicomInspection,
    DoseLine,
    RoiLine,
    SegLine,
    SeriesLine,
    StructureLine,
)

SEVERITIES = ("error", "warning", "note")
PLANES = ("sagittal", "coronal", "axial")


def holds_dicom(path: Path) -> bool:
    """Whether a file is DICOM, or a folder that is nothing else holds such files."""
    if path.is_file():
        return is_dicom(path)
    return path.is_dir() and folder_kind(path) == "members" and holds_dicom_files(path)


def inspect_dicom(path: Path, *, deep: bool = False, keep_phi: bool = False) -> DicomInspection:
    """Look at all DICOM objects of a folder; never stop at the first problem.

    Args:
        path: folder, or one file.
        deep: read pixels too, and compare contours with their image. Otherwise headers, contours and doses are read.
        keep_phi: name files as they are called, though their names may carry a person's.

    Raises:
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    if not keep_phi:
        return _inspected(path, deep=deep)
    with file_names_kept():
        return _inspected(path, deep=deep)


def _inspected(path: Path, *, deep: bool) -> DicomInspection:
    folder = sort_folder(path)
    problems = list(folder.problems)
    groups = [_group(part, deep=deep, problems=problems) for part in _together(folder)]
    problems += _across(folder)
    name = file_label(path.absolute())
    return DicomInspection(
        name="DICOM folder" if name.startswith("file-") else name,
        deep=deep,
        n_objects=sum(1 for _ in folder.instances()) + sum(folder.others.values()),
        groups=tuple(groups),
        others=folder.others,
        problems=tuple(sorted(dict.fromkeys(problems), key=lambda p: SEVERITIES.index(p.severity))),
    )


def _together(folder: DicomFolder) -> Iterator[DicomFolder]:
    """Objects of one patient and frame of reference; plans have none and go with what refers to them."""
    keys = dict.fromkeys(_key(one) for one in folder.instances() if one.frame_of_reference_uid)
    for key in keys:
        doses = tuple(one for one in folder.doses if _key(one.instance) == key)
        named = {uid for one in doses for uid in one.plan_uids}
        yield replace(
            folder,
            images=tuple(one for one in folder.images if _key(one.instances[0]) == key),
            structure_sets=tuple(one for one in folder.structure_sets if _key(one.instance) == key),
            doses=doses,
            plans=tuple(one for one in folder.plans if one.instance.instance_uid in named),
            segmentations=tuple(one for one in folder.segmentations if _key(one.instance) == key),
        )


def _key(one: Instance) -> tuple[str, str]:
    return one.patient, one.frame_of_reference_uid


def _group(part: DicomFolder, *, deep: bool, problems: list[Problem]) -> DicomGroup:
    frame = next(one.frame_of_reference_uid for one in part.instances() if one.frame_of_reference_uid)
    read = _reader(part) if deep else None
    doses = tuple(_dose(one, problems) for one in part.doses)
    if part.doses:
        _check_choice(part, problems)
    return DicomGroup(
        frame_of_reference_uid=frame,
        series=tuple(_series(one, read, problems=problems) for one in part.images),
        structure_sets=tuple(_structures(one, part, read, problems=problems) for one in part.structure_sets),
        doses=doses,
        segmentations=tuple(_segmentation(one, part) for one in part.segmentations),
        n_plans=len(part.plans),
    )


Reader: TypeAlias = Callable[[SeriesFiles], SeriesImage]


def _reader(part: DicomFolder) -> Reader:
    """Reader of pixels: a series that structure sets were drawn on is decoded once for all of them."""
    shared = {image.paths for one in part.structure_sets for image in part.images_of(one)}
    kept: dict[tuple[Path, ...], SeriesImage] = {}

    def read(one: SeriesFiles) -> SeriesImage:
        if one.paths in kept:
            return kept[one.paths]
        found = read_series(one.paths)
        if one.paths in shared:
            kept[one.paths] = found
        return found

    return read


def _series(one: SeriesFiles, read: Reader | None, *, problems: list[Problem]) -> SeriesLine:
    spacing = None
    try:
        geometry, found = look_at_series(one)
        spacing = geometry.spacing_mm
        problems += read(one).problems if read else found
    except InvalidInput as error:
        if not one.localizer:
            problems.append(error.problem)
    return SeriesLine(
        series_uid=one.series_uid,
        modality=one.modality,
        localizer=one.localizer,
        n_slices=one.n_planes,
        shape=(one.shape[1], one.shape[0]),
        spacing_mm=spacing,
        plane=_plane(one.orientation),
    )


def _plane(orientation: tuple[float, ...] | None) -> str:
    """How slices lie, in the word for it."""
    if orientation is None:
        return "orientation not told"
    normal = np.abs(np.cross(orientation[:3], orientation[3:]))
    word = PLANES[int(np.argmax(normal))]
    return word if normal.max() > 0.999 else f"oblique, nearly {word}" if normal.max() > 0.9 else "oblique"


def _structures(
    one: StructureFile, part: DicomFolder, read_image: Reader | None, *, problems: list[Problem]
) -> StructureLine:
    images = part.images_of(one)
    rois = tuple(RoiLine(number, name, standard_name(name), None, "") for number, name in one.rois.items())
    try:
        read = read_rtstruct(one.instance.path)
        problems += read.problems
        loops = {roi.number: roi for roi in read.contours}
        rois = tuple(
            RoiLine(n, name, standard_name(name), len(loops[n].loops), loops[n].interpreted_type)
            if n in loops
            else RoiLine(n, name, standard_name(name), 0, "")
            for n, name in read.names.items()
        )
        if read_image and len(images) == 1:
            image = read_image(images[0])
            problems += check_contours(read, image.geometry, instance_uids=image.instance_uids)
    except InvalidInput as error:
        problems.append(error.problem)
    drawn_on = tuple(dict.fromkeys(image.series_uid for image in images))
    return StructureLine(one.instance.instance_uid, drawn_on, rois)


def _no_image(one: StructureFile) -> Problem:
    return Problem(
        code="E610",
        severity="warning",
        file=file_label(one.instance.path),
        found=f"drawn on series {', '.join(one.series_uids) or '(not told)'}, which is not here",
        expected="the images it was drawn on",
        fix="add the series to the folder; contours can be used without it, masks cannot be made",
    )


def _dose(one: DoseFile, problems: list[Problem]) -> DoseLine:
    line = DoseLine(one.instance.instance_uid, one.summation, one.plan_uids)
    try:
        read = read_dose_object(one.instance.path)
    except InvalidInput as error:
        problems.append(error.problem)
        return line
    problems += read.problems
    geometry = read.dose.geometry
    return replace(
        line,
        shape=geometry.shape,
        spacing_mm=geometry.spacing_mm,
        maximum_gy=float(read.dose.dose_gy.max()),
        kind=read.dose.kind,
        method=read.method,
    )


def _check_choice(part: DicomFolder, problems: list[Problem]) -> None:
    """Which doses of a group make up its plan."""
    try:
        chosen = chosen_doses(part)
        problems += chosen.problems
        summation = next(one.summation for one in part.doses if one.instance.path == chosen.paths[0])
        check_fractions(summation, None, path=chosen.paths[0])
    except InvalidInput as error:
        problems.append(error.problem)


def _segmentation(one: SegmentationFile, part: DicomFolder) -> SegLine:
    here = {image.series_uid for image in part.images}
    made_on = tuple(uid for uid in one.series_uids if uid in here)
    return SegLine(one.instance.instance_uid, one.kind.lower(), tuple(one.segments.values()), made_on)


def _across(folder: DicomFolder) -> Iterator[Problem]:
    """References that lead to objects of another patient or frame of reference."""
    for structures in folder.structure_sets:
        if not folder.images_of(structures):
            yield _no_image(structures)
        for image in folder.images:
            if image.instance_uids & structures.image_uids or image.series_uid in structures.series_uids:
                yield from _differ(
                    structures.instance, image.instances[0], "structure set", "the images it was drawn on"
                )
    for dose in folder.doses:
        named = [one for one in folder.structure_sets if one.instance.instance_uid in dose.structure_uids]
        for structures in named:
            yield from _differ(dose.instance, structures.instance, "dose", "its structure set")


def _differ(one: Instance, other: Instance, this: str, that: str) -> Iterator[Problem]:
    if one.patient != other.patient:
        yield Problem(
            code="E611",
            file=file_label(one.path),
            found=f"the {this} has another PatientID than {that}",
            expected="objects of one patient",
            fix="sort the files by patient; the identifiers are not printed here",
        )
    if one.frame_of_reference_uid != other.frame_of_reference_uid:
        yield Problem(
            code="E610",
            file=file_label(one.path),
            found=f"the {this} lies in frame of reference {one.frame_of_reference_uid or '(none told)'}, {that} in "
            f"{other.frame_of_reference_uid or '(none told)'}",
            expected="one frame of reference",
            fix="register both in the planning system, and export again",
        )
