"""Rows and curves of made-up patients, and the arithmetic that theorem tests share."""

from collections.abc import Sequence

import numpy as np

from plausible.calibrate import DvhCurve, LossCurve, MarginCurve, SampleSetCurve, log_odds_grid
from plausible.core import Classes, Geometry, Members, Score

WHO = {"population": "made-up patients", "date": "2026-03-02"}
MARGINS = np.arange(0, 101) / 10


def rows(
    values: Sequence[float],
    measure: str = "volume",
    *,
    structure: str = "liver",
    unit: str = "ml",
    higher_is: str = "neither",
    first: int = 0,
    against: str = "",
) -> list[Score]:
    return [
        Score(
            subject=f"p{first + number:04}",
            structure=structure,
            measure=measure,
            value=float(value),
            unit=unit,
            higher_is=higher_is,
            n=1,
            against=against,
        )
        for number, value in enumerate(values)
    ]


def row(value: float, measure: str = "volume", *, subject: str = "new", **other: str) -> Score:
    (one,) = rows([value], measure, **other)
    return Score(**{**{name: getattr(one, name) for name in Score.__slots__}, "subject": subject})


def loss_curves(
    values: np.ndarray, *, thresholds: np.ndarray | None = None, loss: str = "false_negative_rate", structure="liver"
) -> list[LossCurve]:
    """Curves from a table, one row per patient."""
    grid = log_odds_grid(values.shape[1]) if thresholds is None else thresholds
    return [LossCurve(f"p{n:04}", structure, loss, grid, np.asarray(v, float)) for n, v in enumerate(values)]


def margin_curves(outer_mm: Sequence[float], inner_mm: Sequence[float] | None = None) -> list[MarginCurve]:
    """Curves that jump from nothing to everything at these margins; NaN is a patient without the structure."""
    inner = outer_mm if inner_mm is None else inner_mm
    made = []
    for n, (out, shrink) in enumerate(zip(outer_mm, inner, strict=True)):
        undefined = np.full(len(MARGINS), np.nan)
        covered = undefined if np.isnan(out) else (out <= MARGINS + 1e-9).astype(float)
        spilled = undefined if np.isnan(out) else (shrink > MARGINS + 1e-9).astype(float)
        made.append(MarginCurve(f"p{n:04}", "liver", MARGINS, covered, spilled))
    return made


def sample_set_curves(reaches: Sequence[float], *, grid: np.ndarray = MARGINS) -> list[SampleSetCurve]:
    """Curves that jump from nothing to everything at these reaches; NaN is a patient without the structure."""
    made = []
    for n, at in enumerate(reaches):
        step = np.full(len(grid), np.nan) if np.isnan(at) else (at <= grid).astype(float)
        made.append(SampleSetCurve(f"p{n:04}", "liver", 2, grid, step, step, step, step))
    return made


def two_members(subject: str) -> Members:
    """Members of one structure that disagree in every voxel."""
    geometry, liver = Geometry((2, 3, 4), np.eye(4)), Classes.overlapping_of({"liver": (1,)})
    arrays = [np.full((1, 2, 3, 4), p, np.float32) for p in (0.3, 0.4)]
    return Members.from_arrays(arrays, geometry=geometry, classes=liver, subject=subject)


DOSES = np.arange(0, 71.0)


def dvh_curves(
    shifts_gy: Sequence[float], *, subjects: Sequence[str] = (), doses_gy: np.ndarray = DOSES, spread: float = 0.05
) -> list[DvhCurve]:
    """Curves that fall linearly from 20 to 60 Gy; the true one is shifted by so many Gy. NaN: no true structure."""
    names = subjects or [f"p{n:04}" for n in range(len(shifts_gy))]

    def falling(shift: float) -> np.ndarray:
        return np.clip((60 + shift - doses_gy) / 40, 0, 1)

    spreads = np.full(len(doses_gy), spread)
    return [
        DvhCurve(name, "liver", doses_gy, falling(0.0), spreads, falling(shift))
        for name, shift in zip(names, shifts_gy, strict=True)
    ]
