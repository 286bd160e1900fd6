"""The dose panel and the table of open constraints: order, words, figures, and that text stays text."""

import math
import re
from html import unescape

import pytest

from plausible.report.dose_charts import dvh_chart
from plausible.report.dose_model import CaseDose, ConstraintDose, DvhCurves, MetricDose, Review, StructureDose
from plausible.report.dose_panels import certainty, constraint_lines, dose_content, requirement, review_slices
from plausible.report.model import ConstraintLine
from plausible.report.page import _environment

EVIL = "<script>alert(1)</script>"


def line(**told):
    common = {
        "subject": "a", "structure": "Cord", "text": "D2%[Gy] < 45", "unit": "Gy", "verdict": "undecided", "sure": True,
        "nominal": 44.0, "nominal_violates": False, "close": False, "probability": 0.5, "low": 0.3, "high": 0.7,
        "k": 10, "n": 20, "priority": 1, "checked": True, "review_slice": 3,
    }  # fmt: skip
    return ConstraintLine(**{**common, **told})


def constraint(**told):
    common = {
        "metric": "D2%[Gy]", "unit": "Gy", "text": "D2%[Gy] < 45", "operator": "<", "limit": 45.0, "acceptable": None,
        "priority": 1, "source": "a test", "checked": True, "verdict": "undecided", "sure": True, "probability": 0.5,
        "low": 0.3, "high": 0.7, "level": 0.95, "interval": "jeffreys", "k": 10, "n": 20, "k_acceptable": None,
        "n_undefined": 0, "nominal": 44.0, "nominal_violates": False, "close": False, "at_dose_gy": 45.0,
        "at_share": 0.02,
    }  # fmt: skip
    return ConstraintDose(**{**common, **told})


def structure(name="Cord", *constraints, **told):
    doses = tuple(float(d) for d in range(51))
    falling = tuple(1 - d / 50 for d in doses)
    low, high = tuple(max(s - 0.1, 0.0) for s in falling), tuple(min(s + 0.1, 1.0) for s in falling)
    curves = DvhCurves(
        dose_gy=doses, nominal=falling, median=falling, low_50=low, high_50=high, low_90=low, high_90=high,
        expected=falling, of_mean_map=falling, method_50="order statistics", method_90="order statistics",
        reference={"anna": falling},
    )  # fmt: skip
    metric = MetricDose(
        metric="D2%[Gy]", unit="Gy", nominal=44.0, median=45.0, mean=45.0, sd=1.0, interval_50=(44.0, 46.0),
        interval_90=(42.0, 48.0), method_50="order statistics", method_90="order statistics", n=20, n_undefined=0,
        members=(44.0, 46.0), review=Review(slice_index=3, share=0.4, sd=1.0), reference={"anna": 47.0}, covered=1,
    )  # fmt: skip
    common = {
        "name": name, "standard_name": name, "n": 20, "volume_ml": 12.0, "outside_share": 0.0, "dvh_method": "a test",
        "uncertainty_gy": 1.5, "metrics": (metric,), "constraints": constraints or (constraint(),), "curves": curves,
        "review_slice": 3,
    }  # fmt: skip
    return StructureDose(**{**common, **told})


def case(*structures, **told):
    common = {
        "subject": "a", "structures": structures or (structure(),), "constraint_set": "ours", "constraint_note": "",
        "not_there": ("Lens_L",), "maximum_gy": 70.0, "dose_kind": "physical", "dose_shape": (4, 5, 6),
        "dose_spacing_mm": (2.0, 2.0, 2.0), "interpolation": "linear", "raters": ("anna",), "members": ("m0", "m1"),
        "scores": (), "maps": (), "provenance": {}, "methods": "How it was done.",
    }  # fmt: skip
    return CaseDose(**{**common, **told})


VIEWER = {
    "overlays": [], "slices": [], "zoom": [0, 0, 1, 1], "pixel_mm": [1, 1], "precision": 10, "structures": [],
    "levels": [], "width": 1, "height": 1,
}  # fmt: skip


def panel(dose):
    content = dose_content(dose, VIEWER, {"Cord": "#56b4e9"})
    return _environment().get_template("case/dose.html.j2").render(**content)


def test_open_constraints_come_worst_first_and_settled_ones_not_at_all():
    lines = [
        line(subject="pass", verdict="pass", probability=0.0),
        line(subject="near", verdict="pass", probability=0.04, close=True),
        line(subject="lean", probability=0.2),
        line(subject="coin", probability=0.45),
        line(subject="fail", verdict="fail", probability=0.97, close=True),
    ]
    assert [one.subject for one in constraint_lines(lines)] == ["coin", "lean", "fail", "near"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"verdict": "undecided", "close": True}, ""),
        ({"verdict": "pass", "close": True, "sure": False}, "close to the limit"),
        ({"verdict": "pass", "sure": False, "n": 5}, "few members"),
        ({"verdict": "pass", "sure": False, "n": 20}, ""),
        ({"verdict": "fail"}, ""),
    ],
)
def test_what_stands_beside_a_verdict(told, words):
    assert certainty(line(**told)) == words


def test_a_requirement_as_people_write_it():
    assert requirement(line()) == "D2% < 45 Gy"
    assert requirement(line(text="V20Gy[%] <= 30", unit="%")) == "V20Gy ≤ 30 %"
    assert requirement(line(text="D95%[Gy] >= 70")) == "D95% ≥ 70 Gy"


def test_the_panel_says_verdict_probability_source_and_what_was_not_judged():
    html = panel(case(structure("Cord", constraint(checked=False))))
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
    for words in ("Undecided", "D2% < 45 Gy", "50 % [30 %–70 %], 10 of 20", "a test", "Written from memory", "Lens_L"):
        assert words in text, words
    assert "anna" in text
    assert "Research use only" in text


def test_text_stays_text():
    html = panel(case(structure(EVIL, constraint(source=EVIL)), raters=(EVIL,), constraint_note=EVIL, methods=EVIL))
    assert EVIL not in html
    assert "&lt;script&gt;" in html


def test_no_constraint_is_about_the_case():
    text = panel(case(structure("Cord", constraints=())))
    assert "No constraint of ours is about a structure of this case" in text


def test_the_figure_has_bands_lines_and_the_limit():
    drawn = str(dvh_chart(structure(), colour="#56b4e9"))
    for name in ("dvh-90", "dvh-50", "dvh-median", "dvh-nominal", "dvh-reference", "dvh-limit undecided"):
        assert f'class="{name}"' in drawn, name
    nothing = StructureDose(**{**{f: getattr(structure(), f) for f in structure().__slots__}, "curves": None})
    assert str(dvh_chart(nothing, colour="#56b4e9")) == ""


def test_a_mean_dose_limit_lies_at_the_axis_and_an_undefined_one_nowhere():
    mean = constraint(text="Mean[Gy] < 26", at_dose_gy=26.0, at_share=math.nan)
    nowhere = constraint(at_dose_gy=math.nan, at_share=math.nan)
    assert "dvh-limit" in str(dvh_chart(structure("Cord", mean), colour="#000"))
    assert "dvh-limit" not in str(dvh_chart(structure("Cord", nowhere), colour="#000"))


def test_slices_of_open_constraints_are_reviewed_first():
    settled = structure("Brain", constraint(verdict="pass"), uncertainty_gy=9.0, review_slice=8)
    waiting = structure("Cord", constraint(), uncertainty_gy=1.0, review_slice=3)
    unknown = structure("Lens", constraint(verdict="cannot_tell"), uncertainty_gy=math.nan, review_slice=None)
    assert review_slices(case(settled, waiting, unknown)) == (3, 8)
