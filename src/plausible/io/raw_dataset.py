"""nnU-Net's raw datasets: dataset.json, images with channel suffixes (`CASE_0000.nii.gz`), labels (`CASE.nii.gz`)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from plausible.io.images import doubled_names, doubled_suffixes, find_images, niftis, read_image
from plausible.io.nifti import read_labels, stem


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


def find_labels(folder: Path) -> dict[str, Path]:
    """Label file of each subject."""
    return {stem(path): path for path in niftis(folder)}


def read_dataset(folder: Path, *, part: str = "Tr", subjects: Sequence[str] = (), rater: str = "") -> Study:
    """Read an nnU-Net raw dataset lazily: images of `images<part>` with labels of `labels<part>` as one rater.

    With several raters, the labels of rater A lie in `labels<part>_A`. Images without a label and labels without an
    image become problems E106 and E107 of the study, not cases.

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
    labels = find_labels(_labels_folder(folder, part, rater))
    images = find_images(folder / f"images{part}", known=labels)
    wanted = set(subjects) or set(images) | set(labels)
    cases = [
        _case(subject, images[subject], labels[subject], told, rater=rater)
        for subject in sorted(set(images) & set(labels) & wanted)
    ]
    problems = [p for p in unpaired(images, labels) if p.subject in wanted or p.code == "E101"]
    return Study(told.name, told.classes, tuple(cases), tuple(problems))


def raters_of(folder: Path, *, part: str = "Tr") -> tuple[str, ...]:
    """Names of the raters that have a folder `labels<part>_NAME` of their own."""
    start = f"labels{part}_"
    return tuple(sorted(path.name.removeprefix(start) for path in folder.glob(f"{start}*") if path.is_dir()))


def _labels_folder(folder: Path, part: str, rater: str) -> Path:
    known = raters_of(folder, part=part)
    if rater and rater not in known:
        raise InvalidInput(
            Problem(
                code="E108",
                file=folder.name,
                found=f"no folder labels{part}_{rater}",
                expected=f"labels of each rater; there are {', '.join(known) or 'none'}",
                fix=f"put the label maps of {rater} into labels{part}_{rater}, or correct the name",
            )
        )
    return folder / (f"labels{part}_{rater}" if rater else f"labels{part}")


def unpaired(images: Mapping[str, Sequence[Path]], labels: Mapping[str, Path]) -> list[Problem]:
    """Problems E101, E106 and E107: doubled channel suffixes, images without a label, labels without an image."""
    doubled = doubled_suffixes(images, known=labels)
    named = {name for problem in doubled for name in doubled_names(problem)}
    lone = sorted((set(images) ^ set(labels)) - named)
    return [*doubled, *(_unpaired(subject, images.get(subject), labels.get(subject)) for subject in lone)]


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


def _case(subject: str, images: Sequence[Path], label: Path, told: DatasetJson, *, rater: str) -> Case:
    def load_image() -> Image:
        return read_image(images, channels=told.channels, subject=subject)

    def load_raters() -> Members:
        source, geometry = read_reference(label, classes=told.classes, subject=subject, rater=rater or "reference")
        return Members(geometry, told.classes, (source,), subject, sliceable=True)

    files = {path.name: str(path) for path in [*images, label]}
    return Case(subject, told.classes, load_image=load_image, load_raters=load_raters, files=files)


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
