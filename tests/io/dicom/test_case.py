"""Folders with everything mixed, and whether their objects belong together."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from plausible.core import InvalidInput
from plausible.io.dicom import DicomCase, read_case, sort_folder
from tests.io.dicom import writer


def everything(**edits: Dataset) -> list[Dataset]:
    objects = {
        "structures": writer.rtstruct([(1, "Organ", writer.cylinder())]),
        "dose": writer.rtdose(),
        "plan": writer.rtplan(),
    }
    return [*writer.series(), *{**objects, **edits}.values()]


def case(folder: Path, *objects: Dataset, **options: bool | str) -> DicomCase:
    writer.save(folder, *objects, stem="x")
    return read_case(folder, **options)


def refused(code: str, folder: Path, *objects: Dataset, **options: bool | str) -> str:
    with pytest.raises(InvalidInput) as error:
        case(folder, *objects, **options)
    assert error.value.problem.code == code
    assert writer.SECRET not in str(error.value)
    return str(error.value)


def test_a_mixed_folder_is_sorted_by_uids(tmp_path: Path) -> None:
    other = writer.common("1.2.840.10008.5.1.4.1.1.7", f"{writer.ROOT}.60", "OT")
    writer.save(tmp_path, *everything(), writer.series(writer.SAGITTAL)[0], other, stem="x")
    (tmp_path / "x_empty.dcm").touch()
    (tmp_path / "notes.txt").write_text("anything")
    found = sort_folder(tmp_path)
    assert sorted(one.n_planes for one in found.images) == [1, 12]
    assert {one.series_uid for one in found.images} == {writer.SERIES}
    (structures,) = found.structure_sets
    (dose,) = found.doses
    assert structures.rois == {1: "Organ"}
    assert structures.series_uids == (writer.SERIES,)
    assert len(found.images_of(structures)) == 2  # both groups hold images it names
    assert found.structures_of(dose) == (structures,)  # through the plan
    assert found.plans[0].beams == {1, 2}
    assert dict(found.others) == {"OT": 1}
    assert [(problem.code, problem.severity) for problem in found.problems] == [("E601", "note"), ("E601", "warning")]
    assert writer.SECRET not in repr(found)


def test_a_file_without_preamble_is_read(tmp_path: Path) -> None:
    (path,) = writer.save(tmp_path, writer.rtdose())
    whole = path.read_bytes()
    path.write_bytes(whole[132:])
    assert len(sort_folder(tmp_path).doses) == 1


def test_a_case_is_read_whole(tmp_path: Path) -> None:
    found = case(tmp_path, *everything())
    assert found.problems == ()
    assert found.structures is not None
    assert found.dose is not None
    assert found.image.geometry.shape == (writer.COLUMNS, writer.ROWS, writer.SLICES)
    assert [one.name for one in found.structures.contours] == ["Organ"]
    assert writer.SECRET not in repr(found)


def test_the_structure_set_chooses_among_series(tmp_path: Path) -> None:
    others = writer.series()
    for n, ds in enumerate(others):
        ds.SeriesInstanceUID = f"{writer.ROOT}.20"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{writer.ROOT}.20.{n}"
    found = case(tmp_path, *everything(), *others)
    assert found.image.series_uid == writer.SERIES
    told = case(tmp_path, series_uid=f"{writer.ROOT}.20")
    assert told.image.series_uid == f"{writer.ROOT}.20"
    assert "was drawn on series" in "\n".join(problem.found for problem in told.problems)
    assert {problem.code for problem in told.problems} == {"E610"}


@pytest.mark.parametrize("which", ["structures", "dose"])
def test_another_frame_of_reference_is_refused_unless_told(tmp_path: Path, which: str) -> None:
    ds = {"structures": writer.rtstruct([(1, "Organ", writer.cylinder())]), "dose": writer.rtdose()}[which]
    ds.FrameOfReferenceUID = f"{writer.ROOT}.31"
    if which == "structures":
        ds.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = f"{writer.ROOT}.31"
    assert f"{writer.ROOT}.31" in refused("E610", tmp_path, *everything(**{which: ds}))
    accepted = read_case(tmp_path, other_frame=True)
    assert [problem.code for problem in accepted.problems] == ["E610"]


@pytest.mark.parametrize("which", ["structures", "dose"])
def test_another_patient_is_refused(tmp_path: Path, which: str) -> None:
    ds = {"structures": writer.rtstruct([(1, "Organ", writer.cylinder())]), "dose": writer.rtdose()}[which]
    ds.PatientID = "somebody else"
    assert "somebody" not in refused("E611", tmp_path, *everything(**{which: ds}))


def test_of_several_structure_sets_one_is_chosen(tmp_path: Path) -> None:
    other = writer.rtstruct([(1, "Another", writer.cylinder())])
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = f"{writer.ROOT}.55"
    assert f"{writer.ROOT}.55" in refused("E602", tmp_path, *everything(), other)
    found = read_case(tmp_path, structures_uid=f"{writer.ROOT}.55")
    assert found.structures is not None
    assert found.structures.contours[0].name == "Another"


def test_a_dose_of_other_contours_is_said(tmp_path: Path) -> None:
    ds = writer.rtdose()
    reference = writer.Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2", f"{writer.ROOT}.77"
    ds.ReferencedStructureSetSequence = [reference]
    found = case(tmp_path, *everything(dose=ds))
    assert "was planned on structure set" in found.problems[0].found


def test_a_dose_on_another_grid_keeps_its_own(tmp_path: Path) -> None:
    dose = writer.rtdose((0.0, 4.0, 8.0), origin=(-9.5, 8.25, -28.0))
    found = case(tmp_path, *everything(dose=dose))
    assert found.dose is not None
    geometry = found.dose.dose.geometry
    assert geometry.spacing_mm == pytest.approx((1.0, 1.5, 4.0))
    assert np.allclose(geometry.affine[:3, 3], (9.5, -8.25, -28.0))


def test_a_dose_alone_has_no_image(tmp_path: Path) -> None:
    assert "no CT, MR or PET image" in refused("E601", tmp_path, writer.rtdose())
