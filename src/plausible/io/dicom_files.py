"""DICOM files among others: found by their names or their preamble, without any package of DICOM."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias, get_args

Accept: TypeAlias = Literal["missing_slices", "uneven_slices", "tilted_gantry", "other_frame"]
"""What of DICOM is refused unless somebody accepts it; see `read_study`."""

ACCEPTED: tuple[Accept, ...] = get_args(Accept)
ENDINGS = (".dcm", ".dicom", ".ima")


def is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM files do."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def dicom_files(folder: Path) -> list[Path]:
    """DICOM files of a folder and the folders in it, by name: by their ending, or by their preamble without one."""
    return sorted(_dicom_files(folder))


def holds_dicom_files(folder: Path) -> bool:
    """Whether there is a DICOM file in a folder or the folders in it; the first one found is enough."""
    return next(_dicom_files(folder), None) is not None


def is_dicom_case(path: Path) -> bool:
    """Whether a path is what a case can be in DICOM: a file by its ending, or a folder that holds such files."""
    if path.is_dir():
        return holds_dicom_files(path)
    return path.name.lower().endswith(ENDINGS)


def files_of(path: Path) -> list[Path]:
    """Files of such a case."""
    return dicom_files(path) if path.is_dir() else [path]


def _dicom_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        ending = path.suffix.lower()
        if path.name.startswith(".") or not (ending in ENDINGS or ending[1:].isdigit() or not ending):
            continue
        if path.is_file() and (ending in ENDINGS or is_dicom(path)):  # a UID as a name ends in digits
            yield path
