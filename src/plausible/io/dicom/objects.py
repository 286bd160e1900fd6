"""What one object of a folder says of itself: identifiers, geometry, and to what it refers. No patient data."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plausible.core import FrameOfReference
from plausible.io.dicom.datasets import items, text

STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
PLANS = ("1.2.840.10008.5.1.4.1.1.481.5", "1.2.840.10008.5.1.4.1.1.481.8")
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


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

    @property
    def frame(self) -> FrameOfReference:
        """Whose coordinates it has."""
        return FrameOfReference(self.frame_of_reference_uid, self.patient)


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
    def frame(self) -> FrameOfReference:
        """Whose coordinates its planes have."""
        return self.instances[0].frame

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


def as_instance(path: Path, header: Any) -> Instance:
    """Return the identifiers of an object; its patient becomes a hash."""
    return Instance(
        path=path,
        sop_class_uid=text(header, "SOPClassUID"),
        instance_uid=text(header, "SOPInstanceUID"),
        series_uid=text(header, "SeriesInstanceUID"),
        study_uid=text(header, "StudyInstanceUID"),
        frame_of_reference_uid=frame_of_reference(header),
        patient=patient_of(header),
    )


def patient_of(header: Any) -> str:
    """Hash of the PatientID: enough to see whether two objects are of one patient; empty if there is none."""
    patient = text(header, "PatientID")
    return hashlib.sha256(patient.encode()).hexdigest()[:16] if patient else ""


def frame_of(header: Any) -> FrameOfReference:
    """Return whose coordinates an object has."""
    return FrameOfReference(frame_of_reference(header), patient_of(header))


def frame_of_reference(header: Any) -> str:
    """Return the frame of reference; structure sets may name it only where they refer to their images."""
    told = text(header, "FrameOfReferenceUID")
    referenced = [text(one, "FrameOfReferenceUID") for one in items(header, "ReferencedFrameOfReferenceSequence")]
    return told or next(filter(None, referenced), "")


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


def as_structures(one: Instance, header: Any) -> StructureFile:
    """Return what a structure set lists and refers to."""
    series, images = referenced_images(header)
    rois = {int(roi.get("ROINumber") or 0): text(roi, "ROIName") for roi in items(header, "StructureSetROISequence")}
    return StructureFile(one, rois, series, images)


def _referenced(header: Any, keyword: str) -> tuple[str, ...]:
    return tuple(text(one, "ReferencedSOPInstanceUID") for one in items(header, keyword))


def as_dose(one: Instance, header: Any) -> DoseFile:
    """Return what a dose sums over and refers to."""
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


def as_plan(one: Instance, header: Any) -> PlanFile:
    """Return the beams of a plan that carry dose (those that only set the patient up do not) and its structure set."""
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


def as_segmentation(one: Instance, header: Any) -> SegmentationFile:
    """Return what a SEG lists and refers to."""
    segments = {int(s.get("SegmentNumber")): text(s, "SegmentLabel") for s in items(header, "SegmentSequence")}
    series = tuple(text(s, "SeriesInstanceUID") for s in items(header, "ReferencedSeriesSequence"))
    return SegmentationFile(one, text(header, "SegmentationType").upper(), segments, series)
