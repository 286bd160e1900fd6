"""One DICOM file: opened, refused when it is none, its values taken as they are meant, its pixels decoded.

pydicom is imported here and nowhere at the top of a module, so that everything else works without the extra. Messages
name files, never people: a file's name that may carry one is replaced by a hash unless somebody asks for it.
"""

import hashlib
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from plausible.core import InvalidInput, Problem, UnfitEnvironment, missing_extra

MOST_VOXELS = 2**30
"""Largest rows × columns × frames that is allocated (4 GiB as float32): a damaged header may ask for anything."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_DICOMDIR = "1.2.840.10008.1.3.10"
_WORDS = (
    r"(?:ct|mr|pt|pet|img?|image|slice|i|x|rt|rtstruct|rtss|rtdose|rtplan|rs|rd|rp|seg|oars?|dose|plan|structures?)"
)
_WORD = re.compile(_WORDS + r"?\d*", re.IGNORECASE)
_UID = re.compile(_WORDS + r"?[._-]?[0-2](?:\.\d+){5,}", re.IGNORECASE)
_MOST_DIGITS = 5
"""Longer numbers, and dates, may be a patient's."""
_KEEP_NAMES: ContextVar[bool] = ContextVar("keep_names", default=False)


def pydicom() -> ModuleType:
    """Import pydicom.

    Raises:
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    return required("pydicom")


def required(package: str) -> ModuleType:
    """Import a package of the extra `dicom`.

    Raises:
        UnfitEnvironment: E901, it is not there.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise missing_extra(package, extra="dicom") from error


@contextmanager
def file_names_kept() -> Iterator[None]:
    """Let messages name files as they are called, inside the block: for who may see what such names carry."""
    token = _KEEP_NAMES.set(True)
    try:
        yield
    finally:
        _KEEP_NAMES.reset(token)


def file_label(path: Path) -> str:
    """What messages call a file: its name if that is short numbers, UIDs and words of DICOM, else a hash of it."""
    name = re.sub(r"\.(?:dcm|dicom|ima)$", "", path.name, flags=re.IGNORECASE)
    plain = all(_WORD.fullmatch(word) for word in re.split(r"[._-]+", name))
    short = sum(letter.isdigit() for letter in name) <= _MOST_DIGITS
    if _KEEP_NAMES.get() or _UID.fullmatch(name) or (plain and short):
        return path.name
    return f"file-{hashlib.sha256(path.name.encode()).hexdigest()[:8]}"


@contextmanager
def tolerant() -> Iterator[None]:
    """Take unusual value representations as they come: our own checks say what matters."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom\.")
        yield


def refusal(code: str, *, found: str, expected: str, fix: str, path: Path | None = None) -> InvalidInput:
    """Return the error of a file that cannot be used."""
    file = file_label(path) if path else ""
    return InvalidInput(Problem(code=code, file=file, found=found, expected=expected, fix=fix))


def caution(
    code: str, *, found: str, expected: str, fix: str, path: Path | None = None, severity: str = "warning"
) -> Problem:
    """Return a problem that stops nothing and belongs in the report."""
    file = file_label(path) if path else ""
    return Problem(code=code, file=file, found=found, expected=expected, fix=fix, severity=severity)


def read_header(path: Path, *, tags: Sequence[str] | None = None) -> Any:
    """Return the data set of a file without its pixels.

    Args:
        path: file.
        tags: keywords of the elements wanted; None reads all.

    Raises:
        InvalidInput: E601, a file that is empty, damaged, no DICOM object, or a DICOMDIR.
    """
    dicom = pydicom()
    if not path.is_file() or path.stat().st_size == 0:
        raise _not_dicom(path, "an empty file" if path.is_file() else "no such file")
    wanted = [dicom.tag.Tag(tag) for tag in tags] if tags else None
    try:
        header = dicom.dcmread(path, stop_before_pixels=True, specific_tags=wanted, force=_without_preamble(path))
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise _not_dicom(path, "no DICOM, or damaged at its start") from error
    if str(header.file_meta.get("MediaStorageSOPClassUID", "")) == _DICOMDIR:
        raise _not_dicom(path, "a DICOMDIR, the list of a medium")
    if not header.get("SOPClassUID") or not header.get("SOPInstanceUID"):
        raise _not_dicom(path, "no SOP class and instance UID")
    return header


def _without_preamble(path: Path) -> bool:
    """Whether a file starts with a DICOM group at once, as old exports do."""
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] != b"DICM" and start[:2] in {b"\x02\x00", b"\x08\x00"} and start[3:4] == b"\x00"


def _not_dicom(path: Path, found: str) -> InvalidInput:
    return refusal(
        "E601",
        path=path,
        found=found,
        expected="a whole DICOM object",
        fix="copy or export the file again; a file that is no DICOM object can be left where it is",
    )


def text(header: Any, keyword: str) -> str:
    """Value of an element as text; empty if it is absent or empty."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def numbers(header: Any, keyword: str, count: int) -> np.ndarray | None:
    """Values of an element; None if it is absent, not so many, not numbers or not finite."""
    value = header.get(keyword)
    try:
        found = np.atleast_1d(np.asarray([] if value is None else value, dtype=np.float64))
    except (TypeError, ValueError):
        return None
    return found if found.shape == (count,) and np.isfinite(found).all() else None


