"""The choice of reference: what it is made of, how it is called, and that nobody's order matters."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from plausible.core import Classes, Geometry, InvalidInput, MemberInfo, Members, Score
from plausible.evaluate import (
    REFERENCES,
    evaluate_case,
    evaluate_cohort,
    of_primary,
    primary_kind,
    reference_kind,
    references_of,
)

CLASSES = Classes.exclusive_of({"background": 0, "liver": 1, "spleen": 4})
REGIONS = Classes.overlapping_of({"whole": (1, 4), "core": (4,)}, order=(1, 4))
GEOMETRY = Geometry((5, 7, 11), np.diag([0.7, 1.1, 3.0, 1.0]))


def raters_of(*labels: np.ndarray, classes: Classes = CLASSES, subject: str = "s1") -> Members:
    infos = [MemberInfo(id=f"rater_{n}", kind="rater") for n in range(len(labels))]
    return Members.from_labels(list(labels), geometry=GEOMETRY, classes=classes, subject=subject, infos=infos)


def drawn(n: int, seed: int = 0) -> list[np.ndarray]:
    return [np.random.default_rng((seed, r)).choice([0, 1, 4], GEOMETRY.shape).astype(np.uint8) for r in range(n)]


def labels(references: Members) -> dict[str, np.ndarray]:
    return {one.info.id: np.asarray(one.classes.decode(one.probabilities)) for one in references}


@pytest.mark.parametrize("classes", [CLASSES, REGIONS], ids=["classes", "regions"])
@pytest.mark.parametrize("choice", REFERENCES.names)
def test_one_rater_is_every_choice(choice, classes):
    raters = raters_of(*drawn(1), classes=classes)
    (found,) = references_of(raters, [choice])
    (alone,) = raters
    np.testing.assert_array_equal(found.probabilities, alone.probabilities)
    assert found.hard


@pytest.mark.parametrize("classes", [CLASSES, REGIONS], ids=["classes", "regions"])
@pytest.mark.parametrize("choice", REFERENCES.names)
def test_the_order_of_raters_does_not_matter(choice, classes):
    raters = raters_of(*drawn(3), classes=classes)
    expected = labels(references_of(raters, [choice]))
    for order in permutations(f"rater_{n}" for n in range(3)):
        found = labels(references_of(raters.select(order), [choice]))
        assert found.keys() == expected.keys()
        for name, values in found.items():
            np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("choice", REFERENCES.names)
def test_slabs_equal_the_whole(choice):
    raters = raters_of(*drawn(3))
    whole, parts = (labels(references_of(raters, [choice], slab_voxels=size)) for size in (None, 90))
    for name, values in whole.items():
        np.testing.assert_array_equal(values, parts[name])


def test_the_majority_by_hand_and_both_rules_for_ties():
    a, b = np.zeros((2, *GEOMETRY.shape), np.uint8)
    a[0], b[0, :4], b[1] = 1, 1, 1
    both, either = (a > 0) & (b > 0), (a > 0) | (b > 0)
    found = labels(references_of(raters_of(a, b), ["consensus_majority", "consensus_majority_ties_inside"]))
    np.testing.assert_array_equal(found["consensus_majority"] == 1, both)
    np.testing.assert_array_equal(found["consensus_majority_ties_inside"] == 1, either)
    three = labels(references_of(raters_of(a, b, b), ["consensus_majority"]))["consensus_majority"]
    np.testing.assert_array_equal(three == 1, b > 0)


def test_staple_follows_two_raters_that_agree_and_a_structure_that_nobody_drew_is_empty():
    good, bad = np.zeros((2, *GEOMETRY.shape), np.uint8)
    good[1:4, 2:5, 2:8], bad[0] = 1, 1
    found = labels(references_of(raters_of(good, good, bad), ["consensus_staple"]))["consensus_staple"]
    np.testing.assert_array_equal(found, good)


def test_a_random_rater_depends_on_seed_and_case_alone():
    names = [f"s{n}" for n in range(40)]

    def chosen(seed: int, order: list[str]) -> dict[str, str]:
        raters = raters_of(*drawn(3))
        found = {name: references_of(replace(raters, subject=name), ["random"], seed=seed) for name in order}
        return {name: one.infos[0].id for name, one in found.items()}

    first = chosen(0, names)
    assert first == chosen(0, names[::-1])
    assert first != chosen(1, names)
    shares = [list(first.values()).count(f"random:rater_{r}") for r in range(3)]
    assert sum(shares) == 40
    assert min(shares) >= 6
    assert references_of(raters_of(*drawn(3)), ["random"], subject="s7").infos[0].id == first["s7"]


def test_a_random_rater_is_that_rater():
    raters = raters_of(*drawn(3))
    (found,) = references_of(raters, ["random"])
    (rater,) = raters.select([found.info.id.removeprefix("random:")])
    np.testing.assert_array_equal(found.probabilities, rater.probabilities)


def test_choices_add_up_and_what_two_give_is_there_once():
    raters = raters_of(*drawn(2))
    found = references_of(raters, ["rater_1", "consensus_staple", "each"])
    assert [info.id for info in found.infos] == ["rater_1", "consensus_staple", "rater_0"]


def test_an_unknown_choice_names_what_there_is():
    with pytest.raises(InvalidInput, match=r"E106(.|\n)*rater_0, rater_1(.|\n)*consensus_staple"):
        references_of(raters_of(*drawn(2)), ["rater_7"])
    with pytest.raises(ValueError, match="no reference chosen"):
        references_of(raters_of(*drawn(2)), [])


def test_the_kind_is_read_from_the_name():
    kinds = {
        "rater_2": "each", "reference": "each", "random:rater_2": "random", "consensus_staple": "consensus_staple",
        "consensus_majority:without_anna": "consensus_majority", "3_raters": "all_raters",
        "5_raters:rater_entropy": "all_raters",
    }  # fmt: skip
    assert {name: reference_kind(name) for name in kinds} == kinds


def dice_row(value: float, against: str, *, reduction: str = "ensemble", subject: str = "s1") -> Score:
    return Score(
        subject=subject, structure="liver", measure="dice", value=value, unit="1", higher_is="better", n=1,
        reduction=reduction, against=against,
    )  # fmt: skip


def test_different_choices_are_never_averaged():
    rows = [dice_row(0.2, "consensus_staple"), dice_row(0.6, "rater_0"), dice_row(0.8, "rater_1")]
    lines = {line.against: line.mean for line in evaluate_cohort(rows, seed=0, n_resamples=20).summary}
    assert lines == {"consensus_staple": pytest.approx(0.2), "each": pytest.approx((0.6 + 0.8) / 2)}
    assert primary_kind(rows) == "consensus_staple"
    assert [row.value for row in of_primary(rows)] == [0.2]
    agreement = replace(dice_row(0.5, ""), measure="mean_pairwise_dice", reduction="")
    (curve,) = evaluate_cohort([agreement, *rows], seed=0, n_resamples=20).risk_coverage
    assert curve.mean_risk == pytest.approx(1 - 0.2)


def test_scores_of_sets_are_kept_whatever_comes_first():
    rows = [dice_row(0.1, "3_raters"), dice_row(0.2, "consensus_staple"), dice_row(0.6, "rater_0"), dice_row(0.5, "")]
    assert [row.value for row in of_primary(rows)] == [0.1, 0.2, 0.5]


def test_a_case_is_scored_against_what_was_chosen():
    raters = raters_of(*drawn(3))
    members = Members.from_labels([drawn(1, seed=9)[0]], geometry=GEOMETRY, classes=CLASSES, subject="s1")
    references = references_of(raters, ["consensus_staple", "random"])
    rows = evaluate_case(members, references, tolerance_mm=1.0).rows
    assert {row.against for row in rows} == {info.id for info in references.infos}
