"""Where a run puts what: one folder per case, and what belongs to the whole study beside them.

```
OUT/  run.json  cohort.html  cohort.json  scores.csv  failures.csv
      CASE/ case.json case.html  segmentation.nii.gz  probability.nii.gz  <map>.nii.gz ...
            evaluation.json  dose.json  failure.json
```
`failure.json` says why a case could not be done, and goes when it could.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from plausible.core import InvalidInput, Problem, UnfitEnvironment, sha256_of
from plausible.io.atomic import write_json

Record = TypeVar("Record")

CASE_JSON = "case.json"
CASE_PAGE = "case.html"
EVALUATION_JSON = "evaluation.json"
FAILURE_JSON = "failure.json"
DOSE_JSON = "dose.json"
CURVES_JSON = "curves.json"
COHORT_JSON = "cohort.json"
COHORT_PAGE = "cohort.html"
SCORES = "scores.csv"
FAILURES = "failures.csv"
RUN = "run*.json"
"""Records of the run, or of its parts."""


def run_json(*, num_parts: int, part_id: int) -> str:
    """Name of the record of a run, one for each part."""
    return "run.json" if num_parts == 1 else f"run.{part_id}.json"


def case_folders(output: Path) -> Iterator[Path]:
    """Folders of the cases that were begun, in order of their names."""
    kept = {CASE_JSON, EVALUATION_JSON, DOSE_JSON, FAILURE_JSON}
    for folder in sorted(path for path in output.glob("*") if path.is_dir()):
        if any((folder / name).is_file() for name in kept):
            yield folder


def relative(path: str | Path, *, to: Path) -> str:
    """Path of an input as seen from the run's folder, so that both can move together; never an absolute path."""
    try:
        return Path(os.path.relpath(Path(path).resolve(), to.resolve())).as_posix()
    except ValueError:  # another drive
        return Path(path).name


DIVERSITY_JSON = "diversity.json"
RESULT_OF = {
    "assess": CASE_JSON,
    "evaluate": EVALUATION_JSON,
    "calibrate": CURVES_JSON,
    "dose": DOSE_JSON,
    "diversity": DIVERSITY_JSON,
}
"""The file that says a stage is done with a case."""


def make_folder(output: Path) -> None:
    """Make the folder of the results, before any work is put into them.

    Raises:
        UnfitEnvironment: E903, it cannot be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnfitEnvironment(
            Problem(
                code="E903",
                file=output.name,
                found=f"{type(error).__name__}: {error.strerror}",
                expected="a folder that can be made and written to",
                fix="choose another output folder with -o",
            )
        ) from error


def read_record(
    path: Path, parse: Callable[[dict[str, Any], str], Record], *, form: str, verb: str, fix: str
) -> Record:
    """Read a JSON record of ours with a parser that gets its content and the SHA-256 of the file.

    Args:
        path: the file.
        parse: makes the record; KeyError and its like mean that it is none.
        form: what its key "format" must say.
        verb: of plausible, that writes it.
        fix: the command line that writes it anew.

    Raises:
        InvalidInput: E404, it is not there, or not what the verb writes.
    """
    try:
        data = path.read_bytes()
        content = json.loads(data)
        if content["format"] != form:
            raise ValueError(f"format {content['format']!r}")
        return parse(content, sha256_of(data))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            Problem(
                code="E404",
                file=path.name,
                found=f"{type(error).__name__}: {str(error).replace(str(path), path.name)[:200]}",
                expected=f"a file that plausible {verb} wrote ({form})",
                fix=fix,
            )
        ) from error


def write_failure(folder: Path, stage: str, problem: Problem) -> None:
    """Write down why a case could not be done; what an earlier run of this stage left is no longer its result."""
    for name in (RESULT_OF[stage], CASE_PAGE):
        (folder / name).unlink(missing_ok=True)
    write_json(folder / FAILURE_JSON, {"stage": stage, **problem.to_dict()})


def clear_failure(folder: Path, stage: str) -> None:
    """Take back that a stage failed; what another stage wrote stays."""
    failed = read_failure(folder)
    if failed and failed[0] == stage:
        (folder / FAILURE_JSON).unlink(missing_ok=True)


def read_failure(folder: Path) -> tuple[str, Problem] | None:
    """Read why a case could not be done; None if it could."""
    content = read_json(folder / FAILURE_JSON)
    if content is None:
        return None
    stage = content.pop("stage")
    return str(stage), Problem(**{key: value for key, value in content.items() if key not in ("title", "url")})


def made_before(path: Path, key: str) -> dict[str, Any] | None:
    """Content of a file whose provenance has this key; None if there is none, another, or a damaged one."""
    try:
        content = read_json(path) or {}
        return content if content["provenance"]["key"] == key else None
    except (InvalidInput, KeyError, TypeError):
        return None


def read_json(path: Path) -> dict[str, Any] | None:
    """Content of a file that a run wrote; None where it is not there.

    Raises:
        InvalidInput: E305, it is there and damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InvalidInput(
            Problem(
                code="E305",
                file=path.name,
                found=f"{type(error).__name__}: {str(error)[:200]}",
                expected="JSON as plausible writes it",
                fix="delete this file and run the same command again: it makes this case anew",
            )
        ) from error


def told(settings: Mapping[str, Any]) -> str:
    """Settings as they are typed, those that are not set left out; no paths."""
    words = []
    for name, value in settings.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None:
                words.append(f"--{name.replace('_', '-')} {one}")
    return " ".join(words)
