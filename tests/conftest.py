"""Shapes are checked by jaxtyping and beartype while tests run; real data is optional and says so when absent."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "plausible"
COMPILED = {  # numba cannot cache a function that a checker wraps
    "plausible.measure.kernels",
    "plausible.aggregate.hard_kernels",
    "plausible.evaluate.kernels",
    "plausible.evaluate.resampling_kernels",
    "plausible.contours.kernels",
    "plausible.dose.kernels",
    "plausible.diversity.pairwise_kernels",
}
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
]

os.environ.setdefault("OMP_NUM_THREADS", "1")
install_import_hook([name for name in MODULES if name not in COMPILED], "beartype.beartype")

from plausible.core import Classes, Geometry

settings.register_profile(
    "plausible",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("plausible")

SHAPE = (5, 7, 11)
SPACING = (0.7, 1.1, 3.0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data packs; tests that need it are skipped, with this reason, where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real data packs are not beside the repository (../shared/data)")
    return folder


@pytest.fixture(scope="session")
def geometry() -> Geometry:
    """A small oblique grid without two equal axes."""
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(SPACING)
    affine[:3, 3] = (-12.5, 30.0, 4.0)
    return Geometry(SHAPE, affine)


@pytest.fixture(scope="session")
def classes() -> Classes:
    """Background and three structures with label values that are not consecutive."""
    return Classes.exclusive_of({"background": 0, "liver": 1, "kidney": 2, "spleen": 5})


@pytest.fixture(scope="session")
def regions() -> Classes:
    """Overlapping regions, as brain tumours have them."""
    return Classes.overlapping_of({"whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}, order=[1, 2, 3])
