"""A study in DICOM: series as images, structure sets and SEGs as members and references, whatever a grid's axes."""

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from plausible.contours import rasterise
from plausible.core import Classes, FrameOfReference, Geometry, InvalidInput, MemberInfo, Members, Study
from plausible.core.problems import ProblemWarning, collecting
from plausible.io import find_images, hash_file, read_image, read_study
from plausible.io.dicom import datasets, read_rtstruct, read_series
from plausible.io.dicom import folder as folder_module
from plausible.io.dicom import series as planes_of_series
from plausible.io.dicom_files import dicom_files, is_dicom_case
from plausible.io.dicom_members import drawn_names, open_dicom
from plausible.io.doses import find_doses, read_dose
from tests.io.dicom import writer
from tests.io.dicom.test_seg import masks, written
from tests.io.folders import save_nifti, write_dataset_json

X, Y = writer.centre()
ORGANS = Classes.exclusive_of({"background": 0, "Organ": 1, "Parotid_L": 2})
CASE = "case_a"


def loops(radius: float, *, x: float = X, slices: Sequence[int] = range(3, 9)) -> list[Dataset]:
    return [writer.loop(writer.circle((x, Y, writer.ORIGIN[2] + n * writer.STEP), radius)) for n in slices]


def structures(radius: float = 4.0, *, names: Sequence[str] = ("Organ", "lt parotid")) -> Dataset:
    return writer.rtstruct([(1, names[0], loops(radius)), (2, names[1], loops(2.5, x=X + 6.5, slices=range(2, 7)))])


def write_case(root: Path, *others: Dataset, slices: Sequence[Dataset] | None = None) -> Path:
    """IMAGES/CASE with a series in a folder of its own, and what else belongs to the patient."""
    writer.save(root / "dicom" / CASE / "CT", slices or writer.series())
    writer.save(root / "dicom" / CASE, *others, stem="x")
    return root / "dicom"


def write_members(root: Path, *sets: Dataset) -> Path:
    for n, one in enumerate(sets):
        folder = root / "members" / f"rater_{n}"
        shutil.move(writer.save(folder, one)[0], folder / f"{CASE}.dcm")
    return root / "members"


def quietly(study: Study) -> Members:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProblemWarning)
        return study.case(CASE).members()


def refused(code: str, run) -> InvalidInput:
    with pytest.raises(InvalidInput) as error:
        run()
    assert error.value.problem.code == code, error.value
    assert writer.SECRET not in str(error.value)
    return error.value


def test_structure_sets_are_members_with_the_structures_that_all_have(tmp_path: Path) -> None:
    images = write_case(tmp_path)
    third = writer.rtstruct([(7, "ORGAN", loops(3.0)), (9, "Left Parotid", loops(2.0)), (3, "Couch", loops(5.0))])
    members = write_members(tmp_path, structures(4.0), structures(5.0), replaced_name(third, 7, "Organ"))
    study = read_study(members, images=images)
    assert study.classes == Classes.overlapping_of({"Organ": [1], "Parotid_L": [2]})
    (problem,) = [p for p in study.problems if p.code == "E612"]
    assert "Couch" in problem.found
    read = list(quietly(study))
    assert [one.hard for one in read] == [True, True, True]
    ml = [one.probabilities[0].sum() * one.geometry.voxel_volume_ml for one in read]
    assert ml == pytest.approx([np.pi * r * r * 6 * writer.STEP / 1000 for r in (4, 5, 3)], rel=0.1)


def replaced_name(ds: Dataset, number: int, name: str) -> Dataset:
    for roi in ds.StructureSetROISequence:
        if roi.ROINumber == number:
            roi.ROIName = name
    return ds


