"""NIfTI: what was written is read, in the file's own axes; what is damaged is told, never guessed."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from plausible.core import Classes, Geometry, InvalidInput, LabelMap
from plausible.io import read_geometry, read_labels, read_nifti, write_label_map
from plausible.io.nifti import check_complete, read_part, stem
from tests.conftest import SHAPE
from tests.io.folders import code_of, save_nifti


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_values_come_back_in_the_axes_of_the_file(tmp_path: Path, geometry: Geometry, dtype: type, ending: str) -> None:
    values = (100 * np.random.default_rng(0).random(SHAPE)).astype(dtype)
    path = save_nifti(tmp_path / f"x{ending}", values, geometry)
    read, grid = read_nifti(path)
    np.testing.assert_array_equal(read, values.astype(np.float32) if np.issubdtype(dtype, np.floating) else values)
    assert read.dtype != np.float64
    assert grid.matches(geometry)
    assert read_geometry(path)[1:] == (SHAPE, np.issubdtype(dtype, np.integer))


def test_a_file_with_a_scale_holds_floats(tmp_path: Path, geometry: Geometry) -> None:
    image = nib.Nifti1Image(np.arange(385, dtype=np.uint8).reshape(SHAPE), geometry.affine)
    image.header.set_slope_inter(0.5, 10)
    image.to_filename(tmp_path / "x.nii.gz")
    assert read_geometry(tmp_path / "x.nii.gz")[2] is False
    values, _ = read_nifti(tmp_path / "x.nii.gz")
    assert values.dtype == np.float32
    assert values[0, 0, 3] == 3 / 2 + 10


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("frame", [None, 1])
def test_a_part_is_that_part_of_the_whole(tmp_path: Path, geometry: Geometry, axis: int, frame: int | None) -> None:
    values = np.random.default_rng(1).random((*SHAPE, 3)).astype(np.float32)
    path = save_nifti(tmp_path / "x.nii.gz", values, geometry)
    whole = values if frame is None else values[..., frame]
    np.testing.assert_array_equal(read_part(path, 1, 3, axis=axis, frame=frame), whole.take([1, 2], axis=axis))


def test_a_flat_picture_gets_a_third_axis(tmp_path: Path) -> None:
    values = np.arange(35, dtype=np.uint8).reshape(5, 7)
    path = save_nifti(tmp_path / "x.nii.gz", values, np.diag([0.5, 0.5, 1, 1]))
    read, grid = read_nifti(path)
    assert read.shape == grid.shape == (5, 7, 1)
    np.testing.assert_array_equal(read_part(path, 0, 1, axis=2)[..., 0], values)
    np.testing.assert_array_equal(read_part(path, 2, 4, axis=0)[..., 0], values[2:4])


def test_simpleitk_and_nibabel_agree_on_our_label_maps(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    values = np.random.default_rng(2).choice([0, 1, 2, 5], size=SHAPE).astype(np.int64)
    write_label_map(tmp_path / "x.nii.gz", LabelMap(values, geometry, classes))
    image = sitk.ReadImage(str(tmp_path / "x.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, values)
    assert image.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_allclose(image.GetSpacing(), geometry.spacing_mm, rtol=1e-6)
    other = nib.load(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(np.asarray(other.dataobj), values)
    np.testing.assert_allclose(other.affine, geometry.affine, atol=1e-5)
    assert int(other.header["sform_code"]) == int(other.header["qform_code"]) == 1
    assert other.header.get_xyzt_units()[0] == "mm"


def test_simpleitk_s_files_are_read_in_their_own_axes(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(0, 5, SHAPE).astype(np.uint8)
    image = sitk.GetImageFromArray(values.T)
    image.SetSpacing((0.7, 1.1, 3.0))
    image.SetOrigin((10, -20, 30))
    sitk.WriteImage(image, str(tmp_path / "x.nii.gz"))
    read, grid = read_nifti(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(read, values)
    expected = Geometry(SHAPE, np.array([[-0.7, 0, 0, -10], [0, -1.1, 0, 20], [0, 0, 3.0, 30], [0, 0, 0, 1]]))
    assert grid.matches(expected)  # ITK counts to the left and back


@pytest.mark.parametrize("values", [np.full(SHAPE, 0.5), np.full(SHAPE, np.nan)])
def test_a_label_map_of_other_numbers_is_refused(tmp_path: Path, geometry: Geometry, values: np.ndarray) -> None:
    path = save_nifti(tmp_path / "x.nii.gz", values.astype(np.float32), geometry)
    with pytest.raises(InvalidInput) as error:
        read_labels(path)
    assert error.value.problem.code == "E303"


def test_a_label_map_saved_as_floats_is_one(tmp_path: Path, geometry: Geometry) -> None:
    values = np.random.default_rng(4).integers(0, 300, SHAPE)
    read, _ = read_labels(save_nifti(tmp_path / "x.nii.gz", values.astype(np.float32), geometry))
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, values)


def test_a_label_map_may_carry_a_fourth_axis_of_one(tmp_path: Path, geometry: Geometry) -> None:
    values = np.random.default_rng(5).integers(0, 3, (*SHAPE, 1)).astype(np.uint8)
    read, _ = read_labels(save_nifti(tmp_path / "x.nii.gz", values, geometry))
    np.testing.assert_array_equal(read, values[..., 0])
    with pytest.raises(InvalidInput) as error:
        read_labels(save_nifti(tmp_path / "y.nii.gz", values.repeat(2, axis=3), geometry))
    assert error.value.problem.code == "E205"


def test_colours_are_refused(tmp_path: Path, geometry: Geometry) -> None:
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = save_nifti(tmp_path / "x.nii.gz", colours, geometry)
    for read in (read_nifti, read_labels, read_geometry):
        with pytest.raises(InvalidInput) as error:
            read(path)
        assert error.value.problem.code == "E205"


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_file_that_ends_too_early_is_told(tmp_path: Path, geometry: Geometry, ending: str, share: float) -> None:
    path = save_nifti(tmp_path / f"x{ending}", np.random.default_rng(6).random(SHAPE).astype(np.float32), geometry)
    check_complete(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    for read in (read_nifti, check_complete):
        with pytest.raises(InvalidInput) as error:
            read(path)
        assert error.value.problem.code == "E305"
        assert error.value.problem.file == path.name


def test_files_in_several_gzip_members_or_with_bytes_at_the_end_are_complete(
    tmp_path: Path, geometry: Geometry
) -> None:
    path = save_nifti(tmp_path / "x.nii", np.ones(SHAPE, np.float32), geometry)
    data = path.read_bytes()
    (tmp_path / "parts.nii.gz").write_bytes(gzip.compress(data[:500]) + gzip.compress(data[500:]))
    (tmp_path / "more.nii.gz").write_bytes(gzip.compress(data + b"extra"))
    for name in ("parts.nii.gz", "more.nii.gz"):
        check_complete(tmp_path / name)
        np.testing.assert_array_equal(read_nifti(tmp_path / name)[0], 1)


def test_something_else_under_the_name_is_told(tmp_path: Path) -> None:
    for name, data in {"a.nii.gz": b"", "b.nii.gz": b"<html>", "c.nii": b"\0" * 400}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidInput) as error:
            read_nifti(tmp_path / name)
        assert error.value.problem.code == "E305"


def test_a_header_that_cannot_be_used_is_told_with_its_file(tmp_path: Path, geometry: Geometry) -> None:
    path = save_nifti(tmp_path / "x.nii", np.ones(SHAPE, np.uint8), geometry)
    data = bytearray(path.read_bytes())
    data[280:284] = np.float32(np.nan).tobytes()  # srow_x[0]
    path.write_bytes(data)
    with pytest.raises(InvalidInput) as error:
        read_geometry(path)
    assert (error.value.problem.code, error.value.problem.file) == ("E204", "x.nii")


@settings(max_examples=60)
@given(data=st.data())
def test_no_damage_brings_up_anything_but_our_own_error(
    tmp_path: Path, geometry: Geometry, data: st.DataObject
) -> None:
    path = save_nifti(tmp_path / "x.nii.gz", np.random.default_rng(7).random(SHAPE).astype(np.float32), geometry)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    assert code_of(lambda: read_nifti(path)) in {None, "E204", "E205", "E305"}


def test_the_name_of_a_case_is_the_file_without_its_endings() -> None:
    assert [stem(Path(n)) for n in ("a.b.nii.gz", "a.nii", "a_0000.nii.gz")] == ["a.b", "a", "a_0000"]
