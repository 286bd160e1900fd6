"""Which series, and which structures, of a folder are meant: told, or drawn on one another, or the only ones."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from plausible.core import InvalidInput, Problem
from plausible.io.dicom.datasets import caution, read_header, refusal, tolerant
from plausible.io.dicom.folder import DicomFolder
from plausible.io.dicom.objects import SegmentationFile, SeriesFiles, StructureFile
from plausible.io.dicom.planes import planes_of


def chosen_series(
    folder: DicomFolder, *, series_uid: str | None = None, drawn_on: Collection[str] = ()
) -> tuple[SeriesFiles, list[Problem]]:
    """Return the planes that are meant, and what was left out.

    Raises:
        InvalidInput: E601, no image; E602, several that could be meant; E607, some planes do not say where they lie.
    """
    if not folder.images:
        raise _nothing(folder)
    candidates = [one for one in folder.images if series_uid in {None, one.series_uid}]
    if not candidates:
        raise _ambiguous(folder.images, f"no series {series_uid}")
    drawn = [one for one in candidates if one.instance_uids & frozenset(drawn_on)]
    candidates = drawn or candidates
    images = [one for one in candidates if not one.localizer]
    left_out = [one for one in candidates if one.localizer] if images else []
    candidates = images or candidates
    if len(candidates) > 1:
        _check_told(candidates)
        raise _ambiguous(candidates, f"{len(candidates)} groups of slices")
    return candidates[0], [_localizer(one) for one in left_out]


def chosen_structure_set(folder: DicomFolder, *, structures_uid: str | None = None) -> StructureFile | None:
    """Return the structure set that is meant; None where there is none.

    Raises:
        InvalidInput: E602, several that could be meant, or none of the identifier told.
    """
    candidates = [one for one in folder.structure_sets if structures_uid in {None, one.instance.instance_uid}]
    if len(candidates) > 1 or (structures_uid and not candidates):
        sizes = {one.instance.instance_uid: len(one.rois) for one in folder.structure_sets}
        raise _several("structure set", sizes, "choose one by its SOPInstanceUID (structures_uid=...), or ")
    return candidates[0] if candidates else None


def chosen_structures(folder: DicomFolder) -> StructureFile | SegmentationFile:
    """Return the structure set of a folder, or its segmentation where there is no structure set.

    Raises:
        InvalidInput: E601, neither; E602, several.
    """
    if found := chosen_structure_set(folder):
        return found
    if len(folder.segmentations) == 1:
        return folder.segmentations[0]
    if folder.segmentations:
        sizes = {one.instance.instance_uid: len(one.segments) for one in folder.segmentations}
        raise _several("segmentation", sizes, "write one of all structures, or ")
    if folder.problems:
        raise InvalidInput(_as_error(folder.problems[0]))
    raise refusal(
        "E601",
        found="no structure set and no segmentation",
        expected="an RTSTRUCT or a SEG of the case",
        fix="plausible inspect -i FOLDER lists what is there",
    )


def _several(what: str, sizes: Mapping[str, int], otherwise: str) -> InvalidInput:
    listed = "; ".join(f"{uid} ({n} structures)" for uid, n in sizes.items())
    return refusal(
        "E602",
        found=f"{what}s: {listed or 'none'}",
        expected=f"one {what}",
        fix=f"{otherwise}move the others out of the folder",
    )


def _check_told(groups: Sequence[SeriesFiles]) -> None:
    """A slice that does not say where it lies forms a group of its own: say that rather than "several"."""
    with tolerant():
        for group in groups:
            if group.orientation is None or group.spacing_mm is None:
                for path in group.paths:
                    planes_of(path, read_header(path))


def _nothing(folder: DicomFolder) -> InvalidInput:
    if folder.problems:
        return InvalidInput(_as_error(folder.problems[0]))
    return refusal(
        "E601",
        found="no CT, MR or PET image",
        expected="the files of one image series",
        fix="give the folder that holds the series; plausible inspect -i FOLDER lists what is there",
    )


def _as_error(problem: Problem) -> Problem:
    return replace(problem, severity="error")


def _ambiguous(groups: Sequence[SeriesFiles], what: str) -> InvalidInput:
    return refusal(
        "E602",
        found=f"{what}: " + "; ".join(one.described() + _turned(one) for one in groups),
        expected="one series of one orientation, size, spacing and frame of reference",
        fix="choose one by its SeriesInstanceUID (series_uid=...), or move the other slices out of the folder",
    )


def _turned(group: SeriesFiles) -> str:
    if group.orientation is None:
        return ", orientation not told"
    return ", orientation " + " ".join(f"{value:g}" for value in group.orientation)


def _localizer(group: SeriesFiles) -> Problem:
    return caution(
        "E602",
        path=group.paths[0],
        found=f"a localizer was left out: {group.described()}",
        expected="slices of one volume",
        fix="nothing, unless the localizer was meant: choose it by series_uid=...",
        severity="note",
    )
