"""The human ceiling: raters scored as a model is, nobody against a consensus that holds his own contour."""

import math

import numpy as np
import pytest

from plausible.core import Members, select
from plausible.evaluate import ceiling_rows, evaluate_case, evaluate_cohort, references_of
from tests.evaluate.test_references import CLASSES, GEOMETRY, drawn, raters_of

CONSENSUSES = ("consensus_majority", "consensus_majority_ties_inside", "consensus_staple")


def without_places(rows) -> list[tuple]:
    return sorted((row.structure, row.measure, row.region, row.value, row.n, row.unit) for row in rows)


def test_a_rater_is_scored_as_a_model_that_draws_like_him():
    raters = raters_of(*drawn(3))
    (first,) = raters.select(["rater_0"])
    members = Members.from_labels(
        [np.asarray(CLASSES.decode(first.probabilities))], geometry=GEOMETRY, classes=CLASSES, subject="s1"
    )
    scored = evaluate_case(members, raters.select(["rater_1", "rater_2"]), tolerance_mm=1.5).rows
    expected = select(scored, reduction="ensemble")
    found = select(ceiling_rows(raters, tolerance_mm=1.5), reduction="rater:rater_0")
    for against in ("rater_1", "rater_2"):
        here = without_places(select(found, against=against))
        measures = {row[1] for row in here}
        there = [row for row in select(expected, against=against) if row.measure in measures]
        assert len(here) > 10
        for ours, theirs in zip(here, without_places(there), strict=True):
            assert ours == pytest.approx(theirs, nan_ok=True)


def test_every_ordered_pair_is_there_once_and_nobody_with_himself():
    rows = select(ceiling_rows(raters_of(*drawn(3)), tolerance_mm=1.0), measure="dice", structure="liver")
    pairs = {(row.reduction, row.against) for row in rows}
    assert len(rows) == len(pairs) == 3 * 2
    assert all(reduction != f"rater:{against}" for reduction, against in pairs)
    values = {(row.reduction.removeprefix("rater:"), row.against): row.value for row in rows}
    assert all(values[a, b] == values[b, a] for a, b in values)


@pytest.mark.parametrize("choice", CONSENSUSES)
def test_a_rater_never_meets_a_consensus_that_he_is_part_of(choice):
    odd, usual = np.zeros((2, *GEOMETRY.shape), np.uint8)
    usual[1:3, 2:5, 2:6], odd[4] = 1, 1
    raters = raters_of(odd, usual, usual)
    rows = select(ceiling_rows(raters, [choice], tolerance_mm=1.0), measure="dice", structure="liver")
    values = {row.reduction: (row.value, row.against) for row in rows}
    assert values["rater:rater_0"] == (0, f"{choice}:without_rater_0")
    changed = raters_of(np.full_like(odd, 4), usual, usual)
    (consensus,) = references_of(changed.select(["rater_1", "rater_2"]), [choice])
    np.testing.assert_array_equal(np.asarray(CLASSES.decode(consensus.probabilities)), usual)


@pytest.mark.parametrize("choice", CONSENSUSES)
def test_with_two_raters_the_consensus_of_the_others_is_the_other(choice):
    raters = raters_of(*drawn(2))
    pairs = select(ceiling_rows(raters, ["each"], tolerance_mm=1.0), reduction="rater:rater_0")
    alone = select(ceiling_rows(raters, [choice], tolerance_mm=1.0), reduction="rater:rater_0")
    assert [(row.structure, row.measure, row.n) for row in pairs] == [(r.structure, r.measure, r.n) for r in alone]
    np.testing.assert_array_equal([r.value for r in pairs], [r.value for r in alone])


def test_one_rater_has_nobody_to_agree_with():
    assert ceiling_rows(raters_of(*drawn(1)), ["each", "consensus_staple"], tolerance_mm=1.0) == []


def test_a_named_or_random_rater_is_met_by_the_others_only():
    raters = raters_of(*drawn(3))
    (info,) = references_of(raters, ["random"]).infos
    rows = ceiling_rows(raters, ["random"], tolerance_mm=1.0)
    own = info.id.removeprefix("random:")
    assert {row.against for row in rows} == {info.id}
    assert {row.reduction for row in rows} == {f"rater:rater_{n}" for n in range(3)} - {f"rater:{own}"}
    named = ceiling_rows(raters, ["rater_2"], tolerance_mm=1.0)
    assert {(row.reduction, row.against) for row in named} == {
        ("rater:rater_0", "rater_2"), ("rater:rater_1", "rater_2"),
    }  # fmt: skip


def test_the_order_of_raters_does_not_matter():
    raters = raters_of(*drawn(3))
    turned = raters.select(["rater_2", "rater_0", "rater_1"])
    ours, theirs = (
        {row.key: row.value for row in ceiling_rows(each, ["each", *CONSENSUSES], tolerance_mm=1.0)}
        for each in (raters, turned)
    )
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose([ours[key] for key in ours], [theirs[key] for key in ours], rtol=1e-12)


def test_a_structure_that_no_two_raters_have_is_undefined_or_zero():
    empty, full = np.zeros((2, *GEOMETRY.shape), np.uint8)
    full[1:3, 2:5, 2:6] = 1
    rows = select(ceiling_rows(raters_of(empty, full, empty), tolerance_mm=1.0), measure="dice", structure="liver")
    values = {(row.reduction, row.against): row.value for row in rows}
    assert math.isnan(values["rater:rater_0", "rater_2"])
    assert values["rater:rater_0", "rater_1"] == 0
    spleen = ceiling_rows(raters_of(empty, full, empty), tolerance_mm=1.0)
    assert all(math.isnan(row.value) for row in select(spleen, measure="dice", structure="spleen"))


def test_the_cohort_has_a_line_of_people_beside_the_model():
    rows = []
    for n in range(4):
        raters = raters_of(*drawn(3, seed=n), subject=f"s{n}")
        members = Members.from_labels([drawn(1, seed=90 + n)[0]], geometry=GEOMETRY, classes=CLASSES, subject=f"s{n}")
        chosen = ("each", "consensus_majority")
        rows += evaluate_case(members, references_of(raters, chosen), tolerance_mm=1.0).rows
        rows += ceiling_rows(raters, chosen, tolerance_mm=1.0)
    summary = evaluate_cohort(rows, seed=0, n_resamples=50).summary
    lines = [line for line in summary if (line.measure, line.structure) == ("dice", "liver")]
    assert {(line.against, line.reduction) for line in lines} >= {
        ("each", "human"), ("each", "ensemble"), ("consensus_majority", "human"), ("consensus_majority", "ensemble"),
    }  # fmt: skip
    (human,) = [line for line in lines if (line.against, line.reduction) == ("each", "human")]
    people = [
        row for row in rows if row.reduction.startswith("rater:") and (row.measure, row.structure) == ("dice", "liver")
    ]
    of_each = [row.value for row in people if not row.against.startswith("consensus")]
    assert human.mean == pytest.approx(np.mean(of_each))
    assert (human.n, len(of_each)) == (4, 4 * 6)
