import hashlib
import json
import math
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from plausible.contours import rasterise
from plausible.core import Classes, Geometry, InvalidInput, ScalarMap
from plausible.io.dicom import read_rtdose, read_rtstruct, read_series
from plausible.io.nifti import read_nifti
from plausible.runs import export, pages
from plausible.runs.export import export_cases
from plausible.runs.export_case import ResultOfCase, read_result
from plausible.runs.export_dicom import DICOM_TARGETS
from plausible.runs.export_settings import TARGETS
from plausible.runs.replan_doses import REPLANNED, write_statistics
from tests.cli.program import run, told
from tests.io.dicom.checkers import errors_of, private_elements, program
from tests.io.dicom.sources import BIRTH, NAME, NUMBER, write_ct
from tests.io.folders import save_nifti, write_dataset_json, write_nnunet_case
from tests.runs.conftest import quick_page

CASE = "case_x"
CLASSES = Classes.exclusive_of({"background": 0, "Parotid_L": 1, "Bone_Mandible": 2})
IDENTIFYING = (*NAME.replace("^", " ").split(), NUMBER, BIRTH, "ACC-99", "Referrer", "Beispielstadt", "Planungs")
DICOM = [one for one in DICOM_TARGETS if not one.startswith("rtdose")]


@dataclass(frozen=True)
class Patient:
    """A CT and the results that came from it, on a grid whose axes are ordered as other tools order them."""

    root: Path
    geometry: Geometry
    """Grid of the series, in NIfTI's world."""

    @property
    def ct(self) -> Path:
        return self.root / "ct"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def line(self, output: Path, *to: str, more: tuple[object, ...] = ()) -> tuple[object, ...]:
        targets = [word for one in to for word in ("--to", one)]
        return (
            "export",
            "-i",
            self.out,
            "--case",
            CASE,
            "--image-series",
            self.ct,
            "-o",
            output,
            "-q",
            *targets,
            *more,
        )


def distance_mm(geometry: Geometry, centre: tuple[float, float, float]) -> np.ndarray:
    axes = [(np.arange(n) - c) * s for n, c, s in zip(geometry.shape, centre, geometry.spacing_mm, strict=True)]
    return np.sqrt(sum(part**2 for part in np.meshgrid(*axes, indexing="ij")))


RADII = (7.5, 8.0, 8.5)


def member(geometry: Geometry, radius: float) -> np.ndarray:
    one = 1 / (1 + np.exp((distance_mm(geometry, (14, 20, 11)) - radius) / 0.8))
    away = distance_mm(geometry, (36, 22, 12))
    shell = 1 / (1 + np.exp((away - radius) / 0.4)) - 1 / (1 + np.exp((away - radius + 5) / 0.4))
    stacked = np.stack([np.clip(1 - one - shell, 0, 1), one, shell])
    return (stacked / stacked.sum(axis=0)).astype(np.float32)


def other_axes(geometry: Geometry) -> tuple[Geometry, "np.ufunc | object"]:
    """The grid with k, i, j instead of i, j, k, and j the other way round."""
    affine = geometry.affine[:, [2, 0, 1, 3]].copy()
    affine[:, 3] += affine[:, 2] * (geometry.shape[1] - 1)
    affine[:, 2] *= -1
    shape = (geometry.shape[2], geometry.shape[0], geometry.shape[1])

    def turn(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(values, -1, -3)[..., ::-1])

    return Geometry(shape, affine), turn


@pytest.fixture(scope="module")
def patient(tmp_path_factory) -> Patient:
    root = tmp_path_factory.mktemp("patient")
    geometry = read_series(write_ct(root / "ct")).geometry
    grid, turn = other_axes(geometry)
    for n, radius in enumerate(RADII):
        write_nnunet_case(root / "members" / f"fold_{n}", CASE, turn(member(geometry, radius)), grid, CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "case_page", quick_page)
        run("assess", "-i", root / "members", "-o", root / "out", "-q")
    return Patient(root, geometry)


