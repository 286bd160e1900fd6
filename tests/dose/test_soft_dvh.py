"""Soft members: their surface is found below the size of a voxel; label maps are never smoothed."""

import math

import numpy as np
import pytest

from plausible.core import Dose, Geometry
from plausible.dose import class_log_odds, log_odds, mask_dvh, parse_metric, soft_dvh

SPACING = np.array([1.0, 1.0, 3.0])
SHAPE = (38, 40, 15)
AFFINE = np.diag([*SPACING, 1.0])
AFFINE[:3, 3] = -SPACING * (np.array(SHAPE) - 1) / 2
GEOMETRY = Geometry(SHAPE, AFFINE)
PLACES = np.indices(SHAPE).reshape(3, -1).T * SPACING + AFFINE[:3, 3]
K2 = 0.831925
"""D2% of a ball in a linear dose lies k₂ radii from its centre: (1 − k)² (2 + k) / 4 = 0.02."""


def ball_odds(radius, centre, *, edge_mm=1.5):
    """Log-odds of a ball whose probability falls over an edge of a width."""
    return ((radius - np.linalg.norm(PLACES - centre, axis=1)) / edge_mm).reshape(SHAPE).astype(np.float32)


def linear(direction):
    return Dose((40 + PLACES @ direction).reshape(SHAPE).astype(np.float32), GEOMETRY)


def random_balls(radius, n=25):
    """Errors of volume (relative), D2 and D98 (Gy) for random centres and directions."""
    rng = np.random.default_rng(5)
    for _ in range(n):
        centre, direction = rng.uniform(-1.5, 1.5, 3), rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        yield centre, direction, 40 + centre @ direction, 4 / 3 * math.pi * radius**3 / 1000


def errors(dvh, middle, radius, volume):
    d2, d98 = (parse_metric(text).value(dvh) for text in ("D2%", "D98%"))
    return dvh.total_volume_ml / volume - 1, d2 - (middle + K2 * radius), d98 - (middle - K2 * radius)


@pytest.mark.parametrize(("radius", "volume_share", "gray"), [(5.0, 0.006, 0.07), (12.0, 0.002, 0.03)])
def test_ball_of_log_odds(radius, volume_share, gray):
    found = []
    for centre, direction, middle, volume in random_balls(radius):
        dvh = soft_dvh(ball_odds(radius, centre), linear(direction), geometry=GEOMETRY)
        found.append(errors(dvh, middle, radius, volume))
    worst = np.abs(found).max(axis=0)
    assert worst[0] < volume_share
    assert worst[1:].max() < gray
    assert np.abs(found).mean(axis=0)[1:].max() < 0.016


def test_ball_of_probabilities_stored_in_16_bits():
    found = []
    for centre, direction, middle, volume in random_balls(5.0):
        p = np.float32(np.float16(1 / (1 + np.exp(-ball_odds(5.0, centre)))))
        dvh = soft_dvh(log_odds(p), linear(direction), geometry=GEOMETRY)
        found.append(errors(dvh, middle, 5.0, volume))
    assert np.abs(found).max(axis=0)[0] < 0.02
    assert np.abs(found).max(axis=0)[1:].max() < 0.08


def test_a_mask_of_the_same_ball_is_an_order_worse_and_keeps_its_volume():
    soft, hard = [], []
    for centre, direction, middle, volume in random_balls(5.0):
        odds = ball_odds(5.0, centre)
        soft.append(errors(soft_dvh(odds, linear(direction), geometry=GEOMETRY), middle, 5.0, volume))
        mask = mask_dvh(odds > 0, linear(direction), geometry=GEOMETRY)
        assert mask.total_volume_ml == pytest.approx((odds > 0).sum() * 3 / 1000)
        hard.append(errors(mask, middle, 5.0, volume))
    assert np.abs(hard).mean(axis=0)[1] > 8 * np.abs(soft).mean(axis=0)[1]


def test_three_classes_meet_at_a_junction_without_gap_or_overlap():
    """Three sectors of 120°: the parts add up to the whole, and each is a third."""
    x, y, _ = PLACES.T
    angles = np.arctan2(y - 0.3, x + 0.4)
    radius = np.hypot(y - 0.3, x + 0.4)
    inside = (14 - radius) / 1.5
    towards = [radius * np.cos(angles - turn) / 1.5 for turn in (0.2, 0.2 + 2 * math.pi / 3, 0.2 - 2 * math.pi / 3)]
    logits = np.stack([-inside, *(inside + t - np.max(towards, axis=0) for t in towards)])
    exp = np.exp(logits - logits.max(axis=0))
    p = (exp / exp.sum(axis=0)).reshape(4, *SHAPE).astype(np.float32)
    dose = linear(np.array([1.0, 0, 0]))
    *parts, rest = (
        soft_dvh(class_log_odds(p, c, exclusive=True), dose, geometry=GEOMETRY).total_volume_ml for c in (1, 2, 3, 0)
    )
    height = SHAPE[2] * 3
    assert sum(parts) + rest == pytest.approx(np.prod(SHAPE) * 3 / 1000, rel=5e-4)
    assert parts == pytest.approx([math.pi * 14**2 / 3 * height / 1000] * 3, rel=5e-3)


def test_half_the_probability_is_not_the_surface_between_exclusive_classes():
    """Where three classes meet nobody reaches one half; a cut at one half would leave a hole."""
    p = np.full((3, 6, 7, 5), 0.2, np.float32)
    p[0, :2], p[1, 2:4], p[2, 4:] = 0.4, 0.4, 0.4
    p[0, 2:, :], p[1, :2], p[1, 4:], p[2, :4] = 0.3, 0.3, 0.3, 0.3
    geometry = Geometry((6, 7, 5), np.eye(4))
    dose = Dose(np.full((6, 7, 5), 3, np.float32), geometry)
    volumes = [
        soft_dvh(class_log_odds(p, c, exclusive=True), dose, geometry=geometry).total_volume_ml for c in (0, 1, 2)
    ]
    assert sum(volumes) == pytest.approx(6 * 7 * 5 / 1000, rel=0.01)
    assert soft_dvh(class_log_odds(p, 1, exclusive=False), dose, geometry=geometry).total_volume_ml == 0


def test_log_odds_are_held_at_half_a_step_of_16_bits():
    assert log_odds(np.array([0.0, 0.5, 1.0], np.float32)) == pytest.approx(
        [-math.log(131069), 0, math.log(131069)], rel=1e-3
    )


def test_nothing_inside_is_an_empty_structure():
    dvh = soft_dvh(np.full(SHAPE, -3, np.float32), linear(np.array([1.0, 0, 0])), geometry=GEOMETRY)
    assert dvh.total_volume_ml == 0
    assert math.isnan(dvh.mean_dose_gy)


def test_image_of_one_slice():
    odds = ball_odds(6.0, np.zeros(3))[:, :, 7:8]
    geometry = GEOMETRY.slab(7, 8, axis=2)
    dose = Dose(linear(np.array([1.0, 0, 0])).dose_gy[:, :, 7:8].copy(), geometry)
    dvh = soft_dvh(odds, dose, geometry=geometry)
    assert dvh.total_volume_ml == pytest.approx(math.pi * 36 * 3 / 1000, rel=5e-3)
    assert dvh.mean_dose_gy == pytest.approx(40, abs=0.01)
