"""DICOM SEG: each segment on the grid of the image, though empty frames are left out and slices run backwards."""

from pathlib import Path

import numpy as np
import pytest

from plausible.core import InvalidInput
from plausible.io.dicom import SeriesImage, read_seg, read_series
from tests.io.dicom import writer

highdicom = pytest.importorskip("highdicom")

SHAPE = (writer.COLUMNS, writer.ROWS, writer.SLICES)


def masks() -> dict[str, np.ndarray]:
    """Two structures in `i j k` that touch neither each other nor most of the slices."""
    one, two = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    one[3:9, 2:5, 4:7] = True
    two[10, 8, 5] = True
    return {"Organ": one, "Dot": two}


def written(folder: Path, kind: str, values: dict[str, np.ndarray], **edits: str) -> tuple[SeriesImage, Path]:
    """A SEG of some masks, by highdicom, on an oblique series."""
    slices = writer.series(writer.oblique())
    writer.save(folder / "ct", slices)
    frames = np.stack([mask.transpose(2, 1, 0) for mask in values.values()], axis=-1)  # slices rows columns segments
    code = highdicom.sr.CodedConcept("T-D0050", "SRT", "Tissue")
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=n,
            segment_label=name,
            segmented_property_category=code,
            segmented_property_type=code,
            algorithm_type="MANUAL",
        )
        for n, name in enumerate(values, start=1)
    ]
    ds = highdicom.seg.Segmentation(
        source_images=slices,
        pixel_array=frames if kind == "FRACTIONAL" else frames.astype(np.uint8),
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=f"{writer.ROOT}.40",
        series_number=4,
        sop_instance_uid=f"{writer.ROOT}.41",
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
    )
    for keyword, value in edits.items():
        setattr(ds, keyword, value)
    path = folder / "seg.dcm"
    ds.save_as(path)
    return read_series(folder / "ct"), path


def test_segments_come_back_voxel_by_voxel(tmp_path: Path) -> None:
    image, path = written(tmp_path, "BINARY", masks())
    found = read_seg(path, image=image)
    assert found.kind == "binary"
    assert found.geometry is image.geometry
    assert dict(found.numbers) == {"Organ": 1, "Dot": 2}
    for name, mask in masks().items():
        assert np.array_equal(found.mask(name), mask)
    labels = found.label_map()
    assert np.array_equal(labels.mask("Organ"), masks()["Organ"])
    assert np.array_equal(labels.values == 2, masks()["Dot"])
    assert writer.SECRET not in repr(found)


def test_probabilities_come_back_within_a_level(tmp_path: Path) -> None:
    soft = {name: mask * np.linspace(0.2, 1, SHAPE[0])[:, None, None] for name, mask in masks().items()}
    image, path = written(tmp_path, "FRACTIONAL", soft)
    found = read_seg(path, image=image)
    assert found.kind == "fractional"
    for name, values in soft.items():
        assert np.abs(found.fractions[name] - values).max() <= 0.5 / 255 + 1e-6


def test_without_an_image_the_place_is_the_same(tmp_path: Path) -> None:
    image, path = written(tmp_path, "BINARY", masks())
    alone = read_seg(path)
    assert alone.geometry.shape[2] == 3  # empty frames are not in the file
    where = np.argwhere(alone.mask("Dot"))
    assert len(where) == 1
    world = alone.geometry.affine @ [*where[0], 1]
    assert np.allclose(world, image.geometry.affine @ [10, 8, 5, 1], atol=1e-3)


def test_overlapping_segments_have_masks_and_no_label_map(tmp_path: Path) -> None:
    both = masks()
    both["Dot"][4, 3, 5] = True
    image, path = written(tmp_path, "BINARY", both)
    found = read_seg(path, image=image)
    assert np.array_equal(found.mask("Dot"), both["Dot"])
    with pytest.raises(InvalidInput, match="E308"):
        found.label_map()


@pytest.mark.parametrize(("keyword", "code"), [("PatientID", "E611"), ("FrameOfReferenceUID", "E610")])
def test_of_another_patient_or_frame_of_reference(tmp_path: Path, keyword: str, code: str) -> None:
    image, path = written(tmp_path, "BINARY", masks(), **{keyword: f"{writer.ROOT}.999"})
    with pytest.raises(InvalidInput, match=code):
        read_seg(path, image=image)


def test_another_grid_is_refused(tmp_path: Path) -> None:
    _, path = written(tmp_path, "BINARY", masks())
    writer.save(tmp_path / "other", writer.series(writer.oblique(), spacing=(1.2, 1.0)))
    with pytest.raises(InvalidInput, match="E201"):
        read_seg(path, image=read_series(tmp_path / "other"))


def test_another_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="E601"):
        read_seg(writer.save(tmp_path, writer.rtdose())[0])
    (tmp_path / "none.dcm").write_bytes(b"nothing")
    with pytest.raises(InvalidInput, match="E601"):
        read_seg(tmp_path / "none.dcm")
