"""The compiled logarithm over every float32 that a probability can be, and when it is compiled."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

import plausible
from plausible.core import collect
from plausible.measure import (
    VoxelSpread,
    VoxelStatistics,
    expected_entropy,
    mean_probability,
    mutual_information,
    variance,
)
from plausible.measure.kernels import fast_log
from tests.measure.cases import KINDS, members_of

ONE = int(np.float32(1).view(np.uint32))
BINADE = 2**23


@njit
def logs(x, out):
    for n in range(x.size):
        out[n] = fast_log(x[n])


def log_of(x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    logs(x, out)
    return out.astype(np.float64)


def floats(first: int, last: int, step: int = 1) -> np.ndarray:
    """Every step-th float32 whose bits lie in a range."""
    return np.arange(first, last, step, dtype=np.uint32).view(np.float32)


def relative_error(x: np.ndarray) -> float:
    exact = np.log(x[x != 1].astype(np.float64))
    return float(np.abs(log_of(x[x != 1]) / exact - 1).max())


def test_every_number_from_a_half_to_two_has_a_relative_error_below_one_and_a_half_e7():
    assert relative_error(floats(ONE - BINADE, ONE + BINADE)) < 1.5e-7


def test_every_exponent_has_a_relative_error_below_one_and_a_half_e7():
    every_fraction = floats(BINADE, 255 * BINADE, 8191)  # from 2^-126 to infinity, about 1000 for each exponent
    assert relative_error(every_fraction) < 1.5e-7


def test_powers_of_two_and_their_neighbours():
    powers = np.float32(2) ** np.arange(-126, 128, dtype=np.float32)
    around = np.concatenate([powers, np.nextafter(powers, 0)[1:], np.nextafter(powers, np.float32(np.inf))])
    assert relative_error(around) < 1.5e-7
    assert log_of(np.ones(1, np.float32)) == 0


def test_zero_and_denormals_lose_no_more_than_they_are_worth():
    below = np.concatenate([floats(0, BINADE, 4095), floats(0, 100)])
    approximate = log_of(below)
    assert approximate.min() >= -88.1
    assert approximate.max() <= -87.3
    exact = np.log(below.astype(np.float64), out=np.zeros(below.shape), where=below > 0)
    assert np.abs(below * (approximate - exact)).max() < 2e-37
    assert float(below[0]) * approximate[0] == 0


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_what_is_no_number_stays_none(kind: str) -> None:
    classes = KINDS[kind]
    stack = np.full((2, len(classes.names), 5, 7, 11), 1 / 4, np.float32)
    stack[1, 0, 2, 3, 4] = np.nan
    statistics = collect(members_of(stack, classes), VoxelStatistics)[VoxelStatistics]
    for measure in (mean_probability, expected_entropy, mutual_information):
        values = measure(statistics)
        assert np.isnan(values[0, 2, 3, 4])
        assert np.isnan(values).sum() == 1


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_what_rounding_leaves_outside_0_to_1_counts_as_the_end_of_the_range(kind: str) -> None:
    classes = KINDS[kind]
    stack = np.zeros((2, len(classes.names), 5, 7, 11), np.float32)
    stack[0, 0], stack[0, 1], stack[1, 0] = 1 + 1e-5, -1e-5, 1
    found = collect(members_of(stack, classes), VoxelStatistics, VoxelSpread)
    statistics = found[VoxelStatistics]
    assert mean_probability(statistics).min() == 0
    assert mean_probability(statistics).max() == 1
    assert np.abs(expected_entropy(statistics)).max() == 0
    assert np.abs(variance(found[VoxelSpread])).max() == 0


def test_numba_is_loaded_when_voxels_are_measured_not_before():
    code = (
        "import sys, plausible.core, plausible.io, plausible.measure, plausible.aggregate, plausible.evaluate\n"
        "assert 'numba' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr


def test_a_package_that_no_cache_can_be_written_for_still_measures(tmp_path: Path) -> None:
    package = tmp_path / "plausible"
    shutil.copytree(Path(plausible.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "measure" / "__pycache__").touch()  # a file in the place of the folder
    code = f"import plausible.measure.kernels as k; assert k.__file__.startswith({str(tmp_path)!r})"
    nowhere = {"PYTHONPATH": str(tmp_path), "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **nowhere}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
