"""nnU-Net's raw datasets: dataset.json, images with channel suffixes (`CASE_0000.nii.gz`), labels (`CASE.nii.gz`)."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plausible.core import (
    Case,
    Classes,
    Geometry,
    Image,
    InvalidInput,
    LabelSource,
    MemberInfo,
    Members,
    Problem,
    Study,
    check_labels,
)
from plausible.core.problems import locating
from plausible.io.nifti import ENDINGS, read_labels, read_nifti, stem

SUFFIX = re.compile(r"^(?P<subject>.+)_(?P<channel>\d{4})$")


@dataclass(frozen=True, slots=True)
class DatasetJson:
    """What dataset.json tells: classes, channels and the name of the dataset."""

    name: str
    classes: Classes
    channels: tuple[str, ...]


def read_dataset_json(path: Path) -> DatasetJson:
    """Read dataset.json as nnU-Net v2 writes it (v1's value-to-name labels are understood too).

    Raises:
        InvalidInput: E311, labels that cannot be read; E304 for regions is raised only when a label map is needed.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        channels = content.get("channel_names") or content.get("modality") or {"0": "image"}
        ordered = tuple(str(channels[key]) for key in sorted(channels, key=int))
        classes = parse_labels(content["labels"], order=content.get("regions_class_order") or ())
        return DatasetJson(str(content.get("name", path.parent.name)), classes, ordered)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(
            Problem(
                code="E311",
                file=path.name,
                found=f"{type(error).__name__}: {error}",
                expected='"labels": {"background": 0, "liver": 1, ...}, or lists of values for regions',
                fix="write dataset.json as nnU-Net v2 describes it (labels, channel_names)",
            )
        ) from error


def parse_labels(labels: Mapping[str, Any], *, order: Sequence[int] = (), overlapping: bool | None = None) -> Classes:
    """Classes of a `labels` table; None asks the table as nnU-Net does: a list of several values makes regions."""
    if all(str(key).isdigit() for key in labels):
        labels = {str(name): int(value) for value, name in labels.items()}
    kept = {name: _values_of(value) for name, value in labels.items() if name != "ignore"}
    if overlapping if overlapping is not None else any(len(values) > 1 for values in kept.values()):
        regions = {name: values for name, values in kept.items() if set(values) != {0} and name != "background"}
        return Classes.overlapping_of(regions, order=[int(v) for v in order])
    several = [name for name, values in kept.items() if len(values) != 1]
    if several:
        raise ValueError(f"exclusive classes have one label value each; {', '.join(several)} has another number")
    return Classes.exclusive_of({name: values[0] for name, values in kept.items()})


def _values_of(value: Any) -> list[int]:
    return [int(v) for v in (value if isinstance(value, list | tuple) else [value])]


def find_images(folder: Path, *, known: Collection[str] = ()) -> dict[str, list[Path]]:
    """Image files of each subject, in the order of their channels.

    A file that is named like a known subject is its image, although the name may end in four digits (`case_0001`).
    """
    found: dict[str, dict[int, Path]] = {}
    for path in _niftis(folder):
        match = SUFFIX.match(stem(path))
        subject = match["subject"] if match and stem(path) not in known else stem(path)
        found.setdefault(subject, {})[channel_number(path, subject)] = path
    return {subject: [files[c] for c in sorted(files)] for subject, files in sorted(found.items())}


def channel_number(path: Path, subject: str) -> int:
    """Channel in the name of an image file; 0 where the name has none."""
    return 0 if stem(path) == subject else int(stem(path)[-4:])


def doubled_suffixes(images: Mapping[str, Sequence[Path]], *, known: Collection[str] = ()) -> list[Problem]:
    """Problem E101 of every image whose channel suffix stands there twice (`CASE_0000_0000.nii.gz`), told of `CASE`.

    Names of subjects may end in four digits themselves. The suffix is doubled where predictions or labels know the name
    without it, or where nobody knows the name and no other case differs from it by its number only.
    """
    return [_doubled(s, paths) for s, paths in images.items() if _is_doubled(s, images, known)]


def without_suffix(subject: str) -> str:
    """Name of a subject without a channel suffix."""
    return SUFFIX.sub(r"\g<subject>", subject)


def doubled_names(problem: Problem) -> set[str]:
    """Subjects that problem E101 is about: the name without the suffixes, and the name with one."""
    return {problem.subject, without_suffix(stem(Path(problem.file)))}


def _is_doubled(subject: str, images: Collection[str], known: Collection[str]) -> bool:
    base = without_suffix(subject)
    if base == subject or subject in known:
        return False
    numbered = [other for other in images if other != subject and without_suffix(other) == base != other]
    return base in known or (subject.endswith("_0000") and not numbered)


def find_labels(folder: Path) -> dict[str, Path]:
    """Label file of each subject."""
    return {stem(path): path for path in _niftis(folder)}


def read_image(paths: Sequence[Path], *, channels: Sequence[str] = (), subject: str = "") -> Image:
    """Read the channels of one image onto one grid.

    Raises:
        InvalidInput: E109 a channel is missing, E201 or E202 channels on different grids, E205 not three axes,
            E309 values that are not finite, E310 a constant image, E305 a damaged file.
    """
    with locating(subject=subject):
        check_channels(paths, channels, subject=subject)
        return _read_channels(paths, channels, subject)


def check_channels(paths: Sequence[Path], channels: Sequence[str], *, subject: str = "") -> None:
    """Refuse an image of which a channel is missing, by the numbers in the names of its files.

    Raises:
        InvalidInput: E109.
    """
    numbers = [channel_number(path, subject) if SUFFIX.match(stem(path)) else 0 for path in paths]
    expected = range(len(channels) or len(paths))
    if numbers == list(expected):
        return
    lacking = sorted(set(expected) - set(numbers))
    example = re.sub(r"(_\d{4})?(\.nii(\.gz)?)$", rf"_{lacking[0]:04d}\2", paths[0].name) if lacking else ""
    raise InvalidInput(
        Problem(
            code="E109",
            found=", ".join(path.name for path in paths),
            expected=f"{len(expected)} channels, _0000 to _{len(expected) - 1:04d}"
            + (f": {', '.join(channels)}" if channels else ""),
            fix=f"add the missing file: {example}" if lacking else "name every channel in dataset.json (channel_names)",
        )
    )


def _read_channels(paths: Sequence[Path], channels: Sequence[str], subject: str) -> Image:
    first: Geometry | None = None
    values = []
    for path in paths:
        array, geometry = read_nifti(path)
        _check_image(array, path=path, subject=subject)
        first = first or geometry
        geometry.check_matches(first, this=path.name, that=paths[0].name, subject=subject, file=path.name)
        values.append(array)
    if first is None:
        raise ValueError("an image needs at least one file")
    return Image(np.stack(values), first, tuple(channels) or tuple(f"channel {c}" for c in range(len(paths))))


def read_dataset(folder: Path, *, part: str = "Tr", subjects: Sequence[str] = ()) -> Study:
    """Read an nnU-Net raw dataset lazily: images of `images<part>` with labels of `labels<part>` as one rater.

    Images without a label and labels without an image become problems E106 and E107 of the study, not cases.

    Raises:
        InvalidInput: E108, no dataset.json or no images; E311.
    """
    if not (folder / "dataset.json").exists() or not (folder / f"images{part}").is_dir():
        raise InvalidInput(
            Problem(
                code="E108",
                file=folder.name,
                found="no dataset.json, or no folder " + f"images{part}",
                expected="an nnU-Net raw dataset: dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz",
                fix=f"plausible inspect -i {folder.name}",
            )
        )
    told = read_dataset_json(folder / "dataset.json")
    labels = find_labels(folder / f"labels{part}")
    images = find_images(folder / f"images{part}", known=labels)
    wanted = set(subjects) or set(images) | set(labels)
    cases = [
        _case(subject, images[subject], labels[subject], told) for subject in sorted(set(images) & set(labels) & wanted)
    ]
    doubled = doubled_suffixes(images, known=labels)
    named = {name for problem in doubled for name in doubled_names(problem)}
    lone = sorted(((set(images) ^ set(labels)) & wanted) - named)
    unpaired = [_unpaired(subject, images.get(subject), labels.get(subject)) for subject in lone]
    return Study(told.name, told.classes, tuple(cases), (*doubled, *unpaired))


def read_reference(
    path: Path, *, classes: Classes, subject: str, rater: str = "reference"
) -> tuple[LabelSource, Geometry]:
    """Read one rater's label map.

    Raises:
        InvalidInput: E303 a value without a name, and what `read_labels` raises.
    """
    values, geometry = read_labels(path)
    check_labels(values, classes=classes, subject=subject, member=rater, file=path.name)
    return LabelSource(values, classes, MemberInfo(id=rater, kind="rater", rater=rater, source=path.name)), geometry


def _case(subject: str, images: Sequence[Path], label: Path, told: DatasetJson) -> Case:
    def load_image() -> Image:
        return read_image(images, channels=told.channels, subject=subject)

    def load_raters() -> Members:
        source, geometry = read_reference(label, classes=told.classes, subject=subject)
        return Members(geometry, told.classes, (source,), subject, sliceable=True)

    files = {path.name: str(path) for path in [*images, label]}
    return Case(subject, told.classes, load_image=load_image, load_raters=load_raters, files=files)


def _doubled(subject: str, paths: Sequence[Path]) -> Problem:
    name = paths[0].name if paths else f"{subject}_0000.nii.gz"
    right = re.sub(r"_\d{4}(_\d{4}\.nii(\.gz)?)$", r"\1", name)
    return Problem(
        code="E101",
        subject=without_suffix(subject),
        file=name,
        found=f"{name}: the channel suffix stands there twice",
        expected=right,
        fix=f"mv {name} {right}",
    )


def _unpaired(subject: str, images: Sequence[Path] | None, label: Path | None) -> Problem:
    if images:
        return Problem(
            code="E106",
            subject=subject,
            file=images[0].name,
            severity="warning",
            found="an image and no label",
            expected=f"labels/{subject}.nii.gz",
            fix=f"add the label, or move {images[0].name} out of the training images",
        )
    return Problem(
        code="E107",
        subject=subject,
        file=label.name if label else "",
        severity="warning",
        found="a label and no image",
        expected=f"images/{subject}_0000.nii.gz",
        fix=f"add the image, or move the label of {subject} away",
    )


def _check_image(array: np.ndarray, *, path: Path, subject: str) -> None:
    if array.ndim != 3:
        code, found, expected = "E205", f"{array.ndim} axes, shape {array.shape}", "three axes; one file per channel"
        fix = f"split the file into {subject}_0000.nii.gz, {subject}_0001.nii.gz, ..."
    elif not np.isfinite(array).all():
        code, found = "E309", f"{int(np.count_nonzero(~np.isfinite(array)))} voxels that are NaN or infinite"
        expected, fix = "finite intensities", "export the image again, or set those voxels to the background's value"
    elif array.min() == array.max():
        code, found = "E310", f"the value {float(array.min()):.4g} everywhere"
        expected, fix = "an image with contrast", "export the image again; leave the case out if it is lost"
    else:
        return
    raise InvalidInput(Problem(code=code, subject=subject, file=path.name, found=found, expected=expected, fix=fix))


def _niftis(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.glob("*")) if p.name.endswith(ENDINGS) and not p.name.startswith(".")]
