"""The study as a whole: a line per case and structure, what it says of each, and what it warns of."""

import json
from dataclasses import replace

import jsonschema
import pytest

from plausible.io import read_rows
from plausible.report import cohort_from_json, schema
from plausible.runs.cohort import CaseResults, flagged, lines_of, read_cases, write_cohort
from plausible.runs.pages import read_case
from tests.cli.program import run, told
from tests.runs.studies import LIMIT, SUBJECTS


def states(report) -> dict[str, str]:
    return {line.structure: line.state for line in lines_of([CaseResults("case_a", report, None, None)])}


def changed(report, *, limit: float | None, **structures):
    """The report with another limit and with some structures changed."""
    verdict = replace(report.verdict, limit=limit, state="review")
    summaries = [replace(one, **{"flags": (), **structures.get(one.name, {})}) for one in report.structures]
    return replace(report, verdict=verdict, structures=tuple(summaries))


@pytest.fixture(scope="module")
def report(assessed):
    return read_case(assessed.out / "case_a")


def test_a_line_is_in_review_for_its_own_flag_only(report):
    found = states(changed(report, limit=0.3, liver={"flags": ("low_agreement",)}))
    assert found == {"liver": "review", "kidney": "pass", "spleen": "pass"}


def test_without_a_limit_only_flags_are_told(report):
    found = states(changed(report, limit=None, liver={"flags": ("absent_in_some_members",)}))
    assert found == {"liver": "review", "kidney": "cannot_tell", "spleen": "cannot_tell"}


def test_a_structure_without_agreement_is_not_passed(report):
    assert states(changed(report, limit=0.0, kidney={"agreement": None}))["kidney"] == "cannot_tell"


def test_flagged_cases_are_counted_once(report):
    lines = lines_of([CaseResults("case_a", changed(report, limit=1.0), None, None)])
    assert flagged(lines) == ()
    assert flagged([replace(line, flags=("low_agreement",)) for line in lines]) == ("case_a",)


def test_the_record_fits_its_schema_and_every_line_leads_to_a_page(scored):
    content = json.loads((scored.out / "cohort.json").read_text("utf-8"))
    jsonschema.validate(content, schema("cohort"), jsonschema.Draft202012Validator)
    cohort = cohort_from_json(json.dumps(content))
    assert [(line.subject, line.structure) for line in cohort.lines] == [
        (subject, structure) for subject in SUBJECTS for structure in ("liver", "kidney", "spleen")
    ]
    assert all((scored.out / line.page).is_file() for line in cohort.lines)
    assert cohort.provenance["command"].startswith("assess --boundary-mm 4.0")
    assert cohort.n_flagged == len({line.subject for line in cohort.lines if line.flags}) > 0


def test_the_table_has_the_rows_of_every_case(assessed):
    rows = read_rows(assessed.out / "scores.csv")
    expected = [row for subject in SUBJECTS for row in read_case(assessed.out / subject).scores]
    assert [row.to_dict() for row in rows] == list(expected)


@pytest.mark.usefixtures("quick_pages")
def test_cases_assessed_with_other_settings_are_warned_of(own):
    told("assess", *own.line, *LIMIT, "--boundary-mm", 3, "--num-parts", 3, "--part-id", 1)
    report = write_cohort(own.out)
    assert any("different settings" in text and "--boundary-mm 3.0" in text for text in report.warnings)


def test_few_references_are_warned_of(scored):
    assert "Only 3 cases have a reference" in (scored.out / "cohort.html").read_text("utf-8")


def test_some_cases_alone_can_be_read(assessed):
    assert [case.subject for case in read_cases(assessed.out, subjects=["case_c", "nobody"])] == ["case_c"]


def test_a_folder_without_cases_cannot_be_reported(tmp_path):
    with pytest.raises(ValueError, match="no case to report"):
        write_cohort(tmp_path)


def test_the_seed_moves_the_intervals_and_nothing_else(own_scored):
    before = json.loads((own_scored.out / "cohort.json").read_text("utf-8"))
    run("report", "-i", own_scored.out, "--seed", 1, "-q")
    after = json.loads((own_scored.out / "cohort.json").read_text("utf-8"))
    assert after["lines"] == before["lines"]
    assert [one["mean"] for one in after["summary"]] == [one["mean"] for one in before["summary"]]
    assert [one["low"] for one in after["summary"]] != [one["low"] for one in before["summary"]]
    assert "seed 1" in after["methods"]
