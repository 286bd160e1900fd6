"""Compare the results of several methods that assess and evaluate wrote: comparison.csv (.json, .txt), ranking.csv."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from plausible.core import InvalidInput, Problem, Provenance, Score, provenance
from plausible.evaluate import (
    AURC,
    ComparedLine,
    ComparisonSettings,
    Ranked,
    common_subjects,
    compare_methods,
    rank_methods,
    unpaired_lines,
)
from plausible.io import hash_files, read_rows
from plausible.io.atomic import plain_json, write_json, write_text
from plausible.io.rows import read_patients, write_table
from plausible.runs.compare_settings import CompareSettings
from plausible.runs.compare_text import comparison_text
from plausible.runs.layout import EVALUATION_JSON, SCORES, make_folder, read_json, relative, told

COMPARISON = "comparison"
RANKING = "ranking.csv"
N_NAMED = 10
"""So many cases are named in a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a comparison found.

    Attributes:
        subjects: cases that all methods have, which alone are compared.
        left_out: cases that some methods have, with the names of those that lack them.
        not_compared: kinds of rows that not all methods have, with the names of those that have them.
        problems: warnings.
    """

    methods: tuple[str, ...]
    subjects: tuple[str, ...]
    left_out: Mapping[str, tuple[str, ...]]
    not_compared: Mapping[str, tuple[str, ...]]
    lines: tuple[ComparedLine, ...]
    ranking: tuple[Ranked, ...]
    problems: tuple[Problem, ...]
    provenance: Provenance


def compare_results(
    folders: Mapping[str, Path], *, settings: CompareSettings | None = None, seed: int = 0
) -> Comparison:
    """Compare methods over the cases that all folders hold.

    Args:
        folders: results of each method, by its name.
        settings: how they are compared.
        seed: of the draws and signs.

    Raises:
        InvalidInput: E108, a folder without results; E401, fewer than two patients in common; E405, a case with other
            references in one folder than in another; E305, a table that cannot be read.
        ValueError: fewer than two folders, a measure that no folder has, or a case whose patient was not told.
    """
    chosen = settings or CompareSettings()
    rows = {name: _rows(folder) for name, folder in folders.items()}
    subjects = common_subjects(rows)
    _check_references(folders, rows, subjects)
    how = ComparisonSettings(
        seed=seed,
        patients=read_patients(chosen.patients) if chosen.patients else None,
        confidence=chosen.confidence,
        measures=_known_measures(rows, chosen.measures),
    )
    lines = compare_methods(rows, settings=how)
    left_out = _left_out(rows, subjects)
    return Comparison(
        methods=tuple(folders),
        subjects=subjects,
        left_out=left_out,
        not_compared=unpaired_lines(rows),
        lines=lines,
        ranking=rank_methods(rows, settings=how),
        problems=tuple(_warnings(folders, subjects, left_out)),
        provenance=_provenance(folders, chosen, seed),
    )


def write_comparison(found: Comparison, output: Path, *, folders: Mapping[str, Path]) -> None:
    """Write comparison.csv, comparison.json, comparison.txt and ranking.csv.

    Raises:
        UnfitEnvironment: E903, results cannot be written.
    """
    make_folder(output)
    write_table(output / f"{COMPARISON}.csv", _columns(ComparedLine), map(asdict, found.lines))
    write_table(output / RANKING, _columns(Ranked), map(asdict, found.ranking))
    write_text(output / f"{COMPARISON}.txt", comparison_text(found.lines, found.ranking))
    content = asdict(found) | {
        "methods": [{"name": name, "results": relative(folders[name], to=output)} for name in found.methods],
        "problems": [problem.to_dict() for problem in found.problems],
        "provenance": found.provenance.to_dict(),
    }
    write_json(output / f"{COMPARISON}.json", plain_json(content))


def _rows(folder: Path) -> list[Score]:
    path = folder / SCORES
    if path.is_file():
        return read_rows(path)
    raise InvalidInput(
        Problem(
            code="E108",
            file=folder.name,
            found=f"no {SCORES} in {folder}",
            expected="a folder of results that plausible assess or plausible evaluate wrote",
            fix=f"plausible evaluate -i MEMBERS --references REF -o {folder}",
        )
    )


def _known_measures(rows: Mapping[str, Sequence[Score]], told_measures: Sequence[str]) -> tuple[str, ...]:
    """Return the measures that were told, if there are rows of them."""
    known = {row.measure for of_method in rows.values() for row in of_method} | {AURC}
    unknown = [measure for measure in told_measures if measure not in known]
    if unknown:
        raise ValueError(f"no rows of {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    return tuple(told_measures)


def _check_references(
    folders: Mapping[str, Path], rows: Mapping[str, Sequence[Score]], subjects: Sequence[str]
) -> None:
    """Check by name and SHA-256 that each case was scored against the same references everywhere."""
    raters = {row.against for of_method in rows.values() for row in of_method if row.against}
    differing: dict[str, str] = {}
    for subject in subjects:
        found = {name: _references(folder / subject, raters) for name, folder in folders.items()}
        told_of = [references for references in found.values() if references]
        if any(references != told_of[0] for references in told_of):
            differing[subject] = "; ".join(f"{name}: {_short(references)}" for name, references in found.items())
    if differing:
        subject, seen = next(iter(differing.items()))
        others = f", and {_named([one for one in differing if one != subject])}" if len(differing) > 1 else ""
        raise InvalidInput(
            Problem(
                code="E405",
                subject=subject,
                found=f"other references ({seen}){others}",
                expected="the same references in all folders, by name and content",
                fix="plausible evaluate -i MEMBERS --references REF -o OUT, with the same REF for every method",
            )
        )


def _references(folder: Path, raters: set[str]) -> dict[str, str]:
    """SHA-256 of each reference of a case; nothing if it was not evaluated."""
    inputs = ((read_json(folder / EVALUATION_JSON) or {}).get("provenance") or {}).get("inputs", {})
    found: dict[str, str] = {}
    for name, digest in sorted(inputs.items()):
        rater = name.partition("/")[0]
        if rater in raters:
            found[rater] = found.get(rater, "") + str(digest)
    return found


def _short(references: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {digest[:8]}" for name, digest in references.items()) or "none"


def _left_out(rows: Mapping[str, Sequence[Score]], subjects: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Cases that not every method has, with the methods that lack them."""
    of_method = {name: {row.subject for row in found} for name, found in rows.items()}
    apart = sorted(set().union(*of_method.values()) - set(subjects))
    return {case: tuple(name for name, cases in of_method.items() if case not in cases) for case in apart}


