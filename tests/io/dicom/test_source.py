import numpy as np
import pydicom
import pytest

from plausible.core import Contours, Loop
from plausible.io.dicom import (
    UidMap,
    deidentified,
    read_rtstruct,
    read_seg,
    read_series,
    source_of,
    write_rtstruct,
    write_seg,
)
from tests.io.dicom.checkers import errors_of
from tests.io.dicom.sources import NAME, NUMBER, write_ct
from tests.io.dicom.writer import SECRET, enhanced, oblique, save, series
from tests.io.folders import code_of


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """An enhanced CT whose frames lie in no order."""
    folder = tmp_path_factory.mktemp("enhanced")
    save(folder, enhanced(oblique(), shuffled=True))
    return read_series(folder)


def corner(shape) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[3:9, 4:7, 2:5] = True
    return mask


def test_segments_on_frames_in_any_order_lie_where_they_were(frames, tmp_path) -> None:
    mask = corner(frames.geometry.shape)
    write_seg(tmp_path / "seg.dcm", {"Corner": mask}, source_of(frames), kind="binary")
    again = read_seg(tmp_path / "seg.dcm", image=frames)
    assert np.array_equal(next(iter(again.fractions.values())) > 0.5, mask)
    assert errors_of(tmp_path / "seg.dcm") == []


def test_contours_name_the_frame_they_lie_in(frames, tmp_path) -> None:
    affine, source = frames.geometry.affine, source_of(frames)
    loops = [np.array([[3.0, 4, k], [9, 4, k], [3, 7, k]]) @ affine[:3, :3].T + affine[:3, 3] for k in (2, 3, 7)]
    write_rtstruct(tmp_path / "rt.dcm", [Contours("A", 1, tuple(map(Loop, loops)))], source)
    made = pydicom.dcmread(tmp_path / "rt.dcm")
    groups = frames.headers[0].PerFrameFunctionalGroupsSequence
    for contour in made.ROIContourSequence[0].ContourSequence:
        frame = contour.ContourImageSequence[0].ReferencedFrameNumber
        origin = np.array(groups[frame - 1].PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        normal = np.cross(np.array(oblique()[:3]), np.array(oblique()[3:]))
        assert np.abs((points - origin) @ normal).max() < 2e-3
    assert errors_of(tmp_path / "rt.dcm") == []


def test_contours_are_moved_onto_a_slice_that_jitters(tmp_path) -> None:
    at_mm = 2.5 * np.arange(12) + np.where(np.arange(12) == 5, 0.02, 0)
    save(tmp_path / "ct", series(at_mm=at_mm))
    image = read_series(tmp_path / "ct")
    points = (
        np.array([[3.0, 4, 5], [9, 4, 5], [3, 7, 5]]) @ image.geometry.affine[:3, :3].T + image.geometry.affine[:3, 3]
    )
    write_rtstruct(tmp_path / "rt.dcm", [Contours("A", 1, (Loop(points),))], source_of(image))
    (loop,) = read_rtstruct(tmp_path / "rt.dcm").contours[0].loops
    assert loop.points_mm[:, 2] - points[:, 2] == pytest.approx([0.02] * 3, abs=2e-3)


def test_interpolated_slices_cannot_be_referred_to(tmp_path) -> None:
    slices = series()
    save(tmp_path / "ct", [*slices[:5], *slices[6:]])
    image = read_series(tmp_path / "ct", fill_missing=True)
    assert code_of(lambda: source_of(image)) == "E623"


def test_without_the_patient_geometry_is_the_same_and_the_original_stays(tmp_path) -> None:
    image = read_series(write_ct(tmp_path / "ct"))
    source, uids = source_of(image), UidMap()
    bare = deidentified(source, uids, pseudonym="case_1")
    assert (str(source.header.PatientName), source.header.PatientID) == (NAME, NUMBER)
    assert bare.geometry is source.geometry
    for one, other in zip(bare.planes, source.planes, strict=True):
        assert one.instance_uid == one.header.SOPInstanceUID == uids.of(other.instance_uid) != other.instance_uid
        assert one.header.ImagePositionPatient == other.header.ImagePositionPatient
    said = str(bare.header)
    assert not [word for word in (NUMBER, "Müller", "Beispielstadt", "Referrer", "20240105") if word in said]
    again = deidentified(source, UidMap(dict(uids.known)), pseudonym="case_1")
    assert again.frame_of_reference_uid == bare.frame_of_reference_uid


def test_frames_keep_their_geometry_without_the_patient(frames, tmp_path) -> None:
    bare = deidentified(source_of(frames), UidMap(), pseudonym="case_1")
    mask = corner(frames.geometry.shape)
    write_seg(tmp_path / "seg.dcm", {"Corner": mask}, bare, kind="binary")
    assert SECRET.encode() not in (tmp_path / "seg.dcm").read_bytes()


def test_a_map_of_identifiers_is_read_again_and_nothing_else_is(tmp_path) -> None:
    first = UidMap.read(tmp_path / "none.json")
    new = first.of("1.2.3")
    assert new.startswith("2.25.")
    assert first.of("1.2.3") == new != first.of("1.2.4")
    assert first.of("") == ""
    first.write(tmp_path / "map.json")
    assert UidMap.read(tmp_path / "map.json").of("1.2.3") == new
    for bad in ("", "[]", '{"format": "other"}'):
        (tmp_path / "bad.json").write_text(bad)
        assert code_of(lambda: UidMap.read(tmp_path / "bad.json")) == "E625"
