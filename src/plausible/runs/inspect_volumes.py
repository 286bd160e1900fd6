"""References whose volume is unlike the other cases': a wrong spacing, a swapped label, a half-written contour."""

import math
from collections.abc import Mapping
from statistics import median

from plausible.core import Problem

FEWEST_CASES = 8
"""With fewer cases nobody knows what is usual."""
FARTHEST = 5.0
"""Robust standard deviations of the logarithm from the median, beyond which a volume is told."""
SMALLEST_FACTOR = 3.0
"""A volume within this factor of the median is never told, however alike the others are."""
MAD_TO_SD = 1.4826  # of a normal distribution

Volumes = Mapping[str, Mapping[str, float]]
"""Volume in ml of each structure, by subject; structures that are absent are left out."""


def unusual_volumes(volumes: Volumes, *, rater: str) -> list[Problem]:
    """Warning E314 of every structure whose volume is far from the median of all cases, on a logarithmic scale.

    Source: Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers (the modified z-score).
    """
    structures = dict.fromkeys(name for of_case in volumes.values() for name in of_case)
    return [problem for name in structures for problem in _unusual(name, volumes, rater)]


def _unusual(structure: str, volumes: Volumes, rater: str) -> list[Problem]:
    logs = {s: math.log(of_case[structure]) for s, of_case in volumes.items() if of_case.get(structure)}
    if len(logs) < FEWEST_CASES:
        return []
    middle = median(logs.values())
    spread = MAD_TO_SD * median(abs(value - middle) for value in logs.values())
    limit = max(FARTHEST * spread, math.log(SMALLEST_FACTOR))
    usual = sorted(math.exp(value) for value in logs.values() if abs(value - middle) <= limit)
    return [
        Problem(
            code="E314",
            subject=subject,
            member=rater,
            severity="warning",
            found=f"{structure} of {math.exp(value):.3g} ml",
            expected=f"about {math.exp(middle):.3g} ml, as in the other cases ({usual[0]:.3g} to {usual[-1]:.3g} ml)",
            fix=f"look at {subject}: a wrong spacing or label value? nothing, if the patient is like that",
        )
        for subject, value in sorted(logs.items())
        if abs(value - middle) > limit
    ]