def _warnings(
    folders: Mapping[str, Path], subjects: Sequence[str], left_out: Mapping[str, Sequence[str]]
) -> Iterator[Problem]:
    for name in folders:
        missing = [case for case, lacking in left_out.items() if name in lacking]
        if missing:
            yield Problem(
                code="E405",
                member=name,
                found=f"no results of {_named(missing)}",
                expected=f"the cases of all other methods; the {len(subjects)} that all have are compared",
                fix="evaluate these cases with this method too",
                severity="warning",
            )
    settings = {name: sorted(_settings(folder, subjects)) for name, folder in folders.items()}
    if len({command for commands in settings.values() for command in commands}) > 1:
        yield Problem(
            code="E405",
            found="; ".join(f"{name}: {', '.join(commands)}" for name, commands in settings.items()),
            expected="the same settings of evaluate in every folder",
            fix="plausible evaluate with one set of settings for every method",
            severity="warning",
        )


def _settings(folder: Path, subjects: Sequence[str]) -> set[str]:
    """Commands that scored the cases."""
    found = [(read_json(folder / case / EVALUATION_JSON) or {}).get("provenance") or {} for case in subjects]
    return {str(made["command"]) for made in found if made.get("command")}


def _named(cases: Sequence[str]) -> str:
    further = len(cases) - N_NAMED
    return ", ".join(cases[:N_NAMED]) + (f" and {further} more" if further > 0 else "")


def _provenance(folders: Mapping[str, Path], settings: CompareSettings, seed: int) -> Provenance:
    chosen = asdict(settings) | {"patients": settings.patients.name if settings.patients else None, "seed": seed}
    tables = {f"{name}/{SCORES}": str(folder / SCORES) for name, folder in folders.items()}
    if settings.patients:
        tables["patients"] = str(settings.patients)
    return provenance(
        f"evaluate --compare {' '.join(folders)} {told(chosen)}", settings=chosen, inputs=hash_files(tables)
    )


def _columns(record: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record))