@pytest.fixture(scope="module")
def exported(patient, tmp_path_factory) -> Path:
    """Everything that can be written of the case."""
    output = tmp_path_factory.mktemp("exported")
    run(*patient.line(output, *DICOM, "nifti", "bids"))
    return output


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def exact_ml(threshold: float) -> float:
    """Volume of a sphere whose mean probability over the members reaches a threshold (bisection on the radius)."""
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = sum(1 / (1 + math.exp((middle - radius) / 0.8)) for radius in RADII) / len(RADII)
        low, high = (middle, high) if mean >= threshold else (low, middle)
    return 4 / 3 * math.pi * low**3 / 1000


@pytest.mark.parametrize(("suffix", "level"), [("p05", 0.05), ("p50", 0.5), ("p95", 0.95)])
def test_bands_have_the_volume_of_the_ball_they_come_from(patient, exported, suffix: str, level: float) -> None:
    record = json.loads((exported / CASE / "export.json").read_text())["contours"]
    assert record[f"zParotid_L_{suffix}"]["volume_ml"] == pytest.approx(exact_ml(level), rel=0.01)


def test_the_nominal_contour_read_again_is_the_segmentation(patient, exported) -> None:
    found = {one.name: one for one in read_rtstruct(exported / CASE / "rtstruct.dcm").contours}
    assert found["Parotid_L"].interpreted_type == ""
    for n, name in enumerate(("Parotid_L", "Bone_Mandible"), start=1):
        mean = np.mean([member(patient.geometry, radius) for radius in RADII], axis=0)
        again = rasterise(found[name], patient.geometry)
        differs = (again >= 0.5) != (mean.argmax(axis=0) == n)
        assert not (differs & (np.abs(mean[n] - 0.5) > 0.25)).any()
        assert again.sum() == pytest.approx((mean.argmax(axis=0) == n).sum(), rel=0.02)


def test_names_are_short_different_and_explained(exported) -> None:
    made = pydicom.dcmread(exported / CASE / "rtstruct.dcm")
    names = {roi.ROIName: roi.ROIDescription for roi in made.StructureSetROISequence}
    assert list(names) == [
        "Parotid_L", "zParotid_L_p05", "zParotid_L_p50", "zParotid_L_p95",
        "Bone_Mandible", "zBone_Mandib_p05", "zBone_Mandib_p50", "zBone_Mandib_p95",
    ]  # fmt: skip
    assert "not calibrated" in names["zParotid_L_p05"]
    assert "5 % line of the mean probability" in names["zParotid_L_p05"]
    assert "holes" in names["Bone_Mandible"]
    assert "holes" not in names["Parotid_L"]
    assert all("Research use only" in text for text in names.values())


def test_checkers_find_no_error_in_anything(exported) -> None:
    files = [path for path in sorted(exported.rglob("*.dcm")) if "labelmap" not in path.name]
    assert len(files) == 3 + 2 + 3, "structure set, two segmentations, two probabilities, three maps"
    assert {path.name: errors_of(path) for path in files} == {path.name: [] for path in files}


def test_the_source_is_untouched_and_nothing_is_put_beside_it(patient, tmp_path) -> None:
    before = hashes(patient.ct), hashes(patient.out)
    run(*patient.line(tmp_path, *DICOM, "nifti"))
    assert (hashes(patient.ct), hashes(patient.out)) == before


def test_patient_data_are_in_dicom_objects_and_nowhere_else(exported, patient) -> None:
    for path in exported.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if path.suffix == ".dcm":
            made = pydicom.dcmread(path)
            assert (str(made.PatientName), made.PatientID) == (NAME, NUMBER)
            assert "InstitutionName" not in made
            assert private_elements(path) == []
        else:
            text = nib.load(path).header.binaryblock if path.name.endswith(".nii.gz") else content
            assert not [one for one in IDENTIFYING if one.encode() in text], path.name
            assert str(patient.root).encode() not in text


def test_what_is_said_on_the_terminal_names_nobody(patient, tmp_path) -> None:
    done = run(*patient.line(tmp_path, "rtstruct"))
    assert "E626" in done.stderr
    assert not [one for one in IDENTIFYING if one in done.stdout + done.stderr]


