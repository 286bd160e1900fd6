"""A case's diversity on disk: counts, rows and the design, so that a study can be pooled again without its images."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from plausible.core import InvalidInput, Problem, Score
from plausible.diversity.case import CaseDiversity, MeasuredPart
from plausible.diversity.design import SourceDesign
from plausible.diversity.pairwise import from_dict, to_dict
from plausible.io.rows import ENCODING
from plausible.runs.evaluation import row_from_dict

MEMBER = "member"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDiversity:
    """What is kept of a case.

    Attributes:
        members: names.
        parts: counts that measures are read from.
        rows: losses taken apart, and variance by source.
        design: the grid of sources in words; empty without one.
        left_out: members outside of it.
        undefined: sources with one level.
        no_design: why there is no grid; empty where there is one.
        trials: what differs between repeated trainings; empty without.
        maps: files of maps.
    """

    subject: str
    members: tuple[str, ...]
    parts: tuple[MeasuredPart, ...]
    rows: tuple[Score, ...]
    design: str
    left_out: tuple[str, ...]
    undefined: tuple[str, ...]
    no_design: str
    trials: str
    maps: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: CaseDiversity, *, maps: tuple[str, ...] = ()) -> "StoredDiversity":
        """Return what is kept of what was measured."""
        design: SourceDesign | None = found.design
        missing = found.no_design
        return cls(
            subject=found.subject,
            members=tuple(info.id for info in found.members),
            parts=found.parts,
            rows=found.rows,
            design=design.told if design else "",
            left_out=design.left_out if design else (),
            undefined=design.undefined if design else (),
            no_design=f"{missing.code} {missing.title}: {missing.found}" if missing else "",
            trials=found.trials,
            maps=maps,
        )

    def to_dict(self, made: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of the case's file."""
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        parts = [
            {"structure": p.structure, "region": p.region, "against": p.against, "counts": to_dict(p.counts)}
            for p in self.parts
        ]
        return {**told, "parts": parts, "rows": [row.to_dict() for row in self.rows], "provenance": dict(made)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "StoredDiversity":
        """Read the content of the case's file."""
        parts = [MeasuredPart(**{**part, "counts": from_dict(part["counts"])}) for part in content["parts"]]
        rows = tuple(row_from_dict(row) for row in content["rows"])
        told = {f.name: content[f.name] for f in fields(cls)}
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
        }
        plain |= {"parts": tuple(parts), "rows": rows}
        return cls(**plain)


def read_design(path: Path) -> dict[str, dict[str, str]]:
    """Read which level of each source a member has: a table with the column member and one per source.

    Raises:
        InvalidInput: E408, no such column, no source, an empty field, or a member twice.
    """
    try:
        with path.open(encoding=ENCODING, newline="") as file:
            lines = [{name: (value or "").strip() for name, value in row.items()} for row in csv.DictReader(file)]
        found = {line.pop(MEMBER): line for line in lines}
        if len(found) < len(lines) or not found or not all(found) or not all(line for line in found.values()):
            raise ValueError("a member twice or without a name, no line, or no source")
        empty = [member for member, line in found.items() if not all(line.values())]
        if empty:
            raise ValueError(f"an empty field for {', '.join(empty)}")
    except (OSError, KeyError, ValueError, AttributeError, csv.Error) as error:
        raise InvalidInput(
            Problem(
                code="E408",
                file=path.name,
                found=f"{type(error).__name__}: {str(error).replace(str(path), path.name)}",
                expected="a table with the column member and a column per source (fold, seed, rater, ...)",
                fix="write the table with a first line such as member,fold,seed and a line per member",
            )
        ) from error
    return found
