"""Laws that every DVH keeps, whatever it was made of."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from plausible.core import Contours, Dose, Geometry, Loop
from plausible.dose import (
    DVH_METRICS,
    contours_dvh,
    dvh_of_cells,
    dvh_of_samples,
    join,
    mask_dvh,
    on_doses,
    parse_metric,
    soft_dvh,
)
from tests.dose.phantoms import circle

SHAPE, SPACING = (15, 17, 11), (1.1, 0.9, 2.5)
AFFINE = np.diag([*SPACING, 1.0])
AFFINE[:3, 3] = (-7.7, -7.2, -12.5)
GEOMETRY = Geometry(SHAPE, AFFINE)
METRICS = ("D95%", "D50%", "D2%", "D0.03cc", "V20Gy[%]", "V20Gy[cc]", "Mean", "Min", "Max", "gEUD(a=8)", "HI", "Volume")

seeds = st.integers(0, 10_000)
ways = st.sampled_from(["contours", "mask", "soft", "samples", "cells"])


def lumpy(rng):
    """A smooth dose with hills, never below 2 Gy."""
    x, y, z = (np.indices(SHAPE).reshape(3, -1).T * SPACING + AFFINE[:3, 3]).T
    field = np.full(len(x), 20.0)
    for _ in range(3):
        k = rng.normal(0, 0.2, 3)
        field += 6 * np.sin(k[0] * x + k[1] * y + k[2] * z + rng.uniform(0, 6))
    return Dose(field.reshape(SHAPE).astype(np.float32), GEOMETRY)


def outline(rng):
    shift = rng.uniform(-1, 1, 2)
    sizes = rng.uniform(2.0, 5.5, 5)
    return Contours("organ", 1, tuple(circle(r, at=tuple(shift), z=-5 + 2.5 * n, n=40) for n, r in enumerate(sizes)))


def field_of(rng):
    x, y, z = (np.indices(SHAPE).reshape(3, -1).T * SPACING + AFFINE[:3, 3]).T
    a, b, c = rng.uniform(3, 6, 3)
    return (4 * (1 - np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c / 1.5) ** 2))).reshape(SHAPE).astype(np.float32)


def made(way, seed, *, dose=None, image=GEOMETRY, contours=None):
    rng = np.random.default_rng(seed)
    dose = dose or lumpy(np.random.default_rng(seed + 1))
    if way == "contours":
        return contours_dvh(contours or outline(rng), dose, image=image)
    if way == "mask":
        return mask_dvh(field_of(rng) > 0, dose, geometry=image)
    if way == "soft":
        return soft_dvh(field_of(rng), dose, geometry=image)
    n = int(rng.integers(1, 30))
    doses, volumes = rng.integers(1, 40, n).astype(float), rng.uniform(0.1, 1, n)
    if way == "samples":
        return dvh_of_samples(doses, volumes, cell_ml=1.0, method="made up")
    return dvh_of_cells(doses, rng.choice([0.0, 0.5, 3.0], n), volumes, cell_ml=1.0, method="made up")


@given(way=ways, seed=seeds)
def test_curve_falls_from_the_volume_to_nothing(way, seed):
    dvh = made(way, seed)
    asked = np.linspace(dvh.min_dose_gy - 1, dvh.max_dose_gy + 1, 301)
    volumes = dvh.volume_at(asked)
    assert (np.diff(volumes) <= 1e-12).all()
    assert volumes[0] == pytest.approx(dvh.total_volume_ml)
    assert volumes[-1] == 0
    assert (np.diff(dvh.dose_gy) >= 0).all()
    assert (np.diff(dvh.volume_ml) <= 0).all()


@given(way=ways, seed=seeds)
def test_dose_of_a_volume_falls_and_undoes_the_volume_of_a_dose(way, seed):
    dvh = made(way, seed)
    volumes = np.linspace(0, 1, 97) * dvh.total_volume_ml
    doses = dvh.dose_at(volumes)
    assert (np.diff(doses) <= 1e-12).all()
    assert doses[-1] == pytest.approx(dvh.min_dose_gy)
    assert (dvh.volume_at(doses - 1e-9) >= volumes - 1e-6 * dvh.total_volume_ml).all()
    assert (dvh.volume_at(doses + 1e-9) <= volumes + 1e-6 * dvh.total_volume_ml).all()


@given(way=ways, seed=seeds)
def test_mean_is_the_area_under_the_curve(way, seed):
    """By parts, mean · V = ∫ V(D) dD + min · V; the midpoint rule rounds off half a sample at both ends."""
    dvh = made(way, seed)
    area = np.sum(-np.diff(dvh.volume_ml) * (dvh.dose_gy[1:] + dvh.dose_gy[:-1]) / 2)
    slack = np.diff(dvh.dose_gy).max() * dvh.cell_ml if way in ("samples", "mask") else 0.0
    assert abs(area - dvh.mean_dose_gy * dvh.total_volume_ml) <= 1e-6 * area + slack


@given(way=ways, seed=seeds)
def test_join_of_parts_is_the_whole(way, seed):
    parts = [made(way, seed), made(way, seed + 1), made("cells", seed + 2)]
    whole = join(parts)
    assert whole.total_volume_ml == pytest.approx(sum(part.total_volume_ml for part in parts))
    asked = np.concatenate([np.linspace(0, 45, 91), *(part.dose_gy[::7] for part in parts)])
    assert whole.volume_at(asked) == pytest.approx(sum(part.volume_at(asked) for part in parts), abs=1e-9)
    again = join([join(parts[:2]), parts[2]])
    assert again.volume_at(asked) == pytest.approx(whole.volume_at(asked), abs=1e-9)
    assert again.mean_dose_gy == pytest.approx(whole.mean_dose_gy)


@given(seed=seeds, cut=st.integers(1, 4))
def test_slabs_of_a_structure_join_to_the_structure(seed, cut):
    """Planes 2.5 mm apart on slices of 2.5 mm: each part's end slab is what the whole gives it."""
    dose, contours = lumpy(np.random.default_rng(seed)), outline(np.random.default_rng(seed))
    parts = [Contours("part", 1, contours.loops[:cut]), Contours("part", 1, contours.loops[cut:])]
    whole = contours_dvh(contours, dose, image=GEOMETRY)
    joined = join([contours_dvh(part, dose, image=GEOMETRY) for part in parts])
    asked = np.linspace(0, 45, 91)
    assert joined.volume_at(asked) == pytest.approx(whole.volume_at(asked), abs=1e-9)


