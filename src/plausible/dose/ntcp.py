"""Probability of a complication (NTCP) after Lyman, Kutcher and Burman, expected over the members.

NTCP = Phi((gEUD - TD50) / (m TD50)), gEUD with a = 1/n. It is curved, so the expected NTCP is not the NTCP of the
expected dose; what lies between them is the Jensen gap.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from plausible.dose.constraints import Lkb


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedNtcp:
    """One complication over the members; NaN where no member has a dose.

    Attributes:
        model: the parameters.
        nominal: of the segmentation.
        expected: mean over the members.
        at_mean: NTCP of the members' mean gEUD.
        jensen_gap: expected - at_mean; above 0 where the curve is convex (below TD50).
        low, high: smallest and largest member.
        n: members with a dose.
    """

    model: Lkb
    nominal: float
    expected: float
    at_mean: float
    jensen_gap: float
    low: float
    high: float
    n: int


def ntcp(geud_gy: Float[np.ndarray, "m"], model: Lkb) -> Float64[np.ndarray, "m"]:
    """Probability of the complication at each gEUD, from 0 to 1."""
    from scipy import stats  # slow to load, and settings are read for --help

    return np.asarray(stats.norm.cdf((geud_gy - model.td50_gy) / (model.m * model.td50_gy)), dtype=np.float64)


def geud_text(model: Lkb) -> str:
    """Metric that the model reads, e.g. "gEUD(a=1)[Gy]"."""
    return f"gEUD(a={1 / model.n:.12g})[Gy]"


def expected_ntcp(geud_gy: Float[np.ndarray, "m"], model: Lkb, *, nominal_gy: float) -> ExpectedNtcp:
    """Expected probability of a complication.

    Args:
        geud_gy: gEUD of each member with a = 1/n; NaN where it is undefined.
        model: the parameters.
        nominal_gy: gEUD of the segmentation.
    """
    defined = geud_gy[np.isfinite(geud_gy)].astype(np.float64)
    of_members = ntcp(defined, model)
    n = len(defined)
    expected = float(of_members.mean()) if n else float("nan")
    at_mean = float(ntcp(defined.mean(keepdims=True), model)[0]) if n else float("nan")
    return ExpectedNtcp(
        model=model,
        nominal=float(ntcp(np.array([nominal_gy]), model)[0]),
        expected=expected,
        at_mean=at_mean,
        jensen_gap=expected - at_mean,
        low=float(of_members.min()) if n else float("nan"),
        high=float(of_members.max()) if n else float("nan"),
        n=n,
    )
