"""Members: lazy, walked again and again, from whatever numpy can view; what cannot be a member is refused."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from plausible.core import (
    ArraySource,
    Classes,
    Geometry,
    InvalidInput,
    MemberInfo,
    Members,
    MemberSource,
    check_labels,
    check_probabilities,
)
from tests.conftest import SHAPE
from tests.io.folders import probabilities


class Counting:
    """A source that counts how often it is read."""

    def __init__(self, array: np.ndarray, id: str, hard: bool = False) -> None:
        self.array, self.info, self.hard, self.reads = array, MemberInfo(id=id), hard, 0

    def read(self, start: int, stop: int, *, axis: int) -> np.ndarray:
        self.reads += 1
        return ArraySource(self.array, self.info).read(start, stop, axis=axis)


def soft(classes: Classes, *, members: int = 3) -> list[np.ndarray]:
    return [probabilities(classes, SHAPE, seed=m).astype(np.float32) for m in range(members)]


def test_nothing_is_read_before_it_is_asked_for(geometry: Geometry, classes: Classes) -> None:
    sources = [Counting(p, f"m{n}") for n, p in enumerate(soft(classes))]
    members = Members(geometry, classes, tuple(sources))
    assert len(members) == 3
    assert [info.id for info in members.infos] == ["m0", "m1", "m2"]
    assert [source.reads for source in sources] == [0, 0, 0]
    walk = iter(members)
    assert next(walk).info.id == "m0"
    assert [source.reads for source in sources] == [1, 0, 0]


def test_members_can_be_walked_again(geometry: Geometry, classes: Classes) -> None:
    arrays = soft(classes)
    members = Members.from_arrays(arrays, geometry=geometry, classes=classes)
    for _ in range(2):
        for member, array in zip(members, arrays, strict=True):
            np.testing.assert_array_equal(member.probabilities, array)
            assert member.probabilities.dtype == np.float32
            assert member.geometry.matches(geometry)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slab_is_that_part_of_the_whole_on_its_own_grid(geometry: Geometry, classes: Classes, axis: int) -> None:
    arrays = soft(classes)
    sources = tuple(ArraySource(p, MemberInfo(id=str(n))) for n, p in enumerate(arrays))
    members = Members(geometry, classes, sources, slab_axis=axis)
    for member, array in zip(members.slab(1, 4), arrays, strict=True):
        np.testing.assert_array_equal(member.probabilities, array.take(range(1, 4), axis=axis + 1))
        assert member.geometry.matches(geometry.slab(1, 4, axis=axis))


def test_members_are_chosen_by_name_in_the_order_asked_for(geometry: Geometry, classes: Classes) -> None:
    arrays = soft(classes)
    chosen = Members.from_arrays(arrays, geometry=geometry, classes=classes).select(["member_2", "member_0"])
    assert [info.id for info in chosen.infos] == ["member_2", "member_0"]
    np.testing.assert_array_equal(next(iter(chosen)).probabilities, arrays[2])
    with pytest.raises(ValueError, match="no member member_7; there are: member_2, member_0"):
        chosen.select(["member_7"])


def test_each_member_has_a_name_of_its_own(geometry: Geometry, classes: Classes) -> None:
    infos = [MemberInfo(id="a"), MemberInfo(id="a")]
    with pytest.raises(ValueError, match="name of its own"):
        Members.from_arrays(soft(classes, members=2), geometry=geometry, classes=classes, infos=infos)


@pytest.mark.parametrize(
    "given",
    [
        lambda arrays: [torch.from_numpy(a) for a in arrays],
        lambda arrays: torch.from_numpy(np.stack(arrays)),
        np.stack,
        lambda arrays: [torch.from_numpy(a).double() for a in arrays],
    ],
    ids=["tensors", "one tensor", "one array", "double"],
)
def test_torch_tensors_and_stacks_are_members_too(
    geometry: Geometry, classes: Classes, given: Callable[[list[np.ndarray]], object]
) -> None:
    arrays = soft(classes)
    members = Members.from_arrays(given(arrays), geometry=geometry, classes=classes)
    assert len(members) == 3
    for member, array in zip(members, arrays, strict=True):
        np.testing.assert_array_equal(member.probabilities, array)


def test_tensors_of_labels_are_raters(geometry: Geometry, classes: Classes) -> None:
    labels = torch.randint(0, 3, (2, *SHAPE), generator=torch.Generator().manual_seed(0))
    raters = Members.from_labels(labels, geometry=geometry, classes=classes)
    first, second = raters
    assert first.hard
    np.testing.assert_array_equal(classes.decode(second.probabilities), labels[1].numpy())


def test_inputs_stay_as_they_are(geometry: Geometry, classes: Classes) -> None:
    (array,) = soft(classes, members=1)
    array[:, 0, 0, 0] = (-5e-5, 1 + 5e-5, 0, 0)
    kept = array.copy()
    (member,) = Members.from_arrays([array], geometry=geometry, classes=classes)
    np.testing.assert_array_equal(array, kept)
    assert member.probabilities[:, 0, 0, 0].tolist() == [0, 1, 0, 0]


def refused(problem: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as caught:
        problem()
    return caught.value.problem.code, caught.value.problem.member


def test_another_grid_is_refused_at_the_door(geometry: Geometry, classes: Classes) -> None:
    turned = [p.transpose(0, 3, 2, 1) for p in soft(classes)]
    assert refused(lambda: Members.from_arrays(turned, geometry=geometry, classes=classes)) == ("E202", "member_0")
    labels = [np.zeros(SHAPE, np.uint8), np.zeros((7, 5, 11), np.uint8)]
    assert refused(lambda: Members.from_labels(labels, geometry=geometry, classes=classes)) == ("E202", "member_1")


def test_a_source_that_reads_something_else_is_told_by_name(geometry: Geometry, classes: Classes) -> None:
    good, bad = soft(classes, members=2)
    shorter = Members(geometry, classes, (Counting(good, "m0"), Counting(bad[:, :, 1:], "m1")), "s1")
    assert refused(lambda: list(shorter)) == ("E202", "m1")
    fewer = Members(geometry, classes, (Counting(good, "m0"), Counting(bad[1:], "m1")), "s1")
    assert refused(lambda: list(fewer)) == ("E308", "m1")


def with_value(classes: Classes, value: float) -> np.ndarray:
    (p,) = soft(classes, members=1)
    p[:, 1, 1, 1] = value
    return p


@pytest.mark.parametrize(
    ("value", "code"), [(np.nan, "E309"), (np.inf, "E309"), (-0.2, "E302"), (1.2, "E302"), (0.3, "E301"), (0.0, "E301")]
)
def test_what_cannot_be_probabilities_is_refused(geometry: Geometry, classes: Classes, value: float, code: str) -> None:
    arrays = [*soft(classes, members=1), with_value(classes, value)]
    assert refused(lambda: Members.from_arrays(arrays, geometry=geometry, classes=classes)) == (code, "member_1")


def test_regions_need_not_sum_to_one(geometry: Geometry, regions: Classes) -> None:
    Members.from_arrays([with_value(regions, 0.0), with_value(regions, 1.0)], geometry=geometry, classes=regions)


def test_logits_are_named_when_they_look_like_it(classes: Classes) -> None:
    with pytest.raises(InvalidInput, match=r"values from -4 to 7: these look like logits"):
        check_probabilities(np.linspace(-4, 7, 4 * 6).reshape(4, 1, 2, 3), classes=classes)


def test_float16_and_eight_bit_rounding_pass(classes: Classes) -> None:
    (p,) = soft(classes, members=1)
    check_probabilities(p.astype(np.float16), classes=classes)
    check_probabilities(np.rint(p * 255).astype(np.float32) / 255, classes=classes)


def test_another_number_of_channels_is_refused(classes: Classes) -> None:
    for array in (np.zeros((3, *SHAPE), np.float32), np.zeros(SHAPE, np.float32)):
        with pytest.raises(InvalidInput, match="E308"):
            check_probabilities(array, classes=classes)


def test_a_label_without_a_name_is_told_with_its_voxels(classes: Classes) -> None:
    values = np.zeros(SHAPE, np.uint8)
    values[0, 0, :2] = 7
    with pytest.raises(InvalidInput) as caught:
        check_labels(values, classes=classes, subject="s1", member="rater_2", file="s1.nii.gz")
    assert caught.value.problem.found == "label 7 in 2 voxels"
    assert "5 spleen" in caught.value.problem.expected
    assert "s1, rater_2, s1.nii.gz" in str(caught.value)


def test_any_object_with_the_right_methods_is_a_source(classes: Classes) -> None:
    assert isinstance(Counting(soft(classes)[0], "m"), MemberSource)
    assert not isinstance(object(), MemberSource)


def test_members_are_grouped_by_what_made_them():
    infos = [
        MemberInfo(id="a", rater="x", seed=0),
        MemberInfo(id="b", rater="y", seed=0),
        MemberInfo(id="c", rater="x", seed=1),
    ]
    arrays = [np.full((2, 1, 1, 1), 0.5, dtype=np.float32)] * 3
    members = Members.from_arrays(
        arrays,
        geometry=Geometry((1, 1, 1), np.eye(4)),
        classes=Classes.exclusive_of({"background": 0, "liver": 1}),
        infos=infos,
    )
    groups = members.group_by("rater")
    assert {rater: [info.id for info in group.infos] for rater, group in groups.items()} == {
        "x": ["a", "c"],
        "y": ["b"],
    }
    assert [len(group) for group in members.group_by("seed").values()] == [2, 1]
    with pytest.raises(ValueError, match="there are: id, kind, seed"):
        members.group_by("colour")
