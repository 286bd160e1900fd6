"""A small study on disk with members, images and references, and one in memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plausible.core import Case, Classes, Geometry, Members, Study
from tests.io.folders import images_and_labels, nnunet_study, probabilities

SHAPE = (7, 5, 3)
SUBJECTS = ("case_a", "case_b", "case_c")
LIMIT = ("--review-below", "0.3")


@dataclass(frozen=True)
class OnDisk:
    """Where the parts of a study lie, and the results beside them."""

    root: Path

    @property
    def members(self) -> Path:
        return self.root / "members"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def references(self) -> Path:
        return self.root / "labels"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def line(self) -> tuple[object, ...]:
        """Options of assess and evaluate."""
        return ("-i", self.members, "-o", self.out, "--images", self.images, "-q")

    @property
    def scored_line(self) -> tuple[object, ...]:
        """The same with references."""
        return (*self.line, "--references", self.references)


def small_grid(geometry: Geometry) -> Geometry:
    """The oblique grid of the tests with fewer slices, so that pages are drawn quickly."""
    return Geometry(SHAPE, geometry.affine)


def write_study(root: Path, geometry: Geometry, classes: Classes) -> OnDisk:
    """Three members of three cases with images and references."""
    grid = small_grid(geometry)
    nnunet_study(root / "members", classes, grid, subjects=SUBJECTS)
    images_and_labels(root, grid, classes, subjects=SUBJECTS)
    return OnDisk(root)


def random_members(
    geometry: Geometry, classes: Classes, *, n_members: int = 3, absent: dict[str, tuple[int, ...]] | None = None
) -> Members:
    """Members without anything in common; `absent` names the members that lack a structure."""
    arrays = [probabilities(classes, geometry.shape, seed=m).astype(np.float32) for m in range(n_members)]
    for structure, lacking in (absent or {}).items():
        for m in lacking:
            arrays[m][classes.channel(structure)] = 0
            arrays[m] /= arrays[m].sum(axis=0) if classes.exclusive else 1
    return Members.from_arrays(arrays, geometry=geometry, classes=classes, subject="case_a")


def study_of(members: Members) -> Study:
    """The study of one case that these members are of."""
    return Study("memory", members.classes, (Case("case_a", members.classes, load_members=lambda: members),))