def test_a_mask_is_every_voxel_of_which_half_is_inside(tmp_path: Path) -> None:
    images = write_case(tmp_path, structures())
    members = write_members(tmp_path, structures(), structures(3.0))
    found = next(iter(quietly(read_study(members, images=images))))
    image = read_series(images / CASE)
    told = read_rtstruct(dicom_files(members / "rater_0")[0])
    for mask, name in zip(found.probabilities, ("Organ", "Parotid_L"), strict=True):
        share = rasterise(told.structure(name), image.geometry)
        assert np.array_equal(mask, share >= 0.5 - 1e-6)
        assert 0 < mask.sum() < mask.size


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("exclusive", [True, False])
def test_slabs_are_parts_of_the_whole(tmp_path: Path, axis: int, exclusive: bool) -> None:
    path = writer.save(tmp_path, structures())[0]
    grid = read_series(write_case(tmp_path) / CASE).geometry
    classes = ORGANS if exclusive else Classes.overlapping_of({"Organ": [1], "Parotid_L": [2]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProblemWarning)
        source, _ = open_dicom(path, info=MemberInfo(id="a"), classes=classes, on=grid)
        whole = source.read(0, grid.shape[axis], axis=axis)
        for size in (1, 5):
            parts = [
                source.read(n, min(n + size, grid.shape[axis]), axis=axis) for n in range(0, grid.shape[axis], size)
            ]
            assert np.array_equal(np.concatenate(parts, axis=axis + 1), whole)
    assert whole[-1].any()
    if exclusive:
        assert np.array_equal(whole.sum(axis=0), np.ones(grid.shape))


def turned(geometry: Geometry, order: Sequence[int], flips: Sequence[bool]) -> tuple[Geometry, object]:
    """The same voxels with other axes, and what turns an array so."""
    affine = geometry.affine[:, [*order, 3]].copy()
    shape = tuple(geometry.shape[axis] for axis in order)
    for axis in np.flatnonzero(flips):
        affine[:, 3] += affine[:, axis] * (shape[axis] - 1)
        affine[:, axis] *= -1
    return Geometry(shape, affine), lambda values: np.flip(values.transpose(order), np.flatnonzero(flips))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("flips", [(0, 0, 0), (0, 1, 0), (1, 1, 1)])
def test_a_series_takes_the_axes_of_members_that_were_converted_otherwise(tmp_path: Path, order, flips) -> None:
    """Converters of DICOM to NIfTI order and direct the axes as they like; the voxels are the same."""
    images = write_case(tmp_path, structures())
    series = read_series(images / CASE)
    grid, turn = turned(series.geometry, order, flips)
    labels = np.zeros(series.geometry.shape, np.uint8)
    labels[8:12, 5:9, 3:9] = 1
    for n in range(2):
        save_nifti(tmp_path / "members" / f"fold_{n}" / f"{CASE}.nii.gz", np.ascontiguousarray(turn(labels)), grid)
    write_dataset_json(tmp_path / "members", ORGANS)
    study = read_study(tmp_path / "members", images=images, references=images)
    case = study.case(CASE)
    image = case.image()
    assert image is not None
    assert image.geometry.matches(grid)
    assert np.array_equal(image.values[0], turn(series.values))
    assert case.members().geometry.matches(grid)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProblemWarning)
        raters = case.raters()
        assert raters is not None
        (reference,) = raters
    told = read_rtstruct(next(p for p in dicom_files(images / CASE) if p.name.startswith("x_")))
    share = rasterise(told.structure("Organ"), series.geometry)
    assert np.array_equal(reference.probabilities[1] > 0, turn(share) >= 0.5 - 1e-6)


def test_other_voxels_are_refused_with_both_grids(tmp_path: Path) -> None:
    images = write_case(tmp_path)
    grid = read_series(images / CASE).geometry
    larger = Geometry((grid.shape[0] + 1, *grid.shape[1:]), grid.affine)
    save_nifti(tmp_path / "members" / "a" / f"{CASE}.nii.gz", np.zeros(larger.shape, np.uint8), larger)
    write_dataset_json(tmp_path / "members", ORGANS)
    case = read_study(tmp_path / "members", images=images).case(CASE)
    assert "21×14×12" in str(refused("E202", case.members))


