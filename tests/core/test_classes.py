"""What channels mean: label maps to probabilities and back, exclusive classes and overlapping regions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from plausible.core import Classes, InvalidInput
from tests.conftest import SHAPE


def test_exclusive_classes_come_in_the_order_of_their_values() -> None:
    classes = Classes.exclusive_of({"spleen": 5, "background": 0, "liver": 1})
    assert classes.names == ("background", "liver", "spleen")
    assert classes.labels == ((0,), (1,), (5,))
    assert classes.structures == ("liver", "spleen")
    assert classes.channel("spleen") == 2
    assert classes.label_values() == {0, 1, 5}


def test_regions_keep_the_order_they_are_told_in(regions: Classes) -> None:
    assert regions.structures == regions.names == ("whole", "core", "enhancing")
    assert regions.label_values() == {0, 1, 2, 3}


@pytest.mark.parametrize("labels", [{"liver": 1}, {}, {"background": 1, "liver": 2}])
def test_exclusive_classes_need_a_background(labels: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="background of value 0"):
        Classes.exclusive_of(labels)


def test_names_are_unique_and_each_has_its_values() -> None:
    with pytest.raises(ValueError, match="name of its own"):
        Classes(("a", "a"), True, ((0,), (1,)))
    with pytest.raises(ValueError, match="name of its own"):
        Classes(("a", "b"), True, ((0,),))
    with pytest.raises(ValueError, match="name of its own"):
        Classes((), True, ())


def test_an_order_names_every_region() -> None:
    with pytest.raises(ValueError, match="2 entries for 3 regions"):
        Classes.overlapping_of({"a": [1], "b": [2], "c": [3]}, order=[1, 2])


LABELS = arrays.arrays(np.int32, SHAPE, elements=st.sampled_from([0, 1, 2, 5]))
REGION_LABELS = arrays.arrays(np.uint8, SHAPE, elements=st.integers(0, 3))


@given(labels=LABELS)
def test_a_label_map_comes_back_from_its_probabilities(classes: Classes, labels: np.ndarray) -> None:
    p = classes.encode(labels)
    assert p.dtype == np.float32
    np.testing.assert_array_equal(p.sum(axis=0), 1)
    np.testing.assert_array_equal(classes.decode(p), labels)


@given(labels=REGION_LABELS)
def test_a_label_map_of_nested_regions_comes_back(regions: Classes, labels: np.ndarray) -> None:
    p = regions.encode(labels)
    np.testing.assert_array_equal(p[0], labels >= 1)
    np.testing.assert_array_equal(p[2], labels == 3)
    np.testing.assert_array_equal(regions.decode(p), labels)


def test_equal_probabilities_go_to_the_class_that_comes_first() -> None:
    classes = Classes.exclusive_of({"background": 0, "a": 1, "b": 2})
    p = np.array([0.2, 0.4, 0.4], np.float32).reshape(3, 1, 1, 1)
    assert classes.decode(p).item() == 1
    assert classes.masks(p).ravel().tolist() == [True, False]


def test_one_half_is_not_inside_a_region_and_later_regions_lie_on_top() -> None:
    regions = Classes.overlapping_of({"a": [1, 2], "b": [2]}, order=[1, 2])
    p = np.array([[0.5, 0.6, 0.6], [0.9, 0.9, 0.5]], np.float32).reshape(2, 3, 1, 1)
    assert regions.decode(p).ravel().tolist() == [2, 2, 1]
    assert regions.masks(p)[0].ravel().tolist() == [False, True, True]


def test_masks_leave_the_background_out(classes: Classes, regions: Classes) -> None:
    p = np.zeros((4, *SHAPE), np.float32)
    p[0] = 1
    assert classes.masks(p).shape == (3, *SHAPE)
    assert not classes.masks(p).any()
    assert regions.masks(p[:3]).shape == (3, *SHAPE)
    assert regions.masks(p[:3])[0].all()


@given(labels=LABELS)
def test_masks_are_the_label_map_taken_apart(classes: Classes, labels: np.ndarray) -> None:
    masks = classes.masks(classes.encode(labels))
    for structure, value in (("liver", 1), ("kidney", 2), ("spleen", 5)):
        np.testing.assert_array_equal(masks[classes.channel(structure) - 1], labels == value)


def test_regions_without_an_order_make_no_label_map() -> None:
    regions = Classes.overlapping_of({"a": [1, 2], "b": [2]})
    with pytest.raises(InvalidInput, match="E304"):
        regions.decode(np.zeros((2, *SHAPE), np.float32))


@pytest.mark.parametrize(("value", "dtype"), [(255, np.uint8), (256, np.uint16)])
def test_label_maps_are_as_small_as_their_values_allow(value: int, dtype: type) -> None:
    classes = Classes.exclusive_of({"background": 0, "last": value})
    assert classes.label_dtype == dtype
    p = np.zeros((2, 1, 1, 1), np.float32)
    p[1] = 1
    assert classes.decode(p).item() == value
    assert Classes.overlapping_of({"a": [1]}, order=[value]).label_dtype == dtype
