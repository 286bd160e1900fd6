"""Can inference stop before the last member? Members are drawn one after the other, until the case's decision is fixed.

The decision is the one that all M members would give. They come in random order, so that those seen are a sample of the
M without replacement; nothing is assumed of how they were made. Two kinds of rule:

- exact: stop when the decision can no longer change, whatever the members still to come say. It never errs.
- statistical, with a stated error: stop when it is unlikely to change. For votes the bound holds exactly: the chance,
  over the order of the members, that the decision differs from the full ensemble's is at most alpha for every case
  (`vote_plan` computes it). For means and for the mean pairwise Dice the bound is a t interval for the rest of a finite
  population, shared over all looks; it is right for values that are close to normal, and is to be checked by measuring.

Votes are cases' own answers (does this member say "flag"?) or a voxel's. The agreement that flags a case is no vote: it
is the mean over pairs, for which the exact rule has little to say until late.

Sources: Cochran 1977, Sampling Techniques (a finite population without replacement); Arvesen 1969 (jackknife of a mean
over pairs); the plan of votes is unpublished, its error is computed and not approximated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer

MIN_MEMBERS = 3
"""Before so many members nothing is said about their spread."""

RuleKind: TypeAlias = Literal["exact", "statistical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """When inference stopped, and what was decided."""

    decision: bool
    used: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VotePlan:
    """When to stop counting votes: "yes" wins if at least `needed` of all members say so.

    Attributes:
        n_members: members that would vote at most.
        needed: votes that make the decision "yes".
        yes_from: after k members (k = 1 to M), stop with "yes" from so many votes on; M + 1 is never.
        no_until: after k members, stop with "no" up to so many votes; -1 is never.
        error: largest probability, over the order of the members, of a decision unlike the full ensemble's.
    """

    n_members: int
    needed: int
    yes_from: tuple[int, ...]
    no_until: tuple[int, ...]
    error: float

    def decide(self, votes: Bool[np.ndarray, " m"]) -> Stopped:
        """Go through the votes of a case in order, and stop when the plan says so.

        Raises:
            ValueError: another number of members.
        """
        if len(votes) != self.n_members:
            raise ValueError(f"a plan for {self.n_members} members got {len(votes)} votes")
        for k, count in enumerate(np.cumsum(votes).tolist()):
            if count >= self.yes_from[k]:
                return Stopped(decision=True, used=k + 1)
            if count <= self.no_until[k]:
                return Stopped(decision=False, used=k + 1)
        raise AssertionError("the last member always decides")


def vote_plan(n_members: int, *, needed: int | None = None, alpha: float = 0.0) -> VotePlan:
    """Plan when to stop counting votes.

    Args:
        n_members: members of the full ensemble.
        needed: votes that make the decision "yes"; more than half of the members if None.
        alpha: probability, over the order of the members, that the decision may differ; 0 gives the exact rule.

    Returns:
        The plan that stops earliest among those of one level per look whose error is at most alpha.

    Raises:
        ValueError: needed is not in 1 .. n_members, or alpha not from 0 to below 1.
    """
    wanted = n_members // 2 + 1 if needed is None else needed
    if not (1 <= wanted <= n_members and 0 <= alpha < 1):
        raise ValueError(f"need 1 <= needed <= {n_members} and 0 <= alpha < 1, got {wanted} and {alpha}")
    best = _plan(n_members, wanted, 0.0)
    if alpha > 0:
        for level in np.geomspace(1, 1e-6, 200) * alpha:
            plan = _plan(n_members, wanted, float(level))
            if plan.error <= alpha:
                return plan
    return best


def mask_bounds(votes: Integer[np.ndarray, "*shape"], *, n_seen: int, n_members: int) -> tuple[int, int]:
    """Voxels that the majority of all members will have at least and at most, given the votes of those seen.

    Exact: a voxel counts as decided once more than half of all members have it, or can no longer reach that.

    Raises:
        ValueError: more members seen than there are.
    """
    if not 0 <= n_seen <= n_members:
        raise ValueError(f"{n_seen} of {n_members} members cannot have been seen")
    needed = n_members // 2 + 1
    return int((votes >= needed).sum()), int((votes + (n_members - n_seen) >= needed).sum())


def stop_by_agreement(
    dice: Float[np.ndarray, "m m"],
    *,
    threshold: float,
    alpha: float,
    kind: RuleKind = "statistical",
    min_members: int = MIN_MEMBERS,
) -> Stopped:
    """Stop when the mean pairwise Dice of all members is on one side of a threshold; "yes" (flag) is below it.

    Args:
        dice: of every two members of the case, in the order in which they come; NaN where both lack the structure.
        threshold: agreement below which a case is flagged.
        alpha: error of the statistical rule, shared over all looks.
        kind: "exact" bounds the pairs still to come by 0 and 1; "statistical" by the jackknife over the members seen.
        min_members: the first look of the statistical rule.
    """
    filled = np.nan_to_num(dice, nan=1.0)
    m = len(filled)
    flagged = mean_over_pairs(filled) < threshold
    if kind == "exact":
        for k in range(2, m + 1):
            seen = k * (k - 1) / (m * (m - 1))
            low = mean_over_pairs(filled[:k, :k]) * seen
            if low >= threshold or low + 1 - seen < threshold:
                return Stopped(decision=low < threshold, used=k)
        return Stopped(decision=flagged, used=m)
    first = max(MIN_MEMBERS, min_members)
    looks = max(1, m - first)
    for k in range(first, m):
        value = mean_over_pairs(filled[:k, :k])
        if abs(value - threshold) > _half_width(_pseudo_values(filled[:k, :k]), m, alpha / looks):
            return Stopped(decision=value < threshold, used=k)
    return Stopped(decision=flagged, used=m)


def mean_over_pairs(values: Float[np.ndarray, "k k"], weights: Float[np.ndarray, " k"] | None = None) -> float:
    """Mean over the pairs of different members, each pair by the product of their shares; NaN for a single member."""
    shares = np.ones(len(values)) if weights is None else weights
    pairs = np.triu(np.outer(shares, shares), k=1)
    return float((values * pairs).sum() / pairs.sum()) if pairs.any() else math.nan


def volume_members(values: Float[np.ndarray, " m"], *, tolerance: float, alpha: float) -> int:
    """How many members are used until the mean of all lies within a tolerance of the mean so far, all but certainly.

    Args:
        values: of every member of the case, in the order in which they come, such as volumes in ml.
        tolerance: largest change of the mean that does not matter, in the same unit.
        alpha: error shared over all looks.
    """
    m = len(values)
    for k in range(min(MIN_MEMBERS, m), m):
        if _half_width(values[:k], m, alpha / max(1, m - MIN_MEMBERS)) <= tolerance:
            return k
    return m


def random_orders(n_members: int, *, n_orders: int, seed: int) -> Int64[np.ndarray, "o m"]:
    """Orders in which the members may come."""
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(n_members) for _ in range(n_orders)])


def _plan(n: int, needed: int, level: float) -> VotePlan:
    """Stop once what was seen has at most this probability where the decision would just be the other one."""
    yes_from, no_until = [], []
    for k in range(1, n + 1):
        counts = np.arange(k + 1)
        _, if_no = _tails(n, needed - 1, k)  # so many votes or more, if "no" by a single vote
        if_yes, _ = _tails(n, needed, k)
        yes, no = counts[if_no <= level + 1e-15], counts[if_yes <= level + 1e-15]
        yes_from.append(int(yes.min()) if len(yes) else n + 1)
        no_until.append(int(no.max()) if len(no) else -1)
    error = max(_wrong(n, k_yes, needed, yes_from, no_until) for k_yes in range(n + 1))
    return VotePlan(n_members=n, needed=needed, yes_from=tuple(yes_from), no_until=tuple(no_until), error=error)


def _tails(n: int, n_yes: int, k: int) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Probability of 0, 1, ... k votes or fewer, and of so many or more, among k of n members of whom n_yes say yes."""
    ways = [math.comb(n_yes, count) * math.comb(n - n_yes, k - count) for count in range(k + 1)]
    fewer, more = list(accumulate(ways)), list(accumulate(reversed(ways)))
    whole = math.comb(n, k)  # integers as large as needed, divided last
    return np.array([count / whole for count in fewer]), np.array([count / whole for count in reversed(more)])


