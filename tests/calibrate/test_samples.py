"""Sets of masks from the members' modes: geometry against brute force, and their promises as theorems."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from plausible.calibrate import (
    Calibration,
    SampleSet,
    SampleSetCurve,
    coverage_band,
    fit_sample_set,
    member_modes,
    reach_grid,
    sample_set_curve,
    smallest_reach,
)
from plausible.calibrate import samples as under_test
from plausible.core import Classes, Geometry, InvalidInput, Members

from .cohorts import WHO, sample_set_curves

SHAPE = (9, 7, 5)
GEOMETRY = Geometry(SHAPE, np.diag([0.7, 1.1, 3.0, 1.0]))
CLASSES = Classes.overlapping_of({"liver": (1,), "spleen": (2,)})
GRID = reach_grid(largest=50.0)
HOW = {"absent": "exclude", **WHO}


def patient(seed: int, *, n_members: int = 5, shape=SHAPE) -> tuple[Members, Members]:
    """Members that shift and blow up one ball; the reference is made in the same way, so it is one of their kind."""
    rng = np.random.default_rng(seed)
    places = np.indices(shape) * np.array([0.7, 1.1, 3.0])[:, None, None, None]
    centre = (np.array(shape) - 1) / 2 * (0.7, 1.1, 3.0)

    def odds():
        moved = centre + rng.normal(0, 0.5, 3)
        radius = np.sqrt(sum((p - c) ** 2 for p, c in zip(places, moved, strict=True)))
        return 2 * (2.5 + rng.normal(0, 0.3) - radius)

    every = [odds() for _ in range(n_members + 1)]
    geometry = Geometry(shape, GEOMETRY.affine)
    common = {"geometry": geometry, "classes": CLASSES, "subject": f"p{seed:04}"}
    arrays = [np.stack([expit(x), np.full(shape, 1e-6)]).astype(np.float32) for x in every[1:]]
    truth = np.where(every[0] > 0, 1, 0).astype(np.uint8)
    return Members.from_arrays(arrays, **common), Members.from_labels([truth], **common)


def curve(seed: int, **settings) -> SampleSetCurve:
    members, reference = patient(seed)
    return sample_set_curve(members, reference, "liver", reaches=GRID, **settings)


def made_up(reaches) -> list[SampleSetCurve]:
    return sample_set_curves(reaches, grid=GRID)


def test_modes_are_the_principal_components_of_the_members():
    """Oracle: numpy's singular value decomposition of the members' probabilities."""
    members, _ = patient(0)
    modes = member_modes(members, "liver", n_components=4)
    values = np.stack([member.probabilities[0][modes.box] for member in members]).astype(float)
    centred = (values - values.mean(axis=0)).reshape(5, -1)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(modes.shares, s[:4] ** 2 / (s**2).sum(), rtol=1e-6)
    odds = logit(np.clip(values, 1 / 131070, 1 - 1 / 131070))
    np.testing.assert_allclose(modes.mean, odds.mean(axis=0), atol=1e-4)
    for k in range(4):
        expected = np.tensordot(u[:, k], odds - odds.mean(axis=0), axes=1) / 2
        sign = np.sign((expected * modes.modes[k]).sum())
        np.testing.assert_allclose(modes.modes[k], sign * expected, atol=1e-3)


def test_all_modes_together_have_the_members_variance():
    members, _ = patient(1)
    modes = member_modes(members, "liver", n_components=9)
    odds = logit(np.clip([m.probabilities[0][modes.box] for m in members], 1 / 131070, 1 - 1 / 131070))
    assert len(modes.modes) == 4
    np.testing.assert_allclose(
        (modes.modes.astype(float) ** 2).sum(axis=0), odds.var(axis=0, ddof=1), rtol=1e-2, atol=1e-3
    )


@pytest.mark.parametrize("seed", range(3))
def test_union_and_intersection_are_those_of_the_masks_in_the_box(seed):
    """Brute force: random coefficients and all corners."""
    members, _ = patient(seed)
    modes = member_modes(members, "liver", n_components=2)
    rng = np.random.default_rng(seed)
    corners = [(a, b) for a in (-1.5, 1.5) for b in (-1.5, 1.5)]
    masks = []
    for b in [*corners, *rng.uniform(-1.5, 1.5, (200, 2))]:
        whole = np.zeros(SHAPE, bool)
        whole[modes.box] = modes.mean + np.tensordot(b, modes.modes.astype(float), axes=1) > 0
        masks.append(whole)
    np.testing.assert_array_equal(np.logical_or.reduce(masks), modes.outer(1.5))
    np.testing.assert_array_equal(np.logical_and.reduce(masks), modes.inner(1.5))


@pytest.mark.parametrize("n_components", [1, 2, 4])
def test_curves_say_what_the_masks_hold(n_components):
    members, reference = patient(3)
    found = sample_set_curve(members, reference, "liver", n_components=n_components, reaches=GRID)
    modes = member_modes(members, "liver", n_components=n_components)
    truth = next(iter(reference)).probabilities[0] == 1
    best = 0.0
    for g in range(0, len(GRID), 12):
        outer, inner = modes.outer(GRID[g]), modes.inner(GRID[g])
        assert found.covered[g] == pytest.approx(outer[truth].mean())
        assert found.outer_ml[g] == pytest.approx(outer.sum() * GEOMETRY.voxel_volume_ml)
        assert found.inner_ml[g] == pytest.approx(inner.sum() * GEOMETRY.voxel_volume_ml)
        masks = [modes.mask(signs, reach) for signs in under_test.directions(n_components) for reach in GRID[: g + 1]]
        best = max(2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for mask in masks)
        assert found.best_dice[g] == pytest.approx(best)
        if n_components == 4:
            break


def test_sets_grow_with_their_reach():
    found = curve(4)
    assert (np.diff(found.covered) >= 0).all()
    assert (np.diff(found.best_dice) >= 0).all()
    assert (np.diff(found.outer_ml) >= 0).all()
    assert (np.diff(found.inner_ml) <= 0).all()
    assert found.inner_ml[0] == found.outer_ml[0] > 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slabs_change_nothing(axis, monkeypatch):
    members, reference = patient(5)
    whole = sample_set_curve(members, reference, "liver", reaches=GRID)
    monkeypatch.setattr(under_test, "default_slab_voxels", lambda _: 70)
    slabs = sample_set_curve(replace(members, slab_axis=axis), reference, "liver", reaches=GRID)
    np.testing.assert_allclose(slabs.covered, whole.covered, atol=1e-12)
    np.testing.assert_allclose(slabs.best_dice, whole.best_dice, atol=1e-12)


def test_a_structure_that_nobody_sees_is_out_of_reach():
    members, reference = patient(6)
    spleen = Members.from_labels([np.full(SHAPE, 2, np.uint8)], geometry=GEOMETRY, classes=CLASSES)
    found = sample_set_curve(members, spleen, "spleen", reaches=GRID)
    assert found.n_components == 2
    assert smallest_reach(found, level=0.1, criterion="covered") == math.inf
    assert smallest_reach(found, level=0.1, criterion="dice") == math.inf
    absent = sample_set_curve(members, reference, "spleen", reaches=GRID)
    assert math.isnan(smallest_reach(absent, level=0.1, criterion="covered"))


@pytest.mark.parametrize("criterion", ["covered", "dice"])
def test_the_share_of_new_patients_is_in_the_beta_binomial_band(criterion):
    """Theorem: continuous scores, 39 calibration and 400 new patients, 300 cohorts; 9 in 10 bands hold."""
    rng = np.random.default_rng(0)
    inside, rates = 0, []
    for _ in range(300):
        scores = rng.gamma(2, 2, 439)
        record = fit_sample_set(made_up(scores[:39]), alpha=0.1, level=0.95, criterion=criterion, **HOW)
        on_grid = GRID[np.searchsorted(GRID, scores[39:])]
        rates.append(np.mean(on_grid <= record.reach))
        low, high = coverage_band(39, 400, 0.1, level=0.9)
        inside += low <= rates[-1] <= high + 0.02  # rounding up to the grid covers a little more
    assert np.mean(rates) >= 0.9 - 4 * np.std(rates) / math.sqrt(300)
    assert np.mean(rates) <= 0.9 + 1 / 40 + 0.02
    assert inside / 300 > 0.85


@pytest.mark.slow
def test_real_sets_hold_new_patients_as_promised():
    """From members to sets: random splits of 240 patients, 39 to calibrate; the union is made and looked at."""
    cohort = [patient(seed) for seed in range(240)]
    curves = [sample_set_curve(m, r, "liver", reaches=GRID) for m, r in cohort]
    rng = np.random.default_rng(1)
    rates = []
    for repeat in range(60):
        order = rng.permutation(240)
        record = fit_sample_set([curves[i] for i in order[:39]], alpha=0.2, level=0.9, criterion="covered", **HOW)
        new = [curves[i] for i in order[39:]]
        rates.append(np.mean([smallest_reach(one, level=0.9, criterion="covered") <= record.reach for one in new]))
        if repeat == 0:
            held = []
            for i in order[39:]:
                truth = next(iter(cohort[i][1])).probabilities[0] == 1
                held.append(record.apply(cohort[i][0]).outer[truth].mean() >= 0.9)
            assert np.mean(held) == pytest.approx(rates[0])
    assert 0.8 - 0.02 <= np.mean(rates) <= 0.8 + 1 / 40 + 0.03


def test_the_record_comes_back_applies_and_says_what_it_promises():
    members, _ = patient(100)
    record = fit_sample_set([curve(seed) for seed in range(9)], alpha=0.2, level=0.8, criterion="covered", **HOW)
    back = Calibration.from_dict(json.loads(json.dumps(record.to_dict())))
    assert back == record
    assert isinstance(back, SampleSet)
    found = back.apply(members)
    assert (found.inner <= found.outer).all()
    masks = list(found.masks())
    assert len(masks) == 8
    assert all((found.inner <= mask).all() and (mask <= found.outer).all() for mask in masks)
    assert "holds at least 80 % of the true liver, with probability at least 80 %" in record.guarantee.statement
    dice = fit_sample_set([curve(seed) for seed in range(9)], alpha=0.2, level=0.7, criterion="dice", **HOW)
    assert "one of the masks" in dice.guarantee.statement


def test_the_reach_is_the_conformal_rank_of_the_patients():
    reaches = GRID[[3, 10, 20, 30, 40, 50, 60, 70, 80]]
    for alpha, rank in ((0.1, 9), (0.2, 8), (0.5, 5)):
        assert (
            fit_sample_set(made_up(reaches), alpha=alpha, level=1.0, criterion="covered", **HOW).reach
            == reaches[rank - 1]
        )


def test_what_cannot_be_promised_is_refused():
    few, lost = made_up([1.0] * 8), made_up([1.0] * 7 + [math.inf] * 3)
    with pytest.raises(InvalidInput, match="E401"):
        fit_sample_set(few, alpha=0.1, level=0.9, criterion="covered", **HOW)
    with pytest.raises(InvalidInput, match="E403"):
        fit_sample_set(lost, alpha=0.2, level=0.9, criterion="covered", **HOW)
    trivial = fit_sample_set(lost, alpha=0.2, level=0.9, criterion="covered", if_infeasible="trivial", **HOW)
    assert trivial.apply(patient(200)[0]).outer.all()
    assert not list(trivial.apply(patient(200)[0]).masks())
    with pytest.raises(ValueError, match="nothing is trivial"):
        fit_sample_set(lost, alpha=0.2, level=0.9, criterion="dice", if_infeasible="trivial", **HOW)
    with pytest.raises(ValueError, match="level"):
        fit_sample_set(few, alpha=0.2, level=0.0, criterion="covered", **HOW)
    with pytest.raises(InvalidInput, match="E402"):
        trivial.apply(patient(0)[0])


def test_patients_without_the_structure_count_as_said():
    curves = made_up([1.0] * 9 + [math.nan])
    assert fit_sample_set(curves, alpha=0.2, level=1.0, criterion="covered", **HOW).guarantee.n_patients == 9
    for absent, expected in (("covered", 10), ("missed", 10)):
        found = fit_sample_set(curves, alpha=0.2, level=1.0, criterion="covered", **{**HOW, "absent": absent})
        assert found.guarantee.n_patients == expected


def test_one_member_or_an_unknown_structure_is_refused():
    members, reference = patient(7)
    with pytest.raises(ValueError, match="two members"):
        sample_set_curve(members.select(["member_0"]), reference, "liver")
    with pytest.raises(ValueError, match="no structure"):
        member_modes(members, "heart", n_components=2)
