"""One area under the risk-coverage curve, five conventions in print: which code means which, and how to convert.

With distinct confidences, A the trapezoids from coverage 1/n to 1, ℓ₁ the risk of the most confident of n cases and ℓ̄
the mean risk:

- "trapezoid": A. ValUES, LostInFolds and the benchmark of Zenk et al. 2025.
- "flat_start": A + ℓ₁/n. FD-Shifts since ties are treated, which shows it times 1000; the default here.
- "plug_in": A + (ℓ₁ + ℓ̄)/(2n). (1/n) Σ S_k of Geifman and El-Yaniv 2017.
- "per_interval": A / (1 - 1/n). torch-uncertainty, although its documentation says (1/n) Σ.
- "zero_start": A + ℓ₁/(2n). failcatcher: the curve starts at risk 0.

With ties the conventions do not convert, as the others depend on the order of files.
"""

import math
from typing import Literal, TypeAlias

from plausible.evaluate.risk_coverage import RiskCoverage

PublishedConvention: TypeAlias = Literal["trapezoid", "flat_start", "plug_in", "per_interval", "zero_start"]


def converted_area(
    area: float, curve: RiskCoverage, *, given: PublishedConvention, wanted: PublishedConvention
) -> float:
    """Area of one convention as another one would give it.

    Args:
        area: as the convention `given` gives it.
        curve: of the same cases, with distinct confidences.
        given: convention of the area.
        wanted: convention of the result.

    Returns:
        The area; NaN without cases, and where "per_interval" meets a single case.

    Raises:
        ValueError: cases of equal confidence, or an unknown convention.
    """
    if len(curve.kept) < curve.n:
        raise ValueError(f"{curve.n - len(curve.kept)} of {curve.n} confidences repeat others: areas do not convert")
    if not curve.n:
        return math.nan
    start, scale = _relation(given, curve)
    added, factor = _relation(wanted, curve)
    return (area - start) / scale * factor + added


def _relation(convention: str, curve: RiskCoverage) -> tuple[float, float]:
    """What is added to the trapezoids, and what they are multiplied by before."""
    n, first = curve.n, float(curve.risk[0])
    relations = {
        "trapezoid": (0.0, 1.0),
        "flat_start": (first / n, 1.0),
        "plug_in": ((first + curve.mean_risk) / (2 * n), 1.0),
        "per_interval": (0.0, n / (n - 1) if n > 1 else math.nan),
        "zero_start": (first / (2 * n), 1.0),
    }
    if convention not in relations:
        raise ValueError(f"no convention {convention!r}; there are: {', '.join(relations)}")
    return relations[convention]