@pytest.mark.filterwarnings("always")
def test_a_name_that_is_unusual_in_dicom_is_not_quoted_by_anybody(patient, tmp_path, recwarn, capfd) -> None:
    ct = tmp_path / "ct"
    shutil.copytree(patient.ct, ct)
    for path in ct.iterdir():
        one = pydicom.dcmread(path)
        one.PatientName = "ZäzilieOhneKomma"
        one.save_as(path)
    line = [
        ct if word == patient.ct else word for word in patient.line(tmp_path / "o", "rtstruct", "seg", "parametric-map")
    ]
    done = run(*line)
    said = done.stdout + done.stderr + "".join(capfd.readouterr()) + "".join(str(one.message) for one in recwarn)
    assert "Zäzilie" not in said
    assert pydicom.dcmread(tmp_path / "o" / CASE / "seg.dcm").PatientName == "ZäzilieOhneKomma"


def test_deidentified_objects_share_replaced_identifiers_and_nothing_of_the_patient(patient, tmp_path) -> None:
    uids = tmp_path / "uids.json"
    for folder in ("a", "b"):
        run(*patient.line(tmp_path / folder, "rtstruct", "seg", more=("--deidentify", "--uid-map", uids)))
    made = [pydicom.dcmread(path) for path in sorted(tmp_path.rglob("*.dcm"))]
    assert len(made) == 4
    slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in patient.ct.iterdir()]
    replaced = json.loads(uids.read_text())["uids"]
    assert {one.FrameOfReferenceUID for one in made} == {replaced[slices[0].FrameOfReferenceUID]}
    assert {one.StudyInstanceUID for one in made} == {replaced[slices[0].StudyInstanceUID]}
    assert len({one.SOPInstanceUID for one in made}) == 4
    originals = {str(e.value) for one in slices for e in one if e.VR == "UI"} - {slices[0].SOPClassUID}
    for one, path in zip(made, sorted(tmp_path.rglob("*.dcm")), strict=True):
        assert (str(one.PatientName), one.PatientID, one.PatientIdentityRemoved) == (f"{CASE}^", CASE, "YES")
        content = path.read_bytes()
        assert not [word for word in (*IDENTIFYING, *originals) if word.encode() in content]
        assert errors_of(path) == []


def test_a_series_of_other_slices_is_refused(patient, tmp_path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(patient.ct, cut)
    last = max(cut.iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))
    last.unlink()
    line = [cut if one == patient.ct else one for one in patient.line(tmp_path / "o", "rtstruct")]
    done = run(*line, code=4)
    assert "E620" in done.stderr
    assert "23×47×41" in done.stderr
    assert not (tmp_path / "o" / CASE).exists()


@pytest.mark.parametrize("inside", [".", "new"])
def test_nothing_is_written_among_source_files(patient, inside: str) -> None:
    before = hashes(patient.ct)
    assert "E624" in run(*patient.line(patient.ct / inside, "rtstruct"), code=4).stderr
    assert hashes(patient.ct) == before


def test_cases_find_their_series_by_folder_or_table(patient, tmp_path) -> None:
    (tmp_path / "by_name").mkdir()
    shutil.copytree(patient.ct, tmp_path / "by_name" / CASE)
    table = tmp_path / "series.csv"
    table.write_text(f"case,series\n{CASE},by_name/{CASE}\n")
    for series in (tmp_path / "by_name", table):
        line = ("export", "-i", patient.out, "--image-series", series, "-o", tmp_path / "o", "--to", "seg", "-q")
        assert told(*line)["cases"] == {CASE: [f"{CASE}/seg.dcm", f"{CASE}/export.json"]}
    table.write_text("case,series\nother,by_name\n")
    assert "E621" in run(*line, code=4).stderr
    table.write_text("case;series\n")
    assert "E621" in run(*line, code=4).stderr


def test_what_is_missing_or_misspelt_is_said(patient, tmp_path) -> None:
    start = ("export", "-i", patient.out, "-o", tmp_path)
    assert "E621" in run(*start, "--to", "rtstruct", code=4).stderr
    assert "E621" in run(*start, "--to", "seg", "--case", "nobody", code=4).stderr
    assert "rtstruct, seg" in run(*start, "--to", "rtss", code=2).stderr
    assert "--deidentify" in run(*start, "--to", "nifti", "--uid-map", tmp_path / "u.json", code=2).stderr
    assert "E622" in run(*patient.line(tmp_path, "rtdose"), code=4).stderr
    assert "E404" in run(*patient.line(tmp_path, "rtstruct", more=("--calibrated",)), code=4).stderr
    (tmp_path / "u.json").write_text("{}")
    line = patient.line(tmp_path, "seg", more=("--deidentify", "--uid-map", tmp_path / "u.json"))
    assert "E625" in run(*line, code=4).stderr


