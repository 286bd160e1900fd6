"""Laws that hold for every kind of member on disk, whatever wrote it."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.core import Classes, Geometry, Member, MemberInfo, Members, MemberSource
from plausible.io import read_study, write_member
from tests.conftest import SHAPE
from tests.io.broken import REGIONS
from tests.io.folders import probabilities, save_nifti, write_dataset_json, write_nnunet_case

CLASSES = Classes.exclusive_of({"background": 0, "kidney": 1, "liver": 2})  # structures in files come by name
Writer = Callable[[Path, np.ndarray, Geometry], dict[str, str]]


def _nnunet(classes: Classes, **how: object) -> Writer:
    def write(folder: Path, p: np.ndarray, geometry: Geometry) -> dict[str, str]:
        write_nnunet_case(folder, "case", p, geometry, classes, **how)
        return {}

    return write


def _store(stored_as: str) -> Writer:
    def write(folder: Path, p: np.ndarray, geometry: Geometry) -> dict[str, str]:
        one = Member(p, geometry, CLASSES, MemberInfo(id=folder.name))
        write_member(folder.parent, one, subject="case", stored_as=stored_as)
        return {}

    return write


def _labels(folder: Path, p: np.ndarray, geometry: Geometry) -> dict[str, str]:
    write_dataset_json(folder, CLASSES)
    save_nifti(folder / "case.nii.gz", CLASSES.decode(p), geometry)
    return {}


def _classes_last(folder: Path, p: np.ndarray, geometry: Geometry) -> dict[str, str]:
    write_dataset_json(folder, CLASSES)
    save_nifti(folder / "case.nii.gz", np.moveaxis(p, 0, -1), geometry)
    return {"values": "probabilities", "last_axis": "class"}


def _logits(folder: Path, p: np.ndarray, geometry: Geometry) -> dict[str, str]:
    return _classes_last(folder, np.log(p) + 1, geometry) | {"values": "logits"}


def _scaled(folder: Path, p: np.ndarray, geometry: Geometry) -> dict[str, str]:
    told = _classes_last(folder, p, geometry)
    image = nib.Nifti1Image(np.rint(np.moveaxis(p, 0, -1) * 65535).astype(np.uint16), geometry.affine)
    image.header.set_slope_inter(1 / 65535, 0)
    image.to_filename(folder / "case.nii.gz")
    return told


def _structures(folder: Path, p: np.ndarray, geometry: Geometry) -> dict[str, str]:
    for name, mask in zip(CLASSES.structures, CLASSES.masks(p), strict=True):
        save_nifti(folder / "case" / f"{name}.nii.gz", mask.astype(np.uint8), geometry)
    return {"structures": "exclusive"}


WRITERS: dict[str, tuple[Writer, Classes, float]] = {
    "nnU-Net": (_nnunet(CLASSES), CLASSES, 0),
    "nnU-Net float16": (_nnunet(CLASSES, dtype=np.float16), CLASSES, 2**-12),
    "nnU-Net Fortran": (_nnunet(CLASSES, fortran=True), CLASSES, 0),
    "nnU-Net regions": (_nnunet(REGIONS), REGIONS, 0),
    "store uint16": (_store("uint16"), CLASSES, 1 / 131070 + 1e-7),
    "store float16": (_store("float16"), CLASSES, 2**-12),
    "label maps": (_labels, CLASSES, 1),
    "classes last": (_classes_last, CLASSES, 0),
    "logits": (_logits, CLASSES, 1e-6),
    "scaled uint16": (_scaled, CLASSES, 1 / 131070 + 1e-7),
    "structures": (_structures, CLASSES, 1),
}
"""How members are written, their classes, and the largest error of a probability (1: label maps keep none)."""


@pytest.fixture(scope="module", params=WRITERS)
def members(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, geometry: Geometry
) -> tuple[Members, list[np.ndarray], float]:
    write, classes, error = WRITERS[request.param]
    root = tmp_path_factory.mktemp("study")
    written = [probabilities(classes, SHAPE, seed=m).astype(np.float32) for m in range(2)]
    told = [write(root / f"member_{m}", p, geometry) for m, p in enumerate(written)]
    return read_study(root, **told[0]).case("case").members(), written, error


def test_members_are_what_was_written(members: tuple[Members, list[np.ndarray], float], geometry: Geometry) -> None:
    found, written, error = members
    assert found.geometry.matches(geometry)
    assert [info.id for info in found.infos] == ["member_0", "member_1"]
    for member, p in zip(found, written, strict=True):
        if error == 1:
            np.testing.assert_array_equal(member.probabilities, found.classes.encode(found.classes.decode(p)))
        else:
            np.testing.assert_allclose(member.probabilities, p, rtol=0, atol=error)
        assert member.hard is (error == 1)


@given(axis=st.integers(0, 2), data=st.data())
def test_slabs_put_together_are_the_whole(
    members: tuple[Members, list[np.ndarray], float], axis: int, data: st.DataObject
) -> None:
    found, _, _ = members
    cut = data.draw(st.integers(1, SHAPE[axis] - 1))
    for source in found.sources:
        whole = source.read(0, SHAPE[axis], axis=axis)
        parts = [source.read(0, cut, axis=axis), source.read(cut, SHAPE[axis], axis=axis)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=axis + 1), whole)
        assert all(part.dtype == np.float32 for part in parts)


def test_a_member_is_read_the_same_twice_and_nobody_changes_it(
    members: tuple[Members, list[np.ndarray], float],
) -> None:
    found, _, _ = members
    first = [member.probabilities.copy() for member in found]
    for member, before in zip(found, first, strict=True):
        np.testing.assert_array_equal(member.probabilities, before)


def test_probabilities_are_probabilities(members: tuple[Members, list[np.ndarray], float]) -> None:
    found, _, _ = members
    for source in found.sources:
        assert isinstance(source, MemberSource)
        values = source.read(0, SHAPE[0], axis=0)
        assert values.min() >= 0
        assert values.max() <= 1
        if found.classes.exclusive:
            np.testing.assert_allclose(values.sum(axis=0), 1, atol=1e-3)
