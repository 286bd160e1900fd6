"""What a folder is, told from the names in it: a study, a dataset, a model, results, images, or members."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from plausible.core import InvalidInput, Problem
from plausible.io.images import niftis_by_subject

FolderKind: TypeAlias = Literal["study", "model", "dataset", "results", "images", "members"]

FOLDER_KINDS: Mapping[FolderKind, str] = {
    "study": "a study told by study.toml",
    "model": "a model trained by plausible (model.json)",
    "dataset": "an nnU-Net raw dataset (dataset.json, imagesTr)",
    "results": "results of plausible (case.json of each case)",
    "images": "images (CASE_0000.nii.gz)",
    "members": "members of a study",
}

_MOST_CHANNELS = 9
_NEXT = {
    "model": "plausible predict MODEL -i IMAGES -o MEMBERS writes members from it",
    "dataset": "plausible train DATASET, or predict its images with any model and give the folder of the members",
    "results": "give the folder of the members that these results were made from",
}


def folder_kind(path: Path) -> FolderKind:
    """Recognise a folder; what is nothing else may hold members."""
    if path.suffix == ".toml" or (path / "study.toml").is_file():
        return "study"
    if (path / "model.json").is_file():
        return "model"
    if (path / "dataset.json").is_file() and any(p.is_dir() for p in path.glob("images*")):
        return "dataset"
    if any(path.glob("*/case.json")):
        return "results"
    return "images" if _images_only(path) else "members"


def refuse_what_holds_no_members(path: Path) -> None:
    """Refuse a dataset, a model or results where members are looked for: their sub-folders are no members.

    Raises:
        InvalidInput: E108.
    """
    kind = folder_kind(path)
    if kind in _NEXT:
        raise InvalidInput(
            Problem(
                code="E108",
                file=path.name,
                found=FOLDER_KINDS[kind],
                expected="predictions: MEMBERS/<member>/<CASE>.nii.gz, .npz or .zarr.zip",
                fix=_NEXT[kind],
            )
        )


def unrecognised(path: Path, *, severity: str = "error") -> Problem:
    """Return problem E108 of a folder (or a path that is none)."""
    visible = [p for p in path.glob("*") if not p.name.startswith(".")] if path.is_dir() else []
    endings = sorted({"folders" if p.is_dir() else "".join(p.suffixes[-2:]) or p.name for p in visible})
    return Problem(
        code="E108",
        file=path.name,
        severity=severity,
        found=("only " + ", ".join(endings[:6]) if endings else "nothing") if path.is_dir() else "no such folder",
        expected="MEMBERS/<member>/<CASE>.zarr.zip, .npz with .nii.gz, .nii.gz, or a folder of structures",
        fix='say where the members lie in a study.toml ([members] fold_0 = "fold_0/validation"), and '
        "plausible inspect -i study.toml",
    )


def _images_only(path: Path) -> bool:
    """Whether all NIfTI files carry channel suffixes that count up from _0000."""
    images = niftis_by_subject(path) if path.is_dir() else {}
    counted = [[p.name.split(".nii")[0][-5:] for p in paths] for paths in images.values()]
    return bool(counted) and all(
        len(suffixes) <= _MOST_CHANNELS and suffixes == [f"_{n:04d}" for n in range(len(suffixes))]
        for suffixes in counted
    )
