"""DICOM from end to end: series, structure sets and dose in, assessed, exported, opened again; nobody is named."""

import json
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from plausible.dose import contours_dvh, parse_metric
from plausible.io.dicom import read_case, read_rtdose, read_rtstruct, read_series
from plausible.io.dicom_files import dicom_files
from plausible.runs.dose_tables import read_dose_result
from tests.cli.program import run, told
from tests.io.dicom import writer
from tests.io.folders import save_nifti
from tests.io.test_dicom_study import CASE, other_frame, other_patient, structures, write_case, write_members

RADII = (3.5, 4.0, 5.0)


def line(root: Path, out: Path, *more: object) -> tuple[object, ...]:
    dicom = root / "dicom"
    return ("-i", root / "members", "--images", dicom, "--dose", dicom, "-o", out, "-q", *more)


def write_patient(root: Path, dose: Dataset | None = None) -> Path:
    write_case(root, structures(4.2), dose or writer.rtdose(), writer.rtplan())
    write_members(root, *map(structures, RADII))
    return root


@pytest.fixture(scope="module")
def patient(tmp_path_factory) -> Path:
    return write_patient(tmp_path_factory.mktemp("patient"))


@pytest.fixture(scope="module")
def assessed(patient) -> Path:
    out = patient / "out"
    run("assess", *line(patient, out, "--references", patient / "dicom", "--constraints", "head_and_neck"))
    return out


def test_nothing_written_holds_the_patient(assessed) -> None:
    for path in assessed.rglob("*"):
        assert not path.is_file() or writer.SECRET.encode() not in path.read_bytes(), path


def test_members_are_scored_against_the_structure_set(assessed) -> None:
    scores = json.loads((assessed / CASE / "evaluation.json").read_text())
    dice = [row for row in scores["rows"] if row["measure"] == "dice" and row["structure"] == "Organ"]
    assert dice
    assert all(0.7 < row["value"] <= 1 for row in dice)


def test_the_page_shows_image_contours_and_dose(assessed) -> None:
    page = (assessed / CASE / "case.html").read_text()
    assert "Not shown" not in page
    assert "V20Gy" in page or "Mean[Gy]" in page
    assert "E109" not in page


def test_drawn_members_have_the_dose_inside_their_contours(patient, assessed) -> None:
    found = read_dose_result(assessed / CASE)
    assert found is not None
    dose, image = read_rtdose(patient / "dicom" / CASE), read_series(patient / "dicom" / CASE)
    (organ,) = (one for one in found.structures if one.name == "Organ")
    assert organ.dvh_method.startswith("contours, exact area")
    for metric in organ.metrics:
        asked = parse_metric(metric.metric)
        for n, value in enumerate(metric.members):
            contours = read_rtstruct(dicom_files(patient / "members" / f"rater_{n}")[0]).structure("Organ")
            expected = asked.value(contours_dvh(contours, dose, image=image.geometry))
            assert value == pytest.approx(expected, abs=0.02), metric.metric


def test_pages_are_drawn_again_from_where_the_files_lie(patient, assessed) -> None:
    page = assessed / CASE / "case.html"
    before = page.read_text()
    page.unlink()
    run("report", "-i", assessed, "-q")
    assert "Not shown" not in page.read_text()
    assert len(page.read_text()) == pytest.approx(len(before), rel=0.01)


def test_what_is_exported_lies_on_the_series(patient, assessed, tmp_path) -> None:
    to = ("--to", "rtstruct", "--to", "rtdose")
    run("export", "-i", assessed, "--image-series", patient / "dicom", "-o", tmp_path, "-q", *to)
    image = read_series(patient / "dicom" / CASE)
    again = read_rtstruct(tmp_path / CASE / "rtstruct.dcm")
    assert again.frame == image.frame
    assert again.image_uids <= set(image.instance_uids)
    both = tmp_path / "both"
    both.mkdir()
    for n, path in enumerate([*dicom_files(patient / "dicom" / CASE / "CT"), tmp_path / CASE / "rtstruct.dcm"]):
        (both / f"{n}.dcm").write_bytes(path.read_bytes())
    assert read_case(both).image.geometry.matches(image.geometry)


def test_a_second_run_keeps_what_is_there(patient, assessed) -> None:
    more = ("--references", patient / "dicom", "--constraints", "head_and_neck")
    assert told("assess", *line(patient, assessed, *more, "--json"))["kept"] == [CASE]


def test_a_dose_in_another_frame_of_reference_is_refused(tmp_path) -> None:
    write_patient(tmp_path, other_frame(writer.rtdose()))
    run("dose", *line(tmp_path, tmp_path / "out"), code=4)
    assert "E610" in (tmp_path / "out" / "failures.csv").read_text(encoding="utf-8-sig")
    run("dose", *line(tmp_path, tmp_path / "out", "--accept", "other_frame"))
    found = read_dose_result(tmp_path / "out" / CASE)
    assert found is not None
    assert any("do not belong together" in one for one in found.warnings)


def test_what_was_accepted_is_said_and_is_part_of_what_was_done(tmp_path) -> None:
    write_patient(tmp_path, other_frame(writer.rtdose()))
    out = tmp_path / "out"
    run("assess", *line(tmp_path, out, "--accept", "other_frame"))
    found = read_dose_result(out / CASE)
    assert found is not None
    assert any("frame of reference" in one for one in found.warnings)
    run("assess", *line(tmp_path, out), code=3)  # without it, what was done before does not count
    assert "E610" in (out / "failures.csv").read_text(encoding="utf-8-sig")


