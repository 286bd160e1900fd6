"""The datasets of a validation study: toy cases that are made, datasets that are there, copies with artefacts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from plausible.core import Classes, InvalidInput, Members, Problem
from plausible.io import write_image
from plausible.io.images import find_images, read_image
from plausible.io.raw_dataset import DatasetJson, find_labels, raters_of, read_dataset_json, read_reference
from plausible.io.rows import read_patients
from plausible.runs.simulate import SPLIT_JSON, simulate_dataset
from plausible.runs.validation_toml import ToldData
from plausible.simulate import with_artefact
from plausible.train import Split, split_cases

TEST_ROLES = ("test", "iid", "shifted")


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """One test image: where it lies, who drew on it, and what it is.

    Attributes:
        patient: who it is of; copies of one image are of one patient.
        shifted: whether it is unlike the training data.
        ambiguous: whether raters differ more on it than on others.
    """

    subject: str
    patient: str
    images: tuple[Path, ...]
    references: Mapping[str, Path]
    shifted: bool
    ambiguous: bool

    @property
    def files(self) -> dict[str, str]:
        """Name and path of every file, for provenance."""
        images = {f"image/{path.name}": str(path) for path in self.images}
        return images | {f"{rater}/{path.name}": str(path) for rater, path in self.references.items()}

    def raters(self, classes: Classes) -> Members:
        """Read the references.

        Raises:
            InvalidInput: E303 and what the readers find; E201 or E202, raters on different grids.
        """
        read = [
            read_reference(path, classes=classes, subject=self.subject, rater=rater)
            for rater, path in self.references.items()
        ]
        (_, grid), *others = read
        for source, geometry in others:
            geometry.check_matches(grid, this=f"rater {source.info.id}", that="the first rater", subject=self.subject)
        return Members(grid, classes, tuple(source for source, _ in read), self.subject, sliceable=True)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedData:
    """One dataset, ready to train and test on."""

    name: str
    dataset: Path
    split: Split | None
    told: DatasetJson
    held_out: tuple[HeldOut, ...]

    @property
    def classes(self) -> Classes:
        """What the labels mean."""
        return self.told.classes


def prepare_data(told: ToldData, output: Path, *, seed: int) -> PreparedData:
    """Make a toy case, or find a dataset and copy its test images with artefacts; what is there is kept.

    Args:
        told: what the study says of it.
        output: folder of the study; toy cases and copies are written below it.
        seed: of the artefacts.

    Raises:
        InvalidInput: E108, E110 or E311, no dataset, no split or no test images.
    """
    dataset = told.dataset
    if dataset is None:
        dataset = output / "data" / told.name
        simulate_dataset(told.simulate, dataset, seed=told.data_seed, settings=told.simulated)
    meta = read_dataset_json(dataset / "dataset.json")
    roles = _drawn(dataset, told) if told.fractions else _roles(told.split or dataset / SPLIT_JSON, told)
    held_out = _held_out(dataset, roles, told)
    if told.artefacts:
        held_out = (*held_out, *_spoilt(held_out, told, meta, output / "artefacts" / told.name, seed=seed))
    if not any(one.shifted for one in held_out) and told.shifted:
        raise _unfit(told, f"no test image like {', '.join(told.shifted)}", "wildcards that fit some test images")
    split = Split(tuple(roles["train"]), tuple(roles.get("validation", ()))) if roles.get("train") else None
    return PreparedData(told.name, dataset, split, meta, held_out)


def _drawn(dataset: Path, told: ToldData) -> dict[str, list[str]]:
    """Share the cases of the training folder out by seed."""
    images, labels = find_images(dataset / "imagesTr"), find_labels(dataset / "labelsTr")
    shares = tuple(one / sum(told.fractions) for one in told.fractions)
    parts = split_cases(sorted(set(images) & set(labels)), fractions=shares, seed=told.data_seed)
    return {role: list(part) for role, part in zip(("train", "validation", "test"), parts, strict=True)}


def _roles(path: Path, told: ToldData) -> dict[str, list[str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        roles = {str(role): [str(name) for name in names] for role, names in found.items() if isinstance(names, list)}
    except (OSError, ValueError, AttributeError) as error:
        raise _unfit(told, f"{type(error).__name__} in {path.name}", 'JSON: {"train": [...], "test": [...]}') from error
    if not any(roles.get(role) for role in TEST_ROLES):
        raise _unfit(told, f"{path.name} with the roles {', '.join(roles)}", f"one of {', '.join(TEST_ROLES)}")
    return roles


def _held_out(dataset: Path, roles: Mapping[str, Sequence[str]], told: ToldData) -> tuple[HeldOut, ...]:
    images = {**find_images(dataset / "imagesTr"), **_images(dataset / "imagesTs")}
    raters = _rater_folders(dataset, told)
    labels = {name: find_labels(folder) for name, folder in raters.items()}
    patients = read_patients(told.patients) if told.patients else {}
    found = []
    for role in TEST_ROLES:
        for subject in roles.get(role, ()):
            drawn = {name.partition("/")[0]: where[subject] for name, where in labels.items() if subject in where}
            if subject not in images or not drawn:
                raise _unfit(told, f"no image or no label of {subject}", "both, for every test case of the split")
            shifted = _like(subject, told.shifted) if told.shifted else role == "shifted"
            owner = patients.get(subject, subject)
            ambiguous = _like(subject, told.ambiguous)
            found.append(HeldOut(subject, owner, tuple(images[subject]), drawn, shifted, ambiguous))
    return tuple(found)


def _images(folder: Path) -> dict[str, list[Path]]:
    return find_images(folder) if folder.is_dir() else {}


def _rater_folders(dataset: Path, told: ToldData) -> dict[str, Path]:
    """Folder of each rater's labels of the test images, by a name that starts with the rater's."""
    if told.references:
        return {name.partition("_")[2] or name: dataset / name for name in told.references}
    found = {f"{rater}/{part}": dataset / f"labels{part}_{rater}" for part in ("Ts", "Tr")
             for rater in raters_of(dataset, part=part)}  # fmt: skip
    if found:
        return found
    plain = {f"reference/{part}": dataset / f"labels{part}" for part in ("Ts", "Tr")}
    return {name: folder for name, folder in plain.items() if folder.is_dir()}


def _spoilt(
    held_out: Sequence[HeldOut], told: ToldData, meta: DatasetJson, folder: Path, *, seed: int
) -> list[HeldOut]:
    """Copy each familiar test image with one artefact, in turn by its place in the sorted list."""
    found = []
    for number, one in enumerate(sorted((h for h in held_out if not h.shifted), key=lambda h: h.subject)):
        artefact = told.artefacts[number % len(told.artefacts)]
        subject = f"{one.subject}.{artefact}"
        paths = tuple(folder / f"{subject}_{channel:04d}.nii.gz" for channel in range(len(meta.channels)))
        if not all(path.exists() for path in paths):
            spoilt = with_artefact(
                read_image(one.images, channels=meta.channels, subject=one.subject), artefact, seed=seed, number=number
            )
            for path, values in zip(paths, spoilt.values, strict=True):
                write_image(path, values, spoilt.geometry)
        found.append(HeldOut(subject, one.patient, paths, one.references, shifted=True, ambiguous=one.ambiguous))
    return found


def _like(subject: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(subject, pattern) for pattern in patterns)


def _unfit(told: ToldData, found: str, expected: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E110",
            file=f"[data.{told.name}]",
            found=found,
            expected=expected,
            fix="correct this table of the study's file, or the split it names",
        )
    )
