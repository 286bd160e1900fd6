"""Run the members' trainings side by side, one process each, and say so when one is killed."""

import multiprocessing
import os
import queue
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from plausible.core import InvalidInput, Problem, UnfitEnvironment
from plausible.train.job import MemberJob

Progress = Callable[[int, int, int, float], None]
"""Called with member, iteration, number of iterations and loss."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a worker says: an iteration is done, or an error ended it."""

    member: int
    iteration: int = 0
    loss: float = 0.0
    problem: Problem | None = None
    failure: str = ""


def run_jobs(jobs: Sequence[MemberJob], *, workers: int, on_progress: Progress | None = None) -> None:
    """Train all members, at most `workers` at a time; one worker runs in this process.

    Raises:
        UnfitEnvironment: E902, a worker was killed.
        RuntimeError: a worker failed; carries its traceback.
    """
    tell: Progress = on_progress or (lambda member, iteration, total, loss: None)
    if workers == 1:
        from plausible.train.member import train_member

        for m, job in enumerate(jobs):
            train_member(job, on_iteration=_reporting(tell, m, job.settings.iterations))
        return
    _run_side_by_side(jobs, workers, tell)


def _run_side_by_side(jobs: Sequence[MemberJob], workers: int, tell: Progress) -> None:
    context = multiprocessing.get_context("spawn")
    notes = context.Queue()
    waiting, running = list(enumerate(jobs)), dict[int, Any]()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                m, job = waiting.pop(0)
                running[m] = context.Process(target=_work, args=(m, job, notes), daemon=True)
                running[m].start()
            _take_notes(notes, jobs, tell)
            for m in [m for m, process in running.items() if process.exitcode is not None]:
                process = running.pop(m)
                process.join()
                _take_notes(notes, jobs, tell)
                if process.exitcode:
                    raise _killed(jobs[m], process.exitcode, n_running=len(running) + 1)
    finally:
        for process in running.values():
            process.terminate()
            process.join()


def _work(member: int, job: MemberJob, notes: Any) -> None:
    parent = multiprocessing.parent_process()

    def report(iteration: int, loss: float) -> None:
        if parent is not None and not parent.is_alive():
            os._exit(1)  # the run was killed; its successor must not meet a second writer
        notes.put(Note(member, iteration, loss))

    try:
        from plausible.train.member import train_member

        train_member(job, on_iteration=report)
    except (InvalidInput, UnfitEnvironment) as error:
        notes.put(Note(member, problem=error.problem))
    except Exception:  # travels to the parent, which raises it
        notes.put(Note(member, failure=traceback.format_exc()))


def _take_notes(notes: Any, jobs: Sequence[MemberJob], tell: Progress) -> None:
    wait = 0.2
    while True:
        try:
            note: Note = notes.get(timeout=wait)
        except queue.Empty:
            return
        wait = 0.0 if wait else wait
        if note.problem is not None:
            raise (UnfitEnvironment if note.problem.code.startswith("E9") else InvalidInput)(note.problem)
        if note.failure:
            raise RuntimeError(f"{jobs[note.member].id} failed:\n{note.failure}")
        tell(note.member, note.iteration, jobs[note.member].settings.iterations, note.loss)


def _reporting(tell: Progress, member: int, total: int) -> Callable[[int, float], None]:
    return lambda iteration, loss: tell(member, iteration, total, loss)


def _killed(job: MemberJob, exitcode: int, *, n_running: int) -> UnfitEnvironment:
    free_gb = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    how = f"killed by signal {-exitcode}" if exitcode < 0 else f"ended with code {exitcode}"
    return UnfitEnvironment(
        Problem(
            code="E902",
            member=job.id,
            found=f"the process was {how}; {n_running} ran side by side, {free_gb:.1f} GB of memory are free now",
            expected=f"memory for {n_running} networks with patches of {'×'.join(map(str, job.plan.patch))}",
            fix="run the same command again with --workers 1 (finished members are kept), or a smaller --patch",
        )
    )
