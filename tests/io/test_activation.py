import numpy as np
import pytest

from plausible.core import Classes, InvalidInput
from plausible.io.activation import activate, sigmoid


def test_softmax_sums_to_one_and_cannot_overflow() -> None:
    classes = Classes.exclusive_of({"background": 0, "a": 1, "b": 2})
    logits = np.array([0.0, np.log(2), np.log(5)], np.float32).reshape(3, 1, 1, 1)
    for shift in (0, 1000, -1000):
        p = activate(logits + np.float32(shift), classes=classes).ravel()
        np.testing.assert_allclose(p, [1 / 8, 2 / 8, 5 / 8], rtol=1e-4)


def test_regions_get_a_sigmoid_each() -> None:
    regions = Classes.overlapping_of({"a": [1], "b": [2]})
    logits = np.array([np.log(3), -np.log(4)], np.float32).reshape(2, 1, 1, 1)
    np.testing.assert_allclose(activate(logits, classes=regions).ravel(), [3 / 4, 1 / 5], rtol=1e-6)
    assert sigmoid(np.array([-1e4, 0, 1e4], np.float32)).tolist() == [0, 0.5, 1]


def test_inputs_stay_as_they_are() -> None:
    classes = Classes.exclusive_of({"background": 0, "a": 1})
    logits = np.arange(2, dtype=np.float32).reshape(2, 1, 1, 1)
    activate(logits, classes=classes)
    assert logits.ravel().tolist() == [0, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_told(value: float) -> None:
    classes = Classes.exclusive_of({"background": 0, "a": 1})
    logits = np.array([0, value], np.float32).reshape(2, 1, 1, 1)
    with pytest.raises(InvalidInput, match="E309"):
        activate(logits, classes=classes)
