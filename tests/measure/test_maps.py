"""Maps of a case: one walk, any slabs, and what they say about themselves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plausible.core import Member, MemberInfo, Members, collect, slabs, walk
from plausible.io.store import CHUNK_VOXELS, StoreSource, store_path, write_member
from plausible.measure import (
    DEFAULT_MEASURES,
    SLAB_VALUES,
    SLAB_VOXELS,
    VOXEL_MEASURES,
    MapBuilder,
    VoteCounts,
    VoxelSpread,
    VoxelStatistics,
    default_slab_voxels,
    voxel_maps,
)
from tests.measure.cases import KINDS, SHAPE, grid, members_of, random_stack, read


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_what_the_statistics_say(kind: str) -> None:
    members = members_of(random_stack(KINDS[kind], n_members=3, seed=0), KINDS[kind])
    maps = voxel_maps(members, VOXEL_MEASURES.names, slab_voxels=100)
    assert tuple(maps) == VOXEL_MEASURES.names
    for entry in VOXEL_MEASURES:
        made = maps[entry.name]
        np.testing.assert_allclose(made.values, read(entry, members), rtol=0, atol=2e-6)
        assert (made.name, made.unit, made.definition) == (entry.name, entry.unit, entry.summary)
        assert made.valid_range == (0, entry.upper(KINDS[kind]))
        assert made.geometry is members.geometry


def test_frames_name_what_they_show():
    classes, regions = KINDS["classes"], KINDS["regions"]
    maps = voxel_maps(members_of(random_stack(classes, n_members=2, seed=0), classes), VOXEL_MEASURES.names)
    assert maps["mean_probability"].frames == ("background", "liver", "kidney", "spleen")
    assert maps["vote_share"].frames == ("liver", "kidney", "spleen")
    assert maps["predictive_entropy"].frames == maps["variance"].frames == ("",)
    maps = voxel_maps(members_of(random_stack(regions, n_members=2, seed=0), regions), VOXEL_MEASURES.names)
    assert {made.frames for made in maps.values()} == {regions.names}


def test_the_default_is_the_decomposition():
    members = members_of(random_stack(KINDS["classes"], n_members=2, seed=0), KINDS["classes"])
    assert tuple(voxel_maps(members)) == DEFAULT_MEASURES


def test_a_builder_asks_only_for_what_it_reads():
    members = members_of(random_stack(KINDS["classes"], n_members=2, seed=0), KINDS["classes"])
    assert MapBuilder.start(members, ["mutual_information", "mean_probability"]).reads == (VoxelStatistics,)
    assert MapBuilder.start(members, ["vote_share", "variance"]).reads == (VoteCounts, VoxelSpread)


def test_an_unknown_measure_is_refused_before_the_walk():
    with pytest.raises(ValueError, match=r"no voxel measure 'entropy'; there are: mean_probability"):
        MapBuilder.start(Members(grid(SHAPE), KINDS["classes"], ()), ["entropy"])


def test_votes_of_more_members_than_a_byte_counts():
    certain = np.ones((1, *SHAPE), np.float32)
    members = members_of(np.broadcast_to(certain, (300, *certain.shape)), KINDS["one region"])
    assert (voxel_maps(members, ["vote_share"])["vote_share"].values == 1).all()


def test_no_members_are_refused():
    with pytest.raises(ValueError, match="no members"):
        voxel_maps(Members(grid(SHAPE), KINDS["classes"], ()))


def test_default_slabs_are_the_chunks_of_the_store_and_small_in_memory(tmp_path: Path) -> None:
    classes, shape = KINDS["classes"], (50, 120, 200)
    stored = Members(grid(shape), classes, (StoreSource(tmp_path, MemberInfo(id="a")),), sliceable=True)
    assert default_slab_voxels(stored) == SLAB_VOXELS == CHUNK_VOXELS
    assert slabs(stored, slab_voxels=SLAB_VOXELS)[0] == (0, CHUNK_VOXELS // (120 * 200))
    in_memory = members_of(random_stack(classes, n_members=2, seed=0), classes)
    assert default_slab_voxels(in_memory) == SLAB_VALUES // 4
    assert SLAB_VALUES * 4 < 2**22  # where numpy begins to ask for huge pages
    assert default_slab_voxels(replace(in_memory, sliceable=False)) is None


def test_members_of_the_store_give_the_same_maps_whole_and_in_slabs(tmp_path: Path) -> None:
    classes, infos = KINDS["classes"], [MemberInfo(id="a"), MemberInfo(id="b")]
    for info, p in zip(infos, random_stack(classes, n_members=2, seed=0), strict=True):
        write_member(tmp_path, Member(p, grid(SHAPE), classes, info), subject="s1")
    sources = tuple(StoreSource(store_path(tmp_path, member=info.id, subject="s1"), info) for info in infos)
    members = Members(grid(SHAPE), classes, sources, "s1", sliceable=True)
    whole = collect(members, VoxelStatistics)[VoxelStatistics].mean_probability
    for bounds, part in walk(members, VoxelStatistics, slab_voxels=77, n_threads=3):
        np.testing.assert_allclose(part[VoxelStatistics].mean_probability, whole[:, slice(*bounds)], atol=1e-7)
