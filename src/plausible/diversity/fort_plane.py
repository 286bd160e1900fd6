"""Diversity against accuracy: is a member different because it is another opinion, or because it is worse?

Each member stands at its accuracy and its normalised disagreement with one reference member. Between the limits that
arithmetic sets, the curve of independent errors shows how far apart two members of these accuracies are by chance.
Members near the curve give a mean most to work with; members near the lower limit are copies with additional errors.

Source: Fort et al. 2019, arXiv:1912.02757.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from plausible.diversity.pairwise import ErrorPairs


@dataclass(frozen=True, slots=True, eq=False)
class FortPlane:
    """Members beside one reference member.

    Attributes:
        members: names, without the reference member.
        base: name of the reference member, the most accurate one.
        base_accuracy: of the reference member.
        n_classes: decisions there are; NaN where regions overlap (there is no curve then).
        accuracy: of each member.
        disagreement: with the reference member, over the member's error rate; NaN where it makes no error.
    """

    members: tuple[str, ...]
    base: str
    base_accuracy: float
    n_classes: float
    accuracy: Float[np.ndarray, " m"]
    disagreement: Float[np.ndarray, " m"]


def fort_plane(pairs: ErrorPairs) -> FortPlane:
    """Place every member beside the most accurate one, from the counts of their errors."""
    n = np.diagonal(pairs.n)
    accuracy = 1 - np.diagonal(pairs.wrong) / np.where(n > 0, n, np.nan)
    base = int(np.nanargmax(accuracy))
    others = [m for m in range(len(accuracy)) if m != base]
    differ, wrong = pairs.differ[base, others], pairs.wrong[others, base]
    apart = np.divide(differ, wrong, out=np.full(len(others), np.nan), where=wrong > 0)
    names = tuple(pairs.members[m] for m in others)
    return FortPlane(names, pairs.members[base], float(accuracy[base]), pairs.n_classes, accuracy[others], apart)


def independent_errors(
    accuracy: Float[np.ndarray, " a"], *, base_accuracy: float, n_classes: float | int
) -> Float[np.ndarray, " a"]:
    """Normalised disagreement of a member with the reference member, if both err independently of each other.

    (1 - a b - (1 - a)(1 - b) / (C - 1)) / (1 - a): errors fall on the C - 1 wrong classes alike. 1.8 for a = b = 0.9 of
    two classes. Below an accuracy of 1; NaN at 1.
    """
    a, b = np.asarray(accuracy, np.float64), base_accuracy
    return _over_errors(1 - a * b - (1 - a) * (1 - b) / (n_classes - 1), a)


def lower_limit(accuracy: Float[np.ndarray, " a"], *, base_accuracy: float) -> Float[np.ndarray, " a"]:
    """Least normalised disagreement there can be: one member's errors are among the other's, |a - b| / (1 - a)."""
    a = np.asarray(accuracy, np.float64)
    return _over_errors(np.abs(a - base_accuracy), a)


def upper_limit(accuracy: Float[np.ndarray, " a"], *, base_accuracy: float) -> Float[np.ndarray, " a"]:
    """Largest normalised disagreement there can be: no error in common, min(1, 2 - a - b) / (1 - a)."""
    a = np.asarray(accuracy, np.float64)
    return _over_errors(np.minimum(1, 2 - a - base_accuracy), a)


def _over_errors(disagreement: np.ndarray, accuracy: np.ndarray) -> Float[np.ndarray, " a"]:
    errors = 1 - accuracy
    return np.divide(disagreement, errors, out=np.full(errors.shape, np.nan), where=errors > 0)
