import itertools
import math
import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from plausible.aggregate.tracing import (
    SOFT_LEVELS,
    field_contours,
    levels_of,
    mask_contours,
    probability_contours,
    signed_area,
    simplify,
    simplify_keeping_area,
)
from plausible.report.contours import svg_path


def area(lines) -> float:
    """Signed areas (shoelace) of closed lines, holes counted negative by their own direction."""
    return abs(
        sum(0.5 * float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) for x, y in ((p[:, 0], p[:, 1]) for p in lines))
    )


def soft_disc(radius: float, *, edge: float = 0.8, size: int = 61, centre=(30.3, 29.6)) -> np.ndarray:
    """p = 1 / (1 + exp((r - R) / w)), on pixel centres."""
    y, x = np.mgrid[:size, :size] + 0.5
    r = np.hypot(x - centre[0], y - centre[1])
    return (1 / (1 + np.exp((r - radius) / edge))).astype(np.float32)


@pytest.mark.parametrize("radius", [6.0, 9.0, 15.0])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_soft_disc_keeps_its_area_at_every_level(radius: float, n: int) -> None:
    level = SOFT_LEVELS[n]
    exact = radius - 0.8 * math.log(level.threshold / (1 - level.threshold))
    traced = probability_contours(soft_disc(radius), SOFT_LEVELS)[n]
    assert area(traced) == pytest.approx(math.pi * exact**2, rel=0.02)


def test_a_contour_lies_where_its_disc_lies() -> None:
    (line,) = probability_contours(soft_disc(9.0), SOFT_LEVELS)[1]
    assert (line.min(axis=0) + line.max(axis=0)) / 2 == pytest.approx((30.3, 29.6), abs=0.05)


def test_contours_close_at_the_border_of_the_image() -> None:
    plane = np.full((5, 7), 0.99, dtype=np.float32)
    for lines in probability_contours(plane, SOFT_LEVELS):
        (line,) = lines
        assert (line[0] == line[-1]).all()
        assert area([line]) == pytest.approx(5 * 7, abs=2 * (5 + 7) * 0.5)


def test_an_empty_slice_has_no_contour() -> None:
    assert probability_contours(np.zeros((5, 7), np.float32), SOFT_LEVELS) == [[], [], []]
    assert svg_path([], precision=10) == ""


def test_a_ring_keeps_its_hole() -> None:
    ring = soft_disc(20.0) - soft_disc(8.0)
    assert len(probability_contours(ring, SOFT_LEVELS)[1]) == 2


def test_one_voxel_is_a_diamond_around_its_centre() -> None:
    mask = np.zeros((5, 7), dtype=bool)
    mask[2, 4] = True
    (line,) = mask_contours(mask)
    assert {tuple(p) for p in line} == {(4.0, 2.5), (5.0, 2.5), (4.5, 2.0), (4.5, 3.0)}


def test_votes_are_traced_as_masks_of_any_half_and_all() -> None:
    share = np.zeros((9, 11), dtype=np.float32)
    share[1:8, 1:10] = 1 / 5
    share[2:7, 2:8] = 3 / 5
    share[3:6, 3:6] = 1.0
    levels = levels_of(hard=True, n_members=5)
    assert [level.label for level in levels] == ["any member", "at least half", "all members"]
    traced = probability_contours(share, levels, hard=True)
    masks = [share > 0, share >= 0.5, share == 1]
    for lines, mask in zip(traced, masks, strict=True):
        assert area(lines) == pytest.approx(mask.sum() - 4 / 8), (
            "marching squares cuts an eighth of a voxel at each corner"
        )


def test_half_of_an_even_number_of_members_is_half() -> None:
    share = np.full((3, 3), 2 / 4, dtype=np.float32)
    assert [len(x) for x in probability_contours(share, levels_of(hard=True, n_members=4), hard=True)] == [1, 1, 0]


def test_simplifying_moves_no_point_further_than_the_tolerance() -> None:
    turns = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([20 * np.cos(turns), 20 * np.sin(turns)], axis=1)
    kept = simplify(circle, tolerance=0.1)
    assert len(kept) < 60
    assert area([kept]) == pytest.approx(math.pi * 20**2, rel=0.01)
    assert (kept[0] == circle[0]).all()


def test_path_is_closed_relative_and_in_steps() -> None:
    square = np.array([[1.0, 2.0], [3.0, 2.0], [3.0, 4.0], [1.0, 4.0], [1.0, 2.0]])
    assert svg_path([square], precision=10) == "M10 20l20 0 0 20 -20 0z"
    assert re.fullmatch(
        r"(M\d+ \d+l(-?\d+ -?\d+ ?)+z)+", svg_path(probability_contours(soft_disc(9), SOFT_LEVELS)[0], precision=10)
    )


