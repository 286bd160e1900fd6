import math
from pathlib import Path

import numpy as np
import pydicom
import pytest

from plausible.aggregate import SOFT_LEVELS, probability_outlines
from plausible.contours import rasterise
from plausible.core import Contours, Geometry, Loop
from plausible.io.dicom import read_rtstruct, read_series
from plausible.io.dicom.source import SourceSeries, source_of
from plausible.io.dicom.write_rtstruct import write_rtstruct
from tests.io.dicom.checkers import errors_of, private_elements
from tests.io.dicom.sources import NAME, NUMBER, write_ct
from tests.io.folders import code_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_ct(tmp_path_factory.mktemp("ct"), numbers_from_top=True)


@pytest.fixture(scope="module")
def source(folder) -> SourceSeries:
    return source_of(read_series(folder))


def soft(geometry: Geometry, radius_mm: float, *, scale=(1, 1, 1), width=0.9) -> np.ndarray:
    """A soft ellipsoid in the middle of a grid, along its own axes."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(geometry.shape, geometry.spacing_mm, strict=True)]
    parts = np.meshgrid(*axes, indexing="ij")
    distance = np.sqrt(sum((part / factor) ** 2 for part, factor in zip(parts, scale, strict=True)))
    return (1 / (1 + np.exp((distance - radius_mm) / width))).astype(np.float32)


def tube(geometry: Geometry, radius_mm: float, *, width=0.4) -> np.ndarray:
    i, j = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(geometry.shape[:2], geometry.spacing_mm[:2], strict=True))
    distance = np.hypot(*np.meshgrid(i, j, indexing="ij"))
    plane = 1 / (1 + np.exp((distance - radius_mm) / width))
    return np.repeat(plane[..., None], geometry.shape[2], axis=2).astype(np.float32)


def half(p: np.ndarray, geometry: Geometry, name: str, number: int) -> Contours:
    (outlines,) = probability_outlines(p, geometry, SOFT_LEVELS[1:2], hard=False)
    return Contours(name, number, outlines.loops, (10, 200, 30))


@pytest.fixture(scope="module")
def shapes(source) -> dict[str, tuple[np.ndarray, float]]:
    """Probability and exact volume in ml of what is written."""
    grid = source.geometry
    ball = 4 / 3 * math.pi
    return {
        "Sphere": (soft(grid, 12), ball * 12**3 / 1000),
        "Ellipsoid_L": (soft(grid, 12, scale=(1, 0.8, 1.5)), ball * 12**3 * 0.8 * 1.5 / 1000),
        "Shell": (soft(grid, 14) - soft(grid, 6), ball * (14**3 - 6**3) / 1000),
        "Tube": (tube(grid, 3), math.pi * 3**2 * 23 * 2.5 / 1000),
    }


@pytest.fixture(scope="module")
def written(source, shapes, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("out") / "rtstruct.dcm"
    found = [half(p, source.geometry, name, n) for n, (name, (p, _)) in enumerate(shapes.items(), start=1)]
    told = write_rtstruct(path, found, source, descriptions={1: "Sphere: a\\b\n" + "x" * 2000})
    assert list(told.names.values()) == list(shapes)
    return path


def test_volumes_read_by_our_own_reader_are_within_one_percent(written, source, shapes) -> None:
    found = {one.name: one for one in read_rtstruct(written).contours}
    for name, (_, exact_ml) in shapes.items():
        covered = rasterise(found[name], source.geometry)
        assert covered.sum() * source.geometry.voxel_volume_ml == pytest.approx(exact_ml, rel=0.01), name


def test_voxels_come_back_on_an_oblique_grid_of_non_square_pixels(written, source, shapes) -> None:
    found = {one.name: one for one in read_rtstruct(written).contours}
    for name, (p, _) in shapes.items():
        again = rasterise(found[name], source.geometry) >= 0.5
        near = np.abs(p - 0.5) < 0.25
        assert not ((again != (p >= 0.5)) & ~near).any(), name


def test_points_come_back_to_a_thousandth_of_a_millimetre(written, source, shapes) -> None:
    ours = half(shapes["Sphere"][0], source.geometry, "Sphere", 1)
    read = {one.name: one for one in read_rtstruct(written).contours}["Sphere"]
    assert read.colour == (10, 200, 30)
    for one, other in zip(ours.loops, read.loops, strict=True):
        assert np.abs(one.points_mm - other.points_mm).max() < 2e-3


def test_a_checker_finds_no_error(written) -> None:
    assert errors_of(written) == []


def test_it_says_what_it_is_and_refers_to_the_source(written, folder) -> None:
    made, slices = pydicom.dcmread(written), [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    assert (made.ApprovalStatus, made.StructureSetLabel) == ("UNAPPROVED", "UQ research")
    assert made.SeriesDescription.startswith("RESEARCH USE ONLY")
    assert {roi.ROIGenerationAlgorithm for roi in made.StructureSetROISequence} == {"AUTOMATIC"}
    assert {one.RTROIInterpretedType for one in made.RTROIObservationsSequence} == {""}
    assert made.FrameOfReferenceUID == slices[0].FrameOfReferenceUID
    assert made.StudyInstanceUID == slices[0].StudyInstanceUID
    assert made.SeriesInstanceUID != slices[0].SeriesInstanceUID
    series = made.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == slices[0].SeriesInstanceUID
    assert {one.ReferencedSOPInstanceUID for one in series.ContourImageSequence} == {
        one.SOPInstanceUID for one in slices
    }


def test_each_contour_names_the_slice_it_lies_in(written, folder) -> None:
    slices = {one.SOPInstanceUID: one for one in (pydicom.dcmread(path) for path in folder.iterdir())}
    n = 0
    for roi in pydicom.dcmread(written).ROIContourSequence:
        for contour in roi.ContourSequence:
            plane = slices[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            axes = np.array(plane.ImageOrientationPatient, dtype=float)
            normal = np.cross(axes[:3], axes[3:])
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            off_mm = (points - np.array(plane.ImagePositionPatient, dtype=float)) @ normal
            assert np.abs(off_mm).max() < 2e-3
            assert contour.NumberOfContourPoints == len(points) >= 3
            n += 1
    assert n > 60


def test_patient_and_study_are_the_source_s_and_private_elements_are_not_taken(written) -> None:
    made = pydicom.dcmread(written)
    assert (str(made.PatientName), made.PatientID) == (NAME, NUMBER)
    assert made.StudyDescription == "Planungs-CT Müller"
    assert "InstitutionName" not in made
    assert private_elements(written) == []


def test_text_that_does_not_fit_is_cut_and_cleaned(written) -> None:
    description = pydicom.dcmread(written).StructureSetROISequence[0].ROIDescription
    assert description.startswith("Sphere: a b xx")
    assert len(description) == 1024


def test_holes_are_loops_inside_loops_that_run_the_other_way(written) -> None:
    shell = next(one for one in read_rtstruct(written).contours if one.name == "Shell")
    assert {loop.kind for loop in shell.loops} == {"CLOSED_PLANAR"}
    directions = [
        np.sign(np.cross(loop.points_mm - loop.points_mm.mean(axis=0), np.roll(loop.points_mm, -1, axis=0)
                         - loop.points_mm.mean(axis=0)).sum(axis=0)[2])
        for loop in shell.loops
    ]  # fmt: skip
    n_slices_of_hole, n_slices = math.floor(6 / 2.5) * 2 + 1, math.floor(14 / 2.5) * 2 + 1
    assert sorted((directions.count(1), directions.count(-1))) == [n_slices_of_hole, n_slices]


def triangle(kind: str = "CLOSED_PLANAR") -> Loop:
    return Loop(np.array([[0.0, 0, 0], [5, 0, 0], [0, 5, 0]]), kind)


def test_exclusive_or_is_written_where_it_is_asked_for(source, tmp_path) -> None:
    write_rtstruct(tmp_path / "x.dcm", [Contours("A", 1, (triangle("CLOSEDPLANAR_XOR"),))], source)
    (loop,) = read_rtstruct(tmp_path / "x.dcm").contours[0].loops
    assert loop.kind == "CLOSEDPLANAR_XOR"


@pytest.mark.parametrize(
    "structures",
    [
        [],
        [Contours("A", 1, ())],
        [Contours("A", 1, (triangle(),)), Contours("a", 2, (triangle(),))],
        [Contours("A", 1, (triangle(),)), Contours("B", 1, (triangle(),))],
        [Contours("A" * 17, 1, (triangle(),))],
        [Contours("", 1, (triangle(),))],
    ],
)
def test_what_does_not_fit_the_format_is_refused_and_nothing_written(structures, source, tmp_path) -> None:
    assert code_of(lambda: write_rtstruct(tmp_path / "x.dcm", structures, source)) == "E622"
    assert not list(tmp_path.iterdir())