def test_contours_need_an_image(tmp_path: Path) -> None:
    members = write_members(tmp_path, structures(), structures(5.0))
    refused("E627", lambda: read_study(members))
    path = members / "rater_0" / f"{CASE}.dcm"
    refused("E627", lambda: open_dicom(path, info=MemberInfo(id="a"), classes=ORGANS, on=None))


def test_contours_on_a_converted_image_keep_their_places(tmp_path: Path) -> None:
    series = read_series(write_case(tmp_path) / CASE)
    grid, turn = turned(series.geometry, (0, 1, 2), (0, 1, 0))
    image = np.ascontiguousarray(turn(series.values))
    save_nifti(tmp_path / "images" / f"{CASE}_0000.nii.gz", image, grid)
    members = write_members(tmp_path, structures(), structures(5.0))
    on_nifti = quietly(read_study(members, images=tmp_path / "images"))
    on_series = quietly(read_study(members, images=tmp_path / "dicom"))
    for one, other in zip(on_nifti, on_series, strict=True):
        for mask, same in zip(one.probabilities, other.probabilities, strict=True):
            assert np.array_equal(mask, turn(same))


def test_contours_of_another_world_are_refused(tmp_path: Path) -> None:
    series = read_series(write_case(tmp_path) / CASE)
    away = series.geometry.affine.copy()
    away[:3, 3] += 500
    save_nifti(tmp_path / "images" / f"{CASE}_0000.nii.gz", series.values, away)
    members = write_members(tmp_path, structures(), structures(5.0))
    refused("E614", read_study(members, images=tmp_path / "images").case(CASE).members)


def other_patient(ds: Dataset) -> Dataset:
    ds.PatientID = "Roe^Richard"
    return ds


def other_frame(ds: Dataset) -> Dataset:
    ds.FrameOfReferenceUID = f"{writer.ROOT}.77"
    if "ReferencedFrameOfReferenceSequence" in ds:
        ds.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = f"{writer.ROOT}.77"
    return ds


def test_another_patient_is_refused_whatever_is_accepted(tmp_path: Path) -> None:
    images = write_case(tmp_path)
    members = write_members(tmp_path, structures(), other_patient(structures(5.0)))
    refused("E611", read_study(members, images=images, accept=["other_frame"]).case(CASE).members)


def test_another_frame_of_reference_is_refused_unless_accepted(tmp_path: Path) -> None:
    images = write_case(tmp_path)
    members = write_members(tmp_path, structures(), other_frame(structures(5.0)))
    error = refused("E610", read_study(members, images=images).case(CASE).members)
    assert "--accept other_frame" in error.problem.fix
    problems: list = []
    with collecting(problems):
        read_study(members, images=images, accept=["other_frame"]).case(CASE).members()
    assert "E610" in {problem.code for problem in problems}


def test_what_is_accepted_of_a_series_is_resampled_and_said(tmp_path: Path) -> None:
    slices = writer.series()
    del slices[5]
    images = write_case(tmp_path, structures(), slices=slices)
    members = write_members(tmp_path, structures(), structures(5.0))
    refused("E603", read_study(members, images=images).case(CASE).members)
    study = read_study(members, images=images, accept=["missing_slices"])
    assert quietly(study).geometry.shape[2] == writer.SLICES
    with pytest.warns(ProblemWarning, match="E603"):
        study.case(CASE).image()


def test_a_structure_that_is_not_there_is_named_with_what_is(tmp_path: Path) -> None:
    images = write_case(tmp_path)
    members = write_members(tmp_path, structures(), structures(5.0))
    told = Classes.overlapping_of({"Organ": [1], "Larynx": [2]})
    error = refused("E612", read_study(members, images=images, classes=told).case(CASE).members)
    assert "Larynx" in str(error)
    assert "lt parotid" in str(error)