def _wrong(n: int, n_yes: int, needed: int, yes_from: Sequence[int], no_until: Sequence[int]) -> float:
    """Probability of the wrong decision if so many members say yes, over all orders."""
    reach, wrong = {0: 1.0}, 0.0
    for k in range(n):
        following: dict[int, float] = {}
        for count, p in reach.items():
            chance = (n_yes - count) / (n - k)
            for more, share in ((1, chance), (0, 1 - chance)):
                if share <= 0:
                    continue
                now = count + more
                if now >= yes_from[k]:
                    wrong += p * share * (n_yes < needed)
                elif now <= no_until[k]:
                    wrong += p * share * (n_yes >= needed)
                else:
                    following[now] = following.get(now, 0.0) + p * share
        reach = following
    return wrong


def _half_width(values: Float[np.ndarray, " k"], m: int, alpha: float) -> float:
    """How far the mean of all M may be from the mean of k of them: t · s · sqrt(1/k - 1/M)."""
    from scipy.special import stdtrit

    k = len(values)
    if k < 2:
        return math.inf
    return float(-stdtrit(k - 1, alpha / 2) * values.std(ddof=1) * math.sqrt(1 / k - 1 / m))


def _pseudo_values(dice: Float[np.ndarray, "k k"]) -> Float[np.ndarray, " k"]:
    """Jackknife values of the mean over pairs: k times the whole minus (k - 1) times what is left without one."""
    k = len(dice)
    rows = dice.sum(axis=1) - np.diagonal(dice)
    total = rows.sum() / 2
    without = (total - rows) / ((k - 1) * (k - 2) / 2)
    return np.asarray(k * total / (k * (k - 1) / 2) - (k - 1) * without)
