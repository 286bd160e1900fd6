"""Real exports: read, and the same as the NIfTI packs made from the same patients by other software."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from plausible.core import Geometry
from plausible.io.dicom import open_rtdose, read_case, read_rtstruct, read_seg, read_series, sort_folder

PATIENT = "pt_066"


@pytest.fixture(scope="module")
def packs(shared_data: Path) -> Path:
    if not (shared_data / "dicom_rt").is_dir():
        pytest.skip("the pack dicom_rt is not beside the repository")
    return shared_data


def nifti(path: Path) -> tuple[np.ndarray, Geometry]:
    if not path.is_file():
        pytest.skip(f"{path.name} is not beside the repository")
    image = nib.load(path)
    return np.asarray(image.dataobj), Geometry(image.shape, image.affine)


def test_openkbp_image_dose_and_segments_are_those_of_the_nifti_pack(packs: Path) -> None:
    folder, pack = packs / "dicom_rt" / "openkbp" / PATIENT, packs / "openkbp_hn"
    case = read_case(folder)
    assert case.structures is not None
    assert case.dose is not None
    values, geometry = nifti(pack / "imagesTr" / f"{PATIENT}_0000.nii.gz")
    assert case.image.geometry.matches(geometry)
    assert np.array_equal(case.image.values, values)
    dose, geometry = nifti(pack / "doseTr" / f"{PATIENT}.nii.gz")
    assert case.dose.dose.geometry.matches(geometry)
    assert np.abs(case.dose.dose.dose_gy - dose).max() < 1e-4
    truth = json.loads((folder / "truth.json").read_text())["rois"]
    assert {one.name: len(one.loops) for one in case.structures.contours} == {
        name: roi["contours"] for name, roi in truth.items()
    }
    bits = json.loads((pack / "dataset.json").read_text())["structure_bits"]
    stored, _ = nifti(pack / "structuresTr" / f"{PATIENT}.nii.gz")
    seg = read_seg(folder / "SEG_oars.dcm", image=case.image)
    assert len(seg.numbers) == 7
    for name in seg.numbers:
        assert np.array_equal(seg.mask(name), (stored.astype(int) >> bits[name]) & 1 == 1)


def test_a_planning_system_s_dose_has_its_own_maximum(packs: Path) -> None:
    """The system wrote the maximum of its body DVH, as percent of a prescription of 14 Gy."""
    folder = packs / "dicom_rt" / "tps_breast"
    found = open_rtdose(folder)
    rows = list(csv.DictReader((folder / "tps_dvh.csv").read_text().splitlines()))
    percent = max(float(value) for row in rows for key, value in row.items() if "max" in key.lower() and value)
    assert found.dose.dose_gy.max() == pytest.approx(percent / 100 * 14, rel=1e-3)
    assert found.problems == ()
    structures = read_rtstruct(folder / "rtss.dcm")
    assert [one.name for one in structures.skipped] == ["Areola"]
    assert len(structures.contours) == 9


def test_phantoms_of_nelms(packs: Path) -> None:
    folder = packs / "dicom_rt" / "nelms2015"
    for path in sorted((folder / "structures").glob("*.dcm")):
        found = read_rtstruct(path)
        assert [one.name for one in found.skipped] == ["POI_1"]
        assert len(found.contours) == 1
    for path in sorted((folder / "dose").glob("*.dcm")):
        dose = open_rtdose(path, n_fractions=1).dose
        step = int(path.name.split("_")[2][0])
        assert dose.geometry.spacing_mm == pytest.approx((step, step, step))


@pytest.mark.parametrize("study", ["study1", "study2", "study3"])
def test_magnetic_resonance(packs: Path, study: str) -> None:
    folder = packs / "hippocampus" / "ood_dicom"
    values, geometry = nifti(folder / f"{study}_0000.nii.gz")
    image = read_series(folder / study)
    assert image.geometry.matches(geometry)
    assert np.array_equal(image.values, values)


def test_snippets_of_other_packages(packs: Path) -> None:
    folder = packs / "dicom_rt" / "snippets"
    found = sort_folder(folder)
    assert found.problems == ()
    assert len(found.segmentations) == 6
    for one in found.structure_sets:
        assert read_rtstruct(one.instance.path).contours
    for one in found.segmentations:
        assert read_seg(one.instance.path).numbers
    oblique = [one for one in found.images if one.shape == (50, 100)]
    image = read_series(folder, series_uid=oblique[0].series_uid)
    assert image.geometry.spacing_mm[:2] == pytest.approx((2.5, 3.5))
