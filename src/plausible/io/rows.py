"""Tables on disk: `scores.csv` with one number per line, `failures.csv` with one case that could not be done per line.

UTF-8 with a byte order mark, so that spreadsheets read names right; an empty value is undefined (NaN).
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast, get_args

from plausible.core import SCORE_COLUMNS, Direction, InvalidInput, Problem, Score
from plausible.io.atomic import write_text

FAILURE_COLUMNS = ("subject", "member", "file", "stage", "code", "title", "found", "expected", "fix")
ENCODING = "utf-8-sig"


def write_rows(path: Path, rows: Iterable[Score]) -> None:
    """Write rows, whole or not at all; numbers keep all their digits."""
    write_table(path, SCORE_COLUMNS, ({**row.to_dict(), "value": row.value} for row in rows))


def read_rows(path: Path) -> list[Score]:
    """Read rows; columns may come in any order and further ones are left aside.

    Raises:
        InvalidInput: E305, a column is missing or a number cannot be read.
    """
    try:
        with path.open(encoding=ENCODING, newline="") as file:
            return [_score(row) for row in csv.DictReader(file)]
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise InvalidInput(
            Problem(
                code="E305",
                file=path.name,
                found=f"{type(error).__name__}: {error}",
                expected=f"the columns {', '.join(SCORE_COLUMNS)}",
                fix="run plausible assess (or evaluate) again: it writes the table anew",
            )
        ) from error


def write_failures(path: Path, failures: Iterable[tuple[str, Problem]]) -> None:
    """Write what could not be done: the stage (such as "assess") and the problem of each case."""
    write_table(path, FAILURE_COLUMNS, ({**problem.to_dict(), "stage": stage} for stage, problem in failures))


def read_failures(path: Path) -> list[tuple[str, Problem]]:
    """Read what could not be done; nothing if the file is not there."""
    if not path.exists():
        return []
    kept = ("subject", "member", "file", "code", "found", "expected", "fix")
    with path.open(encoding=ENCODING, newline="") as file:
        return [(row["stage"], Problem(**{name: row[name] for name in kept})) for row in csv.DictReader(file)]


def read_patients(path: Path) -> dict[str, str]:
    """Read which patient each subject is of: a table with the columns subject and patient.

    Raises:
        InvalidInput: E305, a column is missing, a name is empty, or a subject has two patients.
    """
    found: dict[str, str] = {}
    try:
        with path.open(encoding=ENCODING, newline="") as file:
            for row in csv.DictReader(file):
                subject, patient = row["subject"].strip(), row["patient"].strip()
                if not subject or not patient or found.setdefault(subject, patient) != patient:
                    raise ValueError(f"subject {subject!r}, patient {patient!r}")
    except (KeyError, ValueError, AttributeError, csv.Error, OSError) as error:
        raise InvalidInput(
            Problem(
                code="E305",
                file=path.name,
                found=f"{type(error).__name__}: {error}",
                expected="a table with the columns subject and patient, one line per subject",
                fix="write the table with a first line: subject,patient",
            )
        ) from error
    return found


def write_table(path: Path, columns: tuple[str, ...], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table, whole or not at all; numbers keep all their digits and NaN is an empty field."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: _text(value) for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue(), encoding=ENCODING)


def _text(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(float(value))
    return value


def _score(row: Mapping[str, str]) -> Score:
    if row["higher_is"] not in get_args(Direction):
        raise ValueError(f"higher_is {row['higher_is']!r}")
    return Score(
        subject=row["subject"],
        measure=row["measure"],
        value=float(row["value"]) if row["value"] else math.nan,
        unit=row["unit"],
        higher_is=cast(Direction, row["higher_is"]),
        n=int(row["n"]),
        structure=row["structure"],
        region=row["region"],
        reduction=row["reduction"],
        against=row["against"],
    )
