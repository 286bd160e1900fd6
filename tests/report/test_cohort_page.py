import base64
import csv
import io
import re
from dataclasses import replace

import pytest

from plausible.report import WorkingPoint, Workload, cohort_page
from plausible.report.cohort_charts import page_link
from plausible.report.cohort_panels import triage_order
from tests.report.examples import cohort
from tests.report.test_case_page import EVIL, check_loads_nothing


def test_the_page_loads_nothing_from_anywhere(cohort_html: str) -> None:
    check_loads_nothing(cohort_html)


def test_research_use_is_said(cohort_html: str) -> None:
    assert "research use only" in cohort_html.split("<main", maxsplit=1)[0]


def test_triage_starts_with_the_least_agreed() -> None:
    lines = cohort(12).lines
    ordered = triage_order((replace(lines[0], agreement=None), *lines[1:]))
    agreements = [line.agreement for line in ordered[:-1]]
    assert agreements == sorted(agreements)
    assert ordered[-1].agreement is None


def test_rows_link_to_the_case_and_its_worst_slice(cohort_html: str) -> None:
    line = triage_order(cohort(12).lines)[0]
    assert f'<a href="{line.page}">{line.subject}</a>' in cohort_html
    assert f'href="{line.page}#slice-{line.worst_slice}"' in cohort_html


@pytest.mark.parametrize(
    "path", ["https://example.org", "javascript:alert(1)", "//example.org/x", "/etc/passwd", "\\\\host\\x", ""]
)
def test_links_lead_nowhere_else(path: str) -> None:
    assert page_link(path) == ""


def test_links_are_quoted() -> None:
    assert page_link('a "b"/case.html', slice_index=3) == "a%20%22b%22/case.html#slice-3"


def test_the_table_can_be_taken_away_as_csv(cohort_html: str) -> None:
    data = re.search(r'href="data:text/csv;charset=utf-8;base64,([^"]+)"', cohort_html)[1]
    raw = base64.b64decode(data)
    assert raw.startswith(b"\xef\xbb\xbf"), "Excel needs the mark to read UTF-8"
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    assert len(rows) == 24
    first = triage_order(cohort(12).lines)[0]
    assert rows[0]["subject"] == first.subject
    assert float(rows[0]["agreement"]) == pytest.approx(first.agreement, rel=1e-5)


def test_a_name_that_looks_like_a_formula_stays_text() -> None:
    report = cohort(1)
    html = cohort_page(replace(report, lines=tuple(replace(x, subject="=1+1") for x in report.lines)))
    data = re.search(r"base64,([^\"]+)\"", html)[1]
    assert "'=1+1" in base64.b64decode(data).decode("utf-8-sig")


def test_everything_is_escaped() -> None:
    report = cohort(2)
    evil = replace(
        report,
        study=EVIL,
        methods=EVIL,
        ensemble=EVIL,
        warnings=(EVIL,),
        lines=tuple(
            replace(x, subject=EVIL, structure=EVIL, flags=(EVIL,), page=EVIL, reference={EVIL: 1.0})
            for x in report.lines
        ),
        failures=tuple(
            replace(f, subject=EVIL, stage=EVIL, code=EVIL, message=EVIL, fix=EVIL) for f in report.failures
        ),
        summary=tuple({**row, "measure": EVIL, "structure": EVIL} for row in report.summary),
        reliability=tuple(replace(x, name=EVIL) for x in report.reliability),
        risk_coverage=tuple(replace(x, structure=EVIL, score=EVIL, risk=EVIL) for x in report.risk_coverage),
        provenance={"version": EVIL, EVIL: EVIL, "settings": {EVIL: EVIL}, "inputs": {}},
    )
    html = cohort_page(evil)
    assert EVIL not in html
    assert "&lt;script&gt;alert(1)" in html


def test_without_references_the_page_says_what_it_would_need() -> None:
    html = cohort_page(cohort(5, references=False))
    assert html.count("Not shown: this needs references") == 3
    for name in ("summary", "triage", "distribution", "about"):
        assert f'<section id="{name}" class="panel"' in html


def test_failures_are_listed_with_code_and_fix(cohort_html: str) -> None:
    part = cohort_html[cohort_html.index('<section id="failures"') :]
    assert "case_900" in part
    assert "E305" in part
    assert "copy or export this file again" in part
    assert '<section id="failures"' not in cohort_page(replace(cohort(2), failures=()))


def test_curves_carry_number_interval_and_n(cohort_html: str) -> None:
    text = " ".join(re.sub(r"<[^>]+>", "", cohort_html).split())
    assert "expected calibration error 0.0210 [0.0150–0.0300], 95 % interval, n = 12 cases" in text
    assert "AURC 0.100 [0.0800–0.120], 95 % interval, best possible 0.0700, n = 12 cases" in text


def test_a_page_on_no_cases_is_refused() -> None:
    with pytest.raises(ValueError, match="no case"):
        cohort_page(replace(cohort(1), n_cases=0, lines=()))


def test_a_study_in_which_every_case_failed_has_a_page() -> None:
    html = cohort_page(replace(cohort(1, references=False), lines=(), n_flagged=0))
    assert "case_900" in html
    assert "Not shown: this needs at least one case" in html


def test_five_hundred_cases_fit() -> None:
    html = cohort_page(cohort(500, structures=("bladder", "rectum", "prostate")))
    assert len(html.encode()) <= 3e6
    assert html.count("<tr data-state=") == 1500


def test_too_many_lines_are_cut_at_the_most_agreed_and_the_page_says_so() -> None:
    report = cohort(300)
    html = cohort_page(report, max_mb=0.3)
    assert len(html.encode()) <= 0.3e6
    shown = html.count("<tr data-state=")
    assert 20 <= shown < 600
    assert f"the {shown} least agreed of 600 lines are shown" in html


def test_scores_stand_side_by_side_for_ensemble_member_and_difference() -> None:
    of = {"ensemble": 0.91, "single_member": 0.88, "ensemble_minus_single_member": 0.03}
    lines = tuple(
        {"measure": "dice", "structure": "liver", "region": "", "of": what, "mean": mean, "low": None, "high": None,
         "n": 4, "n_undefined": 1, "unit": "1"}
        for what, mean in of.items()
    )  # fmt: skip
    html = cohort_page(replace(cohort(4), summary=lines))
    row = next(line for line in html.splitlines() if "<td>liver</td>" in line and ">Dice</th>" in line)
    assert [value for value in ("0.910", "0.880", "0.0300") if value in row] == ["0.910", "0.880", "0.0300"]


def test_the_workload_shows_each_threshold_and_the_one_in_use() -> None:
    points = tuple(
        WorkingPoint(accepted=share, n_accepted=n, n_failed=failed, rate_high=high, certified=n < 27, n_review=review)
        for share, n, failed, high, review in ((0.5, 15, 0, 0.14, 3), (0.9, 27, 1, None, 1))
    )
    flag = Workload(
        structure="liver", score="mean_pairwise_dice", failure="Dice below 0.8", alpha=0.1, delta=0.1,
        n_patients=30, n_new=4, chosen=0, points=points,
    )  # fmt: skip
    html = cohort_page(replace(cohort(4), workload=(flag,)))
    part = html[html.index('<section id="workload"') :]
    first, second = (line for line in part.splitlines() if line.startswith("<tr data-place"))
    assert "0 of 15" in first
    assert "yes, in use" in first
    assert "1 of 27" in second
    assert "–" in second
    assert 'value="0" data-workload' in part
