"""LKB and its Jensen gap."""

import math

import numpy as np
import pytest

from plausible.dose.constraints import Lkb
from plausible.dose.metric_text import parse_metric
from plausible.dose.ntcp import expected_ntcp, geud_text, ntcp

PAROTID = Lkb(structure="Parotid_L", endpoint="dry mouth", td50_gy=40.0, m=0.4, n=1.0, source="a test")


def test_half_at_td50_and_one_sd_above():
    found = ntcp(np.array([40.0, 40.0 + 0.4 * 40.0]), PAROTID)
    assert found == pytest.approx([0.5, 0.841345])


def test_gap_by_hand():
    """Members at TD50 - 2 sd and TD50: expected (0.02275 + 0.5)/2, at the mean Phi(-1) = 0.158655."""
    found = expected_ntcp(np.array([8.0, 40.0]), PAROTID, nominal_gy=40.0)
    assert found.expected == pytest.approx((0.0227501 + 0.5) / 2)
    assert found.at_mean == pytest.approx(0.158655, abs=1e-6)
    assert found.jensen_gap == pytest.approx((0.0227501 + 0.5) / 2 - 0.158655, abs=1e-6)
    assert (found.nominal, found.n) == (pytest.approx(0.5), 2)


def test_no_spread_no_gap():
    assert expected_ntcp(np.full(4, 30.0), PAROTID, nominal_gy=30.0).jensen_gap == pytest.approx(0, abs=1e-12)


def test_convex_below_td50_concave_above():
    assert expected_ntcp(np.array([20.0, 30.0]), PAROTID, nominal_gy=25.0).jensen_gap > 0
    assert expected_ntcp(np.array([50.0, 60.0]), PAROTID, nominal_gy=55.0).jensen_gap < 0


def test_members_without_a_dose_are_left_out():
    assert expected_ntcp(np.array([40.0, math.nan]), PAROTID, nominal_gy=40.0).n == 1
    assert math.isnan(expected_ntcp(np.array([math.nan]), PAROTID, nominal_gy=math.nan).expected)


def test_the_text_of_its_geud_is_a_metric():
    model = Lkb(structure="Lungs", endpoint="-", td50_gy=30.0, m=0.37, n=0.5, source="a test")
    assert parse_metric(geud_text(model)).number == 2.0
