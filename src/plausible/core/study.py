"""Case and Study: subjects with their members, image and references, loaded when asked for."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Num

from plausible.core.classes import Classes
from plausible.core.frame import FrameOfReference
from plausible.core.geometry import Geometry
from plausible.core.members import Members
from plausible.core.problems import Problem


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An image in memory: one or more channels on one grid, in the file's own intensities."""

    values: Num[np.ndarray, "c i j k"]
    geometry: Geometry
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One subject's image, members and references. Nothing is read before it is asked for.

    Attributes:
        subject: name of the case.
        classes: what the channels mean.
        load_image, load_members, load_raters: readers; None if there is no such thing.
        load_frame: reader of the frame of reference of its image; None where files do not say.
        accept: what of DICOM is accepted although it would be refused.
        files: name of each input file (or folder of DICOM files) and its path, for provenance.
    """

    subject: str
    classes: Classes
    load_image: Callable[[], Image] | None = None
    load_members: Callable[[], Members] | None = None
    load_raters: Callable[[], Members] | None = None
    load_frame: Callable[[], FrameOfReference] | None = None
    accept: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def image(self) -> Image | None:
        """Read the image, if there is one."""
        return self.load_image() if self.load_image else None

    def members(self) -> Members:
        """Return the members, lazy themselves.

        Raises:
            ValueError: the case has none.
        """
        if self.load_members is None:
            raise ValueError(f"{self.subject}: no members; predict them first (plausible predict)")
        return self.load_members()

    def frame(self) -> FrameOfReference | None:
        """Return the frame of reference of the image, if its files say which."""
        return self.load_frame() if self.load_frame else None

    def raters(self) -> Members | None:
        """Return the references as members, one per rater, if there are any."""
        return self.load_raters() if self.load_raters else None


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """Cases of one task, and the problems found on the way to them.

    Attributes:
        ensemble: what the members are together where that is known, e.g. "deep ensemble of 5".
    """

    name: str
    classes: Classes
    cases: tuple[Case, ...]
    problems: tuple[Problem, ...] = ()
    ensemble: str = ""

    def __len__(self) -> int:
        return len(self.cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)

    def case(self, subject: str) -> Case:
        """Case of this name.

        Raises:
            KeyError: there is none.
        """
        for case in self.cases:
            if case.subject == subject:
                return case
        raise KeyError(f"no case {subject!r} in {self.name}")

    def only(self, subjects: Collection[str]) -> "Study":
        """Return the study of only these subjects, in its own order."""
        return replace(self, cases=tuple(case for case in self.cases if case.subject in subjects))

    def part(self, part_id: int, *, num_parts: int) -> "Study":
        """Cases `part_id::num_parts`, as nnU-Net shares work between processes.

        Raises:
            ValueError: part_id is not in 0 .. num_parts - 1.
        """
        if not 0 <= part_id < num_parts:
            raise ValueError(f"--part-id {part_id} must lie in 0 .. {num_parts - 1} (--num-parts {num_parts})")
        return replace(self, cases=self.cases[part_id::num_parts])
