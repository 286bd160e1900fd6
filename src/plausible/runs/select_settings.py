"""What `plausible select` is told."""

from dataclasses import dataclass
from typing import Literal

from plausible.core import InvalidInput, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectSettings:
    """How members are chosen and judged.

    Attributes:
        rule: rule that chooses, given once or several times; several share the error of the verdicts.
        score: error that is made small on the selection cases.
        members: how many members to choose.
        baseline: what the choice is judged against: the first so many members, or all.
        margin_mm: how far around what any member or rater marks the background counts.
        max_voxels: keep a sample of so many voxels per case, for large images.
        member_tolerance: how much worse the mean member may be, as a share.
        silent_tolerance: how much more often all may agree and be wrong, as a share.
        level: of the intervals.
        resamples: draws of each interval.
        prune_tolerance: look for the smallest subset whose score is at most so much worse than that of all members.
        flag_below: mean pairwise Dice that flags a case; measures what stopping early would change.
    """

    rule: tuple[str, ...] = ("greedy",)
    score: str = "negative_log_likelihood"
    members: int = 5
    baseline: Literal["first", "all"] = "first"
    margin_mm: float = 5.0
    max_voxels: int | None = None
    member_tolerance: float = 0.05
    silent_tolerance: float = 0.05
    level: float = 0.95
    resamples: int = 10_000
    prune_tolerance: float | None = None
    flag_below: float | None = None

    def __post_init__(self) -> None:
        if not (self.rule and self.margin_mm >= 0 and 0 < self.level < 1 and self.resamples >= 100):
            raise ValueError(
                "give one rule or more, margin_mm of at least 0, a level between 0 and 1 and at least 100 resamples, "
                f"got {', '.join(self.rule)}, {self.margin_mm}, {self.level} and {self.resamples}"
            )


def split_cases(
    subjects: tuple[str, ...],
    owners: dict[str, str],
    *,
    selection: tuple[str, ...] | None,
    test: tuple[str, ...] | None,
    seed: int,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the cases to choose on and those to judge on.

    Args:
        subjects: cases with references.
        owners: patient of each case.
        selection: told cases to choose on; None takes all others, or half of the patients if `test` is None too.
        test: told cases to judge on; None takes all others.
        seed: of that split.

    Raises:
        InvalidInput: E414, a case or a patient in both; E416, none to choose on, or fewer than two to judge on.
    """
    import numpy as np

    if selection is None and test is None:
        patients = sorted({owners[one] for one in subjects})
        order = np.random.default_rng(seed).permutation(len(patients))
        chosen = {patients[n] for n in order[: len(patients) // 2]}
        selection = tuple(one for one in subjects if owners[one] in chosen)
    first = tuple(one for one in subjects if (one in selection if selection is not None else one not in (test or ())))
    second = tuple(one for one in subjects if (one in test if test is not None else one not in first))
    both = {owners[one] for one in first} & {owners[one] for one in second}
    if both:
        raise InvalidInput(
            Problem(
                code="E414",
                found=f"{len(both)} patients to choose on and to judge on, such as {sorted(both)[0]}",
                expected="no patient in both",
                fix="--selection-cases and --test-cases without a common patient, or neither",
            )
        )
    if not first or len(second) < 2:
        raise InvalidInput(
            Problem(
                code="E416",
                found=f"{len(first)} cases with references to choose on, {len(second)} to judge on",
                expected="at least 1 to choose on and 2 to judge on",
                fix="give --references, and lists of cases that are there",
            )
        )
    return first, second
