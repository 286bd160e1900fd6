"""RTSTRUCT: every ROI by its number, loops where they lie, and what is none is listed."""

from pathlib import Path

import numpy as np
import pytest

from plausible.core import InvalidInput
from plausible.io.dicom import StructureSet, read_rtstruct, read_series
from plausible.io.dicom.contour_checks import check_contours
from plausible.io.dicom.loop_shape import area_inside, crosses_itself_by, signed_area
from plausible.io.dicom.roi_names import unique_names
from tests.io.dicom import writer


def read(folder: Path, *rois: tuple[int, str, list[writer.Dataset] | None]) -> StructureSet:
    return read_rtstruct(writer.save(folder / "rt", writer.rtstruct(rois))[0])


def doubts(folder: Path, loops: list[writer.Dataset]) -> str:
    """What is said of one structure on the axial series."""
    writer.save(folder / "ct", writer.series())
    image = read_series(folder / "ct")
    found = check_contours(read(folder, (1, "Organ", loops)), image.geometry, instance_uids=image.instance_uids)
    assert {problem.code for problem in found} <= {"E614"}
    assert {problem.severity for problem in found} <= {"warning"}
    return "\n".join(problem.found for problem in found)


def test_points_are_turned_to_the_world_of_nifti(tmp_path: Path) -> None:
    found = read(tmp_path, (4, "Organ", writer.cylinder(slices=[3])))
    (contours,) = found.contours
    assert (contours.name, contours.number, contours.colour, contours.interpreted_type) == (
        "Organ",
        4,
        (10, 20, 30),
        "ORGAN",
    )
    x, y = writer.centre()
    z = writer.ORIGIN[2] + 3 * writer.STEP
    expected = writer.circle((x, y, z), 4.0) * [-1, -1, 1]
    assert np.allclose(contours.loops[0].points_mm, expected, atol=1e-4)
    assert found.drawn_on[4] == (f"{writer.SERIES}.4",)
    assert found.series_uids == (writer.SERIES,)
    assert found.frame_of_reference_uid == writer.FRAME
    assert found.problems == ()
    assert writer.SECRET not in repr(found)


def test_what_has_no_volume_is_listed_and_stops_nothing(tmp_path: Path) -> None:
    x, y = writer.centre()
    point, pair = [[x, y, -20.0]], [[x, y, -20.0], [x + 1, y, -20.0]]
    found = read(
        tmp_path,
        (1, "Organ", [*writer.cylinder(slices=[4]), writer.loop(np.array(pair))]),
        (2, "Empty", []),
        (3, "Absent", None),
        (4, "Isocentre", [writer.loop(np.array(point), kind="POINT")]),
        (5, "Wire", [writer.loop(np.array(pair), kind="OPEN_PLANAR")]),
        (6, "Twice", [writer.loop(np.array([pair[0], pair[0], pair[1]]))]),
    )
    assert [one.name for one in found.contours] == ["Organ"]
    assert len(found.contours[0].loops) == 1
    assert {one.number: one.reason for one in found.skipped} == {
        2: "no contours",
        3: "no contours",
        4: "1 × POINT",
        5: "1 × OPEN_PLANAR",
        6: "1 × loop of 1 or 2 points",
    }
    told = {problem.found.split(":")[0]: problem for problem in found.problems}
    assert set(told) == {"Organ", "Empty", "Absent", "Isocentre", "Wire", "Twice"}
    assert {problem.code for problem in found.problems} == {"E612"}
    assert told["Organ"].severity == "warning"
    assert told["Empty"].severity == "note"


def test_damaged_contour_data_is_left_out(tmp_path: Path) -> None:
    damaged, lacking = writer.cylinder(slices=[4, 5])
    damaged.ContourData = [float(v) for v in damaged.ContourData[:-1]]
    del lacking.ContourData
    found = read(tmp_path, (1, "Organ", [*writer.cylinder(slices=[3]), damaged, lacking]))
    assert "1 × loop with damaged ContourData" in found.problems[0].found
    assert "1 × loop without points" in found.problems[0].found


