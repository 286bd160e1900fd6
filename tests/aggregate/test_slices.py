import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plausible.aggregate import MemberVolumes, expected_volume, slice_profiles, worst_slice
from plausible.core import Geometry, ScalarMap, collect
from plausible.measure import voxel_maps
from tests.aggregate.cases import certain_members, random_members, turned

PIXEL_CM2 = 0.07 * 0.11


def probability(values: np.ndarray, geometry: Geometry, structures: tuple[str, ...]) -> ScalarMap:
    return ScalarMap("mean_probability", values.astype(np.float32), geometry, "1", (0.0, 1.0), "", structures)


def test_closed_form(geometry):
    p = np.zeros((2, *geometry.shape))
    p[0, 1:3, 2:6, 4] = 0.5
    p[0, 1:3, 2:6, 5] = 0.75
    p[0, 1:3, 2:6, 6] = 1
    liver, kidney = slice_profiles(probability(p, geometry, ("liver", "kidney")), structures=("liver", "kidney"))
    assert liver.axis == 2
    assert liver.area_cm2[3:8] == pytest.approx(8 * PIXEL_CM2 * np.array([0, 0.5, 0.75, 1, 0]))
    assert liver.uncertain_area_cm2[3:8] == pytest.approx(8 * PIXEL_CM2 * np.array([0, 1, 0.75, 0, 0]))
    assert len(liver.area_cm2) == len(liver.uncertain_area_cm2) == 11
    assert worst_slice(liver) == 4
    assert kidney.structure == "kidney"
    assert worst_slice(kidney) is None


@settings(max_examples=12)
@given(axes=st.permutations(range(3)), flipped=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_slices_are_axial_whatever_the_order_of_axes(geometry, classes, axes, flipped):
    members = random_members(geometry, classes)
    moved = turned(members, axes=tuple(axes), flipped=flipped)
    ours, theirs = (
        slice_profiles(voxel_maps(m, ["mean_probability"])["mean_probability"], structures=classes.structures)
        for m in (members, moved)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert other.axis == axes.index(2)
        expected = one.uncertain_area_cm2[::-1] if flipped[2] else one.uncertain_area_cm2
        assert other.uncertain_area_cm2 == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_areas_add_up_to_the_expected_volume(geometry, classes, axis):
    members = random_members(geometry, classes)
    mean = voxel_maps(members, ["mean_probability"])["mean_probability"]
    volumes = expected_volume(collect(members, MemberVolumes)[MemberVolumes])
    for profile, volume in zip(slice_profiles(mean, structures=classes.structures, axis=axis), volumes, strict=True):
        thickness_cm = geometry.spacing_mm[axis] / 10
        assert profile.area_cm2.sum() * thickness_cm == pytest.approx(volume, rel=1e-5)
        assert (profile.uncertain_area_cm2 <= len(mean.values[0].ravel()) * PIXEL_CM2).all()


def test_certain_members_have_no_uncertain_area(geometry, classes):
    mean = voxel_maps(certain_members(geometry, classes), ["mean_probability"])["mean_probability"]
    for profile in slice_profiles(mean, structures=classes.structures):
        assert (profile.uncertain_area_cm2 == 0).all()
        assert worst_slice(profile) is None


def test_votes_tell_only_disagreement(geometry, classes):
    one = random_members(geometry, classes, n_members=1)
    maps = voxel_maps(one, ["mean_probability", "vote_share"])
    undecided = slice_profiles(maps["mean_probability"], structures=["liver"])[0]
    disagreed = slice_profiles(maps["vote_share"], structures=["liver"])[0]
    assert (undecided.uncertain_area_cm2 > 0).all()
    assert (disagreed.uncertain_area_cm2 == 0).all()
