"""Images as nnU-Net's readers hand them over, against SimpleITK and nibabel reading the same file."""

import nibabel
import numpy as np
import pytest
import SimpleITK

from plausible.sample.nnunet_image import as_read, file_spacing_mm
from tests.sample.nnunet_models import oblique_geometry, random_image, write_images

GRIDS = {
    "plain": {"degrees": 0.0},
    "oblique": {},
    "axes permuted": {"axes": (2, 0, 1)},
    "axes permuted and mirrored": {"axes": (1, 2, 0), "signs": (-1, -1, 1)},
    "left-handed": {"signs": (-1, 1, 1)},
}


@pytest.fixture(params=GRIDS.values(), ids=GRIDS)
def image(request):
    return random_image(oblique_geometry(**request.param))


def test_simpleitk_reads_the_same(image, tmp_path):
    (path,) = write_images(tmp_path, image)
    read, expected = as_read(image, reader="SimpleITKIO"), SimpleITK.ReadImage(path)
    np.testing.assert_array_equal(read.values[0], SimpleITK.GetArrayFromImage(expected))
    assert read.spacing_zyx == expected.GetSpacing()[::-1]


def test_simpleitk_turns_to_ras_as_we_do(image, tmp_path):
    (path,) = write_images(tmp_path, image)
    read = as_read(image, reader="SimpleITKIOWithReorient")
    expected = SimpleITK.DICOMOrient(SimpleITK.ReadImage(path), "RAS")
    np.testing.assert_array_equal(read.values[0], SimpleITK.GetArrayFromImage(expected))
    assert read.spacing_zyx == expected.GetSpacing()[::-1]


def test_nibabel_turns_to_ras_as_we_do(image, tmp_path):
    (path,) = write_images(tmp_path, image)
    read = as_read(image, reader="NibabelIOWithReorient")
    expected = nibabel.as_closest_canonical(nibabel.load(path))
    np.testing.assert_array_equal(read.values[0], expected.get_fdata().transpose(2, 1, 0))
    np.testing.assert_allclose(read.spacing_zyx, expected.header.get_zooms()[::-1], rtol=2e-7)


@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIO", "SimpleITKIOWithReorient", "NibabelIOWithReorient"])
def test_what_was_turned_is_turned_back(image, reader):
    read = as_read(image, reader=reader)
    np.testing.assert_array_equal(read.restore(read.values), image.values)


@pytest.mark.parametrize("spacing", [(1.0, 0.5, 3.0), (0.7421875, 0.7421875, 5.0), (0.9765625, 0.9, 2.5)])
def test_spacing_is_that_of_the_header_however_oblique(spacing):
    """A third axis exactly three times as coarse must not become a little coarser than that."""
    stored = tuple(float(np.float32(mm)) for mm in spacing)
    for degrees in (0.0, 3.0, 17.0, 31.0):
        assert file_spacing_mm(oblique_geometry(spacing=spacing, degrees=degrees)) == stored


def test_other_readers_are_refused(image):
    with pytest.raises(ValueError, match="Tiff3DIO"):
        as_read(image, reader="Tiff3DIO")
