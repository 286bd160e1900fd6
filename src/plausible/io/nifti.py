"""NIfTI in and out: arrays with their grid, label maps, and maps as scaled uint16 with a JSON sidecar."""

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from plausible.core import Geometry, InvalidInput, LabelMap, Problem, ScalarMap
from plausible.core.problems import locating
from plausible.io.atomic import replacing, write_json

ENDINGS = (".nii.gz", ".nii")
FAULTS = (OSError, EOFError, ValueError, zlib.error, gzip.BadGzipFile)
"""What the readers of nibabel, gzip and zlib raise at a damaged file."""
LEVELS = 65535
"""Steps of a map stored as uint16: the largest rounding error is the valid range divided by twice this."""


def stem(path: Path) -> str:
    """File name without .nii or .nii.gz."""
    for ending in ENDINGS:
        if path.name.endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def read_geometry(path: Path) -> tuple[Geometry, tuple[int, ...], bool]:
    """Read the header only: the grid, the shape as stored, and whether the file holds plain integers.

    Raises:
        InvalidInput: E204 or E305.
    """
    image = _open(path)
    integer = np.issubdtype(image.get_data_dtype(), np.integer) and _unscaled(image)
    return _geometry(image, path), tuple(image.shape), bool(integer)


def read_nifti(path: Path) -> tuple[np.ndarray, Geometry]:
    """Read a file whole: the values in the file's own axes (scaling applied) and the grid of its first three axes.

    A 2-D file gets a third axis of one voxel. A float file that was stored as integers with a scale comes as float32.

    Raises:
        InvalidInput: E305, truncated or damaged; E204, an unusable header.
    """
    image = _open(path)
    geometry = _geometry(image, path)
    values = _values(image, path, ())
    return values.reshape(*values.shape, *(1,) * (3 - values.ndim)), geometry


def read_part(path: Path, start: int, stop: int, *, axis: int, frame: int | None = None) -> np.ndarray:
    """Read the voxels from `start` up to `stop` along an axis, of one frame of a 4-D file if `frame` is given.

    Raises:
        InvalidInput: E305, truncated or damaged.
    """
    image = _open(path)
    part: list[slice | int] = [slice(None)] * len(image.shape)
    if axis < len(part):
        part[axis] = slice(start, stop)
    if frame is not None:
        part[3] = frame
    values = _values(image, path, tuple(part))
    return values.reshape(*values.shape, *(1,) * (3 - values.ndim))


def check_complete(path: Path) -> None:
    """Refuse a file that ends before its last voxel, by its size or the length that gzip notes at its end.

    Only a file whose length is unexpected is read.

    Raises:
        InvalidInput: E305, truncated; and what opening it finds.
    """
    image = _open(path)
    expected = int(image.dataobj.offset) + math.prod(image.shape) * image.get_data_dtype().itemsize
    size = path.stat().st_size
    if path.name.endswith(".gz"):
        with path.open("rb") as file:
            file.seek(max(0, size - 4))
            size, expected = int.from_bytes(file.read(4), "little"), expected % 2**32
    if size != expected:
        _values(image, path, ())


def read_labels(path: Path) -> tuple[np.ndarray, Geometry]:
    """Read a label map as integers.

    Raises:
        InvalidInput: E303, values that are not whole numbers; E205, not three axes; and what `read_nifti` raises.
    """
    values, geometry = read_nifti(path)
    return as_labels(values, path), geometry


def as_labels(values: np.ndarray, path: Path) -> np.ndarray:
    """Check that values are a 3-D label map, and return them as integers.

    Raises:
        InvalidInput: E303 or E205.
    """
    if values.ndim > 3 and values.shape[3:] == (1,) * (values.ndim - 3):
        values = values.reshape(values.shape[:3])
    if values.ndim != 3:
        raise InvalidInput(
            Problem(
                code="E205",
                file=path.name,
                found=f"{values.ndim} axes, shape {values.shape}",
                expected="a label map with three axes",
                fix="save one 3-D label map per file",
            )
        )
    whole = np.rint(values)
    if not np.isfinite(values).all() or (whole != values).any():
        raise InvalidInput(
            Problem(
                code="E303",
                file=path.name,
                found="values that are not whole numbers",
                expected="a label map",
                fix='if these are probabilities, say values = "probabilities" in study.toml (--values probabilities)',
            )
        )
    return whole.astype(np.int32) if values.dtype.kind == "f" else values


