"""Calibration near contours is written on request, and only then."""

import pytest

from plausible.evaluate import BOUNDARY_CALIBRATION_SCORES, boundary_calibration_rows
from plausible.io import read_rows, read_study
from plausible.runs.settings import EvaluateSettings
from tests.cli.program import told


@pytest.mark.usefixtures("quick_pages")
def test_rows_are_written_on_request(own):
    told("evaluate", *own.line, "--references", own.references)
    measures = set(BOUNDARY_CALIBRATION_SCORES.names)
    assert not measures & {row.measure for row in read_rows(own.out / "scores.csv")}
    told("evaluate", *own.line, "--references", own.references, "--space-sigma-mm", 1.5)
    written = [row for row in read_rows(own.out / "scores.csv") if row.measure in measures and row.subject == "case_b"]
    case = read_study(own.members, references=own.references).case("case_b")
    expected = boundary_calibration_rows(case.members(), case.raters(), sigma_mm=1.5, subject="case_b")
    assert [row.key for row in written] == [row.key for row in expected]
    assert [row.value for row in written] == pytest.approx([row.value for row in expected], rel=1e-5)


def test_a_negative_width_is_refused():
    with pytest.raises(ValueError, match="space_sigma_mm"):
        EvaluateSettings(space_sigma_mm=-1.0)
