"""Choose members of a pool on some cases, judge them on others, and say how many would be enough.

```
OUT/  selection.json  curves.csv  curves.svg  failures.csv  RULE.toml
```
RULE.toml is a study file with the chosen members only: `plausible assess -i OUT/RULE.toml`.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from plausible.core import Case, Problem, Study, provenance
from plausible.core.problems import ProblemWarning
from plausible.diversity import (
    POOL_SCORES,
    AcceptanceRule,
    EarlyStopping,
    Extrapolation,
    Pool,
    PoolCase,
    ScoreCurve,
    Selection,
    Verdict,
    accept,
    early_stopping,
    evidence_of,
    extrapolate,
    pool_case,
    prune,
    score_curve,
    scored,
    select_members,
)
from plausible.diversity.enough import EXTRAPOLATED
from plausible.io import hash_files, write_failures
from plausible.io.atomic import plain_json, write_json, write_text
from plausible.io.rows import write_table
from plausible.io.study_folders import StudyFolders
from plausible.report.page import svg_file
from plausible.report.selection_chart import curves_chart
from plausible.runs.evaluate import referenced
from plausible.runs.layout import FAILURES, make_folder
from plausible.runs.select_settings import SelectSettings, split_cases
from plausible.runs.select_toml import write_study_toml
from plausible.runs.walk import OnCase, attempted

RESULT, CURVES, CHART = "selection.json", "curves.csv", "curves.svg"
FORMAT = "plausible-selection 1.0"
COLUMNS = ("score", "unit", "members", "value", "low", "high", "n_subsets", "forward_passes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one rule chose, and the verdict on the test cases.

    Attributes:
        test: every pool score on the test cases.
    """

    selection: Selection
    verdict: Verdict
    test: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionFound:
    """Everything that was found on a pool.

    Attributes:
        baseline: members that the choices were judged against.
        baseline_test: every pool score of the baseline on the test cases.
        curves: scores against the number of members, on the test cases.
        limits: what can be extrapolated of them.
        pruned: the smallest subset that keeps the score, where asked for, and its scores on the test cases.
        stopping: what stopping early would change, where asked for.
        written: study file of what each rule chose, where there is one.
    """

    pool: tuple[str, ...]
    selection_cases: tuple[str, ...]
    test_cases: tuple[str, ...]
    baseline: tuple[str, ...]
    baseline_test: Mapping[str, float]
    judged: tuple[Judged, ...]
    curves: tuple[ScoreCurve, ...]
    limits: tuple[Extrapolation, ...]
    pruned: tuple[Selection, Mapping[str, float]] | None
    stopping: tuple[EarlyStopping, ...]
    failures: tuple[Problem, ...]
    written: Mapping[str, Path] = field(default_factory=dict)

    @property
    def accepted(self) -> Judged | None:
        """The first choice that was accepted, in the order of the rules; None if none was."""
        return next((one for one in self.judged if one.verdict.decision == "accepted"), None)


def select_of_study(
    study: Study,
    output: Path,
    *,
    settings: SelectSettings | None = None,
    selection_cases: tuple[str, ...] | None = None,
    test_cases: tuple[str, ...] | None = None,
    patients: Mapping[str, str] | None = None,
    folders: StudyFolders | None = None,
    seed: int = 0,
    on_case: OnCase | None = None,
) -> SelectionFound:
    """Choose members on some cases of a study and judge them on others.

    Args:
        study: cases with the members of the pool and with references.
        output: folder of the results.
        settings: how members are chosen and judged.
        selection_cases: cases to choose on, as `split_cases` takes them.
        test_cases: cases to judge on.
        patients: patient of each case; each is one of its own by default.
        folders: where the members of the study lie; without, no study file of those chosen is written.
        seed: of everything drawn.
        on_case: called after each case that was read.

    Raises:
        InvalidInput: E412 to E416.
        UnfitEnvironment: E903, results cannot be written.
    """
    chosen = settings or SelectSettings()
    make_folder(output)
    subjects = referenced(study)
    owners = {one: (patients or {}).get(one, one) for one in subjects}
    first, second = split_cases(subjects, owners, selection=selection_cases, test=test_cases, seed=seed)
    cases, failures = _read(study.only({*first, *second}), chosen, seed, on_case)
    pools = [Pool(tuple(case for case in cases if case.subject in part)) for part in (first, second)]
    found = _found(pools[0], pools[1], chosen, owners, seed, failures)
    _write(study, found, chosen, output, seed=seed)
    return replace(found, written=dict(_study_files(found, folders, output))) if folders else found


def _read(
    study: Study, settings: SelectSettings, seed: int, on_case: OnCase | None
) -> tuple[list[PoolCase], tuple[Problem, ...]]:
    def once(case: Case) -> PoolCase:
        raters = case.raters()
        assert raters is not None, f"{case.subject} was chosen for its reference"
        return pool_case(
            case.members(), raters, seed=seed, margin_mm=settings.margin_mm, max_voxels=settings.max_voxels
        )

    cases, failures = list[PoolCase](), list[Problem]()
    for one in attempted({case.subject: case for case in study}, once, on_case=on_case):
        for problem in one.warnings:
            warnings.warn(ProblemWarning(problem), stacklevel=2)
        if one.failure:
            failures.append(one.failure)
        if one.found:
            cases.append(one.found)
    return cases, tuple(failures)


