"""RTSTRUCT out: contours as closed planar loops in the planes of the source series, marked as research and unapproved.

**Holes** are loops of their own inside the outer loop, of type CLOSED_PLANAR and running the other way round. That is
the one type every reader knows; a keyhole would add an edge that no structure has, and a reader that does not know
CLOSEDPLANAR_XOR drops the structure as a whole. Some readers fill such holes, so a structure that has any says so in
its description. `kind="CLOSEDPLANAR_XOR"` of its loops writes the standard's explicit form instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plausible.core import Contours, InvalidInput, Loop, Problem
from plausible.io.dicom.datasets import LPS_TO_RAS, text
from plausible.io.dicom.modules import (
    LONG,
    SHORT,
    TEXT,
    discreet,
    item,
    new_object,
    plain,
    purpose,
    save,
    sequence,
    today,
)
from plausible.io.dicom.planes import Plane
from plausible.io.dicom.source import SourceSeries

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
LABEL = "UQ research"
DECIMALS = 3
"""Digits of a coordinate in mm after the point."""
GREY = (128, 128, 128)


@dataclass(frozen=True, slots=True)
class WrittenStructures:
    """What a structure set holds: names by number, and how many points."""

    names: Mapping[int, str]
    n_points: int


@discreet()
def write_rtstruct(
    path: Path,
    structures: Sequence[Contours],
    source: SourceSeries,
    *,
    descriptions: Mapping[int, str] | None = None,
    description: str = "contours with uncertainty",
) -> WrittenStructures:
    """Write contours as one structure set of the source's patient, study and frame of reference.

    Args:
        path: file to write; replaced if it is there.
        structures: names of at most 16 characters, numbers of their own, and at least one loop each.
        source: series whose planes the loops lie in.
        descriptions: full text for a structure, by its number.
        description: what the series is called, after the research banner.

    Raises:
        InvalidInput: E622, nothing to write, two structures of one name or number, or a name that is too long.
        UnfitEnvironment: E901 without the extra `dicom`; E903, the file cannot be written.
    """
    _check(structures)
    told = descriptions or {}
    made = new_object(source, sop_class_uid=SOP_CLASS, modality="RTSTRUCT", description=description, number=9001)
    made.StructureSetLabel, made.StructureSetName = LABEL, LABEL
    made.StructureSetDescription = purpose("Made automatically; not reviewed.")
    made.StructureSetDate, made.StructureSetTime = today()
    made.ApprovalStatus = "UNAPPROVED"
    made.ReferencedFrameOfReferenceSequence = sequence([_frame_of_reference(source)])
    made.StructureSetROISequence = sequence(_roi(one, source, told.get(one.number, "")) for one in structures)
    made.ROIContourSequence = sequence(_contours(one, source) for one in structures)
    made.RTROIObservationsSequence = sequence(_observation(one) for one in structures)
    save(made, path)
    n_points = sum(len(loop.points_mm) for one in structures for loop in one.loops)
    return WrittenStructures({one.number: one.name for one in structures}, n_points)


def _check(structures: Sequence[Contours]) -> None:
    names, numbers = [one.name.lower() for one in structures], [one.number for one in structures]
    twice = sorted({one.name for one in structures if names.count(one.name.lower()) > 1})
    long = [one.name for one in structures if not 0 < len(one.name) <= SHORT]
    empty = [one.name for one in structures if not one.loops]
    faults = {
        "no structure": not structures,
        f"more than one structure {', '.join(twice)}": bool(twice),
        "a number given twice": len(set(numbers)) < len(numbers),
        f"names of the wrong length: {', '.join(map(repr, long))}": bool(long),
        f"no loop in {', '.join(empty)}": bool(empty),
    }
    found = [fault for fault, there in faults.items() if there]
    if found:
        raise InvalidInput(
            Problem(
                code="E622",
                found="; ".join(found),
                expected=f"structures with at least one loop, numbers of their own and different names of 1 to {SHORT} "
                "characters",
                fix="choose structures that were found, or shorten their names (plausible export does)",
            )
        )


def _frame_of_reference(source: SourceSeries) -> Any:
    series = item(
        SeriesInstanceUID=text(source.header, "SeriesInstanceUID"),
        ContourImageSequence=sequence(_image(plane) for plane in source.planes),
    )
    study = item(
        ReferencedSOPClassUID=DETACHED_STUDY,
        ReferencedSOPInstanceUID=text(source.header, "StudyInstanceUID"),
        RTReferencedSeriesSequence=sequence([series]),
    )
    return item(FrameOfReferenceUID=source.frame_of_reference_uid, RTReferencedStudySequence=sequence([study]))


def _image(plane: Plane) -> Any:
    image = item(ReferencedSOPClassUID=text(plane.header, "SOPClassUID"), ReferencedSOPInstanceUID=plane.instance_uid)
    if plane.frame is not None:
        image.ReferencedFrameNumber = plane.frame + 1
    return image


def _roi(structure: Contours, source: SourceSeries, description: str) -> Any:
    return item(
        ROINumber=structure.number,
        ReferencedFrameOfReferenceUID=source.frame_of_reference_uid,
        ROIName=structure.name,
        ROIDescription=plain(description, TEXT),
        ROIGenerationAlgorithm="AUTOMATIC",
        ROIGenerationDescription=plain("plausible: traced from the probabilities of a model", LONG),
    )


def _contours(structure: Contours, source: SourceSeries) -> Any:
    return item(
        ROIDisplayColor=list(structure.colour or GREY),
        ContourSequence=sequence(_contour(n, loop, source) for n, loop in enumerate(structure.loops, start=1)),
        ReferencedROINumber=structure.number,
    )


def _contour(number: int, loop: Loop, source: SourceSeries) -> Any:
    plane, move = source.plane_of(loop.points_mm.mean(axis=0))
    points = np.round((loop.points_mm + move) @ LPS_TO_RAS, DECIMALS) + 0.0  # no -0.0
    return item(
        ContourImageSequence=sequence([_image(plane)]),
        ContourGeometricType=loop.kind,
        NumberOfContourPoints=len(points),
        ContourNumber=number,
        ContourData=[f"{value:.{DECIMALS}f}" for value in points.ravel()],
    )


def _observation(structure: Contours) -> Any:
    return item(
        ObservationNumber=structure.number,
        ReferencedROINumber=structure.number,
        ROIObservationLabel=structure.name,
        RTROIInterpretedType=structure.interpreted_type,
        ROIInterpreter="",
    )
