"""Studies from folders: every case with its image, members and raters, on one grid, in one order of classes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from plausible.core import Classes, Geometry, InvalidInput, MemberInfo
from plausible.io import problems_of, read_image, read_study
from plausible.io.study_folders import in_order
from tests.conftest import SHAPE
from tests.io.folders import (
    code_of,
    images_and_labels,
    label_study,
    nnunet_study,
    probabilities,
    save_nifti,
    write_dataset_json,
    write_nnunet_case,
)


@pytest.fixture
def root(tmp_path: Path, geometry: Geometry, classes: Classes) -> Path:
    nnunet_study(tmp_path / "members", classes, geometry)
    images_and_labels(tmp_path, geometry, classes)
    return tmp_path


def test_a_study_is_found_from_folders(root: Path, geometry: Geometry, classes: Classes) -> None:
    study = read_study(root / "members", images=root / "images", references=root / "labels")
    assert (study.name, study.classes, study.problems) == ("members", classes, ())
    assert [case.subject for case in study] == ["case_a", "case_b"]
    case = study.case("case_b")
    members, raters, image = case.members(), case.raters(), case.image()
    assert [info.id for info in members.infos] == ["fold_0", "fold_1", "fold_2"]
    assert members.subject == "case_b"
    assert raters is not None
    assert image is not None
    assert raters.infos == (MemberInfo(id="reference", kind="rater", rater="reference", source="case_b.nii.gz"),)
    assert image.channels == ("MR",)
    assert members.geometry.matches(geometry)
    assert raters.geometry.matches(image.geometry)


def test_every_file_of_a_case_is_named_for_its_provenance(root: Path) -> None:
    case = read_study(root / "members", images=root / "images", references=root / "labels").case("case_a")
    assert list(case.files) == [
        "image/case_a_0000.nii.gz",
        "fold_0/case_a.npz",
        "fold_1/case_a.npz",
        "fold_2/case_a.npz",
        "reference/case_a.nii.gz",
    ]
    assert all(Path(path).is_file() for path in case.files.values())


def test_nothing_but_names_is_read_before_a_case_is_asked_for(root: Path) -> None:
    for path in (root / "members").glob("*/case_a.npz"):
        path.write_bytes(b"damaged")
    study = read_study(root / "members", images=root / "images")
    assert len(study) == 2
    assert code_of(study.case("case_a").members) == "E305"
    assert len(list(study.case("case_b").members())) == 3


def test_several_raters(root: Path) -> None:
    shutil.copytree(root / "labels", root / "ben")
    (root / "ben" / "case_b.nii.gz").unlink()
    study = read_study(root / "members", references={"anna": root / "labels", "ben": root / "ben"})
    first, second = study.case("case_a").raters(), study.case("case_b").raters()
    assert first is not None
    assert second is not None
    assert [info.rater for info in first.infos] == ["anna", "ben"]
    assert [info.rater for info in second.infos] == ["anna"]
    assert [(p.code, p.subject, p.member) for p in study.problems] == [("E106", "case_b", "ben")]


def test_a_study_toml_says_what_folders_do_not(root: Path) -> None:
    (root / "study.toml").write_text(
        'images = "images"\nreferences = "labels"\n[members]\n'
        'late = { path = "members/fold_2", kind = "seed", seed = 9 }\nearly = "members/fold_0"\n'
    )
    for path in (root / "study.toml", root):
        study = read_study(path)
        infos = study.case("case_a").members().infos
        assert [(info.id, info.kind, info.seed, info.source) for info in infos] == [
            ("late", "seed", 9, "fold_2"),
            ("early", "unknown", None, "fold_0"),
        ]
        assert study.case("case_a").raters() is not None


def test_what_is_given_goes_before_what_the_file_says(root: Path) -> None:
    (root / "members" / "study.toml").write_text("allow_missing = false\n")
    (root / "members" / "fold_0" / "case_a.npz").unlink()
    study = read_study(root / "members" / "study.toml", allow_missing=True)
    assert len(study.case("case_a").members()) == 2


@pytest.mark.parametrize("allow_missing", [False, True])
def test_a_missing_member_stops_its_case_only(root: Path, allow_missing: bool) -> None:
    (root / "members" / "fold_1" / "case_a.npz").unlink()
    study = read_study(root / "members", allow_missing=allow_missing)
    (problem,) = study.problems
    assert (problem.code, problem.subject, problem.member) == ("E102", "case_a", "fold_1")
    assert problem.severity == ("warning" if allow_missing else "error")
    assert "2 of 3 members have this case; here is its segmentation" in problem.found
    assert "-o MEMBERS/fold_1" in problem.fix
    assert len(study.case("case_b").members()) == 3
    if allow_missing:
        assert [info.id for info in study.case("case_a").members().infos] == ["fold_0", "fold_2"]
    else:
        assert code_of(study.case("case_a").members) == "E102"


@pytest.fixture
def swapped(tmp_path: Path, geometry: Geometry) -> tuple[Path, np.ndarray]:
    """Two members whose networks have their classes in different orders; returns what the second one saved."""
    first = Classes.exclusive_of({"background": 0, "liver": 1, "kidney": 2, "spleen": 3})
    second = Classes.exclusive_of({"background": 0, "kidney": 1, "spleen": 2, "liver": 3})
    nnunet_study(tmp_path, first, geometry, members=1, subjects=("case_a",))
    p = probabilities(second, SHAPE, seed=77).astype(np.float32)
    write_nnunet_case(tmp_path / "fold_1", "case_a", p, geometry, second)
    return tmp_path, p


def test_another_order_of_classes_is_refused_with_both(swapped: tuple[Path, np.ndarray]) -> None:
    with pytest.raises(InvalidInput, match="E103") as error:
        read_study(swapped[0])
    assert error.value.problem.found == (
        "fold_0: background, liver, kidney, spleen; fold_1: background, kidney, spleen, liver"
    )
    assert "align" in error.value.problem.fix


def test_members_can_be_read_by_the_names_of_their_classes(swapped: tuple[Path, np.ndarray]) -> None:
    root, p = swapped
    study = read_study(root, align="names")
    assert study.classes.names == ("background", "liver", "kidney", "spleen")
    _, second = study.case("case_a").members()
    np.testing.assert_array_equal(second.probabilities, p[[0, 3, 1, 2]])
    assert second.classes.names == study.classes.names


def test_a_reordered_source_passes_on_what_its_member_warned_of(swapped: tuple[Path, np.ndarray]) -> None:
    _, source = read_study(swapped[0], align="names").case("case_a").members().sources
    assert problems_of((source,)) == ()
    assert in_order(source, Classes(("a",), False, ((1,),)), Classes(("a",), False, ((1,),))) is source


def test_label_maps_of_another_order_are_read_by_name(tmp_path: Path, geometry: Geometry) -> None:
    values = np.random.default_rng(0).choice([0, 1, 2], SHAPE)
    first = Classes.exclusive_of({"background": 0, "liver": 1, "kidney": 2})
    label_study(tmp_path, {"case_a": [values, values[::-1]]}, geometry, first)
    write_dataset_json(tmp_path / "member_1", Classes.exclusive_of({"background": 0, "kidney": 1, "liver": 2}))
    _, second = read_study(tmp_path, align="names").case("case_a").members()
    np.testing.assert_array_equal(second.probabilities[1], values[::-1] == 2)  # its liver is 2


def test_a_lone_member_warns(root: Path) -> None:
    study = read_study(root / "members" / "fold_0")
    assert [(p.code, p.severity) for p in study.problems] == [("E104", "warning")]
    assert "nnUNetv2_predict" in study.problems[0].fix
    assert len(list(study.case("case_a").members())) == 1


def test_members_along_the_last_axis_are_not_alone(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    values = np.random.default_rng(1).choice([0, 1, 2, 5], (*SHAPE, 4)).astype(np.uint8)
    save_nifti(tmp_path / "stack" / "case_a.nii.gz", values, geometry)
    study = read_study(tmp_path, classes=classes, last_axis="member")
    assert study.problems == ()
    assert [info.id for info in study.case("case_a").members().infos] == [f"stack_{n}" for n in range(4)]


def test_images_and_predictions_that_lack_each_other(root: Path) -> None:
    (root / "images" / "case_a_0000.nii.gz").rename(root / "images" / "other_0000.nii.gz")
    study = read_study(root / "members", images=root / "images")
    assert {(p.code, p.subject, p.severity) for p in study.problems} == {
        ("E107", "case_a", "warning"),
        ("E102", "other", "warning"),
    }
    assert study.case("case_a").image() is None
    assert len(list(study.case("case_a").members())) == 3


def test_the_image_s_grid_is_the_one_that_counts(root: Path, geometry: Geometry) -> None:
    affine = np.array(geometry.affine)
    affine[1, 3] += 0.5
    save_nifti(root / "images" / "case_a_0000.nii.gz", np.random.default_rng(0).random(SHAPE, np.float32), affine)
    study = read_study(root / "members", images=root / "images", references=root / "labels")
    with pytest.raises(InvalidInput) as error:
        study.case("case_a").members()
    problem = error.value.problem
    assert (problem.code, problem.subject, problem.member) == ("E201", "case_a", "fold_0")
    assert "differs from the image case_a_0000.nii.gz by up to 0.5 mm" in problem.found
    assert code_of(study.case("case_a").raters) == "E201"
    assert code_of(study.case("case_b").members) is None


def test_numbered_cases_are_no_doubled_suffixes(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    subjects = ("BRATS_0001", "BRATS_0002")
    nnunet_study(tmp_path / "members", classes, geometry, subjects=subjects)
    images, labels = images_and_labels(tmp_path, geometry, classes, subjects=subjects)
    (images / "BRATS_0002_0000.nii.gz").rename(images / "BRATS_0002.nii.gz")
    study = read_study(tmp_path / "members", images=images, references=labels)
    assert study.problems == ()
    for case in study:
        assert case.image() is not None


@pytest.mark.parametrize(
    ("given", "code"),
    [({"images": "nowhere"}, "E108"), ({"references": "nowhere"}, "E108"), ({"references": "members"}, "E108")],
)
def test_folders_that_are_not_there_are_told(root: Path, given: dict[str, str], code: str) -> None:
    told = {name: root / where for name, where in given.items()}
    assert code_of(lambda: read_study(root / "members", **told)) == code


def test_a_place_that_is_not_there_is_told_and_its_neighbours_are_not_read(root: Path) -> None:
    with pytest.raises(InvalidInput, match="E108") as error:
        read_study(root / "members" / "nowhere")
    assert error.value.problem.found == "no such folder"


def test_the_first_channel_s_name_comes_from_the_dataset_of_the_images(root: Path, classes: Classes) -> None:
    write_dataset_json(root, classes, channels=("T1",))
    image = read_study(root / "members", images=root / "images").case("case_a").image()
    assert image is not None
    assert image.channels == ("T1",)
    assert read_image([root / "images" / "case_a_0000.nii.gz"]).channels == ("channel 0",)
