"""Image, structures and dose of one patient together: do they belong to one another?"""

from dataclasses import dataclass, replace
from pathlib import Path

from plausible.core import Problem
from plausible.io.dicom.choosing import chosen_structure_set
from plausible.io.dicom.contour_checks import check_contours
from plausible.io.dicom.datasets import caution
from plausible.io.dicom.folder import sort_folder
from plausible.io.dicom.rtdose import RtDose, open_rtdose
from plausible.io.dicom.rtstruct import StructureSet, read_rtstruct
from plausible.io.dicom.series import SeriesImage, read_series


@dataclass(frozen=True, slots=True, eq=False)
class DicomCase:
    """One patient's image, and the structures and dose that belong to it.

    Attributes:
        problems: of all parts and of how they fit; for the report.
    """

    image: SeriesImage
    structures: StructureSet | None
    dose: RtDose | None
    problems: tuple[Problem, ...]


def read_case(
    folder: Path,
    *,
    series_uid: str | None = None,
    structures_uid: str | None = None,
    dose_uid: str | None = None,
    prescription_gy: float | None = None,
    n_fractions: int | None = None,
    other_frame: bool = False,
    fill_missing: bool = False,
    resample_uneven: bool = False,
    resample_tilt: bool = False,
) -> DicomCase:
    """Read a folder with everything of one patient: the structure set, the series it was drawn on, the dose.

    Args:
        folder: files of any names, also in folders of their own.
        series_uid: SeriesInstanceUID of the image, where the structure set does not tell it.
        structures_uid: SOPInstanceUID of the structure set, where there are several.
        dose_uid: SOPInstanceUID of the dose, where there are several.
        prescription_gy: what the value 1 of a RELATIVE dose stands for, in Gy.
        n_fractions: by how many fractions a dose of one FRACTION is multiplied.
        other_frame: accept objects of another frame of reference: somebody checked that their coordinates are the same.
        fill_missing: interpolate single missing slices.
        resample_uneven: interpolate to even slices.
        resample_tilt: straighten a tilted gantry.

    Raises:
        InvalidInput: what does not fit, in which file, and what mends it.
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    found = sort_folder(folder)
    chosen = chosen_structure_set(found, structures_uid=structures_uid)
    structures = read_rtstruct(chosen.instance.path) if chosen else None
    image = read_series(
        found,
        series_uid=series_uid,
        drawn_on=structures.image_uids if structures else (),
        fill_missing=fill_missing,
        resample_uneven=resample_uneven,
        resample_tilt=resample_tilt,
    )
    dose = None
    if found.doses:
        dose = open_rtdose(found, instance_uid=dose_uid, prescription_gy=prescription_gy, n_fractions=n_fractions)
    problems = [*image.problems, *(structures.problems if structures else ()), *(dose.problems if dose else ())]
    problems += check_belong(image, structures, dose, other_frame=other_frame)
    problems += check_contours(structures, image.geometry, instance_uids=image.instance_uids) if structures else ()
    return DicomCase(image, structures, dose, tuple(dict.fromkeys(problems)))


def check_belong(
    image: SeriesImage, structures: StructureSet | None, dose: RtDose | None, *, other_frame: bool = False
) -> tuple[Problem, ...]:
    """Refuse objects of another patient or frame of reference; say where a reference leads elsewhere.

    Raises:
        InvalidInput: E610, another frame of reference; E611, another PatientID.
    """
    problems = list[Problem]()
    frame = replace(image.frame, others_accepted=other_frame)
    if structures:
        problems += frame.check_holds(structures.frame, what="structure set")
    if dose and dose.dose.frame:
        problems += frame.check_holds(dose.dose.frame, what="dose")
    if structures and structures.series_uids and image.series_uid not in structures.series_uids:
        problems.append(_other_series(structures, image))
    if structures and dose and dose.structure_uids and structures.instance_uid not in dose.structure_uids:
        problems.append(_other_structures(structures, dose))
    return tuple(problems)


def _other_series(structures: StructureSet, image: SeriesImage) -> Problem:
    return caution(
        "E610",
        found=f"structure set was drawn on series {', '.join(structures.series_uids)}, image is {image.series_uid}, in "
        "the same frame of reference",
        expected="the series it was drawn on",
        fix="use that series, or look at the contours on this one",
    )


def _other_structures(structures: StructureSet, dose: RtDose) -> Problem:
    return caution(
        "E610",
        found=f"dose was planned on structure set {', '.join(dose.structure_uids)}, this is {structures.instance_uid}",
        expected="the structure set of the plan",
        fix="nothing if the contours were drawn for comparison; otherwise use the plan's structure set",
    )
