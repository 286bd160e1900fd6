"""CURVAS 2024: parts of the image by agreement, by hand and in slabs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.core import Classes, Geometry, Members, select
from plausible.evaluate import (
    RATER_CONSENSUS_SCORES,
    RaterConsensus,
    consensus_confidence,
    crps_curvas_of,
    curvas_2024_rows,
    dice_outside_dissensus,
    dissensus_share,
    expected_calibration_error,
    top_label_bins,
)
from tests.aggregate.cases import random_members, reordered


def line(*lists) -> list[np.ndarray]:
    return [np.array([[each]], bool) for each in lists]


def test_closed_form():
    raters = line([1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0], [1, 1, 1, 1, 0, 0])
    p = np.array([[[0.9, 0.4, 0.8, 0.1, 0.6, 0.2]]], np.float32)
    found = RaterConsensus.of(p, p > 0.5, raters)
    assert (found.foreground, found.dissensus, found.background) == (2, 2, 2)
    assert dice_outside_dissensus(found) == pytest.approx(2 * 1 / (2 + 2))  # what is disputed does not count
    assert consensus_confidence(found) == pytest.approx(((1 - (0.6 + 0.2) / 2) + (0.9 + 0.4) / 2) / 2)
    assert dissensus_share(found) == pytest.approx(2 / 4)


def test_the_disputed_part_is_free():
    raters = line([1, 1, 0, 0], [1, 0, 0, 0])
    truth = np.array([[[1, 0, 0, 0]]], np.float32)
    for disputed in (0.0, 0.7, 1.0):
        p = truth.copy()
        p[0, 0, 1] = disputed
        found = RaterConsensus.of(p, p > 0.5, raters)
        assert dice_outside_dissensus(found) == consensus_confidence(found) == 1


def test_what_is_undefined():
    p = np.full((1, 1, 3), 0.2, np.float32)
    nobody = RaterConsensus.of(p, p > 0.5, line([0, 0, 0], [0, 0, 0]))
    assert all(math.isnan(entry.function(nobody)) for entry in RATER_CONSENSUS_SCORES)
    disputed = RaterConsensus.of(p, p > 0.5, line([1, 0, 0], [0, 0, 0]))
    assert math.isnan(dice_outside_dissensus(disputed))
    assert math.isnan(consensus_confidence(disputed))
    assert dissensus_share(disputed) == 1
    missed = RaterConsensus.of(p, p > 0.5, line([1, 0, 0], [1, 0, 0]))
    assert dice_outside_dissensus(missed) == 0


@given(at=st.integers(0, 5), seed=st.integers(0, 99))
def test_slabs_join(at, seed):
    rng = np.random.default_rng(seed)
    p = rng.random((5, 7, 3)).astype(np.float32)
    raters = [rng.random(p.shape) < 0.5 for _ in range(3)]
    whole = RaterConsensus.of(p, p > 0.5, raters)
    parts = [RaterConsensus.of(p[s], p[s] > 0.5, [r[s] for r in raters]) for s in (slice(at), slice(at, None))]
    joined = parts[0].join(parts[1])
    assert (joined.foreground, joined.dissensus, joined.found) == (whole.foreground, whole.dissensus, whole.found)
    for entry in RATER_CONSENSUS_SCORES:
        assert entry.function(joined) == pytest.approx(entry.function(whole))


@given(seed=st.integers(0, 99))
def test_more_raters_dispute_more(seed):
    rng = np.random.default_rng(seed)
    p = rng.random((6, 6, 6)).astype(np.float32)
    raters = [rng.random(p.shape) < 0.8 for _ in range(5)]
    shares = [dissensus_share(RaterConsensus.of(p, p > 0.5, raters[:n])) for n in range(1, 6)]
    assert shares == sorted(shares)
    assert shares[0] == 0


def case(geometry, classes, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.zeros(geometry.shape, int)
    truth[1:3, 1:4, 2:8], truth[3:, 3:6, 1:6] = 1, 2
    labels = [np.where(rng.random(truth.shape) < 0.1, 0, truth).astype(np.uint8) for _ in range(3)]
    raters = Members.from_labels(labels, geometry=geometry, classes=classes)
    return random_members(geometry, classes, seed=seed), raters


def test_rows_by_hand(geometry, classes):
    members, raters = case(geometry, classes)
    rows = curvas_2024_rows(members, raters, subject="s1")
    p = np.mean([member.probabilities for member in members], axis=0)
    truths = [rater.probabilities for rater in raters]
    errors = [expected_calibration_error(top_label_bins(p, truth, n_bins=50)) for truth in truths]
    (ece,) = select(rows, measure="calibration_error_50_bins")
    assert (ece.value, ece.n, ece.structure) == (pytest.approx(np.mean(errors), abs=1e-5), 3, "")
    liver = [truth[1] > 0 for truth in truths]
    expected = RaterConsensus.of(p[1], classes.masks(p)[0], liver)
    for entry in RATER_CONSENSUS_SCORES:
        (row,) = select(rows, measure=entry.name, structure="liver")
        assert row.value == pytest.approx(entry.function(expected), abs=1e-5)
    volumes = np.array([mask.sum() for mask in liver]) * geometry.voxel_volume_ml
    crps = crps_curvas_of(
        float(p[1].sum()) * geometry.voxel_volume_ml, mean=float(volumes.mean()), sd=float(volumes.std())
    )
    (row,) = select(rows, measure="crps_curvas", structure="liver")
    assert (row.value, row.unit) == (pytest.approx(crps, rel=1e-5), "ml")
    (mean,) = select(rows, measure="dice_outside_dissensus", structure="")
    per_organ = [select(rows, measure="dice_outside_dissensus", structure=s)[0].value for s in ("liver", "kidney")]
    spleen = select(rows, measure="dice_outside_dissensus", structure="spleen")[0].value
    assert spleen == 0  # no rater has one, the model does
    assert mean.value == pytest.approx(np.mean([*per_organ, spleen]))
    assert {(row.subject, row.reduction, row.against) for row in rows} == {("s1", "ensemble", "3_raters")}


@given(slab_voxels=st.sampled_from([1, 90, 200]), order=st.permutations(range(3)))
def test_slabs_and_the_order_of_raters_do_not_matter(geometry, classes, slab_voxels, order):
    members, raters = case(geometry, classes)
    whole = curvas_2024_rows(members, raters)
    parts = curvas_2024_rows(members, reordered(raters, order), slab_voxels=slab_voxels)
    assert [row.key for row in parts] == [row.key for row in whole]
    np.testing.assert_allclose([r.value for r in parts], [r.value for r in whole], rtol=1e-5)


def test_a_perfect_model_that_all_raters_share(geometry, classes):
    _, raters = case(geometry, classes)
    (first, *_) = raters
    same = Members.from_arrays([first.probabilities] * 3, geometry=geometry, classes=classes)
    rows = {(row.measure, row.structure): row.value for row in curvas_2024_rows(same, same)}
    assert rows["dice_outside_dissensus", "liver"] == rows["consensus_confidence", "liver"] == 1
    assert rows["calibration_error_50_bins", ""] == 0
    assert rows["crps_curvas", "liver"] == 0
    assert rows["dissensus_share", "liver"] == 0


def test_what_the_protocol_does_not_define_is_refused(geometry, classes, regions):
    members, raters = case(geometry, classes)
    with pytest.raises(ValueError, match="several raters"):
        curvas_2024_rows(members, raters.select([raters.infos[0].id]))
    soft = random_members(geometry, regions)
    with pytest.raises(ValueError, match="exclusive"):
        curvas_2024_rows(soft, soft)


def test_labels_that_skip_a_number():
    classes = Classes.exclusive_of({"background": 0, "pancreas": 1, "kidney": 3})
    geometry = Geometry((1, 1, 6), np.eye(4))
    labels = [np.array([[row]]) for row in ([1, 3, 3, 3, 0, 0], [1, 3, 3, 0, 0, 0])]
    raters = Members.from_labels(labels, geometry=geometry, classes=classes)
    rows = curvas_2024_rows(raters, raters)
    (share,) = select(rows, measure="dissensus_share", structure="kidney")
    assert share.value == pytest.approx(1 / 3)
    assert select(rows, measure="dissensus_share", structure="pancreas")[0].value == 0
