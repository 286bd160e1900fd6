"""JSON of the reports: written, read back, and described by a schema that ships with the package."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from plausible.core import SCHEMA_VERSION
from plausible.io.atomic import plain_json
from plausible.report.dose_model import CaseDose
from plausible.report.model import CaseReport, CohortReport

Report = TypeVar("Report", CaseReport, CohortReport, CaseDose)
REPORTS: Mapping[str, type[CaseReport] | type[CohortReport] | type[CaseDose]] = {
    "case": CaseReport,
    "cohort": CohortReport,
    "dose": CaseDose,
}


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of case.json, cohort.json or dose.json.

    Raises:
        ValueError: a kind that is no report.
    """
    if kind not in REPORTS:
        raise ValueError(f"no report {kind!r}; there are: {', '.join(REPORTS)}")
    described = TypeAdapter(REPORTS[kind]).json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:plausible:schema:{kind}:{SCHEMA_VERSION}",
        **described,
    }


def to_json(report: CaseReport | CohortReport | CaseDose) -> str:
    """Write a report as JSON; NaN and infinity become null."""
    return json.dumps(plain_json(asdict(report)), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def case_from_json(text: str) -> CaseReport:
    """Read case.json.

    Raises:
        ValueError: no such report, or one of another major schema version.
    """
    return _read(text, CaseReport, "case")


def cohort_from_json(text: str) -> CohortReport:
    """Read cohort.json.

    Raises:
        ValueError: no such report, or one of another major schema version.
    """
    return _read(text, CohortReport, "cohort")


def dose_from_json(text: str) -> CaseDose:
    """Read dose.json.

    Raises:
        ValueError: no such report, or one of another major schema version.
    """
    return _read(text, CaseDose, "dose")


def _read(text: str, kind: type[Report], name: str) -> Report:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}.json is not JSON: {error}; write it again with `plausible assess`") from error
    version = str(content.get("schema_version", "")) if isinstance(content, dict) else ""
    if version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise ValueError(
            f"{name}.json has schema version {version or 'none'}, this version of plausible reads "
            f"{SCHEMA_VERSION}; assess the case again"
        )
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{name}.json does not fit its schema at {place}: {first['msg']}") from error