@pytest.mark.parametrize(("wanted", "radius"), [("PTV_70", 4.0), ("PTV 70", 2.0)])
def test_structures_that_are_alike_are_told_apart_by_what_is_written(
    tmp_path: Path, wanted: str, radius: float
) -> None:
    ds = writer.rtstruct([(1, "PTV 70", loops(2.0)), (2, "PTV_70", loops(4.0))])
    path = writer.save(tmp_path, ds)[0]
    grid = read_series(write_case(tmp_path) / CASE).geometry
    classes = Classes.overlapping_of({wanted: [1]})
    with pytest.warns(ProblemWarning, match="E613"):
        source, _ = open_dicom(path, info=MemberInfo(id="a"), classes=classes, on=grid)
    ml = source.read(0, grid.shape[2], axis=2).sum() * grid.voxel_volume_ml
    assert ml == pytest.approx(np.pi * radius**2 * 6 * writer.STEP / 1000, rel=0.15)


def test_a_structure_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = writer.save(tmp_path, writer.rtstruct([(1, "Heart", loops(2.0)), (2, "Heart", loops(4.0))]))[0]
    grid = read_series(write_case(tmp_path) / CASE).geometry
    for name in ("Heart", "heart"):
        classes = Classes.overlapping_of({name: [1]})
        refused("E613", lambda classes=classes: open_dicom(path, info=MemberInfo(id="a"), classes=classes, on=grid))
    assert drawn_names(path) == []


def test_points_and_templates_are_no_structures(tmp_path: Path) -> None:
    """Planning systems write an isocentre and empty ROIs into every structure set."""
    point = writer.loop(np.array([[X, Y, writer.ORIGIN[2]]]), kind="POINT")
    rois = [(1, "Organ", loops(4.0)), (2, "Iso", [point]), (3, "Template", []), (4, "", loops(2.0))]
    images = write_case(tmp_path)
    members = write_members(tmp_path, writer.rtstruct(rois), writer.rtstruct(rois))
    study = read_study(members, images=images)
    assert study.classes.names == ("Organ",)
    assert len(quietly(study)) == 2


def test_a_converted_image_goes_before_the_dicom_it_was_made_from(tmp_path: Path) -> None:
    images = write_case(tmp_path)
    grid = read_series(images / CASE).geometry
    path = save_nifti(images / f"{CASE}_0000.nii.gz", np.zeros(grid.shape, np.float32), grid)
    (images / "RTSTRUCT.dcm").write_bytes(writer.save(tmp_path / "x", structures())[0].read_bytes())
    assert find_images(images, known=[CASE]) == {CASE: [path]}


def test_numbered_patients_are_no_channels(tmp_path: Path) -> None:
    for name in ("HN_0001", "HN_0002", "MR_0000", "MR_0001"):
        writer.save(tmp_path / name, writer.series())
    found = find_images(tmp_path)
    assert found == {
        "HN_0001": [tmp_path / "HN_0001"],
        "HN_0002": [tmp_path / "HN_0002"],
        "MR": [tmp_path / "MR_0000", tmp_path / "MR_0001"],
    }
    read_image(found["HN_0002"], channels=["CT"], subject="HN_0002")


def test_a_folder_with_planes_in_it_is_one_patient_for_everything(tmp_path: Path) -> None:
    folder = tmp_path / CASE
    writer.save(folder, *writer.series(), structures(), writer.rtdose(), writer.rtplan(), stem="x")
    members = write_members(tmp_path, structures(), structures(5.0))
    study = read_study(members, images=folder, references=folder)
    assert [case.subject for case in study] == [CASE]
    case = study.case(CASE)
    assert case.image() is not None
    assert case.raters() is not None
    assert find_doses(folder) == {CASE: folder}


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    writer.save(tmp_path / "archive", writer.series())
    (tmp_path / "dicom" / CASE).mkdir(parents=True)
    (tmp_path / "dicom" / CASE / "CT").symlink_to(tmp_path / "archive", target_is_directory=True)
    (tmp_path / "archive" / "again").symlink_to(tmp_path / "archive", target_is_directory=True)
    assert len(dicom_files(tmp_path / "dicom" / CASE)) == writer.SLICES
    assert find_images(tmp_path / "dicom") == {CASE: [tmp_path / "dicom" / CASE]}


