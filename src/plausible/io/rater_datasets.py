"""Several raters' contours of the same images, in the layouts in which they are shared; images are not needed.

```
DATASET/  dataset.json  cases.json (optional: patient and spacing of each case)
  labelsTr_alice/CASE.nii.gz   labelsTr_bob/CASE.nii.gz     a folder per rater, label values as in dataset.json
  labelsTr_raters/CASE_r1.png  CASE_r2.png                  a picture per rater; numbers need not mean the same person
  raters_bitsTr/CASE.nii.gz                                 a bit per rater, named in dataset.json "raters_bits"
```
A rater has drawn a structure in a case if he marked at least one voxel of it. Where he has not, nobody knows whether he
saw nothing or was not asked, so that the structure is compared between those who drew it.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer
from PIL import Image as Picture

from plausible.core import Geometry, InvalidInput, Problem
from plausible.io.nifti import read_labels
from plausible.io.raw_dataset import find_labels, raters_of

Marks = Mapping[str, Bool[np.ndarray, "i j k"]]
"""Mask of each structure that a rater has drawn."""
PICTURE = re.compile(r"(?P<case>.+)_r(?P<rater>\d+)\.png")


@dataclass(frozen=True, slots=True, eq=False)
class RaterCase:
    """One case and who drew on it; contours are read when asked for.

    Attributes:
        patient: who it is of; the case itself where nobody told.
        files: path of each file by the name of its rater.
        told: what dataset.json and cases.json say that the contours depend on: spacing, names of labels or bits.
        load: reads the grid and the structures that each rater has drawn.
    """

    subject: str
    patient: str
    files: Mapping[str, str]
    told: Mapping[str, Any]
    load: Callable[[], tuple[Geometry, Mapping[str, Marks]]]


@dataclass(frozen=True, slots=True, eq=False)
class RaterDataset:
    """The cases of a dataset with several raters."""

    name: str
    cases: tuple[RaterCase, ...]


@dataclass(frozen=True, slots=True)
class _Told:
    """What dataset.json and cases.json say."""

    name: str
    labels: Mapping[str, int]
    bits: Mapping[str, int]
    cases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def patient(self, subject: str) -> str:
        return str(self.cases.get(subject, {}).get("patient", subject))


def read_rater_dataset(folder: Path, *, part: str = "Tr", subjects: Collection[str] = ()) -> RaterDataset:
    """Find the cases of a dataset with several raters; nothing but names is read yet.

    Args:
        folder: of the dataset.
        part: "Tr" or "Ts".
        subjects: only these cases; none takes all.

    Raises:
        InvalidInput: E108, no layout with several raters, or none of these cases; E311, labels without names.
    """
    told = _told(folder)
    raters = raters_of(folder, part=part)
    if (folder / f"raters_bits{part}").is_dir():
        cases = _from_bits(folder / f"raters_bits{part}", told)
    elif (folder / f"labels{part}_raters").is_dir():
        cases = _from_pictures(folder / f"labels{part}_raters", told)
    elif len(raters) > 1:
        cases = _from_folders({rater: folder / f"labels{part}_{rater}" for rater in raters}, told)
    else:
        raise _unknown(folder, part, f"{len(raters)} raters" if raters else "no contours of several raters")
    kept = [case for case in cases if not subjects or case.subject in subjects]
    if not kept:
        raise _unknown(folder, part, f"none of the {len(subjects)} cases that were asked for")
    return RaterDataset(told.name, tuple(sorted(kept, key=lambda case: case.subject)))


def _told(folder: Path) -> _Told:
    dataset = _json(folder / "dataset.json", {})
    listed = _json(folder / "cases.json", [])
    labels = dict(dataset.get("labels", {}))
    for key, further in dataset.items():
        if key.startswith("extra_labels"):
            labels |= further
    cases = {str(case["id"]): case for case in listed if isinstance(case, dict) and "id" in case}
    named = {str(name): int(value) for name, value in labels.items() if name != "background"}
    return _Told(str(dataset.get("name", folder.name)), named, dataset.get("raters_bits", {}), cases)


def _json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else default
    except ValueError as error:
        raise InvalidInput(
            Problem(
                code="E305",
                file=path.name,
                found=f"{type(error).__name__}: {error}",
                expected="JSON",
                fix="restore the file that came with the dataset",
            )
        ) from error


def _from_folders(folders: Mapping[str, Path], told: _Told) -> list[RaterCase]:
    labels = {rater: find_labels(folder) for rater, folder in folders.items()}
    found = []
    for subject in sorted({one for paths in labels.values() for one in paths}):
        files = {rater: paths[subject] for rater, paths in labels.items() if subject in paths}

        def load(files: Mapping[str, Path] = files, subject: str = subject) -> tuple[Geometry, dict[str, Marks]]:
            read = {rater: read_labels(path) for rater, path in files.items()}
            (first, (_, grid)), *others = read.items()
            for rater, (_, geometry) in others:
                geometry.check_matches(grid, this=f"rater {rater}", that=f"rater {first}", subject=subject)
            return grid, {name: _drawn(read[name][0], told, subject=subject, rater=name) for name in read}

        found.append(RaterCase(subject, told.patient(subject), _as_text(files), {"labels": told.labels}, load))
    return found


def _from_pictures(folder: Path, told: _Told) -> list[RaterCase]:
    files: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.png")):
        named = PICTURE.fullmatch(path.name)
        if named:
            files.setdefault(named["case"], {})[f"rater_{named['rater']}"] = path
    found = []
    for subject, paths in files.items():
        spacing = _spacing(told.cases.get(subject, {}), subject)

        def load(
            paths: Mapping[str, Path] = paths, subject: str = subject, spacing: float = spacing
        ) -> tuple[Geometry, dict[str, Marks]]:
            read = {rater: np.asarray(Picture.open(path)).T[:, :, np.newaxis] for rater, path in paths.items()}
            shapes = {values.shape for values in read.values()}
            if len(shapes) > 1:
                raise _shapes(subject, shapes)
            grid = Geometry(shapes.pop(), np.diag([spacing, spacing, 1.0, 1.0]))
            return grid, {rater: _drawn(values, told, subject=subject, rater=rater) for rater, values in read.items()}

        said = {"labels": told.labels, "spacing_mm": spacing}
        found.append(RaterCase(subject, told.patient(subject), _as_text(paths), said, load))
    return found


def _from_bits(folder: Path, told: _Told) -> list[RaterCase]:
    structure = next(iter(told.labels), "marked")
    if not told.bits:
        raise _no_bits("no raters_bits in dataset.json")
    found = []
    for subject, path in find_labels(folder).items():

        def load(path: Path = path) -> tuple[Geometry, dict[str, Marks]]:
            values, grid = read_labels(path)
            unnamed = int(np.bitwise_or.reduce(values, axis=None)) & ~sum(1 << bit for bit in told.bits.values())
            if unnamed:
                raise _no_bits(f"a bit that no rater has ({unnamed:b})", path.name)
            masks = {rater: (values >> bit) & 1 > 0 for rater, bit in told.bits.items()}
            return grid, {rater: {structure: mask} for rater, mask in masks.items() if mask.any()}

        found.append(RaterCase(subject, told.patient(subject), {"raters": str(path)}, {"bits": told.bits}, load))
    return found


def _drawn(values: Integer[np.ndarray, "i j k"], told: _Told, *, subject: str, rater: str) -> Marks:
    """Masks of the structures that are there."""
    present = {int(value) for value in np.unique(values)} - {0}
    unnamed = present - set(told.labels.values())
    if unnamed == {255} and len(told.labels) == 1:
        values, present, unnamed = values // 255, {1}, set()
    if unnamed:
        raise InvalidInput(
            Problem(
                code="E303",
                subject=subject,
                member=rater,
                found=f"label values {', '.join(map(str, sorted(unnamed)))}",
                expected=f"those of dataset.json: {', '.join(f'{n} {v}' for n, v in told.labels.items()) or 'none'}",
                fix="name every value in dataset.json, labels",
            )
        )
    return {name: values == value for name, value in told.labels.items() if value in present}


def _spacing(case: Mapping[str, Any], subject: str) -> float:
    """Pixel spacing of a picture, which has none of its own."""
    if "pixel_spacing_mm" in case:
        return float(case["pixel_spacing_mm"])
    raise InvalidInput(
        Problem(
            code="E204",
            subject=subject,
            file="cases.json",
            found="no pixel_spacing_mm of this picture",
            expected='[{"id": CASE, "pixel_spacing_mm": 0.7}, ...], one entry per case',
            fix="write the spacing down; distances and volumes have no meaning without it",
        )
    )


def _no_bits(found: str, file: str = "dataset.json") -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E303",
            file=file,
            found=found,
            expected='the bit of every rater in dataset.json: {"raters_bits": {"rater_1": 0, ...}}',
            fix="name every bit",
        )
    )


def _as_text(files: Mapping[str, Path]) -> dict[str, str]:
    return {rater: str(path) for rater, path in files.items()}


def _shapes(subject: str, shapes: Collection[tuple[int, ...]]) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E202",
            subject=subject,
            found=f"pictures of different size: {', '.join(str(shape[:2]) for shape in sorted(shapes))}",
            expected="one size for all raters of a case",
            fix="export all raters on the image's grid",
        )
    )


def _unknown(folder: Path, part: str, found: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E108",
            file=folder.name,
            found=found,
            expected=f"labels{part}_NAME/ for each rater, labels{part}_raters/CASE_r1.png, or raters_bits{part}/",
            fix=f"plausible inspect -i {folder.name}; --part Ts takes the test cases",
        )
    )
