"""Bins of equal count, class-wise errors, the parts of the Brier score; and what published code gets wrong."""

import math

import numpy as np
import pytest
from scipy.special import softmax

from plausible.evaluate import (
    ADAPTIVE_CALIBRATION_SCORES,
    BRIER_TERMS,
    ConfidenceLevels,
    ReliabilityBins,
    adaptive_calibration_error,
    adaptive_maximum_calibration_error,
    brier_decomposition,
    brier_reliability,
    brier_score,
    class_wise,
    class_wise_calibration_error,
    class_wise_levels,
    equal_mass_bins,
    expected_calibration_error,
    maximum_calibration_error,
    presence_bins,
    presence_levels,
    presence_scores,
    probability_scores,
    top_label_bins,
    top_label_levels,
    total_brier_decomposition,
    uniform_calibration_error,
)

NOTHING = ConfidenceLevels.of(np.zeros(0), np.zeros(0, bool))
ALL = pytest.mark.parametrize("entry", list(ADAPTIVE_CALIBRATION_SCORES), ids=lambda e: e.name)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes on a 5 x 7 x 11 grid, and labels from a flatter distribution."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(3, 5, 7, 11)) * 2.5
    flatter = softmax(z / 1.7, axis=0).reshape(3, -1)
    labels = np.array([rng.choice(3, p=flatter[:, v]) for v in range(flatter.shape[1])]).reshape(5, 7, 11)
    return softmax(z, axis=0), np.stack([labels == c for c in range(3)]).astype(float)


def test_bins_of_equal_count_by_hand():
    confidence = np.array([0.9, 0.5, 0.6, 0.8])
    bins = equal_mass_bins(ConfidenceLevels.of(confidence, np.array([1, 0, 1, 1], bool)), n_bins=2)
    np.testing.assert_allclose(bins.confidence, [(0.5 + 0.6) / 2, (0.8 + 0.9) / 2])
    np.testing.assert_allclose(bins.accuracy, [1 / 2, 1])
    levels = ConfidenceLevels.of(confidence, np.array([1, 0, 1, 1], bool))
    assert adaptive_calibration_error(levels, n_bins=2) == pytest.approx((0.05 + 0.15) / 2)
    assert adaptive_maximum_calibration_error(levels, n_bins=2) == pytest.approx(0.15)


def test_distinct_confidences_agree_with_sorting_and_splitting(drawn):
    p, truth = drawn
    confidence, right = p.max(axis=0).ravel(), (p.argmax(axis=0) == truth.argmax(axis=0)).ravel()
    order = np.argsort(confidence)
    parts = [(confidence[part].mean(), right[part].mean()) for part in np.array_split(order, 7)]  # 385 = 7 x 55
    expected = np.mean([abs(c - a) for c, a in parts])
    assert adaptive_calibration_error(top_label_levels(p, truth), n_bins=7) == pytest.approx(expected)


def test_ties_do_not_depend_on_the_order_of_voxels_as_in_code_that_splits():
    confidence, right = np.full(40, 0.5), np.arange(40) < 20
    split = [abs(part.mean() - 0.5) for part in np.array_split(right, 4)]
    assert np.mean(split) == 0.5  # wrong: half of the bins hold all that is right
    assert adaptive_calibration_error(ConfidenceLevels.of(confidence, right), n_bins=4) == 0
    shuffled = np.random.default_rng(2).permutation(right)
    assert adaptive_calibration_error(ConfidenceLevels.of(confidence, shuffled), n_bins=4) == 0


def test_bins_of_equal_count_and_of_equal_width_are_told_apart():
    """ "ACE" alone says nothing: nine voxels in ten are sure, and only the others are wrong about themselves."""
    confidence = np.array([0.99] * 99 + [0.55])
    right = np.array([True] * 98 + [False] * 2)
    levels, bins = ConfidenceLevels.of(confidence, right), ReliabilityBins.of(confidence, right, n_bins=10)
    assert uniform_calibration_error(bins) == pytest.approx((abs(98 / 99 - 0.99) + 0.55) / 2)
    assert adaptive_calibration_error(levels, n_bins=10) == pytest.approx(
        (9 * abs(98 / 99 - 0.99) + abs((9 * 98 / 99) / 10 - (9 * 0.99 + 0.55) / 10)) / 10
    )


