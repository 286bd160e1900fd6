"""Against what is a case scored: each rater, a consensus of all, or one rater at random? Decided here, and named.

A choice turns the raters into the references, which are members again; their names are the rows' `against`: "rater_2",
"consensus_majority", "random:rater_2". Anything that is no choice is taken as the name of a rater. What is scored
against different choices is never averaged; against different raters it is.

A consensus is a label map that nobody drew: smoother than any rater, and raters look better against it than against
each other. One rater is its own consensus.

Sources: Warfield et al. 2004, doi:10.1109/TMI.2004.828354 (STAPLE).
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from plausible.aggregate import majority_vote, staple
from plausible.core import Catalogue, InvalidInput, Member, MemberInfo, Members, Problem, Score
from plausible.core.members import ArraySource, MemberSource
from plausible.evaluate.case import ENSEMBLE

EACH = "each"
ALL_RATERS = "all_raters"
CONSENSUS = "consensus_"

Reference: TypeAlias = Callable[..., Members]

REFERENCES: Catalogue[Reference] = Catalogue("reference")


@REFERENCES.add(unit="1", higher_is="neither", source="every rater is right in turn")
def each(raters: Members, *, seed: int, slab_voxels: int | None = None) -> Members:
    """Every rater in turn; a case's scores are averaged over them."""
    return raters


@REFERENCES.add(unit="1", higher_is="neither", source="a rater drawn by seed and subject", label="one rater at random")
def random(raters: Members, *, seed: int, slab_voxels: int | None = None) -> Members:
    """One rater, drawn by seed and name of the case: the same whatever the order of cases and raters."""
    names = sorted(info.id for info in raters.infos)
    digest = hashlib.sha256(f"{seed}/{raters.subject}".encode()).digest()
    drawn = names[int(np.random.default_rng(list(digest)).integers(len(names)))]
    (source,) = raters.select([drawn]).sources
    return replace(raters, sources=(_Renamed(source, replace(source.info, id=f"random:{drawn}")),))


@REFERENCES.add(unit="1", higher_is="neither", source="majority vote; ties to the background")
def consensus_majority(raters: Members, *, seed: int, slab_voxels: int | None = None) -> Members:
    """What most raters say; a voxel with as many for as against is background, so two raters give what they share."""
    pooled = majority_vote(raters, ties="background", slab_voxels=slab_voxels)
    return _consensus(pooled, raters, consensus_majority.__name__)


@REFERENCES.add(
    unit="1", higher_is="neither", source="majority vote; ties to the structure", label="consensus, ties inside"
)
def consensus_majority_ties_inside(raters: Members, *, seed: int, slab_voxels: int | None = None) -> Members:
    """What at least half of the raters say; two raters give what either marks."""
    pooled = majority_vote(raters, ties="foreground", slab_voxels=slab_voxels)
    return _consensus(pooled, raters, consensus_majority_ties_inside.__name__)


@REFERENCES.add(
    unit="1", higher_is="neither", source="Warfield et al. 2004, doi:10.1109/TMI.2004.828354", label="STAPLE consensus"
)
def consensus_staple(raters: Members, *, seed: int, slab_voxels: int | None = None) -> Members:
    """Most probable class of the STAPLE estimate, which weighs raters by how well they find it; for three or more."""
    if len(raters) == 1:
        return _consensus(next(iter(raters)), raters, consensus_staple.__name__)
    return _consensus(staple(raters, slab_voxels=slab_voxels), raters, consensus_staple.__name__)


def references_of(
    raters: Members, choices: Sequence[str], *, seed: int = 0, subject: str = "", slab_voxels: int | None = None
) -> Members:
    """Return what a case is scored against; a reference that two choices give is in it once.

    Args:
        raters: the raters of one case.
        choices: names of `REFERENCES`, or of raters.
        seed: of the choice "random".
        subject: name of the case; the raters' own if empty.
        slab_voxels: read raters in slabs of about this many voxels.

    Raises:
        InvalidInput: E106, a choice that is neither known nor a rater of this case.
        ValueError: no choice.
    """
    if not choices:
        raise ValueError(f"no reference chosen; there are: {', '.join(REFERENCES.names)}, and the names of raters")
    named = replace(raters, subject=subject or raters.subject)
    found: dict[str, MemberSource] = {}
    for choice in choices:
        if choice in REFERENCES:
            chosen = REFERENCES[choice].function(named, seed=seed, slab_voxels=slab_voxels)
        else:
            chosen = named.select([_known_rater(named, choice)])
        for source in chosen.sources:
            found.setdefault(source.info.id, source)
    return replace(named, sources=tuple(found.values()))


def reference_kind(against: str) -> str:
    """Choice that a row's `against` comes from: a rater's name is "each", "3_raters" (scores of sets) "all_raters"."""
    name = against.partition(":")[0]
    if name in REFERENCES:
        return name
    return ALL_RATERS if re.fullmatch(r"\d+_raters", name) else EACH


def primary_kind(rows: Iterable[Score]) -> str:
    """Kind of the first choice: what curves, headlines and comparisons read where there are several."""
    kinds = (reference_kind(row.against) for row in rows if row.against and row.reduction == ENSEMBLE)
    return next((kind for kind in kinds if kind != ALL_RATERS), EACH)


def of_primary(rows: Sequence[Score]) -> list[Score]:
    """Rows against the first choice of reference, against all raters at once, and against none."""
    kept = ("", ALL_RATERS, primary_kind(rows))
    return [row for row in rows if (reference_kind(row.against) if row.against else "") in kept]


@dataclass(frozen=True, slots=True)
class _Renamed:
    """A rater under another name."""

    source: MemberSource
    info: MemberInfo

    @property
    def hard(self) -> bool:
        """Whether it is a label map."""
        return self.source.hard

    def read(self, start: int, stop: int, *, axis: int) -> np.ndarray:
        """Read the rater."""
        return self.source.read(start, stop, axis=axis)


def _consensus(pooled: Member, raters: Members, name: str) -> Members:
    """Masks of a pool as the only reference, one byte per voxel and class."""
    masks = pooled.classes.masks(pooled.probabilities)
    if pooled.classes.exclusive:
        masks = np.concatenate([~masks.any(axis=0, keepdims=True), masks])
    info = MemberInfo(id=name, kind="consensus", method=name)
    return replace(raters, sources=(ArraySource(masks.view(np.uint8), info, hard=True),), sliceable=True)


def _known_rater(raters: Members, name: str) -> str:
    ids = [info.id for info in raters.infos]
    if name in ids:
        return name
    raise InvalidInput(
        Problem(
            code="E106",
            subject=raters.subject,
            member=name,
            found=f"no rater of the name {name}; this case has {', '.join(ids)}",
            expected=f"a rater of this case, or one of {', '.join(REFERENCES.names)}",
            fix="choose another --reference, or leave this case out",
        )
    )
