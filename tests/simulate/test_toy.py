"""The toy cases: who is in them, what shifts, what noise leaves, and the same numbers for the same seed."""

from dataclasses import replace

import numpy as np
import pytest

from plausible.simulate import TOY_CASES, simulate, simulate_one
from plausible.simulate.toy import SMALLEST, draw_object, with_noise

COUNTS = {
    "1": {"train": 200, "iid": 20},
    "2": {"train": 200, "iid": 21, "shifted": 21},
    "3a": {"train": 200, "iid": 21, "shifted": 21},
    "3b": {"train": 200, "iid": 42, "shifted": 21},
    "factorial": {"train": 200, "iid": 42, "shifted": 42},
}


def one(case: str, group: str, number: int = 0, **told):
    (found,) = (candidate for candidate in TOY_CASES[case] if candidate.name == group)
    return simulate_one(found, number, **told)


def objects(case: str, name: str, n: int, *, size=64):
    (group,) = (candidate for candidate in TOY_CASES[case] if candidate.name == name)
    return [draw_object(group, np.random.default_rng([group.seed, k]), size=size, smallest=SMALLEST) for k in range(n)]


@pytest.mark.parametrize("case", TOY_CASES)
def test_as_many_images_as_published_in_groups_of_distinct_names(case):
    found: dict[str, int] = {}
    for group in TOY_CASES[case]:
        found[group.role] = found.get(group.role, 0) + group.n
    assert found == COUNTS[case]
    assert len({group.name for group in TOY_CASES[case]}) == len(TOY_CASES[case])


@pytest.mark.parametrize("case", TOY_CASES)
@pytest.mark.parametrize("clean", [False, True])
def test_masks_are_nested_and_ambiguous_only_where_it_is_blurred(case, clean):
    for toy in simulate(case, size=32, clean=clean, share=0.02):
        assert (toy.masks[:-1] <= toy.masks[1:]).all()
        assert len(toy.masks) == (1 if case == "2" else 3)
        entropy = toy.truth[1].values
        shells = {0.0} if toy.group.sigma == 0 else {0.0, float(np.float32(0.6365142))}
        if toy.toy.edge > 7 or clean:  # smaller balls vanish in the blur, see below
            assert {float(value) for value in np.unique(entropy)} == shells
        assert toy.image.values.dtype == np.float32
        assert 0 <= toy.image.values.min() <= toy.image.values.max() <= 1 + 1e-6


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    first = list(simulate("3b", size=16, share=0.02))
    again = list(simulate("3b", size=16, share=0.05))
    other = list(simulate("3b", size=16, share=0.02, seed=1))
    by_name = {toy.subject: toy for toy in again}
    for toy, moved in zip(first, other, strict=True):
        np.testing.assert_array_equal(toy.image.values, by_name[toy.subject].image.values)
        np.testing.assert_array_equal(toy.masks, by_name[toy.subject].masks)
        assert toy.drawn_by == by_name[toy.subject].drawn_by
        assert not np.array_equal(toy.image.values, moved.image.values)


def test_edges_and_places_follow_the_recipe():
    toys = objects("2", "train", 300)
    assert [one("2", "train", n).toy for n in (0, 7)] == [toys[0], toys[7]]
    edges = [toy.edge for toy in toys]
    assert (min(edges), max(edges)) == (12, 32)
    assert all(0 <= start <= 64 - toy.edge for toy in toys for start in toy.offset)
    assert {toy.grey for toy in toys} == {1.0}
    assert {toy.kind for toy in toys} == {"ball"}


def test_each_shift_is_what_it_is_called():
    greys = [toy.grey for toy in objects("2", "shifted_grey", 300)]
    assert 0.5 <= min(greys) < 0.52
    assert 0.88 < max(greys) <= 0.9
    assert one("2", "shifted_cube").toy.kind == "cube"
    border = objects("2", "shifted_border", 200)
    over = [[start < 0 or start + toy.edge > 64 for start in toy.offset] for toy in border]
    assert np.mean([any(axes) for axes in over]) > 0.9  # an offset of exactly 0 touches the border only
    assert all(-(2 * toy.edge / 3) <= start <= 64 - toy.edge / 3 for toy in border for start in toy.offset)
    beyond = np.array([[start + toy.edge > 64 for start in toy.offset] for toy in border])
    assert beyond[:, :2].any()
    assert not beyond[:, 2].any()  # the third axis is never flipped


def test_noise_replaces_everything_dark_and_nothing_bright():
    values = np.full((40, 40, 40), 0.05)
    values[:10] = 0.1
    seen = with_noise(values, np.random.default_rng(0))
    np.testing.assert_array_equal(seen[:10], np.float32(0.1))
    dark = seen[10:]
    assert np.mean(dark == 0) == pytest.approx(0.5, abs=0.01)
    assert dark[dark > 0].mean() == pytest.approx(0.5, abs=0.01)
    assert not np.isin(np.float32(0.05), dark)


def test_the_factorial_design_has_each_object_sharp_and_blurred():
    """Blur x shift with the same objects in both columns, so that an effect of blur is one of blur alone."""
    for shift in ("iid", "shifted_grey", "shifted_cube", "shifted_border"):
        for number in (0, 3):
            sharp = one("factorial", f"{shift}_sharp", number)
            blurred = one("factorial", f"{shift}_blurred", number)
            assert sharp.toy == blurred.toy
            assert sharp.truth[1].values.max() == 0
            assert blurred.truth[1].values.max() > 0.6
            assert sharp.group == replace(blurred.group, name=sharp.group.name, sigma=0.0)


def test_the_smallest_balls_of_the_published_recipe_vanish_in_the_blur():
    """Trap: with σ = 8 balls of 12 and 13 voxels are nowhere brighter than a tenth; clean copies are never so small."""
    toys = objects("3a", "train_blurred", 100)
    away = [n for n, toy in enumerate(toys) if toy.edge <= 13 and all(8 < start < 43 for start in toy.offset)]
    assert away  # borders reflect, and brighten what lies at them
    for n in away:
        small = one("3a", "train_blurred", n)
        assert small.masks.sum() <= 3 * 8
        assert one("3a", "train_blurred", n, clean=True).toy.edge >= 20


def test_training_labels_are_a_random_rater_and_test_labels_the_majority():
    drawn = [one("1", "train", n, size=16).drawn_by for n in range(60)]
    assert set(drawn) == {0, 1, 2}
    assert max(np.bincount(drawn)) < 35
    train, test = one("1", "train", 1), one("1", "iid", 1)
    np.testing.assert_array_equal(train.reference.values, train.masks[train.drawn_by])
    np.testing.assert_array_equal(test.reference.values, test.masks.sum(axis=0) >= 2)


@pytest.mark.parametrize(
    ("case", "told", "word"), [("4", {}, "3a"), ("1", {"size": 8}, "size"), ("1", {"share": 0.0}, "share")]
)
def test_what_cannot_be_simulated_is_refused(case, told, word):
    with pytest.raises(ValueError, match=word):
        next(simulate(case, **told))