def test_a_hole_by_exclusive_or_is_told_from_a_hole_by_nesting(tmp_path: Path) -> None:
    x, y = writer.centre()
    xor = [writer.loop(writer.circle((x, y, -20), r), kind="CLOSEDPLANAR_XOR") for r in (5, 2)]
    found = read(tmp_path, (1, "Ring", xor), (2, "Disk", writer.cylinder(slices=[2])))
    assert [loop.kind for loop in found.contours[0].loops] == ["CLOSEDPLANAR_XOR"] * 2
    assert found.contours[1].loops[0].kind == "CLOSED_PLANAR"


def test_rois_of_one_name_are_both_kept(tmp_path: Path) -> None:
    names = ["PTV 70", "PTV 70", "ptv_70", "Herz", "Hérz", "PTV 70_2"]
    found = read(tmp_path, *[(n, name, writer.cylinder(slices=[n])) for n, name in enumerate(names, start=1)])
    assert [one.name for one in found.contours] == ["PTV 70", "PTV 70_3", "ptv_70_4", "Herz", "Hérz", "PTV 70_2"]
    assert [one.number for one in found.contours] == [1, 2, 3, 4, 5, 6]
    assert list(found.names.values()) == names
    assert [problem.code for problem in found.problems] == ["E613", "E613"]
    assert "ROI 2 'PTV 70'" in found.problems[0].found


def test_names_are_read_in_their_own_letters(tmp_path: Path) -> None:
    ds = writer.rtstruct([(1, "Hérz 心臓", writer.cylinder(slices=[3]))])
    ds.SpecificCharacterSet = "ISO_IR 192"
    assert read_rtstruct(writer.save(tmp_path, ds)[0]).contours[0].name == "Hérz 心臓"


def test_an_roi_without_a_name_has_its_number() -> None:
    assert unique_names({7: "", 8: "A"})[0] == {7: "ROI_7", 8: "A"}


def test_a_structure_is_found_by_its_own_name_or_by_the_standard_one(tmp_path: Path) -> None:
    loops = writer.cylinder(slices=[3])
    found = read(tmp_path, (1, "RightParotid", loops), (2, "Cord", loops), (3, "Myelon", loops))
    assert found.structure("Parotid_R").number == 1
    assert found.structure("Cord").number == 2
    for name, code in (("SpinalCord", "E613"), ("Heart", "E612")):
        with pytest.raises(InvalidInput) as error:
            found.structure(name)
        assert error.value.problem.code == code


def test_without_contour_images_loops_are_placed_by_position(tmp_path: Path) -> None:
    assert doubts(tmp_path, writer.cylinder(named=False)) == ""
    assert doubts(tmp_path, writer.cylinder()) == ""


def test_a_contour_off_its_slice_is_kept_where_it_lies(tmp_path: Path) -> None:
    x, y = writer.centre()
    z = writer.ORIGIN[2] + 4 * writer.STEP
    near = [writer.loop(writer.circle((x, y, z + 1.2), 4), image=f"{writer.SERIES}.5")]
    assert doubts(tmp_path / "near", near) == ""
    far = [writer.loop(writer.circle((x, y, z + 1.4), 4), image=f"{writer.SERIES}.5")]
    assert "1 contours lie up to 0.56 slices off" in doubts(tmp_path / "far", far)


def test_what_lies_outside_the_image_is_said_with_its_share(tmp_path: Path) -> None:
    x, y = writer.centre()
    inside = writer.cylinder(slices=[9, 10, 11])
    above = writer.loop(writer.circle((x, y, writer.ORIGIN[2] + 12 * writer.STEP), 4.0))
    assert "25 % of the drawn area lies outside" in doubts(tmp_path / "above", [*inside, above])
    edge_mm = writer.ORIGIN[0] - writer.SPACING[1] / 2
    beside = [writer.loop(writer.circle((edge_mm, y, writer.ORIGIN[2]), 4.0, 400))]
    assert "50 % of the drawn area lies outside" in doubts(tmp_path / "beside", beside)


