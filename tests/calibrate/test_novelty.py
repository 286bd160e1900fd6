import numpy as np
import pytest
from scipy.spatial import distance

from plausible.calibrate import DISTANCES, fit_novelty, mahalanobis, nearest_neighbours
from plausible.core import InvalidInput

from .cohorts import WHO, row, rows

NAMES = ("volume", "entropy")


def features(vectors: np.ndarray) -> list[list]:
    return [rows(column, name) for column, name in zip(vectors.T, NAMES, strict=True)]


def new(vector) -> list:
    return [row(float(value), name) for value, name in zip(vector, NAMES, strict=True)]


def test_mahalanobis_against_scipy():
    vectors = np.random.default_rng(0).normal(size=(40, 3)) @ np.array([[1, 0.5, 0], [0, 2, 0], [0, 0, 0.1]])
    covariance = np.cov(vectors.T, bias=True)
    inverse = np.linalg.inv(0.95 * covariance + 0.05 * np.diag(np.diag(covariance)))
    theirs = [distance.mahalanobis(v, vectors.mean(axis=0), inverse) for v in vectors]
    np.testing.assert_allclose(mahalanobis(vectors), theirs)
    np.testing.assert_allclose(mahalanobis(vectors * [1, 1000, 1]), theirs)  # whatever the unit


def test_scores_that_say_the_same_or_nothing_do_not_break_it():
    x = np.random.default_rng(1).normal(size=30)
    twice = np.column_stack([x, x, np.ones(30)])
    for entry in DISTANCES:
        assert np.isfinite(entry.function(twice)).all()


def test_nearest_neighbours_by_hand():
    """On a line 0 1 2 3 4 5 with one at 20: all other five count."""
    vectors = np.array([0.0, 1, 2, 3, 4, 5, 20])[:, np.newaxis]
    apart = nearest_neighbours(vectors) * vectors.std()
    assert apart[0] == pytest.approx((1 + 2 + 3 + 4 + 5) / 5)
    assert apart[-1] == pytest.approx((15 + 16 + 17 + 18 + 19) / 5)


@pytest.mark.parametrize("entry", DISTANCES, ids=lambda entry: entry.name)
def test_patients_like_the_others_are_called_unlike_at_the_promised_rate(entry):
    """3000 cohorts of 29 patients, alpha 0.1: 3 of the 30 places are unlike, exactly."""
    rng = np.random.default_rng(2)
    vectors = rng.standard_t(4, size=(3000, 30, 2))
    distances = np.array([entry.function(v) for v in vectors])
    p = (distances >= distances[:, -1:]).mean(axis=1)
    for alpha in (0.1, 0.2):
        assert np.mean(p <= alpha) == pytest.approx(alpha, abs=4 * 0.4 / np.sqrt(3000))


def test_distances_from_a_model_of_the_others_ring_too_often():
    """Comparing a new patient with the distances that the model was fitted to: 10 features, 29 patients."""
    rng = np.random.default_rng(3)
    false = []
    for _ in range(800):
        v = rng.normal(size=(30, 10))
        centre, inverse = v[:-1].mean(axis=0), np.linalg.inv(np.cov(v[:-1].T))
        squared = np.einsum("nd,de,ne->n", v - centre, inverse, v - centre)
        false.append((squared >= squared[-1]).mean() <= 0.1)
    assert np.mean(false) > 0.4


@pytest.mark.parametrize("entry", DISTANCES, ids=lambda entry: entry.name)
def test_a_patient_far_away_is_found(entry):
    fitted = fit_novelty(
        features(np.random.default_rng(4).normal(size=(60, 2))), alpha=0.05, distance=entry.name, **WHO
    )
    far, near = fitted.apply(new([6.0, -6.0])), fitted.apply(new([0.1, 0.2]))
    assert (far.unlike, far.p_value) == (True, pytest.approx(1 / 61))
    assert not near.unlike
    assert far.distance > near.distance
    assert far.reason.startswith("1.64 % of patients")


def test_between_two_clusters():
    """The mean of all lies between them: Mahalanobis calls it most like, neighbours do not."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(60, 2)) * 0.3 + np.where(rng.random((60, 1)) < 0.5, 4, -4)
    middle = new([0.0, 0.0])
    assert fit_novelty(features(vectors), alpha=0.05, **WHO).apply(middle).p_value > 0.9
    assert fit_novelty(features(vectors), alpha=0.05, distance="nearest_neighbours", **WHO).apply(middle).unlike


def test_undefined_scores_are_unlike_and_missing_ones_are_refused():
    fitted = fit_novelty(features(np.random.default_rng(6).normal(size=(30, 2))), alpha=0.1, **WHO)
    reading = fitted.apply(new([np.nan, 0.0]))
    assert reading.unlike
    assert reading.reason == "volume is undefined"
    with pytest.raises(ValueError, match="needs one row of each"):
        fitted.apply([row(1.0, "volume")])
    with pytest.raises(InvalidInput, match="at least 19"):
        fit_novelty(features(np.ones((18, 2))), alpha=0.05, **WHO)
    with pytest.raises(ValueError, match="no distance"):
        fit_novelty(features(np.ones((30, 2))), alpha=0.05, distance="euclid", **WHO)


def test_fewest_patients_suffice_for_an_alarm():
    """19 patients at alpha 0.05: the farthest of 20 has a p-value of 1 in 20."""
    fitted = fit_novelty(features(np.random.default_rng(7).normal(size=(19, 2))), alpha=0.05, **WHO)
    assert fitted.apply(new([9.0, 9.0])).unlike
