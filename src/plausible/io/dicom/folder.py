"""A folder with everything mixed, sorted by what the objects say of themselves: never by file names."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plausible.core import InvalidInput, Problem
from plausible.io.dicom.datasets import items, numbers, read_header, text, tolerant
from plausible.io.dicom.planes import ENHANCED, IMAGES, first_plane, orientation_key

STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
PLANS = ("1.2.840.10008.5.1.4.1.1.481.5", "1.2.840.10008.5.1.4.1.1.481.8")
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")

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
class Instance:
    """One object: its file and the identifiers that tie it to others. No patient data.

    Attributes:
        patient: hash of the PatientID, to see whether two objects are of one patient.
    """

    path: Path
    sop_class_uid: str
    instance_uid: str
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SeriesFiles:
    """Planes that may form one volume: one series, frame of reference, orientation, size and spacing.

    Attributes:
        orientation: rounded direction cosines; None if a file does not say.
        shape: rows, columns.
        spacing_mm: between rows, between columns; None if a file does not say.
        n_planes: files, or frames of enhanced files.
        localizer: whether every image says it only shows where others lie.
    """

    modality: str
    instances: tuple[Instance, ...]
    orientation: tuple[float, ...] | None
    shape: tuple[int, int]
    spacing_mm: tuple[float, float] | None
    n_planes: int
    localizer: bool

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID."""
        return self.instances[0].series_uid

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of reference of all its planes."""
        return self.instances[0].frame_of_reference_uid

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its files."""
        return tuple(one.path for one in self.instances)

    @property
    def instance_uids(self) -> frozenset[str]:
        """SOP instances."""
        return frozenset(one.instance_uid for one in self.instances)

    def described(self) -> str:
        """Say what it is: UIDs and geometry only."""
        spacing = "spacing not told" if self.spacing_mm is None else "{:.4g}×{:.4g} mm".format(*self.spacing_mm)
        rows, columns = self.shape
        kind = " localizer" if self.localizer else ""
        return f"{self.modality}{kind} series {self.series_uid}, {self.n_planes} slices of {rows}×{columns}, {spacing}"


@dataclass(frozen=True, slots=True)
class StructureFile:
    """A structure set: its ROIs by number and which images it was drawn on."""

    instance: Instance
    rois: Mapping[int, str]
    series_uids: tuple[str, ...]
    image_uids: frozenset[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DoseFile:
    """A dose: of which plan and structure set, and what it sums over.

    Attributes:
        beams: numbers of the plan's beams it holds; empty if it does not say.
    """

    instance: Instance
    summation: str
    plan_uids: tuple[str, ...]
    structure_uids: tuple[str, ...]
    beams: frozenset[int]


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan: its structure set and the beams that treat."""

    instance: Instance
    structure_uids: tuple[str, ...]
    beams: frozenset[int]


@dataclass(frozen=True, slots=True)
class SegmentationFile:
    """A DICOM SEG: its segments by number and the series it was made on."""

    instance: Instance
    kind: str
    segments: Mapping[int, str]
    series_uids: tuple[str, ...]


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
    return [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())


def _sorted(headers: Iterable[tuple[Path, Any]], problems: tuple[Problem, ...]) -> DicomFolder:
    groups = dict[tuple[Any, ...], list[tuple[Instance, Any]]]()
    structures, doses, plans, segmentations = [], [], [], []
    others = Counter[str]()
    for path, header in headers:
        one = _instance(path, header)
        if one.sop_class_uid in IMAGES:
            groups.setdefault(_key(one, header), []).append((one, header))
        elif one.sop_class_uid == STRUCTURES:
            structures.append(_structures(one, header))
        elif one.sop_class_uid == DOSE:
            doses.append(_dose(one, header))
        elif one.sop_class_uid in PLANS:
            plans.append(_plan(one, header))
        elif one.sop_class_uid in SEGMENTATIONS:
            segmentations.append(_segmentation(one, header))
        else:
            others[text(header, "Modality") or "unknown"] += 1
    images = tuple(_series(key, members) for key, members in groups.items())
    return DicomFolder(
        images, tuple(structures), tuple(doses), tuple(plans), tuple(segmentations), dict(others), problems
    )


def _instance(path: Path, header: Any) -> Instance:
    patient = hashlib.sha256(text(header, "PatientID").encode()).hexdigest()[:16]
    return Instance(
        path=path,
        sop_class_uid=text(header, "SOPClassUID"),
        instance_uid=text(header, "SOPInstanceUID"),
        series_uid=text(header, "SeriesInstanceUID"),
        study_uid=text(header, "StudyInstanceUID"),
        frame_of_reference_uid=frame_of_reference(header),
        patient=patient,
    )


def frame_of_reference(header: Any) -> str:
    """Return the frame of reference; structure sets may name it only where they refer to their images."""
    told = text(header, "FrameOfReferenceUID")
    referenced = [text(one, "FrameOfReferenceUID") for one in items(header, "ReferencedFrameOfReferenceSequence")]
    return told or next(filter(None, referenced), "")


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


def referenced_images(header: Any) -> tuple[tuple[str, ...], frozenset[str]]:
    """Series and images that a structure set says it was drawn on."""
    studies = [
        s for f in items(header, "ReferencedFrameOfReferenceSequence") for s in items(f, "RTReferencedStudySequence")
    ]
    series = [one for study in studies for one in items(study, "RTReferencedSeriesSequence")]
    images = [image for one in series for image in items(one, "ContourImageSequence")]
    return (
        tuple(dict.fromkeys(text(one, "SeriesInstanceUID") for one in series)),
        frozenset(text(one, "ReferencedSOPInstanceUID") for one in images),
    )


def _structures(one: Instance, header: Any) -> StructureFile:
    series, images = referenced_images(header)
    rois = {int(roi.get("ROINumber") or 0): text(roi, "ROIName") for roi in items(header, "StructureSetROISequence")}
    return StructureFile(one, rois, series, images)


def _referenced(header: Any, keyword: str) -> tuple[str, ...]:
    return tuple(text(one, "ReferencedSOPInstanceUID") for one in items(header, keyword))


def _dose(one: Instance, header: Any) -> DoseFile:
    groups = [g for p in items(header, "ReferencedRTPlanSequence") for g in items(p, "ReferencedFractionGroupSequence")]
    beams = frozenset(
        int(beam.get("ReferencedBeamNumber")) for group in groups for beam in items(group, "ReferencedBeamSequence")
    )
    return DoseFile(
        one,
        text(header, "DoseSummationType").upper(),
        _referenced(header, "ReferencedRTPlanSequence"),
        _referenced(header, "ReferencedStructureSetSequence"),
        beams,
    )


def _plan(one: Instance, header: Any) -> PlanFile:
    """Beams that only set the patient up carry no dose."""
    set_up = {
        int(beam.get("BeamNumber"))
        for beam in items(header, "BeamSequence")
        if text(beam, "TreatmentDeliveryType") == "SETUP"
    }
    groups = items(header, "FractionGroupSequence")
    beams = {
        int(beam.get("ReferencedBeamNumber")) for group in groups for beam in items(group, "ReferencedBeamSequence")
    }
    return PlanFile(one, _referenced(header, "ReferencedStructureSetSequence"), frozenset(beams - set_up))


def _segmentation(one: Instance, header: Any) -> SegmentationFile:
    segments = {int(s.get("SegmentNumber")): text(s, "SegmentLabel") for s in items(header, "SegmentSequence")}
    series = tuple(text(s, "SeriesInstanceUID") for s in items(header, "ReferencedSeriesSequence"))
    return SegmentationFile(one, text(header, "SegmentationType").upper(), segments, series)
