"""RTSTRUCT to contours: every ROI by its number, loops at their own positions, nothing rasterised.

Points are turned from DICOM's world to NIfTI's. What is no closed loop is left out and listed.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plausible.core import Contours, FrameOfReference, InvalidInput, Loop, Problem
from plausible.io.dicom.datasets import (
    LPS_TO_RAS,
    caution,
    file_label,
    items,
    numbers,
    read_header,
    refusal,
    text,
    tolerant,
)
from plausible.io.dicom.objects import STRUCTURES, frame_of_reference, patient_of, referenced_images
from plausible.io.dicom.roi_names import numbers_of, unique_names

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
FEWEST_POINTS = 3


@dataclass(frozen=True, slots=True)
class SkippedRoi:
    """An ROI without a volume, and why."""

    number: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class StructureSet:
    """The structures of one RTSTRUCT file.

    Attributes:
        contours: structures with a volume, in the order of the file; their names are made unique.
        names: ROINumber to the name as it is written in the file, of all ROIs.
        drawn_on: by ROINumber, the SOP instance each loop says it was drawn on; empty text if it does not say.
        skipped: ROIs without a volume.
        series_uids: image series it refers to.
        image_uids: images it refers to.
        problems: what was left out or renamed; for the report.
        file: what messages call the file.
    """

    contours: tuple[Contours, ...]
    names: Mapping[int, str]
    drawn_on: Mapping[int, tuple[str, ...]] = field(repr=False)
    skipped: tuple[SkippedRoi, ...]
    instance_uid: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    series_uids: tuple[str, ...]
    image_uids: frozenset[str] = field(repr=False)
    patient: str = field(repr=False)
    problems: tuple[Problem, ...] = ()
    file: str = ""

    @property
    def frame(self) -> FrameOfReference:
        """Whose coordinates the loops have."""
        return FrameOfReference(self.frame_of_reference_uid, self.patient)

    @property
    def written(self) -> dict[int, str]:
        """Names of the structures with a volume as the file has them, by ROINumber."""
        return {one.number: self.names[one.number] for one in self.contours}

    def structure(self, name: str) -> Contours:
        """Return a structure by its name as written, by its TG-263 name, or by the name it was given to be unique.

        Raises:
            InvalidInput: E612, no such structure; E613, several of that name.
        """
        numbers = numbers_of(name, self.written) or numbers_of(name, {one.number: one.name for one in self.contours})
        found = [one for one in self.contours if one.number in numbers]
        if len(found) == 1:
            return found[0]
        raise _no_structure(name, found, self.contours)


def read_rtstruct(path: Path) -> StructureSet:
    """Read an RTSTRUCT file.

    Raises:
        InvalidInput: E601, the file is none; E612, no ROI has a closed loop.
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    with tolerant():
        header = read_header(path)
        if text(header, "SOPClassUID") != STRUCTURES:
            raise refusal(
                "E601",
                path=path,
                found=f"an object of modality {text(header, 'Modality') or 'unknown'}",
                expected="an RT Structure Set",
                fix="plausible inspect -i FOLDER lists the structure sets of a folder",
            )
        return _structure_set(path, header)


def _structure_set(path: Path, header: Any) -> StructureSet:
    names = {int(roi.ROINumber): text(roi, "ROIName") for roi in items(header, "StructureSetROISequence")}
    drawn = {int(one.get("ReferencedROINumber") or 0): one for one in items(header, "ROIContourSequence")}
    types = {
        int(one.get("ReferencedROINumber") or 0): text(one, "RTROIInterpretedType")
        for one in items(header, "RTROIObservationsSequence")
    }
    called, problems = unique_names(names, path=path)
    elsewhere = _elsewhere(header)
    contours, skipped, drawn_on = [], [], {}
    for number, name in called.items():
        if number in elsewhere:
            skipped.append(SkippedRoi(number, name, f"in frame of reference {elsewhere[number]}"))
            problems.append(_other_frame(path, name, elsewhere[number]))
            continue
        found = _Found.of(drawn.get(number))
        if found.loops:
            colour = _colour(drawn[number])
            contours.append(Contours(name, number, tuple(found.loops), colour, types.get(number, "")))
            drawn_on[number] = tuple(found.instances)
        else:
            skipped.append(SkippedRoi(number, name, found.left_out() or "no contours"))
        problems += _left_out(path, name, found)
    series, images = referenced_images(header)
    return StructureSet(
        contours=tuple(contours),
        names=names,
        drawn_on=drawn_on,
        skipped=tuple(skipped),
        instance_uid=text(header, "SOPInstanceUID"),
        study_uid=text(header, "StudyInstanceUID"),
        series_uid=text(header, "SeriesInstanceUID"),
        frame_of_reference_uid=frame_of_reference(header),
        series_uids=series,
        image_uids=images,
        patient=patient_of(header),
        problems=tuple(problems),
        file=file_label(path),
    )