def test_a_file_called_after_a_person_becomes_no_case(tmp_path: Path) -> None:
    images = write_case(tmp_path)
    members = write_members(tmp_path, structures(), structures(5.0))
    (members / "rater_0" / f"RS.{writer.SECRET}.dcm").write_bytes((members / "rater_0" / f"{CASE}.dcm").read_bytes())
    study = read_study(members, images=images)
    assert [case.subject for case in study] == [CASE]
    assert [p.code for p in study.problems] == ["E107"]
    assert writer.SECRET not in str(study.problems)


@pytest.mark.parametrize("kind", ["patient", "frame"])
def test_structure_sets_must_belong_together_where_no_image_says_whose_they_are(tmp_path: Path, kind: str) -> None:
    series = read_series(write_case(tmp_path) / CASE)
    save_nifti(tmp_path / "images" / f"{CASE}_0000.nii.gz", series.values, series.geometry)
    other = other_patient(structures(5.0)) if kind == "patient" else other_frame(structures(5.0))
    case = read_study(write_members(tmp_path, structures(), other), images=tmp_path / "images").case(CASE)
    refused("E611" if kind == "patient" else "E610", case.members)


def test_what_names_neither_frame_nor_patient_is_warned_of() -> None:
    known, unknown = FrameOfReference("1.2", "a"), FrameOfReference("", "")
    assert [p.code for p in unknown.check_holds(unknown, what="dose")] == ["E610"]
    assert [p.code for p in known.check_holds(FrameOfReference("1.2", ""), what="dose")] == ["E611"]
    with pytest.raises(InvalidInput, match="E610"):
        known.check_holds(FrameOfReference("", "a"), what="dose")


def test_a_case_whose_members_have_a_grid_needs_no_image(tmp_path: Path) -> None:
    images = write_case(tmp_path)
    grid = read_series(images / CASE).geometry
    write_dataset_json(tmp_path / "members", ORGANS)
    for name in (CASE, "case_b"):
        for n in range(2):
            save_nifti(tmp_path / "members" / f"fold_{n}" / f"{name}.nii.gz", np.zeros(grid.shape, np.uint8), grid)
        writer.save(tmp_path / "references" / name, structures())
    study = read_study(tmp_path / "members", images=images, references=tmp_path / "references")
    assert {case.subject: case.load_raters is not None for case in study} == {CASE: True, "case_b": True}


def test_a_rater_who_drew_other_patients_only_stops_nobody(tmp_path: Path) -> None:
    images = write_case(tmp_path, structures())
    members = write_members(tmp_path, structures(), structures(5.0))
    writer.save(tmp_path / "other" / "case_z", structures())
    study = read_study(members, images=images, references={"anna": images, "ben": tmp_path / "other"})
    assert study.case(CASE).raters() is not None
    assert {(p.code, p.member, p.severity) for p in study.problems} == {
        ("E107", "ben", "warning"),
        ("E106", "ben", "warning"),
    }


def test_a_damaged_structure_set_is_a_case_that_fails(tmp_path: Path) -> None:
    images = write_case(tmp_path)
    writer.save(images / "case_b" / "CT", writer.series())
    members = write_members(tmp_path, structures(), structures(5.0))
    for n in range(2):
        (members / f"rater_{n}" / "case_b.dcm").write_bytes(b"nothing")
    study = read_study(members, images=images)
    assert [case.subject for case in study] == [CASE, "case_b"]
    refused("E601", study.case("case_b").members)
    assert len(quietly(study)) == 2


