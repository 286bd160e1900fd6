"""Folders of predictions, one per member: what lies in them is recognised from names, never from values.

`MEMBERS/<member>/<CASE>` with one of these endings: `.zarr.zip` (the member store), `.npz` with a segmentation beside
it (nnU-Net), `.nii.gz` or `.nii` (label maps, probabilities), `.dcm` (RTSTRUCT or SEG); or a folder `CASE/` with one
file per structure, or with DICOM.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from plausible.core import Classes, FrameOfReference, Geometry, InvalidInput, MemberInfo, MemberSource, Problem
from plausible.core.problems import locating
from plausible.io.dicom_cases import is_patient_folder, sorted_files
from plausible.io.dicom_files import is_dicom_case, is_dicom_file
from plausible.io.dicom_members import open_dicom
from plausible.io.nifti import ENDINGS, stem
from plausible.io.nifti_members import Told, open_nifti, open_structures
from plausible.io.nnunet_predictions import open_nnunet
from plausible.io.raw_dataset import read_dataset_json
from plausible.io.recognise import refuse_what_holds_no_members, unrecognised
from plausible.io.store import ENDING as STORE_ENDING
from plausible.io.store import StoreSource, classes_from_dict, read_attributes, read_members_json

Kind: TypeAlias = Literal["store", "nnunet", "nifti", "structures", "dicom"]
Structures: TypeAlias = Literal["overlapping", "exclusive"]

KINDS: Mapping[Kind, str] = {
    "store": "member store (.zarr.zip)",
    "nnunet": "nnU-Net probabilities (.npz)",
    "nifti": "NIfTI, one file per case",
    "structures": "NIfTI, one file per structure",
    "dicom": "DICOM, RTSTRUCT or SEG",
}


@dataclass(frozen=True, slots=True, eq=False)
class MemberFolder:
    """The predictions of one member: which files belong to which case, and what is said about them.

    Attributes:
        id: name of the member.
        cases: files of each case: one (or a folder of DICOM), or one per structure by its name.
        classes: what the folder itself says; None if nothing.
        info: what is known of the member.
        told: what the user says.
    """

    id: str
    path: Path
    kind: Kind
    cases: Mapping[str, Mapping[str, Path]]
    classes: Classes | None
    info: MemberInfo
    told: Told = field(default_factory=Told)

    def open(
        self, subject: str, *, classes: Classes, on: Geometry | None = None, frame: FrameOfReference | None = None
    ) -> tuple[tuple[MemberSource, ...], Geometry]:
        """Read the headers of a case: its members (several only along a told last axis) and their grid.

        Args:
            subject: the case.
            classes: what the channels mean.
            on: grid of the case, for what has none of its own (contours).
            frame: whose coordinates that grid has, where its image says.

        Raises:
            InvalidInput: what the reader of this kind finds, with subject and member.
        """
        with locating(subject=subject, member=self.id):
            files = self.cases[subject]
            if self.kind == "structures":
                together, geometry = open_structures(files, info=self.info, classes=classes, told=self.told)
                return (together,), geometry
            (path,) = files.values()
            if self.kind == "nifti":
                return open_nifti(path, info=self.info, classes=classes, told=self.told)
            if self.kind == "nnunet":
                opened, geometry = open_nnunet(path, info=self.info, classes=classes, values=self.told.values)
                return (opened,), geometry
            if self.kind == "dicom":
                source, grid = open_dicom(path, info=self.info, classes=classes, on=on, frame=frame)
                return (source,), grid
            return _open_stored(path, self.info, classes)

    def files(self, subject: str) -> dict[str, Path]:
        """Name of each file of a case, as provenance calls it, and its path."""
        files = self.cases.get(subject, {}).values()
        return {f"{self.id}/{path.relative_to(self.path)}": path for path in files}


def member_folder(
    path: Path,
    *,
    id: str = "",
    told: Told | None = None,
    classes: Classes | None = None,
    info: MemberInfo | None = None,
    structures: Structures | None = None,
) -> MemberFolder | None:
    """Recognise the predictions in a folder; None if there are none.

    Args:
        path: the folder.
        id: name of the member; the folder's own if empty.
        told: what the user says about the files.
        classes: what the user says about the channels; otherwise the folder is asked.
        info: what is known of the member.
        structures: whether structures in files of their own exclude each other.

    Raises:
        InvalidInput: E311 dataset.json that cannot be read, E313 structures of which this was not told, E305.
    """
    kind, cases = _recognise(path)
    if kind is None:
        return None
    name = id or path.name
    with locating(member=name):
        classes = classes or _own_classes(path, kind, cases, structures)
    info = replace(info, source=info.source or path.name) if info else MemberInfo(id=name, source=path.name)
    return MemberFolder(name, path, kind, cases, classes, info, told or Told())


def find_member_folders(
    root: Path, *, told: Told, classes: Classes | None, structures: Structures | None
) -> tuple[list[MemberFolder], list[Problem]]:
    """Members of a folder: the folder itself if it holds predictions, else its sub-folders in natural order.

    Structures in files of their own are the folder's own where `structures` is told: `RUN/CASE/liver.nii.gz`.

    Returns:
        The members, the problems of those that cannot be understood (E311, E313, E305 members.json), and a warning
        E108 for each sub-folder in which nothing was recognised.

    Raises:
        InvalidInput: E108, a dataset, a model or results.
    """
    refuse_what_holds_no_members(root)
    own, _ = _recognise(root, folders=False)
    alone = own in {"store", "nnunet", "nifti", "dicom"} or (own == "structures" and structures is not None)
    paths = [root] if alone else sorted((p for p in _visible(root) if p.is_dir()), key=lambda p: natural(p.name))
    found, problems = list[MemberFolder](), list[Problem]()
    infos, of_root = _told_by(root, problems)
    for path in paths:
        try:
            info = infos.get(path.name)
            chosen = classes or of_root
            folder = member_folder(path, told=told, classes=chosen, info=info, structures=structures)
        except InvalidInput as error:
            problems.append(error.problem)
            continue
        if folder:
            found.append(folder)
        else:
            problems.append(unrecognised(path, severity="warning"))
    return found, problems


def natural(name: str) -> list[tuple[int, int | str]]:
    """Sort key that puts member_2 before member_10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]


