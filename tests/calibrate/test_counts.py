import numpy as np
import pytest

from plausible.calibrate import LOSSES, ThresholdCounts, log_odds_grid, loss_curve, threshold_counts
from plausible.calibrate.losses import course_of, stack
from plausible.core import Classes, Geometry, InvalidInput, Members

GRID = np.array([0.0, 0.25, 0.5, 0.75, 1.0, np.inf])


def case(geometry, classes, *, seed=0, subject="p0", n_members=3):
    """Members with values on and off the grid, and a rater who has no spleen."""
    rng = np.random.default_rng(seed)
    shape = (n_members, len(classes.names), *geometry.shape)
    if classes.exclusive:
        p = rng.dirichlet(np.full(shape[1], 0.3), size=(n_members, *geometry.shape)).transpose(0, 4, 1, 2, 3)
        labels = rng.choice([0, 1, 2], size=geometry.shape)
    else:
        p = rng.choice([0.0, 0.25, 0.3, 0.5, 1.0], size=shape)
        labels = rng.choice([0, 1, 2], size=geometry.shape)
    members = Members.from_arrays(list(p.astype(np.float32)), geometry=geometry, classes=classes, subject=subject)
    return members, Members.from_labels([labels.astype(np.uint8)], geometry=geometry, classes=classes)


def by_hand(members, reference, structure, thresholds):
    channel = members.classes.channel(structure)
    mean = np.mean([m.probabilities[channel] for m in members], axis=0, dtype=np.float32)
    (truth,) = reference
    mask = truth.classes.masks(truth.probabilities)[members.classes.structures.index(structure)]
    sets = [mean >= np.float32(t) for t in thresholds]
    return [np.sum(s & mask) for s in sets], [np.sum(s & ~mask) for s in sets]


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_counts_are_those_of_the_sets(kind, geometry, request):
    members, reference = case(geometry, request.getfixturevalue(kind))
    for thresholds in (GRID, log_odds_grid(63)):
        for counts in threshold_counts(members, reference, thresholds=thresholds):
            inside, outside = by_hand(members, reference, counts.structure, thresholds)
            np.testing.assert_array_equal(counts.inside, inside)
            np.testing.assert_array_equal(counts.outside, outside)
            assert counts.subject == "p0"


def test_slabs_add_up(geometry, classes):
    members, reference = case(geometry, classes)
    whole = threshold_counts(members, reference, slab_voxels=10**6)
    for slab_voxels in (1, 100, 200):
        for one, other in zip(whole, threshold_counts(members, reference, slab_voxels=slab_voxels), strict=True):
            np.testing.assert_array_equal(one.inside, other.inside)
            np.testing.assert_array_equal(one.outside, other.outside)


def test_values_on_the_grid_belong_to_the_set():
    p = np.array([0.0, 0.25, 0.5, 0.75, 1.0], np.float32).reshape(5, 1, 1)
    reference = np.array([True, False, True, False, True]).reshape(5, 1, 1)
    counts = ThresholdCounts.of(p, reference, thresholds=GRID, voxel_volume_ml=1.0)
    assert counts.inside.tolist() == [3, 2, 2, 1, 1, 0]
    assert counts.outside.tolist() == [2, 2, 1, 1, 0, 0]
    assert counts.n_reference == 3


def test_grid_is_dense_where_it_matters():
    grid = log_odds_grid()
    assert (grid[0], grid[-2], grid[-1]) == (0, 1, np.inf)
    assert 0.5 in grid
    assert grid[1] < 5e-5
    assert 1 - grid[-3] < 5e-5
    assert (grid[:-1] == grid[:-1].astype(np.float32)).all()


def test_other_grids_are_refused():
    p, reference = np.zeros((1, 1, 2), np.float32), np.zeros((1, 1, 2), bool)
    for wrong in ([0.1, 0.5, np.inf], [0.0, 0.5, 1.0], [0.0, 0.5, 0.5, np.inf]):
        with pytest.raises(ValueError, match="ascend"):
            ThresholdCounts.of(p, reference, thresholds=np.array(wrong), voxel_volume_ml=1.0)


def test_references_that_do_not_fit_are_refused(geometry, classes, regions):
    members, _ = case(geometry, classes)
    _, others = case(geometry, regions)
    with pytest.raises(InvalidInput, match="E103"):
        threshold_counts(members, others)
    elsewhere = Geometry((5, 7, 12), geometry.affine)
    with pytest.raises(InvalidInput, match="E202"):
        threshold_counts(members, case(elsewhere, classes)[1])
    with pytest.raises(ValueError, match="select a rater"):
        threshold_counts(
            members, Members.from_labels([np.zeros((5, 7, 11), np.uint8)] * 2, geometry=geometry, classes=classes)
        )