@pytest.mark.parametrize(("error", "code"), [(PermissionError(13, "denied"), "E305"), (MemoryError(), "E902")])
def test_a_case_that_cannot_be_read_stops_nobody(patient, tmp_path, monkeypatch, error, code) -> None:
    shutil.copytree(patient.out / CASE, tmp_path / "out" / "another")
    shutil.copytree(patient.out / CASE, tmp_path / "out" / CASE)

    def reading(folder: Path, *, calibrated: bool) -> ResultOfCase:
        if folder.name == "another":
            raise error
        return read_result(folder, calibrated=calibrated)

    monkeypatch.setattr(export, "read_result", reading)
    done = export_cases(dict.fromkeys(("another", CASE)), tmp_path / "out", tmp_path / "o", to=("nifti",))
    assert [(p.code, p.subject) for p in done.failures] == [(code, "another")]
    assert list(done.done) == [CASE]


def test_targets_that_can_be_asked_for_are_those_that_can_be_written() -> None:
    assert (*DICOM_TARGETS, "nifti", "bids") == TARGETS


def test_dry_run_writes_nothing(patient, tmp_path) -> None:
    assert told(*patient.line(tmp_path / "o", "rtstruct"), "--dry-run")["cases"] == [CASE]
    assert not (tmp_path / "o").exists()


def test_nifti_has_a_mask_and_a_probability_for_each_structure_on_the_own_grid(patient, exported) -> None:
    labels, grid = read_nifti(patient.out / CASE / "segmentation.nii.gz")
    for value, name in ((1, "Parotid_L"), (2, "Bone_Mandible")):
        mask, geometry = read_nifti(exported / CASE / "nifti" / f"{CASE}_{name}.nii.gz")
        probability, _ = read_nifti(exported / CASE / "nifti" / f"{CASE}_{name}_probability.nii.gz")
        assert geometry.matches(grid)
        assert np.array_equal(mask, labels == value)
        assert probability[mask > 0].min() >= 0.33
        assert probability.max() <= 1
    copy = exported / CASE / "nifti" / f"{CASE}_mutual_information.nii.gz"
    assert copy.read_bytes() == (patient.out / CASE / "mutual_information.nii.gz").read_bytes()


