import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import CONNECTIVITIES, connected_components


def count(mask: np.ndarray, connectivity: int) -> int:
    return len(connected_components(mask, connectivity=connectivity).voxels)


@pytest.mark.parametrize(
    ("apart", "expected"),
    [((0, 0, 1), (1, 1, 1)), ((0, 1, 1), (2, 1, 1)), ((1, 1, 1), (2, 2, 1)), ((2, 0, 0), (2, 2, 2))],
)
def test_two_voxels_touch_by_a_face_an_edge_or_a_corner(apart, expected):
    mask = np.zeros((5, 7, 11), bool)
    mask[1, 2, 3] = mask[tuple(np.add((1, 2, 3), apart))] = True
    assert tuple(count(mask, each) for each in CONNECTIVITIES) == expected


@given(seed=st.integers(0, 99), connectivity=st.sampled_from(CONNECTIVITIES))
def test_components_part_the_mask_and_are_ordered_by_size(seed, connectivity):
    mask = np.random.default_rng(seed).random((5, 7, 11)) < 0.3
    found = connected_components(mask, connectivity=connectivity)
    assert np.array_equal(found.labels > 0, mask)
    assert np.array_equal(found.voxels, np.bincount(found.labels.ravel())[1:])
    assert (np.diff(found.voxels) <= 0).all()
    for number, box in enumerate(found.boxes, start=1):
        assert np.count_nonzero(found.labels[box] == number) == found.voxels[number - 1]


def test_nothing_has_no_component():
    found = connected_components(np.zeros((5, 7, 11), bool), connectivity=26)
    assert (found.voxels.size, found.boxes) == (0, ())


@pytest.mark.parametrize("connectivity", [1, 4, 8, 27])
def test_other_connectivities_are_refused(connectivity):
    with pytest.raises(ValueError, match=f"got {connectivity}"):
        connected_components(np.ones((2, 2, 2), bool), connectivity=connectivity)
