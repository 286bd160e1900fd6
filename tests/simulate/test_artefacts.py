import numpy as np
import pytest

from plausible.core import Geometry, Image
from plausible.simulate import ARTEFACTS, with_artefact

GRID = Geometry((12, 10, 8), np.diag([1.0, 1.5, 2.0, 1.0]))


def image(seed: int = 0) -> Image:
    values = np.random.default_rng(seed).uniform(50, 150, (2, *GRID.shape)).astype(np.float32)
    return Image(values, GRID, ("T1", "T2"))


@pytest.mark.parametrize("name", ARTEFACTS.names)
def test_an_artefact_changes_every_channel_and_nothing_else(name):
    before = image()
    after = with_artefact(before, name, seed=0, number=3)
    assert (after.geometry, after.channels, after.values.dtype) == (before.geometry, before.channels, np.float32)
    np.testing.assert_array_equal(before.values, image().values)  # the image that went in is as it was
    for old, new in zip(before.values, after.values, strict=True):
        assert np.isfinite(new).all()
        assert np.abs(new - old).max() > 0.05 * old.std()


@pytest.mark.parametrize("name", ARTEFACTS.names)
def test_the_same_seed_and_number_give_the_same_copy(name):
    one, again, other = (with_artefact(image(), name, seed=0, number=n).values for n in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert len({array.tobytes() for array in (one, other)}) == 2 or name == "thick_slices"


@pytest.mark.parametrize("name", ["bias_field", "ghosting", "thick_slices", "blur"])
def test_a_constant_image_survives_what_moves_or_smooths(name):
    flat = Image(np.full((1, *GRID.shape), 100, np.float32), GRID, ("T1",))
    values = with_artefact(flat, name, seed=0, number=0).values
    if name == "bias_field":
        assert 3 == pytest.approx(values.max() / 100) == pytest.approx(100 / values.min())
    else:
        np.testing.assert_allclose(values, 100, rtol=1e-5)


def test_an_unknown_artefact_is_refused():
    with pytest.raises(ValueError, match="ghosting"):
        with_artefact(image(), "rain", seed=0, number=0)


def test_a_picture_of_one_slice_can_be_spoilt():
    grid = Geometry((24, 24, 1), np.eye(4))
    flat = Image(np.random.default_rng(0).uniform(50, 150, (1, 24, 24, 1)).astype(np.float32), grid, ("CT",))
    for number in range(8):
        assert with_artefact(flat, "thick_slices", seed=0, number=number).values.shape == flat.values.shape
