"""The distribution of a dose metric over the members: median, mean, SD, and intervals that admit few members.

The empirical 5-95 % range of M members is too narrow: with M = 5 it has 63 % of its true width on average. So an
interval here is one for *one further member*, exchangeable with those there:

- order statistics, where there are enough: ends at ranks (M + 1)(1 - level)/2 and (M + 1)(1 + level)/2, between ranks
  linear. A further member lies inside with probability `level`, whatever the distribution. Needs
  (M + 1)(1 - level)/2 >= 1: M >= 3 for 50 %, M >= 19 for 90 %.
- Student otherwise: mean +- t((1 + level)/2, M - 1) s sqrt(1 + 1/M), exact where the metric is normal over members;
  for M = 5 and 90 % it is 1.33 times as wide as the true range, on average.

One member has no interval. Neither covers members that are wrong together: that takes a calibration on patients.

Source: Wilks 1941 (order statistics), Whitmore 1986 (prediction intervals of a normal sample).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

ORDER_STATISTICS, STUDENT, NO_INTERVAL = "order statistics", "Student", "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpread:
    """One metric of one structure over the members, in the metric's unit; NaN where nothing is defined.

    Attributes:
        n, n_undefined: members with and without a value.
        median, mean, sd: of the members; sd with n - 1, NaN for a single member.
        interval_50, interval_90: where one further member would lie with a probability of 50 and 90 %.
        method_50, method_90: how those intervals were made.
    """

    n: int
    n_undefined: int
    median: float
    mean: float
    sd: float
    interval_50: tuple[float, float]
    interval_90: tuple[float, float]
    method_50: str
    method_90: str


def metric_spread(values: Float[np.ndarray, "m"], *, upper: float = np.inf) -> MetricSpread:
    """Summarise a metric over the members.

    Args:
        values: one per member; NaN where the metric is undefined.
        upper: largest possible value (100 for a share in percent); intervals end there, and at 0.
    """
    defined = values[np.isfinite(values)].astype(np.float64)
    n = len(defined)
    low, high, methods = {}, {}, {}
    for level in (0.5, 0.9):
        ends = prediction_interval(defined[:, np.newaxis], level=level)
        low[level], high[level] = (float(np.clip(end[0], 0, upper)) for end in ends)
        methods[level] = interval_method(n, level=level)
    return MetricSpread(
        n=n,
        n_undefined=len(values) - n,
        median=float(np.median(defined)) if n else float("nan"),
        mean=float(defined.mean()) if n else float("nan"),
        sd=_sd(defined),
        interval_50=(low[0.5], high[0.5]),
        interval_90=(low[0.9], high[0.9]),
        method_50=methods[0.5],
        method_90=methods[0.9],
    )


def interval_method(n: int, *, level: float) -> str:
    """How an interval of this level is made of n members."""
    if n < 2:
        return NO_INTERVAL
    return ORDER_STATISTICS if (n + 1) * (1 - level) / 2 >= 1 - 1e-9 else STUDENT


def prediction_interval(
    values: Float64[np.ndarray, "m d"], *, level: float
) -> tuple[Float64[np.ndarray, "d"], Float64[np.ndarray, "d"]]:
    """Where one further member would lie with this probability, for each column; NaN for fewer than two members."""
    n = len(values)
    method = interval_method(n, level=level)
    if method == NO_INTERVAL:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    if method == ORDER_STATISTICS:
        low, high = np.quantile(values, ((1 - level) / 2, (1 + level) / 2), axis=0, method="weibull")
        return low, high
    from scipy import stats  # slow to load, and settings are read for --help

    reach = stats.t.ppf((1 + level) / 2, n - 1) * values.std(axis=0, ddof=1) * np.sqrt(1 + 1 / n)
    return values.mean(axis=0) - reach, values.mean(axis=0) + reach


def _sd(values: Float64[np.ndarray, "m"]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
