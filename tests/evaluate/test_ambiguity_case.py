"""Rows of several raters: those of the functions, in slabs or whole, named for the reference that was used."""

import math

import numpy as np
import pytest

from plausible.core import Geometry, InvalidInput, Members, collect, select
from plausible.evaluate import (
    AMBIGUITY_SCORES,
    VOLUME_FORECAST_SCORES,
    PresenceStatistics,
    ambiguity_rows,
    evaluate_cohort,
    rater_entropy,
)
from plausible.evaluate.ambiguity_case import MAPS
from plausible.measure import VOXEL_MEASURES, VoxelStatistics
from tests.aggregate.cases import random_members

KINDS = ["classes", "regions"]


def case(geometry, classes, *, n_raters=3, n_members=4, seed=0) -> tuple[Members, Members]:
    rng = np.random.default_rng(seed)
    values = sorted(classes.label_values())[:-1]  # no rater has the last structure
    labels = [rng.choice(values, geometry.shape).astype(np.uint8) for _ in range(n_raters)]
    raters = Members.from_labels(labels, geometry=geometry, classes=classes)
    absent = classes.structures[-1:]
    return random_members(geometry, classes, n_members=n_members, seed=seed, absent=absent), raters


@pytest.mark.parametrize("kind", KINDS)
def test_slabs_equal_the_whole(kind, geometry, request):
    members, raters = case(geometry, request.getfixturevalue(kind))
    whole = ambiguity_rows(members, raters)
    for settings in ({"slab_voxels": 90}, {"slab_voxels": 90, "n_threads": 2}, {"slab_voxels": 1}):
        parts = ambiguity_rows(members, raters, **settings)
        assert [(row.key, row.n) for row in parts] == [(row.key, row.n) for row in whole]
        np.testing.assert_allclose([r.value for r in parts], [r.value for r in whole], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_every_score_has_a_row_per_structure_and_one_of_the_subject(kind, geometry, request):
    classes = request.getfixturevalue(kind)
    rows = ambiguity_rows(*case(geometry, classes), subject="s7")
    wanted = (*classes.structures, "")
    for measure in (*AMBIGUITY_SCORES.names, *VOLUME_FORECAST_SCORES.names):
        found = select(rows, measure=measure, subject="s7", against="3_raters", reduction="4_members")
        assert sorted(row.structure for row in found) == sorted(wanted), measure
        assert [math.isnan(row.value) for row in found] == [row.structure == wanted[-2] for row in found], measure
    for name in MAPS:
        found = select(rows, measure="normalized_cross_correlation", reduction=name, region="whole_image")
        assert {row.against for row in found} == {"3_raters:rater_entropy"}
        assert sorted(row.structure for row in found) == sorted(wanted)
    assert len({row.key for row in rows}) == len(rows)
    assert len(rows) == len(wanted) * (len(AMBIGUITY_SCORES) + len(VOLUME_FORECAST_SCORES) + len(MAPS))


@pytest.mark.parametrize("kind", KINDS)
def test_correlations_are_those_of_the_maps(kind, geometry, request):
    classes = request.getfixturevalue(kind)
    members, raters = case(geometry, classes)
    rows = select(ambiguity_rows(members, raters), measure="normalized_cross_correlation")
    together = [collect(each, VoxelStatistics)[VoxelStatistics] for each in (members, raters)]
    alone = [collect(each, PresenceStatistics)[PresenceStatistics].statistics for each in (members, raters)]
    for name in MAPS:
        measured = VOXEL_MEASURES[name].function
        for structure in (*classes.structures, ""):
            ours, theirs = together if structure == "" else alone
            frames = slice(None) if structure == "" else classes.structures.index(structure)
            x, y = measured(ours)[frames].ravel(), rater_entropy(theirs)[frames].ravel()
            value = select(rows, reduction=name, structure=structure)[0].value
            if y.std() == 0:
                assert math.isnan(value)
            else:
                assert value == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-5)


def test_one_structure_is_the_subject(geometry):
    from plausible.core import Classes

    classes = Classes.exclusive_of({"background": 0, "liver": 1})
    labels = [np.random.default_rng(n).integers(0, 2, geometry.shape) for n in range(2)]
    raters = Members.from_labels(labels, geometry=geometry, classes=classes)
    rows = ambiguity_rows(random_members(geometry, classes), raters)
    for row in select(rows, structure="liver"):
        (same,) = select(rows, structure="", measure=row.measure, reduction=row.reduction)
        assert same.value == pytest.approx(row.value, nan_ok=True), row.measure


def test_raters_as_their_own_members_are_perfect(geometry, classes):
    _, raters = case(geometry, classes)
    rows = {(row.measure, row.reduction): row.value for row in select(ambiguity_rows(raters, raters), structure="")}
    assert rows["generalized_energy_distance_dice_v", "3_members"] == pytest.approx(0, abs=1e-12)
    assert rows["hungarian_matched_iou", "3_members"] == 1
    assert rows["volume_energy_distance", "3_members"] == pytest.approx(0, abs=1e-12)
    assert rows["normalized_cross_correlation", "predictive_entropy"] == pytest.approx(1)
    assert math.isnan(rows["normalized_cross_correlation", "expected_entropy"])  # hard members are never unsure


def test_one_rater_is_no_ambiguity(geometry, classes):
    members, raters = case(geometry, classes, n_raters=1)
    assert ambiguity_rows(members, raters) == []
    _, several = case(geometry, classes)
    single = {row.measure: row for row in select(ambiguity_rows(members.select(["member_0"]), several), structure="")}
    assert math.isnan(single["generalized_energy_distance_dice_u"].value)
    assert single["generalized_energy_distance_dice_v"].value > 0
    assert math.isnan(single["volume_crps_fair"].value)


def test_a_cohort_never_averages_over_different_numbers_of_members(geometry, classes):
    rows = []
    for n in (2, 5):
        rows += ambiguity_rows(*case(geometry, classes, n_members=n, seed=n), subject=f"s{n}")
    lines = evaluate_cohort(rows, seed=0, n_resamples=50).summary
    found = [line for line in lines if (line.measure, line.structure) == ("generalized_energy_distance_dice_v", "")]
    assert {(line.reduction, line.n) for line in found} == {("2_members", 1), ("5_members", 1)}


def test_raters_on_another_grid_are_refused(geometry, classes):
    members, raters = case(geometry, classes)
    moved = geometry.affine.copy()
    moved[0, 3] += 1
    elsewhere = Members.from_labels(
        [np.zeros(geometry.shape, np.uint8)] * 2, geometry=Geometry(geometry.shape, moved), classes=classes
    )
    with pytest.raises(InvalidInput, match="E201"):
        ambiguity_rows(members, elsewhere)
    assert raters.geometry.matches(geometry)
