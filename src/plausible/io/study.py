"""A study from folders or from a study.toml: every case with its image, members and raters, read when asked for.

Layout: `MEMBERS/<member>/<CASE>` (see `member_folders`), `IMAGES/<CASE>_0000.nii.gz`, `REFERENCES/<CASE>.nii.gz`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from plausible.core import Classes, InvalidInput, MemberInfo, Problem, Study
from plausible.core.problems import located
from plausible.io.activation import Values
from plausible.io.member_folders import MemberFolder, Structures, find_member_folders, member_folder, unrecognised
from plausible.io.nifti_members import LastAxis, Told
from plausible.io.raw_dataset import find_images, read_dataset_json
from plausible.io.store import read_members_json
from plausible.io.study_folders import StudyFolders
from plausible.io.study_problems import class_problems, gaps
from plausible.io.study_toml import Align, StudyToml, read_study_toml


def read_study(
    members: Path,
    *,
    images: Path | None = None,
    references: Path | Mapping[str, Path] | None = None,
    classes: Classes | None = None,
    values: Values | None = None,
    last_axis: LastAxis | None = None,
    structures: Structures | None = None,
    align: Align | None = None,
    allow_missing: bool = False,
) -> Study:
    """Find the cases of a study and who predicted them; nothing but names and dataset.json is read yet.

    Args:
        members: folder with one folder per member, or a study.toml (or a folder that holds one).
        images: folder of images, `CASE_0000.nii.gz`; None if there are none.
        references: folder of label maps, or one folder per rater by name.
        classes: what the channels mean; None asks dataset.json, members.json or study.toml.
        values: what floating-point NIfTI files hold; "logits" turns any member's values into probabilities.
        last_axis: what a fourth axis of a NIfTI file counts.
        structures: whether structures in files of their own exclude each other.
        align: "names" reads members whose classes have another order by name; None refuses them.
        allow_missing: go on with the members that a case has.

    Returns:
        The cases, with the problems found so far: missing members (E102), one member only (E104), images without
        reference (E106), references and predictions without image (E107), folders not recognised (E108).

    Raises:
        InvalidInput: E108 no members at all, E103 another order of classes, E308 other classes, E311 no classes told,
            E110 a study.toml that cannot be read.
    """
    folders = find_study(
        members,
        images=images,
        references=references,
        classes=classes,
        values=values,
        last_axis=last_axis,
        structures=structures,
        align=align,
        allow_missing=allow_missing,
    )
    fatal = [p for p in folders.problems if p.severity == "error" and p.code in {"E103", "E308"}]
    if fatal:
        raise InvalidInput(fatal[0])
    cases = tuple(map(folders.case, folders.subjects))
    return Study(folders.name, folders.classes, cases, folders.problems, _ensemble(members))


def find_study(
    members: Path,
    *,
    images: Path | None = None,
    references: Path | Mapping[str, Path] | None = None,
    classes: Classes | None = None,
    values: Values | None = None,
    last_axis: LastAxis | None = None,
    structures: Structures | None = None,
    align: Align | None = None,
    allow_missing: bool = False,
) -> StudyFolders:
    """Find the folders of a study; arguments as `read_study` has them, and they go before what study.toml says.

    Raises:
        InvalidInput: E108, E110 or E311.
    """
    toml = _toml(members)
    told = Told(values or toml.values, last_axis or toml.last_axis)
    found, problems = _members(members, toml, told, classes or toml.classes, structures or toml.structures)
    agreed = _agreed_classes(found, classes or toml.classes)
    problems += class_problems(found, agreed, align or toml.align)
    named = {"reference": references} if isinstance(references, Path) else references or toml.references
    raters = {rater: _rater(rater, path, agreed) for rater, path in named.items()}
    folder = images or toml.images
    pictures = _images(folder) if folder else None
    missing = allow_missing or toml.allow_missing
    problems += gaps(found, images=pictures, references=raters, allow_missing=missing)
    channels = _channels(folder, found)
    return StudyFolders(toml.name, tuple(found), pictures or {}, raters, agreed, channels, missing, tuple(problems))


def _ensemble(members: Path) -> str:
    """Return what `plausible predict` says the members are together; empty for members of other tools."""
    told = members / "members.json"
    return str(read_members_json(members).get("ensemble", "")) if told.is_file() else ""


def _toml(members: Path) -> StudyToml:
    path = members / "study.toml" if members.is_dir() else members
    if path.suffix == ".toml" and path.is_file():
        return read_study_toml(path)
    return StudyToml(members.name)


def _members(
    members: Path, toml: StudyToml, told: Told, classes: Classes | None, structures: Structures | None
) -> tuple[list[MemberFolder], list[Problem]]:
    root = members if members.is_dir() else members.parent
    if not toml.members:
        found, problems = find_member_folders(root, told=told, classes=classes, structures=structures)
    else:
        found, problems = [], []
        for name, one in toml.members.items():
            own = Told(one.values or told.values, one.last_axis or told.last_axis)
            folder = member_folder(one.path, id=name, told=own, classes=classes, info=one.info, structures=structures)
            if folder is None:
                raise InvalidInput(located(unrecognised(one.path), member=name))
            found.append(folder)
    if not found:
        raise InvalidInput(unrecognised(members))
    return found, problems


def _agreed_classes(found: Sequence[MemberFolder], told: Classes | None) -> Classes:
    for classes in (told, *(folder.classes for folder in found)):
        if classes is not None:
            return classes
    raise InvalidInput(
        Problem(
            code="E311",
            file="dataset.json",
            found="no dataset.json in the folders of the members, no [classes] in study.toml",
            expected="names of the classes, in the order of the channels",
            fix="copy the dataset.json of the training into every member's folder, or add [classes] labels = {...}",
        )
    )


def _images(folder: Path) -> dict[str, list[Path]]:
    found = find_images(folder) if folder.is_dir() else {}
    if not found:
        raise InvalidInput(
            Problem(
                code="E108",
                file=folder.name,
                found="no .nii.gz or .nii file" if folder.is_dir() else "no such folder",
                expected="images named CASE_0000.nii.gz, CASE_0001.nii.gz, ...",
                fix="give the folder that holds the images",
            )
        )
    return found


def _rater(rater: str, path: Path, classes: Classes) -> MemberFolder:
    info = MemberInfo(id=rater, kind="rater", rater=rater)
    folder = member_folder(path, id=rater, told=Told("labels"), classes=classes, info=info)
    if folder is None or folder.kind not in {"nifti", "structures"}:
        problem = unrecognised(path)
        expected = "REFERENCES/<CASE>.nii.gz, or a folder of structures per case"
        raise InvalidInput(replace(problem, member=rater, expected=expected, fix="give the folder of the label maps"))
    return folder


def _channels(images: Path | None, found: Sequence[MemberFolder]) -> tuple[str, ...]:
    beside = [images.parent / "dataset.json"] if images else []
    for path in (*beside, *(folder.path / "dataset.json" for folder in found)):
        if path.exists():
            return read_dataset_json(path).channels
    return ()
