"""Images as nnU-Net names them: one file per channel, `CASE_0000.nii.gz`, `CASE_0001.nii.gz`, ... on one grid.

A channel may be a DICOM series too: a folder `CASE`, or `CASE_0000`, with whatever else belongs to the patient.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from plausible.core import Geometry, Image, InvalidInput, Problem
from plausible.core.axes import axes_between
from plausible.core.problems import locating
from plausible.io.dicom_cases import is_patient_folder
from plausible.io.dicom_files import Accept, holds_dicom_files
from plausible.io.dicom_images import read_series_channel, series_geometry
from plausible.io.nifti import ENDINGS, check_complete, read_geometry, read_nifti, stem

SUFFIX = re.compile(r"^(?P<subject>.+)_(?P<channel>\d{4})$")


def find_images(folder: Path, *, known: Collection[str] = ()) -> dict[str, list[Path]]:
    """Image files (and folders of DICOM series) of each subject, in the order of their channels.

    A file that is named like a known subject is its image, although the name may end in four digits (`case_0001`).
    DICOM is a folder of a series (or of everything of a patient) per subject, or `CASE_0000`, `CASE_0001`, ... for
    several channels; or the folder itself, of the subject of its name or the only known one. Beside NIfTI files it is
    taken for known subjects that have none.
    """
    converted, series = niftis_by_subject(folder, known=known), _series_by_subject(folder, known)
    if converted:
        return {**{subject: paths for subject, paths in series.items() if subject in known}, **converted}
    if not series and known and is_patient_folder(folder):
        return {folder.name if folder.name in known or len(known) > 1 else next(iter(known)): [folder]}
    return series


def niftis_by_subject(folder: Path, *, known: Collection[str] = ()) -> dict[str, list[Path]]:
    """NIfTI files of each subject, in the order of their channels."""
    found: dict[str, dict[int, Path]] = {}
    for path in niftis(folder):
        match = SUFFIX.match(stem(path))
        subject = match["subject"] if match and stem(path) not in known else stem(path)
        found.setdefault(subject, {})[channel_number(path, subject)] = path
    return {subject: [files[c] for c in sorted(files)] for subject, files in sorted(found.items())}


def _series_by_subject(folder: Path, known: Collection[str]) -> dict[str, list[Path]]:
    """Folders of DICOM of each subject; `HN_0001`, `HN_0002` without a `HN_0000` are patients and no channels."""
    found = {path.name: [path] for path in _series_folders(folder)}
    for name in [one for one in found if one.endswith("_0000") and one not in known]:
        base = name.removesuffix("_0000")
        if base in found:
            continue
        channels = [f"{base}_{n:04d}" for n in range(len(found))]
        first_gap = next((n for n, one in enumerate(channels) if one not in found), len(channels))
        found[base] = [found.pop(one)[0] for one in channels[:first_gap]]
    return dict(sorted(found.items()))


def channel_number(path: Path, subject: str) -> int:
    """Channel in the name of an image file; 0 where the name has none."""
    return 0 if stem(path) == subject else int(stem(path)[-4:])


def doubled_suffixes(images: Mapping[str, Sequence[Path]], *, known: Collection[str] = ()) -> list[Problem]:
    """Problem E101 of every image whose channel suffix stands there twice (`CASE_0000_0000.nii.gz`), told of `CASE`.

    Names of subjects may end in four digits themselves. The suffix is doubled where predictions or labels know the name
    without it, or where nobody knows the name and no other case differs from it by its number only.
    """
    return [_doubled(s, paths) for s, paths in images.items() if _is_doubled(s, images, known)]


def without_suffix(subject: str) -> str:
    """Name of a subject without a channel suffix."""
    return SUFFIX.sub(r"\g<subject>", subject)


def doubled_names(problem: Problem) -> set[str]:
    """Subjects that problem E101 is about: the name without the suffixes, and the name with one."""
    return {problem.subject, without_suffix(stem(Path(problem.file)))}


def _is_doubled(subject: str, images: Collection[str], known: Collection[str]) -> bool:
    base = without_suffix(subject)
    if base == subject or subject in known:
        return False
    numbered = [other for other in images if other != subject and without_suffix(other) == base != other]
    return base in known or (subject.endswith("_0000") and not numbered)


def read_image(
    paths: Sequence[Path],
    *,
    channels: Sequence[str] = (),
    subject: str = "",
    accept: Collection[Accept] = (),
    onto: Geometry | None = None,
) -> Image:
    """Read the channels of one image onto one grid.

    Args:
        paths: a NIfTI file or a folder with a DICOM series for each channel.
        channels: their names.
        subject: for messages.
        accept: what of a DICOM series is resampled instead of refused.
        onto: grid of the same voxels whose order and direction of the axes a DICOM series takes: DICOM itself has none,
            and converters do not agree.

    Raises:
        InvalidInput: E109 a channel is missing, E201 or E202 channels on different grids, E205 not three axes,
            E309 values that are not finite, E310 a constant image, E305 a damaged file; E620 `onto` has other voxels;
            what `read_series` finds.
    """
    with locating(subject=subject):
        check_channels(paths, channels, subject=subject)
        found = _read_channels(paths, channels, subject, accept)
        if onto is None or not paths[0].is_dir() or found.geometry.matches(onto):
            return found
        axes = axes_between(found.geometry, onto, this="image series", that="the members")
        return Image(axes.turn(found.values), onto, found.channels)


def read_image_geometry(
    paths: Sequence[Path], *, channels: Sequence[str] = (), subject: str = "", accept: Collection[Accept] = ()
) -> Geometry:
    """Read the headers of the channels of an image: the grid that they share.

    Raises:
        InvalidInput: E109, E201, E202, E204 or E205, as `read_image`; E305, a file that ends too early.
    """
    with locating(subject=subject):
        check_channels(paths, channels, subject=subject)
        first: Geometry | None = None
        for path in paths:
            geometry = series_geometry(path, accept=accept) if path.is_dir() else _nifti_geometry(path, subject)
            first = first or geometry
            geometry.check_matches(first, this=path.name, that=paths[0].name, file=path.name)
        if first is None:
            raise ValueError("an image needs at least one file")
        return first


def check_channels(paths: Sequence[Path], channels: Sequence[str], *, subject: str = "") -> None:
    """Refuse an image of which a channel is missing, by the numbers in the names of its files.

    Raises:
        InvalidInput: E109.
    """
    numbers = [channel_number(path, subject) if SUFFIX.match(stem(path)) else 0 for path in paths]
    if any(path.is_dir() for path in paths):
        numbers = list(range(len(paths)))  # folders were sorted by their numbers when they were found
    expected = range(len(channels) or len(paths))
    if numbers == list(expected):
        return
    lacking = sorted(set(expected) - set(numbers))
    example = f"{paths[0].name.removesuffix('_0000')}_{lacking[0]:04d}" if lacking and paths[0].is_dir() else ""
    example = example or re.sub(r"(_\d{4})?(\.nii(\.gz)?)$", rf"_{lacking[0]:04d}\2", paths[0].name) if lacking else ""
    raise InvalidInput(
        Problem(
            code="E109",
            found=", ".join(path.name for path in paths),
            expected=f"{len(expected)} channels, _0000 to _{len(expected) - 1:04d}"
            + (f": {', '.join(channels)}" if channels else ""),
            fix=f"add the missing file: {example}" if lacking else "name every channel in dataset.json (channel_names)",
        )
    )


def _nifti_geometry(path: Path, subject: str) -> Geometry:
    geometry, shape, _ = read_geometry(path)
    if len(shape) > 3:
        raise InvalidInput(_other_axes(shape, path, subject))
    check_complete(path)
    return geometry


def _series_folders(folder: Path) -> list[Path]:
    """Folders that hold DICOM files."""
    return [p for p in sorted(folder.glob("*")) if p.is_dir() and p.name[0] != "." and holds_dicom_files(p)]


def _read_channels(paths: Sequence[Path], channels: Sequence[str], subject: str, accept: Collection[Accept]) -> Image:
    first: Geometry | None = None
    values = []
    for path in paths:
        array, geometry = read_series_channel(path, accept=accept) if path.is_dir() else read_nifti(path)
        _check_image(array, path=path, subject=subject)
        first = first or geometry
        geometry.check_matches(first, this=path.name, that=paths[0].name, subject=subject, file=path.name)
        values.append(array)
    if first is None:
        raise ValueError("an image needs at least one file")
    return Image(np.stack(values), first, tuple(channels) or tuple(f"channel {c}" for c in range(len(paths))))


def niftis(folder: Path) -> list[Path]:
    """NIfTI files of a folder, by name."""
    return [p for p in sorted(folder.glob("*")) if p.name.endswith(ENDINGS) and not p.name.startswith(".")]


def _doubled(subject: str, paths: Sequence[Path]) -> Problem:
    name = paths[0].name if paths else f"{subject}_0000.nii.gz"
    right = re.sub(r"_\d{4}(_\d{4}\.nii(\.gz)?)$", r"\1", name)
    return Problem(
        code="E101",
        subject=without_suffix(subject),
        file=name,
        found=f"{name}: the channel suffix stands there twice",
        expected=right,
        fix=f"mv {name} {right}",
    )


def _check_image(array: np.ndarray, *, path: Path, subject: str) -> None:
    if array.ndim != 3:
        raise InvalidInput(_other_axes(array.shape, path, subject))
    if not np.isfinite(array).all():
        code, found = "E309", f"{int(np.count_nonzero(~np.isfinite(array)))} voxels that are NaN or infinite"
        expected, fix = "finite intensities", "export the image again, or set those voxels to the background's value"
    elif array.min() == array.max():
        code, found = "E310", f"the value {float(array.min()):.4g} everywhere"
        expected, fix = "an image with contrast", "export the image again; leave the case out if it is lost"
    else:
        return
    raise InvalidInput(Problem(code=code, subject=subject, file=path.name, found=found, expected=expected, fix=fix))


def _other_axes(shape: tuple[int, ...], path: Path, subject: str) -> Problem:
    return Problem(
        code="E205",
        subject=subject,
        file=path.name,
        found=f"{len(shape)} axes, shape {shape}",
        expected="three axes; one file per channel",
        fix=f"split the file into {subject}_0000.nii.gz, {subject}_0001.nii.gz, ...",
    )
