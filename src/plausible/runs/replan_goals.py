"""Goals of a plan from a TOML file: one [[goal]] per term, the fields of `PlanGoal`."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from plausible.core import InvalidInput, Problem
from plausible.dose.plan import HEAD_AND_NECK, PlanGoal, targets_of


def read_goals(path: Path | None) -> tuple[PlanGoal, ...]:
    """Goals of a file; the head-and-neck set without one.

    Raises:
        InvalidInput: E653, the file cannot be read, or a goal is wrong.
    """
    if path is None:
        return HEAD_AND_NECK
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _wrong(path, f"{type(error).__name__}: {str(error).replace(str(path), path.name)}") from error
    lines = told.get("goal")
    if set(told) != {"goal"} or not isinstance(lines, list) or not lines:
        raise _wrong(path, f"the keys {', '.join(told) or 'none'}")
    goals = tuple(_goal(path, number, line) for number, line in enumerate(lines, start=1))
    if not targets_of(goals):
        raise _wrong(path, 'no goal with objective = "target_dose": nothing has a prescription')
    return goals


def _goal(path: Path, number: int, line: Any) -> PlanGoal:
    try:
        if not isinstance(line, dict) or not set(line) <= {field.name for field in fields(PlanGoal)}:
            raise ValueError(f"unknown fields in {line}")
        numbers = {key: float(value) for key, value in line.items() if key in ("dose_gy", "weight", "aim")}
        return PlanGoal(**{**line, **numbers})
    except (TypeError, ValueError) as error:
        raise _wrong(path, f"goal {number}: {error}") from error


def _wrong(path: Path, found: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E653",
            file=path.name,
            found=found,
            expected="[[goal]] entries with structure, objective, and where wanted dose_gy, weight, aim, keeps_overlap",
            fix="correct the file; docs/methods/closed_loop.md has an example",
        )
    )
