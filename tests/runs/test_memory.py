"""The memory estimate: read off the arrays, flat in the number of members, and right for what a walk really takes."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from plausible.core import ArraySource, Classes, Geometry, Member, MemberInfo, Members
from plausible.io import read_study, write_member
from plausible.measure import DEFAULT_MEASURES, default_slab_voxels, voxel_maps
from plausible.runs.memory import READING, memory_need
from tests.io.folders import probabilities, save_nifti, write_dataset_json, write_nnunet_case

CLASSES = Classes.exclusive_of({"background": 0, "a": 1, "b": 2, "c": 3})
BIG = Geometry((64, 96, 48), np.eye(4))


def in_memory(classes: Classes, *, n: int = 2, sliceable: bool = False, shape: tuple[int, int, int] = BIG.shape):
    array = np.zeros((len(classes.names), *shape), np.float32)
    sources = tuple(ArraySource(array, MemberInfo(id=str(m))) for m in range(n))
    return Members(Geometry(shape, np.eye(4)), classes, sources, "case", sliceable)


def test_sizes_are_those_of_the_arrays() -> None:
    need = memory_need(in_memory(CLASSES), DEFAULT_MEASURES)
    voxels = 64 * 96 * 48
    assert need.member_bytes == 4 * 4 * voxels
    assert need.statistics_bytes == (4 + 1) * 4 * voxels  # mean of 4 channels, one entropy
    assert need.maps_bytes == (4 + 3) * 4 * voxels  # 4 probabilities, three maps
    assert need.total_bytes == (4 + 5 + 7) * 4 * voxels
    assert (need.shape, need.n_channels, need.subject) == (BIG.shape, 4, "case")


def test_regions_have_an_entropy_each(regions: Classes) -> None:
    need = memory_need(in_memory(regions), DEFAULT_MEASURES)
    assert need.statistics_bytes == (3 + 3) * 4 * 64 * 96 * 48
    assert need.maps_bytes == (3 + 3 * 3) * 4 * 64 * 96 * 48


def test_members_do_not_multiply() -> None:
    two, twenty = (memory_need(in_memory(CLASSES, n=n), DEFAULT_MEASURES) for n in (2, 20))
    assert two == twenty


def test_members_that_are_read_in_slabs_need_a_slab_only() -> None:
    shape = (256, 256, 32)
    whole = memory_need(in_memory(CLASSES, shape=shape), DEFAULT_MEASURES)
    slabs = memory_need(in_memory(CLASSES, shape=shape, sliceable=True), DEFAULT_MEASURES)
    assert slabs.maps_bytes == whole.maps_bytes
    at_once = default_slab_voxels(in_memory(CLASSES, shape=shape, sliceable=True))
    assert slabs.member_bytes == 4 * 4 * at_once < whole.member_bytes


def nnunet(folder: Path, p: np.ndarray) -> dict[str, str]:
    write_nnunet_case(folder, "case", p, BIG, CLASSES)
    return {}


def classes_last(folder: Path, p: np.ndarray) -> dict[str, str]:
    write_dataset_json(folder, CLASSES)
    save_nifti(folder / "case.nii.gz", np.moveaxis(p, 0, -1), BIG)
    return {"values": "probabilities", "last_axis": "class"}


def labels(folder: Path, p: np.ndarray) -> dict[str, str]:
    write_dataset_json(folder, CLASSES)
    save_nifti(folder / "case.nii.gz", CLASSES.decode(p), BIG)
    return {}


def store(folder: Path, p: np.ndarray) -> dict[str, str]:
    write_member(folder.parent, Member(p, BIG, CLASSES, MemberInfo(id=folder.name)), subject="case")
    return {}


@pytest.mark.parametrize("write", [nnunet, classes_last, labels, store])
def test_a_walk_takes_about_what_was_said(tmp_path: Path, write) -> None:
    for m in range(3):
        told = write(tmp_path / f"member_{m}", probabilities(CLASSES, BIG.shape, seed=m).astype(np.float32))
    members = read_study(tmp_path, **told).case("case").members()
    need = memory_need(members, DEFAULT_MEASURES)
    voxel_maps(members)  # compiles, imports
    tracemalloc.start()
    maps = voxel_maps(members)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(one.values.nbytes for one in maps.values()) == need.maps_bytes
    assert need.maps_bytes < peak <= READING * need.total_bytes