def _elsewhere(header: Any) -> dict[int, str]:
    """ROIs that name another frame of reference than the structure set: on a second image, say."""
    own = frame_of_reference(header)
    named = {
        int(roi.ROINumber): text(roi, "ReferencedFrameOfReferenceUID")
        for roi in items(header, "StructureSetROISequence")
    }
    together = len(set(named.values())) < 2  # then they are where the structure set is, whatever they call it
    return {} if together else {number: uid for number, uid in named.items() if uid and own and uid != own}


def _other_frame(path: Path, name: str, uid: str) -> Problem:
    return caution(
        "E610",
        path=path,
        found=f"{name} lies in frame of reference {uid}, unlike the structure set; left out",
        expected="structures in the frame of reference of the structure set",
        fix="export the structures of each image in a structure set of their own",
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Closed loops of an ROI, the images they name, and how many items were none, by reason."""

    loops: list[Loop]
    instances: list[str]
    others: Counter[str]

    @staticmethod
    def of(roi: Any) -> "_Found":
        found = _Found([], [], Counter())
        for item in items(roi, "ContourSequence") if roi is not None else []:
            loop, why = _loop(item)
            if loop is None:
                found.others[why] += 1
                continue
            found.loops.append(loop)
            images = items(item, "ContourImageSequence")
            found.instances.append(text(images[0], "ReferencedSOPInstanceUID") if images else "")
        return found

    def left_out(self) -> str:
        return ", ".join(f"{count} × {why}" for why, count in self.others.items())


def _loop(item: Any) -> tuple[Loop | None, str]:
    """A closed loop; else what the item is."""
    kind = text(item, "ContourGeometricType").upper()
    values = item.get("ContourData")
    n_values = 0 if values is None else len(np.atleast_1d(values))
    if kind not in CLOSED:
        return None, kind or "no ContourGeometricType"
    if n_values == 0:
        return None, "loop without points"
    points = numbers(item, "ContourData", n_values)
    if points is None or n_values % 3:
        return None, "loop with damaged ContourData"
    points = points.reshape(-1, 3) @ LPS_TO_RAS
    if len(np.unique(points, axis=0)) < FEWEST_POINTS:
        return None, "loop of 1 or 2 points"
    return Loop(points, "CLOSEDPLANAR_XOR" if kind == CLOSED[1] else "CLOSED_PLANAR"), ""


def _colour(roi: Any) -> tuple[int, int, int] | None:
    values = numbers(roi, "ROIDisplayColor", 3)
    return None if values is None else (int(values[0]), int(values[1]), int(values[2]))


def _left_out(path: Path, name: str, found: _Found) -> list[Problem]:
    if found.loops and not found.others:
        return []
    what = found.left_out() or "no contours"
    return [
        caution(
            "E612",
            path=path,
            found=f"{name}: {what}" + (f"; {len(found.loops)} closed loops kept" if found.loops else "; left out"),
            expected="closed planar loops of at least 3 points",
            fix="nothing, unless it was meant to have a volume there: draw it and export the structure set again",
            severity="warning" if found.loops else "note",
        )
    ]


def _no_structure(name: str, found: list[Contours], contours: tuple[Contours, ...]) -> InvalidInput:
    names = ", ".join(one.name for one in found or contours)
    return refusal(
        "E613" if found else "E612",
        found=f"{name}: " + (f"{len(found)} structures ({names})" if found else f"none of {names or 'no structures'}"),
        expected="one structure of that name, or of one that TG-263 calls so",
        fix="give the name as the structure set has it (plausible inspect -i FOLDER lists them)",
    )
