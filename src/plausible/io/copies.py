"""Members that are copies of each other, seen from the check sums that their files carry: nothing is read whole."""

import zipfile
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from plausible.core import Problem
from plausible.io.member_folders import MemberFolder


def fingerprint(files: Mapping[str, Path]) -> Hashable:
    """Check sums of the content of a case's files; None where a file carries none (.nii) or is damaged."""
    sums = [_check_sums(path) for _, path in sorted(files.items())]
    return None if None in sums else tuple(sums)


def copies(folders: Sequence[MemberFolder]) -> list[Problem]:
    """Problem E105 of every two members that have the same content in all their common cases."""
    return [
        _copied(first.id, second)
        for first, second in combinations(folders, 2)
        if first.kind == second.kind and _same_everywhere(first, second)
    ]


def copies_of_case(folders: Sequence[MemberFolder], subject: str) -> list[Problem]:
    """Warning E105 of every two members that have the same content in one case."""
    having = [folder for folder in folders if subject in folder.cases]
    prints = [(folder, fingerprint(folder.cases[subject])) for folder in having]
    return [
        _copied(first.id, second, subject=subject)
        for (first, one), (second, other) in combinations(prints, 2)
        if one is not None and one == other
    ]


def _same_everywhere(first: MemberFolder, second: MemberFolder) -> bool:
    shared = sorted(set(first.cases) & set(second.cases))
    return bool(shared) and all(_same(first.cases[s], second.cases[s]) for s in shared)


def _same(first: Mapping[str, Path], second: Mapping[str, Path]) -> bool:
    own = fingerprint(first)
    return own is not None and own == fingerprint(second)


def _check_sums(path: Path) -> Hashable:
    """CRC-32 and size of what a zip or gzip file holds, as the file notes them at its end."""
    try:
        if path.name.endswith((".npz", ".zip")):
            with zipfile.ZipFile(path) as zipped:
                entries = [entry for entry in zipped.infolist() if not entry.filename.endswith("zarr.json")]
                return tuple(sorted((entry.filename, entry.CRC, entry.file_size) for entry in entries))
        if path.name.endswith(".gz"):
            with path.open("rb") as file:
                file.seek(-8, 2)
                return file.read(8)
    except (OSError, zipfile.BadZipFile):
        return None
    return None


def _copied(first: str, second: MemberFolder, *, subject: str = "") -> Problem:
    soft = second.kind in {"store", "nnunet"} or second.told.values in {"probabilities", "logits"}
    return Problem(
        code="E105",
        subject=subject,
        member=second.id,
        severity="error" if soft and not subject else "warning",
        found=f"{second.id} has the content of {first} " + ("here" if subject else "in every case that both have"),
        expected="members that were trained or drawn differently"
        + ("" if soft else "; label maps may agree, so this only warns"),
        fix=f"mv {second.path.name} out of the members, or list the others in study.toml [members]"
        if not subject
        else f"predict this case again with {second.id}",
    )
