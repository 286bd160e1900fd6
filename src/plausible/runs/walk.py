"""Walk over the cases of a study: one that cannot be done is written down and stops nobody."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from plausible.core import Case, InvalidInput, Problem, Study
from plausible.core.problems import collecting, located
from plausible.io.atomic import remove_leftovers
from plausible.runs.layout import clear_failure, make_folder, write_failure

OnCase = Callable[[str, int, int, str], None]
"""Called after each case with its name, its number (from 1), the number of cases, and how it went."""
Given = TypeVar("Given")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Attempt(Generic[Found]):
    """What became of one case.

    Attributes:
        subject: its name.
        found: what was made of it; None if it could not be done.
        failure: why it could not be done; None if it could.
        warnings: what was warned of on the way; it stopped nothing.
    """

    subject: str
    found: Found | None
    failure: Problem | None
    warnings: tuple[Problem, ...]


def attempted(
    cases: Mapping[str, Given],
    run: Callable[[Given], Found],
    *,
    on_case: OnCase | None = None,
    said: Callable[[Found], str] = lambda _: "ok",
) -> Iterator[Attempt[Found]]:
    """Try each case and yield what became of it: data, files and memory that fail one case stop no other.

    Args:
        cases: what each subject is tried with.
        run: does one case.
        on_case: called after each case, when the caller asks for the next.
        said: how a case that could be done went, in a word.
    """
    for number, (subject, given) in enumerate(cases.items(), start=1):
        told, found, failure = list[Problem](), None, None
        try:
            with collecting(told):
                found = run(given)
            result = said(found)
        except (InvalidInput, MemoryError, OSError) as error:
            failure = located(_problem(error), subject=subject)
            result = failure.code
        yield Attempt(subject, found, failure, tuple(located(problem, subject=subject) for problem in told))
        if on_case:
            on_case(subject, number, len(cases), result)


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk over the cases of a study did.

    Attributes:
        done: subjects whose results are new.
        kept: subjects whose results were there already, from the same inputs and settings.
        failures: what could not be done.
        warnings: what the readers warned of; it stopped nothing.
    """

    done: tuple[str, ...]
    kept: tuple[str, ...]
    failures: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()

    @property
    def n_good(self) -> int:
        """Cases that have results."""
        return len(self.done) + len(self.kept)

    @property
    def changed(self) -> bool:
        """Whether anything is different from before."""
        return bool(self.done or self.failures)


def walk_cases(
    study: Study, output: Path, *, stage: str, run: Callable[[Case], bool], on_case: OnCase | None = None
) -> Walked:
    """Run a stage on every case; a case that cannot be done is written down and stops nobody.

    Args:
        study: the cases.
        output: folder of the results.
        stage: name of what is done, for the failures.
        run: does one case and says whether anything had to be made.
        on_case: called after each case.

    Raises:
        UnfitEnvironment: E903, results cannot be written.
    """
    make_folder(output)
    remove_leftovers(output)
    done, kept, failures, warned = list[str](), list[str](), list[Problem](), list[Problem]()

    def once(case: Case) -> bool:
        made = run(case)
        clear_failure(output / case.subject, stage)
        return made

    cases = {case.subject: case for case in study}
    for one in attempted(cases, once, on_case=on_case, said=lambda made: "ok" if made else "kept"):
        if one.failure:
            failures.append(one.failure)
            write_failure(output / one.subject, stage, one.failure)
        else:
            (done if one.found else kept).append(one.subject)
        warned += one.warnings
    return Walked(tuple(done), tuple(kept), tuple(failures), tuple(warned))


def _problem(error: InvalidInput | MemoryError | OSError) -> Problem:
    if isinstance(error, InvalidInput):
        return error.problem
    if isinstance(error, OSError):
        return Problem(
            code="E305",
            file=Path(str(error.filename or "")).name,
            found=f"{type(error).__name__}: {error.strerror or error}",
            expected="a file that can be read",
            fix="put the file back or make it readable, and run the same command again",
        )
    return Problem(
        code="E902",
        found="not enough memory for this case",
        expected="memory for one member, its statistics and the maps (plausible inspect says how much)",
        fix="assess this case on a machine with more memory, or with fewer structures",
    )
