"""What would stopping early have changed? Members used, flags and volumes against the full ensemble, case by case.

Members of a pool are put into random orders; in each order inference stops by a rule, and what is known then (is the
case flagged for low agreement? what is its volume?) is compared with what all members together say.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from plausible.diversity.pool_cases import Pool, PoolCase
from plausible.diversity.pool_scores import pair_agreement
from plausible.diversity.sequential import (
    MIN_MEMBERS,
    mean_over_pairs,
    random_orders,
    stop_by_agreement,
    volume_members,
)

Used: TypeAlias = Callable[[Float[np.ndarray, "m m"], Float[np.ndarray, " m"]], int]
"""How many members are used, given the Dice of every two and the volume of each, in the order in which they come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStopping:
    """What one rule did over cases and orders.

    Attributes:
        rule: its name.
        n_members: members of the full ensemble.
        mean_used: members used per case.
        changed_flags: share of cases and orders whose flag differs from the full ensemble's.
        flagged: share of the cases that the full ensemble flags.
        volume_change_ml: mean distance of the mean volume, all structures together, from the full ensemble's.
        volume_change_share: the same as a share of the full ensemble's volume.
        largest_change_share: the 95th percentile of that share over cases and orders.
        n_cases, n_orders: what it rests on.
    """

    rule: str
    n_members: int
    mean_used: float
    changed_flags: float
    flagged: float
    volume_change_ml: float
    volume_change_share: float
    largest_change_share: float
    n_cases: int
    n_orders: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return asdict(self)


def stopping_rules(*, flag_below: float, alpha: float, volume_tolerance: float) -> Mapping[str, Used]:
    """Return the rules that are compared, by name.

    Args:
        flag_below: mean pairwise Dice below which a case is flagged.
        alpha: error of the statistical rules.
        volume_tolerance: change of the mean volume that does not matter, as a share of it.
    """
    return {
        "all members": lambda dice, volumes: len(dice),
        "three members": lambda dice, volumes: min(MIN_MEMBERS, len(dice)),
        "flag, exact": lambda dice, volumes: (
            stop_by_agreement(dice, threshold=flag_below, alpha=0.0, kind="exact").used
        ),
        "flag, statistical": lambda dice, volumes: stop_by_agreement(dice, threshold=flag_below, alpha=alpha).used,
        "volume, statistical": lambda dice, volumes: volume_members(
            volumes, tolerance=volume_tolerance * float(volumes[:MIN_MEMBERS].mean()), alpha=alpha
        ),
    }


def early_stopping(
    pool: Pool,
    *,
    flag_below: float,
    alpha: float = 0.05,
    volume_tolerance: float = 0.02,
    n_orders: int = 20,
    seed: int = 0,
) -> tuple[EarlyStopping, ...]:
    """Measure what every rule does to the cases of a pool; three members are always used.

    Args:
        pool: the full ensemble on some cases.
        flag_below: mean pairwise Dice, mean over structures, below which a case is flagged.
        alpha: error of the statistical rules.
        volume_tolerance: change of the mean volume that does not matter, as a share of it.
        n_orders: orders of the members that are tried on each case.
        seed: of the orders.
    """
    orders = random_orders(len(pool.members), n_orders=n_orders, seed=seed)
    rules = stopping_rules(flag_below=flag_below, alpha=alpha, volume_tolerance=volume_tolerance)
    return tuple(_measured(name, used, pool, orders, flag_below) for name, used in rules.items())


def _measured(name: str, used: Used, pool: Pool, orders: np.ndarray, flag_below: float) -> EarlyStopping:
    n_members = len(pool.members)
    found = np.array([_of_case(case, used, orders, flag_below) for case in pool.cases])
    changes = found[:, :, 2] / np.maximum(found[:, :, 3], 1e-12)
    return EarlyStopping(
        rule=name,
        n_members=n_members,
        mean_used=float(found[:, :, 0].mean()),
        changed_flags=float(found[:, :, 1].mean()),
        flagged=float(np.mean([mean_over_pairs(pair_agreement(case)) < flag_below for case in pool.cases])),
        volume_change_ml=float(found[:, :, 2].mean()),
        volume_change_share=float(changes.mean()),
        largest_change_share=float(np.quantile(changes, 0.95)),
        n_cases=len(pool.cases),
        n_orders=len(orders),
    )


def _of_case(case: PoolCase, used: Used, orders: np.ndarray, flag_below: float) -> list[list[float]]:
    """Members used, whether the flag changed, change of the volume and the full volume, for each order."""
    dice, volumes = pair_agreement(case), case.volumes_ml.sum(axis=1)
    full_flag, full_volume = mean_over_pairs(dice) < flag_below, float(volumes.mean())
    found = []
    for order in orders:
        k = used(dice[np.ix_(order, order)], volumes[order])
        seen = order[:k]
        flag = mean_over_pairs(dice[np.ix_(seen, seen)]) < flag_below
        found.append([float(k), float(flag != full_flag), abs(float(volumes[seen].mean()) - full_volume), full_volume])
    return found
