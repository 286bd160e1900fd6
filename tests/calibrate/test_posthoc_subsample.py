"""Voxels drawn by distance: seeded, unbiased against all voxels, whatever the slabs, spacing and raters."""

from dataclasses import replace

import numpy as np
import pytest

from plausible.calibrate import STRATA_MM, fit_probabilities, sample_voxels
from plausible.calibrate import subsample as under_test
from plausible.core import Classes, Geometry, InvalidInput, Members

from .cohorts import WHO

SHAPE = (23, 31, 17)
GEOMETRY = Geometry(SHAPE, np.diag([0.7, 1.1, 3.0, 1.0]))
SOFTMAX = Classes.exclusive_of({"background": 0, "liver": 1})
REGIONS = Classes.overlapping_of({"liver": (1, 2), "tumour": (2,)})


def case(classes=SOFTMAX, *, n_raters=1, subject="p0", n_members=2):
    """A ball that members blur and raters draw of different sizes."""
    squared = sum(
        ((axis - c) * s) ** 2 for axis, c, s in zip(np.indices(SHAPE), (11, 14, 8), (0.7, 1.1, 3), strict=True)
    )
    radius = np.sqrt(squared)
    soft = [1 / (1 + np.exp(2 * (radius - 5 - 0.3 * m))) for m in range(n_members)]
    second = [(1 - p, p) if classes.exclusive else (p, 0.5 * p) for p in soft]
    members = Members.from_arrays(
        [np.stack(pair).astype(np.float32) for pair in second], geometry=GEOMETRY, classes=classes, subject=subject
    )
    drawn = [(radius < 4.5 + r).astype(np.uint8) for r in range(n_raters)]
    return members, Members.from_labels(drawn, geometry=GEOMETRY, classes=classes)


def everything(members, raters):
    return sample_voxels(members, raters, seed=0, n_voxels=10**7)


def test_all_voxels_are_taken_where_there_are_few():
    members, raters = case()
    found = everything(members, raters)
    assert len(found.weights) == found.n_image == GEOMETRY.n_voxels
    np.testing.assert_allclose(found.weights, 1 / GEOMETRY.n_voxels)
    mean = np.mean([member.probabilities for member in members], axis=0)
    np.testing.assert_allclose(found.probabilities, mean.reshape(2, -1).T, atol=1e-6)
    (truth,) = raters
    np.testing.assert_array_equal(found.targets, truth.probabilities.reshape(2, -1).T)


@pytest.mark.parametrize("classes", [SOFTMAX, REGIONS], ids=["softmax", "regions"])
def test_weighted_sums_are_unbiased(classes):
    """Mean over many draws against all voxels, within four standard errors; plain means are far away."""
    members, raters = case(classes, n_raters=2)
    every = everything(members, raters)

    def loss(found):
        return np.square(found.probabilities - found.targets).sum(axis=1)

    truth = every.weights @ loss(every)
    draws = [sample_voxels(members, raters, seed=seed, n_voxels=400) for seed in range(60)]
    weighted = np.array([one.weights @ loss(one) for one in draws])
    assert abs(weighted.mean() - truth) < 4 * weighted.std() / np.sqrt(60)
    assert np.mean([loss(one).mean() for one in draws]) > 1.3 * truth
    np.testing.assert_allclose([one.weights.sum() for one in draws], 1)


def test_the_fit_on_a_sample_is_that_on_all_voxels():
    members, raters = case()
    whole = fit_probabilities([everything(members, raters)], method="temperature", **WHO)
    drawn = [
        fit_probabilities([sample_voxels(members, raters, seed=s, n_voxels=4000)], method="temperature", **WHO)
        for s in range(8)
    ]
    ratio = np.array([one.maps[0][0].temperature / whole.maps[0][0].temperature for one in drawn])
    assert ratio.mean() == pytest.approx(1, abs=0.03)


def test_the_draw_depends_on_seed_and_name_alone():
    members, raters = case()
    first, again, other = (sample_voxels(members, raters, seed=s, n_voxels=400) for s in (0, 0, 1))
    assert first.key == again.key != other.key
    renamed, _ = case(subject="p1")
    assert sample_voxels(renamed, raters, seed=0, n_voxels=400).probabilities.tolist() != first.probabilities.tolist()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("of", ["mean", "members"])
def test_slabs_change_nothing(axis, of, monkeypatch):
    members, raters = case(n_raters=2)
    monkeypatch.setattr(under_test, "default_slab_voxels", lambda _: None)
    whole = sample_voxels(members, raters, seed=0, n_voxels=400, of=of)
    monkeypatch.setattr(under_test, "default_slab_voxels", lambda _: 1200)
    slabs = sample_voxels(replace(members, slab_axis=axis), raters, seed=0, n_voxels=400, of=of)
    np.testing.assert_array_equal(whole.probabilities, slabs.probabilities)
    np.testing.assert_array_equal(whole.targets, slabs.targets)
    np.testing.assert_array_equal(whole.distances_mm, slabs.distances_mm)


def test_strata_are_millimetres_from_a_boundary_and_share_the_voxels():
    members, raters = case()
    every, found = everything(members, raters), sample_voxels(members, raters, seed=0, n_voxels=400)
    sizes = np.unique(np.round(found.weights * found.n_image, 6), return_counts=True)[1]
    assert sizes.max() == 100
    assert set(np.unique(found.targets)) == {0, 1}
    near = every.distances_mm[:, 0] == 0
    chosen = found.distances_mm[:, 0] == 0
    assert chosen.mean() > 2 * near.mean()
    assert len(STRATA_MM) == 3


def test_members_are_kept_apart_on_request():
    members, raters = case(n_members=3)
    found = sample_voxels(members, raters, seed=0, n_voxels=400, of="members")
    mean = sample_voxels(members, raters, seed=0, n_voxels=400)
    blocks = found.probabilities.reshape(3, -1, 2)
    np.testing.assert_allclose(blocks.mean(axis=0), mean.probabilities, atol=1e-6)
    assert found.weights.sum() == pytest.approx(1)
    np.testing.assert_array_equal(found.targets[: len(mean.targets)], mean.targets)


def test_raters_are_averaged():
    members, raters = case(n_raters=3)
    found = everything(members, raters)
    expected = np.mean([rater.probabilities for rater in raters], axis=0).reshape(2, -1).T
    np.testing.assert_allclose(found.targets, expected, atol=1e-6)
    assert 0 < found.targets[:, 1].mean() < 1


def test_a_structure_that_was_missed_is_near_a_boundary():
    _, raters = case()
    blank = Members.from_arrays(
        [np.stack([np.full(SHAPE, 0.99), np.full(SHAPE, 0.01)]).astype(np.float32)],
        geometry=GEOMETRY,
        classes=SOFTMAX,
        subject="p0",
    )
    found = sample_voxels(blank, raters, seed=0, n_voxels=400)
    assert np.isinf(found.distances_mm).all()
    assert found.targets[:, 1].mean() > 3 * (found.weights @ found.targets[:, 1])


def test_what_does_not_fit_is_refused():
    members, raters = case()
    other = Classes.exclusive_of({"background": 0, "spleen": 1})
    wrong = Members.from_labels([np.zeros(SHAPE, np.uint8)], geometry=GEOMETRY, classes=other)
    with pytest.raises(InvalidInput, match="E103"):
        sample_voxels(members, wrong, seed=0)
    with pytest.raises(ValueError, match="four are needed"):
        sample_voxels(members, raters, seed=0, n_voxels=3)
