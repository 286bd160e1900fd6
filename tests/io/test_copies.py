"""Copies are seen from check sums: in every case an error, in one a warning, and label maps may rightly agree."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from plausible.core import Classes, Geometry, InvalidInput, Member, MemberInfo
from plausible.io import read_study, write_member
from plausible.io.copies import copies_of_case, fingerprint
from plausible.io.study import find_study
from tests.conftest import SHAPE
from tests.io.folders import label_study, nnunet_study, probabilities, save_nifti


def copied(root: Path, first: str, second: str, *names: str) -> None:
    for name in names:
        shutil.copy(root / first / name, root / second / name)


def told(root: Path) -> list[tuple[str, str, str]]:
    problems = find_study(root).problems
    return [(p.code, p.member, p.severity) for p in problems]


def test_members_of_a_store_with_the_same_values_are_copies_whatever_they_are_called(
    tmp_path: Path, geometry: Geometry, classes: Classes
) -> None:
    p = probabilities(classes, SHAPE, seed=1).astype(np.float32)
    for m in range(2):
        info = MemberInfo(id=f"member_{m}", kind="seed", seed=m, checkpoint=str(m) * 64)
        write_member(tmp_path, Member(p, geometry, classes, info), subject="a")
    assert told(tmp_path) == [("E105", "member_1", "error")]
    with pytest.raises(InvalidInput, match="E105"):
        read_study(tmp_path)


def test_copies_in_every_common_case_stop_the_study(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    nnunet_study(tmp_path, classes, geometry)
    copied(tmp_path, "fold_0", "fold_2", "case_a.npz", "case_a.nii.gz", "case_b.npz", "case_b.nii.gz")
    assert told(tmp_path) == [("E105", "fold_2", "error")]


def test_the_same_content_in_one_case_warns(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    nnunet_study(tmp_path, classes, geometry)
    copied(tmp_path, "fold_0", "fold_2", "case_b.npz", "case_b.nii.gz")
    assert told(tmp_path) == []
    folders = find_study(tmp_path).members
    assert copies_of_case(folders, "case_a") == []
    (problem,) = copies_of_case(folders, "case_b")
    assert (problem.subject, problem.member, problem.severity) == ("case_b", "fold_2", "warning")


def test_label_maps_may_agree(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    values = np.random.default_rng(0).choice([0, 1], SHAPE)
    label_study(tmp_path, {"a": [values, values]}, geometry, classes)
    assert told(tmp_path) == [("E105", "member_1", "warning")]
    assert len(read_study(tmp_path).case("a").members()) == 2


def test_what_carries_no_check_sum_or_is_damaged_is_no_copy(tmp_path: Path, geometry: Geometry) -> None:
    plain = save_nifti(tmp_path / "a.nii", np.zeros(SHAPE, np.uint8), geometry)
    packed = save_nifti(tmp_path / "a.nii.gz", np.zeros(SHAPE, np.uint8), geometry)
    (tmp_path / "b.npz").write_bytes(b"PK")
    assert fingerprint({"": plain}) is None
    assert fingerprint({"": tmp_path / "b.npz"}) is None
    assert fingerprint({"": packed}) is not None
    assert fingerprint({"x": packed, "y": plain}) is None


def test_the_time_of_compression_does_not_count(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    p = probabilities(classes, SHAPE, seed=2)
    np.savez_compressed(tmp_path / "a.npz", probabilities=p)
    np.savez(tmp_path / "b.npz", probabilities=p)
    np.savez(tmp_path / "c.npz", probabilities=p + 1)
    a, b, c = (fingerprint({"": tmp_path / f"{name}.npz"}) for name in "abc")
    assert a == b != c
