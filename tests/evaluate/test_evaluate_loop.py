"""Every number of a case is that of the plain loop in benchmarks/evaluate_loop.py, where pairs share nothing."""

import importlib.util
import math
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from plausible.aggregate import MemberVolumes, PairwiseOverlap, agreement_rows, volume_rows
from plausible.core import Classes, Geometry, MemberInfo, Members, collect
from plausible.evaluate import ambiguity_rows, ceiling_rows, evaluate_case

SHAPE, SPACING_MM = (26, 31, 37), (1.0, 0.8, 2.0)
CLASSES = Classes.exclusive_of({"background": 0, "liver": 1, "spleen": 2, "nobody": 3})
PATH = Path(__file__).parents[2] / "benchmarks" / "evaluate_loop.py"


@pytest.fixture(scope="module")
def loop() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluate_loop", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def smooth_maps(n: int, *, seed: int) -> np.ndarray:
    """Softmax of smooth fields in the middle, in a box of its own each; the last structure is nowhere."""
    rng = np.random.default_rng(seed)
    logits = gaussian_filter(rng.standard_normal((n, 4, *SHAPE)), (0, 0, 3, 3, 3)) * 60
    logits[:, 0] += 2
    logits[:, 3] = -20
    for m, each in enumerate(logits):
        middle = np.zeros(SHAPE, dtype=bool)
        middle[5 + m : 20 + m, 9 - m : 22, 8 + m : 25] = True
        each[1:, ~middle] = -20
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("slab_voxels", [None, 3 * 31 * 37])
def test_numbers_are_those_of_the_loop(loop, slab_voxels):
    geometry = Geometry(SHAPE, np.diag([*SPACING_MM, 1]))
    p, labels = smooth_maps(4, seed=0), smooth_maps(3, seed=1).argmax(axis=1).astype(np.uint8)
    labels[2][labels[2] == 2] = 0  # a rater who left one structure out
    p[0, :, -1, -1, -1] = [0, 1, 0, 0]  # a stray voxel far away
    infos = [MemberInfo(id=f"rater_{r}") for r in range(3)]
    members = Members.from_arrays(p, geometry=geometry, classes=CLASSES)
    raters = Members.from_labels(labels, geometry=geometry, classes=CLASSES, infos=infos)
    scored = evaluate_case(members, raters, tolerance_mm=1.5, box_margin_mm=2.0, slab_voxels=slab_voxels, n_threads=2)
    rows = [
        *scored.rows,
        *volume_rows(scored.volumes, subject=""),
        *agreement_rows(scored.overlap, subject=""),
        *ambiguity_rows(members, raters, slab_voxels=slab_voxels),
        *ceiling_rows(raters, tolerance_mm=1.5),
    ]
    ours = {(row.measure, row.structure, row.region, row.reduction, row.against): row.value for row in rows}
    setting = loop.Setting(CLASSES.structures, SPACING_MM, tolerance_mm=1.5, margin_mm=2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy says so where a structure is empty
        theirs = loop.evaluate_with_loops(p, labels, setting)
    assert len(theirs) > 800
    for key, value in theirs.items():
        if "nobody" in key and not {"dice", "normalized_surface_dice", "hausdorff_distance", "volume_mean"} & set(key):
            continue  # what is undefined for a structure that nobody has is tested where it is defined
        assert ours[key] == pytest.approx(value, rel=2e-6, abs=1e-6, nan_ok=True), key
    assert math.isnan(ours["dice", "nobody", "", "ensemble", "rater_0"])


def test_volumes_and_overlap_are_those_of_a_walk_of_their_own():
    geometry = Geometry(SHAPE, np.diag([*SPACING_MM, 1]))
    members = Members.from_arrays(smooth_maps(3, seed=2), geometry=geometry, classes=CLASSES)
    labels = [np.zeros(SHAPE, np.uint8)]
    raters = Members.from_labels(labels, geometry=geometry, classes=CLASSES, infos=[MemberInfo(id="a")])
    found = evaluate_case(members, raters, tolerance_mm=1.0, slab_voxels=5000)
    walked = collect(members, MemberVolumes, PairwiseOverlap)
    assert np.array_equal(found.overlap.shared, walked[PairwiseOverlap].shared)
    assert np.array_equal(found.volumes.voxels, walked[MemberVolumes].voxels)
    np.testing.assert_allclose(found.volumes.probability_sum, walked[MemberVolumes].probability_sum, rtol=1e-12)


def test_raters_that_are_no_label_maps_keep_their_brier_score():
    geometry = Geometry(SHAPE, np.diag([*SPACING_MM, 1]))
    p, y = smooth_maps(2, seed=3), smooth_maps(1, seed=4)
    members = Members.from_arrays(p, geometry=geometry, classes=CLASSES)
    raters = Members.from_arrays(y, geometry=geometry, classes=CLASSES, infos=[MemberInfo(id="soft")])
    rows = evaluate_case(members, raters, tolerance_mm=1.0, slab_voxels=4000).rows
    (brier,) = (
        row.value
        for row in rows
        if (row.measure, row.region, row.reduction) == ("brier_score", "whole_image", "member:member_1")
    )
    assert brier == pytest.approx(((p[1].astype(np.float64) - y[0]) ** 2).sum(axis=0).mean(), rel=1e-6)
