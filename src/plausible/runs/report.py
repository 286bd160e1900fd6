"""Pages from results: those that are missing or older than their numbers are drawn again."""

from collections.abc import Collection
from pathlib import Path

from plausible.core import InvalidInput, Problem
from plausible.runs.layout import CASE_JSON, CASE_PAGE, DOSE_JSON, EVALUATION_JSON, case_folders
from plausible.runs.pages import MAX_MB, draw_case
from plausible.runs.walk import OnCase


def draw_pages(
    output: Path,
    *,
    subjects: Collection[str] | None = None,
    max_mb: float = MAX_MB,
    overwrite: bool = False,
    on_case: OnCase | None = None,
) -> tuple[Problem, ...]:
    """Draw the page of every assessed case in a folder.

    Returns:
        Errors: pages that could not be drawn. Warnings: images and references that could not be shown.

    Args:
        output: folder of the results.
        subjects: only these cases, as other runs may be working on the others; all by default.
        max_mb: budget of a page.
        overwrite: draw pages again that are up to date.
        on_case: called after each page.
    """
    folders = [
        f for f in case_folders(output) if (f / CASE_JSON).is_file() and (subjects is None or f.name in subjects)
    ]
    stale = [folder for folder in folders if overwrite or not _is_current(folder)]
    problems = list[Problem]()
    for number, folder in enumerate(stale, start=1):
        result = "ok"
        try:
            lost = draw_case(folder, max_mb=max_mb)
            problems += lost
            result = ", ".join(f"without {problem.file} ({problem.code})" for problem in lost) or result
        except InvalidInput as error:
            problems.append(error.problem)
            result = error.problem.code
        if on_case:
            on_case(folder.name, number, len(stale), result)
    return tuple(problems)


def _is_current(folder: Path) -> bool:
    page = folder / CASE_PAGE
    if not page.is_file():
        return False
    numbers = [folder / name for name in (CASE_JSON, EVALUATION_JSON, DOSE_JSON) if (folder / name).is_file()]
    return page.stat().st_mtime_ns >= max(path.stat().st_mtime_ns for path in numbers)
