"""Post-hoc calibration: what was planted is found, nothing gets worse, and other authors' fits agree."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression

from plausible.calibrate import (
    PROBABILITY_CALIBRATIONS,
    FiducioTransform,
    ProbabilityCalibrator,
    TransformsProbabilities,
    VoxelSample,
    boundary_distance_mm,
    calibrated_members,
    fit_fiducio,
    fit_probabilities,
)
from plausible.core import Classes, Geometry, InvalidInput, Members

from .cohorts import WHO

SOFTMAX = Classes.exclusive_of({"background": 0, "liver": 1, "tumour": 2})
REGIONS = Classes.overlapping_of({"liver": (1, 2), "tumour": (2,)})
SPACING = (0.7, 1.1, 3.0)
METHODS = ("temperature", "vector", "dirichlet")


def sample(probabilities, targets, *, classes=SOFTMAX, subject="p0", weights=None, distances_mm=None) -> VoxelSample:
    n = len(probabilities)
    layers = 1 if classes.exclusive else probabilities.shape[1]
    return VoxelSample(
        subject=subject,
        classes=classes,
        of="mean",
        probabilities=np.asarray(probabilities, np.float32),
        targets=np.asarray(targets, np.float32),
        weights=np.full(n, 1 / n) if weights is None else weights / weights.sum(),
        distances_mm=np.zeros((n, layers), np.float32) if distances_mm is None else distances_mm,
        n_image=n,
        seed=0,
    )


def drawn(n=40_000, *, sharpness=1.0, seed=0, subject="p0") -> VoxelSample:
    """Labels drawn from a softmax; the logits that are told are `sharpness` times the true ones."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1.5, (n, 3))
    true = softmax(scores, axis=1)
    labels = (rng.random(n)[:, None] > true.cumsum(axis=1)).sum(axis=1)
    return sample(softmax(scores * sharpness, axis=1), np.eye(3)[labels], subject=subject)


def fit(*samples, method="temperature", **settings) -> ProbabilityCalibrator:
    return fit_probabilities(samples, method=method, **settings, **WHO)


def image(rows: np.ndarray) -> np.ndarray:
    """Voxels as a picture `c i j k` of one row."""
    return np.ascontiguousarray(rows.T, dtype=np.float32)[:, :, None, None]


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_a_planted_temperature_is_found(sharpness):
    found = fit(drawn(sharpness=sharpness))
    assert found.maps[0][0].temperature == pytest.approx(sharpness, rel=0.02)


