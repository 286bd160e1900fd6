import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from plausible.aggregate.outlines import class_outlines, mask_outlines, probability_outlines
from plausible.aggregate.tracing import SOFT_LEVELS, levels_of
from plausible.contours import rasterise
from plausible.core import Contours, Geometry

SHAPE, SPACING = (41, 47, 31), (1.0, 0.8, 1.5)


def turned(spacing=SPACING, shape=SHAPE) -> Geometry:
    """A grid turned about two axes, its centre off the origin."""
    a, b = np.deg2rad([25, 10])
    about_z = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(spacing)
    affine[:3, 3] = (-20, 35, -110)
    return Geometry(shape, affine)


def distances_mm(geometry: Geometry, scale=(1, 1, 1)) -> np.ndarray:
    """Distance from the grid's centre along its own axes, each divided by a factor."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(geometry.shape, geometry.spacing_mm, strict=True)]
    parts = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(sum((part / factor) ** 2 for part, factor in zip(parts, scale, strict=True)))


def soft(distance: np.ndarray, radius: float, width: float = 0.9) -> np.ndarray:
    return (1 / (1 + np.exp((distance - radius) / width))).astype(np.float32)


def radius_at(threshold: float, radius: float, width: float = 0.9) -> float:
    return radius - width * math.log(threshold / (1 - threshold))


@pytest.mark.parametrize(("scale"), [(1, 1, 1), (1, 0.7, 1.2)])
def test_spheres_and_ellipsoids_keep_their_volume_at_every_level(scale) -> None:
    geometry = turned()
    found = probability_outlines(soft(distances_mm(geometry, scale), 12), geometry, SOFT_LEVELS, hard=False)
    for level, outlines in zip(SOFT_LEVELS, found, strict=True):
        exact_ml = 4 / 3 * math.pi * radius_at(level.threshold, 12) ** 3 * math.prod(scale) / 1000
        assert outlines.volume_ml == pytest.approx(exact_ml, rel=0.01)
        assert outlines.n_holes == 0


def test_a_hollow_sphere_keeps_its_hole() -> None:
    geometry = turned()
    distance = distances_mm(geometry)
    p = soft(distance, 14) - soft(distance, 7)
    (half,) = probability_outlines(p, geometry, SOFT_LEVELS[1:2], hard=False)
    assert half.volume_ml == pytest.approx(4 / 3 * math.pi * (14**3 - 7**3) / 1000, rel=0.01)
    slices_with_hole = math.floor(7 / SPACING[2]) * 2 + 1
    assert half.n_holes == slices_with_hole


def test_a_thin_tube_keeps_its_volume() -> None:
    geometry = turned(spacing=(0.5, 0.5, 2.0))
    i, j = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * 0.5 for n in SHAPE[:2]), indexing="ij")
    tube = np.repeat(soft(np.hypot(i, j), 4, 0.4)[..., None], SHAPE[2], axis=2)
    (half,) = probability_outlines(tube, geometry, SOFT_LEVELS[1:2], hard=False)
    assert half.volume_ml == pytest.approx(math.pi * 4**2 * SHAPE[2] * 2.0 / 1000, rel=0.01)
    assert half.radius_px == pytest.approx(4 / 0.5, rel=0.01)


def test_loops_lie_on_the_surface_in_world_coordinates_whatever_the_voxels() -> None:
    geometry = turned()
    (half,) = probability_outlines(soft(distances_mm(geometry), 12), geometry, SOFT_LEVELS[1:2], hard=False)
    centre = geometry.affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2) + geometry.affine[:3, 3]
    away = np.concatenate([np.linalg.norm(loop.points_mm - centre, axis=1) for loop in half.loops])
    assert np.abs(away - 12).max() < 0.25, "a tenth of a voxel of simplification, and what linear interpolation leaves"


def test_the_nominal_outline_of_two_classes_is_that_of_one_half() -> None:
    geometry = turned()
    p = soft(distances_mm(geometry), 12)
    nominal = class_outlines(np.stack([1 - p, p]), geometry, channel=1)
    (half,) = probability_outlines(p, geometry, SOFT_LEVELS[1:2], hard=False)
    assert nominal.volume_ml == pytest.approx(half.volume_ml, rel=1e-4)


def test_neighbouring_classes_share_their_border_and_leave_no_gap() -> None:
    geometry = turned()
    distance = distances_mm(geometry)
    inside, left = soft(distance, 12), 1 / (1 + np.exp((np.arange(SHAPE[0]) - 20.3) / 1.5))[:, None, None]
    p = np.stack([1 - inside, inside * left, inside * (1 - left)]).astype(np.float32)
    parts = [class_outlines(p, geometry, channel=n).volume_ml for n in (1, 2)]
    assert max(p[1].max(), p[2].max()) > 0.9
    level_half = [probability_outlines(p[n], geometry, SOFT_LEVELS[1:2], hard=False)[0].volume_ml for n in (1, 2)]
    whole_ml = 4 / 3 * math.pi * 12**3 / 1000
    assert sum(level_half) < sum(parts) < whole_ml * 1.03, "where three classes meet, none of them reaches one half"


def test_votes_give_masks_of_any_half_and_all() -> None:
    geometry = turned()
    distance = distances_mm(geometry)
    share = sum((distance < radius).astype(np.float32) for radius in (8, 10, 11, 12, 14)) / np.float32(5)
    levels = levels_of(hard=True, n_members=5)
    for outlines, radius in zip(probability_outlines(share, geometry, levels, hard=True), (14, 11, 8), strict=True):
        voxels_ml = (distance < radius).sum() * geometry.voxel_volume_ml
        assert outlines.volume_ml == pytest.approx(voxels_ml, rel=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_outlines_of_a_mask_hold_as_much_as_its_voxels(seed: int) -> None:
    """Whatever its size, holes and parts: lines through the middle between voxels cut half a voxel off each loop."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=(40, 36, 3)), (*rng.uniform(0.5, 3, size=2), 0.5))
    mask = field > np.quantile(field, rng.uniform(0.5, 0.95))
    geometry = Geometry(mask.shape, np.diag([1.2, 0.9, 3.0, 1.0]))
    found = mask_outlines(mask, geometry)
    assert found.volume_ml == pytest.approx(mask.sum() * geometry.voxel_volume_ml, rel=1e-3)
    again = rasterise(Contours("any", 1, found.loops), geometry)
    assert again.sum() == pytest.approx(mask.sum(), rel=0.02)
    assert ((again >= 0.5) != mask).sum() <= 0.01 * mask.sum()


def test_empty_and_one_voxel() -> None:
    geometry = turned()
    mask = np.zeros(SHAPE, dtype=bool)
    empty = mask_outlines(mask, geometry)
    assert (empty.loops, empty.volume_ml, empty.radius_px) == ((), 0.0, 0.0)
    mask[3, 5, 7] = True
    one = mask_outlines(mask, geometry)
    assert one.n_points == 4
    assert one.volume_ml == pytest.approx(geometry.voxel_volume_ml, rel=0.01), "a diamond as large as the voxel"
    centre = np.mean(one.loops[0].points_mm, axis=0)
    assert centre == pytest.approx(geometry.affine[:3, :3] @ (3, 5, 7) + geometry.affine[:3, 3])
