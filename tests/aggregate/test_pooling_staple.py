"""STAPLE against SimpleITK, planted performance, and structures that nobody drew."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from plausible.aggregate import MaskStack, estimate_staple, staple
from plausible.core import Classes, Geometry, Members, collect

LIVER = Classes.exclusive_of({"background": 0, "liver": 1})
SHAPE = (9, 11, 13)
GEOMETRY = Geometry(SHAPE, np.diag([0.7, 1.1, 3.0, 1.0]))


def members_of(masks, classes=LIVER, geometry=GEOMETRY) -> Members:
    return Members.from_labels([np.asarray(mask, np.uint8) for mask in masks], geometry=geometry, classes=classes)


def drawn(seed: int, *, n: int, shape=SHAPE, sensitivity=(0.7, 0.95), specificity=(0.9, 0.99)):
    """A planted truth, and raters that miss and add voxels at random."""
    rng = np.random.default_rng(seed)
    truth = rng.random(shape) < 0.3
    hit, left = rng.uniform(*sensitivity, n), rng.uniform(*specificity, n)
    masks = [np.where(truth, rng.random(shape) < h, rng.random(shape) >= s) for h, s in zip(hit, left, strict=True)]
    return truth, hit, left, masks


@pytest.mark.parametrize("n_raters", [3, 5, 34])
@settings(max_examples=6)
@given(seed=st.integers(0, 20))
def test_simpleitk_agrees(n_raters, seed):
    _, _, _, masks = drawn(seed, n=n_raters)
    ours = estimate_staple(members_of(masks), max_steps=3000)
    oracle = sitk.STAPLEImageFilter()
    oracle.SetForegroundValue(1)
    oracle.SetMaximumIterations(3000)
    theirs = sitk.GetArrayFromImage(oracle.Execute([sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]))
    np.testing.assert_allclose(ours.sensitivity[0], oracle.GetSensitivity(), atol=1e-6)
    np.testing.assert_allclose(ours.specificity[0], oracle.GetSpecificity(), atol=1e-6)
    np.testing.assert_allclose(ours.pooled.probabilities[1], theirs, atol=1e-5)


def test_planted_performance_is_recovered():
    truth, hit, left, masks = drawn(0, n=6, shape=(40, 40, 40))
    estimate = estimate_staple(members_of(masks, geometry=Geometry((40, 40, 40), np.eye(4))))
    assert estimate.converged == (True,)
    np.testing.assert_allclose(estimate.sensitivity[0], hit, atol=0.015)
    np.testing.assert_allclose(estimate.specificity[0], left, atol=0.01)
    found = estimate.pooled.probabilities[1] > 0.5
    assert (found == truth).mean() > 0.99
    votes = np.mean(masks, axis=0) > 0.5
    assert (found == truth).mean() >= (votes == truth).mean()


def test_a_structure_that_nobody_drew_leaves_the_others_alone(classes):
    """Published code estimates the absent class too and turns everything into background."""
    _, _, _, masks = drawn(1, n=3)
    three = members_of([mask.astype(np.uint8) for mask in masks], classes)
    estimate = estimate_staple(three)
    alone = estimate_staple(members_of(masks))
    np.testing.assert_allclose(estimate.pooled.probabilities[1], alone.pooled.probabilities[1], atol=1e-6)
    assert not estimate.pooled.probabilities[2:].any()
    assert np.isnan(estimate.sensitivity[1:]).all()
    assert np.isnan(estimate.specificity[1:]).all()
    assert estimate.n_steps[1:] == (0, 0)
    nobody = staple(members_of([np.zeros(SHAPE)] * 2))
    assert (nobody.probabilities[0] == 1).all()


def test_a_member_of_noise_is_not_believed():
    truth, _, _, masks = drawn(2, n=3, sensitivity=(0.9, 0.95), specificity=(0.97, 0.99))
    noise = np.random.default_rng(5).random(SHAPE) < 0.5
    estimate = estimate_staple(members_of([*masks, noise]))
    assert estimate.sensitivity[0, 3] == pytest.approx(0.5, abs=0.1)
    assert ((estimate.pooled.probabilities[1] > 0.5) == truth).mean() > 0.98


def test_structures_together_are_at_most_one(classes):
    rng = np.random.default_rng(3)
    labels = [rng.choice([0, 1, 2, 5], SHAPE) for _ in range(3)]
    p = staple(members_of(labels, classes)).probabilities
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=0), 1, atol=1e-6)


def test_patterns_count_every_voxel():
    _, _, _, masks = drawn(4, n=33)  # more than go into one chunk
    stack = collect(members_of(masks), MaskStack, slab_voxels=300)[MaskStack]
    decisions, counts, places = stack.patterns(0)
    assert counts.sum() == math.prod(SHAPE)
    union = np.logical_or.reduce(masks)
    np.testing.assert_array_equal(stack.union(0), union)
    np.testing.assert_array_equal(decisions[:, places], np.array(masks)[:, union])
    assert len(np.unique(decisions, axis=1).T) == decisions.shape[1]
    assert not decisions[:, 0].any()
    assert counts[0] == np.count_nonzero(~union)


def test_masks_of_other_voxels_are_not_stacked():
    one = MaskStack.of(next(iter(members_of([np.zeros(SHAPE)]))))
    other = MaskStack.of(next(iter(members_of([np.zeros((1, 2, 3))], geometry=Geometry((1, 2, 3), np.eye(4))))))
    with pytest.raises(ValueError, match="same voxels"):
        one.merge(other)
