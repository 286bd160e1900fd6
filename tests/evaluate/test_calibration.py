import math

import numpy as np
import pytest
from scipy.special import softmax

from plausible.evaluate import (
    CALIBRATION_SCORES,
    ProbabilityScores,
    ReliabilityBins,
    brier_score,
    class_wise_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
    negative_log_likelihood,
    presence_bins,
    presence_scores,
    probability_scores,
    top_label_bins,
    uniform_calibration_error,
)

NOTHING = {
    ReliabilityBins: ReliabilityBins.of(np.zeros(0), np.zeros(0, bool)),
    ProbabilityScores: ProbabilityScores(0, 0.0, 0.0),
}


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes, and labels drawn from a flatter distribution: overconfident."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(1, 3, 16, 16, 16)) * 2.5
    flatter = softmax(z / 1.7, axis=1)[0].reshape(3, -1)
    labels = np.array([rng.choice(3, p=flatter[:, v]) for v in range(flatter.shape[1])]).reshape(16, 16, 16)
    return softmax(z, axis=1)[0], one_hot(labels)


def one_hot(labels: np.ndarray, n=3) -> np.ndarray:
    return np.stack([labels == c for c in range(n)]).astype(float)


def test_published_libraries_agree(drawn):
    p, truth = drawn
    assert expected_calibration_error(top_label_bins(p, truth)) == pytest.approx(0.104996, abs=1e-6)
    assert expected_calibration_error(top_label_bins(p, truth, n_bins=50)) == pytest.approx(0.109113, abs=1e-6)
    assert uniform_calibration_error(top_label_bins(p, truth)) == pytest.approx(0.095842, abs=1e-6)


def test_all_correct_is_well_calibrated():
    p = np.stack([np.full((2, 3, 4), 0.999), np.full((2, 3, 4), 0.001)])
    bins = top_label_bins(p, one_hot(np.zeros((2, 3, 4), int), 2))
    assert uniform_calibration_error(bins) == pytest.approx(1 - 0.999)
    assert expected_calibration_error(bins) == pytest.approx(1 - 0.999)


def test_zero_counts_and_one_is_in_the_last_bin():
    bins = ReliabilityBins.of(np.array([0.0, 0.0, 1.0, 0.2, 0.4, 0.6, 0.8]), np.ones(7, bool), n_bins=5)
    assert bins.count.tolist() == [2, 1, 1, 1, 2]
    assert ReliabilityBins.of(np.array([0.7], np.float32), np.ones(1, bool), n_bins=10).count[7] == 1
    # eight zeros, all right about absence; two at 0.5, one present
    p = np.array([0.0] * 8 + [0.5] * 2)
    present = np.array([0] * 9 + [1], bool)
    assert expected_calibration_error(ReliabilityBins.of(p, present)) == 0
    assert ReliabilityBins.of(p, present).n == 10


def test_closed_form():
    bins = ReliabilityBins.of(np.array([0.9, 0.9, 0.9, 0.6]), np.array([1, 1, 0, 0], bool), n_bins=5)
    gap_high, gap_low = 0.9 - 2 / 3, 0.6
    assert expected_calibration_error(bins) == pytest.approx(3 / 4 * gap_high + 1 / 4 * gap_low)
    assert uniform_calibration_error(bins) == pytest.approx((gap_high + gap_low) / 2)
    assert maximum_calibration_error(bins) == pytest.approx(gap_low)


def test_proper_scores_closed_form_and_floor():
    p = np.array([[0.7, 1.0], [0.3, 0.0]]).reshape(2, 1, 1, 2)
    truth = np.array([[1.0, 0.0], [0.0, 1.0]]).reshape(2, 1, 1, 2)
    scores = probability_scores(p, truth)
    assert brier_score(scores) == pytest.approx((2 * 0.3**2 + 2) / 2)
    assert negative_log_likelihood(scores) == pytest.approx((-math.log(0.7) + math.log(131070)) / 2)
    region = presence_scores(p, truth, channel=0)
    assert brier_score(region) == pytest.approx(brier_score(scores))
    assert negative_log_likelihood(region) == pytest.approx(negative_log_likelihood(scores))


@pytest.mark.parametrize("entry", list(CALIBRATION_SCORES), ids=lambda e: e.name)
def test_laws(entry, drawn):
    p, truth = drawn
    make = top_label_bins if entry.reads is ReliabilityBins else probability_scores
    whole = entry.function(make(p, truth))
    first, *rest = [make(p[:, n : n + 5], truth[:, n : n + 5]) for n in range(0, 16, 5)]
    assert entry.function(first.merge(*rest)) == pytest.approx(whole)
    assert entry.function(make(p[[2, 0, 1]], truth[[2, 0, 1]])) == pytest.approx(whole)
    assert math.isnan(entry.function(NOTHING[entry.reads]))
    assert math.isnan(entry.function(make(p, truth, within=np.zeros(p.shape[1:], bool))))
    perfect = entry.function(make(truth, truth))
    assert perfect == 0
    assert whole > perfect


def test_region_counts_only_its_voxels(drawn):
    p, truth = drawn
    within = np.zeros(p.shape[1:], bool)
    within[2:5, 3:9] = True
    box = top_label_bins(p, truth, within=within)
    assert box.n == 3 * 6 * 16
    assert expected_calibration_error(box) == pytest.approx(
        expected_calibration_error(top_label_bins(p[:, 2:5, 3:9], truth[:, 2:5, 3:9]))
    )


def test_true_probabilities_are_calibrated_in_the_limit():
    rng = np.random.default_rng(3)
    errors = []
    for n in (1_000, 100_000):
        p = rng.random(n)
        errors.append(expected_calibration_error(ReliabilityBins.of(p, rng.random(n) < p)))
    assert errors[1] < errors[0] / 4
    assert errors[1] < 0.01


def test_class_wise_is_the_mean_over_classes(drawn):
    p, truth = drawn
    bins = [presence_bins(p, truth, channel=c) for c in range(3)]
    assert class_wise_calibration_error(bins) == pytest.approx(sum(map(expected_calibration_error, bins)) / 3)
    assert math.isnan(class_wise_calibration_error([]))


def test_shapes_must_fit():
    with pytest.raises(ValueError, match="shape"):
        ReliabilityBins.of(np.zeros(3), np.zeros(4, bool))
