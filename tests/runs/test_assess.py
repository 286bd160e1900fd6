"""What assess writes of a case: the maps and rows that the library computes, and a record that fits its schema."""

import json
import math

import jsonschema
import numpy as np
import pytest

from plausible.aggregate import (
    DETECTION_SCORES,
    LESION_SCORES,
    SURFACE_AGREEMENT_SCORES,
    AggregationSettings,
    CaseMasks,
    MemberVolumes,
    PairwiseOverlap,
    case_rows,
    consensus_overlap,
    consensus_rows,
    lesion_matches,
    lesion_rows,
)
from plausible.core import Classes, MemberInfo, Members, collect
from plausible.io import read_labels, read_scalar_map
from plausible.measure import VoteCounts, voxel_maps
from plausible.report import schema
from plausible.runs.assess import assess_study
from plausible.runs.layout import read_failure
from plausible.runs.settings import AssessSettings
from tests.runs.studies import SHAPE, random_members, study_of

NAMES = ("mean_probability", "predictive_entropy", "expected_entropy", "mutual_information")
FILES = ("probability", *NAMES[1:])


def assessed(members: Members, folder, **settings) -> dict:
    """case.json of these members."""
    walked = assess_study(study_of(members), folder, settings=AssessSettings(**settings))
    assert walked.done == ("case_a",), read_failure(folder / "case_a")
    report = json.loads((folder / "case_a" / "case.json").read_text("utf-8"))
    jsonschema.validate(report, schema("case"), jsonschema.Draft202012Validator)
    return report


def summaries(report: dict) -> dict[str, dict]:
    return {one["name"]: one for one in report["structures"]}


@pytest.mark.parametrize("kind", ["softmax", "regions", "hard"])
def test_maps_on_disk_are_the_maps_of_the_library(kind, grid, classes, regions, tmp_path):
    members = random_members(grid, regions if kind == "regions" else classes)
    if kind == "hard":
        maps = [classes.decode(member.probabilities) for member in members]
        members = Members.from_labels(maps, geometry=grid, classes=classes, subject="case_a")
    report = assessed(members, tmp_path, maps=("variance",))
    expected = voxel_maps(members, (*NAMES, "variance"))
    for file, name in zip((*FILES, "variance"), (*NAMES, "variance"), strict=True):
        read = read_scalar_map(tmp_path / "case_a" / f"{file}.nii.gz")
        low, high = expected[name].valid_range
        assert (read.name, read.unit, read.frames) == (name, expected[name].unit, expected[name].frames)
        assert np.abs(read.values - expected[name].values).max() <= (high - low) / 65535 / 2 * 1.01
        assert read.geometry.matches(grid)
    segmentation, _ = read_labels(tmp_path / "case_a" / "segmentation.nii.gz")
    np.testing.assert_array_equal(segmentation, members.classes.decode(expected["mean_probability"].values))
    assert [one["path"] for one in report["maps"]] == [f"{n}.nii.gz" for n in ("segmentation", *FILES, "variance")]
    assert report["hard_members"] == (kind == "hard")


@pytest.mark.parametrize("absent", [{}, {"kidney": (0, 1, 2), "spleen": (1,)}])
def test_rows_are_the_rows_of_the_library(absent, grid, classes, tmp_path):
    members = random_members(grid, classes, absent=absent)
    report = assessed(members, tmp_path, boundary_mm=2.0, interval_level=0.8)
    maps = voxel_maps(members, NAMES)
    collected = collect(members, MemberVolumes, PairwiseOverlap, VoteCounts)
    masks = CaseMasks.of(maps["mean_probability"], collected[VoteCounts], classes=classes)
    expected = case_rows(
        collected,
        [maps[n] for n in NAMES[1:]],
        masks,
        subject="case_a",
        settings=AggregationSettings(boundary_mm=2.0),
        interval_level=0.8,
    )
    expected += consensus_rows(consensus_overlap(members, masks.predicted), subject="case_a")
    assert len(expected) > 50
    assert report["scores"] == [row.to_dict() for row in expected]


FURTHER = {
    "aggregations": ("whole_image:morans_i", "largest_patch_mean", "lesion:max"),
    "thresholds": ("predictive_entropy=0.3",),
    "patch_mm": 2.0,
    "lesion_connectivity": 18,
    "agreement_tolerance_mm": 1.0,
}


