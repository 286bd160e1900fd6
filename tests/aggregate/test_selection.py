import pytest

from plausible.aggregate import DEFAULT_AGGREGATIONS, REDUCTIONS, REGIONS, AggregationSettings, chosen_reductions
from plausible.core import select
from tests.aggregate.cases import assessed, random_members

TOLD = AggregationSettings(thresholds={"predictive_entropy": 0.3}, connectivity=26)
POOLED = {"balanced_class_mean", "size_weighted_class_mean"}


def test_pairs_regions_and_reductions_by_name():
    names = ["boundary:morans_i", "ever_foreground", "max", "boundary:mean", "balanced_class_mean"]
    assert chosen_reductions(names, AggregationSettings()) == {
        "whole_image": ("max",),
        "predicted_structure": ("balanced_class_mean",),
        "ever_foreground": ("mean", "sum", "max", "quantile_95", "top_share_5"),
        "boundary": ("mean", "morans_i"),
    }


def test_all_is_what_the_settings_allow():
    bare = chosen_reductions(["all"], AggregationSettings())
    assert set(bare) == set(REGIONS.names) - {"lesion"}
    assert set(bare["whole_image"]) == set(REDUCTIONS.names) - POOLED - {"mean_above_threshold"}
    assert set(bare["predicted_structure"]) == set(REDUCTIONS.names) - {"mean_above_threshold"}
    told = chosen_reductions(["all"], TOLD)
    assert set(told) == set(REGIONS.names)
    assert set(told["lesion"]) == set(REDUCTIONS.names)


def test_what_needs_a_setting_says_so():
    with pytest.raises(ValueError, match="needs a threshold of the map, such as"):
        chosen_reductions(["mean_above_threshold"], AggregationSettings())
    with pytest.raises(ValueError, match="connectivity must be 6"):
        chosen_reductions(["lesion"], AggregationSettings())


@pytest.mark.parametrize("name", ["whole_image:", ":mean", "mean:whole_image", "", "everything"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="there are"):
        chosen_reductions([name], TOLD)


def test_a_threshold_is_of_one_map_and_stands_in_the_row(geometry, classes):
    told = {"predictive_entropy": 0.25, "mutual_information": 0.1}
    rows = assessed(random_members(geometry, classes), "whole_image:mean_above_threshold", thresholds=told).rows
    found = {(row.measure, row.reduction) for row in rows if row.region}
    assert found == {
        ("predictive_entropy", "mean_above_threshold_0.25"),
        ("mutual_information", "mean_above_threshold_0.1"),
    }


def test_every_row_has_a_key_of_its_own_and_a_unit(geometry, classes):
    rows = assessed(
        random_members(geometry, classes), "all", thresholds=dict(TOLD.thresholds), connectivity=TOLD.connectivity
    ).rows
    assert len({row.key for row in rows}) == len(rows)
    units = {row.reduction.split("_")[0]: row.unit for row in rows if row.region}
    assert units["morans"] == units["gearys"] == units["edge"] == units["entropy"] == units["moran"] == "1"
    assert units["sum"] == "nat·ml"
    assert units["foreground"] == units["balanced"] == units["distance"] == "nat"
    assert {row.higher_is for row in select(rows, reduction="morans_i")} == {"neither"}
    patches = {row.reduction: row.unit for row in rows if row.reduction.startswith("largest_patch")}
    assert patches == {"largest_patch_mean_10_mm": "nat", "largest_patch_sum_10_mm": "nat·ml"}


def test_default_rows_are_few(geometry, classes):
    per_map = [row for row in assessed(random_members(geometry, classes)).rows if row.measure == "predictive_entropy"]
    assert len(per_map) == 5 * (1 + 3 * 3) + 3
    assert set(DEFAULT_AGGREGATIONS) <= set(REGIONS.names) | set(REDUCTIONS.names)
