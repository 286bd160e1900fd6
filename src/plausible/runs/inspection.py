"""What `plausible inspect` found: what lies there, which member has which case, the memory needed, every problem."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from plausible.core import Classes, Problem
from plausible.io.recognise import FOLDER_KINDS, FolderKind
from plausible.io.store import classes_to_dict
from plausible.runs.memory import MemoryNeed

Role = Literal["member", "image", "reference"]
Cell = Literal["there", "missing", "problem"]
"""A file of a case: fine as far as it was looked at, not there, or with a problem that stops the case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One folder of a study: a member, the images, or a rater's references.

    Attributes:
        id: name of the member or rater; "image" for the images.
        kind: what lies there, in words.
        n_cases: cases of which it has files.
        source: what made the member, where it is known ("seed 3", "fold 0").
    """

    id: str
    role: Role
    kind: str
    n_cases: int
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLine:
    """One line of the matrix of cases and members.

    Attributes:
        shape, spacing_mm: grid of the case; None if no file of it could be read.
        cells: by part.
    """

    subject: str
    shape: tuple[int, int, int] | None
    spacing_mm: tuple[float, float, float] | None
    cells: Mapping[str, Cell]

    @property
    def whole(self) -> bool:
        """Whether everything is there and fine."""
        return all(cell == "there" for cell in self.cells.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What lies in a folder and what is wrong with it.

    Attributes:
        name: of the folder or study.
        kind: what was recognised.
        deep: whether voxels were read, or headers only.
        classes: what the channels mean; None if nobody told, or where it has no meaning.
        channels: names of the image's channels, where they are told.
        facts: what else there is to say, by name.
        memory: need of the largest case; None without members.
        problems: errors that stop a case, warnings, notes; in this order.
    """

    name: str
    kind: FolderKind
    deep: bool = False
    parts: tuple[Part, ...] = ()
    cases: tuple[CaseLine, ...] = ()
    classes: Classes | None = None
    channels: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    memory: MemoryNeed | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def recognised(self) -> str:
        """What was recognised, in words."""
        return FOLDER_KINDS[self.kind]

    @property
    def n_errors(self) -> int:
        """Problems that stop a case or the study."""
        return sum(problem.severity == "error" for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "recognised": self.recognised,
            "deep": self.deep,
            "parts": [
                {"id": p.id, "role": p.role, "kind": p.kind, "n_cases": p.n_cases, "source": p.source}
                for p in self.parts
            ],
            "classes": classes_to_dict(self.classes) if self.classes else None,
            "channels": list(self.channels),
            "facts": dict(self.facts),
            "cases": [
                {
                    "subject": line.subject,
                    "shape": list(line.shape) if line.shape else None,
                    "spacing_mm": list(line.spacing_mm) if line.spacing_mm else None,
                    "cells": dict(line.cells),
                }
                for line in self.cases
            ],
            "memory": self.memory.to_dict() if self.memory else None,
            "problems": [problem.to_dict() for problem in self.problems],
        }

    def text(self, width: int = 100) -> str:
        """Return everything as plain text for a terminal of this width."""
        from plausible.runs.inspection_text import render

        return render(self, width=width)