def test_losses_by_hand():
    """Reference of 4 voxels, image of 10: inside 4 4 2 1 0, outside 6 3 1 0 0."""
    counts = ThresholdCounts(
        "p0", "liver", np.array([0, 0.3, 0.6, 0.9, np.inf]), np.array([4, 4, 2, 1, 0]), np.array([6, 3, 1, 0, 0]), 1.0
    )
    expected = {
        "false_negative_rate": [0, 0, 2 / 4, 3 / 4, 1],
        "false_positive_rate": [1, 3 / 6, 1 / 6, 0, 0],
        "excess_rate": [1, 3 / 4, 1 / 4, 0, 0],
        "false_discovery_rate": [6 / 10, 3 / 7, 1 / 3, 0, 0],
        "dice_loss": [1 - 8 / 14, 1 - 8 / 11, 1 - 4 / 7, 1 - 2 / 5, 1],
    }
    assert expected.keys() == set(LOSSES.names)
    for loss, values in expected.items():
        np.testing.assert_allclose(loss_curve(counts, loss=loss).values, values)


def test_losses_without_the_structure():
    counts = ThresholdCounts("p0", "liver", np.array([0, 0.5, np.inf]), np.zeros(3, int), np.array([10, 2, 0]), 1.0)
    nan = np.nan
    expected = {
        "false_negative_rate": [nan, nan, nan],
        "false_positive_rate": [1, 0.2, 0],
        "excess_rate": [nan, nan, nan],
        "false_discovery_rate": [1, 1, 0],
        "dice_loss": [1, 1, nan],
    }
    for loss, values in expected.items():
        np.testing.assert_array_equal(loss_curve(counts, loss=loss).values, values)


def test_every_loss_lies_between_0_and_1_and_keeps_its_course(geometry, classes):
    courses = {"false_negative_rate": "rises", "false_positive_rate": "falls", "excess_rate": "falls"}
    dip = ThresholdCounts(
        "p9", "liver", np.array([0, 0.5, 0.9, np.inf]), np.array([4, 1, 1, 0]), np.array([6, 2, 0, 0]), 1.0
    )
    cases = [case(geometry, classes, seed=s, subject=f"p{s}") for s in range(4)]
    counts = [threshold_counts(*one, thresholds=GRID)[0] for one in cases]
    for entry in LOSSES:
        patients, _ = stack([loss_curve(c, loss=entry.name) for c in counts])
        assert np.nanmin(patients.values) >= 0
        assert np.nanmax(patients.values) <= 1
        course = courses.get(entry.name, "neither")
        assert course_of(loss_curve(dip, loss=entry.name).values[:, np.newaxis]) == course
        assert course == "neither" or course_of(patients.values) == course


def test_curves_of_different_kinds_do_not_mix(geometry, classes):
    counts = threshold_counts(*case(geometry, classes), thresholds=GRID)
    other = threshold_counts(*case(geometry, classes, subject="p1"), thresholds=log_odds_grid(9))
    one = loss_curve(counts[0], loss="excess_rate")
    for wrong, said in (
        (loss_curve(counts[1], loss="excess_rate"), "one structure"),
        (loss_curve(counts[0], loss="dice_loss"), "one loss"),
        (one, "several times"),
        (loss_curve(other[0], loss="excess_rate"), "different thresholds"),
    ):
        with pytest.raises(ValueError, match=said):
            stack([one, wrong])


def test_memory_does_not_grow_with_the_image():
    """A curve holds two integers per threshold, whatever the image."""
    classes = Classes.exclusive_of({"background": 0, "liver": 1})
    sizes = []
    for length in (8, 64):
        geometry = Geometry((length, 16, 16), np.eye(4))
        p = np.full((2, *geometry.shape), 0.5, np.float32)
        members = Members.from_arrays([p], geometry=geometry, classes=classes)
        labels = Members.from_labels([np.ones(geometry.shape, np.uint8)], geometry=geometry, classes=classes)
        (counts,) = threshold_counts(members, labels)
        sizes.append(counts.inside.nbytes + counts.outside.nbytes)
    assert sizes[0] == sizes[1] < 20_000
