"""Doses beside cases: found by name, read in Gy, refused or warned of where they cannot be meant."""

import warnings

import nibabel as nib
import numpy as np
import pytest

from plausible.core import Dose, Geometry, InvalidInput
from plausible.core.problems import ProblemWarning
from plausible.io.doses import check_overlap, dose_files, find_doses, read_dose

AFFINE = np.diag([2.0, 3.0, 2.5, 1.0])


def write(path, values):
    nib.save(nib.Nifti1Image(np.asarray(values, dtype=np.float32), AFFINE), path)
    return path


def ramp(top=70.0):
    return np.linspace(0, top, 4 * 5 * 6).reshape(4, 5, 6)


def test_found_by_the_name_of_file_or_folder(tmp_path):
    write(tmp_path / "a.nii.gz", ramp())
    write(tmp_path / "b_0000.nii", ramp())
    (tmp_path / "c.dcm").write_bytes(b"")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "RD.1.dcm").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no dose")
    found = find_doses(tmp_path)
    assert list(found) == ["a", "b", "c", "d"]
    assert [path.name for path in dose_files(found["d"])] == ["RD.1.dcm"]
    assert dose_files(found["a"]) == [found["a"]]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_doses_is_refused(tmp_path, there):
    folder = tmp_path / "doses"
    if there:
        folder.mkdir()
    with pytest.raises(InvalidInput) as caught:
        find_doses(folder)
    assert caught.value.problem.code == "E632"


def test_read_in_gy_on_its_own_grid(tmp_path):
    dose = read_dose(write(tmp_path / "a.nii.gz", ramp()), subject="a")
    assert dose.dose_gy == pytest.approx(ramp(), abs=1e-5)
    assert dose.geometry.spacing_mm == (2.0, 3.0, 2.5)


def nan():
    values = ramp()
    values[1, 2, 3] = np.nan
    return values


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (ramp() - 1, "below 0"),
        (nan(), "1 voxels that are NaN"),
        (ramp(0.0), "0 everywhere"),
        (ramp().reshape(4, 5, 3, 2), "4 axes"),
    ],
    ids=["negative", "nan", "zero", "4-D"],
)
def test_what_is_no_dose_is_refused(tmp_path, values, found):
    with pytest.raises(InvalidInput) as caught:
        read_dose(write(tmp_path / "a.nii.gz", values), subject="a")
    problem = caught.value.problem
    assert (problem.code, problem.subject, problem.file) == ("E632", "a", "a.nii.gz")
    assert found in problem.found


def test_cgy_is_warned_of_and_not_changed(tmp_path):
    path = write(tmp_path / "a.nii.gz", ramp(7000.0))
    with pytest.warns(ProblemWarning, match="E633"):
        dose = read_dose(path)
    assert dose.dose_gy.max() == 7000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_dose(write(tmp_path / "b.nii.gz", ramp(80.0)))


@pytest.mark.parametrize(("shift_mm", "meets"), [(0.0, True), (7.0, True), (8.5, False), (-9.0, False)])
def test_boxes_must_meet(shift_mm, meets):
    """A dose of 4 voxels of 2 mm and an image of 4 voxels of 2 mm meet while they are less than 8 mm apart."""
    dose = Dose(np.ones((4, 5, 6), np.float32), Geometry((4, 5, 6), AFFINE))
    moved = AFFINE.copy()
    moved[0, 3] = shift_mm
    image = Geometry((4, 7, 3), moved)
    if meets:
        check_overlap(dose, image)
        return
    with pytest.raises(InvalidInput) as caught:
        check_overlap(dose, image, subject="a")
    assert caught.value.problem.code == "E634"
