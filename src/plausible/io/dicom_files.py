"""DICOM files among others: found by their names or their preamble, without any package of DICOM."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias, get_args

Accept: TypeAlias = Literal["missing_slices", "uneven_slices", "tilted_gantry", "other_frame"]
"""What of DICOM is refused unless somebody accepts it; see `read_study`."""

ACCEPTED: tuple[Accept, ...] = get_args(Accept)
ENDINGS = (".dcm", ".dicom", ".ima")
OTHER_ENDINGS = (
    ".nii", ".gz", ".npz", ".npy", ".zip", ".pkl", ".json", ".csv", ".toml", ".txt", ".md", ".html", ".xml", ".pdf",
    ".png", ".jpg", ".jpeg", ".svg", ".webp", ".pt", ".pth", ".ckpt", ".py", ".sh", ".log", ".mha", ".mhd", ".nrrd",
)  # fmt: skip
"""Files of these endings are not opened to see whether they are DICOM: there may be thousands, and large ones."""


def accepted(told: Iterable[str]) -> tuple[Accept, ...]:
    """What of DICOM is accepted, in the order of the choices.

    Raises:
        ValueError: a word that is none of the choices.
    """
    words = [told] if isinstance(told, str) else list(told)
    for one in words:
        if one not in ACCEPTED:
            raise ValueError(f"accept {one!r}: choose from {', '.join(ACCEPTED)}")
    return tuple(one for one in ACCEPTED if one in words)


def is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM files do; one that may not be read is none."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def is_dicom_file(path: Path) -> bool:
    """Whether a file is DICOM by its ending, or else by its preamble."""
    ending = path.suffix.lower()
    if path.name.startswith(".") or ending in OTHER_ENDINGS or not path.is_file():
        return False
    return ending in ENDINGS or is_dicom(path)


def dicom_files(folder: Path) -> list[Path]:
    """DICOM files of a folder and the folders in it (links too), by name."""
    return sorted(_dicom_files(folder))


def holds_dicom_files(folder: Path) -> bool:
    """Whether there is a DICOM file in a folder or the folders in it; the first one found is enough."""
    return next(_dicom_files(folder), None) is not None


def is_dicom_case(path: Path) -> bool:
    """Whether a path is what a case can be in DICOM: a file, or a folder that holds such files."""
    return holds_dicom_files(path) if path.is_dir() else is_dicom_file(path)


def files_of(path: Path) -> list[Path]:
    """Files of such a case."""
    return dicom_files(path) if path.is_dir() else [path]


def walked(folder: Path) -> Iterator[Path]:
    """All files of a folder and the folders in it, links followed once."""
    seen = set[str]()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(root, name) for name in sorted(names))


def _dicom_files(folder: Path) -> Iterator[Path]:
    return (path for path in walked(folder) if is_dicom_file(path))
