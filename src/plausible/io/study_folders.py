"""Where the parts of a study lie, and how one case of it is opened."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from plausible.core import (
    Case,
    Classes,
    FrameOfReference,
    Geometry,
    Image,
    InvalidInput,
    MemberInfo,
    Members,
    MemberSource,
    Problem,
)
from plausible.core.axes import axes_between
from plausible.core.members import FramedSource
from plausible.core.problems import ProblemWarning, locating
from plausible.io.dicom_files import Accept
from plausible.io.dicom_images import series_frame, series_geometry
from plausible.io.images import read_image
from plausible.io.member_folders import MemberFolder
from plausible.io.nifti import read_geometry
from plausible.io.nifti_members import LabelFileSource
from plausible.io.raw_dataset import read_reference


@dataclass(frozen=True, slots=True, eq=False)
class StudyFolders:
    """Where the parts of a study lie, before any case is opened; `inspect` looks at it, `read_study` makes cases of it.

    Attributes:
        name: of the study.
        members: one folder per member.
        images: files of each subject's channels.
        references: one folder per rater.
        agreed: what the channels mean, in the order of every member as it is handed out; None if nobody told.
        channels: names of the image's channels, where a dataset.json tells them.
        allow_missing: whether a case may lack members.
        accept: what of DICOM is accepted although it would be refused.
        problems: what was found wrong so far.
    """

    name: str
    members: tuple[MemberFolder, ...]
    images: Mapping[str, Sequence[Path]]
    references: Mapping[str, MemberFolder]
    agreed: Classes | None
    channels: tuple[str, ...]
    allow_missing: bool
    problems: tuple[Problem, ...]
    accept: tuple[Accept, ...] = ()

    @property
    def classes(self) -> Classes:
        """What the channels mean.

        Raises:
            ValueError: nobody told (E311 is among the problems).
        """
        if self.agreed is None:
            raise ValueError(f"{self.name}: the classes were not told")
        return self.agreed

    @property
    def subjects(self) -> tuple[str, ...]:
        """Cases of which at least one member has a prediction."""
        return tuple(sorted({subject for folder in self.members for subject in folder.cases}))

    @property
    def slab_axis(self) -> int:
        """Axis along which slabs are cheapest: the store is cut along i, all other files lie along k."""
        return 0 if all(folder.kind == "store" for folder in self.members) else 2

    def case(self, subject: str) -> Case:
        """Return one case, with nothing read yet."""
        images = self.images.get(subject)
        raters = [rater for rater, folder in self.references.items() if subject in folder.cases]
        return Case(
            subject,
            self.classes,
            load_image=(lambda: self.open_image(subject)) if images else None,
            load_members=lambda: self.open_members(subject),
            load_raters=(lambda: self.open_raters(subject)) if raters else None,
            accept=self.accept if self.accept and self._has_dicom(subject) else (),
            load_frame=(lambda: self._series_frame(subject)) if self._is_series(subject) else None,
            files=self.files(subject),
        )

    def files(self, subject: str) -> dict[str, str]:
        """Name of every input file of a case, as provenance calls it, and its path."""
        found = {f"image/{path.name}": path for path in self.images.get(subject, ())}
        for folder in (*self.members, *self.references.values()):
            found |= folder.files(subject)
        return {name: str(path) for name, path in found.items()}

    def open_image(self, subject: str) -> Image:
        """Read the image of a case; a DICOM series takes the order and direction of the members' axes.

        Raises:
            InvalidInput: what `read_image` finds.
        """
        paths = self.images[subject]
        with locating(subject=subject):
            onto = self.grid(subject)[0] if self._is_series(subject) else None
            return read_image(paths, channels=self.channels, subject=subject, accept=self.accept, onto=onto)

    def open_members(self, subject: str) -> Members:
        """Read the headers of all members of a case and check their grids.

        Raises:
            InvalidInput: E101 or E102 a file that is named wrongly or missing, E201 or E202 another grid than the image
                (or the first member), and what the readers find; subject and member are filled in.
        """
        for problem in self.problems:
            if problem.subject == subject and problem.severity == "error":
                raise InvalidInput(problem)
        sources, geometry = self._open([f for f in self.members if subject in f.cases], subject, what="member")
        sliceable = all(folder.kind == "store" for folder in self.members)
        return Members(geometry, self.classes, sources, subject, sliceable=sliceable, slab_axis=self.slab_axis)

    def open_raters(self, subject: str) -> Members:
        """Read the references of a case and check their grids; label maps are in memory then.

        Raises:
            InvalidInput: E201, E202, E303 and what the readers find.
        """
        folders = [folder for folder in self.references.values() if subject in folder.cases]
        sources, geometry = self._open(folders, subject, what="rater")
        drawn = next((one for one in self.members if one.kind == "dicom" and subject in one.cases), None)
        if drawn and any(isinstance(source, FramedSource) for source in sources) and not self._is_series(subject):
            opened = self.open_one(drawn, subject, grid=geometry, grid_name="the raters")
            self._check_together([one for one in (*opened, *sources) if isinstance(one, FramedSource)], subject)
        loaded = tuple(_in_memory(source, subject) for source in sources)
        return Members(geometry, self.classes, loaded, subject, sliceable=True, slab_axis=self.slab_axis)

    def grid(self, subject: str) -> tuple[Geometry, str]:
        """Return the grid that everything of a case must lie on: the image's, else the first member's; and its name.

        A DICOM series has no order of axes that every converter keeps: it takes the first member's, if that is a grid
        of the same voxels.

        Raises:
            InvalidInput: E204, E305 or E627; what `read_series` finds in the headers.
        """
        if subject not in self.images:
            having = [folder for folder in self.members if subject in folder.cases]
            first = next((folder for folder in having if folder.kind != "dicom"), having[0])
            return first.open(subject, classes=first.classes or self.classes)[1], f"member {first.id}"
        path = self.images[subject][0]
        with locating(subject=subject):
            if not path.is_dir():
                return read_geometry(path)[0], f"the image {path.name}"
            return self._turned(series_geometry(path, accept=self.accept), subject), "the image series"

    def _turned(self, series: Geometry, subject: str) -> Geometry:
        """The grid of a series, with the axes of the first member."""
        first = next((f for f in self.members if subject in f.cases and f.kind != "dicom"), None)
        if first is None or self.agreed is None:
            return series
        try:
            grid = first.open(subject, classes=first.classes or self.classes)[1]
            axes_between(series, grid)
        except InvalidInput:  # said where the member is opened, with both grids
            return series
        return grid

    def _has_dicom(self, subject: str) -> bool:
        folders = (*self.members, *self.references.values())
        return self._is_series(subject) or any(f.kind == "dicom" and subject in f.cases for f in folders)

    def _is_series(self, subject: str) -> bool:
        return subject in self.images and self.images[subject][0].is_dir()

    def _series_frame(self, subject: str) -> FrameOfReference:
        with locating(subject=subject):
            return series_frame(self.images[subject][0], accept=self.accept)

    def _open(
        self, folders: Sequence[MemberFolder], subject: str, *, what: str
    ) -> tuple[tuple[MemberSource, ...], Geometry]:
        grid, name = self.grid(subject)
        sources: list[MemberSource] = []
        for folder in folders:
            sources += self.open_one(folder, subject, grid=grid, grid_name=name, what=what)
        if not self._is_series(subject):  # each was compared with the image then
            self._check_together([source for source in sources if isinstance(source, FramedSource)], subject)
        return tuple(sources), grid

    def _check_together(self, sources: Sequence[FramedSource], subject: str) -> None:
        """Refuse contours of several patients or frames of reference, where no image says whose they should be."""
        for source in sources[1:]:
            first = replace(sources[0].frame_of_reference, others_accepted="other_frame" in self.accept)
            with locating(subject=subject, member=source.info.id):
                for problem in first.check_holds(source.frame_of_reference, what=source.info.id, of=sources[0].info.id):
                    warnings.warn(ProblemWarning(problem), stacklevel=2)

    def open_one(
        self, folder: MemberFolder, subject: str, *, grid: Geometry, grid_name: str, what: str = "member"
    ) -> tuple[MemberSource, ...]:
        """Read the headers of one member (or rater) of a case and check its grid against the case's.

        Raises:
            InvalidInput: E201, E202 and what the readers find.
        """
        own = self.classes if folder.kind == "dicom" else folder.classes or self.classes  # found by name
        frame = self._series_frame(subject) if folder.kind == "dicom" and self._is_series(subject) else None
        opened, geometry = folder.open(subject, classes=own, on=grid, frame=frame)
        file = next(iter(folder.cases[subject].values())).name
        with locating(member=folder.id):
            geometry.check_matches(grid, this=f"{what} {folder.id}", that=grid_name, subject=subject, file=file)
        return tuple(in_order(source, own, self.classes) for source in opened)


@dataclass(frozen=True, slots=True, eq=False)
class ReorderedSource:
    """A member whose channels are handed out in another order."""

    source: MemberSource
    channels: tuple[int, ...]
    info: MemberInfo = field(init=False)
    hard: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "info", self.source.info)
        object.__setattr__(self, "hard", self.source.hard)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Warnings of the member itself."""
        return problems_of((self.source,))

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Part of the member, its channels put in order."""
        return self.source.read(start, stop, axis=axis)[list(self.channels)]


def problems_of(sources: Sequence[MemberSource]) -> tuple[Problem, ...]:
    """Warnings that reading these members brought up so far, e.g. a postprocessed segmentation (E203)."""
    return tuple(problem for source in sources for problem in getattr(source, "problems", ()))


def in_order(source: MemberSource, own: Classes, wanted: Classes) -> MemberSource:
    """Return a source whose channels come in the wanted order; itself where they do already."""
    if own.names == wanted.names:
        return source
    return ReorderedSource(source, tuple(own.names.index(name) for name in wanted.names))


def _in_memory(source: MemberSource, subject: str) -> MemberSource:
    if isinstance(source, LabelFileSource) and source.frame is None:
        return read_reference(source.path, classes=source.classes, subject=subject, rater=source.info.id)[0]
    return source