def test_the_true_probabilities_as_targets_give_the_temperature_exactly():
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 1, (2000, 3))
    found = fit(sample(softmax(scores * 1.7, axis=1), softmax(scores, axis=1)))
    assert found.maps[0][0].temperature == pytest.approx(1.7, rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("classes", [SOFTMAX, REGIONS], ids=["softmax", "regions"])
@pytest.mark.parametrize("settings", [{}, {"edges_mm": (1.0, 4.0)}, {"per_structure": True}], ids=str)
def test_no_fit_is_worse_than_the_identity_where_it_was_fitted(method, classes, settings):
    rng = np.random.default_rng(2)
    c = len(classes.names)
    for seed in range(3):
        p = rng.dirichlet(np.full(c, 0.3), 500) if classes.exclusive else rng.random((500, c))
        y = np.eye(c)[rng.integers(0, c, 500)]
        distances = rng.exponential(3, (500, 1 if classes.exclusive else c)).astype(np.float32)
        found = fit(sample(p, y, classes=classes, distances_mm=distances), method=method, **settings)
        assert found.nll_after <= found.nll_before, seed


def test_richer_maps_fit_better():
    rng = np.random.default_rng(3)
    p = rng.dirichlet((1, 1, 1), 3000)
    true = softmax(np.log(p) @ np.array([[1, 0.5, 0], [0, 0.6, 0], [0.3, 0, 1]]).T + [0.4, 0, -0.5], axis=1)
    after = [fit(sample(p, true), method=method).nll_after for method in METHODS]
    assert after[0] > after[1] + 1e-3 > after[2] + 2e-3


def test_a_dirichlet_map_is_found_exactly():
    rng = np.random.default_rng(4)
    weight, bias = np.array([[1.2, 0.3, 0], [0, 0.6, 0.2], [0.3, 0, 1.5]]), np.array([0.4, 0, -0.5])
    p = rng.dirichlet((1, 1, 1), 4000)
    true = softmax(np.log(p) @ weight.T + bias, axis=1)
    found = fit(sample(p, true), method="dirichlet")
    np.testing.assert_allclose(found.maps[0][0].transform(p), true, atol=2e-4)


@pytest.mark.parametrize("method", ["vector", "dirichlet"])
def test_of_predictions_that_say_nothing_the_shares_of_the_classes_remain(method):
    targets = np.repeat(np.eye(3), (60, 30, 10), axis=0)
    found = fit(sample(np.full((100, 3), 1 / 3), targets), method=method, ridge=1e-9)
    np.testing.assert_allclose(found.transform(np.full((3, 1, 1, 1), 1 / 3))[:, 0, 0, 0], (0.6, 0.3, 0.1), atol=1e-4)


def test_temperature_never_changes_the_most_probable_class():
    rng = np.random.default_rng(5)
    p = rng.dirichlet((0.2, 0.2, 0.2), 4000).astype(np.float32)
    worst = fit(sample(p[:200], np.eye(3)[(p[:200].argmax(axis=1) + 1) % 3]))
    for found in (worst, fit(drawn(sharpness=0.3)), fit(drawn(sharpness=3))):
        np.testing.assert_array_equal(found.transform(image(p)).argmax(axis=0)[:, 0, 0], p.argmax(axis=1))
    assert worst.maps[0][0].temperature == pytest.approx(20)


@pytest.mark.parametrize("with_offset", [False, True])
def test_regions_agree_with_logistic_regression(with_offset):
    """Oracle: scikit-learn without penalty, weighted; beta calibration is logistic regression on two logarithms."""
    rng = np.random.default_rng(6)
    p = rng.uniform(0.02, 0.98, (3000, 2)).astype(np.float32)
    y = rng.random((3000, 2)) < expit(0.6 * logit(p) + 0.4)
    weights = rng.exponential(1, 3000)
    record = fit(
        sample(p, y, classes=REGIONS, weights=weights), method="vector" if with_offset else "temperature", ridge=1e-10
    )
    calibrated = record.transform(image(p))[:, :, 0, 0]
    for channel in range(2):
        one = p[:, channel].astype(np.float64)
        features = np.stack([np.log(one), np.log(1 - one)], axis=1) if with_offset else logit(one)[:, None]
        oracle = LogisticRegression(C=np.inf, fit_intercept=with_offset, tol=1e-10, max_iter=5000)
        oracle.fit(features, y[:, channel], sample_weight=weights)
        np.testing.assert_allclose(calibrated[channel], oracle.predict_proba(features)[:, 1], atol=2e-4)


def test_soft_targets_are_the_raters_as_repetitions():
    rng = np.random.default_rng(7)
    p = rng.dirichlet((1, 1, 1), 400)
    raters = rng.integers(0, 3, (3, 400))
    soft = np.eye(3)[raters].mean(axis=0)
    repeated = sample(np.tile(p, (3, 1)), np.eye(3)[raters].reshape(-1, 3))
    for method in METHODS:
        one, other = fit(sample(p, soft), method=method), fit(repeated, method=method)
        np.testing.assert_allclose(one.maps[0][0].transform(p), other.maps[0][0].transform(p), atol=1e-4)


def test_patients_weigh_the_same_whatever_the_number_of_their_voxels():
    few, many = drawn(500, sharpness=3, subject="a"), drawn(2000, seed=1, subject="b")
    more = {name: np.tile(getattr(many, name), (9, 1)) for name in ("probabilities", "targets", "distances_mm")}
    bulk = replace(many, weights=np.tile(many.weights / 9, 9), **more)
    one, other = fit(few, many), fit(few, bulk)
    assert one.maps[0][0].temperature == pytest.approx(other.maps[0][0].temperature, rel=1e-6)
    np.testing.assert_allclose(one.nll_before, (fit(few).nll_before + fit(many).nll_before) / 2)


def blocks() -> tuple[np.ndarray, np.ndarray]:
    """A picture whose left half is class 0 and right half class 1, and its distance to the boundary in mm."""
    p = np.full((3, 12, 7, 5), 0.05, np.float32)
    p[0, :6], p[1, 6:] = 0.9, 0.9
    steps = np.array([5, 4, 3, 2, 1, 0, 0, 1, 2, 3, 4, 5]) * SPACING[0]
    return p, np.broadcast_to(steps[:, None, None], p[0].shape)


def test_distances_are_in_mm_along_every_axis():
    p, expected = blocks()
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0)):
        labels = p.argmax(axis=0).transpose(order)
        spacing = tuple(SPACING[axis] for axis in order)
        found = boundary_distance_mm(labels, spacing_mm=spacing)
        np.testing.assert_allclose(found, expected.transpose(order), atol=1e-5)
    assert np.isinf(boundary_distance_mm(np.zeros((3, 4, 5)), spacing_mm=SPACING)).all()


