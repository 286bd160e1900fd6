"""Look at one case: its headers, or its voxels too, and every problem of each of its files."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from plausible.core import Geometry, InvalidInput, Members, MemberSource, Problem
from plausible.core.problems import ProblemWarning, located
from plausible.io.copies import copies_of_case
from plausible.io.images import read_image_geometry
from plausible.io.member_folders import MemberFolder
from plausible.io.nifti import ENDINGS, check_complete, read_geometry
from plausible.io.study_folders import StudyFolders, problems_of
from plausible.runs.inspection import CaseLine, Cell

IMAGE = "image"


@dataclass(slots=True)
class CaseLook:
    """What was seen of a case so far.

    Attributes:
        grid: grid that everything must lie on, and its name for messages.
        sources: members whose headers are fine.
        seen: structures that at least one member has.
        volumes_ml: volume of each structure that a rater's reference has, by rater.
        unread: members whose voxels could not be read.
    """

    subject: str
    grid: Geometry | None = None
    grid_name: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    sources: list[MemberSource] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    volumes_ml: dict[str, dict[str, float]] = field(default_factory=dict)
    unread: int = 0

    @contextmanager
    def noting(self, part: str) -> Iterator[None]:
        """Write down a problem of a part instead of stopping at it."""
        try:
            yield
        except InvalidInput as error:
            member = "" if part == IMAGE else part
            self.problems.append(located(error.problem, subject=self.subject, member=member))
            self.cells[part] = "problem"

    def line(self) -> CaseLine:
        """Return the line of the matrix."""
        return CaseLine(
            subject=self.subject,
            shape=self.grid.shape if self.grid else None,
            spacing_mm=self.grid.spacing_mm if self.grid else None,
            cells=self.cells,
        )

    def members(self, folders: StudyFolders) -> Members | None:
        """Return the members whose headers are fine; None if there are none."""
        if not self.sources or self.grid is None:
            return None
        sliceable = all(folder.kind == "store" for folder in folders.members)
        sources = tuple(self.sources)
        return Members(self.grid, folders.classes, sources, self.subject, sliceable, folders.slab_axis)


def look_at_case(folders: StudyFolders, subject: str, *, deep: bool) -> CaseLook:
    """Look at every file of a case; never stop at the first problem.

    Args:
        folders: the study.
        subject: the case.
        deep: read the voxels too, one member at a time.
    """
    look = CaseLook(subject)
    if folders.images:
        _look_at_image(folders, look, deep=deep)
    for folder in folders.members:
        _look_at_member(folders, folder, look, what="member", deep=deep)
    for folder in folders.references.values():
        _look_at_member(folders, folder, look, what="rater", deep=deep)
    look.problems += [p for p in copies_of_case(folders.members, subject) if not _known(p, folders)]
    if deep and look.sources and not look.unread:
        look.problems += [_empty(subject, name) for name in folders.classes.structures if name not in look.seen]
    return look


def _look_at_image(folders: StudyFolders, look: CaseLook, *, deep: bool) -> None:
    paths = folders.images.get(look.subject, ())
    look.cells[IMAGE] = "there" if paths else "missing"
    if not paths:
        return
    with look.noting(IMAGE):
        read_image_geometry(paths, channels=folders.channels, subject=look.subject, accept=folders.accept)
        look.grid, look.grid_name = folders.grid(look.subject)
    if deep and look.cells[IMAGE] == "there":
        with look.noting(IMAGE):
            folders.open_image(look.subject)


def _look_at_member(folders: StudyFolders, folder: MemberFolder, look: CaseLook, *, what: str, deep: bool) -> None:
    files = folder.cases.get(look.subject)
    look.cells[folder.id] = "there" if files else "missing"
    if not files:
        return
    if (folder.classes or folders.agreed) is None:
        _look_at_grid(folder, look, what=what)
        return
    if any(p.code == "E308" and p.member == folder.id and not p.subject for p in folders.problems):
        look.cells[folder.id] = "problem"  # other classes than the study's: told once for all cases
        look.unread += 1
        return
    sources: tuple[MemberSource, ...] = ()
    with look.noting(folder.id):
        if look.grid is None:
            look.grid = folder.open(look.subject, classes=folder.classes or folders.classes)[1]
            look.grid_name = f"{what} {folder.id}"
        sources = folders.open_one(folder, look.subject, grid=look.grid, grid_name=look.grid_name, what=what)
        for path in files.values():
            if path.name.endswith(ENDINGS):
                check_complete(path)
    fine = look.cells[folder.id] == "there" and folders.agreed is not None
    if what == "member" and fine:
        look.sources += sources
    if deep and fine:
        with look.noting(folder.id):
            _read(folders, sources, look, what=what)
    if what == "member" and look.cells[folder.id] != "there":
        look.unread += 1


def _look_at_grid(folder: MemberFolder, look: CaseLook, *, what: str) -> None:
    """Look at the grid of a member whose channels nobody explained."""
    with look.noting(folder.id):
        for path in folder.cases[look.subject].values():
            if not path.name.endswith(ENDINGS):
                continue
            geometry, _, _ = read_geometry(path)
            check_complete(path)
            if look.grid is None:
                look.grid, look.grid_name = geometry, f"{what} {folder.id}"
            geometry.check_matches(look.grid, this=f"{what} {folder.id}", that=look.grid_name, file=path.name)


def _read(folders: StudyFolders, sources: tuple[MemberSource, ...], look: CaseLook, *, what: str) -> None:
    """Read the voxels of a member's sources: their checks raise, and what they warn of is written down."""
    assert look.grid is not None, "a member that was opened has a grid"
    classes, axis = folders.classes, folders.slab_axis
    for source in sources:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ProblemWarning)
            values = source.read(0, look.grid.shape[axis], axis=axis)
        counts = classes.masks(values).reshape(len(classes.structures), -1).sum(axis=1)
        present = {name: int(n) for name, n in zip(classes.structures, counts, strict=True) if n}
        if what == "member":
            look.seen |= set(present)
        else:
            ml = look.grid.voxel_volume_ml
            look.volumes_ml[source.info.id] = {name: n * ml for name, n in present.items()}
    look.problems += [located(problem, subject=look.subject) for problem in problems_of(sources)]


def _known(copy: Problem, folders: StudyFolders) -> bool:
    """Whether the member is a copy in every case, which is told once for the study, or may rightly agree."""
    of_study = {p.member for p in folders.problems if p.code == "E105"}
    hard = {f.id for f in folders.members if f.kind in {"nifti", "structures"} and f.told.values in {None, "labels"}}
    return copy.member in of_study | hard


def _empty(subject: str, structure: str) -> Problem:
    return Problem(
        code="E306",
        subject=subject,
        severity="note",
        found=f"no member has {structure}",
        expected="nothing, if the structure lies outside the image or was removed",
        fix=f"look at this case; numbers of {structure} are undefined there and left out of means",
    )
