"""Folders of members are recognised from names: every kind, in natural order, with what the folders say themselves."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from plausible.core import Classes, Geometry, InvalidInput, Member, MemberInfo
from plausible.io import read_study, write_member, write_members_json
from plausible.io.member_folders import MemberFolder, find_member_folders, member_folder, natural
from plausible.io.nifti_members import Told
from plausible.io.recognise import folder_kind
from tests.conftest import SHAPE
from tests.io.folders import label_study, nnunet_study, probabilities, save_nifti, write_dataset_json


def found(root: Path, *, structures: str | None = None, classes: Classes | None = None) -> list[MemberFolder]:
    folders, problems = find_member_folders(root, told=Told(), classes=classes, structures=structures)
    assert problems == []
    return folders


def store(root: Path, geometry: Geometry, classes: Classes, *, members: int = 2) -> None:
    infos = tuple(MemberInfo(id=f"member_{m}", kind="seed", seed=10 + m) for m in range(members))
    for info in infos:
        p = probabilities(classes, SHAPE, seed=int(info.id[-1])).astype(np.float32)
        write_member(root, Member(p, geometry, classes, info), subject="case_a")
    write_members_json(root, infos, classes=classes)


def structures(root: Path, geometry: Geometry, *, runs: tuple[str, ...] = ("run_0", "run_1")) -> None:
    for run in runs:
        for subject in ("case_a", "case_b"):
            for name in ("liver", "aorta"):
                save_nifti(root / run / subject / f"{name}.nii.gz", np.ones(SHAPE, np.uint8), geometry)
            (root / run / subject / "statistics.json").write_text("{}")


def test_members_come_in_natural_order(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    nnunet_study(tmp_path, classes, geometry, members=12, subjects=("case_a",))
    assert [folder.id for folder in found(tmp_path)] == [f"fold_{n}" for n in range(12)]
    assert sorted(["b10", "b9", "a", "b", "10", "9"], key=natural) == ["9", "10", "a", "b", "b9", "b10"]


def test_nnunet_folders(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    nnunet_study(tmp_path, classes, geometry)
    for fold in tmp_path.iterdir():
        for name in ("case_a.pkl", "plans.json", "predict_from_raw_data_args.json"):
            (fold / name).write_bytes(b"{}")
    first, *_ = found(tmp_path)
    assert (first.kind, list(first.cases), first.classes) == ("nnunet", ["case_a", "case_b"], classes)
    assert list(first.files("case_a")) == ["fold_0/case_a.npz"]


def test_label_map_folders(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    label_study(tmp_path, {"case_a": [np.zeros(SHAPE), np.ones(SHAPE)]}, geometry, classes)
    assert [(f.id, f.kind, f.classes) for f in found(tmp_path)] == [
        ("member_0", "nifti", classes),
        ("member_1", "nifti", classes),
    ]


def test_one_dataset_json_beside_the_members_serves_all(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    label_study(tmp_path, {"case_a": [np.zeros(SHAPE), np.ones(SHAPE)]}, geometry, classes)
    for member in ("member_0", "member_1"):
        (tmp_path / member / "dataset.json").rename(tmp_path / "dataset.json")
    assert [folder.classes for folder in found(tmp_path)] == [classes, classes]


def test_the_store_says_what_its_members_are(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    store(tmp_path, geometry, classes)
    first, second = found(tmp_path)
    assert (first.kind, first.classes, first.info.seed, second.info.seed) == ("store", classes, 10, 11)


def test_a_store_without_members_json_asks_its_files(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    store(tmp_path, geometry, classes)
    (tmp_path / "members.json").unlink()
    (tmp_path / "member_0").rename(tmp_path / "first")
    members = read_study(tmp_path).case("case_a").members()
    assert [(info.id, info.kind, info.seed) for info in members.infos] == [
        ("first", "seed", 10),
        ("member_1", "seed", 11),
    ]


def test_one_damaged_file_of_a_store_leaves_its_classes(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    store(tmp_path, geometry, classes)
    (tmp_path / "members.json").unlink()
    shutil.copy(tmp_path / "member_0" / "case_a.zarr.zip", tmp_path / "member_0" / "case_b.zarr.zip")
    (tmp_path / "member_0" / "case_a.zarr.zip").write_bytes(b"PK")
    assert [folder.classes for folder in found(tmp_path)] == [classes, classes]


def test_folders_of_structures(tmp_path: Path, geometry: Geometry) -> None:
    structures(tmp_path, geometry)
    first, _ = found(tmp_path, structures="overlapping")
    assert first.kind == "structures"
    assert first.classes == Classes.overlapping_of({"aorta": [1], "liver": [2]})
    assert sorted(first.files("case_b")) == ["run_0/case_b/aorta.nii.gz", "run_0/case_b/liver.nii.gz"]
    exclusive = found(tmp_path, structures="exclusive")[0].classes
    assert exclusive == Classes.exclusive_of({"background": 0, "aorta": 1, "liver": 2})


def test_structures_must_be_told_whether_they_overlap(tmp_path: Path, geometry: Geometry) -> None:
    structures(tmp_path, geometry)
    folders, problems = find_member_folders(tmp_path, told=Told(), classes=None, structures=None)
    assert folders == []
    assert {(p.code, p.member) for p in problems} == {("E313", "run_0"), ("E313", "run_1")}


def test_one_run_of_structures_is_one_member_where_structures_are_told(tmp_path: Path, geometry: Geometry) -> None:
    structures(tmp_path, geometry, runs=("run_0",))
    (only,) = found(tmp_path / "run_0", structures="overlapping")
    assert (only.id, only.kind, list(only.cases)) == ("run_0", "structures", ["case_a", "case_b"])


def test_a_folder_with_predictions_is_the_only_member(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    nnunet_study(tmp_path, classes, geometry)
    (only,) = found(tmp_path / "fold_1")
    assert only.id == "fold_1"


def test_a_folder_with_nothing_in_it_warns(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    nnunet_study(tmp_path, classes, geometry)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.txt").write_text("x")
    (tmp_path / ".hidden").mkdir()
    folders, problems = find_member_folders(tmp_path, told=Told(), classes=None, structures=None)
    assert len(folders) == 3
    assert [(p.code, p.severity, p.file, p.found) for p in problems] == [("E108", "warning", "logs", "only .txt")]


def test_half_written_files_are_no_members(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    store(tmp_path, geometry, classes)
    (tmp_path / "member_0" / ".tmp-host-77-case_b.zarr.zip").write_bytes(b"half")
    assert list(found(tmp_path)[0].cases) == ["case_a"]


def test_members_of_several_kinds_are_one_study(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    store(tmp_path / "all", geometry, classes, members=1)
    saved = nnunet_study(tmp_path / "other", classes, geometry, members=1, subjects=("case_a",))
    (tmp_path / "other" / "fold_0").rename(tmp_path / "all" / "fold_0")
    members = read_study(tmp_path / "all").case("case_a").members()
    assert [info.id for info in members.infos] == ["fold_0", "member_0"]
    assert not members.sliceable
    np.testing.assert_array_equal(next(iter(members)).probabilities, saved["case_a"][0])


def test_a_broken_members_json_is_told(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    store(tmp_path, geometry, classes)
    (tmp_path / "members.json").write_text('{"members": [{"identity": 3}]}')
    with pytest.raises(InvalidInput, match="E305") as error:
        read_study(tmp_path)
    assert error.value.problem.file == "members.json"


def test_a_folder_of_nothing_is_none(tmp_path: Path) -> None:
    assert member_folder(tmp_path) is None
    assert member_folder(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["study.toml", "model.json"], "study"),
        (["model.json", "member_0/weights.pt"], "model"),
        (["dataset.json", "imagesTr/a_0000.nii.gz"], "dataset"),
        (["cohort.json", "case_a/case.json"], "results"),
        (["a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz"], "images"),
        (["a_0000.nii.gz", "b.nii.gz"], "members"),
        (["case_0001.nii.gz", "case_0002.nii.gz"], "members"),
        (["dataset.json", "fold_0/a.npz"], "members"),
        ([], "members"),
    ],
)
def test_a_folder_is_recognised_from_the_names_in_it(tmp_path: Path, files: list[str], kind: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert folder_kind(tmp_path) == kind


@pytest.mark.parametrize("what", ["dataset", "model", "results"])
def test_what_holds_no_members_is_refused_by_its_name(
    tmp_path: Path, geometry: Geometry, classes: Classes, what: str
) -> None:
    root = tmp_path / what
    if what == "dataset":
        write_dataset_json(root, classes)
        save_nifti(root / "imagesTr" / "a_0000.nii.gz", np.zeros(SHAPE, np.uint8), geometry)
    else:
        label_study(root, {"case_a": [np.zeros(SHAPE)]}, geometry, classes)
        (root / "model.json" if what == "model" else root / "member_0" / "case.json").write_text("{}")
    with pytest.raises(InvalidInput, match="E108") as error:
        read_study(root, classes=classes)
    assert error.value.problem.file == what
    assert error.value.problem.fix
