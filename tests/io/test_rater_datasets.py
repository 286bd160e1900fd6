import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Picture

from plausible.core import InvalidInput
from plausible.io.rater_datasets import read_rater_dataset

AFFINE = np.diag([0.8, 0.9, 2.0, 1.0])


def write_nifti(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(values, np.uint8), AFFINE), path)


def write_told(folder, *, cases=(), **told):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps({"name": "several", **told}), encoding="utf-8")
    (folder / "cases.json").write_text(json.dumps(list(cases)), encoding="utf-8")


@pytest.fixture
def folders(tmp_path):
    """Two raters with a folder each; the second never drew the liver of b, one structure has a table of its own."""
    write_told(tmp_path, labels={"background": 0, "liver": 1, "spleen": 2}, extra_labels_anna={"lung": 20})
    values = np.zeros((4, 5, 3))
    values[1], values[2], values[3] = 1, 2, 20
    write_nifti(tmp_path / "labelsTr_anna" / "a.nii.gz", values)
    write_nifti(tmp_path / "labelsTr_bob" / "a.nii.gz", np.where(values == 20, 0, values))
    write_nifti(tmp_path / "labelsTr_anna" / "b.nii.gz", values)
    write_nifti(tmp_path / "labelsTr_bob" / "b.nii.gz", np.where(values == 2, 2, 0))
    return tmp_path


def test_a_folder_per_rater(folders):
    found = read_rater_dataset(folders)
    assert (found.name, [case.subject for case in found.cases]) == ("several", ["a", "b"])
    grid, drawn = found.cases[0].load()
    assert grid.spacing_mm == pytest.approx((0.8, 0.9, 2.0))
    assert {rater: sorted(marks) for rater, marks in drawn.items()} == {
        "anna": ["liver", "lung", "spleen"],
        "bob": ["liver", "spleen"],
    }
    assert drawn["anna"]["liver"].sum() == 15
    assert sorted(found.cases[1].load()[1]["bob"]) == ["spleen"]  # not drawn is not empty


def test_only_the_cases_that_were_asked_for(folders):
    assert [case.subject for case in read_rater_dataset(folders, subjects=["b"]).cases] == ["b"]
    with pytest.raises(InvalidInput, match="E108"):
        read_rater_dataset(folders, subjects=["c"])


def test_a_picture_per_rater(tmp_path):
    told = [{"id": "n1", "patient": "p1", "pixel_spacing_mm": 0.5}]
    write_told(tmp_path, labels={"background": 0, "nodule": 1}, cases=told)
    (tmp_path / "labelsTr_raters").mkdir()
    mask = np.zeros((6, 4), np.uint8)
    mask[1, 2:] = 255  # row 1
    Picture.fromarray(mask).save(tmp_path / "labelsTr_raters" / "n1_r1.png")
    Picture.fromarray(mask // 255).save(tmp_path / "labelsTr_raters" / "n1_r2.png")
    (case,) = read_rater_dataset(tmp_path).cases
    grid, drawn = case.load()
    assert (case.patient, grid.shape, grid.spacing_mm) == ("p1", (4, 6, 1), pytest.approx((0.5, 0.5, 1.0)))
    for rater in ("rater_1", "rater_2"):
        assert np.argwhere(drawn[rater]["nodule"]).tolist() == [[2, 1, 0], [3, 1, 0]]  # i is the column


def test_pictures_of_different_size_are_refused(tmp_path):
    told = [{"id": "n1", "pixel_spacing_mm": 0.5}]
    write_told(tmp_path, labels={"background": 0, "nodule": 1}, cases=told)
    (tmp_path / "labelsTr_raters").mkdir()
    for rater, size in ((1, (6, 4)), (2, (5, 4))):
        Picture.fromarray(np.ones(size, np.uint8)).save(tmp_path / "labelsTr_raters" / f"n1_r{rater}.png")
    with pytest.raises(InvalidInput, match="E202"):
        read_rater_dataset(tmp_path).cases[0].load()


def test_a_bit_per_rater(tmp_path):
    write_told(tmp_path, raters_bits={"rater1": 0, "rater2": 1, "rater3": 2})
    values = np.zeros((3, 3, 2))
    values[0], values[1] = 0b011, 0b010
    write_nifti(tmp_path / "raters_bitsTr" / "n.nii.gz", values)
    _, drawn = read_rater_dataset(tmp_path).cases[0].load()
    assert {rater: int(marks["marked"].sum()) for rater, marks in drawn.items()} == {"rater1": 6, "rater2": 12}


def test_one_rater_or_none_is_told(tmp_path):
    write_told(tmp_path, labels={"background": 0, "liver": 1})
    with pytest.raises(InvalidInput, match="labelsTr_NAME"):
        read_rater_dataset(tmp_path)
    write_nifti(tmp_path / "labelsTr_anna" / "a.nii.gz", np.ones((2, 2, 2)))
    with pytest.raises(InvalidInput, match="1 raters"):
        read_rater_dataset(tmp_path)


def test_a_value_without_a_name_is_told(folders):
    write_nifti(folders / "labelsTr_bob" / "a.nii.gz", np.full((4, 5, 3), 7))
    with pytest.raises(InvalidInput, match="E303") as error:
        read_rater_dataset(folders).cases[0].load()
    assert (error.value.problem.subject, error.value.problem.member) == ("a", "bob")


def test_raters_on_different_grids_are_refused(folders):
    write_nifti(folders / "labelsTr_bob" / "a.nii.gz", np.ones((4, 5, 4)))
    with pytest.raises(InvalidInput, match="E202"):
        read_rater_dataset(folders).cases[0].load()


def test_a_picture_without_a_spacing_is_refused(tmp_path):
    write_told(tmp_path, labels={"background": 0, "nodule": 1})
    (tmp_path / "labelsTr_raters").mkdir()
    Picture.fromarray(np.ones((4, 4), np.uint8)).save(tmp_path / "labelsTr_raters" / "n1_r1.png")
    with pytest.raises(InvalidInput, match="pixel_spacing_mm"):
        read_rater_dataset(tmp_path)


def test_bits_without_names_are_refused(tmp_path):
    write_nifti(tmp_path / "raters_bitsTr" / "n.nii.gz", np.full((2, 2, 2), 0b101))
    write_told(tmp_path)
    with pytest.raises(InvalidInput, match="raters_bits"):
        read_rater_dataset(tmp_path)
    write_told(tmp_path, raters_bits={"rater1": 0, "rater2": 1})
    with pytest.raises(InvalidInput, match="a bit that no rater has"):
        read_rater_dataset(tmp_path).cases[0].load()
