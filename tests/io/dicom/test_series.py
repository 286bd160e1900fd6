"""Image series: values and places are right whatever the orientation, and what does not fit is said, never averaged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from plausible.core import InvalidInput, UnfitEnvironment
from plausible.io.dicom import SeriesImage, read_series
from tests.io.dicom import writer

Edit = Callable[[list[Dataset]], None]
ORIENTATIONS = {
    "axial": writer.AXIAL,
    "prone": writer.PRONE,
    "decubitus": writer.DECUBITUS,
    "sagittal": writer.SAGITTAL,
    "coronal": writer.CORONAL,
    "feet first": writer.FEET_FIRST,
    "oblique": writer.oblique(),
}


def check_in_place(image: SeriesImage, *, within_hu: float = 0.51) -> None:
    """Every voxel of the body has the value of its place in the world."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in image.geometry.shape], indexing="ij"), axis=-1)
    ras = index @ image.geometry.affine[:3, :3].T + image.geometry.affine[:3, 3]
    expected = writer.field(ras * [-1, -1, 1])
    body = image.values > writer.AIR / 2
    assert body.sum() > 1000
    assert np.abs(image.values - expected)[body].max() <= within_hu


def refused(code: str, source: Path, **options: bool | str) -> str:
    with pytest.raises(InvalidInput) as error:
        read_series(source, **options)
    assert error.value.problem.code == code
    told = str(error.value)
    assert writer.SECRET not in told
    return told


