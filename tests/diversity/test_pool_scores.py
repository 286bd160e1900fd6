from dataclasses import replace

import numpy as np
import pytest

from plausible.aggregate import MemberVolumes, PairwiseOverlap, weighted_pool
from plausible.core import Geometry, InvalidInput, Members, collect
from plausible.diversity.pool_cases import Pool, crps_form, pool_case
from plausible.diversity.pool_scores import (
    POOL_SCORES,
    agreement,
    member_values,
    reduced,
    scored,
)
from plausible.evaluate import (
    VolumeForecast,
    brier_score,
    dice,
    negative_log_likelihood,
    overlap,
    presence_scores,
    probability_scores,
    volume_crps,
)
from tests.diversity.pools import AFFINE, CLASSES, REGIONS, SHAPE, case_of, pool_of, truth

WEIGHTS = np.array([0.5, 0.25, 0.0, 0.25, 0.0, 0.0])


def everywhere(case, members, raters):
    """The same case with a margin that reaches the whole image, so that any other code can be the oracle."""
    return Pool((pool_case(members, raters, margin_mm=99.0),))


@pytest.mark.parametrize("n_raters", [1, 3])
def test_scores_of_a_weighted_mean_are_those_of_the_mean_itself(n_raters):
    case, members, raters = case_of(3, n_raters=n_raters)
    pool = everywhere(case, members, raters)
    mean = weighted_pool(members, weights=dict(zip(case.members, WEIGHTS.tolist(), strict=True))).probabilities
    proper = [probability_scores(mean, rater.probabilities) for rater in raters]
    nll, brier = (np.mean([f(one) for one in proper]) for f in (negative_log_likelihood, brier_score))
    assert scored(pool, WEIGHTS, "negative_log_likelihood") == pytest.approx(nll, rel=1e-5)
    assert scored(pool, WEIGHTS, "brier_score") == pytest.approx(brier, rel=1e-5)
    masks, ml = CLASSES.masks(mean), 1.0
    found = [
        dice(overlap(ours, theirs, voxel_volume_ml=ml))
        for rater in raters
        for ours, theirs in zip(masks, CLASSES.masks(rater.probabilities), strict=True)
    ]
    assert scored(pool, WEIGHTS, "dice_error") == pytest.approx(1 - np.mean(found), abs=1e-6)


def test_the_voxel_set_holds_everything_that_any_mean_can_mark():
    case, members, raters = case_of(5, noise=(0.4,) * 6, margin_mm=0.0)
    whole = everywhere(case, members, raters)
    assert case.n_voxels < whole.cases[0].n_voxels == np.prod(SHAPE)
    assert scored(Pool((case,)), WEIGHTS, "dice_error") == scored(whole, WEIGHTS, "dice_error")


def test_regions_ask_once_per_region():
    labels = truth(1)
    geometry, rng = Geometry(SHAPE, AFFINE), np.random.default_rng(0)
    drawn = REGIONS.encode(labels)
    p = [1 / (1 + np.exp(-(4 * drawn - 2 + rng.normal(0, 1.5, drawn.shape)))) for _ in range(3)]
    members = Members.from_arrays([one.astype(np.float32) for one in p], geometry=geometry, classes=REGIONS)
    raters = Members.from_arrays([drawn.astype(np.float32)], geometry=geometry, classes=REGIONS)
    pool = Pool((pool_case(members, raters, margin_mm=99.0),))
    weights = np.array([0.5, 0.5, 0.0])
    mean = (p[0] + p[1]).astype(np.float32) / 2
    parts = [presence_scores(mean, drawn.astype(np.float32), channel=c) for c in range(2)]
    both = parts[0].merge(parts[1])
    assert scored(pool, weights, "negative_log_likelihood") == pytest.approx(negative_log_likelihood(both), rel=1e-5)
    assert scored(pool, weights, "brier_score") == pytest.approx(brier_score(both), rel=1e-5)
    hard = [mean[c] > 0.5 for c in range(2)]
    expected = np.mean([dice(overlap(hard[c], drawn[c] > 0.5, voxel_volume_ml=1.0)) for c in range(2)])
    assert scored(pool, weights, "dice_error") == pytest.approx(1 - expected, abs=1e-6)


def test_crps_of_equal_shares_is_that_of_the_sample():
    case, members, raters = case_of(2, n_raters=2)
    chosen = members.select(["m0", "m3", "m4"])
    forecast = VolumeForecast.of(
        collect(chosen, MemberVolumes)[MemberVolumes], collect(raters, MemberVolumes)[MemberVolumes]
    )
    pool = Pool((case,))
    assert scored(pool, pool.equal(["m0", "m3", "m4"]), "volume_crps") == pytest.approx(volume_crps(forecast).mean())


def test_a_weighted_volume_crps_by_hand():
    form = crps_form(np.array([[10.0], [14.0]]), np.array([[11.0]]))
    assert form(np.array([0.75, 0.25])) == pytest.approx(0.75 * 1 + 0.25 * 3 - 0.75 * 0.25 * 4)


