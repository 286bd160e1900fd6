"""A patient of OpenKBP: CT and segments from DICOM, members, assessed, exported, and opened again."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from plausible.contours import rasterise
from plausible.core import Classes, Contours, Geometry, MemberInfo
from plausible.io.dicom import read_rtstruct, read_seg, read_series
from plausible.io.dicom_members import open_dicom
from plausible.runs import pages
from tests.cli.program import run
from tests.io.dicom.checkers import errors_of
from tests.io.folders import write_nnunet_case
from tests.runs.conftest import quick_page

STRUCTURES = ("Brainstem", "LeftParotid", "Mandible")


@pytest.fixture(scope="module")
def patient(shared_data) -> Path:
    folder = shared_data / "dicom_rt" / "openkbp" / "pt_066"
    if not folder.is_dir():
        pytest.skip("no OpenKBP patient as DICOM in ../shared/data/dicom_rt")
    return folder


@pytest.fixture(scope="module")
def exported(patient, tmp_path_factory) -> Path:
    """Three members, blurred differently, on a grid as converters of DICOM to NIfTI write it."""
    root = tmp_path_factory.mktemp("openkbp")
    image = read_series(patient / "CT")
    segments = read_seg(patient / "SEG_oars.dcm", image=image).fractions
    flip = np.diag([1.0, -1, 1, 1])
    flip[1, 3] = image.geometry.shape[1] - 1
    grid = Geometry(image.geometry.shape, image.geometry.affine @ flip)
    classes = Classes.exclusive_of({"background": 0, **{name: n for n, name in enumerate(STRUCTURES, start=1)}})
    for n, sigma in enumerate((0.5, 0.7, 0.9)):
        p = np.stack([gaussian_filter(segments[name], sigma) for name in STRUCTURES])
        p /= np.maximum(p.sum(axis=0), 1)
        p = np.concatenate([np.clip(1 - p.sum(axis=0, keepdims=True), 0, 1), p])
        member = np.ascontiguousarray(np.clip(p, 0, 1)[:, :, ::-1])
        write_nnunet_case(root / "members" / f"fold_{n}", "pt_066", member, grid, classes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "case_page", quick_page)
        before = hashes(patient)
        dicom = ("--images", patient.parent, "--references", patient.parent, "--dose", patient.parent)
        run("assess", "-i", root / "members", "-o", root / "out", "-q", *dicom)
    to = ("--to", "rtstruct", "--to", "seg", "--to", "seg-fractional")
    run("export", "-i", root / "out", "--image-series", patient / "CT", "-o", root / "dicom", "-q", *to)
    assert hashes(patient) == before
    return root / "dicom" / "pt_066"


def hashes(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.timeout(300)
def test_segments_come_back_on_the_geometry_of_the_series(patient, exported) -> None:
    image = read_series(patient / "CT")
    segments = read_seg(patient / "SEG_oars.dcm", image=image)
    again = read_seg(exported / "seg.dcm", image=image)
    assert again.geometry.matches(image.geometry)
    assert again.frame == segments.frame
    for name in STRUCTURES:
        assert again.mask(name).sum() == pytest.approx(segments.mask(name).sum(), rel=0.1)
        assert (again.mask(name) & segments.mask(name)).sum() > 0.9 * again.mask(name).sum()


def test_contours_come_back_around_the_same_voxels(patient, exported) -> None:
    image = read_series(patient / "CT")
    segments = read_seg(exported / "seg.dcm", image=image)
    found = {one.name: one for one in read_rtstruct(exported / "rtstruct.dcm").contours}
    record = json.loads((exported / "export.json").read_text())["contours"]
    for name in ("Brainstem", "LeftParotid"):
        covered = rasterise(found[name], image.geometry)
        assert covered.sum() * image.geometry.voxel_volume_ml == pytest.approx(record[name]["volume_ml"], rel=1e-3)
        mask = segments.mask(name)
        assert (centres_inside(found[name], image.geometry) != mask).sum() <= 0.02 * mask.sum()


def centres_inside(contours: Contours, geometry: Geometry) -> np.ndarray:
    """Voxels whose centre lies inside an odd number of loops of its slice."""
    inside = np.zeros(geometry.shape, dtype=bool)
    i, j = np.meshgrid(*(np.arange(n) for n in geometry.shape[:2]), indexing="ij")
    for loop in contours.loops:
        voxels = (loop.points_mm - geometry.affine[:3, 3]) @ np.linalg.inv(geometry.affine[:3, :3]).T
        k = round(float(voxels[:, 2].mean()))
        for (i0, j0, _), (i1, j1, _) in zip(voxels, np.roll(voxels, -1, axis=0), strict=True):
            if j0 != j1:
                inside[..., k] ^= ((j0 > j) != (j1 > j)) & (i < i0 + (j - j0) * (i1 - i0) / (j1 - j0))
    return inside


def test_the_structure_set_is_the_reference_and_the_dose_is_its_own(patient, exported) -> None:
    """Rasterising the structure set gives the masks that it was drawn from, voxel by voxel (README of the pack)."""
    out = exported.parents[1] / "out" / "pt_066"
    truth = json.loads((patient / "truth.json").read_text())["rois"]
    found = json.loads((out / "evaluation.json").read_text())
    for name in STRUCTURES:
        voxel_ml = truth[name]["ml"] / truth[name]["voxels"]
        assert found["reference_ml"][name] == pytest.approx(truth[name]["ml"], abs=2.1 * voxel_ml)  # two are shared
    image = read_series(patient / "CT")
    segments = read_seg(patient / "SEG_oars.dcm", image=image)
    classes = Classes.overlapping_of({name: [n] for n, name in enumerate(segments.numbers, start=1)})
    source, _ = open_dicom(patient, info=MemberInfo(id="clinic"), classes=classes, on=image.geometry)
    for name, mask in zip(classes.names, source.read(0, image.geometry.shape[2], axis=2), strict=True):
        assert np.array_equal(mask > 0, segments.mask(name)), name
    dice = [row["value"] for row in found["rows"] if row["measure"] == "dice" and row["structure"] in STRUCTURES]
    assert min(dice) > 0.8
    dose = json.loads((out / "dose.json").read_text())
    assert {one["name"] for one in dose["structures"]} == set(STRUCTURES)


def test_a_checker_finds_no_error(exported) -> None:
    for name in ("rtstruct", "seg", "seg_fractional"):
        assert errors_of(exported / f"{name}.dcm") == []