@ALL
def test_laws(entry, drawn):
    p, truth = drawn
    whole = entry.function(top_label_levels(p, truth))
    first, *rest = [top_label_levels(p[:, n : n + 2], truth[:, n : n + 2]) for n in range(0, 5, 2)]
    assert entry.function(first.merge(*rest)) == pytest.approx(whole)
    assert entry.function(top_label_levels(p[[2, 0, 1]], truth[[2, 0, 1]])) == pytest.approx(whole)
    assert math.isnan(entry.function(NOTHING))
    assert math.isnan(entry.function(top_label_levels(p, truth, within=np.zeros(p.shape[1:], bool))))
    assert entry.function(top_label_levels(truth, truth)) == 0
    assert 0 < whole < 1


def test_a_region_counts_only_its_voxels(drawn):
    p, truth = drawn
    within = np.zeros(p.shape[1:], bool)
    within[1:4, 2:6] = True
    assert top_label_levels(p, truth, within=within).n == 3 * 4 * 11
    assert adaptive_calibration_error(presence_levels(p, truth, channel=1, within=within)) == pytest.approx(
        adaptive_calibration_error(presence_levels(p[:, 1:4, 2:6], truth[:, 1:4, 2:6], channel=1))
    )


def test_true_probabilities_are_calibrated_in_the_limit():
    rng = np.random.default_rng(3)
    errors = []
    for n in (1_000, 100_000):
        p = rng.random(n)
        errors.append(adaptive_calibration_error(ConfidenceLevels.of(p, rng.random(n) < p)))
    assert errors[1] < errors[0] / 4
    assert errors[1] < 0.01


def test_class_wise_is_the_mean_over_classes_that_have_voxels(drawn):
    p, truth = drawn
    levels = class_wise_levels(p, truth)
    expected = sum(adaptive_calibration_error(presence_levels(p, truth, channel=c)) for c in range(3)) / 3
    assert class_wise(adaptive_calibration_error, levels) == pytest.approx(expected)
    assert class_wise(adaptive_calibration_error, [*levels, NOTHING]) == pytest.approx(expected)
    bins = [presence_bins(p, truth, channel=c) for c in range(3)]
    assert class_wise(expected_calibration_error, bins) == pytest.approx(class_wise_calibration_error(bins))
    assert math.isnan(class_wise(adaptive_calibration_error, [NOTHING]))


def test_monai_agrees_class_by_class(drawn):
    torch = pytest.importorskip("torch")
    calibration = pytest.importorskip("monai.metrics.calibration")
    p, truth = drawn
    scores = {
        "expected": expected_calibration_error,
        "average": uniform_calibration_error,
        "maximum": maximum_calibration_error,
    }
    bins = [presence_bins(p, truth, channel=c, n_bins=20) for c in range(3)]
    for reduction, score in scores.items():
        metric = calibration.CalibrationErrorMetric(num_bins=20, calibration_reduction=reduction)
        metric(torch.tensor(p[np.newaxis]), torch.tensor(truth[np.newaxis]))
        assert class_wise(score, bins) == pytest.approx(float(metric.aggregate()), abs=1e-6)


@pytest.mark.parametrize("n_bins", [1, 4, 15, None])
def test_brier_score_is_the_sum_of_its_parts(drawn, n_bins):
    p, truth = drawn
    parts = [brier_decomposition(levels, n_bins=n_bins) for levels in class_wise_levels(p, truth)]
    assert total_brier_decomposition(parts).brier == pytest.approx(brier_score(probability_scores(p, truth)), rel=1e-12)
    region = brier_decomposition(presence_levels(p, truth, channel=1), n_bins=n_bins)
    assert 2 * region.brier == pytest.approx(brier_score(presence_scores(p, truth, channel=1)), rel=1e-12)


