"""How a verb ends: exit codes, one message for each of our errors, plain text or JSON."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import typer

from plausible.core import InvalidInput, Problem, UnfitEnvironment

DONE, USAGE, SOME_FAILED, INVALID, ENVIRONMENT, FLAGGED = 0, 2, 3, 4, 5, 10

EXIT_CODES: Mapping[int, str] = {
    DONE: "done",
    USAGE: "wrong options or settings",
    SOME_FAILED: "some cases failed; failures.csv lists them, all others are done",
    INVALID: "the input cannot be used",
    ENVIRONMENT: "the machine or the installation lacks something",
    FLAGGED: "done, and at least one case is flagged (only with --fail-on-flag)",
}


N_ALIKE = 3
"""So many problems of one kind are told in full."""


def guarded(run: Callable[[], Any], *, as_json: bool) -> Any:
    """Run a verb; our own errors become one message (or one JSON object) and an exit code."""
    try:
        return run()
    except InvalidInput as error:
        fail(error.problem, INVALID, as_json=as_json)
    except UnfitEnvironment as error:
        fail(error.problem, ENVIRONMENT, as_json=as_json)
    except ValueError as error:
        _say_error({"error": str(error)}, str(error), as_json=as_json)
        raise typer.Exit(USAGE) from error
    except MemoryError as error:
        fail(_out_of_memory(error), ENVIRONMENT, as_json=as_json)


def fail(problem: Problem, code: int, *, as_json: bool) -> NoReturn:
    """Print a problem and end with a code."""
    _say_error({"problem": problem.to_dict()}, str(problem), as_json=as_json)
    raise typer.Exit(code)


def finish(*, failures: int, flagged: int = 0, fail_on_flag: bool = False, done: int = 1) -> NoReturn:
    """End a verb that walked over cases: 4 if all failed, 3 if some did, 10 if asked to tell flags, else 0."""
    if failures:
        raise typer.Exit(SOME_FAILED if done else INVALID)
    raise typer.Exit(FLAGGED if flagged and fail_on_flag else DONE)


def say(text: str = "", *, quiet: bool = False) -> None:
    """Print a line for a person."""
    if not quiet:
        typer.echo(text)


def say_json(content: Any) -> None:
    """Print the one JSON object of a run; undefined numbers are null."""
    from plausible.io.atomic import plain_json

    typer.echo(json.dumps(plain_json(content), indent=2, allow_nan=False, ensure_ascii=False, default=str))


def warn(*problems: Problem) -> None:
    """Print problems on the error stream, so that they never mix with results; many of a kind become one line."""
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in dict.fromkeys(problems):
        kinds.setdefault((problem.severity, problem.code), []).append(problem)
    for (severity, code), alike in kinds.items():
        for problem in alike[:N_ALIKE]:
            typer.echo(f"{severity}: {problem}", err=True)
        further = [" ".join(filter(None, (problem.subject, problem.member))) for problem in alike[N_ALIKE:]]
        if further:
            typer.echo(f"{severity}: {code} {alike[0].title}, {len(further)} more: {', '.join(further)}", err=True)


def _say_error(content: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        say_json(content)
    else:
        typer.secho(text, err=True, fg="red" if sys.stderr.isatty() else None)


def _out_of_memory(error: MemoryError) -> Problem:
    return Problem(
        code="E902",
        found=f"not enough memory: {error}" if str(error) else "not enough memory",
        expected="memory for one member, its statistics and the maps (plausible inspect says how much)",
        fix="run on fewer structures or a machine with more memory; finished cases are kept",
    )
