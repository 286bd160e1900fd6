"""Bands of DVHs, and which curve is which."""

import numpy as np
import pytest

from plausible.dose.bands import alpha_dvh, band, coverage_map, dvh_bands, relative_curves
from plausible.dose.dvh import dvh_of_cells, dvh_of_samples


def flat(volume_ml, dose_gy):
    return dvh_of_samples(np.array([dose_gy]), np.array([volume_ml]), cell_ml=volume_ml, method="a test")


def ramp(low_gy, high_gy, volume_ml=1.0):
    """A structure along a linear dose: its DVH is a straight line."""
    middle, half = np.array([(low_gy + high_gy) / 2]), np.array([(high_gy - low_gy) / 2])
    return dvh_of_cells(middle, half, np.array([volume_ml]), cell_ml=volume_ml, method="a test")


def test_mean_of_ratios_is_not_the_ratio_of_means():
    """Members of 1 ml, wholly above 40 Gy, and 2 ml, one half. V40: mean of 1 and 1/2, or (1 + 1)/(1 + 2)."""
    half = dvh_of_cells(np.array([50.0, 10.0]), np.ones(2), np.ones(2), cell_ml=1.0, method="a test")
    found = dvh_bands([flat(1.0, 50.0), half], nominal=half, n_points=511)
    at = int(np.searchsorted(found.dose_gy, 40.0))
    assert found.expected[at] == pytest.approx((1 + 1 / 2) / 2)
    assert found.of_mean_map[at] == pytest.approx((1 + 1) / (1 + 2))


def test_a_dose_read_off_the_expected_dvh_is_not_the_expected_dose():
    """Cylinder of 24 mm along 1 Gy/mm, shifted by N(0, 3 mm): D98 4.48, D2 27.52 on average; there 2.10 and 29.90."""
    rng = np.random.default_rng(5)
    shifts = rng.normal(0.0, 3.0, 4000)
    members = [ramp(4.0 + s, 28.0 + s) for s in shifts[np.abs(shifts) < 4]]
    all_members = [ramp(max(4.0 + s, 0.0), 28.0 + s) if 4 + s >= 0 else ramp(0.0, 28.0 + s) for s in shifts]
    grid = np.linspace(-12, 44, 5601)
    expected = np.mean([np.clip((28.0 + s - grid) / 24.0, 0, 1) for s in shifts], axis=0)
    d98, d2 = np.interp(0.98, expected[::-1], grid[::-1]), np.interp(0.02, expected[::-1], grid[::-1])
    assert (d98, d2) == (pytest.approx(2.10, abs=0.15), pytest.approx(29.90, abs=0.15))
    ours = dvh_bands(all_members, nominal=ramp(4.0, 28.0), n_points=2001)
    ours_d2 = np.interp(0.02, ours.expected[::-1], ours.dose_gy[::-1])
    assert ours_d2 == pytest.approx(d2, abs=0.05)
    assert np.mean([one.dose_at(0.02) for one in all_members]) == pytest.approx(27.52, abs=0.15)
    assert len(members) < len(all_members)


def test_alpha_dvh_of_shifted_ramps_is_the_ramp_of_the_quantile():
    members = [ramp(10.0 + s, 30.0 + s) for s in range(9)]
    doses = np.linspace(0, 50, 101)
    curves = relative_curves(members, doses)
    assert alpha_dvh(curves, 0.25) == pytest.approx(relative_curves([members[2]], doses)[0], abs=1e-9)
    assert alpha_dvh(curves, 1.0) == pytest.approx(relative_curves([members[8]], doses)[0], abs=1e-9)


def test_bands_hold_the_median_nest_and_fall():
    rng = np.random.default_rng(2)
    for m in (2, 3, 5, 12, 40):
        members = [ramp(10 + s, 30 + 2 * s) for s in rng.normal(0, 2, m)]
        found = dvh_bands(members, nominal=members[0])
        for low, high in (found.band_50, found.band_90):
            assert (low <= found.median + 1e-9).all() or m < 4
            assert (low >= 0).all()
            assert (high <= 1).all()
            assert (np.diff(low) <= 1e-12).all()
            assert (np.diff(high) <= 1e-12).all()
        assert (found.band_90[0] <= found.band_50[0] + 1e-9).all()
        assert (found.band_90[1] >= found.band_50[1] - 1e-9).all()


def test_a_pointwise_band_covers_a_further_curve_dose_by_dose():
    rng = np.random.default_rng(7)
    inside = []
    grid = np.array([20.0, 25.0])
    for _ in range(4000):
        shifts = rng.normal(0, 1, 6)
        curves = np.stack([np.clip((30 + s - grid) / 20, 0, 1) for s in shifts])
        low, high = band(curves[:5], level=0.9)
        inside.append((low <= curves[5]) & (curves[5] <= high))
    assert np.mean(inside, axis=0) == pytest.approx([0.9, 0.9], abs=0.02)


def test_uniform_dose_has_no_width():
    found = dvh_bands([flat(v, 20.0) for v in (1.0, 2.0, 5.0)], nominal=flat(2.0, 20.0))
    assert (found.band_90[1] - found.band_90[0]).max() == pytest.approx(0, abs=1e-12)
    assert found.expected == pytest.approx(found.of_mean_map)


def test_coverage_map_counts_members():
    curves = np.array([[1.0, 0.5, 0.0], [1.0, 0.2, 0.0]])
    found = coverage_map(curves, np.array([0.5, 0.2]))
    assert found.tolist() == [[1.0, 0.5, 0.0], [1.0, 1.0, 0.0]]
    assert np.isnan(coverage_map(curves[:0], np.array([0.5]))).all()


def test_level_lines_of_the_coverage_map_are_alpha_dvhs():
    curves = np.sort(np.random.default_rng(7).random((21, 9)), axis=1)[:, ::-1]
    for alpha in (0.05, 0.25, 0.5, 0.9):
        line = alpha_dvh(curves, alpha)  # of 21 members these quantiles fall on members
        on, above = (np.diag(coverage_map(curves, line + step)) for step in (0.0, 1e-9))
        assert (on >= 1 - alpha - 1e-12).all()
        assert (above <= 1 - alpha + 1e-12).all()


def test_members_without_the_structure_are_left_out():
    empty = dvh_of_samples(np.zeros(0), np.zeros(0), cell_ml=1.0, method="a test")
    found = dvh_bands([flat(1.0, 20.0), empty], nominal=empty)
    assert found.n == 1
    assert np.isnan(found.nominal).all()
    assert np.isnan(found.band_90[0]).all()
    nothing = dvh_bands([empty], nominal=empty)
    assert nothing.n == 0
    assert np.isnan(nothing.median).all()