def _recognise(folder: Path, *, folders: bool = True) -> tuple[Kind | None, dict[str, dict[str, Path]]]:
    """What lies in a folder. A folder of DICOM in it is a case, unless `folders` says that it may be a member."""
    files = [path for path in _visible(folder) if not path.name.endswith(".pkl")]
    stored = {path.name[: -len(STORE_ENDING)]: {"": path} for path in files if path.name.endswith(STORE_ENDING)}
    if stored:
        return "store", stored
    arrays = {path.stem: {"": path} for path in files if path.suffix == ".npz"}
    if arrays:
        return "nnunet", arrays
    niftis = {stem(path): {"": path} for path in files if path.name.endswith(ENDINGS)}
    if niftis:
        return "nifti", niftis
    objects = [path for path in files if path.is_file() and is_dicom_file(path)]
    if objects and (cases := _cases_of(folder, objects)):
        return "dicom", cases
    inner = {path.name: _structures(path) for path in files if path.is_dir()}
    inner = {subject: found for subject, found in inner.items() if found}
    if inner:
        return "structures", inner
    patients = {path.name: {"": path} for path in files if folders and path.is_dir() and is_dicom_case(path)}
    return ("dicom", patients) if patients else (None, {})


def _cases_of(folder: Path, objects: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """A case per structure set or SEG; but one patient, called as the folder is, where planes of an image lie there.

    A file that cannot be read is a case too: that is said when it is opened.
    """
    if is_patient_folder(folder):
        return {folder.name: {"": folder}}
    found = sorted_files(objects)
    others = {one.instance.path for one in found.doses} | {one.instance.path for one in found.plans}
    return {path.stem: {"": path} for path in objects if path not in others}


def _structures(folder: Path) -> dict[str, Path]:
    files = _visible(folder)
    if any(path.suffix == ".npz" for path in files):
        return {}
    return {stem(path): path for path in files if path.name.endswith(ENDINGS)}


def _own_classes(
    path: Path, kind: Kind, cases: Mapping[str, Mapping[str, Path]], structures: Structures | None
) -> Classes | None:
    if kind == "store":
        return _stored_classes([files[""] for files in cases.values()])
    if (path / "dataset.json").exists():
        return read_dataset_json(path / "dataset.json").classes
    return _structure_classes(cases, structures) if kind == "structures" else None


def _stored_classes(paths: Sequence[Path]) -> Classes | None:
    """Classes of the first file that can be read; a damaged one is found when its case is."""
    for path in paths:
        try:
            return read_attributes(path)[1]
        except InvalidInput:
            continue
    return None


def _structure_classes(cases: Mapping[str, Mapping[str, Path]], structures: Structures | None) -> Classes:
    names = sorted({name for files in cases.values() for name in files})
    if structures == "exclusive":
        return Classes.exclusive_of({"background": 0, **{name: n for n, name in enumerate(names, start=1)}})
    if structures == "overlapping":
        return Classes.overlapping_of({name: [n] for n, name in enumerate(names, start=1)})
    raise InvalidInput(
        Problem(
            code="E313",
            found=f"one file per structure: {', '.join(names[:6])}" + (", ..." if len(names) > 6 else ""),
            expected="to be told whether the structures exclude each other",
            fix='structures = "overlapping" or structures = "exclusive" in study.toml (--structures overlapping)',
        )
    )


def _told_by(root: Path, problems: list[Problem]) -> tuple[dict[str, MemberInfo], Classes | None]:
    """Return what members.json or a dataset.json beside the members says of all of them."""
    try:
        if (root / "members.json").exists():
            content = _members_json(root)
            infos = {str(info["id"]): MemberInfo(**info) for info in content["members"]}
            return infos, classes_from_dict(content["classes"])
        if (root / "dataset.json").exists():
            return {}, read_dataset_json(root / "dataset.json").classes
    except InvalidInput as error:
        problems.append(error.problem)
    return {}, None


def _members_json(root: Path) -> dict[str, Any]:
    try:
        content = read_members_json(root)
        _ = [MemberInfo(**info) for info in content["members"]], classes_from_dict(content["classes"])
        return content
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            Problem(
                code="E305",
                file="members.json",
                found=f"{type(error).__name__}: {str(error)[:200]}",
                expected="members.json as plausible predict writes it",
                fix="plausible predict writes it anew; finished members are kept",
            )
        ) from error


def _open_stored(path: Path, info: MemberInfo, classes: Classes) -> tuple[tuple[MemberSource, ...], Geometry]:
    geometry, stored, attributes = read_attributes(path)
    if stored.names != classes.names or stored.exclusive != classes.exclusive:
        raise InvalidInput(
            Problem(
                code="E308",
                file=path.name,
                found=f"a member with the classes {', '.join(stored.names)}",
                expected=", ".join(classes.names),
                fix="leave the classes untold for a member store: it knows its own",
            )
        )
    if info == MemberInfo(id=info.id, source=info.source):  # without members.json, the file says what made it
        info = replace(MemberInfo(**attributes["info"]), id=info.id, source=info.source)
    return (StoreSource(path, info, hard=bool(attributes["hard"])),), geometry


def _visible(folder: Path) -> Sequence[Path]:
    return sorted(p for p in folder.glob("*") if not p.name.startswith(".")) if folder.is_dir() else []
