"""Walk over the cases of a study: one that cannot be done is written down and stops nobody."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plausible.core import Case, InvalidInput, Problem, Study
from plausible.core.problems import collecting, located
from plausible.io.atomic import remove_leftovers
from plausible.runs.layout import clear_failure, make_folder, write_failure

OnCase = Callable[[str, int, int, str], None]
"""Called after each case with its name, its number (from 1), the number of cases, and how it went."""


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
    for number, case in enumerate(study, start=1):
        told = list[Problem]()
        try:
            with collecting(told):
                made = run(case)
            (done if made else kept).append(case.subject)
            clear_failure(output / case.subject, stage)
            result = "ok" if made else "kept"
        except (InvalidInput, MemoryError, OSError) as error:
            problem = located(_problem(error), subject=case.subject)
            failures.append(problem)
            write_failure(output / case.subject, stage, problem)
            result = problem.code
        warned += [located(problem, subject=case.subject) for problem in told]
        if on_case:
            on_case(case.subject, number, len(study), result)
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
