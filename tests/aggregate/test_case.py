"""Rows of a case: which number is where, and laws over every map, region and reduction."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plausible.aggregate import AGREEMENT_SCORES, VOLUME_SCORES, CaseMasks, aggregate_maps
from plausible.core import Geometry, InvalidInput, Members, ScalarMap, select
from tests.aggregate.cases import assessed, certain_members, random_members, reordered, turned

UNCERTAINTY = ("predictive_entropy", "expected_entropy", "mutual_information")
STRUCTURE_REGIONS = ("predicted_structure", "ever_foreground", "boundary_4_mm")


def test_every_number_is_there_once(geometry, classes):
    rows = assessed(random_members(geometry, classes)).rows
    per_map = 5 * (1 + 3 * 3) + 3  # whole image and three regions of three structures; QFR and two means over classes
    assert len(rows) == 3 * per_map + 3 * (len(VOLUME_SCORES) + 2) + 4 * len(AGREEMENT_SCORES)
    assert len({row.key for row in rows}) == len(rows)
    assert {row.subject for row in rows} == {"s1"}
    assert {row.measure for row in rows if row.region} == set(UNCERTAINTY)


def test_numbers_by_plain_numpy(geometry, classes):
    case = assessed(random_members(geometry, classes), "predicted_structure", "ever_foreground")
    entropy = case.maps["predictive_entropy"].values[0]
    for place, structure in enumerate(classes.structures):
        for region, masks in (("predicted_structure", case.masks.predicted), ("ever_foreground", case.masks.ever)):
            inside = entropy[masks[place]]
            found = select(case.rows, structure=structure, region=region, measure="predictive_entropy")
            by_reduction = {row.reduction: row for row in found}
            assert by_reduction["mean"].value == pytest.approx(np.mean(inside), rel=1e-5)
            assert by_reduction["sum"].value == pytest.approx(np.sum(inside) * 0.00231, rel=1e-5)
            assert by_reduction["max"].value == np.max(inside)
            assert {row.n for row in found} == {masks[place].sum()}
            assert {row.higher_is for row in found} == {"worse"}
            assert by_reduction["sum"].unit == "nat·ml"
            assert by_reduction["mean"].unit == "nat"


def test_what_n_counts(geometry, classes):
    rows = assessed(random_members(geometry, classes, n_members=4, absent=("kidney",))).rows
    assert {row.n for row in select(rows, region="whole_image")} == {5 * 7 * 11}
    assert {row.n for row in select(rows, measure="volume_sd")} == {4}
    pairs = {row.structure: row.n for row in select(rows, measure="mean_pairwise_dice")}
    assert pairs == {"liver": 6, "kidney": 0, "spleen": 6, "": 2}


def test_subject_agrees_as_its_defined_structures_do_on_average(geometry, classes):
    rows = assessed(random_members(geometry, classes, absent=("kidney",))).rows
    dice = {row.structure: row.value for row in select(rows, measure="mean_pairwise_dice")}
    assert math.isnan(dice["kidney"])
    assert dice[""] == pytest.approx((dice["liver"] + dice["spleen"]) / 2)


def test_interval_rows_say_their_level(geometry, classes):
    rows = assessed(random_members(geometry, classes), interval_level=0.5).rows
    low, high = (select(rows, measure=f"volume_interval_{end}", structure="liver")[0] for end in ("low", "high"))
    assert low.reduction == high.reduction == "middle_50"
    assert low.value < select(rows, measure="volume_mean", structure="liver")[0].value < high.value
    assert (low.unit, low.n) == ("ml", 4)


def test_overlapping_regions_read_their_own_frame(geometry, regions):
    case = assessed(random_members(geometry, regions))
    entropy = case.maps["expected_entropy"]
    found = select(case.rows, measure="expected_entropy", region="whole_image", reduction="mean")
    assert [row.structure for row in found] == list(regions.names)
    for row in found:
        assert row.value == pytest.approx(entropy.frame(row.structure).mean(), rel=1e-5)
    inside = entropy.frame("core")[case.masks.predicted[1]]
    (core,) = select(
        case.rows, measure="expected_entropy", region="predicted_structure", reduction="max", structure="core"
    )
    assert core.value == inside.max()


def test_maps_without_uncertainty_are_left_out_and_others_kept(geometry, classes):
    case = assessed(random_members(geometry, classes))
    assert not select(case.rows, measure="mean_probability") + select(case.rows, measure="vote_share")
    dose = ScalarMap("dose", np.full((1, *geometry.shape), 2, np.float32), geometry, "1", (0.0, np.inf), "")
    rows = aggregate_maps([dose], case.masks, subject="s1", aggregations=["whole_image"])
    assert {(row.measure, row.unit, row.higher_is) for row in rows} == {
        ("dose", "1", "neither"),
        ("dose", "ml", "neither"),
    }


def test_map_on_another_grid_is_refused(geometry, classes):
    case = assessed(random_members(geometry, classes))
    affine = geometry.affine.copy()
    affine[0, 3] += 2
    values = np.zeros((1, *geometry.shape), np.float32)
    moved = ScalarMap("variance", values, Geometry(geometry.shape, affine), "1", (0.0, 1.0), "")
    with pytest.raises(InvalidInput, match="affine of the map variance differs from the masks by up to 2 mm"):
        aggregate_maps([moved], case.masks, subject="s1")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("middle", "no aggregation 'middle'; there are REGION:REDUCTION"),
        ("middle:mean", "no region 'middle'; there are"),
        ("boundary:middle", "no reduction 'middle'; there are"),
    ],
)
def test_unknown_choice_is_named(wrong, named, geometry, classes):
    with pytest.raises(ValueError, match=named):
        assessed(random_members(geometry, classes), wrong)


def test_width_of_the_shell_stands_in_the_row(geometry, classes):
    members = random_members(geometry, classes)
    rows = assessed(members, "boundary", boundary_mm=1.5).rows
    assert {row.region for row in rows if row.region} == {"boundary_1.5_mm"}
    rows = assessed(members, "outside_boundary", "largest_patch_mean", boundary_mm=1.5, patch_mm=3.5).rows
    told = {(row.region, row.reduction) for row in rows if row.region}
    assert {region for region, _ in told} == {"outside_boundary_1.5_mm", "whole_image"}
    assert ("whole_image", "largest_patch_mean_3.5_mm") in told


@settings(max_examples=8)
@given(seed=st.integers(0, 20), order=st.permutations(range(4)))
def test_order_of_members_does_not_matter(geometry, classes, seed, order):
    members = random_members(geometry, classes, seed=seed)
    assert assessed(reordered(members, order)).values == pytest.approx(assessed(members).values, rel=1e-4, abs=1e-6)


@settings(max_examples=8)
@given(axes=st.permutations(range(3)), flipped=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_direction_of_axes_does_not_matter(geometry, classes, axes, flipped):
    members = random_members(geometry, classes)
    moved = assessed(turned(members, axes=tuple(axes), flipped=flipped))
    assert moved.values == pytest.approx(assessed(members).values, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_laws_hold_for_every_aggregation(kind, geometry, request):
    classes = request.getfixturevalue(kind)
    every = {"thresholds": {"predictive_entropy": 0.3}}
    members = random_members(geometry, classes)
    found = assessed(members, "all", **every).values
    assert len(found) > 500
    for other in (
        reordered(members, [3, 1, 0, 2]),
        turned(members, axes=(2, 0, 1), flipped=(True, False, True)),
    ):
        assert assessed(other, "all", **every).values == pytest.approx(found, rel=1e-4, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_an_absent_structure_is_undefined_by_every_aggregation(kind, geometry, request):
    classes = request.getfixturevalue(kind)
    absent = classes.structures[1]
    rows = assessed(random_members(geometry, classes, absent=(absent,)), "all").rows
    local = [
        r for r in select(rows, structure=absent) if r.region.startswith(("predicted_structure", "ever", "boundary"))
    ]
    assert len(local) > 100
    assert all(math.isnan(row.value) and row.n == 0 for row in local)


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_slabs_equal_the_whole(kind, geometry, request):
    members = random_members(geometry, request.getfixturevalue(kind))
    whole = assessed(members).values
    assert assessed(members, slab_voxels=77).values == pytest.approx(whole, rel=1e-4, abs=1e-6)


def test_certain_members_that_agree_are_certain_in_every_region(geometry, classes):
    rows = assessed(certain_members(geometry, classes)).rows
    inside = [row for row in rows if row.region and row.n]
    assert {row.region for row in inside} == {"whole_image", *STRUCTURE_REGIONS}
    assert {row.value for row in inside} == {0}


def test_absent_structure_is_undefined_and_counts_no_voxel(geometry, classes):
    rows = assessed(certain_members(geometry, classes)).rows
    absent = [row for row in select(rows, structure="spleen") if row.region]
    assert len(absent) == 3 * 3 * 5
    assert all(math.isnan(row.value) and row.n == 0 for row in absent)


def test_one_member_has_uncertainty_but_no_disagreement(geometry, classes):
    rows = assessed(random_members(geometry, classes, n_members=1)).rows
    assert all(math.isnan(row.value) for row in select(rows, measure="mutual_information"))
    assert not any(math.isnan(row.value) for row in select(rows, measure="predictive_entropy"))


def test_copies_of_all_members_change_no_map_number(geometry, classes):
    members = random_members(geometry, classes)
    arrays = [member.probabilities for member in members]
    copied = Members.from_arrays(arrays * 2, geometry=geometry, classes=classes, subject="s1")
    once, twice = assessed(members), assessed(copied)
    mapped = {row.key for row in once.rows if row.region}
    assert {k: twice.values[k] for k in mapped} == pytest.approx({k: once.values[k] for k in mapped}, rel=1e-4)


def test_more_background_in_view_changes_the_whole_image_alone(classes):
    def case(margin: int):
        geometry = Geometry((12 + margin, 13, 14), np.diag([1.5, 1.0, 2.0, 1.0]))
        p = np.zeros((4, *geometry.shape), np.float32)
        p[0] = 1
        rng = np.random.default_rng(0)
        p[:, 3:9, 3:9, 3:9] = rng.dirichlet(np.ones(4), (6, 6, 6)).transpose(3, 0, 1, 2)
        other = p[[0, 2, 3, 1]]
        return assessed(Members.from_arrays([p, other], geometry=geometry, classes=classes, subject="s1")).values

    near, wide = case(0), case(30)
    local = [key for key in near if key[2] != "whole_image"]
    assert {k: wide[k] for k in local} == pytest.approx({k: near[k] for k in local})
    diluted = ("", "predictive_entropy", "whole_image", "mean", "")
    assert wide[diluted] == pytest.approx(near[diluted] * 12 / 42)


def test_masks_and_maps_need_one_grid(geometry, classes):
    case = assessed(random_members(geometry, classes))
    masks = CaseMasks(
        case.masks.predicted[:, :4],
        case.masks.ever[:, :4],
        geometry.slab(0, 4, axis=0),
        classes.structures,
    )
    with pytest.raises(InvalidInput, match="5×7×11"):
        aggregate_maps(list(case.maps.values()), masks, subject="s1")