def test_brier_of_a_mean_is_the_mean_member_less_the_diversity():
    case, _, _ = case_of(4)
    p = case.probabilities.astype(np.float64)
    spread = np.square(p - p.mean(axis=0)).sum(axis=1).mean()
    pool, equal = Pool((case,)), np.full(6, 1 / 6)
    gain = member_values(pool, equal, "brier_score")[0] - scored(pool, equal, "brier_score")
    assert gain == pytest.approx(spread, abs=1e-12)


def test_agreement_is_the_mean_over_pairs_of_different_members():
    case, members, _ = case_of(6)
    from plausible.aggregate import mean_pairwise_dice

    expected = mean_pairwise_dice(collect(members.select(["m1", "m2", "m5"]), PairwiseOverlap)[PairwiseOverlap]).mean()
    pool = Pool((case,))
    assert agreement(case, pool.equal(["m1", "m2", "m5"])) == pytest.approx(expected)
    assert agreement(case, pool.equal(["m1", "m1", "m2"])) == pytest.approx(case.dice[:, 1, 2].mean())
    assert np.isnan(agreement(case, pool.equal(["m1"])))


def test_members_that_both_lack_a_structure_agree_on_it_in_full():
    case, _, _ = case_of(6)
    dice = case.dice.copy()
    dice[0, 1, 2] = dice[0, 2, 1] = np.nan
    found = agreement(replace(case, dice=dice), Pool((case,)).equal(["m1", "m2"]))
    assert found == pytest.approx((1 + dice[1, 1, 2]) / 2)


def test_one_member_has_no_confidence_so_its_area_is_its_mean_risk():
    pool = pool_of(4)
    alone = pool.equal(["m2"])
    assert scored(pool, alone, "area_under_risk_coverage") == pytest.approx(scored(pool, alone, "dice_error"))


def test_silent_failures_by_hand():
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[0, 0, :2] = 1
    first, second = labels.copy(), labels.copy()
    first[0, 0, 1] = 2  # one of two is right there
    first[1, 2, 3] = second[1, 2, 3] = 1  # both wrong, and alike
    first[1, 2, 0], second[1, 2, 0] = 1, 2  # both wrong, and not alike
    geometry = Geometry((2, 3, 4), np.eye(4))
    members = Members.from_labels([first, second], geometry=geometry, classes=CLASSES)
    raters = Members.from_labels([labels], geometry=geometry, classes=CLASSES)
    pool = Pool((pool_case(members, raters, margin_mm=50.0),))
    assert scored(pool, np.array([0.5, 0.5]), "silent_failure_rate") == 1 / 24
    assert scored(pool, np.array([1.0, 0.0]), "silent_failure_rate") == 3 / 24


def test_a_sample_of_the_voxels_estimates_and_keeps_volumes_exact():
    whole, members, raters = case_of(7)
    part = pool_case(members, raters, max_voxels=400, seed=1)
    assert part.probabilities.shape[2] == 400
    assert part.n_voxels == whole.n_voxels
    assert part.crps(WEIGHTS) == whole.crps(WEIGHTS)
    assert part.brier(WEIGHTS) == pytest.approx(whole.brier(WEIGHTS), rel=0.3)
    again = pool_case(members, raters, max_voxels=400, seed=1)
    assert np.array_equal(again.probabilities, part.probabilities)


def test_where_nobody_marks_anything_scores_are_undefined():
    geometry, nothing = Geometry((3, 4, 5), np.eye(4)), np.zeros((3, 4, 5), np.uint8)
    members = Members.from_labels([nothing] * 2, geometry=geometry, classes=CLASSES)
    pool = Pool((pool_case(members, Members.from_labels([nothing], geometry=geometry, classes=CLASSES)),))
    for entry in POOL_SCORES:
        value = scored(pool, np.array([0.5, 0.5]), entry.name)
        assert np.isnan(value) or entry.name == "volume_crps", entry.name


def test_selecting_members_keeps_their_scores():
    pool = pool_of(3)
    part = pool.select(["m4", "m1"])
    for entry in POOL_SCORES:
        ours = entry.function(part, np.array([0.25, 0.75]))
        theirs = entry.function(pool, np.array([0, 0.75, 0, 0, 0.25, 0]))
        assert np.allclose(ours, theirs, atol=1e-6), entry.name


def test_cases_with_other_members_are_refused_and_so_are_none():
    first = case_of(1)[0]
    other = case_of(2, ids=tuple("abcdef"))[0]
    with pytest.raises(InvalidInput, match="E415"):
        Pool((first, other))
    with pytest.raises(InvalidInput, match="E416"):
        pool_of(2).only(["nobody"])


def test_undefined_cases_are_left_out_of_a_mean():
    assert reduced(np.array([[1.0, np.nan, 2.0]])) == 1.5
    assert np.isnan(reduced(np.array([[np.nan]])))
