"""Cases with several raters: ambiguity rows on disk, and in the cohort's numbers."""

import shutil

import pytest

from plausible.core import select
from plausible.evaluate import AMBIGUITY_SCORES, VOLUME_FORECAST_SCORES, ambiguity_rows
from plausible.io import read_rows, read_study
from tests.cli.program import told
from tests.runs.studies import SUBJECTS


@pytest.mark.usefixtures("quick_pages")
def test_cases_with_two_raters_have_ambiguity_rows(own):
    second = own.root / "labels_2"
    second.mkdir()
    shutil.copy(own.references / "case_b.nii.gz", second / "case_a.nii.gz")  # the others have one rater only
    raters = {"anna": own.references, "ben": second}
    told("evaluate", *own.line, *(part for name, at in raters.items() for part in ("--references", f"{name}={at}")))
    written = read_rows(own.out / "scores.csv")
    measures = {*AMBIGUITY_SCORES.names, *VOLUME_FORECAST_SCORES.names, "normalized_cross_correlation"}
    found = [row for row in written if row.measure in measures]
    assert {row.subject for row in found} == {"case_a"}
    assert {row.measure for row in found} == measures
    assert {row.against for row in found} == {"2_raters", "2_raters:rater_entropy"}
    case = read_study(own.members, references=raters).case("case_a")
    expected = ambiguity_rows(case.members(), case.raters(), subject="case_a")
    assert len(found) == len(expected)
    for row in expected:
        (same,) = select(
            found, **dict(zip(("structure", "measure", "region", "reduction", "against"), row.key, strict=True))
        )
        assert same.value == pytest.approx(row.value, rel=1e-5, abs=1e-7, nan_ok=True)
    assert len({(row.subject, row.key) for row in written}) == len(written)
    assert {row.subject for row in written} == set(SUBJECTS)