def test_further_rows_are_those_of_the_library_and_follow_the_everyday_ones(grid, classes, tmp_path):
    members = random_members(grid, classes)
    report = assessed(members, tmp_path / "further", **FURTHER)
    everyday = assessed(members, tmp_path / "everyday")["scores"]
    further = [row for row in report["scores"] if row not in everyday]
    assert [row for row in report["scores"] if row in everyday] == everyday
    told = {(row["region"], row["reduction"]) for row in further if row["measure"] == "predictive_entropy"}
    assert {
        ("whole_image", "morans_i"),
        ("whole_image", "largest_patch_mean_2_mm"),
        ("whole_image", "mean_above_threshold_0.3"),
        ("lesion_1_connectivity_18", "max"),
    } <= told
    assert not [row for row in further if row["reduction"].startswith("mean_above") and "entropy" not in row["measure"]]
    masks = classes.masks(voxel_maps(members, NAMES)["mean_probability"].values)
    matches = lesion_matches(members, CaseMasks(masks, masks, grid, classes.structures), connectivity=18)
    lesions = [row.to_dict() for row in lesion_rows(matches, subject="case_a")]
    assert [row for row in further if row["measure"] in {*LESION_SCORES.names, *DETECTION_SCORES.names}] == lesions
    surfaces = [row for row in further if row["region"] == "tolerance_1_mm"]
    assert {row["measure"] for row in surfaces} == set(SURFACE_AGREEMENT_SCORES.names)
    assert all(0 < row["value"] <= 1 for row in surfaces)
    for words in ("whole_image:morans_i", "18 neighbours", "tolerance of 1 mm", "predictive_entropy=0.3"):
        assert words in report["methods"]


def test_a_summary_reads_the_same_numbers_as_the_rows(grid, classes, tmp_path):
    report = assessed(random_members(grid, classes, absent={"spleen": (1,)}), tmp_path)
    rows = {(row["structure"], row["measure"]): row["value"] for row in report["scores"]}
    for name, one in summaries(report).items():
        assert one["agreement"] == rows[name, "mean_pairwise_dice"]
        assert one["volume_cv"] == rows[name, "volume_cv"]
        assert one["expected_volume_ml"] == rows[name, "expected_volume"]
        assert (one["volume_ml"]["low"], one["volume_ml"]["high"]) == (
            rows[name, "volume_interval_low"],
            rows[name, "volume_interval_high"],
        )
        assert np.mean(one["member_volumes_ml"]) == pytest.approx(rows[name, "volume_mean"])


def test_volume_is_of_the_segmentation_that_lies_beside_it(grid, classes, tmp_path):
    report = assessed(random_members(grid, classes), tmp_path)
    values, _ = read_labels(tmp_path / "case_a" / "segmentation.nii.gz")
    voxel_ml = 0.7 * 1.1 * 3.0 / 1000
    for (name, one), label in zip(summaries(report).items(), (1, 2, 5), strict=True):
        assert one["volume_ml"]["value"] == pytest.approx((values == label).sum() * voxel_ml), name


def test_without_a_limit_nothing_is_passed(grid, classes, tmp_path):
    verdict = assessed(random_members(grid, classes), tmp_path)["verdict"]
    assert (verdict["state"], verdict["limit"]) == ("cannot_tell", None)
    assert "--review-below" in verdict["reason"]


@pytest.mark.parametrize(("limit", "state"), [(0.0, "pass"), (1.0, "review")])
def test_the_least_agreed_structure_decides(limit, state, grid, classes, tmp_path):
    report = assessed(random_members(grid, classes), tmp_path, review_below=limit)
    least = min(report["structures"], key=lambda one: one["agreement"])
    assert report["verdict"]["state"] == state
    assert (report["verdict"]["structure"], report["verdict"]["value"]) == (least["name"], least["agreement"])
    assert all(one["flags"] == (["low_agreement"] if state == "review" else []) for one in report["structures"])


def test_the_limit_itself_is_not_below_the_limit(grid, classes, tmp_path):
    members = random_members(grid, classes)
    agreement = assessed(members, tmp_path / "any")["verdict"]["value"]
    assert assessed(members, tmp_path / "at", review_below=agreement)["verdict"]["state"] == "pass"


def test_one_member_cannot_tell(grid, classes, tmp_path):
    report = assessed(random_members(grid, classes, n_members=1), tmp_path, review_below=0.9)
    assert (report["verdict"]["state"], report["verdict"]["value"]) == ("cannot_tell", None)
    assert report["ensemble"] == "1 member"
    assert "Only one member" in " ".join(report["warnings"])
    for one in report["structures"]:
        assert (one["agreement"], one["volume_cv"], one["agreement_matrix"], one["flags"]) == (None, None, [], [])
        assert one["volume_ml"]["low"] is None
    assert np.isnan(read_scalar_map(tmp_path / "case_a" / "mutual_information.nii.gz").values).all()


def test_a_structure_that_some_members_lack_is_reviewed_whatever_the_limit(grid, classes, tmp_path):
    report = assessed(random_members(grid, classes, absent={"spleen": (1,)}), tmp_path)
    assert report["verdict"]["state"] == "review"
    assert "did not find spleen" in report["verdict"]["reason"]
    assert {name: one["flags"] for name, one in summaries(report).items()} == {
        "liver": [],
        "kidney": [],
        "spleen": ["absent_in_some_members"],
    }


