from dataclasses import replace

import numpy as np
import pytest

from plausible.calibrate import DvhCurve, coverage_band, fit_dvh_band, fit_interval

from .cohorts import DOSES, WHO, dvh_curves, rows

SETTINGS = {"alpha": 0.1, "spread_floor": 0.01, **WHO}


def test_the_band_is_as_wide_as_the_largest_shift_that_must_be_held():
    """n = 19, α/2 = 0.05 in each tail: the largest of the 19 deviations on each side bounds the next one."""
    shifts = np.linspace(-4, 6, 19)
    band = fit_dvh_band(dvh_curves(shifts), **SETTINGS)
    assert band.above == pytest.approx(6 / 40 / 0.05)
    assert band.below == pytest.approx(4 / 40 / 0.05)
    (new,) = dvh_curves([6.0], subjects=["new"])
    found = band.apply(new)
    assert found.holds(new.reference)
    assert not found.holds(dvh_curves([6.1])[0].reference)
    assert not found.holds(dvh_curves([-4.1])[0].reference)
    assert found.level == 0.9


def test_with_one_dose_it_is_the_interval_of_that_volume():
    rng = np.random.default_rng(1)
    predicted, spread = rng.uniform(0.3, 0.7, 39), rng.uniform(0.01, 0.1, 39)
    true = predicted + spread * rng.normal(size=39)
    dose = np.array([30.0])
    curves = [
        DvhCurve(f"p{n:04}", "liver", dose, *(np.array([v]) for v in (predicted[n], spread[n], true[n])))
        for n in range(39)
    ]
    band = fit_dvh_band(curves, **SETTINGS)
    as_rows = [rows(v, name, unit="1") for v, name in ((predicted, "V30Gy"), (true, "V30Gy"), (spread, "V30Gy_sd"))]
    interval = fit_interval(*as_rows[:2], spreads=as_rows[2], alpha=0.1, spread_floor=0.01, **WHO)
    assert (band.below, band.above) == pytest.approx((interval.below, interval.above))


@pytest.mark.parametrize("tails", ["separate", "shared"])
def test_whole_curves_are_held_as_promised(tails):
    """1000 calibrations on 39 patients, 20 new ones each: the share held lies between 1 - α and 1 - α + 1/(n+1)."""
    rng, n, n_new, held = np.random.default_rng(2), 39, 20, []
    for _ in range(1000):
        slope, shift = rng.normal(0, 0.02, (n + n_new, 1)), rng.normal(1, 2, (n + n_new, 1))
        spread = 0.02 + 0.05 * rng.random(n + n_new)
        predicted = np.clip((60 - DOSES) / 40, 0, 1)
        true = np.clip((60 + shift * spread[:, None] * 20 - DOSES) / 40 + slope * np.sin(DOSES / 9), 0, 1)
        curves = [
            DvhCurve(f"p{k:04}", "liver", DOSES, predicted, np.full(len(DOSES), spread[k]), true[k])
            for k in range(n + n_new)
        ]
        band = fit_dvh_band(curves[:n], tails=tails, **SETTINGS)
        inside = [band.apply(curve) for curve in curves[n:]]
        held.append(np.mean([_raw(band, c) for c in curves[n:]]))
        assert all(len(one.low) == len(DOSES) for one in inside)
    low, high = 1 - 0.1, 1 - 0.1 + (2 if tails == "separate" else 1) / (n + 1)
    error = 4 * np.std(held) / np.sqrt(len(held))
    assert low - error <= np.mean(held) <= high + error
    assert coverage_band(n, n_new, 0.1)[0] <= np.mean(held)


def _raw(band, curve) -> bool:
    """Held before the ends are made falling: what the theorem speaks of, for curves that need not fall."""
    apart = (curve.reference - curve.predicted) / np.maximum(curve.spread, band.spread_floor)
    return bool((apart <= band.above).all() and (-apart <= band.below).all())


def test_making_the_ends_falling_loses_no_falling_curve():
    rng = np.random.default_rng(3)
    band = fit_dvh_band(dvh_curves(rng.normal(0, 2, 60)), **SETTINGS)
    spread = 0.02 + 0.05 * rng.random(len(DOSES))
    predicted = np.clip((60 - DOSES) / 40, 0, 1)
    lost = 0
    for _ in range(300):
        true = np.sort(np.clip(predicted + rng.normal(0, 0.03, len(DOSES)), 0, 1))[::-1]
        curve = DvhCurve("new", "liver", DOSES, predicted, spread, true)
        found = band.apply(curve)
        assert (np.diff(found.low) <= 1e-12).all()
        assert (np.diff(found.high) <= 1e-12).all()
        lost += _raw(band, curve) and not found.holds(true)
    assert lost == 0


def test_dose_intervals_of_the_band_hold_the_true_dose_of_every_share():
    band = fit_dvh_band(dvh_curves(np.linspace(-4, 6, 19)), **SETTINGS)
    found = band.apply(dvh_curves([0.0], subjects=["new"])[0])
    for share in (0.2, 0.5, 0.8):
        low, high = found.dose_interval_gy(share)
        for shift in (-4, 0, 6):
            true = 60 + shift - 40 * share
            assert low <= true <= high
        assert high - low <= 10 + 2 * 1.0 + 1e-9  # the two shifts, and a step of the grid at each end
    assert found.dose_interval_gy(0.5)[0] > 0


def test_nothing_receives_more_than_the_hottest_point_of_the_patient():
    """The band is flat beyond the curve; without the range D2 % has no upper end."""
    band = fit_dvh_band(dvh_curves(np.linspace(-4, 6, 19)), **SETTINGS)
    (new,) = dvh_curves([0.0], subjects=["new"])
    assert band.apply(new).dose_interval_gy(0.02)[1] == np.inf
    assert band.apply(new).dose_interval_gy(0.98)[0] == 0.0
    found = band.apply(replace(new, dose_range_gy=(15.0, 66.2)))
    assert found.dose_interval_gy(0.02)[1] == 67.0
    assert found.dose_interval_gy(0.98)[0] == 15.0


def test_a_patient_without_the_structure_is_left_out_and_named():
    curves = dvh_curves([*np.linspace(-4, 6, 19), np.nan])
    band = fit_dvh_band(curves, **SETTINGS)
    assert band.guarantee.n_patients == 19
    assert band.guarantee.excluded == ("p0019",)


def test_what_does_not_fit_is_refused():
    curves = dvh_curves(np.linspace(-4, 6, 19))
    with pytest.raises(ValueError, match="spread_floor must be above 0"):
        fit_dvh_band(curves, alpha=0.1, spread_floor=0.0, **WHO)
    with pytest.raises(ValueError, match="curves of different doses"):
        fit_dvh_band([*curves[:-1], *dvh_curves([1.0], subjects=["p0018"], doses_gy=DOSES + 1)], **SETTINGS)
    with pytest.raises(ValueError, match="calibrated for liver on 71 doses"):
        fit_dvh_band(curves, **SETTINGS).apply(dvh_curves([0.0], subjects=["new"], doses_gy=DOSES[:9])[0])


def test_too_few_patients_give_everything_if_asked():
    band = fit_dvh_band(dvh_curves([0.0, 1.0]), if_infeasible="trivial", **SETTINGS)
    found = band.apply(dvh_curves([0.0], subjects=["new"])[0])
    assert (found.low[1:] == 0).all()
    assert found.low[0] == 1  # every structure receives at least 0 Gy
    assert (found.high == 1).all()
    assert found.dose_interval_gy(0.5) == (0.0, np.inf)