def warned(image: SeriesImage, code: str) -> str:
    found = [problem for problem in image.problems if problem.code == code]
    assert found, [str(problem) for problem in image.problems]
    assert all(problem.severity in {"warning", "note"} for problem in found)
    return "\n".join(map(str, found))


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_every_voxel_has_the_value_of_its_place(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    writer.save(tmp_path, writer.series(orientation))
    image = read_series(tmp_path)
    assert image.values.shape == image.geometry.shape == (writer.COLUMNS, writer.ROWS, writer.SLICES)
    assert image.geometry.spacing_mm == pytest.approx((writer.SPACING[1], writer.SPACING[0], writer.STEP))
    assert image.problems == ()
    assert image.instance_uids == tuple(f"{writer.SERIES}.{n + 1}" for n in range(writer.SLICES))
    check_in_place(image)


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_an_enhanced_file_is_the_same_volume(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    writer.save(tmp_path / "classic", writer.series(orientation))
    writer.save(tmp_path / "enhanced", writer.enhanced(orientation))
    classic, enhanced = read_series(tmp_path / "classic"), read_series(tmp_path / "enhanced")
    assert enhanced.geometry.matches(classic.geometry)
    assert np.array_equal(enhanced.values, classic.values)
    check_in_place(enhanced)


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_simpleitk_places_a_good_series_alike(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    sitk = pytest.importorskip("SimpleITK")
    writer.save(tmp_path, writer.series(orientation))
    image = read_series(tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    other = reader.Execute()
    values = sitk.GetArrayFromImage(other)  # k j i
    index = (3, 5, 7)
    ras = image.geometry.affine @ [*index, 1]
    there = other.TransformPhysicalPointToContinuousIndex([-ras[0], -ras[1], ras[2]])
    i, j, k = (round(v) for v in there)
    assert np.allclose(there, (i, j, k), atol=1e-3)
    assert values[k, j, i] == image.values[index]


def test_simpleitk_reads_copies_and_a_tilt_without_an_error(tmp_path: Path) -> None:
    """What we refuse: the figures that the page on DICOM gives as the reason."""
    sitk = pytest.importorskip("SimpleITK")
    slices, further = writer.series(), writer.series()[4]
    further.SOPInstanceUID = further.file_meta.MediaStorageSOPInstanceUID = f"{writer.SERIES}.77"
    found = {}
    for name, files in (("copy", [*slices, further]), ("tilt", writer.tilted(10))):
        writer.save(tmp_path / name, files)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / name)))
        found[name] = reader.Execute()
    assert (writer.SLICES, writer.STEP) == (12, 2.5)
    assert (found["copy"].GetSize()[2], found["copy"].GetSpacing()[2]) == (13, 1.25)
    assert found["tilt"].GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_highdicom_places_a_good_series_alike(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    highdicom = pytest.importorskip("highdicom")
    writer.save(tmp_path, writer.series(orientation))
    image = read_series(tmp_path)
    volume = highdicom.get_volume_from_series(writer.series(orientation))
    turned = np.diag([-1, -1, 1, 1]) @ image.geometry.affine
    index = np.linalg.solve(volume.affine, turned @ [3, 5, 7, 1])[:3]
    assert np.allclose(index, np.round(index), atol=1e-3)
    assert volume.array[tuple(np.round(index).astype(int))] == image.values[3, 5, 7]


def test_a_missing_slice_is_named_and_filled_only_if_asked(tmp_path: Path) -> None:
    slices = writer.series()
    writer.save(tmp_path, slices[:5] + slices[6:])
    told = refused("E603", tmp_path)
    assert "1 slice is missing" in told
    assert "(10.00 mm)" not in told  # positions are those along the normal, not distances
    assert f"({writer.ORIGIN[2] + 4 * writer.STEP:.2f} mm)" in told
    assert "fill_missing=True" in told
    image = read_series(tmp_path, fill_missing=True)
    assert image.geometry.shape[2] == writer.SLICES
    assert image.instance_uids[5] == ""
    assert image.instance_uids[6] == f"{writer.SERIES}.7"
    assert "11 slices were interpolated linearly to 12" in warned(image, "E603")
    check_in_place(image, within_hu=1.01)  # the field is linear: interpolation is right but for rounding


def test_two_slices_missing_in_a_row_are_not_invented(tmp_path: Path) -> None:
    slices = writer.series()
    writer.save(tmp_path, slices[:5] + slices[7:])
    assert "2 slices are missing" in refused("E603", tmp_path)
    assert "more than one slice in a row" in refused("E603", tmp_path, fill_missing=True, resample_uneven=True)


def test_jitter_is_taken_out_and_more_is_refused(tmp_path: Path) -> None:
    jitter = writer.STEP * np.arange(writer.SLICES)
    jitter[[0, 3, 8, 11]] += (0.04, 0.02, -0.03, 0.02)
    writer.save(tmp_path / "jitter", writer.series(at_mm=jitter))
    image = read_series(tmp_path / "jitter")
    assert image.geometry.spacing_mm[2] == pytest.approx(writer.STEP, abs=1e-9)
    assert image.geometry.affine[2, 3] == pytest.approx(writer.ORIGIN[2], abs=1e-9)
    uneven = writer.STEP * np.arange(writer.SLICES)
    uneven[6:] += 0.9
    writer.save(tmp_path / "uneven", writer.series(at_mm=uneven))
    told = refused("E604", tmp_path / "uneven")
    assert "2.5 to 3.4 mm, median 2.5 mm" in told
    resampled = read_series(tmp_path / "uneven", resample_uneven=True)
    assert "12 slices were interpolated linearly to 12" in warned(resampled, "E604")
    assert resampled.geometry.spacing_mm[2] == pytest.approx((27.5 + 0.9) / 11)
    check_in_place(resampled, within_hu=1.01)


def test_a_spacing_that_drifts_is_not_jitter(tmp_path: Path) -> None:
    """Each distance is right within 1 %, and the last slice would be a tenth of a millimetre off."""
    at = np.cumsum([0, *[2.5] * 6, *[2.524] * 5])
    writer.save(tmp_path, writer.series(at_mm=at))
    refused("E604", tmp_path)


def test_a_gantry_tilt_is_refused_or_straightened(tmp_path: Path) -> None:
    writer.save(tmp_path, writer.tilted(10))
    told = refused("E605", tmp_path)
    assert "10.0°" in told
    assert "resample_tilt=True" in told
    image = read_series(tmp_path, resample_tilt=True)
    assert "10.0°" in warned(image, "E605")
    inside = image.values.copy()
    inside[:, 1:-1] = np.where(  # neighbours of air are mixed with it
        (image.values[:, :-2] < -300) | (image.values[:, 2:] < -300), -1000, image.values[:, 1:-1]
    )
    check_in_place(SeriesImage(**{**_fields(image), "values": inside}), within_hu=1.01)


def test_a_slice_beside_the_others_is_refused(tmp_path: Path) -> None:
    slices = writer.series()
    slices[4].ImagePositionPatient[0] += 3.0
    writer.save(tmp_path, slices)
    assert "3 mm beside" in refused("E605", tmp_path)


def test_copies_are_left_out_and_two_phases_are_refused(tmp_path: Path) -> None:
    slices, further = writer.series(), writer.series()[4]
    further.SOPInstanceUID = further.file_meta.MediaStorageSOPInstanceUID = f"{writer.SERIES}.77"
    writer.save(tmp_path / "copy", [*slices, further])
    image = read_series(tmp_path / "copy")
    assert image.geometry.shape[2] == writer.SLICES
    assert "left out" in warned(image, "E606")
    check_in_place(image)
    writer.pixels(further, np.full((writer.ROWS, writer.COLUMNS), 24))
    writer.save(tmp_path / "phase", [*slices, further])
    assert "different pixels" in refused("E606", tmp_path / "phase")


def test_another_orientation_or_size_in_the_series_is_refused(tmp_path: Path) -> None:
    turned = writer.series()
    turned[7] = writer.series(writer.SAGITTAL)[7]
    writer.save(tmp_path / "turned", turned)
    told = refused("E602", tmp_path / "turned")
    assert "11 slices" in told
    assert "1 slices" in told
    spaced = writer.series()
    spaced[7].PixelSpacing = [1.5, 1.5]
    writer.save(tmp_path / "spaced", spaced)
    assert "1.5×1.5 mm" in refused("E602", tmp_path / "spaced")


def test_of_two_orientations_the_one_that_was_drawn_on_is_taken(tmp_path: Path) -> None:
    turned = writer.series(writer.SAGITTAL)
    for n, ds in enumerate(turned):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{writer.SERIES}.{n + 51}"
    writer.save(tmp_path, writer.series(), turned, stem="x")
    refused("E602", tmp_path)
    image = read_series(tmp_path, drawn_on={f"{writer.SERIES}.55"})
    assert np.abs(image.geometry.affine[0, 2]) == pytest.approx(writer.STEP)
    check_in_place(image)


def test_two_frames_of_reference_in_a_series_are_refused(tmp_path: Path) -> None:
    slices = writer.series()
    for ds in slices[6:]:
        ds.FrameOfReferenceUID = f"{writer.ROOT}.33"
    writer.save(tmp_path, slices)
    assert "2 groups of slices" in refused("E602", tmp_path)


def test_a_localizer_is_left_out(tmp_path: Path) -> None:
    scout = writer.series(writer.CORONAL)[0]
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.SOPInstanceUID = scout.file_meta.MediaStorageSOPInstanceUID = f"{writer.SERIES}.88"
    writer.save(tmp_path, writer.series(), scout)
    image = read_series(tmp_path)
    assert "localizer was left out" in warned(image, "E602")
    check_in_place(image)


def test_of_several_series_one_is_chosen_by_its_uid_or_by_what_was_drawn_on_it(tmp_path: Path) -> None:
    others = writer.series()
    for n, ds in enumerate(others):
        ds.SeriesInstanceUID = f"{writer.ROOT}.20"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{writer.ROOT}.20.{n}"
        ds.FrameOfReferenceUID = f"{writer.ROOT}.30"
        writer.pixels(ds, np.full((writer.ROWS, writer.COLUMNS), 24))
    writer.save(tmp_path / "a", writer.series())
    writer.save(tmp_path / "b", others)
    told = refused("E602", tmp_path)
    assert writer.SERIES in told
    assert f"{writer.ROOT}.20" in told
    check_in_place(read_series(tmp_path, series_uid=writer.SERIES))
    check_in_place(read_series(tmp_path, drawn_on={f"{writer.SERIES}.3"}))
    refused("E602", tmp_path, series_uid="1.2.3")


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
@pytest.mark.parametrize("which", [[4], range(writer.SLICES)], ids=["one slice", "all slices"])
def test_missing_geometry_is_refused(tmp_path: Path, keyword: str, which: list[int]) -> None:
    slices = writer.series()
    for n in which:
        delattr(slices[n], keyword)
    paths = writer.save(tmp_path, slices)
    told = refused("E607", tmp_path)
    assert f"{keyword} missing" in told
    assert any(paths[n].name in told for n in which)


@pytest.mark.parametrize("keyword", ["PlanePositionSequence", "PixelValueTransformationSequence"])
def test_missing_groups_of_a_frame_are_refused(tmp_path: Path, keyword: str) -> None:
    ds = writer.enhanced()
    delattr(ds.PerFrameFunctionalGroupsSequence[4], keyword)
    writer.save(tmp_path, ds)
    refused("E607" if "Position" in keyword else "E608", tmp_path)


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    slices = writer.series()
    for n, ds in enumerate(slices):
        slope, intercept = 0.5 + 0.5 * (n % 3), -1024 - 2 * n
        ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
        writer.pixels(ds, np.round((writer.plane_values(writer.positions()[n], writer.AXIAL) - intercept) / slope))
    writer.save(tmp_path, slices)
    check_in_place(read_series(tmp_path), within_hu=0.76)


@pytest.mark.parametrize(
    ("keyword", "value"), [("RescaleSlope", None), ("RescaleIntercept", None), ("RescaleSlope", 0)]
)
def test_a_rescale_that_is_missing_or_0_is_refused(tmp_path: Path, keyword: str, value: int | None) -> None:
    slices = writer.series()
    setattr(slices[2], keyword, value)
    paths = writer.save(tmp_path, slices)
    told = refused("E608", tmp_path)
    assert paths[2].name in told
    assert f"{keyword} {'missing' if value is None else value}" in told


def test_mr_needs_no_rescale(tmp_path: Path) -> None:
    slices = writer.series(sop_class=writer.MR)
    for ds in slices:
        del ds.RescaleSlope, ds.RescaleIntercept
    writer.save(tmp_path, slices)
    image = read_series(tmp_path)
    assert image.modality == "MR"
    assert image.values.min() == writer.AIR - writer.INTERCEPT


def test_a_ct_without_air_is_warned_of(tmp_path: Path) -> None:
    slices = writer.series()
    for ds in slices:
        ds.RescaleIntercept = 0
    writer.save(tmp_path, slices)
    assert "values from 24" in warned(read_series(tmp_path), "E608")


def test_thickness_and_spacing_between_slices_do_not_count(tmp_path: Path) -> None:
    slices = writer.series()
    for ds in slices:
        ds.SliceThickness, ds.SpacingBetweenSlices = 5, 7
    writer.save(tmp_path, slices)
    assert read_series(tmp_path).geometry.spacing_mm[2] == pytest.approx(writer.STEP)


def test_a_single_slice_has_its_thickness_and_says_so(tmp_path: Path) -> None:
    one = writer.series()[:1]
    writer.save(tmp_path / "thick", one)
    image = read_series(tmp_path / "thick")
    assert image.geometry.spacing_mm[2] == writer.STEP
    assert "a single slice" in warned(image, "E607")
    del one[0].SliceThickness
    writer.save(tmp_path / "none", one)
    refused("E607", tmp_path / "none")


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEGLSLossless", "DeflatedExplicitVRLittleEndian"])
def test_compressed_slices_are_the_same(tmp_path: Path, syntax: str) -> None:
    import pydicom.uid

    slices = writer.series()
    for ds in slices:
        if syntax.startswith("Deflated"):
            ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        else:
            try:
                ds.compress(getattr(pydicom.uid, syntax), generate_instance_uid=False)
            except RuntimeError:
                pytest.skip(f"no encoder of {syntax} here")
    writer.save(tmp_path, slices)
    image = read_series(tmp_path)
    assert image.problems == ()
    check_in_place(image)


def test_a_missing_codec_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pydicom.uid
    from pydicom.pixels.decoders.base import Decoder

    slices = writer.series()
    for ds in slices:
        ds.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    writer.save(tmp_path, slices)
    monkeypatch.setattr(Decoder, "is_available", property(lambda self: False))
    with pytest.raises(UnfitEnvironment) as error:
        read_series(tmp_path)
    assert 'pip install "plausible[codecs]"' in str(error.value)


def test_lossy_compression_and_burnt_in_text_are_warned_of(tmp_path: Path) -> None:
    slices = writer.series()
    slices[3].LossyImageCompression = "01"
    slices[4].BurnedInAnnotation = "YES"
    writer.save(tmp_path, slices)
    told = warned(read_series(tmp_path), "E609")
    assert "1 of 12 slices were compressed with loss" in told
    assert "text is burnt into 1 of 12" in told


def test_files_that_are_none_are_skipped_with_a_warning(tmp_path: Path) -> None:
    writer.save(tmp_path, writer.series())
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "Doe_Jane.txt").write_text("not DICOM")
    directory = writer.common("1.2.840.10008.1.3.10", f"{writer.ROOT}.50", "OT")
    directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    image = read_series(tmp_path)
    told = warned(image, "E601")
    assert len([problem for problem in image.problems if problem.code == "E601"]) == 3
    assert "an empty file" in told
    assert "DICOMDIR" in told
    assert "Doe" not in told
    check_in_place(image)


def test_a_truncated_slice_breaks_the_series(tmp_path: Path) -> None:
    paths = writer.save(tmp_path, writer.series())
    whole = paths[5].read_bytes()
    paths[5].write_bytes(whole[:-100])
    assert paths[5].name in refused("E609", tmp_path)
    paths[5].write_bytes(whole[:140])
    refused("E603", tmp_path)


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    slices = writer.series()
    for ds in slices:
        ds.Rows = ds.Columns = 60000
    writer.save(tmp_path / "classic", slices)
    assert "60000×60000" in refused("E619", tmp_path / "classic")
    ds = writer.enhanced()
    ds.NumberOfFrames = 2_000_000_000
    writer.save(tmp_path / "enhanced", ds)
    refused("E619", tmp_path / "enhanced")


def test_two_patients_in_a_series_are_refused(tmp_path: Path) -> None:
    slices = writer.series()
    slices[4].PatientID = "somebody else"
    writer.save(tmp_path, slices)
    assert "somebody" not in refused("E611", tmp_path)


def test_private_tags_do_not_pass_and_patients_are_not_shown(tmp_path: Path) -> None:
    slices = writer.series()
    for ds in slices:
        block = ds.private_block(0x0011, "ACME", create=True)
        block.add_new(1, "LO", "private")
        block.add_new(2, "UN", b"\x01\x02odd bytes")
    writer.save(tmp_path, slices)
    image = read_series(tmp_path)
    assert not [element for header in image.headers for element in header if element.tag.is_private]
    assert writer.SECRET not in repr(image)
    assert image.frame.patient
    assert writer.SECRET not in image.frame.patient


def test_no_image_is_said(tmp_path: Path) -> None:
    refused("E601", tmp_path)
    writer.save(tmp_path, writer.rtdose())
    assert "no CT, MR or PET image" in refused("E601", tmp_path)


def _fields(image: SeriesImage) -> dict[str, object]:
    return {name: getattr(image, name) for name in SeriesImage.__dataclass_fields__}
