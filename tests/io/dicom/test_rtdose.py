"""RTDOSE: Gy at the right places whatever the offsets say, and nothing that is no dose of a plan."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from plausible.core import InvalidInput
from plausible.core.problems import ProblemWarning
from plausible.io.dicom import RtDose, open_rtdose, read_rtdose
from tests.io.dicom import writer

Z = writer.ORIGIN[2]
EVEN = np.array([writer.STEP * n for n in range(writer.SLICES)])
UNEVEN = (0.0, 2.5, 5.0, 10.0, 12.5)


def opened(folder: Path, *objects: Dataset, **options: float | int | str) -> RtDose:
    writer.save(folder, *objects)
    return open_rtdose(folder, **options)


def check_in_place(found: RtDose, *, times: float = 1.0) -> None:
    """Every voxel has the dose of its place, within half a stored step."""
    geometry = found.dose.geometry
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), axis=-1)
    ras = index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    assert np.abs(found.dose.dose_gy - times * writer.dose_gy(ras * [-1, -1, 1])).max() < 2e-4 * max(times, 1)


def refused(code: str, folder: Path, *objects: Dataset, **options: float | int | str) -> str:
    with pytest.raises(InvalidInput) as error:
        opened(folder, *objects, **options)
    assert error.value.problem.code == code
    assert writer.SECRET not in str(error.value)
    return str(error.value)


OFFSETS = {
    "relative": (EVEN, EVEN),
    "decreasing": (-EVEN, -EVEN),
    "absolute": (EVEN + Z, EVEN),
    "absolute, decreasing": (Z - EVEN, -EVEN),
    "uneven": (UNEVEN, UNEVEN),
}


@pytest.mark.parametrize("which", OFFSETS)
def test_frames_lie_where_the_offsets_say(tmp_path: Path, which: str) -> None:
    offsets, at_mm = OFFSETS[which]
    found = opened(tmp_path, writer.rtdose(offsets, at_mm=at_mm))
    assert found.dose.geometry.spacing_mm == pytest.approx((writer.SPACING[1], writer.SPACING[0], writer.STEP))
    check_in_place(found)
    if which == "uneven":
        assert found.dose.geometry.shape[2] == 6
        assert "5 frames interpolated linearly at their true positions to 6" in found.method
        assert [(problem.code, problem.severity) for problem in found.problems] == [("E604", "note")]
    else:
        assert found.method == "frames as stored"
        assert found.problems == ()


@pytest.mark.parametrize("orientation", [writer.PRONE, writer.FEET_FIRST, writer.SAGITTAL, writer.oblique()])
def test_other_orientations(tmp_path: Path, orientation: Sequence[float]) -> None:
    check_in_place(opened(tmp_path, writer.rtdose(orientation=orientation)))


def test_absolute_offsets_of_a_flipped_plane_go_the_other_way(tmp_path: Path) -> None:
    """The normal points to the feet, so that z positions that ascend lie against it."""
    flipped = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    check_in_place(opened(tmp_path, writer.rtdose(EVEN + Z, orientation=flipped, at_mm=-EVEN)))


def test_offsets_that_are_missing_or_of_other_frames_are_refused(tmp_path: Path) -> None:
    ds = writer.rtdose()
    del ds.GridFrameOffsetVector
    assert "no GridFrameOffsetVector" in refused("E615", tmp_path / "none", ds)
    ds = writer.rtdose()
    ds.GridFrameOffsetVector = [float(v) for v in EVEN[:-1]]
    assert "12 frames and 11 offsets" in refused("E615", tmp_path / "few", ds)
    assert "two frames at one offset" in refused("E615", tmp_path / "twice", writer.rtdose((0.0, 2.5, 2.5, 5.0)))
    strange = writer.rtdose(EVEN + 100, at_mm=EVEN)
    assert "a first offset of 100" in refused("E615", tmp_path / "strange", strange)


def test_a_single_frame_has_its_thickness(tmp_path: Path) -> None:
    ds = writer.rtdose((0.0,))
    refused("E615", tmp_path / "none", ds)
    ds.SliceThickness = 4
    assert opened(tmp_path / "thick", ds).dose.geometry.spacing_mm[2] == 4


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_missing_geometry_is_refused(tmp_path: Path, keyword: str) -> None:
    ds = writer.rtdose()
    delattr(ds, keyword)
    assert f"{keyword} missing" in refused("E607", tmp_path, ds)


def test_directions_that_are_not_at_right_angles_are_refused(tmp_path: Path) -> None:
    for n, cosines in enumerate([(1, 0, 0, 0, 0.9, 0), (1, 0, 0, 0.1, 0.995, 0), (2, 0, 0, 0, 1, 0)]):
        ds = writer.rtdose()
        ds.ImageOrientationPatient = list(cosines)
        assert "right angles" in refused("E607", tmp_path / str(n), ds)


@pytest.mark.parametrize("value", [None, 0])
def test_a_scaling_that_is_missing_or_0_is_refused(tmp_path: Path, value: int | None) -> None:
    ds = writer.rtdose()
    ds.DoseGridScaling = value
    assert f"DoseGridScaling {'missing' if value is None else value}" in refused("E615", tmp_path, ds)


def test_a_stray_rescale_is_ignored_and_said(tmp_path: Path) -> None:
    ds = writer.rtdose()
    ds.RescaleSlope, ds.RescaleIntercept = 3, 7
    found = opened(tmp_path, ds)
    check_in_place(found)
    assert "RescaleSlope 3" in found.problems[0].found
    assert found.problems[0].code == "E618"


def test_16_bits_are_read_and_coarse_steps_said(tmp_path: Path) -> None:
    fine = opened(tmp_path / "fine", writer.rtdose(scaling=1e-3, bits=16))
    assert fine.problems == ()
    coarse = opened(tmp_path / "coarse", writer.rtdose(scaling=0.02, bits=16))
    assert "steps of 0.02 Gy" in coarse.problems[0].found
    assert np.abs(coarse.dose.dose_gy - fine.dose.dose_gy).max() <= 0.02 / 2 + 1e-3


def test_a_relative_dose_needs_what_1_stands_for(tmp_path: Path) -> None:
    ds = writer.rtdose()
    ds.DoseUnits = "RELATIVE"
    assert "prescription_gy=60" in refused("E616", tmp_path, ds)
    check_in_place(open_rtdose(tmp_path, prescription_gy=2.0), times=2.0)


def test_effective_dose_is_labelled_and_errors_are_refused(tmp_path: Path) -> None:
    ds = writer.rtdose()
    ds.DoseType = "EFFECTIVE"
    found = opened(tmp_path / "rbe", ds)
    assert found.dose.kind == "effective"
    assert [problem.code for problem in found.problems] == ["E616"]
    ds.DoseType = "ERROR"
    assert "DoseType ERROR" in refused("E616", tmp_path / "error", ds)
    ds.DoseType, ds.DoseUnits = "PHYSICAL", None
    assert "DoseUnits missing" in refused("E616", tmp_path / "units", ds)


@pytest.mark.parametrize(("times", "told"), [(100, "a maximum of 2982 Gy"), (0.01, "a maximum of 0.2982 Gy")])
def test_an_implausible_maximum_is_said(tmp_path: Path, times: float, told: str) -> None:
    ds = writer.rtdose()
    ds.DoseGridScaling = 1e-4 * times
    assert told in "\n".join(problem.found for problem in opened(tmp_path, ds).problems)


def test_the_dose_of_the_plan_is_preferred(tmp_path: Path) -> None:
    beams = [writer.beam_dose(n, 0.5) for n in (1, 2)]
    found = opened(tmp_path, *beams, writer.rtdose(), writer.rtplan())
    assert found.summation == "PLAN"
    check_in_place(found)


def test_a_complete_set_of_beams_is_added(tmp_path: Path) -> None:
    shares = {1: 0.25, 2: 0.75}
    found = opened(tmp_path, *(writer.beam_dose(n, s) for n, s in shares.items()), writer.rtplan())
    check_in_place(found)
    assert "2 beams added" in found.method
    assert [(problem.code, problem.severity) for problem in found.problems] == [("E617", "warning")]
    assert set(found.instance_uids) == {f"{writer.DOSE}.1", f"{writer.DOSE}.2"}


def test_an_incomplete_set_of_beams_is_refused(tmp_path: Path) -> None:
    one, two = writer.beam_dose(1, 0.5), writer.beam_dose(2, 0.5)
    assert "beams [1] of the plan's [1, 2]" in refused("E617", tmp_path / "one", one, writer.rtplan())
    assert "0 of them given" in refused("E617", tmp_path / "no plan", one, two)
    again = writer.beam_dose(1, 0.5)
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = f"{writer.DOSE}.11"
    assert "beams [1, 1, 2]" in refused("E617", tmp_path / "twice", one, again, two, writer.rtplan())


def test_beams_on_two_grids_are_refused(tmp_path: Path) -> None:
    one, two = writer.beam_dose(1, 0.5), writer.beam_dose(2, 0.5)
    two.ImagePositionPatient = [-10.0, 7.0, -31.0]
    assert "affine" in refused("E201", tmp_path, one, two, writer.rtplan())


def test_of_several_plans_one_is_chosen(tmp_path: Path) -> None:
    other = writer.rtdose(instance=f"{writer.DOSE}.9", scaling=2e-4)
    told = refused("E617", tmp_path, writer.rtdose(), other)
    assert f"{writer.DOSE}.9" in told
    check_in_place(open_rtdose(tmp_path, instance_uid=writer.DOSE))


def test_the_dose_of_a_fraction_is_multiplied_only_if_told(tmp_path: Path) -> None:
    ds = writer.rtdose()
    ds.DoseSummationType = "FRACTION"
    assert "n_fractions=" in refused("E617", tmp_path, ds)
    found = open_rtdose(tmp_path, n_fractions=3)
    check_in_place(found, times=3)
    assert "one fraction times 3" in found.method


@pytest.mark.parametrize("summation", ["CONTROL_POINT", "RECORD", ""])
def test_other_sums_are_refused(tmp_path: Path, summation: str) -> None:
    ds = writer.rtdose()
    ds.DoseSummationType = summation
    refused("E617", tmp_path, ds)


def test_damaged_pixels_and_absurd_sizes(tmp_path: Path) -> None:
    path = writer.save(tmp_path / "cut", writer.rtdose())[0]
    path.write_bytes(path.read_bytes()[:-200])
    refused("E609", tmp_path / "cut")
    ds = writer.rtdose()
    ds.Rows = ds.Columns = 60000
    refused("E619", tmp_path / "huge", ds)


def test_no_dose_is_said(tmp_path: Path) -> None:
    assert "no RT Dose" in refused("E601", tmp_path, *writer.series())


def test_the_short_form_warns_of_what_the_long_one_lists(tmp_path: Path) -> None:
    ds = writer.rtdose()
    ds.DoseType = "EFFECTIVE"
    writer.save(tmp_path, ds)
    with pytest.warns(ProblemWarning, match="E616"):
        dose = read_rtdose(tmp_path)
    assert dose.kind == "effective"


@pytest.mark.parametrize("which", ["relative", "decreasing", "absolute"])
def test_simpleitk_places_frames_alike(tmp_path: Path, which: str) -> None:
    """It is right for these, and applies no scaling; uneven offsets it reads wrong."""
    sitk = pytest.importorskip("SimpleITK")
    offsets, at_mm = OFFSETS[which]
    path = writer.save(tmp_path, writer.rtdose(offsets, at_mm=at_mm))[0]
    found = open_rtdose(path)
    other = sitk.ReadImage(str(path))
    index = (3, 5, 7)
    ras = found.dose.geometry.affine @ [*index, 1]
    i, j, k = other.TransformPhysicalPointToIndex([-ras[0], -ras[1], ras[2]])
    assert sitk.GetArrayFromImage(other)[k, j, i] * 1e-4 == pytest.approx(found.dose.dose_gy[index], abs=1e-5)