def write_label_map(path: Path, labels: LabelMap) -> None:
    """Write a label map as unsigned integers on the image's own grid."""
    image = nib.Nifti1Image(labels.values.astype(labels.classes.label_dtype), labels.geometry.affine)
    _save(image, path, intent="label")


def write_image(path: Path, values: np.ndarray, geometry: Geometry) -> None:
    """Write one channel of an image `i j k` as float32 on its own grid."""
    _save(nib.Nifti1Image(np.asarray(values, dtype=np.float32), geometry.affine), path, intent="none")


def write_scalar_map(path: Path, scalar_map: ScalarMap, *, sidecar: Mapping[str, Any]) -> None:
    """Write a map as uint16 with a scale over its valid range, or float32 where it is undefined or unbounded.

    One frame gives a 3-D file, several a 4-D one (i j k f). The sidecar of the same name says what it is.
    """
    low, high = scalar_map.valid_range
    values = np.moveaxis(scalar_map.values, 0, -1)
    values = values[..., 0] if len(scalar_map.frames) == 1 else values
    if np.isfinite((low, high)).all() and high > low and np.isfinite(values).all():
        slope, inter = float(np.float32((high - low) / LEVELS)), float(np.float32(low))  # as the header holds them
        steps = np.clip(np.rint((values - np.float64(inter)) / slope), 0, LEVELS).astype(np.uint16)
        image = nib.Nifti1Image(steps, scalar_map.geometry.affine)
        image.header.set_slope_inter(slope, inter)
    else:
        image = nib.Nifti1Image(np.ascontiguousarray(values, dtype=np.float32), scalar_map.geometry.affine)
    image.header["cal_min"], image.header["cal_max"] = low, high if np.isfinite(high) else _top(values)
    _save(image, path, intent="estimate")
    write_json(path.with_name(stem(path) + ".json"), {**describe(scalar_map), **sidecar})


def describe(scalar_map: ScalarMap) -> dict[str, Any]:
    """Return the sidecar's part that the map itself knows."""
    low, high = scalar_map.valid_range
    return {
        "quantity": scalar_map.name,
        "definition": scalar_map.definition,
        "unit": scalar_map.unit,
        "valid_range": [low, high if np.isfinite(high) else None],
        "frames": [frame for frame in scalar_map.frames if frame],
    }


def _top(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 0.0


def _save(image: nib.Nifti1Image, path: Path, *, intent: str) -> None:
    image.header.set_xyzt_units("mm")
    image.header.set_intent(intent)
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    with replacing(path) as temporary:
        image.to_filename(str(temporary))


def _open(path: Path) -> nib.Nifti1Image:
    try:
        image = nib.load(str(path))
        kind = image.get_data_dtype().kind
    except FileNotFoundError:
        raise
    except (*FAULTS, ImageFileError, HeaderDataError) as error:
        raise _damaged(path, error) from error
    if kind not in "fiu":
        raise InvalidInput(
            Problem(
                code="E205",
                file=path.name,
                found=f"voxels of type {image.get_data_dtype()}: colours or complex numbers",
                expected="one number per voxel",
                fix="export one channel per file, or the label map without its colours",
            )
        )
    return image


def _values(image: nib.Nifti1Image, path: Path, part: tuple[slice | int, ...]) -> np.ndarray:
    try:
        values = np.asanyarray(image.dataobj[part] if part else image.dataobj)
    except FAULTS as error:
        raise _damaged(path, error) from error
    return np.asarray(values, dtype=np.float32) if values.dtype == np.float64 else values


def _geometry(image: nib.Nifti1Image, path: Path) -> Geometry:
    shape = (*image.shape[:3], 1, 1)[:3]
    with locating(file=path.name):
        return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), image.affine)


def _unscaled(image: nib.Nifti1Image) -> bool:
    slope, inter = image.dataobj.slope, image.dataobj.inter
    return float(slope) == 1.0 and float(inter) == 0.0


def _damaged(path: Path, error: BaseException) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E305",
            file=path.name,
            found=f"{type(error).__name__}: {str(error).replace(str(path), path.name)[:200]}",
            expected="a complete NIfTI file",
            fix="copy or export this file again; remove it to leave the case out",
        )
    )
