"""What members are together, from what each of them saw; a name is never typed in."""

import json
from collections.abc import Callable, Sequence

from plausible.train.diversity_objectives import told_by
from plausible.train.member_record import MemberRecord
from plausible.train.methods import METHODS

Records = Sequence[MemberRecord]


def ensemble_name(members: Records) -> str:
    """Say what members are together.

    "deep ensemble of 5": the same cases, different seeds. "cross-validation ensemble of 5": each left out another fold.
    "rater ensemble of 6 (3 raters)", "heterogeneous ensemble of 5": other labels, other networks or losses.
    "checkpoint ensemble of 5 (1 training)": sets of weights of one training. Anything else is a "mixed ensemble of 5".
    Networks that functions are drawn from are named, and what made members differ: "deep ensemble of 5 (SWAG)",
    "deep ensemble of 4 (negative correlation, lambda 0.5)".

    Raises:
        ValueError: there are no members.
    """
    if not members:
        raise ValueError("an ensemble needs at least one member")
    names = sorted({METHODS[record.method].label for record in members if METHODS[record.method].stochastic})
    names += sorted({told_by(record.diversity) for record in members if record.diversity})
    together = next((name(members) for fits, name in KINDS if fits(members)), f"mixed ensemble of {len(members)}")
    return together + (f" ({', '.join(names)})" if names else "")


def _folds(members: Records) -> set[int | None]:
    return {record.fold for record in members}


def _seeds(members: Records) -> int:
    return len({record.seed for record in members})


def _same_cases(members: Records) -> bool:
    return len({record.train_key for record in members}) == 1


def _networks(members: Records) -> int:
    """How many recipes there are: network, and whatever else the settings differ in."""
    told = [[r.architecture, dict(r.settings), dict(r.diversity)] for r in members]
    return len({json.dumps(one, sort_keys=True, default=list) for one in told})


def _last_layers(members: Records) -> bool:
    return _differ_by_seed(members) and all(r.diversity.get("diversity") == "last_layer_repulsion" for r in members)


def _raters(members: Records) -> int:
    return len({record.rater for record in members})


def _trainings(members: Records) -> str:
    n = len({(record.seed, record.fold, record.rater, record.architecture) for record in members})
    return f"{n} training{'s' if n > 1 else ''}"


def _differ_by_seed(members: Records) -> bool:
    return _same_cases(members) and _folds(members) == {None} and _networks(members) == 1


def _leave_out_folds(members: Records) -> bool:
    folds = _folds(members)
    return None not in folds and len(folds) == len(members) and not _same_cases(members) and _networks(members) == 1


KINDS: tuple[tuple[Callable[[Records], bool], Callable[[Records], str]], ...] = (
    (lambda m: len(m) == 1, lambda m: "single member"),
    (_last_layers, lambda m: f"last-layer ensemble of {len(m)}"),
    (lambda m: all(r.name for r in m), lambda m: f"checkpoint ensemble of {len(m)} ({_trainings(m)})"),
    (lambda m: _raters(m) > 1 and _folds(m) == {None}, lambda m: f"rater ensemble of {len(m)} ({_raters(m)} raters)"),
    (lambda m: _differ_by_seed(m) and _seeds(m) == len(m), lambda m: f"deep ensemble of {len(m)}"),
    (_differ_by_seed, lambda m: f"{len(m)} members of {_seeds(m)} seeds"),
    (lambda m: _same_cases(m) and _folds(m) == {None}, lambda m: f"heterogeneous ensemble of {len(m)}"),
    (_leave_out_folds, lambda m: f"cross-validation ensemble of {len(m)}"),
)
"""The first kind that fits gives the name."""
