"""nnU-Net's probabilities: turned to the file's axes whichever reader wrote them, and proven by the segmentation."""

import json
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from plausible.core import Classes, Geometry, InvalidInput, MemberInfo
from plausible.core.problems import ProblemWarning
from plausible.io.nnunet_predictions import NnunetSource, from_ras, open_nnunet, share_differing
from tests.conftest import SHAPE
from tests.io.broken import REGIONS, rewrite, saved
from tests.io.folders import probabilities, save_nifti, write_dataset_json, write_nnunet_case

INFO = MemberInfo(id="fold_0")
ORIENTATIONS = ["RAS", "LPS", "LAS", "PIR", "ASL", "SPL"]


def opened(path: Path, classes: Classes, **told: object) -> NnunetSource:
    return open_nnunet(path, info=INFO, classes=classes, **told)[0]


def whole(source: NnunetSource) -> np.ndarray:
    return source.read(0, SHAPE[2], axis=2)


def oriented(geometry: Geometry, codes: str) -> Geometry:
    """The grid with its axes running as these codes say, still oblique."""
    ras = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), geometry.affine)
    start, end = nib.io_orientation(geometry.affine), nib.orientations.axcodes2ornt(codes)
    turned = ras.as_reoriented(nib.orientations.ornt_transform(start, end))
    return Geometry(turned.shape, turned.affine)


def by_nibabel(channel: np.ndarray, affine: np.ndarray, _: Path) -> np.ndarray:
    image = nib.Nifti1Image(channel, affine)
    return np.asarray(image.as_reoriented(nib.io_orientation(affine)).dataobj).transpose(2, 1, 0)


def by_simpleitk(channel: np.ndarray, affine: np.ndarray, folder: Path) -> np.ndarray:
    path = save_nifti(folder / "channel.nii.gz", channel, affine)
    return sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "RAS"))


READERS = {"NibabelIOWithReorient": by_nibabel, "SimpleITKIOWithReorient": by_simpleitk}


def write_reoriented(folder: Path, p: np.ndarray, grid: Geometry, classes: Classes, reader: str) -> Path:
    """What a reorienting reader leaves: the array in RAS, the segmentation in the file's own axes."""
    write_dataset_json(folder, classes)
    turn: Callable[..., np.ndarray] = READERS[reader]
    array = np.stack([turn(channel, grid.affine, folder / "scratch") for channel in p])
    np.savez_compressed(folder / "case.npz", probabilities=array)
    save_nifti(folder / "case.nii.gz", classes.decode(p), grid)
    (folder / "plans.json").write_text(json.dumps({"image_reader_writer": reader}))
    return folder / "case.npz"


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("fortran", [False, True])
def test_an_array_comes_in_the_axes_of_its_segmentation(
    tmp_path: Path, geometry: Geometry, classes: Classes, dtype: type, fortran: bool
) -> None:
    p = probabilities(classes, SHAPE, seed=1).astype(np.float32)
    path = write_nnunet_case(tmp_path, "case", p, geometry, classes, dtype=dtype, fortran=fortran)
    source, grid = open_nnunet(path, info=INFO, classes=classes)
    read = whole(source)
    np.testing.assert_array_equal(read, p.astype(dtype))
    assert read.dtype == np.float32
    assert grid.matches(geometry)
    assert source.problems == ()


@pytest.mark.parametrize("codes", ORIENTATIONS)
@pytest.mark.parametrize("reader", READERS)
def test_what_a_reorienting_reader_left_in_ras_is_turned_back(
    tmp_path: Path, geometry: Geometry, classes: Classes, codes: str, reader: str
) -> None:
    grid = oriented(geometry, codes)
    p = probabilities(classes, grid.shape, seed=2).astype(np.float32)
    path = write_reoriented(tmp_path, p, grid, classes, reader)
    source, read_grid = open_nnunet(path, info=INFO, classes=classes)
    np.testing.assert_array_equal(source.read(0, grid.shape[0], axis=0), p)
    assert read_grid.matches(grid)


