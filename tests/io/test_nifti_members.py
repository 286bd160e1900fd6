"""Plain NIfTI members: what a file does not say is told, and nothing is guessed from its values."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from plausible.core import Classes, Geometry, InvalidInput, MemberInfo, MemberSource
from plausible.io.nifti_members import Told, open_nifti, open_structures
from tests.conftest import SHAPE
from tests.io.folders import probabilities, save_nifti

INFO = MemberInfo(id="m")
TWO = Classes.exclusive_of({"background": 0, "lesion": 1})


def opened(path: Path, classes: Classes, **told: str) -> tuple[MemberSource, ...]:
    return open_nifti(path, info=INFO, classes=classes, told=Told(**told))[0]


def whole(source: MemberSource) -> np.ndarray:
    return source.read(0, SHAPE[2], axis=2)


def refused(path: Path, classes: Classes, **told: str) -> str:
    with pytest.raises(InvalidInput) as error:
        opened(path, classes, **told)
    return error.value.problem.code


@pytest.fixture
def soft(classes: Classes) -> np.ndarray:
    return probabilities(classes, SHAPE, seed=1).astype(np.float32)


def test_integers_are_labels(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    values = np.random.default_rng(0).choice([0, 1, 2, 5], SHAPE).astype(np.uint8)
    (source,) = opened(save_nifti(tmp_path / "x.nii.gz", values, geometry), classes)
    assert source.hard
    np.testing.assert_array_equal(whole(source), classes.encode(values))


def test_a_label_without_a_name_is_told_with_file_and_member(
    tmp_path: Path, geometry: Geometry, classes: Classes
) -> None:
    (source,) = opened(save_nifti(tmp_path / "x.nii.gz", np.full(SHAPE, 3, np.uint8), geometry), classes)
    with pytest.raises(InvalidInput) as error:
        whole(source)
    problem = error.value.problem
    assert (problem.code, problem.member, problem.file) == ("E303", "m", "x.nii.gz")


def test_floats_must_be_told_what_they_are(tmp_path: Path, geometry: Geometry) -> None:
    for name, values in {"labels": np.zeros(SHAPE), "p": np.full(SHAPE, 0.25), "logits": np.full(SHAPE, -4)}.items():
        path = save_nifti(tmp_path / f"{name}.nii.gz", values.astype(np.float32), geometry)
        assert refused(path, TWO) == "E312"
        assert opened(path, TWO, values="labels" if name == "labels" else "probabilities")


def test_integers_with_a_scale_are_floats(tmp_path: Path, geometry: Geometry) -> None:
    image = nib.Nifti1Image(np.full(SHAPE, 102, np.uint8), geometry.affine)
    image.header.set_slope_inter(1 / 255, 0)
    image.to_filename(tmp_path / "x.nii.gz")
    assert refused(tmp_path / "x.nii.gz", TWO) == "E312"
    (source,) = opened(tmp_path / "x.nii.gz", TWO, values="probabilities")
    np.testing.assert_allclose(whole(source)[1], 102 / 255, rtol=1e-6)
    np.testing.assert_allclose(whole(source).sum(axis=0), 1, rtol=1e-6)


@pytest.mark.parametrize("values", ["probabilities", "logits"])
def test_one_map_of_two_classes_gives_both(tmp_path: Path, geometry: Geometry, values: str) -> None:
    p = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    saved = p if values == "probabilities" else np.log(p / (1 - p))
    (source,) = opened(save_nifti(tmp_path / "x.nii.gz", saved, geometry), TWO, values=values)
    np.testing.assert_allclose(whole(source), np.stack([1 - p, p]), atol=1e-6)


def test_one_map_of_one_region_is_that_region(tmp_path: Path, geometry: Geometry) -> None:
    region = Classes.overlapping_of({"tumour": [1]}, order=[1])
    p = np.random.default_rng(2).random(SHAPE).astype(np.float32)
    (source,) = opened(save_nifti(tmp_path / "x.nii.gz", p, geometry), region, values="probabilities")
    np.testing.assert_array_equal(whole(source), p[np.newaxis])


def test_one_map_of_several_structures_is_refused(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    path = save_nifti(tmp_path / "x.nii.gz", np.zeros(SHAPE, np.float32), geometry)
    assert refused(path, classes, values="probabilities") == "E308"


def test_a_fourth_axis_of_classes(tmp_path: Path, geometry: Geometry, classes: Classes, soft: np.ndarray) -> None:
    path = save_nifti(tmp_path / "x.nii.gz", np.moveaxis(soft, 0, -1), geometry)
    assert refused(path, classes, values="probabilities") == "E307"
    (source,) = opened(path, classes, values="probabilities", last_axis="class")
    np.testing.assert_array_equal(whole(source), soft)
    assert not source.hard
    logits = save_nifti(tmp_path / "y.nii.gz", np.moveaxis(np.log(soft), 0, -1), geometry)
    (source,) = opened(logits, classes, values="logits", last_axis="class")
    np.testing.assert_allclose(whole(source), soft, atol=1e-6)


def test_a_fourth_axis_of_classes_has_one_entry_each(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    path = save_nifti(tmp_path / "x.nii.gz", np.zeros((*SHAPE, 3), np.float32), geometry)
    assert refused(path, classes, values="probabilities", last_axis="class") == "E308"


def test_masks_of_each_class_along_the_fourth_axis_are_hard(
    tmp_path: Path, geometry: Geometry, classes: Classes
) -> None:
    masks = classes.encode(np.random.default_rng(3).choice([0, 1, 2, 5], SHAPE)).astype(np.uint8)
    (source,) = opened(
        save_nifti(tmp_path / "x.nii.gz", np.moveaxis(masks, 0, -1), geometry), classes, last_axis="class"
    )
    assert source.hard
    np.testing.assert_array_equal(whole(source), masks)


def test_a_fourth_axis_of_members(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    values = np.random.default_rng(4).choice([0, 1, 2, 5], (*SHAPE, 3)).astype(np.uint8)
    path = save_nifti(tmp_path / "x.nii.gz", values, geometry)
    sources = opened(path, classes, last_axis="member")
    assert [source.info.id for source in sources] == ["m_0", "m_1", "m_2"]
    for n, source in enumerate(sources):
        np.testing.assert_array_equal(whole(source), classes.encode(values[..., n]))


def test_a_fourth_axis_of_one_needs_no_word(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    values = np.random.default_rng(5).choice([0, 1], (*SHAPE, 1)).astype(np.uint8)
    (source,) = opened(save_nifti(tmp_path / "x.nii.gz", values, geometry), classes)
    np.testing.assert_array_equal(whole(source), classes.encode(values[..., 0]))
    p = np.random.default_rng(6).random((*SHAPE, 1)).astype(np.float32)
    (source,) = opened(save_nifti(tmp_path / "y.nii.gz", p, geometry), TWO, values="probabilities")
    np.testing.assert_array_equal(whole(source)[1], p[..., 0])


def test_five_axes_are_refused(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    path = save_nifti(tmp_path / "x.nii.gz", np.zeros((*SHAPE, 2, 3), np.uint8), geometry)
    assert refused(path, classes, last_axis="class") == "E205"


def structure_files(folder: Path, geometry: Geometry, p: np.ndarray, classes: Classes) -> dict[str, Path]:
    return {
        name: save_nifti(folder / f"{name}.nii.gz", values, geometry)
        for name, values in zip(classes.structures, p, strict=True)
    }


def test_one_mask_per_structure_that_exclude_each_other(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    values = np.random.default_rng(7).choice([0, 1, 2, 5], SHAPE)
    masks = classes.encode(values)[1:].astype(np.uint8) * 255  # masks of 0 and 255 are masks
    files = structure_files(tmp_path, geometry, masks, classes)
    source, grid = open_structures(files, info=INFO, classes=classes, told=Told())
    assert source.hard
    assert grid.matches(geometry)
    np.testing.assert_array_equal(whole(source), classes.encode(values))


def test_masks_that_overlap_do_not_exclude_each_other(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    masks = np.ones((3, *SHAPE), np.uint8)
    files = structure_files(tmp_path, geometry, masks, classes)
    source, _ = open_structures(files, info=INFO, classes=classes, told=Told())
    with pytest.raises(InvalidInput, match="E301"):
        whole(source)


def test_overlapping_masks_are_regions(tmp_path: Path, geometry: Geometry, regions: Classes) -> None:
    masks = (np.random.default_rng(8).random((3, *SHAPE)) > 0.5).astype(np.uint8)
    source, _ = open_structures(
        structure_files(tmp_path, geometry, masks, regions), info=INFO, classes=regions, told=Told()
    )
    np.testing.assert_array_equal(whole(source), masks)


@pytest.mark.parametrize("values", ["probabilities", "logits"])
def test_one_soft_file_per_structure(tmp_path: Path, geometry: Geometry, regions: Classes, values: str) -> None:
    p = np.random.default_rng(9).random((3, *SHAPE)).astype(np.float32)
    saved = p if values == "probabilities" else np.log(p / (1 - p))
    files = structure_files(tmp_path, geometry, saved, regions)
    with pytest.raises(InvalidInput, match="E312"):
        open_structures(files, info=INFO, classes=regions, told=Told())
    source, _ = open_structures(files, info=INFO, classes=regions, told=Told(values=values))
    np.testing.assert_allclose(whole(source), p, atol=1e-6)


def test_a_structure_without_a_file_is_told(tmp_path: Path, geometry: Geometry, regions: Classes) -> None:
    files = structure_files(tmp_path, geometry, np.zeros((3, *SHAPE), np.uint8), regions)
    del files["core"]
    with pytest.raises(InvalidInput, match="no file for core; there are: enhancing, whole"):
        open_structures(files, info=INFO, classes=regions, told=Told())


def test_files_that_no_class_names_are_left_aside(tmp_path: Path, geometry: Geometry, regions: Classes) -> None:
    masks = np.zeros((3, *SHAPE), np.uint8)
    files = structure_files(tmp_path, geometry, masks, regions)
    files["statistics"] = tmp_path / "is_not_read.nii.gz"
    open_structures(files, info=INFO, classes=regions, told=Told())


def test_structures_on_different_grids_are_refused(tmp_path: Path, geometry: Geometry, regions: Classes) -> None:
    files = structure_files(tmp_path, geometry, np.zeros((3, *SHAPE), np.uint8), regions)
    save_nifti(files["core"], np.zeros((5, 7, 9), np.uint8), geometry)
    with pytest.raises(InvalidInput, match="E202") as error:
        open_structures(files, info=INFO, classes=regions, told=Told())
    assert error.value.problem.file == "core.nii.gz"
