import math
from dataclasses import replace

import numpy as np
import pytest

from plausible.core import Classes, Geometry, InvalidInput, MemberInfo, Members, Score, collect, select
from plausible.evaluate import (
    REFERENCE_BOX,
    WHOLE_IMAGE,
    bootstrap_mean,
    evaluate_case,
    evaluate_cohort,
    expected_calibration_error,
    overlap,
    surface_distances,
    top_label_bins,
)
from plausible.evaluate.cohort_summary import mean_estimate
from plausible.evaluate.overlap import dice
from plausible.evaluate.surface import normalized_surface_dice
from plausible.measure import VoxelStatistics, mean_probability

RATERS = (MemberInfo(id="ensemble", kind="rater"), MemberInfo(id="second", kind="rater"))


def soft(geometry, classes, *, n=3, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if classes.exclusive:
        p = rng.dirichlet(np.ones(len(classes.names)), size=(n, *geometry.shape))
    else:
        p = rng.random((n, *geometry.shape, len(classes.names)))
    return p.transpose(0, 4, 1, 2, 3).astype(np.float32)


def case(geometry, classes, *, n=3, seed=0, subject="s1"):
    rng = np.random.default_rng(seed + 100)
    values = sorted(classes.label_values())[:-1]  # the last structure is empty in every reference
    labels = [rng.choice(values, geometry.shape).astype(np.uint8) for _ in RATERS]
    members = Members.from_arrays(
        soft(geometry, classes, n=n, seed=seed), geometry=geometry, classes=classes, subject=subject
    )
    return members, Members.from_labels(labels, geometry=geometry, classes=classes, infos=RATERS)


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_slabs_equal_the_whole(geometry, kind, request):
    members, raters = case(geometry, request.getfixturevalue(kind))
    whole = evaluate_case(members, raters, tolerance_mm=1.0)
    parts = evaluate_case(members, raters, tolerance_mm=1.0, slab_voxels=90)
    assert [row.key for row in whole.rows] == [row.key for row in parts.rows]
    np.testing.assert_allclose([r.value for r in whole.rows], [r.value for r in parts.rows], rtol=1e-9)
    assert len({(r.subject, *r.key) for r in whole.rows}) == len(whole.rows)


def test_rows_are_the_functions_applied(geometry, classes):
    members, raters = case(geometry, classes)
    rows = evaluate_case(members, raters, tolerance_mm=1.5).rows
    truth = list(raters)[1].probabilities
    arrays = [m.probabilities for m in members]
    for reduction, p in (("member:member_2", arrays[2]), ("ensemble", np.mean(arrays, axis=0))):
        a, b = classes.masks(p)[0], classes.masks(truth)[0]
        mine = select(rows, reduction=reduction, against="second")
        expected = dice(overlap(a, b, voxel_volume_ml=geometry.voxel_volume_ml))
        assert select(mine, structure="liver", measure="dice")[0].value == pytest.approx(expected)
        near = normalized_surface_dice(surface_distances(a, b, spacing_mm=geometry.spacing_mm), tolerance_mm=1.5)
        found = select(mine, structure="liver", measure="normalized_surface_dice", region="tolerance_1.5_mm")
        assert found[0].value == pytest.approx(near)
        ece = select(mine, measure="expected_calibration_error", region=WHOLE_IMAGE)[0]
        assert ece.value == pytest.approx(expected_calibration_error(top_label_bins(p, truth)), abs=1e-5)
        assert ece.n == geometry.n_voxels


def test_one_member_is_the_ensemble_and_empty_structures_are_told(geometry, classes):
    members, raters = case(geometry, classes, n=1)
    rows = evaluate_case(members, raters, tolerance_mm=1.0).rows
    alone, pooled = select(rows, reduction="member:member_0"), select(rows, reduction="ensemble")
    np.testing.assert_allclose([r.value for r in alone], [r.value for r in pooled], rtol=1e-6)
    missing = select(pooled, structure="spleen", against="second")
    values = {row.measure: row.value for row in missing}
    assert values["dice"] == values["normalized_surface_dice"] == 0
    assert math.isnan(values["hausdorff_distance_95"])


def test_reference_box_holds_the_reference_and_its_margin(classes):
    geometry = Geometry((20, 30, 10), np.diag([1.0, 2.0, 5.0, 1.0]))
    labels = np.zeros(geometry.shape, np.uint8)
    labels[8:10, 14:16, 4:5] = 1
    members = Members.from_arrays(soft(geometry, classes), geometry=geometry, classes=classes)
    raters = Members.from_labels([labels], geometry=geometry, classes=classes)
    for slab_voxels in (None, 600):
        rows = evaluate_case(members, raters, tolerance_mm=1.0, box_margin_mm=4.0, slab_voxels=slab_voxels).rows
        box = select(rows, measure="brier_score", region=REFERENCE_BOX)
        assert {row.n for row in box} == {(2 + 2 * 4) * (2 + 2 * 2) * (1 + 2 * 1)}
    empty = Members.from_labels([np.zeros_like(labels)], geometry=geometry, classes=classes)
    box = select(evaluate_case(members, empty, tolerance_mm=1.0).rows, region=REFERENCE_BOX)
    assert all(math.isnan(row.value) and row.n == 0 for row in box)


def test_wrong_references_are_refused(geometry, classes, regions):
    members, raters = case(geometry, classes)
    moved = geometry.affine.copy()
    moved[0, 3] += 1
    elsewhere = Members.from_labels(
        [np.zeros(geometry.shape, np.uint8)], geometry=Geometry(geometry.shape, moved), classes=classes
    )
    with pytest.raises(InvalidInput, match="E201"):
        evaluate_case(members, elsewhere, tolerance_mm=1.0)
    other = Members.from_labels([np.zeros(geometry.shape, np.uint8)], geometry=geometry, classes=regions)
    with pytest.raises(InvalidInput, match="E103"):
        evaluate_case(members, other, tolerance_mm=1.0)
    with pytest.raises(ValueError, match="0 raters"):
        evaluate_case(members, raters.select([]), tolerance_mm=1.0)


@pytest.fixture(scope="module")
def cohort():
    classes = Classes.exclusive_of({"background": 0, "liver": 1})
    geometry = Geometry((5, 7, 11), np.diag([0.7, 1.1, 3.0, 1.0]))
    rows, bins = [], []
    for n in range(6):
        members, raters = case(geometry, classes, seed=n, subject=f"s{n}")
        raters = Members.from_labels(
            [np.random.default_rng(n + r).integers(0, 2, geometry.shape) for r in range(2)],
            geometry=geometry, classes=classes, infos=RATERS,
        )  # fmt: skip
        made = evaluate_case(members, raters, tolerance_mm=1.0)
        rows += made.rows
        bins += made.reliability
        for structure in ("", "liver"):
            agreement = Score(
                subject=f"s{n}", structure=structure, measure="mean_pairwise_dice", value=n / 10, unit="1",
                higher_is="better", n=3,
            )  # fmt: skip
            rows.append(agreement)
    return rows, bins


def test_summary_of_a_cohort(cohort):
    rows, bins = cohort
    made = evaluate_cohort(rows, bins, seed=0, n_resamples=300)
    lines = {line.reduction: line for line in made.summary if (line.measure, line.structure) == ("dice", "liver")}
    assert set(lines) == {"ensemble", "single_member", "ensemble_minus_single_member"}
    per_subject = [
        np.mean([r.value for r in select(rows, subject=f"s{n}", measure="dice", reduction="ensemble")])
        for n in range(6)
    ]
    expected = bootstrap_mean(np.array(per_subject), seed=0, n_resamples=300)
    pooled = lines["ensemble"]
    assert (pooled.mean, pooled.low, pooled.high, pooled.n) == pytest.approx(
        (expected.value, expected.low, expected.high, 6)
    )
    gain = lines["ensemble"].mean - lines["single_member"].mean
    assert lines["ensemble_minus_single_member"].mean == pytest.approx(gain)


def test_curves_of_a_cohort(cohort):
    rows, bins = cohort
    made = evaluate_cohort(rows, bins, seed=0, n_resamples=300)
    whole = made.reliability[0]
    assert (whole.name, whole.region, whole.n_subjects) == ("top label", "whole_image", 6)
    assert sum(whole.share) == pytest.approx(1)
    mine = [one.bins for one in bins if (one.reduction, one.region) == ("ensemble", "whole_image")]
    assert whole.ece.value == pytest.approx(expected_calibration_error(mine[0].merge(*mine[1:])))
    assert whole.ece.low < whole.ece.value * 1.5
    held = [n for n, share in enumerate(whole.share) if share > 0]
    assert all(whole.low[n] <= whole.high[n] for n in held)
    curves = {curve.structure: curve for curve in made.risk_coverage}
    assert set(curves) == {"", "liver"}
    assert curves["liver"].coverage == pytest.approx([n / 6 for n in range(1, 7)])
    assert curves["liver"].selective_risk[-1] == pytest.approx(curves["liver"].mean_risk)
    assert curves["liver"].aurc_optimal <= curves["liver"].aurc.value


def test_an_uncertainty_orders_the_other_way(cohort):
    rows, _ = cohort
    turned = [replace(r, value=-r.value, higher_is="worse") if r.measure == "mean_pairwise_dice" else r for r in rows]
    ours, theirs = (evaluate_cohort(r, seed=0, n_resamples=50).risk_coverage for r in (rows, turned))
    assert [c.selective_risk for c in ours] == [c.selective_risk for c in theirs]
    assert len(set(ours[0].selective_risk)) > 1


def test_a_mean_has_an_interval_if_two_patients_have_a_value():
    told = {"seed": 0, "n_resamples": 100}
    alone = mean_estimate([1.0, 4.0, math.nan], patients=["a", "a", "b"], **told)
    assert (alone.value, alone.n, alone.n_undefined) == (2.5, 1, 1)
    assert math.isnan(alone.low)
    both = mean_estimate([1.0, 4.0, math.nan], **told)
    assert (both.value, both.n, both.n_undefined) == (2.5, 2, 1)
    assert both.low <= 2.5 <= both.high
    assert math.isnan(mean_estimate([], **told).value)


def test_one_case_has_no_interval_and_does_not_fail(cohort):
    rows, bins = ([one for one in part if one.subject == "s0"] for part in cohort)
    made = evaluate_cohort(rows, bins, seed=0, n_resamples=300)
    assert all(math.isnan(line.low) and line.n <= 1 for line in made.summary)
    assert math.isnan(made.reliability[0].ece.low)
    assert made.risk_coverage[0].aurc.n == 1
    assert evaluate_cohort([], [], seed=0).summary == ()


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_the_ensemble_is_the_mean_probability_to_the_last_bit(geometry, kind, request):
    members, raters = case(geometry, request.getfixturevalue(kind), n=7)
    mean = mean_probability(collect(members, VoxelStatistics)[VoxelStatistics])
    pooled = Members.from_arrays([mean], geometry=geometry, classes=members.classes)
    ours = select(evaluate_case(members, raters, tolerance_mm=1.0).rows, reduction="ensemble")
    alone = select(evaluate_case(pooled, raters, tolerance_mm=1.0).rows, reduction="member:member_0")
    assert [row.value for row in ours] == pytest.approx([row.value for row in alone], nan_ok=True, rel=1e-14)