@given(way=st.sampled_from(["contours", "mask", "soft"]), seed=seeds, factor=st.floats(0.2, 5.0))
def test_dose_scales(way, seed, factor):
    dose = lumpy(np.random.default_rng(seed))
    scaled = Dose((dose.dose_gy * np.float32(factor)), dose.geometry)
    one, other = made(way, seed, dose=dose), made(way, seed, dose=scaled)
    for text in ("D95%", "D50%", "D2%", "Mean", "Min", "Max", "gEUD(a=8)"):
        metric = parse_metric(text)
        assert metric.value(other) == pytest.approx(factor * metric.value(one), rel=1e-4)


@given(way=st.sampled_from(["contours", "mask", "soft"]), seed=seeds)
def test_moving_everything_changes_nothing(way, seed):
    """A rotation and a shift of grid, dose and contours together: grids become oblique."""
    rng = np.random.default_rng(seed)
    move = np.eye(4)
    move[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    move[:3, 3] = rng.uniform(-50, 50, 3)
    dose, contours = lumpy(rng), outline(rng)
    moved = Geometry(SHAPE, move @ AFFINE)
    there = Contours("organ", 1, tuple(Loop(x.points_mm @ move[:3, :3].T + move[:3, 3]) for x in contours.loops))
    one = made(way, seed, dose=dose, contours=contours)
    other = made(way, seed, dose=Dose(dose.dose_gy, moved), image=moved, contours=there)
    for text in METRICS:
        metric = parse_metric(text)
        assert metric.value(other) == pytest.approx(metric.value(one), rel=1e-4, abs=1e-4), text


@given(way=st.sampled_from(["contours", "mask", "soft"]), seed=seeds, gray=st.sampled_from([0.0, 1.7, 20.0, 73.3]))
def test_uniform_dose_leaves_no_uncertainty_whatever_the_outline(way, seed, gray):
    dose = Dose(np.full(SHAPE, gray, np.float32), GEOMETRY)
    dvh = made(way, seed, dose=dose)
    exact = float(np.float32(gray))
    for text in ("D99%", "D50%", "D1%", "D0.001cc", "Mean", "Min", "Max"):
        assert parse_metric(text).value(dvh) == exact, text
    assert dvh.volume_at(exact) == dvh.total_volume_ml
    assert dvh.volume_at(math.nextafter(exact, 100)) == 0


@given(way=ways, seed=seeds)
def test_fewer_kinks_say_the_same(way, seed):
    dvh = made(way, seed)
    kept = on_doses(dvh, step_gy=0.01)
    asked = np.arange(0, 4500) / 100
    inside = (asked > dvh.min_dose_gy) & (asked < dvh.max_dose_gy)
    assert kept.volume_at(asked[inside]) == pytest.approx(dvh.volume_at(asked[inside]), abs=1e-9)
    for text in ("D98%", "D50%", "D2%"):
        metric = parse_metric(text)
        assert metric.value(kept) == pytest.approx(metric.value(dvh), abs=0.01)


@given(way=ways, seed=seeds, factor=st.floats(1.0, 30.0))
def test_geud_grows_with_its_exponent_between_minimum_and_maximum(way, seed, factor):
    dvh = made(way, seed)
    values = [parse_metric(f"gEUD(a={a:.3f})").value(dvh) for a in (-factor, 1, 1 + factor)]
    assert dvh.min_dose_gy - 1e-9 <= values[0] <= values[1] * (1 + 1e-9)
    assert values[1] <= values[2] * (1 + 1e-9)
    assert values[2] <= dvh.max_dose_gy * (1 + 1e-9)


def test_every_metric_of_the_catalogue_is_nan_for_an_empty_structure():
    empty = dvh_of_samples(np.zeros(0), np.zeros(0), cell_ml=1.0, method="nothing")
    settings = {
        "dose_at_percent": {"percent": 50.0},
        "dose_at_volume": {"volume_ml": 0.0},
        "percent_at_dose": {"dose_gy": 1.0},
        "volume_at_dose": {"dose_gy": 1.0},
        "generalised_equivalent_uniform_dose": {"a": 2.0},
    }
    for entry in DVH_METRICS:
        found = entry.function(empty, **settings.get(entry.name, {}))
        assert found == 0.0 if entry.name == "volume" else math.isnan(found), entry.name
    assert math.isnan(join([empty, empty]).mean_dose_gy)


def test_joining_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing to join"):
        join([])
