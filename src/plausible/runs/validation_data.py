"""The datasets of a validation study: toy cases that are made, datasets that are there, copies with artefacts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import plausible
from plausible.core import Classes, InvalidInput, Members, Problem, content_key
from plausible.io import hash_file, write_image
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
    """One dataset, ready to train and test on.

    Attributes:
        split: who trains and who validates; None where nobody was told.
        key: hash of what trainings depend on beside their settings: how images were made, and the split.
    """

    name: str
    dataset: Path
    split: Split | None
    told: DatasetJson
    held_out: tuple[HeldOut, ...]
    key: str

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
        InvalidInput: E108, E110 or E311, no dataset, no split, a case with two roles, or no test images.
    """
    dataset, recipe = told.dataset, ""
    if dataset is None:
        recipe = short_key([plausible.__version__, told.simulate, told.data_seed, asdict(told.simulated)])
        dataset = output / "data" / f"{told.name}-{recipe}"
        simulate_dataset(told.simulate, dataset, seed=told.data_seed, settings=told.simulated)
    meta = read_dataset_json(dataset / "dataset.json")
    patients = read_patients(told.patients) if told.patients else {}
    roles = _drawn(dataset, told, patients) if told.fractions else _roles(told.split or dataset / SPLIT_JSON, told)
    _check_apart(roles, told, patients)
    held_out = _held_out(dataset, roles, told, patients)
    for named, patterns in (("shifted", told.shifted), ("ambiguous", told.ambiguous)):
        if patterns and not any(_like(one.subject, patterns) for one in held_out):
            raise _unfit(told, f"{named}: no test image like {', '.join(patterns)}", "wildcards that fit test images")
    if told.artefacts:
        held_out = (*held_out, *_spoilt(held_out, told, meta, output / "artefacts" / told.name, seed=seed))
    split = Split(tuple(roles["train"]), tuple(roles.get("validation", ()))) if roles.get("train") else None
    key = short_key([recipe, sorted(roles.get("train", ())), sorted(roles.get("validation", ()))])
    return PreparedData(told.name, dataset, split, meta, held_out, key)


def short_key(told: object) -> str:
    """Part of the hash of a value that names a folder."""
    return content_key(told)[:8]


def _drawn(dataset: Path, told: ToldData, patients: Mapping[str, str]) -> dict[str, list[str]]:
    """Share the patients of the training folder out by seed, and their cases with them."""
    images, labels = find_images(dataset / "imagesTr"), find_labels(dataset / "labelsTr")
    cases: dict[str, list[str]] = {}
    for subject in sorted(set(images) & set(labels)):
        cases.setdefault(patients.get(subject, subject), []).append(subject)
    shares = tuple(one / sum(told.fractions) for one in told.fractions)
    parts = split_cases(sorted(cases), fractions=shares, seed=told.data_seed)
    return {
        role: sorted(subject for patient in part for subject in cases[patient])
        for role, part in zip(("train", "validation", "test"), parts, strict=True)
    }


def _check_apart(roles: Mapping[str, Sequence[str]], told: ToldData, patients: Mapping[str, str]) -> None:
    """Refuse a case that has two roles, and a patient who both trains and tests: a test would judge what was learnt."""
    role_of: dict[str, str] = {}
    for role in ("train", "validation", *TEST_ROLES):
        for subject in roles.get(role, ()):
            before = role_of.setdefault(subject, role)
            if before != role or list(roles[role]).count(subject) > 1:
                raise _unfit(told, f"{subject} in {before} and in {role}", "every case in one role, once")
    learnt = {patients.get(one, one) for one, role in role_of.items() if role not in TEST_ROLES}
    both = sorted(one for one, role in role_of.items() if role in TEST_ROLES and patients.get(one, one) in learnt)
    if both:
        raise _unfit(told, f"patients of {', '.join(both[:5])} also in the training", "other patients in the test")


def _roles(path: Path, told: ToldData) -> dict[str, list[str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        roles = {str(role): [str(name) for name in names] for role, names in found.items() if isinstance(names, list)}
    except (OSError, ValueError, AttributeError) as error:
        raise _unfit(told, f"{type(error).__name__} in {path.name}", 'JSON: {"train": [...], "test": [...]}') from error
    if not any(roles.get(role) for role in TEST_ROLES):
        raise _unfit(told, f"{path.name} with the roles {', '.join(roles)}", f"one of {', '.join(TEST_ROLES)}")
    return roles


def _held_out(
    dataset: Path, roles: Mapping[str, Sequence[str]], told: ToldData, patients: Mapping[str, str]
) -> tuple[HeldOut, ...]:
    images = {**find_images(dataset / "imagesTr"), **_images(dataset / "imagesTs")}
    raters = _rater_folders(dataset, told)
    labels = {name: find_labels(folder) for name, folder in raters.items()}
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
    """Copy each familiar test image with one artefact, in turn by its place in the sorted list.

    A copy lies in a folder of its own, named by what it was made of: what changed is made anew.
    """
    found = []
    for number, one in enumerate(sorted((h for h in held_out if not h.shifted), key=lambda h: h.subject)):
        artefact = told.artefacts[number % len(told.artefacts)]
        subject = f"{one.subject}.{artefact}"
        sources = [hash_file(path) for path in one.images]
        own = folder / short_key([plausible.__version__, sources, artefact, seed, number])
        paths = tuple(own / f"{subject}_{channel:04d}.nii.gz" for channel in range(len(meta.channels)))
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