def test_dicom_is_taken_where_a_known_case_has_no_converted_image(tmp_path: Path) -> None:
    images = write_case(tmp_path)
    grid = read_series(images / CASE).geometry
    other = save_nifti(images / "case_b_0000.nii.gz", np.zeros(grid.shape, np.float32), grid)
    (images / "originals").mkdir()
    writer.save(images / "originals", writer.series())
    assert find_images(images, known=[CASE, "case_b"]) == {CASE: [images / CASE], "case_b": [other]}
    assert find_images(images) == {"case_b": [other]}


def test_references_must_be_of_the_patient_of_the_members(tmp_path: Path) -> None:
    series = read_series(write_case(tmp_path) / CASE)
    save_nifti(tmp_path / "images" / f"{CASE}_0000.nii.gz", series.values, series.geometry)
    writer.save(tmp_path / "references" / CASE, other_patient(structures()))
    members = write_members(tmp_path, structures(), structures(5.0))
    case = read_study(members, images=tmp_path / "images", references=tmp_path / "references").case(CASE)
    assert len(case.members()) == 2
    refused("E611", case.raters)


@pytest.mark.parametrize(
    ("name", "harmless"),
    [
        ("CT_000.dcm", True),
        ("RTSTRUCT.dcm", True),
        ("rs.1.2.840.113619.2.55.dcm", True),
        ("IM-0001-0023.dcm", False),
        ("Mueller-1.2.840.113619.2.55.dcm", False),
        ("1985-03-12.dcm", False),
        ("RS.12345678.plan.dcm", False),
        ("12345-67890.dcm", False),
    ],
)
def test_only_harmless_names_of_files_are_told(name: str, harmless: bool) -> None:
    assert (datasets.file_label(Path(name)) == name) == harmless


def test_headers_are_read_once_for_all_that_asks_for_them(tmp_path: Path, monkeypatch) -> None:
    images = write_case(tmp_path, structures(), writer.rtdose())
    members = write_members(tmp_path, *map(structures, (3.0, 3.5, 4.0, 4.5)))
    read = []
    real = datasets.read_header
    for module in (folder_module, planes_of_series):
        monkeypatch.setattr(module, "read_header", lambda path, **told: read.append(path) or real(path, **told))
    case = read_study(members, images=images, references=images).case(CASE)
    quietly(read_study(members, images=images, references=images))
    case.image()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProblemWarning)
        case.raters()
    slices = [path for path in read if path.parent.name == "CT"]
    assert len(slices) <= 5 * writer.SLICES  # sorted; sorted and read for the grid; and for the pixels


def test_two_structure_sets_in_one_folder_are_not_chosen_between(tmp_path: Path) -> None:
    second = structures(5.0)
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = f"{writer.STRUCTURES}.2"
    images = write_case(tmp_path, structures(), second)
    members = write_members(tmp_path, structures(), structures(5.0))
    raters = read_study(members, images=images, references=images).case(CASE).raters
    assert f"{writer.STRUCTURES}.2" in str(refused("E602", raters))


def test_voxels_that_exclusive_structures_share_go_to_the_larger_part(tmp_path: Path) -> None:
    ds = writer.rtstruct([(1, "Organ", loops(4.0)), (2, "Parotid_L", loops(4.0, x=X + 3))])
    path = writer.save(tmp_path, ds)[0]
    series = read_series(write_case(tmp_path) / CASE)
    told = read_rtstruct(path)
    source, _ = open_dicom(path, info=MemberInfo(id="a"), classes=ORGANS, on=series.geometry)
    problems: list = []
    with collecting(problems):
        found = source.read(0, series.geometry.shape[2], axis=2)
    assert [p.code for p in problems] == ["E614"]
    assert "Organ, Parotid_L share voxels" in problems[0].found
    one, two = (rasterise(told.structure(name), series.geometry) for name in ("Organ", "Parotid_L"))
    both = (one >= 0.5) & (two >= 0.5)
    assert both.any()
    assert np.array_equal(found[1][both] > 0, (one >= two)[both])
    assert np.array_equal(found.sum(axis=0), np.ones(series.geometry.shape))


