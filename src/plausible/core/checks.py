"""The checks at the door: what can be probabilities of these classes, what can be a label map of them."""

import numpy as np

from plausible.core.classes import Classes
from plausible.core.problems import InvalidInput, Problem, locating

RANGE_TOLERANCE = 1e-4
"""Probabilities may lie outside 0 to 1 by this much, as interpolation and rounding leave them; they are clipped."""
SUM_TOLERANCE = 1e-2
"""Probabilities of exclusive classes may sum to 1 only within this, as float16 and 8-bit files leave them."""


def check_probabilities(
    array: np.ndarray,
    *,
    classes: Classes,
    subject: str = "",
    member: str = "",
    file: str = "",
    sum_tolerance: float = SUM_TOLERANCE,
) -> None:
    """Refuse what cannot be probabilities of these classes.

    Raises:
        InvalidInput: E309 not finite, E302 outside 0 to 1, E301 exclusive classes that do not sum to one,
            E308 another number of channels than classes.
    """
    with locating(subject=subject, member=member, file=file):
        as_probabilities(array, classes=classes, sum_tolerance=sum_tolerance)


def as_probabilities(array: np.ndarray, *, classes: Classes, sum_tolerance: float = SUM_TOLERANCE) -> np.ndarray:
    """Check probabilities, and clip to 0 and 1 what rounding left outside; the array itself if nothing did.

    Raises:
        InvalidInput: E308, E309, E302 or E301, see `check_probabilities`.
    """
    if array.ndim != 4 or array.shape[0] != len(classes.names):
        raise InvalidInput(
            Problem(
                code="E308",
                found=f"an array of shape {array.shape}",
                expected=f"c i j k with {len(classes.names)} channels: {', '.join(classes.names)}",
                fix="name the classes of this prediction (dataset.json, study.toml [classes]) as its network has them",
            )
        )
    low, high = check_range(array)
    off = _off_one(array) if classes.exclusive else 0.0
    if off > sum_tolerance:
        raise InvalidInput(
            Problem(
                code="E301",
                found=f"exclusive classes whose probabilities sum to 1 only within {off:.3g}",
                expected=f"a sum of 1 within {sum_tolerance:g} at every voxel",
                fix="if the channels overlap, say so: exclusive = false in study.toml [classes]",
            )
        )
    return array if low >= 0 and high <= 1 else np.clip(array, 0, 1)


def _off_one(array: np.ndarray) -> float:
    sums = np.asarray(array.sum(axis=0, dtype=np.float32))
    sums -= 1
    return float(max(sums.max(), -sums.min()))


def check_range(array: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest value; refuse what lies outside 0 to 1 by more than rounding.

    Raises:
        InvalidInput: E309 not finite, E302 outside 0 to 1.
    """
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InvalidInput(
            Problem(
                code="E309",
                found=f"{int(np.count_nonzero(~np.isfinite(array)))} values that are NaN or infinite",
                expected="finite probabilities",
                fix="predict this case again; a network that gives NaN met an overflow (try float32) or a NaN image",
            )
        )
    if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
        logits = ": these look like logits" if low < -0.5 or high > 2 else ""
        raise InvalidInput(
            Problem(
                code="E302",
                found=f"values from {low:.4g} to {high:.4g}{logits}",
                expected="probabilities from 0 to 1",
                fix='save probabilities, or say values = "logits" for this member in study.toml (or --values logits)',
            )
        )
    return low, high


def check_labels(values: np.ndarray, *, classes: Classes, subject: str = "", member: str = "", file: str = "") -> None:
    """Refuse label values that no class has.

    Raises:
        InvalidInput: E303.
    """
    unknown = sorted({int(v) for v in np.unique(values)} - classes.label_values())
    if unknown:
        named = ", ".join(f"{labels[0]} {name}" for name, labels in zip(classes.names, classes.labels, strict=True))
        raise InvalidInput(
            Problem(
                code="E303",
                subject=subject,
                member=member,
                file=file,
                found=f"label {', '.join(map(str, unknown))} in {int(np.isin(values, unknown).sum())} voxels",
                expected=f"only {named}",
                fix="name the value in dataset.json (or study.toml [classes]), or correct the label map",
            )
        )
