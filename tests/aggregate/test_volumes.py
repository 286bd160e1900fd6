import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import MemberVolumes, expected_volume, volume_cv, volume_interval, volume_mean, volume_sd
from plausible.core import Geometry, Members, collect
from plausible.measure import VoxelStatistics, mean_probability, voxel_maps
from tests.aggregate.cases import random_members


def volumes(*voxels: float, ml: float = 0.5) -> MemberVolumes:
    """One structure with so many voxels in each member."""
    names = tuple(f"member_{n}" for n in range(len(voxels)))
    counts = np.array([[n] for n in voxels], dtype=np.int64)
    return MemberVolumes(("liver",), names, counts, counts.astype(np.float64), ml)


def test_closed_forms():
    three = volumes(2, 4, 12)
    assert volume_mean(three) == pytest.approx([6 * 0.5])
    assert volume_sd(three) == pytest.approx([0.5 * np.sqrt((4**2 + 2**2 + 6**2) / 2)])
    assert volume_cv(three) == pytest.approx([np.sqrt((4**2 + 2**2 + 6**2) / 2) / 6])
    low, high = volume_interval(three, level=0.5)
    assert (low, high) == (pytest.approx([0.5 * (2 + 4) / 2]), pytest.approx([0.5 * (4 + 12) / 2]))


def test_cv_is_largest_if_one_member_alone_has_the_structure():
    assert volume_cv(volumes(0, 0, 0, 0, 7)) == pytest.approx([np.sqrt(5)])


def test_hard_and_expected_volume_of_one_voxel_row(classes, geometry):
    p = np.zeros((4, *geometry.shape), np.float32)
    p[0] = 1
    p[:, 2, 3, :4] = np.array([[0.25] * 4, [0.75, 0.5, 0.25, 0.25], [0, 0.25, 0.5, 0.25], [0, 0, 0, 0.25]])
    members = Members.from_arrays([p], geometry=geometry, classes=classes)
    one = collect(members, MemberVolumes)[MemberVolumes]
    ml = 0.7 * 1.1 * 3.0 / 1000
    assert one.volumes_ml == pytest.approx(np.array([[2 * ml, 1 * ml, 0]]))
    assert one.expected_ml == pytest.approx(np.array([[1.75 * ml, 1.0 * ml, 0.25 * ml]]))


@given(seed=st.integers(0, 99))
def test_volumes_are_sums_of_votes_and_of_probabilities(geometry, classes, seed):
    members = random_members(geometry, classes, seed=seed)
    collected = collect(members, MemberVolumes, VoxelStatistics)
    ml = geometry.voxel_volume_ml
    share = voxel_maps(members, ["vote_share"])["vote_share"].values
    assert volume_mean(collected[MemberVolumes]) == pytest.approx(share.sum(axis=(1, 2, 3)) * ml, rel=1e-5)
    mean = mean_probability(collected[VoxelStatistics])[1:]
    assert expected_volume(collected[MemberVolumes]) == pytest.approx(mean.sum(axis=(1, 2, 3)) * ml, rel=1e-5)


@given(counts=st.lists(st.integers(0, 1000), min_size=2, max_size=12), level=st.floats(0.05, 0.94))
def test_interval_grows_with_the_level_within_the_members(counts, level):
    some = volumes(*counts)
    low, high = volume_interval(some, level=level)
    wider_low, wider_high = volume_interval(some, level=level + 0.05)
    assert min(counts) * 0.5 <= wider_low[0] <= low[0] <= high[0] <= wider_high[0] <= max(counts) * 0.5


def test_interval_of_many_members_holds_its_share():
    low, high = volume_interval(volumes(*range(1, 1001), ml=1.0), level=0.9)
    assert np.count_nonzero((np.arange(1, 1001) >= low) & (np.arange(1, 1001) <= high)) == 900


def test_interval_of_one_member_is_undefined():
    assert np.isnan(volume_interval(volumes(3), level=0.9)).all()


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0, float("nan")])
def test_level_is_a_share(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        volume_interval(volumes(1, 2), level=level)


def test_twice_the_members_changes_the_spread_by_its_divisor_alone():
    counts = (2, 4, 12, 13)
    once, twice = volumes(*counts), volumes(*counts, *counts)
    assert volume_mean(twice) == pytest.approx(volume_mean(once))
    assert volume_sd(twice) == pytest.approx(volume_sd(once) * np.sqrt(2 * 3 / 7))


def test_voxels_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"voxels of 1 ml instead of 0\.5 ml"):
        volumes(1).merge(volumes(1, ml=1.0))


def test_volumes_do_not_depend_on_the_grid(classes):
    def doubled(arrays: np.ndarray) -> np.ndarray:
        return arrays.repeat(2, axis=2).repeat(2, axis=3).repeat(2, axis=4)

    coarse = Geometry((3, 4, 5), np.diag([2.0, 3.0, 4.0, 1.0]))
    fine = Geometry((6, 8, 10), np.diag([1.0, 1.5, 2.0, 1.0]))
    arrays = np.stack([m.probabilities for m in random_members(coarse, classes)])
    once, again = (
        collect(Members.from_arrays(list(a), geometry=g, classes=classes), MemberVolumes)[MemberVolumes]
        for a, g in ((arrays, coarse), (doubled(arrays), fine))
    )
    assert again.volumes_ml == pytest.approx(once.volumes_ml)
    assert again.expected_ml == pytest.approx(once.expected_ml, rel=1e-6)
