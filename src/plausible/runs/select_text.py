"""What `plausible select` says: choices, verdicts and why, in plain lines."""

from collections.abc import Iterator

from plausible.diversity import POOL_SCORES
from plausible.report.text import number
from plausible.runs.select_members import Judged, SelectionFound

SHOWN = ("negative_log_likelihood", "brier_score", "dice_error", "area_under_risk_coverage")


def lines_of(found: SelectionFound) -> Iterator[str]:
    """Yield the lines of a result."""
    yield (
        f"{len(found.pool)} members, chosen on {len(found.selection_cases)} cases, judged on {len(found.test_cases)} "
        f"against {len(found.baseline)}: {', '.join(found.baseline)}"
    )
    for one in found.judged:
        yield from _judged(one)
    for limit in found.limits:
        yield (
            f"more members: {POOL_SCORES[limit.score].label} goes to {number(limit.limit.value)}; "
            f"{number(limit.single.value)} / M is left with M members"
        )
    if found.pruned:
        small, test = found.pruned
        yield (
            f"smallest subset that keeps the score: {len(small.members)} members ({', '.join(small.members)}), "
            f"{POOL_SCORES[small.score].label} {number(test[small.score])} on the test cases"
        )
    for line in found.stopping:
        yield (
            f"stopping by {line.rule}: {line.mean_used:.1f} of {line.n_members} members, {line.changed_flags:.1%} of "
            f"flags changed, volume off by {line.volume_change_share:.2%}"
        )
    best = found.accepted
    if best and best.selection.rule in found.written:
        yield f"next: plausible assess -i {found.written[best.selection.rule]} -o OUT"
    elif best:
        yield f"{best.selection.rule} is accepted; members that share a file cannot be told apart in a study file"
    else:
        yield f"nothing was accepted: stay with {', '.join(found.baseline)}"


def _judged(one: Judged) -> Iterator[str]:
    shares = "" if one.selection.equal else " with unequal shares: " + ", ".join(
        f"{name} {share:.2f}" for name, share in one.selection.weights.items()
    )  # fmt: skip
    told = ", ".join(f"{POOL_SCORES[name].label} {number(one.test[name])}" for name in SHOWN)
    yield f"{one.selection.rule}: {', '.join(one.selection.members)}{shares}; test: {told}"
    yield f"  {one.verdict.decision.upper()}"
    for reason in one.verdict.reasons:
        yield f"    {reason}"
