"""Structures that members do not have, the same in every contouring.

`FOLDER/CASE/NAME.nii.gz`, voxels above 0 inside; or DICOM, `FOLDER/CASE/` or `FOLDER/CASE.dcm`, whose structure set or
SEG has them. Of DICOM only what is wanted is read.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plausible.core import Classes, FrameOfReference, Geometry, InvalidInput, MemberInfo, Problem, standard_name
from plausible.io.dicom_files import is_dicom_case
from plausible.io.dicom_members import drawn_names, open_dicom
from plausible.io.nifti import read_labels, stem

BODY_MASK = "body"
"""The file of this name is the outline of the patient; in DICOM, the structure that TG-263 calls External."""
OUTLINE = "External"
Wanted = Callable[[Sequence[str]], Collection[str]]
"""Which of the structures that there are somebody wants."""


@dataclass(frozen=True, slots=True)
class FixedStructures:
    """A folder of masks or of DICOM, one sub-folder per case."""

    folder: Path

    def files_of(self, subject: str) -> dict[str, str]:
        """Masks of a case by name, as files; or its DICOM."""
        found = sorted((self.folder / subject).glob("*.nii*"))
        if not found and (dicom := self._dicom(subject)):
            return {"fixed structures": str(dicom)}
        return {f"fixed {stem(path)}": str(path) for path in found}

    def read(
        self,
        subject: str,
        *,
        on: Geometry | None = None,
        frame: FrameOfReference | None = None,
        wanted: Wanted = lambda names: names,
    ) -> tuple[dict[str, np.ndarray], Geometry | None]:
        """Masks of a case by name, and their grid; nothing if it has no folder.

        Args:
            subject: the case.
            on: grid of its image, which contours come onto.
            frame: whose coordinates that grid has.
            wanted: which of the structures of DICOM are read; the outline of the patient is always.

        Raises:
            InvalidInput: E201 or E202, two masks on different grids; E305, a damaged file; E309, a file of numbers that
                are no labels; of DICOM, what `open_dicom` finds.
        """
        masks: dict[str, np.ndarray] = {}
        grid: Geometry | None = None
        files = self.files_of(subject)
        if "fixed structures" in files:
            return _drawn(Path(files["fixed structures"]), on=on, frame=frame, wanted=wanted), on
        for name, path in files.items():
            labels, own = read_labels(Path(path))
            if grid is None:
                grid = own
            own.check_matches(grid, this=name, that="the first fixed structure", subject=subject, file=Path(path).name)
            masks[name.removeprefix("fixed ")] = labels > 0
        return masks, grid

    def _dicom(self, subject: str) -> Path | None:
        """Folder or file of DICOM of a case."""
        places = (self.folder / subject, self.folder / f"{subject}.dcm")
        return next((path for path in places if path.exists() and is_dicom_case(path)), None)


def _drawn(path: Path, *, on: Geometry | None, frame: FrameOfReference | None, wanted: Wanted) -> dict[str, np.ndarray]:
    names = drawn_names(path)
    outline = [name for name in names if standard_name(name) == OUTLINE]
    chosen = dict.fromkeys([*wanted(names), *outline[:1]])
    if not chosen:
        return {}
    classes = Classes.overlapping_of({name: [n] for n, name in enumerate(chosen, start=1)})
    source, grid = open_dicom(path, info=MemberInfo(id="fixed structures"), classes=classes, on=on, frame=frame)
    masks = classes.masks(source.read(0, grid.shape[2], axis=2))
    return {BODY_MASK if name in outline else name: mask for name, mask in zip(chosen, masks, strict=True)}


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
                expected="a folder with one sub-folder per case that holds NAME.nii.gz, or DICOM",
                fix="correct --fixed-structures",
            )
        )
    return FixedStructures(folder)