def test_parts_of_the_brier_score_by_hand():
    p, y = np.array([0.2, 0.2, 0.8, 0.8]), np.array([0, 0, 1, 0], bool)
    parts = brier_decomposition(ConfidenceLevels.of(p, y), n_bins=None)
    assert parts.reliability == pytest.approx((0.2**2 + 0.3**2) / 2)
    assert parts.resolution == pytest.approx(0.25**2)
    assert parts.uncertainty == pytest.approx(1 / 4 * 3 / 4)
    assert parts.within_bins == pytest.approx(0)
    one_bin = brier_decomposition(ConfidenceLevels.of(p, y), n_bins=1)
    assert one_bin.resolution == 0
    assert one_bin.within_bins == pytest.approx(0.3**2 - 2 * 0.3 / 4)  # the three terms alone miss this


def test_brier_terms_without_voxels_and_of_perfection(drawn):
    _, truth = drawn
    assert all(math.isnan(entry.function(brier_decomposition(NOTHING))) for entry in BRIER_TERMS)
    perfect = brier_decomposition(presence_levels(truth, truth, channel=0))
    assert perfect.brier == pytest.approx(0, abs=1e-15)
    assert perfect.resolution == pytest.approx(perfect.uncertainty)
    assert brier_reliability(perfect) == 0
    assert [entry.higher_is for entry in BRIER_TERMS] == ["worse", "better", "neither", "neither"]


def test_binarized_labels_turn_around_when_all_are_correct():
    """Published code binarizes `correct` with scikit-learn: if all are correct, the only label becomes 0."""
    binarize = pytest.importorskip("sklearn.preprocessing").label_binarize
    confidence, correct = np.full(24, 0.999), np.ones(24, int)
    turned = binarize(correct, classes=np.unique(correct))[:, 0]
    assert abs(turned.mean() - confidence.mean()) == pytest.approx(0.999)  # wrong
    bins = ReliabilityBins.of(confidence, correct.astype(bool))
    assert uniform_calibration_error(bins) == pytest.approx(0.001)
    assert adaptive_calibration_error(ConfidenceLevels.of(confidence, correct)) == pytest.approx(0.001)


def test_the_most_sure_member_is_no_confidence_of_the_ensemble():
    """LostInFolds takes the largest probability of any member: a calibrated mean looks overconfident."""
    rng = np.random.default_rng(6)
    mean = rng.uniform(0.3, 0.7, (20, 30, 40))
    spread = np.minimum(mean, 1 - mean) * 0.9
    members = np.stack([mean + spread, mean - spread])
    truth = (rng.random(mean.shape) < mean).astype(float)
    p, y = np.stack([1 - mean, mean]), np.stack([1 - truth, truth])
    chosen = p.argmax(axis=0)
    of_chosen = np.where(chosen == 1, members, 1 - members).max(axis=0)
    wrong = expected_calibration_error(ReliabilityBins.of(of_chosen, chosen == truth))
    assert expected_calibration_error(top_label_bins(p, y)) < 0.01
    assert wrong > 0.3


def test_probabilities_of_zero_count():
    """MetricsReloaded's bins are open on the left: p = 0 is dropped, and with it most of a background."""
    rng = np.random.default_rng(7)
    p = np.append(np.zeros(8_000), rng.random(2_000))
    present = rng.random(10_000) < np.append(np.full(8_000, 0.02), p[8_000:])
    bins = ReliabilityBins.of(p, present, n_bins=10)
    dropped = ReliabilityBins.of(p[p > 0], present[p > 0], n_bins=10)
    zeros = 8_000 / 10_000 * present[:8_000].mean()
    assert bins.n == 10_000
    assert expected_calibration_error(bins) > zeros * 0.9
    assert abs(expected_calibration_error(dropped) - expected_calibration_error(bins)) > 0.002  # wrong


def test_every_voxel_is_used(drawn):
    """torch-uncertainty draws 1 % of the pixels by default."""
    p, truth = drawn
    assert top_label_levels(p, truth).n == top_label_bins(p, truth).n == 5 * 7 * 11


def test_wrong_settings_are_refused(drawn):
    levels = top_label_levels(*drawn)
    with pytest.raises(ValueError, match="one bin"):
        equal_mass_bins(levels, n_bins=0)
    with pytest.raises(ValueError, match="one bin"):
        brier_decomposition(levels, n_bins=0)
    with pytest.raises(ValueError, match="one answer"):
        ConfidenceLevels.of(np.zeros(3), np.zeros(4, bool))