def _found(
    selecting: Pool,
    testing: Pool,
    settings: SelectSettings,
    owners: Mapping[str, str],
    seed: int,
    failures: tuple[Problem, ...],
) -> SelectionFound:
    everybody = testing.members
    baseline = everybody if settings.baseline == "all" else everybody[: settings.members]
    against = evidence_of(testing, testing.equal(baseline), name=f"{settings.baseline} {len(baseline)} members")
    rule = AcceptanceRule(
        member_tolerance=settings.member_tolerance,
        silent_tolerance=settings.silent_tolerance,
        level=1 - (1 - settings.level) / len(settings.rule),
        n_resamples=settings.resamples,
    )
    judged = []
    for name in settings.rule:
        one = select_members(selecting, rule=name, score=settings.score, n_members=settings.members, seed=seed)
        change = evidence_of(testing, one.on(testing), name=name)
        verdict = accept(change, against, rule=rule, patients=owners, seed=seed)
        judged.append(Judged(selection=one, verdict=verdict, test=all_scores(testing, one)))
    curves = tuple(score_curve(testing, score=score, n_subsets=25, seed=seed) for score in POOL_SCORES.names)
    fitted = [one for one in curves if one.score in EXTRAPOLATED and len(one.sizes) > 1]
    patients = [owners[one] for one in testing.subjects]
    limits = tuple(extrapolate(one, patients=patients, seed=seed, n_resamples=settings.resamples) for one in fitted)
    pruned = None
    if settings.prune_tolerance is not None:
        small = prune(selecting, score=settings.score, tolerance=settings.prune_tolerance)
        pruned = small, all_scores(testing, small)
    stopping = early_stopping(testing, flag_below=settings.flag_below, seed=seed) if settings.flag_below else ()
    return SelectionFound(
        pool=everybody,
        selection_cases=selecting.subjects,
        test_cases=testing.subjects,
        baseline=baseline,
        baseline_test={name: scored(testing, testing.equal(baseline), name) for name in POOL_SCORES.names},
        judged=tuple(judged),
        curves=curves,
        limits=limits,
        pruned=pruned,
        stopping=stopping,
        failures=failures,
    )


def all_scores(pool: Pool, selection: Selection) -> dict[str, float]:
    """Every pool score of the chosen members on the cases of a pool."""
    return {name: scored(pool, selection.on(pool), name) for name in POOL_SCORES.names}


def plain(found: SelectionFound) -> dict[str, Any]:
    """Return the result as plain JSON values."""
    rules = [
        {
            **one.selection.to_dict(),
            "members": one.selection.members,
            "test": one.test,
            "verdict": one.verdict.to_dict(),
        }
        for one in found.judged
    ]
    best = found.accepted
    pruned = {**found.pruned[0].to_dict(), "members": found.pruned[0].members, "test": found.pruned[1]} if (
        found.pruned
    ) else None  # fmt: skip
    return {
        "pool": found.pool,
        "selection_cases": found.selection_cases,
        "test_cases": found.test_cases,
        "baseline": {"members": found.baseline, "test": found.baseline_test},
        "accepted": best.selection.rule if best else None,
        "members": best.selection.members if best else found.baseline,
        "rules": rules,
        "extrapolation": [one.to_dict() for one in found.limits],
        "pruned": pruned,
        "early_stopping": [one.to_dict() for one in found.stopping],
    }


def _write(study: Study, found: SelectionFound, settings: SelectSettings, output: Path, *, seed: int) -> None:
    files = {f"{case.subject}/{name}": path for case in study.only({*found.selection_cases, *found.test_cases})
             for name, path in case.files.items()}  # fmt: skip
    made = provenance("select", settings={**asdict(settings), "seed": seed}, inputs=hash_files(files)).to_dict()
    write_json(output / RESULT, {"format": FORMAT, "study": study.name, **plain_json(plain(found)), "provenance": made})
    write_table(output / CURVES, COLUMNS, _curve_rows(found.curves))
    write_failures(output / FAILURES, [("select", problem) for problem in found.failures])
    marks = {one.selection.rule: (len(one.selection.members), one.test) for one in found.judged}
    marks["baseline"] = (len(found.baseline), found.baseline_test)
    write_text(output / CHART, svg_file(curves_chart(found.curves, marks)))


def _study_files(found: SelectionFound, folders: StudyFolders, output: Path) -> Iterator[tuple[str, Path]]:
    """Write a study file of each choice; there is none of members that share a file."""
    for one in found.judged:
        rule = one.selection.rule
        path = output / f"{rule}.toml"
        if write_study_toml(path, folders, one.selection.members, made_by=f"{rule}: {one.verdict.decision}"):
            yield rule, path


def _curve_rows(curves: Sequence[ScoreCurve]) -> Iterator[dict[str, Any]]:
    for curve in curves:
        yield from curve.rows()