def test_segments_are_read_where_there_is_no_structure_set(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    series, path = written(tmp_path, "BINARY", masks())
    classes = Classes.overlapping_of({"Dot": [1], "Organ": [2]})
    source, grid = open_dicom(path, info=MemberInfo(id="a"), classes=classes, on=series.geometry, frame=series.frame)
    assert source.hard
    assert grid.matches(series.geometry)
    whole = source.read(0, grid.shape[2], axis=2)
    for found, name in zip(whole, ("Dot", "Organ"), strict=True):
        assert np.array_equal(found > 0, masks()[name])
    assert np.array_equal(source.read(3, 9, axis=0), whole[:, 3:9])
    stranger = replace(series.frame, patient="somebody else")
    with pytest.raises(InvalidInput, match="E611"):
        open_dicom(path, info=MemberInfo(id="a"), classes=classes, on=grid, frame=stranger)[0].read(0, 1, axis=2)


def test_fractional_segments_are_soft_members(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    shares = {name: mask * np.float32(0.4) for name, mask in masks().items()}
    series, path = written(tmp_path, "FRACTIONAL", shares)
    classes = Classes.exclusive_of({"background": 0, "Organ": 1, "Dot": 2})
    source, grid = open_dicom(path, info=MemberInfo(id="a"), classes=classes, on=series.geometry)
    assert not source.hard
    found = source.read(0, grid.shape[2], axis=2)
    assert found[1] == pytest.approx(shares["Organ"], abs=0.5 / 255)
    assert found[0] == pytest.approx(1 - shares["Organ"] - shares["Dot"], abs=1 / 255)
    refused("E612", lambda: open_dicom(path, info=MemberInfo(id="a"), classes=ORGANS, on=grid))


def test_a_folder_of_dicom_is_one_input_whatever_its_files_are_called(tmp_path: Path) -> None:
    images = write_case(tmp_path, structures())
    before = hash_file(images / CASE)
    for n, path in enumerate(dicom_files(images / CASE)):
        path.rename(path.with_name(f"renamed_{n}.dcm"))
    assert hash_file(images / CASE) == before
    dicom_files(images / CASE)[0].unlink()
    assert hash_file(images / CASE) != before
    members = write_members(tmp_path, structures(), structures(5.0))
    names = read_study(members, images=images).case(CASE).files
    assert set(names) == {f"image/{CASE}", f"rater_0/{CASE}.dcm", f"rater_1/{CASE}.dcm"}


def test_files_without_an_ending_are_found_by_their_preamble(tmp_path: Path) -> None:
    (path,) = writer.save(tmp_path / CASE, structures())
    path.rename(tmp_path / CASE / "1.2.826.0.1")
    (tmp_path / CASE / "README").write_text("no DICOM")
    (tmp_path / CASE / "notes.txt").write_text("no DICOM either")
    assert [p.name for p in dicom_files(tmp_path / CASE)] == ["1.2.826.0.1"]
    assert is_dicom_case(tmp_path / CASE)
    assert not is_dicom_case(tmp_path / CASE / "README")


def test_the_only_case_may_be_the_folder_of_the_series_itself(tmp_path: Path) -> None:
    images = write_case(tmp_path)
    members = write_members(tmp_path, structures(), structures(5.0))
    image = read_study(members, images=images / CASE / "CT").case(CASE).image()
    assert image is not None
    assert image.geometry.shape == (writer.COLUMNS, writer.ROWS, writer.SLICES)


def test_the_dose_of_a_patient_lies_among_everything_else(tmp_path: Path) -> None:
    images = write_case(tmp_path, structures(), writer.rtdose(), writer.rtplan())
    dose = read_dose(find_doses(images)[CASE])
    series = read_series(images / CASE)
    assert dose.frame == series.frame
    assert dose.frame is not None
    assert series.frame.check_holds(dose.frame, what="dose") == ()
