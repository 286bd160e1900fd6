import json
import math
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest

from plausible.report import Interval, case_from_json, cohort_from_json, schema, to_json
from tests.report.examples import cohort


@pytest.mark.parametrize("kind", ["case", "cohort", "dose"])
def test_shipped_schema_is_that_of_the_code(kind: str) -> None:
    shipped = (files("plausible.report") / "schemas" / f"{kind}.schema.json").read_text("utf-8")
    assert json.loads(shipped) == schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema(kind))


def test_a_case_fits_its_schema_and_comes_back(case_example) -> None:
    text = to_json(case_example.report)
    jsonschema.validate(json.loads(text), schema("case"))
    assert case_from_json(text) == case_example.report


def test_a_cohort_fits_its_schema_and_comes_back() -> None:
    text = to_json(cohort(3))
    jsonschema.validate(json.loads(text), schema("cohort"))
    assert cohort_from_json(text) == cohort(3)


def test_undefined_numbers_are_null_in_json(case_example) -> None:
    first = replace(
        case_example.report.structures[0],
        expected_volume_ml=math.nan,
        member_volumes_ml=(1.5, math.nan),
        volume_ml=Interval(value=math.nan, low=-math.inf, high=None),
    )
    report = replace(case_example.report, structures=(first,), scores=({"measure": "dice", "value": math.nan},))
    content = json.loads(to_json(report))
    jsonschema.validate(content, schema("case"))
    written = content["structures"][0]
    assert written["expected_volume_ml"] is None
    assert written["member_volumes_ml"] == [1.5, None]
    assert written["volume_ml"]["value"] is None
    assert written["volume_ml"]["low"] is None
    assert content["scores"] == [{"measure": "dice", "value": None}]
    back = case_from_json(json.dumps(content)).structures[0]
    assert math.isnan(back.expected_volume_ml)
    assert back.member_volumes_ml[0] == 1.5
    assert math.isnan(back.member_volumes_ml[1])


def test_the_schema_refuses_what_is_no_report(case_example) -> None:
    content = json.loads(to_json(case_example.report))
    content["verdict"]["state"] = "maybe"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema("case"))
    with pytest.raises(ValueError, match=r"case.json does not fit its schema at verdict.state"):
        case_from_json(json.dumps(content))


def test_later_minor_versions_are_read_other_major_versions_refused(case_example) -> None:
    content = json.loads(to_json(case_example.report))
    later = {**content, "schema_version": "1.7", "new_in_1_7": 3}
    assert case_from_json(json.dumps(later)).subject == case_example.report.subject
    with pytest.raises(ValueError, match=r"schema version 2\.0"):
        case_from_json(json.dumps({**content, "schema_version": "2.0"}))


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"subject": "a"}'])
def test_what_is_no_report_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"cohort\.json"):
        cohort_from_json(text)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="case, cohort"):
        schema("patient")