def test_a_resampled_series_is_said_on_the_page(tmp_path) -> None:
    slices = writer.series()
    del slices[5]
    write_case(tmp_path, slices=slices)
    write_members(tmp_path, *map(structures, RADII))
    told = ("-i", tmp_path / "members", "--images", tmp_path / "dicom", "-o", tmp_path / "out", "-q")
    run("assess", *told, "--accept", "missing_slices")
    assert "interpolated linearly" in (tmp_path / "out" / CASE / "case.json").read_text()
    assert "interpolated linearly" in (tmp_path / "out" / CASE / "case.html").read_text()


def test_of_two_series_all_verbs_take_the_one_that_was_drawn_on(tmp_path) -> None:
    write_patient(tmp_path)
    second = writer.series(writer.SAGITTAL)
    for n, ds in enumerate(second):
        ds.SeriesInstanceUID = f"{writer.ROOT}.88"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{writer.ROOT}.88.{n}"
    writer.save(tmp_path / "dicom" / CASE / "second", second)
    run("assess", *line(tmp_path, tmp_path / "out"))
    to = ("-o", tmp_path / "e", "--to", "rtstruct", "-q")
    run("export", "-i", tmp_path / "out", "--image-series", tmp_path / "dicom", *to)
    assert read_rtstruct(tmp_path / "e" / CASE / "rtstruct.dcm").series_uids == (writer.SERIES,)


def test_what_is_odd_about_contours_stays_with_the_dose(tmp_path) -> None:
    """Not only on the screen: what contours had to be interpreted, or lie outside the image."""
    write_case(tmp_path, writer.rtdose(), writer.rtplan())
    write_members(tmp_path, *map(structures, (3.5, 4.0, 40.0)))
    run("dose", *line(tmp_path, tmp_path / "out"))
    found = read_dose_result(tmp_path / "out" / CASE)
    assert found is not None
    assert any("lies outside the image" in one for one in found.warnings)
    assert len(set(found.warnings)) == len(found.warnings)


@pytest.mark.parametrize("how", ["uneven", "tilted"])
def test_nothing_is_exported_onto_slices_that_were_resampled(tmp_path, how) -> None:
    at = [n * writer.STEP + (0.8 if n == 5 else 0.0) for n in range(writer.SLICES)]
    slices = writer.series(at_mm=at) if how == "uneven" else writer.tilted(10)
    write_case(tmp_path, slices=slices)
    write_members(tmp_path, *map(structures, RADII))
    accept = ("--accept", "uneven_slices" if how == "uneven" else "tilted_gantry")
    told = ("-i", tmp_path / "members", "--images", tmp_path / "dicom", "-o", tmp_path / "out", "-q")
    run("assess", *told, *accept)
    line = ("export", "-i", tmp_path / "out", "--image-series", tmp_path / "dicom", "-o", tmp_path / "e", "-q")
    assert "E623" in run(*line, "--to", "rtstruct", code=4).stderr
    assert not list((tmp_path / "e").rglob("*.dcm"))
    run(*line, "--to", "nifti")


@pytest.mark.parametrize("kind", ["patient", "frame"])
def test_a_dose_must_belong_to_the_structures_too(tmp_path, kind) -> None:
    """Where the image is NIfTI and says nothing."""
    dose = other_patient(writer.rtdose()) if kind == "patient" else other_frame(writer.rtdose())
    write_patient(tmp_path, dose)
    series = read_series(tmp_path / "dicom" / CASE / "CT")
    save_nifti(tmp_path / "images" / f"{CASE}_0000.nii.gz", series.values, series.geometry)
    told = ("--images", tmp_path / "images", "--dose", tmp_path / "dicom", "-o", tmp_path / "out", "-q")
    run("dose", "-i", tmp_path / "members", *told, code=4)
    code = "E611" if kind == "patient" else "E610"
    assert code in (tmp_path / "out" / "failures.csv").read_text(encoding="utf-8-sig")


def test_identical_drawn_members_agree_with_their_nominal(tmp_path) -> None:
    """Measured alike: a mask of few voxels has another volume and another dose than the contours it was made from."""
    write_case(tmp_path, structures(4.0), writer.rtdose(), writer.rtplan())
    write_members(tmp_path, *map(structures, (4.0, 4.0, 4.0)))
    run("dose", *line(tmp_path, tmp_path / "out"))
    found = read_dose_result(tmp_path / "out" / CASE)
    assert found is not None
    (organ,) = (one for one in found.structures if one.name == "Organ")
    assert organ.volume_ml == pytest.approx(3.14159 * 16 * 6 * writer.STEP / 1000, rel=0.02)
    for metric in organ.metrics:
        assert metric.sd == pytest.approx(0, abs=1e-9)
        assert metric.nominal == pytest.approx(metric.members[0], abs=0.1)


def test_inspect_lists_members_in_dicom_where_images_are_told_and_objects_where_not(patient) -> None:
    members, dicom = patient / "members", patient / "dicom"
    found = told("inspect", "-i", members, "--images", dicom, "--references", dicom, "--deep", "--json")
    assert [part["kind"] for part in found["parts"] if part["role"] == "member"] == ["DICOM, RTSTRUCT or SEG"] * 3
    assert not [problem for problem in found["problems"] if problem["severity"] == "error"]
    assert "groups" in told("inspect", "-i", dicom, "--json")


def test_what_is_not_accepted_is_told_with_the_choices(patient) -> None:
    done = run("inspect", "-i", patient / "members", "--images", patient / "dicom", "--accept", "anything", code=2)
    assert "missing_slices, uneven_slices, tilted_gantry, other_frame" in done.stderr
