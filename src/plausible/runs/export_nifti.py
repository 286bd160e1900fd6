"""Results as NIfTI for other programs: files named after structures, or a BIDS derivative data set."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import plausible
from plausible.aggregate.tracing import levels_of
from plausible.core import INTENDED_USE, Classes, Geometry, LabelMap, ScalarMap
from plausible.io import write_label_map, write_scalar_map
from plausible.io.atomic import replacing, write_json, write_text
from plausible.io.nifti import stem
from plausible.io.results import SEGMENTATION
from plausible.runs.export_case import ResultOfCase
from plausible.runs.export_contours import SUFFIXES
from plausible.runs.export_dicom import file_name

BIDS_VERSION = "1.10.0"
UNKNOWN_TO_BIDS = "_uqmap"
"""Ending of uncertainty maps, for which BIDS has no name; .bidsignore lists it."""


def nifti(case: ResultOfCase, folder: Path) -> tuple[Path, ...]:
    """Copy the segmentation and the maps, and write a mask and a probability for every structure, named after it."""
    into = folder / "nifti"
    names = [SEGMENTATION, *(f"{one.name}.nii.gz" for one in case.maps)]
    found = [*names, *(f"{stem(Path(name))}.json" for name in names)]
    copies = [_copy(case.folder / name, into / f"{case.subject}_{name}") for name in found]
    return (*copies, *_per_structure(case, into))


def _per_structure(case: ResultOfCase, into: Path) -> Iterator[Path]:
    for name in case.classes.structures:
        path = into / f"{case.subject}_{file_name(name, '')}.nii.gz"
        _write_mask(path, case.mask(name), case.geometry)
        yield path
        path = into / f"{case.subject}_{file_name(name, 'probability')}.nii.gz"
        write_scalar_map(path, _frame(case.mean, name), sidecar={"structure": name, **_told(case)})
        yield path


def bids(case: ResultOfCase, folder: Path) -> tuple[Path, ...]:
    """Add the case to a BIDS derivative data set: segmentation, probabilities, 5, 50 and 95 % masks, maps."""
    label = "".join(letter for letter in case.subject if letter.isascii() and letter.isalnum())
    start = folder / f"sub-{label}" / "anat" / f"sub-{label}_space-orig"
    start.parent.mkdir(parents=True, exist_ok=True)
    spatial = {"SpatialReference": {"VoxelGrid": "the image that was segmented, its own voxels"}, **_told(case)}
    files = [*_data_set(folder), *_labels(case, start, spatial)]
    for name in case.classes.structures:
        files += _structure(case, name, start, spatial)
    for one in case.maps:
        path = _ending(start, f"_desc-{_word(one.name)}{UNKNOWN_TO_BIDS}.nii.gz")
        write_scalar_map(path, one, sidecar=spatial)
        files.append(path)
    return tuple(files)


def _data_set(folder: Path) -> Iterator[Path]:
    path = folder / "dataset_description.json"
    write_json(
        path,
        {
            "Name": "Segmentations with uncertainty",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "plausible", "Version": plausible.__version__, "Description": INTENDED_USE}],
        },
    )
    yield path
    write_text(folder / ".bidsignore", f"*{UNKNOWN_TO_BIDS}.nii.gz\n*{UNKNOWN_TO_BIDS}.json\n")


def _labels(case: ResultOfCase, start: Path, spatial: dict[str, Any]) -> Iterator[Path]:
    path = _ending(start, "_seg-plausible_dseg.nii.gz")
    write_label_map(path, case.segmentation)
    write_json(path.with_name(stem(path) + ".json"), spatial)
    yield path
    classes = case.segmentation.classes
    values = [labels[0] for labels in classes.labels] if classes.exclusive else list(classes.label_order())
    lines = [f"{value}\t{name}\n" for value, name in zip(values, classes.names, strict=True)]
    table = path.with_name(stem(path) + ".tsv")
    write_text(table, "index\tname\n" + "".join(lines))
    yield table


def _structure(case: ResultOfCase, name: str, start: Path, spatial: dict[str, Any]) -> Iterator[Path]:
    path = _ending(start, f"_label-{_word(name)}_probseg.nii.gz")
    write_scalar_map(path, _frame(case.bands, name), sidecar={"structure": name, **spatial})
    yield path
    for level in levels_of(hard=case.hard, n_members=case.n_members):
        suffix = SUFFIXES[level.key][case.hard].removeprefix("_")
        path = _ending(start, f"_label-{_word(name)}_desc-{suffix}_mask.nii.gz")
        _write_mask(path, case.bands.frame(name) >= level.threshold, case.geometry)
        write_json(path.with_name(stem(path) + ".json"), {"structure": name, "level": level.label, **spatial})
        yield path


def _ending(start: Path, ending: str) -> Path:
    return start.with_name(start.name + ending)


def _word(name: str) -> str:
    """Letters and digits only, as labels of BIDS are."""
    return "".join(letter for letter in name if letter.isascii() and letter.isalnum()) or "x"


def _frame(scalar_map: ScalarMap, name: str) -> ScalarMap:
    values = scalar_map.frame(name)[np.newaxis]
    return ScalarMap(
        scalar_map.name, values, scalar_map.geometry, scalar_map.unit, scalar_map.valid_range, scalar_map.definition
    )


def _write_mask(path: Path, mask: np.ndarray, geometry: Geometry) -> None:
    classes = Classes.exclusive_of({"background": 0, "structure": 1})
    write_label_map(path, LabelMap(mask.astype(np.uint8), geometry, classes))


def _told(case: ResultOfCase) -> dict[str, Any]:
    return {
        "members": case.members,
        "n_members": case.n_members,
        "hard_members": case.hard,
        "calibrated": case.calibrated,
        "intended_use": INTENDED_USE,
        "version": plausible.__version__,
    }


def _copy(source: Path, target: Path) -> Path:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
    return target
