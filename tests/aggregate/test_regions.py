import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import (
    REGIONS,
    AggregationSettings,
    CaseMasks,
    boundary,
    chosen_reductions,
    regions_of,
    touches_edge,
)
from plausible.aggregate.regions import grown
from plausible.core import Geometry, Members, collect
from plausible.measure import VoteCounts, voxel_maps
from tests.aggregate.cases import random_members


def masks_of(mask: np.ndarray, geometry: Geometry, *, ever: np.ndarray | None = None) -> CaseMasks:
    """One structure with this mask."""
    return CaseMasks(mask[None], (mask if ever is None else ever)[None], geometry, ("liver",))


def whole(region, geometry: Geometry) -> np.ndarray:
    """Mask of a region in the whole image."""
    mask = np.zeros(geometry.shape, bool)
    mask[region.box] = region.inside
    return mask


def shell(mask: np.ndarray, geometry: Geometry, width_mm: float) -> np.ndarray:
    (region,) = boundary(masks_of(mask, geometry), boundary_mm=width_mm)
    assert region.name == f"boundary_{width_mm:g}_mm"
    return whole(region, geometry)


@pytest.mark.parametrize("margin_mm", [0.5, 2.2, 3.0, 5.0])
@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
def test_grown_is_what_lies_within_the_margin_of_a_voxel(share, margin_mm):
    shape, spacing_mm = (5, 7, 11), (0.7, 1.1, 3.0)
    mask = np.random.default_rng(3).random(shape) < share
    centres = np.argwhere(np.ones(shape, bool)) * spacing_mm
    marked = centres[mask.ravel()]
    near = [any(np.linalg.norm(marked - one, axis=1) <= margin_mm + 1e-6) for one in centres]
    assert np.array_equal(grown(mask, margin_mm=margin_mm, spacing_mm=spacing_mm), np.reshape(near, shape))


def brute_force_shell(mask: np.ndarray, geometry: Geometry, width_mm: float) -> np.ndarray:
    """Distances in world coordinates from every voxel to every voxel of the other side."""
    points = np.indices(geometry.shape).reshape(3, -1).T @ geometry.affine[:3, :3].T
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    other_side = mask.ravel()[:, None] != mask.ravel()[None]
    nearest = np.where(other_side, apart, np.inf).min(axis=1)
    return (nearest <= width_mm + 1e-3).reshape(mask.shape)


@given(
    seed=st.integers(0, 999),
    share=st.floats(0.01, 0.99),
    width_mm=st.sampled_from([0.5, 0.7, 1.2, 3.0, 3.3, 4.0, 50.0]),
)
def test_shell_is_that_of_brute_force_on_an_oblique_grid(geometry, seed, share, width_mm):
    mask = np.random.default_rng(seed).random(geometry.shape) < share
    assert np.array_equal(shell(mask, geometry, width_mm), brute_force_shell(mask, geometry, width_mm))


@given(seed=st.integers(0, 999), width_mm=st.sampled_from([0.7, 1.3, 3.05, 4.0]))
def test_shell_of_a_small_box_in_a_larger_image(geometry, seed, width_mm):
    rng = np.random.default_rng(seed)
    low = [int(rng.integers(0, n)) for n in geometry.shape]
    mask = np.zeros(geometry.shape, bool)
    mask[tuple(slice(a, a + int(rng.integers(1, 4))) for a in low)] = True
    assert np.array_equal(shell(mask, geometry, width_mm), brute_force_shell(mask, geometry, width_mm))


def test_border_of_the_image_is_no_surface(geometry):
    mask = np.zeros(geometry.shape, bool)
    assert not shell(mask, geometry, 4.0).any()
    assert not shell(~mask, geometry, 4.0).any()
    mask[:, :, :6] = True  # a plane between two slices 3 mm apart, and nothing at the ends
    found = shell(mask, geometry, 3.0)
    assert np.array_equal(np.flatnonzero(found.any(axis=(0, 1))), [5, 6])
    assert found[:, :, 5:7].all()


@pytest.mark.parametrize("width_mm", [0.0, -1.0, float("nan")])
def test_shell_without_width_is_refused(geometry, width_mm):
    with pytest.raises(ValueError, match="above 0"):
        shell(np.zeros(geometry.shape, bool), geometry, width_mm)


EVERY = pytest.mark.parametrize("entry", list(REGIONS), ids=lambda e: e.name)
NOTHING_PREDICTED = {"whole_image": True, "outside_boundary": True}  # the rest follows a structure


def found_by(entry, masks: CaseMasks) -> list:
    return list(regions_of(masks, [entry.name], connectivity=26))


@EVERY
def test_region_of_an_absent_structure_is_empty(entry, geometry):
    for region in found_by(entry, masks_of(np.zeros(geometry.shape, bool), geometry)):
        assert region.inside.any() == NOTHING_PREDICTED.get(entry.name, False)


@EVERY
def test_regions_are_one_per_structure_or_one_for_all(entry, geometry, classes):
    masks = case_masks(random_members(geometry, classes))
    regions = found_by(entry, masks)
    told = [region.structure for region in regions]
    assert (list(dict.fromkeys(told)) if entry.name == "lesion" else told) in ([""], list(classes.structures))
    values = np.arange(geometry.n_voxels, dtype=np.float32).reshape(geometry.shape)
    for region in regions:
        assert region.name.startswith(entry.name)
        assert np.array_equal(region.read(values), values[whole(region, geometry)])