def test_simplified_lines_keep_their_area_and_stay_close() -> None:
    turns = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([12 * np.cos(turns), 7 * np.sin(turns)], axis=1)
    kept = simplify_keeping_area(circle, tolerance=0.1)
    assert len(kept) < 40
    assert signed_area(kept) == pytest.approx(signed_area(circle[:-1]), rel=1e-4)
    assert signed_area(circle[:-1]) == pytest.approx(math.pi * 12 * 7, rel=1e-3), "anticlockwise is above 0"
    assert np.hypot(kept[:, 0] / 12, kept[:, 1] / 7).max() < 1 + 0.1 / 7


def test_less_than_a_triangle_is_left_out() -> None:
    speck = np.array([[0.0, 0.0], [0.05, 0.0], [0.05, 0.05], [0.0, 0.0]])
    assert len(simplify_keeping_area(speck, tolerance=0.1)) == 0


LINEAR = {10: (0.2, 0.4), 6: (0.5, 1.0), 3: (1.6, 3.0), 2: (4.3, 6.0)}
FINER = {10: (0.05, 0.2), 6: (0.1, 0.4), 3: (0.3, 0.6), 2: (0.6, 1.2)}
"""Smallest radius in voxels: median and worst error of the area in %, over all levels."""


def random_ellipse(rng: np.random.Generator):
    """A soft ellipse with a logistic edge, stored as uint16, and its exact area and mean radius at a probability."""
    centre, width, ratio, angle = (
        40 + rng.uniform(-0.5, 0.5, 2),
        rng.uniform(0.4, 1.5),
        rng.uniform(0.6, 1),
        rng.uniform(0, np.pi),
    )
    radius = rng.uniform(2.5, 28)
    y, x = np.mgrid[:81, :81] + 0.5 - centre[:, None, None]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    p = 1 / (1 + np.exp((np.hypot(along, across / ratio) - radius) / width))

    def exact(threshold: float) -> tuple[float, float]:
        a = max(radius - width * math.log(threshold / (1 - threshold)), 0)
        return math.pi * a * a * ratio, a * math.sqrt(ratio)

    return (np.rint(p * 65535) / 65535).astype(np.float32), exact


@pytest.mark.parametrize(("parts", "errors"), [(1, LINEAR), (3, FINER)])
def test_areas_are_within_the_stated_error_at_every_radius_and_level(parts: int, errors: dict) -> None:
    rng = np.random.default_rng(0)
    found: dict[int, list[float]] = {low: [] for low in errors}
    for _ in range(90):
        p, exact = random_ellipse(rng)
        for level, lines in zip(SOFT_LEVELS, probability_contours(p, SOFT_LEVELS, parts=parts), strict=True):
            area_px, radius_px = exact(level.threshold)
            kept = [simplify_keeping_area(line, tolerance=0.1) for line in lines]
            if radius_px >= 2:
                error = abs(sum(signed_area(one) for one in kept if len(one)) / area_px - 1)
                found[max(low for low in errors if low <= radius_px)].append(100 * error)
    for low, (median, worst) in errors.items():
        assert len(found[low]) >= 5
        assert np.median(found[low]) <= median, low
        assert max(found[low]) <= worst, low


def test_finer_lines_make_no_islands_beside_the_steep_edges_of_sharp_members() -> None:
    rng = np.random.default_rng(1)
    members = [gaussian_filter(rng.normal(size=(60, 70)), 2.5) > 0.03 for _ in range(5)]
    mean = np.mean([0.002 + 0.996 * one for one in members], axis=0).astype(np.float32)
    lines = probability_contours(mean, SOFT_LEVELS[1:2], parts=3)[0]
    y, x = np.mgrid[:60, :70] + 0.5
    assert len(lines) > 20
    assert all(crossings(line, x, y).any() for line in lines), "a line around no voxel's centre"


def crossings(line: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points lie inside a closed line: a ray to the right crosses it an odd number of times."""
    inside = np.zeros(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in itertools.pairwise(line):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def test_finer_lines_of_a_mask_are_about_where_they_were() -> None:
    mask = gaussian_filter(np.random.default_rng(2).normal(size=(60, 70)), 2.5) > 0.03
    areas = [
        sum(map(signed_area, (line[:-1] for line in field_contours(mask.astype(float), 0.5, outside=0.0, parts=parts))))
        for parts in (1, 3)
    ]
    assert areas[1] == pytest.approx(areas[0], rel=0.01)
