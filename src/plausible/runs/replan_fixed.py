"""Structures that members do not have, the same in every contouring: FOLDER/CASE/NAME.nii.gz, voxels above 0 inside."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plausible.core import Geometry, InvalidInput, Problem
from plausible.io.nifti import read_labels, stem

BODY_MASK = "body"
"""The file of this name is the outline of the patient."""


@dataclass(frozen=True, slots=True)
class FixedStructures:
    """A folder of masks, one sub-folder per case."""

    folder: Path

    def files_of(self, subject: str) -> dict[str, str]:
        """Masks of a case by name, as files."""
        found = sorted((self.folder / subject).glob("*.nii*"))
        return {f"fixed {stem(path)}": str(path) for path in found}

    def read(self, subject: str) -> tuple[dict[str, np.ndarray], Geometry | None]:
        """Masks of a case by name, and their grid; nothing if it has no folder.

        Raises:
            InvalidInput: E201 or E202, two masks on different grids; E305, a damaged file; E309, a file of numbers that
                are no labels.
        """
        masks: dict[str, np.ndarray] = {}
        grid: Geometry | None = None
        for name, path in self.files_of(subject).items():
            labels, own = read_labels(Path(path))
            if grid is None:
                grid = own
            own.check_matches(grid, this=name, that="the first fixed structure", subject=subject, file=Path(path).name)
            masks[name.removeprefix("fixed ")] = labels > 0
        return masks, grid


def checked(folder: Path | None) -> FixedStructures | None:
    """Return the folder of fixed structures; None if none was told.

    Raises:
        InvalidInput: E108, it is not there.
    """
    if folder is None:
        return None
    if not folder.is_dir():
        raise InvalidInput(
            Problem(
                code="E108",
                file=folder.name,
                found="no such folder",
                expected="a folder with one sub-folder per case that holds NAME.nii.gz",
                fix="correct --fixed-structures",
            )
        )
    return FixedStructures(folder)
