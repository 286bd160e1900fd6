"""A study from folders or from a study.toml: every case with its image, members and raters, read when asked for.

Layout: `MEMBERS/<member>/<CASE>` (see `member_folders`), `IMAGES/<CASE>_0000.nii.gz`, `REFERENCES/<CASE>.nii.gz`; for
DICOM `IMAGES/<CASE>/` and `REFERENCES/<CASE>/` (or `<CASE>.dcm`), which may be one and the same folder.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

from plausible.core import Classes, InvalidInput, MemberInfo, Problem, Study
from plausible.core.problems import located
from plausible.io.activation import Values
from plausible.io.dicom.datasets import file_label
from plausible.io.dicom_files import Accept
from plausible.io.dicom_members import names_in
from plausible.io.images import find_images, without_suffix
from plausible.io.member_folders import MemberFolder, Structures, find_member_folders, member_folder
from plausible.io.nifti_members import LastAxis, Told
from plausible.io.raw_dataset import read_dataset_json
from plausible.io.recognise import unrecognised
from plausible.io.store import read_members_json
from plausible.io.study_folders import StudyFolders
from plausible.io.study_problems import class_problems, gaps
from plausible.io.study_toml import Align, StudyToml, read_study_toml


class StudyKeywords(TypedDict, total=False):
    """What a user may say about a study, by keyword.

    Attributes:
        images: folder of images, `CASE_0000.nii.gz`; None if there are none.
        references: folder of label maps, or one folder per rater by name.
        classes: what the channels mean; None asks dataset.json, members.json or study.toml.
        values: what floating-point NIfTI files hold; "logits" turns any member's values into probabilities.
        last_axis: what a fourth axis of a NIfTI file counts.
        structures: whether structures in files of their own exclude each other.
        align: "names" reads members whose classes have another order by name; None refuses them.
        allow_missing: go on with the members that a case has.
        accept: what of DICOM is accepted although it would be refused: "missing_slices" (single ones), "uneven_slices"
            and "tilted_gantry" are resampled, "other_frame" means that somebody checked coordinates of objects in
            another frame of reference.
    """

    images: Path | None
    references: Path | Mapping[str, Path] | None
    classes: Classes | None
    values: Values | None
    last_axis: LastAxis | None
    structures: Structures | None
    align: Align | None
    allow_missing: bool
    accept: Collection[Accept]


def read_study(members: Path, **told: Unpack[StudyKeywords]) -> Study:
    """Find the cases of a study and who predicted them; nothing but names and dataset.json is read yet.

    Args:
        members: folder with one folder per member, or a study.toml (or a folder that holds one).
        **told: what the files do not say, see `StudyKeywords`; it goes before what study.toml says.

    Returns:
        The cases, with the problems found so far: missing members (E102), one member only (E104), images without
        reference (E106), references and predictions without image (E107), folders not recognised (E108).

    Raises:
        InvalidInput: what concerns the study as a whole: E108 no members, E103 another order of classes, E308 other
            classes, E311 no classes told, E313, E105 members that are copies, E110 a study.toml that cannot be read.
    """
    folders = find_study(members, **told)
    of_all = [p for p in folders.problems if p.severity == "error" and not p.subject]
    if of_all:
        raise InvalidInput(of_all[0])
    cases = tuple(map(folders.case, folders.subjects))
    return Study(folders.name, folders.classes, cases, folders.problems, _ensemble(members))


def find_study(members: Path, **told: Unpack[StudyKeywords]) -> StudyFolders:
    """Find the folders of a study and everything that is wrong with them; it does not stop at the first problem.

    Arguments are as `read_study` has them.

    Raises:
        InvalidInput: E110, a study.toml that cannot be read.
    """
    toml = _toml(members)
    problems = list[Problem]()
    classes, folder = told.get("classes") or toml.classes, told.get("images") or toml.images
    files = Told(told.get("values") or toml.values, told.get("last_axis") or toml.last_axis)
    found = _members(members, toml, files, classes, told.get("structures") or toml.structures, problems)
    agreed = _agreed_classes(found, classes, folder, problems)
    if agreed:
        problems += class_problems(found, agreed, told.get("align") or toml.align)
    references = told.get("references")
    raters = _raters(toml.references if references is None else references, agreed, problems)
    known = {subject for one in (*found, *raters.values()) for subject in one.cases}
    pictures = _images(folder, known, problems) if folder else None
    on_grid = set(pictures or ()) | {subject for one in found if one.kind != "dicom" for subject in one.cases}
    found = [_of_known_cases(one, on_grid, known=known & on_grid, problems=problems) for one in found]
    raters = {name: _of_known_cases(one, on_grid, known=on_grid, problems=problems) for name, one in raters.items()}
    missing = told.get("allow_missing", False) or toml.allow_missing
    problems += gaps(found, images=pictures, references=raters, allow_missing=missing)
    return StudyFolders(
        name=toml.name,
        members=tuple(found),
        images=pictures or {},
        references=raters,
        agreed=agreed,
        channels=_channels(folder, found, problems),
        allow_missing=missing,
        problems=tuple(problems),
        accept=tuple(told.get("accept") or toml.accept),
    )


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
    members: Path,
    toml: StudyToml,
    told: Told,
    classes: Classes | None,
    structures: Structures | None,
    problems: list[Problem],
) -> list[MemberFolder]:
    found, before = list[MemberFolder](), len(problems)
    try:
        if not toml.members:
            root = members.parent if members.suffix == ".toml" else members
            found, others = find_member_folders(root, told=told, classes=classes, structures=structures)
            problems += others
    except InvalidInput as error:
        problems.append(error.problem)
    for name, one in toml.members.items():
        own = Told(one.values or told.values, one.last_axis or told.last_axis)
        try:
            folder = member_folder(one.path, id=name, told=own, classes=classes, info=one.info, structures=structures)
        except InvalidInput as error:
            problems.append(error.problem)
            continue
        if folder:
            found.append(folder)
        else:
            problems.append(located(unrecognised(one.path), member=name))
    if not found and all(p.severity != "error" for p in problems[before:]):
        problems.append(unrecognised(members))
    return found


def _agreed_classes(
    found: Sequence[MemberFolder], told: Classes | None, images: Path | None, problems: list[Problem]
) -> Classes | None:
    for classes in (told, *(folder.classes for folder in found)):
        if classes is not None:
            return classes
    if found and all(folder.kind == "dicom" for folder in found):
        return _drawn_classes(found, images, problems)
    if found and all(problem.code != "E311" for problem in problems):
        problems.append(
            Problem(
                code="E311",
                file="dataset.json",
                found="no dataset.json among the members, no [classes] in study.toml",
                expected="names of the classes, in the order of the channels",
                fix="copy the dataset.json of the training beside the members, or add [classes] labels = {...} to a "
                "study.toml",
            )
        )
    return None


def _of_known_cases(
    folder: MemberFolder, on_grid: Collection[str], *, known: Collection[str], problems: list[Problem]
) -> MemberFolder:
    """Leave out what is in DICOM and called like no image and no member of another kind.

    It could not be put onto a grid, and what such a file is called may name a patient: that must not become a case.

    Args:
        folder: of a member or rater.
        on_grid: cases that have a grid.
        known: cases that are left for the study; with none, the study cannot be read at all.
        problems: what is left out is added.
    """
    if folder.kind != "dicom":
        return folder
    doubled = {without_suffix(one) for one in on_grid}  # CASE_0000_0000: E101 says what mends that
    strangers = sorted(set(folder.cases) - set(on_grid) - doubled)
    if strangers:
        labels = [file_label(folder.cases[name][""]) for name in strangers]
        problems.append(
            Problem(
                code="E107" if on_grid else "E627",
                member=folder.id,
                severity="warning" if known else "error",
                found=f"{len(strangers)} in DICOM that no image is called like: {', '.join(labels[:5])}"
                + (", ..." if len(labels) > 5 else ""),
                expected="an image of the same name: contours have no voxels of their own",
                fix="name them CASE.dcm, or a folder CASE, as the images are named; --images FOLDER with "
                "CASE_0000.nii.gz, or a folder CASE with the DICOM series",
            )
        )
    return replace(folder, cases={name: files for name, files in folder.cases.items() if name not in strangers})


def _drawn_classes(found: Sequence[MemberFolder], images: Path | None, problems: list[Problem]) -> Classes | None:
    """Structures that every case of every member has in DICOM, as classes that may overlap: contours do."""
    subjects = {subject for folder in found for subject in folder.cases}
    known = find_images(images, known=subjects) if images and images.is_dir() else subjects
    drawn = names_in(files[""] for folder in found for name, files in folder.cases.items() if name in known)
    if not drawn:  # no case has an image, or no file can be read: said there
        return None
    everywhere = set.intersection(*drawn)
    others = sorted(set().union(*drawn) - everywhere)
    if others or not everywhere:
        problems.append(
            Problem(
                code="E612" if everywhere else "E311",
                severity="warning" if everywhere else "error",
                found=f"{len(others)} structures that not every case of every member has: {', '.join(others[:8])}"
                + (", ..." if len(others) > 8 else ""),
                expected="the same structures everywhere, by name or by TG-263 name; the others are left out",
                fix="draw them, or name those you want in [classes] of study.toml; plausible inspect -i FOLDER lists "
                "what a folder of DICOM holds",
            )
        )
    return Classes.overlapping_of({name: [n] for n, name in enumerate(sorted(everywhere), 1)}) if everywhere else None


def _images(folder: Path, known: Collection[str], problems: list[Problem]) -> dict[str, list[Path]]:
    found = find_images(folder, known=known) if folder.is_dir() else {}
    if not found:
        problems.append(
            Problem(
                code="E108",
                file=folder.name,
                found="no .nii.gz or .nii file, no DICOM" if folder.is_dir() else "no such folder",
                expected="images named CASE_0000.nii.gz, CASE_0001.nii.gz, ..., or a folder CASE with a DICOM series",
                fix="give the folder that holds the images",
            )
        )
    return found


def _raters(
    references: Path | Mapping[str, Path], classes: Classes | None, problems: list[Problem]
) -> dict[str, MemberFolder]:
    named = {"reference": references} if isinstance(references, Path) else references
    found = {}
    for rater, path in named.items():
        info = MemberInfo(id=rater, kind="rater", rater=rater)
        try:
            folder = member_folder(path, id=rater, told=Told("labels"), classes=classes, info=info)
        except InvalidInput as error:
            problems.append(error.problem)
            continue
        if folder is not None and folder.kind in {"nifti", "structures", "dicom"}:
            found[rater] = folder
        else:
            expected = (
                "REFERENCES/<CASE>.nii.gz, <CASE>.dcm (RTSTRUCT, SEG), or a folder of structures or of DICOM per case"
            )
            fix = "give the folder of the label maps or structure sets"
            problems.append(replace(unrecognised(path), member=rater, expected=expected, fix=fix))
    return found


def _channels(images: Path | None, found: Sequence[MemberFolder], problems: list[Problem]) -> tuple[str, ...]:
    beside = [images.parent / "dataset.json"] if images else []
    for path in (*beside, *(folder.path / "dataset.json" for folder in found)):
        if path.exists():
            try:
                return read_dataset_json(path).channels
            except InvalidInput as error:
                problems.append(error.problem)
    return ()
