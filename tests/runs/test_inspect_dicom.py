"""Inspect a folder of DICOM: what is there, what belongs together, every problem, and nobody's name."""

import json
from pathlib import Path

import pytest

from plausible.io.dicom import read_series
from plausible.runs import inspect_dicom as runs_inspect
from plausible.runs.dicom_inspection import DicomInspection
from plausible.runs.inspect_dicom import holds_dicom, inspect_dicom
from tests.cli.program import run_alone
from tests.io.dicom import writer


def whole(folder: Path) -> Path:
    """One patient with everything; files in two folders, named after the patient."""
    structures = writer.rtstruct(
        [(1, "RightParotid", writer.cylinder()), (2, "PTV", writer.cylinder(6.0)), (3, "Empty", [])]
    )
    writer.save(folder / "CT", writer.series(), stem="Doe_Jane_CT")
    writer.save(folder / "RT", structures, writer.rtdose(), writer.rtplan(), stem="Doe_Jane_RT")
    return folder


def codes(found: DicomInspection) -> list[tuple[str, str]]:
    return [(problem.code, problem.severity) for problem in found.problems]


def test_a_whole_patient_is_described(tmp_path: Path) -> None:
    found = inspect_dicom(whole(tmp_path))
    (group,) = found.groups
    (series,) = group.series
    assert (series.modality, series.n_slices, series.plane) == ("CT", 12, "axial")
    assert series.shape == (writer.COLUMNS, writer.ROWS)
    assert series.spacing_mm == pytest.approx((1.0, 1.5, 2.5))
    (structures,) = group.structure_sets
    assert [(roi.number, roi.name, roi.standard_name, roi.n_loops) for roi in structures.rois] == [
        (1, "RightParotid", "Parotid_R", 6),
        (2, "PTV", None, 6),
        (3, "Empty", None, 0),
    ]
    (dose,) = group.doses
    assert (dose.summation, dose.kind) == ("PLAN", "physical")
    corners = [writer.dose_gy(writer.np.array([-12.0 + 19 * i, 7.0, -31.0 + 27.5])) for i in (0, 1)]
    assert dose.maximum_gy == pytest.approx(max(corners), abs=1e-3)
    assert group.n_plans == 1
    assert codes(found) == [("E612", "note")]
    text = found.text(width=200)
    assert "CT, 12 slices of 20×14, 1×1.5×2.5 mm, axial" in text
    assert "3 ROIs: RightParotid, PTV; without a volume: Empty · on image" in text


@pytest.mark.parametrize("deep", [False, True])
def test_nobody_is_named_unless_asked(tmp_path: Path, deep: bool) -> None:
    folder = whole(tmp_path / "Doe_Jane")
    (folder / "CT" / "Doe_Jane_empty.dcm").touch()
    found = inspect_dicom(folder, deep=deep)
    told = found.text() + json.dumps(found.to_dict())
    assert "Doe" not in told
    assert "1960" not in told
    assert found.name == "DICOM folder"
    kept = inspect_dicom(folder, deep=deep, keep_phi=True)
    assert "Doe_Jane_empty.dcm" in kept.text()
    assert writer.SECRET not in kept.text() + json.dumps(kept.to_dict())


def test_what_does_not_fit_is_an_error_with_its_file(tmp_path: Path) -> None:
    slices = writer.series()
    writer.save(tmp_path / "CT", slices[:5] + slices[6:])
    dose = writer.rtdose()
    dose.DoseSummationType = "FRACTION"
    other = writer.rtstruct([(1, "Organ", writer.cylinder())])
    other.PatientID = "somebody else"
    writer.save(tmp_path, dose, other)
    found = inspect_dicom(tmp_path)
    assert set(codes(found)) == {("E603", "error"), ("E617", "error"), ("E611", "error")}
    assert found.groups[0].series[0].spacing_mm is None
    assert found.groups[0].doses[0].maximum_gy is not None
    assert "somebody" not in found.text()


def test_contours_are_compared_with_their_image_when_pixels_are_read(tmp_path: Path) -> None:
    writer.save(tmp_path, writer.series(), writer.rtstruct([(1, "Organ", writer.cylinder(slices=[1, 3, 5]))]))
    assert codes(inspect_dicom(tmp_path)) == []
    assert codes(inspect_dicom(tmp_path, deep=True)) == [("E614", "warning")]


def test_pixels_are_read_once_however_many_structure_sets_lie_on_them(tmp_path: Path, monkeypatch) -> None:
    sets = [writer.rtstruct([(1, "Organ", writer.cylinder(slices=[1, 3, 5]))]) for _ in range(3)]
    for n, one in enumerate(sets):
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.6.{n}"
    writer.save(tmp_path, writer.series(), *sets)
    read = []
    monkeypatch.setattr(runs_inspect, "read_series", lambda paths: read.append(paths) or read_series(paths))
    assert codes(inspect_dicom(tmp_path, deep=True)) == [("E614", "warning")] * 3
    assert len(read) == 1


def test_structures_without_their_image_are_said(tmp_path: Path) -> None:
    writer.save(tmp_path, writer.rtstruct([(1, "Organ", writer.cylinder())]))
    found = inspect_dicom(tmp_path)
    assert codes(found) == [("E610", "warning")]
    assert "its images are not here" in found.text()


def test_two_patients_are_two_groups(tmp_path: Path) -> None:
    whole(tmp_path / "one")
    others = writer.series(writer.oblique())
    for n, ds in enumerate(others):
        ds.PatientID, ds.FrameOfReferenceUID, ds.SeriesInstanceUID = "other", "1.2.3", "1.2.4"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.5.{n}"
    writer.save(tmp_path / "two", others)
    found = inspect_dicom(tmp_path)
    assert sorted(len(group.structure_sets) for group in found.groups) == [0, 1]
    assert "oblique" in found.text()
    assert codes(found) == [("E612", "note")]


def test_only_folders_that_are_nothing_else_are_dicom(tmp_path: Path) -> None:
    assert not holds_dicom(tmp_path)
    assert not holds_dicom(tmp_path / "none")
    (path,) = writer.save(tmp_path, writer.rtdose())
    assert holds_dicom(tmp_path)
    assert holds_dicom(path)
    (tmp_path / "study.toml").write_text("")
    assert not holds_dicom(tmp_path)


def test_the_verb_recognises_dicom(tmp_path: Path) -> None:
    told = json.loads(run_alone("inspect", "-i", whole(tmp_path), "--json"))
    assert told["kind"] == "dicom"
    assert told["groups"][0]["structure_sets"][0]["rois"][0]["standard_name"] == "Parotid_R"
