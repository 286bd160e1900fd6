import math

import numpy as np
import pytest

from plausible.core import Classes, Geometry, LabelMap, ScalarMap


def scalar_map(geometry: Geometry, frames: tuple[str, ...]) -> ScalarMap:
    values = np.arange(len(frames) * geometry.n_voxels, dtype=np.float32).reshape(len(frames), *geometry.shape)
    return ScalarMap("entropy", values, geometry, "nat", (0.0, math.log(2)), "H(p)", frames)


def test_a_label_map_knows_the_voxels_of_each_structure(geometry: Geometry, classes: Classes) -> None:
    values = np.zeros(geometry.shape, np.uint8)
    values[1, 2, 3], values[4, 5, 6] = 5, 1
    labels = LabelMap(values, geometry, classes)
    assert np.argwhere(labels.mask("spleen")).tolist() == [[1, 2, 3]]
    assert np.argwhere(labels.mask("liver")).tolist() == [[4, 5, 6]]
    assert not labels.mask("kidney").any()


def test_a_region_holds_all_its_values(geometry: Geometry, regions: Classes) -> None:
    values = np.zeros(geometry.shape, np.uint8)
    values[0, 0, :3] = (1, 2, 3)
    labels = LabelMap(values, geometry, regions)
    assert [int(labels.mask(name).sum()) for name in ("whole", "core", "enhancing")] == [3, 2, 1]


def test_a_frame_is_found_by_its_structure(geometry: Geometry) -> None:
    both = scalar_map(geometry, ("liver", "kidney"))
    np.testing.assert_array_equal(both.frame("kidney"), both.values[1])
    with pytest.raises(ValueError, match="not in tuple"):
        both.frame("spleen")


def test_one_frame_for_all_structures_serves_any(geometry: Geometry) -> None:
    one = scalar_map(geometry, ("",))
    np.testing.assert_array_equal(one.frame("liver"), one.values[0])


def test_values_that_do_not_fit_the_grid_or_the_frames_are_refused(geometry: Geometry) -> None:
    good = scalar_map(geometry, ("",))
    for values, frames in ((good.values[:, :-1], ("",)), (good.values, ("liver", "kidney"))):
        with pytest.raises(ValueError, match="entropy: values"):
            ScalarMap("entropy", values, geometry, "nat", (0.0, 1.0), "H(p)", frames)
