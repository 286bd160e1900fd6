"""Laws of every score that is read from the members' volumes and overlaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import AGREEMENT_SCORES, VOLUME_SCORES, MemberVolumes, PairwiseOverlap
from plausible.core import Accumulates, MemberInfo, Members, Statistic, collect
from tests.aggregate.cases import certain_members, random_members, reordered, turned

STATISTICS = {MemberVolumes: VOLUME_SCORES, PairwiseOverlap: AGREEMENT_SCORES}
SCORES = [(statistic, entry) for statistic, catalogue in STATISTICS.items() for entry in catalogue]
EVERY_SCORE = pytest.mark.parametrize(("statistic", "entry"), SCORES, ids=lambda x: getattr(x, "name", ""))
EVERY_STATISTIC = pytest.mark.parametrize("statistic", STATISTICS)


def read(statistic, entry, members: Members, *, slab_voxels: int | None = None) -> np.ndarray:
    return entry.function(collect(members, statistic, slab_voxels=slab_voxels)[statistic])


def parts(statistic, members: Members) -> list:
    return [statistic.of(member) for member in members]


def same(one, other) -> bool:
    """Whether two statistics hold the same numbers."""
    if isinstance(one, MemberVolumes):
        equal = np.array_equal(one.probability_sum, other.probability_sum)
        return equal and np.array_equal(one.voxels, other.voxels) and one.members == other.members
    bits = all(np.array_equal(a, b) for a, b in zip(one.bits, other.bits, strict=True))
    return bits and np.array_equal(one.shared, other.shared) and one.members == other.members


@EVERY_STATISTIC
def test_is_a_statistic(statistic, geometry, classes):
    first, *_ = parts(statistic, random_members(geometry, classes))
    assert isinstance(first, Statistic)
    assert not isinstance(first, Accumulates)


@EVERY_SCORE
@given(seed=st.integers(0, 99), order=st.permutations(range(4)))
def test_order_of_members_does_not_matter(statistic, entry, geometry, classes, seed, order):
    members = random_members(geometry, classes, seed=seed)
    expected = read(statistic, entry, members)
    assert read(statistic, entry, reordered(members, order)) == pytest.approx(expected, rel=1e-12)


@EVERY_SCORE
@given(axes=st.permutations(range(3)), flipped=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_direction_of_axes_does_not_matter(statistic, entry, geometry, classes, axes, flipped):
    members = random_members(geometry, classes)
    expected = read(statistic, entry, members)
    assert read(statistic, entry, turned(members, axes=tuple(axes), flipped=flipped)) == pytest.approx(expected)


@EVERY_SCORE
@pytest.mark.parametrize("kind", ["classes", "regions"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slabs_equal_the_whole(statistic, entry, kind, axis, geometry, request):
    members = random_members(geometry, request.getfixturevalue(kind), absent=("kidney",) if kind == "classes" else ())
    cut = Members(geometry, members.classes, members.sources, sliceable=True, slab_axis=axis)
    expected = read(statistic, entry, members)
    for slab_voxels in (1, 80, 200):
        assert read(statistic, entry, cut, slab_voxels=slab_voxels) == pytest.approx(expected, rel=1e-12, nan_ok=True)


@EVERY_STATISTIC
@given(seed=st.integers(0, 99))
def test_merge_is_associative_and_join_is_too(statistic, geometry, classes, seed):
    a, b, c = parts(statistic, random_members(geometry, classes, n_members=3, seed=seed))
    assert same(a.merge(b).merge(c), a.merge(b.merge(c)))
    members = random_members(geometry, classes, n_members=2, seed=seed)
    x, y, z = (parts(statistic, members)[0] for _ in range(3))
    joined, stepwise = x.join(y, z, axis=0), x.join(y, axis=0).join(z, axis=0)
    assert same(joined, stepwise)


@EVERY_STATISTIC
def test_merge_and_join_change_nothing(statistic, geometry, classes):
    members = random_members(geometry, classes)
    a, b, *_ = parts(statistic, members)
    a.merge(b)
    a.join(a, axis=1)
    untouched = parts(statistic, members)
    assert same(a, untouched[0])
    assert same(b, untouched[1])


@EVERY_STATISTIC
def test_slabs_of_other_members_are_refused(statistic, geometry, classes):
    a, b, *_ = parts(statistic, random_members(geometry, classes))
    with pytest.raises(ValueError, match="other members"):
        a.join(b, axis=0)


@EVERY_STATISTIC
def test_other_structures_are_refused(statistic, geometry, classes, regions):
    ours, theirs = (parts(statistic, random_members(geometry, c))[0] for c in (classes, regions))
    with pytest.raises(ValueError, match="structures"):
        ours.merge(theirs)
    with pytest.raises(ValueError, match="structures"):
        ours.join(theirs, axis=0)


@EVERY_SCORE
def test_members_that_agree_have_no_spread(statistic, entry, geometry, classes):
    values = read(statistic, entry, certain_members(geometry, classes))[:2]
    perfect = {"better": 1, "worse": 0}
    if entry.higher_is in perfect:
        assert values == pytest.approx([perfect[entry.higher_is]] * 2, abs=1e-15)
    else:
        assert values == pytest.approx(np.array([2 * 3 * 5, 1]) * geometry.voxel_volume_ml)


@EVERY_SCORE
def test_a_structure_that_nobody_has_is_undefined_but_for_its_volume(statistic, entry, geometry, classes):
    value = read(statistic, entry, certain_members(geometry, classes))[2]
    assert value == 0 if entry.unit == "ml" else np.isnan(value)


@EVERY_SCORE
def test_one_member_shows_no_spread(statistic, entry, geometry, classes):
    values = read(statistic, entry, certain_members(geometry, classes, n_members=1))
    assert not np.isnan(values).any() if entry.higher_is == "neither" else np.isnan(values).all()


def test_raters_are_members_too(geometry, classes):
    labels = [np.zeros(geometry.shape, np.uint8) for _ in range(2)]
    labels[0][:2, 0, 0] = labels[1][1:4, 0, 0] = 5
    infos = [MemberInfo(id=name, kind="rater", rater=name) for name in ("anna", "ben")]
    raters = Members.from_labels(labels, geometry=geometry, classes=classes, infos=infos)
    collected = collect(raters, MemberVolumes, PairwiseOverlap)
    assert collected[MemberVolumes].members == collected[PairwiseOverlap].members == ("anna", "ben")
    spleen = classes.structures.index("spleen")
    assert AGREEMENT_SCORES["mean_pairwise_dice"].function(collected[PairwiseOverlap])[spleen] == 2 * 1 / (2 + 3)
    assert collected[MemberVolumes].volumes_ml[:, spleen] == pytest.approx([2 * 0.00231, 3 * 0.00231])
