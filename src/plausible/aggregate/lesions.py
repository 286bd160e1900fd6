"""Which lesions do the members find, and do they agree on their shape? Components of the consensus, member by member.

Lesions are the connected components of the consensus, the segmentation of the mean probability. In each member a lesion
is matched to the member's own components that share a voxel with it, by one of two rules, named apart: the *single*
component with the largest IoU, or the *union* of all that touch. A component that bridges two lesions is matched to
both. What a member finds where the consensus has nothing belongs to no lesion and is counted apart.

Components do not add up over slabs, so whole members are compared, in a walk of their own after the consensus is known.
With masks of member-specific thresholds the same functions give the LSU+ of Molchanova et al.

One member agrees with itself: NaN. Sources: Molchanova et al. 2025, arXiv:2311.08931 (LSU, DDU).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from plausible.aggregate.components import Components, connected_components
from plausible.aggregate.regions import CaseMasks, box_around
from plausible.core import Catalogue, Members


@dataclass(frozen=True, slots=True, eq=False)
class LesionMatches:
    """How each lesion of one structure is found by each member.

    Attributes:
        structure: organ or target.
        connectivity: neighbours that make one component: 6, 18 or 26.
        members: names of the members.
        voxels: voxels of each lesion, largest first.
        iou_largest: IoU of a lesion with the member's single component that has the largest; 0 if none touches it.
        iou_union: IoU of a lesion with the union of the member's components that touch it; 0 if none does.
        n_components: components of each member.
        n_outside: of these, the ones that touch no lesion.
    """

    structure: str
    connectivity: int
    members: tuple[str, ...]
    voxels: Int64[np.ndarray, " l"]
    iou_largest: Float64[np.ndarray, "m l"]
    iou_union: Float64[np.ndarray, "m l"]
    n_components: Int64[np.ndarray, " m"]
    n_outside: Int64[np.ndarray, " m"]

    @classmethod
    def of(
        cls, lesions: Components, mask: Bool[np.ndarray, "i j k"], *, structure: str, member: str
    ) -> "LesionMatches":
        """Match the lesions of the consensus in the mask of one member."""
        box = box_around(mask)
        own = connected_components(mask[box], connectivity=lesions.connectivity)
        largest, union, touching = _match(lesions, own, lesions.labels[box])
        n_own = len(own.voxels)
        return cls(
            structure,
            lesions.connectivity,
            (member,),
            lesions.voxels,
            largest[np.newaxis],
            union[np.newaxis],
            np.array([n_own], dtype=np.int64),
            np.array([n_own - touching], dtype=np.int64),
        )

    def merge(self, other: "LesionMatches") -> "LesionMatches":
        """Return the matches in the members of both.

        Raises:
            ValueError: lesions of another structure, connectivity or consensus.
        """
        same = (self.structure, self.connectivity) == (other.structure, other.connectivity)
        if not same or not np.array_equal(self.voxels, other.voxels):
            raise ValueError(f"lesions of {other.structure} are others than those of {self.structure}")
        return LesionMatches(
            self.structure,
            self.connectivity,
            self.members + other.members,
            self.voxels,
            np.concatenate([self.iou_largest, other.iou_largest]),
            np.concatenate([self.iou_union, other.iou_union]),
            np.concatenate([self.n_components, other.n_components]),
            np.concatenate([self.n_outside, other.n_outside]),
        )


def lesion_matches(members: Members, masks: CaseMasks, *, connectivity: int) -> list[LesionMatches]:
    """Walk over the members and match the lesions of every structure in each; one member is in memory at a time.

    Args:
        members: the plausible segmentations.
        masks: the consensus, in `predicted`.
        connectivity: neighbours that make one lesion: 6 (faces), 18 (edges) or 26 (corners).

    Raises:
        ValueError: a connectivity that is not one of these.
    """
    lesions = [connected_components(mask, connectivity=connectivity) for mask in masks.predicted]
    found: list[LesionMatches] = []
    for member in members:
        own = member.classes.masks(member.probabilities)
        new = [
            LesionMatches.of(one, mask, structure=name, member=member.info.id)
            for one, mask, name in zip(lesions, own, masks.structures, strict=True)
        ]
        found = [a.merge(b) for a, b in zip(found, new, strict=True)] if found else new
    return found


LesionScore: TypeAlias = Callable[[LesionMatches], np.ndarray]

LESION_SCORES: Catalogue[LesionScore] = Catalogue("lesion score")


@LESION_SCORES.add(unit="1", higher_is="neither", source="share of the members that find it")
def existence_probability(matches: LesionMatches) -> Float[np.ndarray, " l"]:
    """Share of the members that find the lesion: with a component that shares at least one voxel. From 0 to 1."""
    return _several(matches, (matches.iou_largest > 0).mean(axis=0))


@LESION_SCORES.add(
    unit="1",
    higher_is="worse",
    source="Molchanova et al. 2025, arXiv:2311.08931",
    label="detection disagreement",
)
def detection_disagreement(matches: LesionMatches) -> Float[np.ndarray, " l"]:
    """Share of the members that miss the lesion (DDU): 1 - existence probability, from 0 to 1."""
    return 1 - existence_probability(matches)


@LESION_SCORES.add(
    unit="1",
    higher_is="worse",
    source="Molchanova et al. 2025, arXiv:2311.08931; the component of largest IoU",
    label="lesion uncertainty, largest IoU",
)
def lesion_structural_uncertainty(matches: LesionMatches) -> Float[np.ndarray, " l"]:
    """How little of the lesion's shape the members share (LSU), by the single component with the largest IoU.

    1 - (1/M) Σ_m IoU(lesion, its component in member m), from 0 (all the same) to 1 (no member finds it).
    """
    return _several(matches, 1 - matches.iou_largest.mean(axis=0))


@LESION_SCORES.add(
    unit="1",
    higher_is="worse",
    source="Molchanova et al. 2025, arXiv:2311.08931; the union of touching components",
    label="lesion uncertainty, union",
)
def lesion_structural_uncertainty_union(matches: LesionMatches) -> Float[np.ndarray, " l"]:
    """How little of the lesion's shape the members share (LSU), by the union of all components that touch it.

    Differs from the largest IoU where a member breaks the lesion into pieces. From 0 to 1.
    """
    return _several(matches, 1 - matches.iou_union.mean(axis=0))


DetectionScore: TypeAlias = Callable[[LesionMatches], float]

DETECTION_SCORES: Catalogue[DetectionScore] = Catalogue("detection score")


@DETECTION_SCORES.add(unit="lesions", higher_is="neither", source="count of connected components")
def lesion_count(matches: LesionMatches) -> float:
    """Lesions of the consensus; 0 if it has none."""
    return float(len(matches.voxels))


@DETECTION_SCORES.add(unit="lesions", higher_is="neither", source="arithmetic mean", label="lesions per member")
def mean_lesion_count(matches: LesionMatches) -> float:
    """Components that a member has on average, whether the consensus has them or not."""
    return float(matches.n_components.mean())


@DETECTION_SCORES.add(unit="lesions", higher_is="worse", source="sample standard deviation", label="SD of lesions")
def lesion_count_sd(matches: LesionMatches) -> float:
    """Standard deviation over the members of their number of components; NaN for a single member."""
    return float(matches.n_components.std(ddof=1)) if len(matches.members) > 1 else np.nan


@DETECTION_SCORES.add(unit="lesions", higher_is="neither", source="expectation of a sum", label="lesions expected")
def expected_lesion_count(matches: LesionMatches) -> float:
    """Lesions of the consensus, each counted by its existence probability; NaN for a single member."""
    return float(existence_probability(matches).sum()) if len(matches.members) > 1 else np.nan


@DETECTION_SCORES.add(unit="lesions", higher_is="worse", source="components that touch no lesion of the consensus")
def lesions_outside_consensus(matches: LesionMatches) -> float:
    """Components of a member, on average, that touch no lesion of the consensus; NaN for a single member."""
    return float(matches.n_outside.mean()) if len(matches.members) > 1 else np.nan


@DETECTION_SCORES.add(unit="1", higher_is="worse", source="Molchanova et al. 2025, arXiv:2311.08931")
def mean_detection_disagreement(matches: LesionMatches) -> float:
    """Detection disagreement, averaged over the lesions of the consensus; NaN without any."""
    return _mean(detection_disagreement(matches))


@DETECTION_SCORES.add(unit="1", higher_is="worse", source="Molchanova et al. 2025, arXiv:2311.08931")
def mean_lesion_structural_uncertainty(matches: LesionMatches) -> float:
    """Lesion structural uncertainty by largest IoU, averaged over the lesions of the consensus; NaN without any."""
    return _mean(lesion_structural_uncertainty(matches))


def _match(
    lesions: Components, own: Components, labels: np.ndarray
) -> tuple[Float64[np.ndarray, " l"], Float64[np.ndarray, " l"], int]:
    """Return the IoU of each lesion by both rules, and how many of the member's components touch any."""
    both = (labels > 0) & (own.labels > 0)
    n, n_own = len(lesions.voxels), len(own.voxels)
    pairs = (labels[both].astype(np.int64) - 1) * n_own + (own.labels[both] - 1)
    found, shared = np.unique(pairs, return_counts=True)
    lesion, component = np.divmod(found, max(n_own, 1))
    largest = np.zeros(n)
    np.maximum.at(largest, lesion, shared / (lesions.voxels[lesion] + own.voxels[component] - shared))
    inside = np.bincount(lesion, weights=shared, minlength=n)
    whole = np.bincount(lesion, weights=own.voxels[component], minlength=n)
    return largest, inside / (lesions.voxels + whole - inside), len(np.unique(component))


def _several(matches: LesionMatches, values: Float[np.ndarray, " l"]) -> Float[np.ndarray, " l"]:
    return values if len(matches.members) > 1 else np.full_like(values, np.nan)


def _mean(values: Float[np.ndarray, " l"]) -> float:
    return float(values.mean()) if values.size else np.nan