def test_a_structure_that_all_members_lack_is_told_and_undefined(grid, classes, tmp_path):
    report = assessed(random_members(grid, classes, absent={"kidney": (0, 1, 2)}), tmp_path, review_below=0.0)
    one = summaries(report)["kidney"]
    assert (one["agreement"], one["volume_cv"], one["worst_slice"], one["flags"]) == (None, None, None, [])
    assert one["volume_ml"]["value"] == one["volume_ml"]["low"] == one["volume_ml"]["high"] == 0
    assert any("No member found kidney" in text for text in report["warnings"])
    assert report["verdict"]["state"] == "pass"


def test_members_that_find_nothing_cannot_tell(grid, classes, tmp_path):
    empty = [np.zeros(SHAPE, np.uint8)] * 3
    members = Members.from_labels(empty, geometry=grid, classes=classes, subject="case_a")
    verdict = assessed(members, tmp_path, review_below=0.5)["verdict"]
    assert (verdict["state"], verdict["reason"]) == ("cannot_tell", "No member found any structure.")


def test_regions_without_an_order_are_written_one_over_the_other(grid, tmp_path):
    unordered = Classes.overlapping_of({"whole": [1, 2], "core": [2]})
    members = random_members(grid, unordered)
    report = assessed(members, tmp_path)
    mean = voxel_maps(members, NAMES[:1])["mean_probability"].values
    values, _ = read_labels(tmp_path / "case_a" / "segmentation.nii.gz")
    expected = np.where(mean[1] > 0.5, 2, np.where(mean[0] > 0.5, 1, 0))
    np.testing.assert_array_equal(values, expected)
    assert not report["exclusive"]
    sidecar = json.loads((tmp_path / "case_a" / "segmentation.json").read_text("utf-8"))
    assert sidecar["labels"] == {"1": "whole", "2": "core"}


def test_raters_are_members_too_and_are_called_so(grid, classes, tmp_path):
    infos = [MemberInfo(id=name, kind="rater", rater=name) for name in ("anna", "ben")]
    maps = [classes.decode(member.probabilities) for member in random_members(grid, classes, n_members=2)]
    members = Members.from_labels(maps, geometry=grid, classes=classes, subject="case_a", infos=infos)
    report = assessed(members, tmp_path)
    assert report["ensemble"] == "2 raters"
    assert "label maps (0 or 1 at each voxel) of 2 raters" in report["methods"]
    assert [one["rater"] for one in report["members"]] == ["anna", "ben"]


def test_every_map_has_a_sidecar_that_says_what_it_is_and_what_made_it(grid, classes, tmp_path):
    report = assessed(random_members(grid, classes), tmp_path, review_below=0.25)
    for one in report["maps"]:
        sidecar = json.loads((tmp_path / "case_a" / one["path"].replace(".nii.gz", ".json")).read_text("utf-8"))
        assert sidecar["quantity"] == one["quantity"]
        assert sidecar["unit"]
        assert sidecar["definition"]
        assert len(sidecar["members"]) == 3
        assert sidecar["made_by"]["settings"]["review_below"] == 0.25
        assert sidecar["made_by"]["key"] == report["provenance"]["key"]


def test_the_profile_adds_up_to_the_expected_volume(grid, classes, tmp_path):
    report = assessed(random_members(grid, classes), tmp_path)
    for profile, one in zip(report["profiles"], report["structures"], strict=True):
        thickness_cm = report["spacing_mm"][profile["axis"]] / 10
        assert sum(profile["area_cm2"]) * thickness_cm == pytest.approx(one["expected_volume_ml"])
        assert len(profile["area_cm2"]) == report["shape"][profile["axis"]]
        assert one["worst_slice"] == int(np.argmax(profile["uncertain_area_cm2"]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"maps": ("sharpness",)},
        {"boundary_mm": 0.0},
        {"boundary_mm": math.nan},
        {"interval_level": 1.0},
        {"review_below": 1.1},
        {"patch_mm": 0.0},
        {"aggregations": ("sharpness",)},
        {"aggregations": ("mean_above_threshold",)},
        {"aggregations": ("lesion",)},
        {"lesion_connectivity": 8},
        {"agreement_tolerance_mm": -1.0},
        {"thresholds": ("predictive_entropy",)},
        {"thresholds": ("predictive_entropy=much",)},
        {"thresholds": ("predictive_entropy=-1",)},
        {"thresholds": ("sharpness=1",)},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}|sharpness|needs a threshold|connectivity"):
        AssessSettings(**wrong)
