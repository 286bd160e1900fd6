"""One case in DICOM: its files sorted, its structures and its grid read, each once as long as the files stay the same.

A study asks for them again and again: for the grid, the frame of reference, the image, each member, the dose.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from plausible.core import Geometry
from plausible.io.dicom.choosing import chosen_series, chosen_structures
from plausible.io.dicom.folder import DicomFolder, sort_folder
from plausible.io.dicom.objects import SegmentationFile, SeriesFiles, StructureFile
from plausible.io.dicom.rtstruct import StructureSet, read_rtstruct
from plausible.io.dicom.series import look_at_series
from plausible.io.dicom_files import files_of, is_dicom_file

State = tuple[tuple[str, int, int], ...]
"""Files of a case with their sizes and times of change."""


def sorted_case(path: Path) -> DicomFolder:
    """Sort the files of a case.

    Raises:
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    return sorted_files(files_of(path))


def sorted_files(paths: Sequence[Path]) -> DicomFolder:
    """Sort files.

    Raises:
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    return _sorted(state_of(paths))


def is_patient_folder(folder: Path) -> bool:
    """Whether planes of an image lie in a folder itself: then all its files are of one patient, and no cases.

    Raises:
        UnfitEnvironment: E901, there are DICOM files and the extra `dicom` is missing.
    """
    own = [path for path in sorted(folder.glob("*")) if is_dicom_file(path)] if folder.is_dir() else []
    return bool(own) and bool(sorted_files(own).images)


def series_of(path: Path) -> SeriesFiles:
    """Return the image series of a case: that its structure sets were drawn on, or the only one.

    Raises:
        InvalidInput: E601 or E602, no series, or several that could be meant.
    """
    found = sorted_case(path)
    return chosen_series(found, drawn_on=found.drawn_on)[0]


def grid_of(path: Path) -> Geometry:
    """Return the grid of the image series of a case, from its headers.

    Raises:
        InvalidInput: what `look_at_series` finds.
    """
    return _grid(state_of(series_of(path).paths))


def structures_of(path: Path) -> StructureFile | SegmentationFile:
    """Return the structure set of a case, or its SEG where there is no structure set.

    Raises:
        InvalidInput: E601 or E602, neither, or several.
    """
    return chosen_structures(sorted_case(path))


def structure_set(path: Path) -> StructureSet:
    """Read a structure set, as `read_rtstruct`."""
    return _structure_set(state_of([path]))


def state_of(paths: Sequence[Path]) -> State:
    """Return what tells whether files have changed."""
    return tuple((str(path), stat.st_size, stat.st_mtime_ns) for path in paths for stat in [path.stat()])


@lru_cache(maxsize=32)
def _sorted(state: State) -> DicomFolder:
    return sort_folder([Path(name) for name, _, _ in state])


@lru_cache(maxsize=32)
def _grid(state: State) -> Geometry:
    series = chosen_series(_sorted(state))[0]
    return look_at_series(series)[0]


@lru_cache(maxsize=64)
def _structure_set(state: State) -> StructureSet:
    return read_rtstruct(Path(state[0][0]))
