"""Patients with one structure, whose errors are known: volume, Dice and agreement, set and margin curves."""

import numpy as np
from conformal_data import Cohort

from plausible.calibrate import MarginCurve, ThresholdCounts, log_odds_grid, loss_curve, margin_grid
from plausible.core import Score

GRID = log_odds_grid(204)


def cohort(n: int = 60, *, seed: int = 0, structure: str = "liver") -> Cohort:
    """Errors of 2 ml (sd), of which the members show a fifth; agreement that ranks Dice but for noise."""
    rng = np.random.default_rng(seed)
    subjects = tuple(f"p{number:03}" for number in range(n))
    predicted = rng.uniform(20, 40, n)
    true = predicted + rng.normal(0.5, 2, n)
    sd = rng.uniform(0.3, 0.5, n)
    dice = np.clip(rng.beta(9, 2, n), 0.3, 0.99)
    columns = {
        "segmented_volume": predicted,
        "reference_volume": true,
        "volume_mean": predicted,
        "volume_sd": sd,
        "volume_interval_low": predicted - 1.2 * sd,
        "volume_interval_high": predicted + 1.2 * sd,
        "dice": dice,
        "mean_pairwise_dice": np.clip(dice + rng.normal(0, 0.03, n), 0, 1),
        "predictive_entropy": 1 - dice + rng.normal(0, 0.05, n),
    }
    counts = {subject: _counts(subject, structure, rng) for subject in subjects}
    return Cohort(
        structure=structure,
        subjects=subjects,
        rows={name: _rows(name, values, subjects, structure) for name, values in columns.items()},
        counts=counts,
        missed={subject: loss_curve(one, loss="false_negative_rate") for subject, one in counts.items()},
        margins={subject: _margins(subject, structure, rng) for subject in subjects},
    )


def _rows(name: str, values: np.ndarray, subjects: tuple[str, ...], structure: str) -> dict[str, Score]:
    better = "better" if "dice" in name else "neither"
    unit = "1" if "dice" in name or "entropy" in name else "ml"
    return {
        subject: Score(subject=subject, structure=structure, measure=name, value=v, unit=unit, higher_is=better, n=1)
        for subject, v in zip(subjects, values.tolist(), strict=True)
    }


def _counts(subject: str, structure: str, rng: np.random.Generator) -> ThresholdCounts:
    """A patient of 200 to 4000 voxels; big ones are easy, so that pooling voxels flatters."""
    size = int(rng.choice([200, 4000]))
    hard = 1.5 if size == 200 else 8.0
    held = np.round(size * (1 - np.minimum(GRID, 1) ** hard)).astype(np.int64)
    outside = np.round(3 * size * (1 - np.minimum(GRID, 1)) ** 6).astype(np.int64)
    held[-1] = outside[-1] = 0
    return ThresholdCounts(subject, structure, GRID, held, outside, 0.001)


def _margins(subject: str, structure: str, rng: np.random.Generator) -> MarginCurve:
    """All is held from a margin of 1 to 9 mm on, 90 % at once."""
    grid = margin_grid(largest_mm=20.0)
    covered = np.minimum(1, 0.9 + 0.1 * grid / rng.uniform(1, 9))
    return MarginCurve(subject, structure, grid, covered, 1 - covered)
