import math
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from plausible.core import Dose, Geometry, ScalarMap
from plausible.io.dicom import read_rtdose, read_series
from plausible.io.dicom.datasets import LPS_TO_RAS
from plausible.io.dicom.source import SourceSeries, source_of
from plausible.io.dicom.write_parametric_map import write_parametric_map
from plausible.io.dicom.write_rtdose import write_rtdose
from plausible.io.dicom.write_seg import write_seg
from tests.io.dicom.checkers import errors_of, private_elements
from tests.io.dicom.sources import NAME, NUMBER, SHAPE, write_ct
from tests.io.folders import code_of


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> SourceSeries:
    return source_of(read_series(write_ct(tmp_path_factory.mktemp("ct"), numbers_from_top=True)))


@pytest.fixture(scope="module")
def probability() -> np.ndarray:
    """One soft corner region without symmetry, empty in the last slices."""
    i, j, k = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    p = 1 / (1 + np.exp(np.hypot(i - 12, 1.3 * (j - 25)) / 2 + k / 4 - 5))
    p[..., 17:] = 0
    return p.astype(np.float32)


def placed(path: Path, geometry: Geometry, *, segment: int | None = None) -> np.ndarray:
    """Values `i j k` on the grid of the source, placed by the file's own affine."""
    if segment:
        image = hd.seg.segread(path)
        volume = image.get_volume(segment_numbers=[segment], combine_segments=False, rescale_fractional=True)
        array = volume.array[..., 0]
    else:
        volume = hd.imread(path).get_volume()
        array = volume.array
    there = np.linalg.solve(geometry.affine, np.diag([-1, -1, 1, 1]) @ volume.affine)
    voxels = np.rint(np.argwhere(np.ones(array.shape)) @ there[:3, :3].T + there[:3, 3]).astype(int)
    assert np.abs(np.argwhere(np.ones(array.shape)) @ there[:3, :3].T + there[:3, 3] - voxels).max() < 0.01
    values = np.zeros(geometry.shape, dtype=np.float64)
    values[tuple(voxels.T)] = array.ravel()
    return values


def test_masks_come_back_where_they_were_and_may_overlap(source, probability, tmp_path) -> None:
    path, masks = tmp_path / "seg.dcm", {"Wide": probability > 0.2, "Core": probability > 0.8}
    write_seg(path, masks, source, kind="binary")
    assert errors_of(path) == []
    for number, mask in enumerate(masks.values(), start=1):
        assert 0 < mask.sum() < mask.size
        assert np.array_equal(placed(path, source.geometry, segment=number), mask)


def test_probabilities_come_back_to_half_a_step_and_are_compressed(source, probability, tmp_path) -> None:
    path = tmp_path / "fractional.dcm"
    write_seg(path, {"Organ": probability}, source, kind="fractional")
    assert errors_of(path) == []
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"
    again = placed(path, source.geometry, segment=1)
    assert np.abs(again - probability).max() <= 0.5 / 255 + 1e-6


def test_labels_come_back_and_do_not_overlap(source, probability, tmp_path) -> None:
    path = tmp_path / "labelmap.dcm"
    parts = {"Rim": (probability > 0.2) & (probability <= 0.8), "Core": probability > 0.8}
    write_seg(path, parts, source, kind="labelmap")
    labels = placed(path, source.geometry)
    assert np.array_equal(labels, parts["Rim"] + 2 * parts["Core"])
    overlapping = {**parts, "Wide": probability > 0.2}
    assert code_of(lambda: write_seg(tmp_path / "x.dcm", overlapping, source, kind="labelmap")) == "E622"


def test_a_segmentation_of_nothing_is_refused(source, tmp_path) -> None:
    empty = {"Organ": np.zeros(SHAPE, dtype=bool)}
    assert code_of(lambda: write_seg(tmp_path / "x.dcm", empty, source, kind="binary")) == "E622"
    assert code_of(lambda: write_seg(tmp_path / "x.dcm", {}, source, kind="binary")) == "E622"
    assert not list(tmp_path.iterdir())


def test_segments_say_what_made_them(source, probability, tmp_path) -> None:
    write_seg(tmp_path / "seg.dcm", {"Organ_L": probability > 0.5}, source, kind="binary")
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    assert made.SegmentSequence[0].SegmentLabel == "Organ_L"
    assert made.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert made.SeriesDescription.startswith("RESEARCH USE ONLY")
    assert (str(made.PatientName), made.PatientID) == (NAME, NUMBER)
    assert made.FrameOfReferenceUID == source.frame_of_reference_uid
    assert private_elements(tmp_path / "seg.dcm") == []


def entropy(values: np.ndarray, geometry: Geometry, high: float) -> ScalarMap:
    return ScalarMap("predictive_entropy", values[np.newaxis], geometry, "nat", (0.0, high), "H = -sum p log p")


