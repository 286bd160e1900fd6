"""Images by nnU-Net's names: channels, doubled suffixes, and what an image may not be."""

from pathlib import Path

import numpy as np
import pytest

from plausible.core import Geometry, InvalidInput
from plausible.io import find_images, read_image
from plausible.io.images import doubled_suffixes, read_image_geometry
from tests.conftest import SHAPE
from tests.io.folders import save_nifti


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE).astype(np.float32)


def named(folder: Path, geometry: Geometry, *names: str) -> list[Path]:
    return [save_nifti(folder / f"{name}.nii.gz", noise(n), geometry) for n, name in enumerate(names)]


def found(folder: Path, *known: str) -> dict[str, list[str]]:
    return {s: [p.name for p in paths] for s, paths in find_images(folder, known=known).items()}


def test_channels_of_a_subject_come_in_their_order(tmp_path: Path, geometry: Geometry) -> None:
    named(tmp_path, geometry, "b_0001", "b_0000", "a_0000", "plain")
    (tmp_path / ".hidden_0000.nii.gz").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("x")
    assert found(tmp_path) == {
        "a": ["a_0000.nii.gz"],
        "b": ["b_0000.nii.gz", "b_0001.nii.gz"],
        "plain": ["plain.nii.gz"],
    }


def test_names_may_end_in_four_digits_themselves(tmp_path: Path, geometry: Geometry) -> None:
    named(tmp_path, geometry, "FLARE_0001_0000", "FLARE_0002_0000")
    assert list(found(tmp_path)) == ["FLARE_0001", "FLARE_0002"]
    named(tmp_path / "plain", geometry, "case_0001", "case_0002")
    assert list(found(tmp_path / "plain", "case_0001", "case_0002")) == ["case_0001", "case_0002"]


@pytest.mark.parametrize(
    ("subjects", "known", "doubled"),
    [
        (["a_0000"], [], ["a"]),
        (["a_0000", "b_0000", "c"], [], ["a", "b"]),
        (["a_0000"], ["a"], ["a"]),
        (["a_0001"], ["a"], ["a"]),
        (["a_0000"], ["a_0000"], []),
        (["case_0000", "case_0001", "case_0002"], [], []),
        (["case_0001"], [], []),
        (["a", "b"], ["a", "b"], []),
    ],
)
def test_a_doubled_suffix_is_told_from_a_numbered_name(
    subjects: list[str], known: list[str], doubled: list[str]
) -> None:
    images = {subject: [Path(f"{subject}_0000.nii.gz")] for subject in subjects}
    problems = doubled_suffixes(images, known=known)
    assert [problem.subject for problem in problems] == doubled
    assert {problem.code for problem in problems} <= {"E101"}


def test_a_doubled_suffix_comes_with_the_line_that_renames_it() -> None:
    (problem,) = doubled_suffixes({"a_0000": [Path("a_0000_0000.nii.gz")]})
    assert problem.fix == "mv a_0000_0000.nii.gz a_0000.nii.gz"


def test_channels_are_stacked_on_one_grid(tmp_path: Path, geometry: Geometry) -> None:
    paths = named(tmp_path, geometry, "a_0000", "a_0001")
    image = read_image(paths, channels=("T1", "T2"), subject="a")
    np.testing.assert_array_equal(image.values, np.stack([noise(0), noise(1)]))
    assert image.channels == ("T1", "T2")
    assert image.geometry.matches(geometry)
    assert read_image(paths, subject="a").channels == ("channel 0", "channel 1")
    assert read_image_geometry(paths, subject="a").matches(geometry)


@pytest.mark.parametrize(
    ("names", "channels", "fix"),
    [
        (["a_0000"], ("T1", "T2"), "add the missing file: a_0001.nii.gz"),
        (["a_0001"], ("T1", "T2"), "add the missing file: a_0000.nii.gz"),
        (["a_0000", "a_0002"], (), "add the missing file: a_0001.nii.gz"),
        (["a_0000", "a_0001"], ("T1",), "name every channel in dataset.json"),
    ],
)
def test_a_missing_channel_is_told_with_its_file(
    tmp_path: Path, geometry: Geometry, names: list[str], channels: tuple[str, ...], fix: str
) -> None:
    paths = named(tmp_path, geometry, *names)
    for read in (read_image, read_image_geometry):
        with pytest.raises(InvalidInput) as error:
            read(paths, channels=channels, subject="a")
        assert error.value.problem.code == "E109"
        assert error.value.problem.subject == "a"
        assert fix in error.value.problem.fix


def test_an_image_named_like_its_subject_needs_no_suffix(tmp_path: Path, geometry: Geometry) -> None:
    paths = named(tmp_path, geometry, "case_0001")
    assert read_image(paths, channels=("CT",), subject="case_0001").channels == ("CT",)


def broken_images(folder: Path, geometry: Geometry) -> dict[str, tuple[list[Path], str, bool]]:
    """Files of an image, the code of its problem, and whether headers show it."""
    shifted = np.array(geometry.affine)
    shifted[2, 3] += 1
    with_nan = noise()
    with_nan[1, 2, 3] = np.nan
    cut = save_nifti(folder / "cut_0000.nii.gz", noise(), geometry)
    cut.write_bytes(cut.read_bytes()[:-100])
    first = save_nifti(folder / "a_0000.nii.gz", noise(), geometry)
    return {
        "affine": ([first, save_nifti(folder / "a_0001.nii.gz", noise(), shifted)], "E201", True),
        "shape": ([first, save_nifti(folder / "b" / "a_0001.nii.gz", noise()[1:], geometry)], "E202", True),
        "axes": ([save_nifti(folder / "f_0000.nii.gz", np.zeros((*SHAPE, 2)), geometry)], "E205", True),
        "cut": ([cut], "E305", True),
        "nan": ([save_nifti(folder / "n_0000.nii.gz", with_nan, geometry)], "E309", False),
        "constant": ([save_nifti(folder / "c_0000.nii.gz", np.full(SHAPE, 4, np.int16), geometry)], "E310", False),
    }


@pytest.mark.parametrize("what", ["affine", "shape", "axes", "cut", "nan", "constant"])
def test_an_image_that_cannot_be_used_is_told(tmp_path: Path, geometry: Geometry, what: str) -> None:
    paths, code, in_header = broken_images(tmp_path, geometry)[what]
    with pytest.raises(InvalidInput) as error:
        read_image(paths, subject=paths[0].name[0])
    assert (error.value.problem.code, error.value.problem.file) == (code, paths[-1].name)
    if in_header:
        with pytest.raises(InvalidInput, match=code):
            read_image_geometry(paths, subject=paths[0].name[0])
    else:
        read_image_geometry(paths, subject=paths[0].name[0])
