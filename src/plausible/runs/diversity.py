"""How different the members of a study are, and where that comes from, case by case and over all.

```
OUT/  diversity.json  summary.csv  diversity.csv  matrices.csv  failures.csv  diversity.html
      CASE/ diversity.json  variance_of_probability_<structure>.nii.gz
```
A case whose file names the same version, inputs and settings is kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from plausible.core import Case, Score, Study, content_key, provenance
from plausible.diversity.case import diversity_rows, measure_case
from plausible.diversity.design import Levels
from plausible.diversity.summary import (
    DiversityLine,
    MeasuredMatrix,
    lines_by_subject,
    matrices_of,
    pooled_lines,
    pooled_parts,
)
from plausible.io import case_inputs, write_failures, write_rows, write_scalar_map
from plausible.io.atomic import plain_json, write_json, write_text
from plausible.io.rows import write_table
from plausible.report.diversity import DiversityReport, diversity_page
from plausible.runs.diversity_case import StoredDiversity
from plausible.runs.diversity_settings import DiversitySettings
from plausible.runs.layout import DIVERSITY_JSON, FAILURES, made_before, read_json, told
from plausible.runs.walk import OnCase, Walked, walk_cases

ROWS, SUMMARY, MATRICES, PAGE = "diversity.csv", "summary.csv", "matrices.csv", "diversity.html"
COLUMNS = tuple(f.name for f in fields(DiversityLine))
MATRIX_COLUMNS = ("subject", "structure", "region", "against", "measure", "unit", "member", "other", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiversityFound:
    """The summary of a study, and what the walk over its cases did."""

    walked: Walked
    lines: tuple[DiversityLine, ...]
    matrices: tuple[MeasuredMatrix, ...]
    cases: tuple[StoredDiversity, ...]


def diversity_of_study(
    study: Study,
    output: Path,
    *,
    settings: DiversitySettings | None = None,
    design: Mapping[str, Levels] | None = None,
    patients: Mapping[str, str] | None = None,
    inside: Sequence[MeasuredMatrix] = (),
    seed: int = 0,
    overwrite: bool = False,
    on_case: OnCase | None = None,
) -> DiversityFound:
    """Compare the members of every case, and pool over the cases.

    Args:
        study: cases with members, and with references where there are any.
        output: folder of the results.
        settings: how members are compared.
        design: level of each source by member, in place of what the members tell.
        patients: patient of each case; each case its own without.
        inside: matrices of what networks look like inside, for the page and the tables.
        seed: of the intervals.
        overwrite: measure again what is there already.
        on_case: called after each case.

    Raises:
        UnfitEnvironment: E903, results cannot be written.
    """
    chosen = settings or DiversitySettings()
    walked = walk_cases(
        study,
        output,
        stage="diversity",
        run=lambda case: _measure(case, output, chosen, design, overwrite=overwrite),
        on_case=on_case,
    )
    good = {*walked.done, *walked.kept}
    cases = tuple(_stored(output / case.subject) for case in study if case.subject in good)
    rows = {case.subject: [*diversity_rows(case.parts, subject=case.subject), *case.rows] for case in cases}
    parts = {case.subject: case.parts for case in cases}
    drawn: dict[str, Any] = {"seed": seed, "n_resamples": chosen.resamples}
    lines = (*lines_by_subject(rows, patients or {}, **drawn), *pooled_lines(parts, patients or {}, **drawn))
    pooled = tuple(pooled_parts(parts)) if parts else ()
    found = DiversityFound(walked=walked, lines=lines, matrices=(*matrices_of(pooled), *inside), cases=cases)
    told_settings = {**asdict(chosen), "seed": seed}
    made = provenance(f"diversity {told(told_settings)}", settings=told_settings, inputs={}).to_dict()
    _write(study, found, rows, output, made)
    report = DiversityReport(
        study.name, study.ensemble, found.lines, found.matrices, pooled, _designs(cases), walked.failures, made
    )
    if cases:
        write_text(output / PAGE, diversity_page(report))
    return found


def _measure(
    case: Case, output: Path, settings: DiversitySettings, design: Mapping[str, Levels] | None, *, overwrite: bool
) -> bool:
    folder = output / case.subject
    chosen = {name: value for name, value in asdict(settings).items() if name != "resamples"}
    inputs = case_inputs(case)
    made = provenance(
        f"diversity {told(chosen)}",
        settings={**chosen, "design": content_key(design) if design else ""},
        inputs=inputs,
    )
    before = made_before(folder / DIVERSITY_JSON, made.key)
    if before and not overwrite and all((folder / name).is_file() for name in before["maps"]):
        return False
    (folder / DIVERSITY_JSON).unlink(missing_ok=True)
    found = measure_case(
        case.members(),
        case.raters(),
        subject=case.subject,
        voxels=settings.voxels,
        band_mm=settings.band_mm,
        tolerance_mm=settings.tolerance_mm,
        levels=design,
        keep_maps=settings.maps,
    )
    for one in found.maps:
        write_scalar_map(folder / f"{one.name}.nii.gz", one, sidecar={"provenance": made.to_dict()})
    names = tuple(f"{one.name}.nii.gz" for one in found.maps)
    write_json(folder / DIVERSITY_JSON, StoredDiversity.of(found, maps=names).to_dict(made.to_dict()))
    return True


def _stored(folder: Path) -> StoredDiversity:
    content = read_json(folder / DIVERSITY_JSON)
    assert content is not None, "it was written or kept just now"
    return StoredDiversity.from_dict(content)


def _designs(cases: Sequence[StoredDiversity]) -> dict[str, int]:
    """What is told of the sources, and in how many cases."""
    found: dict[str, int] = {}
    for case in cases:
        text = case.design or f"None: {case.no_design}"
        text += f"; left out: {', '.join(case.left_out)}" if case.left_out else ""
        text += f"; undefined, one level: {', '.join(case.undefined)}" if case.undefined else ""
        text += f"; trained again: {case.trials}" if case.trials else ""
        found[text] = found.get(text, 0) + 1
    return found


def _write(
    study: Study, found: DiversityFound, rows: Mapping[str, Sequence[Score]], output: Path, made: Mapping[str, Any]
) -> None:
    write_rows(output / ROWS, [row for of_case in rows.values() for row in of_case])
    write_failures(output / FAILURES, [("diversity", problem) for problem in found.walked.failures])
    write_table(output / SUMMARY, COLUMNS, (asdict(line) for line in found.lines))
    by_subject = {case.subject: tuple(matrices_of(case.parts)) for case in found.cases}
    write_table(output / MATRICES, MATRIX_COLUMNS, _cells({"": found.matrices, **by_subject}))
    content = {
        "study": study.name,
        "members": study.ensemble,
        "n_cases": len(found.cases),
        "designs": _designs(found.cases),
        "lines": [plain_json(asdict(line)) for line in found.lines],
        "provenance": dict(made),
    }
    write_json(output / DIVERSITY_JSON, content)


def _cells(matrices: Mapping[str, Sequence[MeasuredMatrix]]) -> Iterator[dict[str, object]]:
    """Every entry of every matrix off the diagonal; the empty subject is what was pooled over all."""
    for subject, of_subject in matrices.items():
        for one in of_subject:
            told_of = {name: getattr(one, name) for name in ("structure", "region", "against", "measure", "unit")}
            for i, member in enumerate(one.members):
                for j, other in enumerate(one.members):
                    if i != j:
                        value = float(one.values[i, j])
                        yield {"subject": subject, **told_of, "member": member, "other": other, "value": value}


def headline(lines: Sequence[DiversityLine]) -> list[DiversityLine]:
    """Lines that a terminal shows: from pooled counts, of all structures together or the only one."""
    shown = ("disagreement", "dice_distance", "error_consistency", "silent_failure_rate", "disagreement_error_ratio")
    pooled = [line for line in lines if line.pooling == "pooled" and line.measure in shown]
    whole = [line for line in pooled if not line.structure or line.measure == "dice_distance"]
    return whole if any(not line.structure for line in whole) else pooled