def items(header: Any, keyword: str) -> list[Any]:
    """Items of a sequence; none if it is absent."""
    return list(header.get(keyword) or [])


def check_size(n_voxels: int, *, path: Path, what: str) -> None:
    """Refuse what would need absurd memory, before it is allocated.

    Raises:
        InvalidInput: E619.
    """
    if n_voxels > MOST_VOXELS:
        raise refusal(
            "E619",
            path=path,
            found=f"{what}: {n_voxels:.3g} voxels",
            expected=f"at most {MOST_VOXELS:.3g}",
            fix="export the object again (rows, columns or frames are damaged), or read a part of it",
        )


def check_whole(path: Path, header: Any) -> None:
    """Refuse a file that is shorter than its uncompressed pixels, before they are read.

    Raises:
        InvalidInput: E609.
    """
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is not None and (syntax.is_encapsulated or syntax.is_deflated):
        return
    n_values = int(header.get("Rows") or 0) * int(header.get("Columns") or 0) * int(header.get("NumberOfFrames") or 1)
    expected, size = n_values * int(header.get("BitsAllocated") or 8) // 8, path.stat().st_size
    if size < expected:
        raise refusal(
            "E609",
            path=path,
            found=f"{size} bytes: the file is cut off",
            expected=f"at least {expected} bytes of pixel data",
            fix="copy or export the file again",
        )


def decoded(path: Path, *, frame: int | None = None) -> np.ndarray:
    """Return the stored values of one frame (rows, columns), or of all frames of a file.

    Raises:
        InvalidInput: E609, damaged, truncated or coloured pixel data, or of an unknown transfer syntax.
        UnfitEnvironment: E901, a compression that needs the extra `codecs`.
    """
    from pydicom.pixels import get_decoder, pixel_array

    syntax = _transfer_syntax(path)
    try:
        if syntax.is_encapsulated and not get_decoder(syntax).is_available:
            raise missing_extra(f"decoder of {syntax.name}", extra="codecs")
        source = pydicom().dcmread(path, force=True) if syntax.is_deflated else path  # a path is read as it lies there
        return np.asarray(pixel_array(source, index=frame, raw=True))
    except UnfitEnvironment:
        raise
    except Exception as error:  # decoders raise whatever damaged data lead them to
        raise refusal(
            "E609",
            path=path,
            found=f"pixel data that cannot be decoded ({type(error).__name__}), transfer syntax {syntax.name}",
            expected="whole pixel data in a transfer syntax that pydicom decodes",
            fix="copy or export the file again, uncompressed (Explicit VR Little Endian)",
        ) from error


def _transfer_syntax(path: Path) -> Any:
    """Implicit VR little endian where a file has no header of its own."""
    dicom = pydicom()
    return dicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") or dicom.uid.ImplicitVRLittleEndian