def test_a_bounded_map_comes_back_to_half_a_step(source, probability, tmp_path) -> None:
    path, top = tmp_path / "map.dcm", math.log(2)
    write_parametric_map(path, entropy(probability * np.float32(top), source.geometry, top), source)
    assert errors_of(path) == [], "Laterality, which highdicom leaves out, is written empty"
    assert np.abs(placed(path, source.geometry) - probability * top).max() <= top / 65535 / 2 + 1e-7
    made = pydicom.dcmread(path)
    assert made.BitsAllocated == 16
    assert "experimental" in made.SeriesDescription
    assert private_elements(path) == []


def test_a_map_with_undefined_voxels_keeps_them_as_float(source, probability, tmp_path) -> None:
    path = tmp_path / "map.dcm"
    values = np.where(probability > 0.5, np.float32("nan"), probability)
    write_parametric_map(path, entropy(values, source.geometry, math.inf), source)
    assert np.array_equal(placed(path, source.geometry).astype(np.float32), values, equal_nan=True)


def test_one_frame_of_several_is_written(source, probability, tmp_path) -> None:
    two = ScalarMap("mean_probability", np.stack([1 - probability, probability]), source.geometry, "1", (0.0, 1.0),
                    "mean", ("background", "Organ"))  # fmt: skip
    write_parametric_map(tmp_path / "map.dcm", two, source, frame="Organ")
    assert np.abs(placed(tmp_path / "map.dcm", source.geometry) - probability).max() < 1e-5


def dose_grid(source: SourceSeries, *, flipped: bool) -> Geometry:
    """A coarser grid inside the image, of three different spacings; its last axis along the normal or against it."""
    affine = source.geometry.affine @ np.diag([2.0, 2.0, 1.2, 1.0])
    affine[:3, 3] = source.geometry.affine[:3] @ (3, 4, 2, 1)
    shape = (19, 15, 13)
    if flipped:
        affine[:3, 3] += affine[:3, 2] * (shape[2] - 1)
        affine[:3, 2] *= -1
    return Geometry(shape, affine)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_dose_comes_back_at_its_places(source, tmp_path, flipped: bool) -> None:
    grid = dose_grid(source, flipped=flipped)
    dose = np.random.default_rng(0).uniform(0, 70, grid.shape).astype(np.float32)
    write_rtdose(tmp_path / "dose.dcm", Dose(dose, grid), source, comment="mean of 20 members", plan_uid="2.25.7")
    again = read_rtdose(tmp_path / "dose.dcm")
    places = np.argwhere(np.ones(grid.shape)) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    voxels = (places - again.geometry.affine[:3, 3]) @ np.linalg.inv(again.geometry.affine[:3, :3]).T
    assert np.abs(voxels - np.rint(voxels)).max() < 1e-3
    found = again.dose_gy[tuple(np.rint(voxels).astype(int).T)]
    assert np.abs(found - dose.ravel()).max() < 70 / 2**24


def test_a_dose_says_that_it_is_for_research(source, tmp_path) -> None:
    path = tmp_path / "dose.dcm"
    write_rtdose(path, Dose(np.ones((3, 4, 5), np.float32), Geometry((3, 4, 5), np.eye(4))), source, comment="sd")
    made = pydicom.dcmread(path)
    assert (made.DoseUnits, made.DoseType, made.BitsAllocated) == ("GY", "PHYSICAL", 32)
    assert made.DoseComment == "RESEARCH USE ONLY sd"
    assert made.PatientID == NUMBER
    assert private_elements(path) == []
    assert np.array_equal(LPS_TO_RAS @ np.array(made.ImagePositionPatient, dtype=float), [0, 0, 0])


def test_a_checker_finds_no_error_in_a_dose_but_its_own(source, tmp_path) -> None:
    """Its build of 2022 ends at any 32-bit dose, so bytes are halved; and it wants a DVH of every dose."""
    path = tmp_path / "dose.dcm"
    dose = Dose(np.ones((3, 4, 5), np.float32), Geometry((3, 4, 5), np.eye(4)))
    write_rtdose(path, dose, source, comment="sd", plan_uid="2.25.7")
    made = pydicom.dcmread(path)
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelData = 15, bytes(2 * 3 * 4 * 5)
    made.save_as(path)
    assert [one for one in errors_of(path) if "DVHSequence" not in one] == []


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_what_is_no_dose_is_refused(source, tmp_path, value: float) -> None:
    dose = np.ones((3, 4, 5), np.float32)
    dose[1, 2, 3] = value
    bad = Dose(dose, Geometry((3, 4, 5), np.eye(4)))
    assert code_of(lambda: write_rtdose(tmp_path / "dose.dcm", bad, source, comment="x")) == "E622"
    assert not list(tmp_path.iterdir())


def test_no_dose_at_all_stays_none(source, tmp_path) -> None:
    nothing = Dose(np.zeros((3, 4, 5), np.float32), Geometry((3, 4, 5), np.eye(4)))
    write_rtdose(tmp_path / "dose.dcm", nothing, source, comment="x")
    made = pydicom.dcmread(tmp_path / "dose.dcm")
    assert made.DoseGridScaling > 0
    assert not made.pixel_array.any()
