"""Progress: a bar on a terminal, one plain line per step otherwise, always on the error stream."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

REPORTED_STEPS = 10
"""Without a terminal a long training says so many times how far it is."""


class CaseProgress:
    """How far a walk over cases is."""

    def __init__(self, verb: str, bar: Progress | None) -> None:
        self._verb, self._bar = verb, bar
        self._task = bar.add_task(verb, total=None) if bar else None
        self._since = time.monotonic()

    def __call__(self, subject: str, number: int, total: int, result: str = "ok") -> None:
        """Say that case `number` of `total` is done."""
        seconds, self._since = time.monotonic() - self._since, time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=number, total=total, description=f"{self._verb} {subject}")
        else:
            _line(f"{subject} {self._verb} {number}/{total} {seconds:.1f} s {result}")


class TrainingProgress:
    """How far each member's training is."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._tasks: dict[int, object] = {}

    def __call__(self, member: int, iteration: int, total: int, loss: float) -> None:
        """Say that an iteration of a member is done."""
        text = f"member_{member} loss {loss:.3f}"
        if self._bar is not None:
            if member not in self._tasks:
                self._tasks[member] = self._bar.add_task(text, total=total)
            self._bar.update(self._tasks[member], completed=iteration, description=text)  # type: ignore[arg-type]
        elif iteration % max(total // REPORTED_STEPS, 1) == 0 or iteration == total:
            _line(f"member_{member} train {iteration}/{total} loss {loss:.4f}")


@contextmanager
def case_progress(verb: str, *, quiet: bool) -> Iterator[CaseProgress]:
    """Yield what a walk over cases calls after each of them."""
    with _bar(quiet=quiet) as bar:
        yield _Silent(verb, None) if quiet else CaseProgress(verb, bar)


@contextmanager
def training_progress(*, quiet: bool) -> Iterator[TrainingProgress]:
    """Yield what a training calls after each iteration."""
    with _bar(quiet=quiet) as bar:
        yield _SilentTraining(None) if quiet else TrainingProgress(bar)


class _Silent(CaseProgress):
    def __call__(self, subject: str, number: int, total: int, result: str = "ok") -> None:
        """Say nothing."""


class _SilentTraining(TrainingProgress):
    def __call__(self, member: int, iteration: int, total: int, loss: float) -> None:
        """Say nothing."""


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Progress | None]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        yield bar


def _line(text: str) -> None:
    sys.stderr.write(f"{datetime.now().isoformat(timespec='seconds')} {text}\n")
    sys.stderr.flush()
