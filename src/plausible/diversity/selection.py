"""Which members of a pool to keep: what a rule chose, with its share per member and how it got there.

A pool is put in order of the members' names before anything is chosen, so that the order of files never matters, and
equal choices go to the first name. Rules stand in `selection_rules` and `weighting`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from plausible.core import Catalogue, InvalidInput, Problem
from plausible.diversity.pool_cases import Pool, Weights
from plausible.diversity.pool_scores import POOL_SCORES, scored

NEGLIGIBLE = 1e-3
"""Share below which a member is left out of a weighted mean: it costs a forward pass all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One choice: the member that was added (or, in elimination, taken away), and the score with it done."""

    member: str
    n_members: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The members that a rule chose from a pool.

    Attributes:
        rule: name of the rule.
        score: score it looked at.
        weights: share of each chosen member, in order of their names; together 1.
        value: score of their weighted mean on the cases they were chosen on.
        path: the choices one after the other, where the rule has any.
    """

    rule: str
    score: str
    weights: Mapping[str, float]
    value: float
    path: tuple[Step, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the chosen members, each once."""
        return tuple(self.weights)

    @property
    def equal(self) -> bool:
        """Whether all chosen members count alike, so that their plain mean is what was chosen."""
        return len({round(share, 12) for share in self.weights.values()}) == 1

    def on(self, pool: Pool) -> Weights:
        """Shares in the order of a pool's members; 0 for those left out."""
        return np.array([self.weights.get(one, 0.0) for one in pool.members])

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        path = [{"member": one.member, "n_members": one.n_members, "value": one.value} for one in self.path]
        weights = dict(self.weights)
        return {"rule": self.rule, "score": self.score, "weights": weights, "value": self.value, "path": path}


SelectionRule: TypeAlias = Callable[..., Selection]
"""Takes a pool, and by keyword score, n_members and seed."""

SELECTION_RULES: Catalogue[SelectionRule] = Catalogue("selection rule")


def select_members(pool: Pool, *, rule: str, score: str, n_members: int, seed: int = 0) -> Selection:
    """Choose members by the name of a rule.

    Args:
        pool: cases to choose on; judge on others.
        rule: a name of `SELECTION_RULES`.
        score: a name of `POOL_SCORES`.
        n_members: how many to choose; a rule says where it may choose fewer.
        seed: of rules that draw.

    Raises:
        InvalidInput: E412, fewer members in the pool; E413, too many subsets.
        ValueError: no such rule or score.
    """
    entry = SELECTION_RULES[rule]
    _ = POOL_SCORES[score]
    if not 1 <= n_members <= len(pool.members):
        raise InvalidInput(
            Problem(
                code="E412",
                found=f"a pool of {len(pool.members)} members",
                expected=f"1 to {len(pool.members)} members to choose, not {n_members}",
                fix=f"--members {min(5, len(pool.members))}, or predict with more members first",
            )
        )
    chosen: Selection = entry.function(pool.select(sorted(pool.members)), score=score, n_members=n_members, seed=seed)
    return chosen


def selection_of(pool: Pool, ids: Sequence[str], *, rule: str, score: str, path: tuple[Step, ...] = ()) -> Selection:
    """Return the record of members that count alike; one named twice counts twice."""
    return weighted_selection(pool, pool.equal(ids), rule=rule, score=score, path=path)


def weighted_selection(
    pool: Pool, weights: Weights, *, rule: str, score: str, path: tuple[Step, ...] = ()
) -> Selection:
    """Return the record of members with these shares."""
    shares = {one: float(w) for one, w in sorted(zip(pool.members, weights, strict=True)) if w > 0}
    return Selection(rule=rule, score=score, weights=shares, value=scored(pool, weights, score), path=path)