def test_bids_has_the_names_that_its_validator_takes(exported) -> None:
    root = exported / "bids"
    start = "sub-casex_space-orig"
    names = {path.name for path in (root / "sub-casex" / "anat").iterdir()}
    for name in ("seg-plausible_dseg", "label-ParotidL_probseg", "label-BoneMandible_desc-p95_mask"):
        assert {f"{start}_{name}.nii.gz", f"{start}_{name}.json"} <= names
        content = json.loads((root / "sub-casex" / "anat" / f"{start}_{name}.json").read_text())
        assert content["SpatialReference"]
    table = (root / "sub-casex" / "anat" / f"{start}_seg-plausible_dseg.tsv").read_text()
    assert table == "index\tname\n0\tbackground\n1\tParotid_L\n2\tBone_Mandible\n"
    assert json.loads((root / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    uncertain = {name for name in names if "uqmap" in name}
    assert len(uncertain) == 6
    ignored = (root / ".bidsignore").read_text().split()
    assert all(any(name.endswith(one.lstrip("*")) for one in ignored) for name in uncertain)
    kinds = ("_dseg", "_probseg", "_mask", "_uqmap")
    assert all(any(f"{kind}." in name for kind in kinds) for name in names)


def test_plastimatch_reads_the_contours_and_finds_the_volumes(patient, exported, tmp_path) -> None:
    done = subprocess.run(
        [program("plastimatch"), "convert", "--input", exported / CASE / "rtstruct.dcm", "--referenced-ct", patient.ct,
         "--output-prefix", tmp_path, "--prefix-format", "nii.gz"],
        capture_output=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for suffix, level in (("p05", 0.05), ("p50", 0.5), ("p95", 0.95)):
        values, grid = read_nifti(tmp_path / f"zParotid_L_{suffix}.nii.gz")
        voxels_ml = (values > 0).sum() * grid.voxel_volume_ml
        assert voxels_ml == pytest.approx(exact_ml(level), rel=0.04), "it counts pixel centres"


@pytest.mark.parametrize("name", ["seg", "seg_fractional"])
def test_dcmqi_reads_the_segmentations(patient, exported, tmp_path, name: str) -> None:
    done = subprocess.run(
        [program("segimage2itkimage"), "--inputDICOM", exported / CASE / f"{name}.dcm", "--outputDirectory", tmp_path,
         "-t", "nii", "-p", "x"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    mean = np.mean([member(patient.geometry, radius) for radius in RADII], axis=0)
    for n in (1, 2):
        values, grid = read_nifti(tmp_path / f"x-{n}.nii.gz")
        expected = (mean.argmax(axis=0) == n).sum() if name == "seg" else 255 * mean[n].sum()
        assert values.astype(float).sum() / (n if name == "seg" else 1) == pytest.approx(expected, rel=0.01)
        assert sorted(grid.spacing_mm) == pytest.approx(sorted(patient.geometry.spacing_mm), abs=1e-3)


@pytest.fixture(scope="module")
def hard(patient, tmp_path_factory) -> Path:
    """Results of three members that are label maps."""
    root = tmp_path_factory.mktemp("hard")
    grid, turn = other_axes(patient.geometry)
    for n, radius in enumerate(RADII):
        labels = (distance_mm(patient.geometry, (14, 20, 11)) < radius - 1 + n).astype(np.uint8)
        save_nifti(root / "members" / f"m{n}" / f"{CASE}.nii.gz", turn(labels), grid)
        write_dataset_json(root / "members" / f"m{n}", Classes.exclusive_of({"background": 0, "Organ": 1}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "case_page", quick_page)
        run("assess", "-i", root / "members", "-o", root / "out", "-q")
    return root / "out"


def test_only_a_dose_becomes_rtdose_and_lies_where_it_was(patient, tmp_path) -> None:
    own = tmp_path / "out"
    shutil.copytree(patient.out, own)
    grid, turn = other_axes(patient.geometry)
    dose = np.random.default_rng(0).uniform(0, 70, patient.geometry.shape)
    save_nifti(tmp_path / "doses" / f"{CASE}.nii.gz", turn(dose).astype(np.float32), grid)
    run("dose", "-i", patient.root / "members", "--dose", tmp_path / "doses", "-o", own, "-q")
    line = ("export", "-i", own, "--image-series", patient.ct, "-o", tmp_path / "o", "--to", "rtdose", "-q")
    assert told(*line)["cases"] == {CASE: [f"{CASE}/rtdose/planned_dose.dcm", f"{CASE}/export.json"]}
    again = read_rtdose(tmp_path / "o" / CASE / "rtdose" / "planned_dose.dcm")
    assert again.geometry.matches(patient.geometry)
    assert np.abs(again.dose_gy - dose).max() < 1e-5
    run(*line, "--to", "parametric-map")
    maps = {path.stem for path in (tmp_path / "o" / CASE / "parametric_map").iterdir()}
    assert "dose_aware_uncertainty" in maps
    assert "planned_dose" not in maps
    (own / CASE / "dose.json").unlink()  # as a run that failed leaves it, beside the maps of the run before
    failed = run(*(tmp_path / "stale" if one == tmp_path / "o" else one for one in line), code=4)
    assert "E622" in failed.stderr
    assert not list((tmp_path / "stale").rglob("*.dcm"))


def test_a_dose_is_written_where_it_is_known_and_nowhere_else(patient, tmp_path) -> None:
    """Around the dose grid nothing is known: zeros there would be read as no dose."""
    own = tmp_path / "out"
    shutil.copytree(patient.out, own)
    part = patient.geometry.cut((slice(5, 40), slice(3, 36), slice(4, 20)))
    save_nifti(tmp_path / "doses" / f"{CASE}.nii.gz", np.full(part.shape, 20, np.float32), part)
    run("dose", "-i", patient.root / "members", "--dose", tmp_path / "doses", "-o", own, "-q")
    run("export", "-i", own, "--image-series", patient.ct, "-o", tmp_path / "o", "--to", "rtdose", "-q")
    again = read_rtdose(tmp_path / "o" / CASE / "rtdose" / "planned_dose.dcm")
    assert again.geometry.matches(part)
    assert again.dose_gy.min() == pytest.approx(20, abs=1e-5)


def test_statistics_of_doses_are_written_where_asked_and_taken_for_no_dose(patient, tmp_path) -> None:
    own = tmp_path / "out"
    shutil.copytree(patient.out, own)
    line = ("export", "-i", own, "--image-series", patient.ct, "-o", tmp_path / "o", "--to", "rtdose-statistics", "-q")
    assert "E622" in run(*line, code=4).stderr
    coarse = Geometry((9, 8, 7), patient.geometry.affine @ np.diag([4.0, 4.0, 3.0, 1.0]))
    values = np.random.default_rng(1).uniform(0, 70, (2, *coarse.shape)).astype(np.float32)
    maps = [
        ScalarMap(name, v[None], coarse, "Gy", (0.0, np.inf), "of 5", ("",))
        for name, v in zip(REPLANNED, values, strict=True)
    ]
    written = list(write_statistics(own / "replan" / CASE, maps))
    assert written == [f"{name}.nii.gz" for name in REPLANNED]
    assert "E622" in run(*line, code=4).stderr  # maps that no finished run lists
    (own / "replan" / CASE / "replan.json").write_text(json.dumps({"maps": written}))
    run(*line)
    folder = tmp_path / "o" / CASE / "rtdose"
    mean = read_rtdose(folder / "replanned_dose_mean.dcm")
    assert mean.geometry.matches(coarse)
    assert np.abs(mean.dose_gy - values[0]).max() < 1e-4
    sd = pydicom.dcmread(folder / "replanned_dose_sd.dcm")
    assert sd.DoseType == "ERROR"
    with pytest.raises(InvalidInput, match="E616"):
        read_rtdose(folder / "replanned_dose_sd.dcm")


def test_hard_members_give_masks_of_any_half_and_all(patient, hard, tmp_path) -> None:
    run("export", "-i", hard, "--image-series", patient.ct, "-o", tmp_path, "--to", "rtstruct", "--to", "bids", "-q")
    record = json.loads((tmp_path / CASE / "export.json").read_text())["contours"]
    assert list(record) == ["Organ", "zOrgan_any", "zOrgan_half", "zOrgan_all"]
    voxel_ml = patient.geometry.voxel_volume_ml
    for suffix, radius in (("any", 9.5), ("half", 8.0), ("all", 6.5)):
        counted_ml = (distance_mm(patient.geometry, (14, 20, 11)) < radius).sum() * voxel_ml
        assert record[f"zOrgan_{suffix}"]["volume_ml"] == pytest.approx(counted_ml, rel=2e-3)
    assert record["Organ"]["volume_ml"] == record["zOrgan_half"]["volume_ml"]
    made = pydicom.dcmread(tmp_path / CASE / "rtstruct.dcm")
    assert "marked by all members of 3" in made.StructureSetROISequence[3].ROIDescription
    assert list((tmp_path / "bids").rglob("*desc-any_mask.nii.gz"))


def test_holes_are_written_as_exclusive_or_where_asked(patient, tmp_path) -> None:
    run(*patient.line(tmp_path, "rtstruct", more=("--holes", "xor")))
    found = read_rtstruct(tmp_path / CASE / "rtstruct.dcm").contours
    assert {loop.kind for one in found for loop in one.loops} == {"CLOSEDPLANAR_XOR"}
    unknown = "Unrecognized enumerated value <CLOSEDPLANAR_XOR>"
    assert all(unknown in one for one in errors_of(tmp_path / CASE / "rtstruct.dcm")), "a term newer than the checker"


def test_structures_take_standard_names_where_asked(patient, tmp_path) -> None:
    own = tmp_path / "out"
    shutil.copytree(patient.out, own)
    for path in (own / CASE).glob("*.json"):
        path.write_text(path.read_text().replace("Bone_Mandible", "Mandible"))
    line = (
        "export",
        "-i",
        own,
        "--image-series",
        patient.ct,
        "-o",
        tmp_path / "o",
        "--to",
        "rtstruct",
        "-q",
        "--tg263",
    )
    run(*line)
    names = [one.name for one in read_rtstruct(tmp_path / "o" / CASE / "rtstruct.dcm").contours]
    assert names[4:6] == ["Bone_Mandible", "zBone_Mandib_p05"]