@pytest.mark.parametrize("reader", READERS)
def test_without_plans_the_proof_finds_the_turn(
    tmp_path: Path, geometry: Geometry, classes: Classes, reader: str
) -> None:
    grid = oriented(geometry, "LPS")  # the same shape either way: only the values can tell
    p = probabilities(classes, grid.shape, seed=3).astype(np.float32)
    path = write_reoriented(tmp_path, p, grid, classes, reader)
    (tmp_path / "plans.json").unlink()
    np.testing.assert_array_equal(whole(opened(path, classes)), p)


def test_plans_that_name_the_wrong_reader_do_not_decide(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    grid = oriented(geometry, "LPS")
    p = probabilities(classes, grid.shape, seed=4).astype(np.float32)
    path = write_nnunet_case(tmp_path, "case", p, grid, classes)
    (tmp_path / "plans.json").write_text('{"image_reader_writer": "NibabelIOWithReorient"}')
    np.testing.assert_array_equal(whole(opened(path, classes)), p)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_turning_from_ras_undoes_nibabel_s_turn_to_it(geometry: Geometry, codes: str) -> None:
    grid = oriented(geometry, codes)
    values = np.arange(grid.n_voxels).reshape(grid.shape).astype(np.float32)
    ras = nib.as_closest_canonical(nib.Nifti1Image(values, grid.affine)).get_fdata()
    np.testing.assert_array_equal(from_ras(ras, grid.affine), values)


@pytest.mark.parametrize("flat", [False, True], ids=["c 1 y x", "c y x"])
def test_two_dimensional_predictions(tmp_path: Path, classes: Classes, flat: bool) -> None:
    grid = Geometry((5, 7, 1), np.diag([0.5, 0.5, 1, 1]))
    p = probabilities(classes, grid.shape, seed=5).astype(np.float32)
    path = write_nnunet_case(tmp_path, "case", p, grid, classes)
    if flat:
        np.savez_compressed(path, probabilities=p[..., 0].transpose(0, 2, 1))
        save_nifti(tmp_path / "case.nii.gz", classes.decode(p)[..., 0], grid)
    np.testing.assert_array_equal(opened(path, classes).read(0, 1, axis=2), p)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_regions_are_channels_of_their_own(tmp_path: Path, geometry: Geometry, dtype: type) -> None:
    p = probabilities(REGIONS, SHAPE, seed=6).astype(np.float32)
    path = write_nnunet_case(tmp_path, "case", p, geometry, REGIONS, dtype=dtype)
    np.testing.assert_array_equal(whole(opened(path, REGIONS)), p.astype(dtype))


@pytest.mark.parametrize("classes", [REGIONS, Classes.exclusive_of({"background": 0, "a": 1, "b": 2})])
def test_ties_that_float16_made_are_no_difference(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    p = np.full((len(classes.names), *SHAPE), 0.25, np.float32)
    p[0], p[1] = 0.5, 0.5 + 1e-5 if not classes.exclusive else 0.5
    if classes.exclusive:
        p[:] = np.array([0.4, 0.4 + 1e-5, 0.2 - 1e-5], np.float32)[:, None, None, None]
    path = write_nnunet_case(tmp_path, "case", p, geometry, classes, dtype=np.float16)
    save_nifti(tmp_path / "case.nii.gz", classes.decode(p), geometry)  # as the network saw them, in float32
    assert classes.decode(p).max() > classes.decode(p.astype(np.float16)).max()
    source = opened(path, classes)
    whole(source)
    assert source.problems == ()


def test_logits_become_probabilities_when_told(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    p = probabilities(classes, SHAPE, seed=7).astype(np.float32)
    path = write_nnunet_case(tmp_path, "case", p, geometry, classes)
    rewrite(path, np.log(p) + 3)
    np.testing.assert_allclose(whole(opened(path, classes, values="logits")), p, atol=1e-6)


def test_region_logits_are_cut_at_zero(tmp_path: Path, geometry: Geometry) -> None:
    p = probabilities(REGIONS, SHAPE, seed=8).astype(np.float32)
    path = write_nnunet_case(tmp_path, "case", p, geometry, REGIONS)
    rewrite(path, np.log(p / (1 - p)))
    np.testing.assert_allclose(whole(opened(path, REGIONS, values="logits")), p, atol=1e-6)


def postprocessed(tmp_path: Path, geometry: Geometry, classes: Classes, *, removed: int) -> Path:
    p = probabilities(classes, SHAPE, seed=9).astype(np.float32)
    path = write_nnunet_case(tmp_path, "case", p, geometry, classes)
    labels = classes.decode(p)
    for voxel in np.argwhere(labels > 0)[:removed]:
        labels[tuple(voxel)] = 0
    save_nifti(tmp_path / "case.nii.gz", labels, geometry)
    return path


def test_a_postprocessed_segmentation_warns_once_with_the_share(
    tmp_path: Path, geometry: Geometry, classes: Classes
) -> None:
    path = postprocessed(tmp_path, geometry, classes, removed=3)
    n_foreground = int(np.count_nonzero(classes.decode(saved(path))))
    source = opened(path, classes)
    with pytest.warns(ProblemWarning) as caught:
        whole(source)
    assert len(caught) == 1
    whole(source)  # tells nothing twice
    (problem,) = source.problems
    assert (problem.code, problem.severity, problem.member) == ("E203", "warning", "fold_0")
    assert f"{3 / n_foreground:.2%} of the foreground" in problem.found


def test_a_segmentation_of_something_else_is_refused(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    path = postprocessed(tmp_path, geometry, classes, removed=60)
    with pytest.raises(InvalidInput, match="E203") as error:
        whole(opened(path, classes))
    assert "whichever way the axes are turned" in error.value.problem.found
    assert "--save_probabilities" in error.value.problem.fix


def test_the_share_counts_foreground_of_either() -> None:
    classes = Classes.exclusive_of({"background": 0, "a": 1})
    labels = np.array([0, 1, 1, 1, 0, 0, 0, 0]).reshape(2, 2, 2)
    p = np.array([0, 0, 1, 1, 1, 0, 0, 0], np.float32).reshape(2, 2, 2)
    assert share_differing([1 - p, p], labels, classes=classes) == 2 / 4  # one voxel lost, one won, of four


@pytest.mark.parametrize("part", [slice(0, 11), slice(2, 5)], ids=["whole", "slab"])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda p: np.where(p == p.max(), np.nan, p), "E309"),
        (lambda p: np.log(p / (1 - p)), "E302"),
        (lambda p: p * 2 - 0.7, "E302"),
    ],
    ids=["nan", "logits", "negative"],
)
def test_values_that_are_no_probabilities_are_told_before_the_proof_fails(
    tmp_path: Path, geometry: Geometry, part: slice, change: Callable[[np.ndarray], np.ndarray], code: str
) -> None:
    p = probabilities(REGIONS, SHAPE, seed=10).astype(np.float32)
    path = write_nnunet_case(tmp_path, "case", p, geometry, REGIONS)
    rewrite(path, change(p).astype(np.float32))
    with pytest.raises(InvalidInput) as error:
        opened(path, REGIONS).read(part.start, part.stop, axis=2)
    assert error.value.problem.code == code
    assert (error.value.problem.member, error.value.problem.file) == ("fold_0", "case.npz")


@pytest.mark.parametrize("cropped", [False, True])
def test_version_1_is_refused_with_the_line_that_exports_it_again(
    tmp_path: Path, geometry: Geometry, classes: Classes, cropped: bool
) -> None:
    p = probabilities(classes, SHAPE, seed=11).astype(np.float32)
    path = write_nnunet_case(tmp_path, "case", p, geometry, classes, key="softmax")
    if cropped:
        rewrite(path, p[:, 1:], key="softmax")
    with pytest.raises(InvalidInput, match="E202") as error:
        opened(path, classes)
    assert "version 1" in error.value.problem.found
    assert error.value.problem.fix.startswith("nnUNetv2_predict")


class Harmful:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("harm",)


def test_the_pickle_beside_the_array_is_never_opened(
    tmp_path: Path, geometry: Geometry, classes: Classes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    p = probabilities(classes, SHAPE, seed=12).astype(np.float32)
    path = write_nnunet_case(tmp_path, "case", p, geometry, classes)
    (tmp_path / "case.pkl").write_bytes(pickle.dumps(Harmful()))
    whole(opened(path, classes))
    assert not (tmp_path / "harm").exists()


def test_a_proven_member_is_not_proven_again(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    p = probabilities(classes, SHAPE, seed=13).astype(np.float32)
    source = opened(write_nnunet_case(tmp_path, "case", p, geometry, classes), classes)
    source.read(0, 1, axis=2)
    source.sibling.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(whole(source), p)
