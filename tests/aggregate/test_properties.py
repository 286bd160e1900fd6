"""What algebra says of every reduction, read in the region where it is published: the table of the documentation."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plausible.aggregate import REDUCTIONS, AggregationSettings, CaseMasks, aggregate_maps
from plausible.core import Geometry, ScalarMap

EVERY = pytest.mark.parametrize("name", REDUCTIONS.names)
SHAPE = (13, 14, 15)
THRESHOLD = 0.5


@dataclass(frozen=True)
class Properties:
    """Of one reduction.

    monotone: never falls as the uncertainty of a voxel rises.
    cropped: the same after certain background is cropped.
    grows: larger for a larger object of the same uncertainty ("weakly": never smaller), the same, or neither.
    arranged: sees where voxels lie ("class": only through the structure they are in).
    """

    monotone: bool
    cropped: bool
    grows: Literal["yes", "weakly", "same", "neither"]
    arranged: Literal["yes", "class", "no"]


TABLE = {
    "mean": Properties(True, False, "yes", "no"),
    "sum": Properties(True, True, "yes", "no"),
    "max": Properties(True, True, "same", "no"),
    "quantile_95": Properties(True, False, "weakly", "no"),
    "top_share_5": Properties(True, False, "weakly", "no"),
    "foreground_ratio_quantile": Properties(True, True, "same", "no"),
    "mean_above_threshold": Properties(False, True, "same", "no"),
    "largest_patch_mean": Properties(True, True, "weakly", "yes"),
    "largest_patch_sum": Properties(True, True, "weakly", "yes"),
    "balanced_class_mean": Properties(True, True, "same", "class"),
    "size_weighted_class_mean": Properties(True, True, "same", "class"),
    "distance_weighted_mean": Properties(True, False, "yes", "yes"),
    "morans_i": Properties(False, False, "neither", "yes"),
    "morans_i_by_distance": Properties(False, False, "neither", "yes"),
    "gearys_c": Properties(False, False, "neither", "yes"),
    "gearys_c_by_distance": Properties(False, False, "neither", "yes"),
    "moran_mass_ratio": Properties(False, True, "neither", "yes"),
    "edge_mass_ratio": Properties(False, True, "neither", "yes"),
    "entropy_mass_ratio": Properties(False, True, "neither", "yes"),
}


def number(
    name: str, values: np.ndarray, mask: np.ndarray, *, spacing_mm: tuple[float, ...] = (1.0, 1.5, 2.0)
) -> float:
    geometry = Geometry(values.shape, np.diag([*spacing_mm, 1.0]))
    entropy = ScalarMap("predictive_entropy", values[None].astype(np.float32), geometry, "nat", (0.0, 1.0), "")
    told = AggregationSettings(patch_mm=6.0, thresholds={"predictive_entropy": THRESHOLD})
    masks = CaseMasks(mask[None], mask[None], geometry, ("liver",))
    (row,) = aggregate_maps([entropy], masks, subject="s1", aggregations=[name], settings=told)
    return row.value


def cube(half: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(n // 2 - half, n // 2 + half) for n in SHAPE)] = True
    return mask


def some_map(seed: int) -> np.ndarray:
    """Uncertain around a cube, certain far from it."""
    return np.random.default_rng(seed).random(SHAPE) * cube(4)


def raised(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    higher = values.copy()
    place = tuple(np.argwhere(cube(4))[rng.integers(8**3)])
    higher[place] += rng.random() * (1 - higher[place])
    return higher


def test_every_reduction_is_in_the_table():
    assert set(TABLE) == set(REDUCTIONS.names)


@pytest.mark.parametrize("name", [name for name, of in TABLE.items() if of.monotone])
@settings(max_examples=10)
@given(seed=st.integers(0, 999))
def test_more_uncertainty_is_never_less(name, seed):
    values = some_map(seed)
    higher = raised(values, np.random.default_rng(seed + 1))
    assert number(name, higher, cube(3)) >= number(name, values, cube(3)) * (1 - 1e-6)


@pytest.mark.parametrize("name", [name for name, of in TABLE.items() if not of.monotone])
def test_more_uncertainty_can_be_less(name):
    values, rng = some_map(0), np.random.default_rng(1)
    before = number(name, values, cube(3))
    assert min(number(name, raised(values, rng), cube(3)) for _ in range(12)) < before - 1e-6


@EVERY
@settings(max_examples=5)
@given(seed=st.integers(0, 99))
def test_cropping_certain_background(name, seed):
    values, mask = some_map(seed), cube(3)
    wide = number(name, np.pad(values, ((0, 9), (3, 3), (0, 0))), np.pad(mask, ((0, 9), (3, 3), (0, 0))))
    assert (wide == pytest.approx(number(name, values, mask), rel=1e-5)) == TABLE[name].cropped


@EVERY
def test_larger_objects(name):
    sizes = [cube(half) for half in (1, 2, 3, 4, 5)]
    found = np.array([number(name, 0.6 * mask, mask) for mask in sizes])
    steps = np.diff(found)
    expected = {
        "yes": (steps > 0).all(),
        "weakly": (steps >= -1e-9).all() and steps.max() > 0,
        "same": np.allclose(steps, 0, atol=1e-6),
        "neither": True,
    }
    assert expected[TABLE[name].grows]


@EVERY
def test_arrangement(name):
    rng = np.random.default_rng(0)
    smooth = np.clip(1 - np.linalg.norm(np.indices(SHAPE).T - np.array(SHAPE) / 2, axis=-1).T / 9, 0, 1)
    mixed = rng.permutation(smooth.ravel()).reshape(SHAPE)
    within = smooth.copy()
    within[cube(3)] = rng.permutation(within[cube(3)])
    within[~cube(3)] = rng.permutation(within[~cube(3)])
    before = number(name, smooth, cube(3))
    sees = TABLE[name].arranged
    assert (number(name, mixed, cube(3)) == pytest.approx(before, rel=1e-5)) == (sees == "no")
    assert (number(name, within, cube(3)) == pytest.approx(before, rel=1e-5)) == (sees != "yes")


CONSTANT = (
    "mean",
    "max",
    "quantile_95",
    "top_share_5",
    "foreground_ratio_quantile",
    "mean_above_threshold",
    "largest_patch_mean",
    "balanced_class_mean",
    "size_weighted_class_mean",
    "distance_weighted_mean",
)


@pytest.mark.parametrize("name", CONSTANT)
@settings(max_examples=15)
@given(value=st.floats(THRESHOLD, 1, width=32), half=st.integers(1, 6), thick_mm=st.sampled_from([0.3, 1.0, 9.0]))
def test_a_constant_is_itself_for_every_object_and_spacing(name, value, half, thick_mm):
    found = number(name, np.full(SHAPE, value), cube(half), spacing_mm=(0.7, 1.1, thick_mm))
    assert found == pytest.approx(value, rel=1e-6)


@EVERY
@pytest.mark.parametrize("turn", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_direction_of_axes_does_not_matter(name, turn):
    values, mask = some_map(5), cube(3)
    spacing = (1.0, 1.5, 2.0)

    def found(axes: tuple[int, int, int], flip: int) -> float:
        geometry = Geometry(tuple(SHAPE[a] for a in axes), np.diag([*(spacing[a] for a in axes), 1.0]))
        u, m = (np.flip(np.transpose(one, axes), flip).copy() for one in (values, mask))
        entropy = ScalarMap("predictive_entropy", u[None].astype(np.float32), geometry, "nat", (0.0, 1.0), "")
        told = AggregationSettings(patch_mm=6.0, thresholds={"predictive_entropy": THRESHOLD})
        masks = CaseMasks(m[None], m[None], geometry, ("liver",))
        (row,) = aggregate_maps([entropy], masks, subject="s1", aggregations=[name], settings=told)
        return row.value

    assert found(turn, 1) == pytest.approx(found((0, 1, 2), 0), rel=1e-5)