def test_regular_gaps_and_irregular_ones_are_told_apart(tmp_path: Path) -> None:
    assert "on every 2nd slice only" in doubts(tmp_path / "2", writer.cylinder(slices=[1, 3, 5, 7]))
    assert "on every 3rd slice only" in doubts(tmp_path / "3", writer.cylinder(slices=[1, 4, 7]))
    irregular = doubts(tmp_path / "parts", writer.cylinder(slices=[1, 2, 3, 6, 7, 9]))
    assert "2 gaps of up to 2 slices" in irregular


def test_slanted_contours_are_said(tmp_path: Path) -> None:
    x, y = writer.centre()
    points = writer.circle((x, y, writer.ORIGIN[2] + 10), 4)
    points[:, 2] += points[:, 0] - x
    assert "1 loops are not parallel" in doubts(tmp_path, [writer.loop(points)])


def test_odd_loops_are_handled_and_crossing_ones_said(tmp_path: Path) -> None:
    x, y = writer.centre()
    z = writer.ORIGIN[2] + 5 * writer.STEP
    whole = writer.circle((x, y, z), 4)
    repeated = np.repeat(whole, 2, axis=0)
    closed = np.vstack([whole, whole[:1]])
    tiny = writer.circle((x, y, z), 0.06)
    keyhole = np.vstack([whole, whole[:1], writer.circle((x, y, z), 2, backwards=True), [[x + 2, y, z]]])
    for n, points in enumerate((repeated, closed, tiny, keyhole)):
        assert doubts(tmp_path / str(n), [writer.loop(points)]) == ""
    eight = np.array([[x - 3, y - 3, z], [x + 3, y + 3, z], [x + 3, y - 3, z], [x - 3, y + 3, z]])
    assert "1 loops cross themselves" in doubts(tmp_path / "eight", [writer.loop(eight)])


def test_a_series_of_another_orientation_is_tested_along_its_own_normal(tmp_path: Path) -> None:
    orientation = writer.oblique()
    writer.save(tmp_path / "ct", writer.series(orientation))
    image = read_series(tmp_path / "ct")
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    loops = []
    for n in range(3, 7):
        centre = writer.positions(orientation)[n] + 9 * row + 9 * column
        angles = np.linspace(0, 2 * np.pi, 30, endpoint=False)
        points = centre + 4 * np.cos(angles)[:, None] * row + 4 * np.sin(angles)[:, None] * column
        loops.append(writer.loop(points, image=f"{writer.SERIES}.{n + 1}"))
    assert check_contours(read(tmp_path, (1, "Organ", loops)), image.geometry, instance_uids=image.instance_uids) == ()


def test_areas_of_loops() -> None:
    square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]])
    assert signed_area(square) == 4 * 3
    assert signed_area(square[::-1]) == -4 * 3
    assert area_inside(square, (1.0, 1.0), (9.0, 9.0)) == pytest.approx(3 * 2)
    assert area_inside(square, (5.0, 5.0), (9.0, 9.0)) == 0
    assert crosses_itself_by(square) == 0
    assert crosses_itself_by(np.vstack([square, square])) == pytest.approx(1)  # twice round: even-odd is empty
    bow = np.array([[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]])
    assert crosses_itself_by(bow) == pytest.approx(1)


def test_another_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="E601"):
        read_rtstruct(writer.save(tmp_path, writer.rtdose())[0])


def test_structures_of_a_second_image_are_left_out_and_said(tmp_path: Path) -> None:
    ds = writer.rtstruct([(1, "Organ", writer.cylinder()), (2, "On_MR", writer.cylinder(3.0))])
    second_image = f"{writer.ROOT}.99"
    ds.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = second_image
    found = read_rtstruct(writer.save(tmp_path, ds)[0])
    assert [one.name for one in found.contours] == ["Organ"]
    assert [(one.name, second_image in one.reason) for one in found.skipped] == [("On_MR", True)]
    assert [(one.code, one.severity) for one in found.problems] == [("E610", "warning")]
