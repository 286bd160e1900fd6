"""The member store: one file per member and case, chunked and compressed, readable by slab, written atomically.

`STORE/<member>/<subject>.zarr.zip`: a zarr array `c i j k` in a zip file, chunked by class and by slab along i.
uint16 keeps probabilities in steps of 1/65535 (rounding error at most 7.7e-6); what lies below half a step is 0, so
log scores clip there (`evaluate` does). float16 keeps small probabilities with 11 bits. `STORE/members.json` says what
the members are.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from jaxtyping import Float32
from zarr.codecs import BloscCodec
from zarr.storage import ZipStore

from plausible.core import Classes, Geometry, InvalidInput, Member, MemberInfo, Problem, check_probabilities
from plausible.io.atomic import replacing, write_json

ENDING = ".zarr.zip"
CHUNK_VOXELS = 2**18
LEVELS = 65535
FAULTS = (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What zipfile, zarr and the decompressor raise at a damaged file."""
StoredAs = Literal["uint16", "float16"]


@dataclass(frozen=True, slots=True, eq=False)
class StoreSource:
    """One member of one case in the store, read by slab."""

    path: Path
    info: MemberInfo
    hard: bool = False

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Part of the member; only the chunks it touches are read.

        Raises:
            InvalidInput: E305, truncated or damaged.
        """
        with _opened(self.path) as array:
            values = np.asarray(array[(slice(None),) * (axis + 1) + (slice(start, stop),)])
        return values * np.float32(1 / LEVELS) if values.dtype == np.uint16 else values.astype(np.float32)


def store_path(store: Path, *, member: str, subject: str) -> Path:
    """Where a member of a case lies in the store."""
    return store / member / f"{subject}{ENDING}"


def write_member(store: Path, member: Member, *, subject: str, key: str = "", stored_as: StoredAs = "uint16") -> Path:
    """Write one member of one case, whole or not at all; `key` says what made it, so that a rerun can skip it.

    Raises:
        InvalidInput: E301, E302 or E309, no probabilities of these classes.
        UnfitEnvironment: E903, the folder cannot be written to.
    """
    check_probabilities(member.probabilities, classes=member.classes, subject=subject, member=member.info.id)
    path = store_path(store, member=member.info.id, subject=subject)
    channels, *shape = member.probabilities.shape
    chunk = max(1, min(shape[0], CHUNK_VOXELS // (shape[1] * shape[2])))
    with replacing(path) as temporary, ZipStore(temporary, mode="w") as zipped:
        array = zarr.create_array(
            zipped,
            shape=(channels, *shape),
            chunks=(1, chunk, shape[1], shape[2]),
            dtype=stored_as,
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
            attributes={
                "affine": member.geometry.affine.tolist(),
                "classes": classes_to_dict(member.classes),
                "info": asdict(member.info),
                "hard": member.hard,
                "key": key,
            },
        )
        for channel, values in enumerate(member.probabilities):  # no more than one of them is ever copied
            array[channel] = encode(values, stored_as)
    return path


def encode(probabilities: Float32[np.ndarray, "*shape"], stored_as: StoredAs) -> np.ndarray:
    """Return probabilities in the store's type; values outside 0 to 1 by rounding are clipped."""
    clipped = np.clip(probabilities, 0, 1)
    if stored_as == "float16":
        return np.asarray(clipped, dtype=np.float16)
    return np.asarray(np.rint(clipped * np.float32(LEVELS)), dtype=np.uint16)


def read_attributes(path: Path) -> tuple[Geometry, Classes, Mapping[str, Any]]:
    """Read what a stored member is, without its voxels.

    Raises:
        InvalidInput: E305, truncated or damaged.
    """
    with _opened(path) as array:
        attributes = dict(array.attrs)
        _, *shape = array.shape
        geometry = Geometry((shape[0], shape[1], shape[2]), np.array(attributes["affine"]))
        _ = attributes["hard"], attributes["key"], MemberInfo(**attributes["info"])
        return geometry, classes_from_dict(attributes["classes"]), attributes


def check_whole(path: Path) -> None:
    """Read every byte of a stored member and check its sums.

    Raises:
        InvalidInput: E305, truncated or damaged.
    """
    try:
        with zipfile.ZipFile(path) as zipped:
            broken = zipped.testzip()
    except FAULTS as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if broken:
        raise _damaged(path, f"check sum of {broken} is wrong")


def is_stored(path: Path, *, key: str) -> bool:
    """Whether a whole member made with these inputs and settings lies there."""
    if not path.exists():
        return False
    try:
        check_whole(path)
        return bool(read_attributes(path)[2]["key"] == key)
    except InvalidInput:
        return False


def write_members_json(store: Path, infos: tuple[MemberInfo, ...], *, classes: Classes, **more: Any) -> None:
    """Say what the members of a store are and what made them."""
    write_json(
        store / "members.json",
        {"members": [asdict(info) for info in infos], "classes": classes_to_dict(classes), **more},
    )


def refuse_other_members(store: Path, infos: tuple[MemberInfo, ...]) -> None:
    """Refuse a folder with members that are none of these: whoever reads the store would take them together.

    Raises:
        ValueError: naming them.
    """
    found = sorted(path.name for path in store.glob("[!.]*")) if store.is_dir() else []
    others = [name for name in found if name not in {"members.json", *(info.id for info in infos)}]
    if others:
        raise ValueError(f"{store.name} holds other members ({', '.join(others[:5])}); choose a new folder with -o")


def read_members_json(store: Path) -> dict[str, Any]:
    """Read `members.json` of a store."""
    content: dict[str, Any] = json.loads((store / "members.json").read_text(encoding="utf-8"))
    return content


def classes_to_dict(classes: Classes) -> dict[str, Any]:
    """Return classes as plain JSON values."""
    return asdict(classes)


def classes_from_dict(content: Mapping[str, Any]) -> Classes:
    """Return classes from plain JSON values."""
    return Classes(
        names=tuple(content["names"]),
        exclusive=bool(content["exclusive"]),
        labels=tuple(tuple(values) for values in content["labels"]),
        order=tuple(content["order"]),
    )


@contextmanager
def _opened(path: Path) -> Iterator[zarr.Array]:
    if not zipfile.is_zipfile(path):
        raise _damaged(path, "not a zip file, or cut off")
    try:
        with ZipStore(path, mode="r", read_only=True) as store:
            yield zarr.open_array(store, mode="r")
    except FAULTS as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _damaged(path: Path, found: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E305",
            file=path.name,
            found=found[:200],
            expected="a whole member written by plausible",
            fix="remove the file and run plausible predict again; finished members are kept",
        )
    )