def test_foreground_is_all_structures_together(geometry, classes):
    masks = case_masks(random_members(geometry, classes))
    (region,) = regions_of(masks, ["predicted_foreground"])
    assert np.array_equal(whole(region, geometry), masks.predicted.any(axis=0))
    counts = masks.foreground_voxels()
    assert counts == {
        "": masks.predicted.any(axis=0).sum(),
        **dict(zip(classes.structures, masks.predicted.sum(axis=(1, 2, 3)), strict=True)),
    }


def test_empty_prediction_has_no_foreground_where_published_code_takes_the_whole_image(geometry):
    (region,) = regions_of(masks_of(np.zeros(geometry.shape, bool), geometry), ["predicted_foreground"])
    assert not region.inside.size


@given(seed=st.integers(0, 99), width_mm=st.sampled_from([0.7, 1.3, 3.05, 4.0]))
def test_boundary_and_the_rest_are_the_image(geometry, seed, width_mm):
    mask = np.random.default_rng(seed).random(geometry.shape) < 0.1
    masks = masks_of(mask, geometry)
    shell, rest = regions_of(masks, ["boundary", "outside_boundary"], boundary_mm=width_mm)
    assert np.array_equal(whole(shell, geometry), ~whole(rest, geometry))
    assert rest.name == f"outside_boundary_{width_mm:g}_mm"


def test_lesions_are_numbered_by_size_and_lie_where_they_are(geometry):
    mask = np.zeros(geometry.shape, bool)
    mask[0, 0, 0:2] = mask[2:5, 3:6, 4:9] = mask[1, 6, 10] = True
    first, second, third = regions_of(masks_of(mask, geometry), ["lesion"], connectivity=6)
    assert [region.name for region in (first, second, third)] == [f"lesion_{n}_connectivity_6" for n in (1, 2, 3)]
    assert [int(region.inside.sum()) for region in (first, second, third)] == [3 * 3 * 5, 2, 1]
    assert whole(second, geometry)[0, 0, 0:2].all()
    assert np.array_equal(sum(whole(region, geometry) for region in (first, second, third)), mask)


@pytest.mark.parametrize("connectivity", [None, 8, 0])
def test_lesions_need_a_connectivity(connectivity, geometry):
    with pytest.raises(ValueError, match=r"connectivity must be 6 \(faces\), 18 \(edges\) or 26 \(corners\)"):
        list(regions_of(masks_of(np.ones(geometry.shape, bool), geometry), ["lesion"], connectivity=connectivity))
    with pytest.raises(ValueError, match="connectivity must be"):
        chosen_reductions(["lesion:mean"], AggregationSettings(connectivity=connectivity))


def case_masks(members: Members) -> CaseMasks:
    probability = voxel_maps(members, ["mean_probability"])["mean_probability"]
    return CaseMasks.of(probability, collect(members, VoteCounts)[VoteCounts], classes=members.classes)


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_masks_of_a_case(kind, geometry, request):
    members = random_members(geometry, request.getfixturevalue(kind))
    masks, classes = case_masks(members), members.classes
    mean = np.mean([member.probabilities for member in members], axis=0)
    ever = np.any([classes.masks(member.probabilities) for member in members], axis=0)
    assert np.array_equal(masks.predicted, classes.masks(mean))
    assert np.array_equal(masks.ever, ever)
    found = list(regions_of(masks, ["whole_image", "predicted_structure", "ever_foreground"]))
    expected = [np.ones(geometry.shape, bool), *masks.predicted, *ever]
    for region, mask in zip(found, expected, strict=True):
        assert np.array_equal(whole(region, geometry), mask)


def test_masks_are_those_of_argmax_with_ties_to_the_first_class(geometry, classes):
    p = np.random.default_rng(0).integers(0, 3, (4, *geometry.shape)).astype(np.float32) / 2
    assert np.array_equal(classes.masks(p), [p.argmax(axis=0) == c for c in (1, 2, 3)])


def test_masks_of_another_shape_are_refused(geometry):
    mask = np.zeros((2, *geometry.shape), bool)
    with pytest.raises(ValueError, match="do not fit"):
        CaseMasks(mask, mask, geometry, ("liver",))


def test_unknown_region_is_named(geometry):
    with pytest.raises(ValueError, match="no region 'bounds'; there are: whole_image, predicted_foreground"):
        list(regions_of(masks_of(np.zeros(geometry.shape, bool), geometry), ["bounds"]))


def test_touching_the_edge(geometry):
    inside = np.zeros(geometry.shape, bool)
    inside[1:-1, 1:-1, 1:-1] = True
    assert not touches_edge(inside)
    assert not touches_edge(np.zeros(geometry.shape, bool))
    for axis in range(3):
        for end in (0, -1):
            mask = np.zeros(geometry.shape, bool)
            mask[tuple(end if a == axis else n // 2 for a, n in enumerate(geometry.shape))] = True
            assert touches_edge(mask)


def test_a_single_slice_has_edges_in_its_plane_alone():
    mask = np.zeros((9, 9, 1), bool)
    mask[3:5, 3:5] = True
    assert not touches_edge(mask)
    mask[0, 3] = True
    assert touches_edge(mask)


def test_shell_is_measured_in_a_box_around_the_structure():
    geometry = Geometry((400, 400, 300), np.diag([1.0, 1.0, 2.0, 1.0]))
    mask = np.zeros(geometry.shape, bool)
    mask[200:203, 100:104, 50:55] = True
    (region,) = boundary(masks_of(mask, geometry), boundary_mm=4.0)
    assert region.inside.shape == (3 + 2 * 4, 4 + 2 * 4, 5 + 2 * math.floor(4 / 2))
