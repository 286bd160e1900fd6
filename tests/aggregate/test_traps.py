"""What published code computes under the names of our aggregates: wrong values that no other test names, and ours."""

import numpy as np
import pytest

from plausible.aggregate import REDUCTIONS, CaseMasks, RegionValues, regions_of
from plausible.core import Geometry

MEAN = REDUCTIONS["mean"].function


def case(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> CaseMasks:
    """A liver of 3 x 4 x 5 voxels in the corner's neighbourhood of an image."""
    mask = np.zeros(shape, bool)
    mask[6:9, 7:11, 8:13] = True
    return CaseMasks(mask[None], mask[None], Geometry(shape, np.diag([*spacing_mm, 1.0])), ("liver",))


@pytest.mark.parametrize("shape", [(20, 21, 22), (40, 21, 22)])
def test_the_mean_in_a_structure_does_not_know_the_field_of_view(shape):
    """MS_WML_uncs masks the map and takes the mean of the whole array: twice the air, half the uncertainty."""
    masks = case(shape, (1.0, 1.0, 1.0))
    values = np.full(shape, 0.4, np.float32)
    masked = np.where(masks.predicted[0], values, 0).mean()
    assert masked == pytest.approx(0.4 * 3 * 4 * 5 / np.prod(shape), rel=1e-5)  # wrong
    (region,) = regions_of(masks, ["predicted_structure"])
    assert MEAN(RegionValues(region.read(values), 0.001)) == pytest.approx(0.4)


def test_a_band_of_four_voxels_is_not_as_wide_in_every_direction():
    """Zenk's band is four pixels wide: 4 mm in the plane and 12 mm across slices of 3 mm."""
    spacing, shape = (1.0, 1.0, 3.0), (20, 21, 24)
    masks = case(shape, spacing)
    (band,) = regions_of(masks, ["boundary"], boundary_mm=4.0)
    inside = np.zeros(shape, bool)
    inside[band.box] = band.inside
    (counted,) = regions_of(case(shape, (1.0, 1.0, 1.0)), ["boundary"], boundary_mm=4.0)
    in_voxels = np.zeros(shape, bool)
    in_voxels[counted.box] = counted.inside
    beyond = [np.flatnonzero(each[7, 8, 13:]).size for each in (inside, in_voxels)]
    assert beyond == [1, 4]  # one slice of 3 mm, where the band in voxels takes four
    aside = [np.flatnonzero(each[9:, 8, 10]).size for each in (inside, in_voxels)]
    assert aside == [4, 4]
    assert [bool(each[8 + 3, 8, 12 + 1]) for each in (inside, in_voxels)] == [3**2 + 3**2 <= 4**2, 3**2 + 1 <= 4**2]