def test_each_band_has_its_own_map():
    near, far = drawn(sharpness=2), drawn(sharpness=0.5, seed=1)
    distances = np.repeat([1.39, 1.41], 40_000)[:, None].astype(np.float32)
    both = sample(np.concatenate([near.probabilities, far.probabilities]), np.concatenate([near.targets, far.targets]))
    found = fit(replace(both, distances_mm=distances), edges_mm=(1.4,))
    assert [one[0].temperature for one in found.maps] == [pytest.approx(2, rel=0.02), pytest.approx(0.5, rel=0.02)]
    p, mm = blocks()
    q = found.transform(p, spacing_mm=SPACING)
    at = mm >= 1.4 - 1e-5  # two voxels of 0.7 mm; the band begins at its edge
    expected = np.where(at, *(softmax(np.log([0.9, 0.05, 0.05]) / T)[0] for T in (0.5, 2)))
    np.testing.assert_allclose(q.max(axis=0), expected, atol=0.01)
    with pytest.raises(ValueError, match="spacing_mm"):
        found.transform(p)


def test_a_band_without_voxels_is_left_alone():
    found = fit(drawn(sharpness=2), edges_mm=(5.0,))
    assert found.maps[1][0].weight == ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def test_single_classes_are_calibrated_and_sum_to_one():
    found = fit(drawn(sharpness=2), method="vector", per_structure=True)
    q = found.transform(image(drawn(200).probabilities))
    assert len(found.maps[0]) == 3
    np.testing.assert_allclose(q.sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("edges_mm", [(), (2.0, 5.0)])
def test_records_come_back_from_json(method, edges_mm):
    record = fit(drawn(2000), method=method, edges_mm=edges_mm)
    back = ProbabilityCalibrator.from_dict(json.loads(json.dumps(record.to_dict())))
    assert back == record
    assert "no guarantee" in record.statement
    assert isinstance(record, TransformsProbabilities)


def test_a_patient_of_the_calibration_is_refused():
    record = fit(drawn(200))
    with pytest.raises(InvalidInput, match="E402"):
        record.check_unseen("p0")
    record.check_unseen("somebody else")


@pytest.mark.parametrize("edges_mm", [(0.0,), (3.0, 2.0)])
def test_wrong_edges_are_refused(edges_mm):
    with pytest.raises(ValueError, match="ascend"):
        fit(drawn(200), edges_mm=edges_mm)


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match="no samples"):
        fit()
    with pytest.raises(ValueError, match="several times"):
        fit(drawn(100), drawn(100))
    with pytest.raises(ValueError, match="seed"):
        fit(drawn(100), replace(drawn(100), subject="p1", seed=1))
    with pytest.raises(ValueError, match="channels"):
        fit(drawn(100)).transform(np.ones((2, 1, 1, 1)))


def test_members_are_calibrated_as_they_are_read():
    geometry = Geometry((6, 5, 4), np.diag([*SPACING, 1.0]))
    rng = np.random.default_rng(8)
    arrays = [np.moveaxis(rng.dirichlet((1, 1, 1), geometry.shape), -1, 0).astype(np.float32) for _ in range(2)]
    members = Members.from_arrays(arrays, geometry=geometry, classes=SOFTMAX)
    record = fit(replace(drawn(sharpness=2), of="members"))
    for member, array in zip(calibrated_members(members, record).slab(1, 4), arrays, strict=True):
        np.testing.assert_allclose(member.probabilities, record.transform(array[:, 1:4]), atol=1e-6)
        assert not member.hard
    for wrong in (fit(drawn(100)), fit(replace(drawn(100), of="members"), edges_mm=(2.0,))):
        with pytest.raises(ValueError, match="of='members'"):
            calibrated_members(members, wrong)


def test_every_method_is_in_the_catalogue():
    assert [entry.name for entry in PROBABILITY_CALIBRATIONS] == list(METHODS)


def test_fiducio_agrees_where_it_is_installed():
    pytest.importorskip("fiducio")
    data = drawn(sharpness=2)
    ours, theirs = fit(data), fit_fiducio([data], calibrator="TemperatureScaling", seed=0)
    assert isinstance(theirs, FiducioTransform)
    assert isinstance(theirs, TransformsProbabilities)
    assert theirs.calibrator.temperature == pytest.approx(ours.maps[0][0].temperature, rel=0.02)
    p = image(drawn(100).probabilities)
    np.testing.assert_allclose(theirs.transform(p), ours.transform(p), atol=0.01)
    with pytest.raises(ValueError, match="has no calibrator"):
        fit_fiducio([data], calibrator="Nothing", seed=0)


def test_without_fiducio_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fiducio", None)
    with pytest.raises(RuntimeError, match=r"plausible\[calibrate\]"):
        fit_fiducio([drawn(100)], calibrator="TemperatureScaling", seed=0)
