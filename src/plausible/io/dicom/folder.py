"""A folder with everything mixed, sorted by what the objects say of themselves: never by file names."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plausible.core import InvalidInput, Problem
from plausible.io.dicom.datasets import numbers, read_header, text, tolerant
from plausible.io.dicom.objects import (
    DOSE,
    PLANS,
    SEGMENTATIONS,
    STRUCTURES,
    DoseFile,
    Instance,
    PlanFile,
    SegmentationFile,
    SeriesFiles,
    StructureFile,
    as_dose,
    as_instance,
    as_plan,
    as_segmentation,
    as_structures,
)
from plausible.io.dicom.planes import ENHANCED, IMAGES, first_plane, orientation_key
from plausible.io.dicom_files import walked

_ENDINGS = ("", ".dcm", ".dicom", ".ima")
"""Endings of DICOM files: one of these that cannot be read is a loss, any other is a file beside them."""
_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "PatientID", "ImageType", "Rows", "Columns", "NumberOfFrames", "PixelSpacing", "ImageOrientationPatient",
    "StructureSetROISequence", "ReferencedFrameOfReferenceSequence", "ReferencedRTPlanSequence",
    "ReferencedStructureSetSequence", "DoseSummationType", "FractionGroupSequence", "BeamSequence",
    "ReferencedSeriesSequence", "SegmentSequence", "SegmentationType", "BitsAllocated",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DicomFolder:
    """What lies in a folder.

    Attributes:
        others: how many objects of other modalities.
        problems: files that could not be read: warnings, and notes where they are called unlike DICOM files.
    """

    images: tuple[SeriesFiles, ...] = ()
    structure_sets: tuple[StructureFile, ...] = ()
    doses: tuple[DoseFile, ...] = ()
    plans: tuple[PlanFile, ...] = ()
    segmentations: tuple[SegmentationFile, ...] = ()
    others: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def drawn_on(self) -> frozenset[str]:
        """Images that its structure sets were drawn on: they tell which of several series is meant."""
        return frozenset(uid for one in self.structure_sets for uid in one.image_uids)

    def images_of(self, structures: StructureFile) -> tuple[SeriesFiles, ...]:
        """Groups of planes a structure set was drawn on; else those of its frame of reference."""
        drawn = tuple(one for one in self.images if one.instance_uids & structures.image_uids)
        named = tuple(one for one in self.images if one.series_uid in structures.series_uids)
        frame = structures.instance.frame_of_reference_uid
        same = tuple(one for one in self.images if frame and one.frame_of_reference_uid == frame)
        return drawn or named or same

    def structures_of(self, dose: DoseFile) -> tuple[StructureFile, ...]:
        """Structure sets a dose or its plan refers to; else those of its frame of reference."""
        plans = [one for one in self.plans if one.instance.instance_uid in dose.plan_uids]
        named = {*dose.structure_uids, *(uid for one in plans for uid in one.structure_uids)}
        told = tuple(one for one in self.structure_sets if one.instance.instance_uid in named)
        frame = dose.instance.frame_of_reference_uid
        return told or tuple(
            one for one in self.structure_sets if frame and one.instance.frame_of_reference_uid == frame
        )

    def instances(self) -> Iterator[Instance]:
        """All objects that are read."""
        for series in self.images:
            yield from series.instances
        for objects in (self.structure_sets, self.doses, self.plans, self.segmentations):
            yield from (one.instance for one in objects)


def sort_folder(source: Path | Sequence[Path] | DicomFolder) -> DicomFolder:
    """Sort the files of a folder and the folders in it, or a list of files; what was sorted already stays as it is.

    Raises:
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    if isinstance(source, DicomFolder):
        return source
    headers, problems = list[tuple[Path, Any]](), list[Problem]()
    with tolerant():
        for path in _files(source):
            try:
                headers.append((path, read_header(path, tags=_TAGS)))
            except InvalidInput as error:
                severity = "warning" if path.suffix.lower() in _ENDINGS or path.stem.isdigit() else "note"
                problems.append(replace(error.problem, severity=severity))
        return _sorted(headers, tuple(problems))


def _files(source: Path | Sequence[Path]) -> list[Path]:
    if not isinstance(source, Path):
        return sorted(source)
    return [source] if source.is_file() else sorted(walked(source))


def _sorted(headers: Iterable[tuple[Path, Any]], problems: tuple[Problem, ...]) -> DicomFolder:
    groups = dict[tuple[Any, ...], list[tuple[Instance, Any]]]()
    structures, doses, plans, segmentations = [], [], [], []
    others = Counter[str]()
    for path, header in headers:
        one = as_instance(path, header)
        if one.sop_class_uid in IMAGES:
            groups.setdefault(_key(one, header), []).append((one, header))
        elif one.sop_class_uid == STRUCTURES:
            structures.append(as_structures(one, header))
        elif one.sop_class_uid == DOSE:
            doses.append(as_dose(one, header))
        elif one.sop_class_uid in PLANS:
            plans.append(as_plan(one, header))
        elif one.sop_class_uid in SEGMENTATIONS:
            segmentations.append(as_segmentation(one, header))
        else:
            others[text(header, "Modality") or "unknown"] += 1
    images = tuple(_series(key, members) for key, members in groups.items())
    return DicomFolder(
        images, tuple(structures), tuple(doses), tuple(plans), tuple(segmentations), dict(others), problems
    )


def _key(one: Instance, header: Any) -> tuple[Any, ...]:
    shape = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    spacing = numbers(header, "PixelSpacing", 2)
    rounded = None if spacing is None else (round(float(spacing[0]), 4), round(float(spacing[1]), 4))
    where: tuple[Any, ...] = (orientation_key(header), shape, rounded)
    if one.sop_class_uid in ENHANCED:
        try:
            where = first_plane(one.path, read_header(one.path)).key
        except InvalidInput:
            where = (None, shape, None)
    localizer = "LOCALIZER" in [str(value).upper() for value in header.get("ImageType") or []]
    return one.series_uid, one.frame_of_reference_uid, localizer, *where


def _series(key: tuple[Any, ...], members: list[tuple[Instance, Any]]) -> SeriesFiles:
    _, _, localizer, orientation, shape, spacing = key
    return SeriesFiles(
        modality=IMAGES[members[0][0].sop_class_uid],
        instances=tuple(one for one, _ in members),
        orientation=orientation,
        shape=shape,
        spacing_mm=spacing,
        n_planes=sum(
            int(header.get("NumberOfFrames") or 1) if one.sop_class_uid in ENHANCED else 1 for one, header in members
        ),
        localizer=localizer,
    )
