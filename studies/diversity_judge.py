"""Judging ensembles of the diversity study on held-out subjects, against the plain ensemble with as many members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from diversity_data import GRID, PLAIN

from plausible.calibrate.intervals import tail_distances
from plausible.diversity import (
    POOL_SCORES,
    SELECTION_RULES,
    AcceptanceRule,
    Evidence,
    Pool,
    PoolCase,
    Verdict,
    accept,
    evidence_of,
    select_members,
)
from plausible.diversity.acceptance import ENSEMBLE_SCORES, weighted_area_difference
from plausible.diversity.pool_scores import agreement, member_values
from plausible.evaluate import (
    Estimate,
    ReliabilityBins,
    bootstrap_mean,
    bootstrap_weighted,
    expected_calibration_error,
    weighted_aurc,
)

ALPHA, N_SPLITS, SPREAD_FLOOR_ML = 0.2, 200, 0.02
"""Of the conformal volume interval: miscoverage, splits, and the smallest spread that is believed, set beforehand."""
ONE_TRAINING = ("checkpoints", "last_layers", "last_layers_0")
"""Folders whose members come from a single training."""
CHOSEN_BY = "negative_log_likelihood"


@dataclass(frozen=True)
class Arm:
    """One ensemble: the share of each member, what it cost to train, and what it is compared with."""

    name: str
    weights: np.ndarray
    trainings: float
    against: str
    how: str

    @property
    def n_members(self) -> int:
        """Forward passes per case."""
        return int(np.count_nonzero(self.weights))


def arms(pool: Pool, validation: Pool, stores: Mapping[str, Sequence[str]], pooled: Sequence[str], m: int) -> list[Arm]:
    """Every ensemble that is judged; those of rules are chosen on the validation cases.

    Args:
        pool: the test cases.
        validation: the cases to choose on.
        stores: members of each folder of models.
        pooled: members that rules may choose from.
        m: members of an ensemble.
    """
    plain = list(stores[PLAIN])
    found = [Arm(f"{PLAIN} {k}", pool.equal(plain[:k]), k, "", "plain seeds") for k in range(1, len(plain) + 1)]
    found += [_arm(pool, name, ids, plain, 1 if name in ONE_TRAINING else None) for name, ids in stores.items()
              if name != PLAIN]  # fmt: skip
    mixed = {name: _mixed(stores, m, name) for name in ("folds", "networks and folds")}
    found += [_arm(pool, f"mixed {name}", ids, plain, None) for name, ids in mixed.items() if len(ids) == m]
    if len(pooled) > m:
        cost = sum(1 if name in ONE_TRAINING else len(ids) for name, ids in stores.items() if set(ids) <= set(pooled))
        rules = [rule for rule in SELECTION_RULES.names if rule not in ("exhaustive", "random_members")]
        choosing = validation.select(sorted(pooled))
        found += [_chosen(pool, choosing, rule, plain, m, cost) for rule in rules]
        everybody = pool.equal(list(pooled))
        found.append(Arm(f"all {len(pooled)}", everybody, cost, f"{PLAIN} {len(plain)}", "the whole pool"))
    return found


def _arm(pool: Pool, name: str, ids: Sequence[str], plain: Sequence[str], trainings: float | None) -> Arm:
    """First members of a folder, as many as the plain ensemble has at most, against as many plain ones."""
    k = min(len(ids), len(plain))
    return Arm(f"{name} {k}", pool.equal(list(ids)[:k]), trainings or k, f"{PLAIN} {k}", "trained so")


def _mixed(stores: Mapping[str, Sequence[str]], m: int, what: str) -> list[str]:
    """Members of the grid, from each fold in turn, or from each network and fold in turn; none if there is one fold."""
    found = {name: match.groupdict() for name in stores if (match := GRID.fullmatch(name))}
    networks = sorted({told["architecture"] for told in found.values()})[: 1 if what == "folds" else None]
    folds = sorted({told["fold"] for told in found.values()})
    cells = [(f"{one}_fold_{fold}") for fold in folds for one in networks]
    cells = [cell for cell in cells if cell in stores]
    taken = [stores[cell][n] for n in range(m) for cell in cells if n < len(stores[cell])]
    enough = len(cells) > 1 and (what == "folds" or len(networks) > 1)
    return taken[:m] if enough else []


def _chosen(pool: Pool, validation: Pool, rule: str, plain: Sequence[str], m: int, cost: int) -> Arm:
    """Members that a rule chose from the pool, all of which had to be trained."""
    found = select_members(validation, rule=rule, score=CHOSEN_BY, n_members=m)
    k = len(found.members)
    told = ", ".join(f"{one} {share:.2f}" for one, share in found.weights.items())
    return Arm(f"{rule} {k}", found.on(pool), cost, f"{PLAIN} {min(k, len(plain))}", told)


def columns_of(pool: Pool, arm: Arm) -> dict[str, np.ndarray]:
    """One value per test subject for every number of the table; AURC as confidence and risk."""
    w = arm.weights
    found = {name: POOL_SCORES[name].function(pool, w) for name in POOL_SCORES.names}
    found["dice"] = 1 - found.pop("dice_error")
    found["expected_calibration_error"] = np.array([[_calibration(case, w) for case in pool.cases]])
    found["mean_member_nll"] = member_values(pool, w, CHOSEN_BY)[np.newaxis]
    found["pairwise_dice"] = np.array([[agreement(case, w) for case in pool.cases]])
    coverage, width = conformal_volume(pool, w)
    found["coverage"], found["interval_width_ml"] = coverage[np.newaxis], width[np.newaxis]
    return found


def _calibration(case: PoolCase, weights: np.ndarray) -> float:
    """ECE of 15 bins on the case's voxel set, of the most probable class."""
    p = case.mean(weights)
    right = p.argmax(axis=0) == case.truth[0, 0]
    return expected_calibration_error(ReliabilityBins.of(p.max(axis=0), right))


def conformal_volume(pool: Pool, weights: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Share of the splits in which a subject's volumes lie in their intervals, and their mean width in ml.

    In each split two thirds of the test subjects calibrate an interval of 80 % around the mean volume, in multiples of
    the members' own spread, and the others are judged; mean over the structures.
    """
    volumes = np.array([case.volumes_ml for case in pool.cases])
    true = np.array([case.raters_ml.mean(axis=0) for case in pool.cases])
    mean = np.einsum("m,nms->ns", weights, volumes)
    spread = np.sqrt(np.einsum("m,nms->ns", weights, (volumes - mean[:, np.newaxis]) ** 2))
    scale = np.maximum(spread, SPREAD_FLOOR_ML)
    above = (true - mean) / scale
    n, rng = len(true), np.random.default_rng(seed)
    orders = np.argsort(rng.random((N_SPLITS, n)), axis=1)
    fitted, judged = orders[:, : 2 * n // 3], orders[:, 2 * n // 3 :]
    inside, width, times = np.zeros((n, true.shape[1])), np.zeros((n, true.shape[1])), np.zeros(n)
    for s in range(true.shape[1]):
        low, high = tail_distances(-above[fitted, s], above[fitted, s], ALPHA, tails="separate")
        held = (above[judged, s] >= -low[:, np.newaxis]) & (above[judged, s] <= high[:, np.newaxis])
        np.add.at(inside[:, s], judged, held)
        np.add.at(width[:, s], judged, (low + high)[:, np.newaxis] * scale[judged, s])
    np.add.at(times, judged, 1)
    return inside.mean(axis=1) / times, width.mean(axis=1) / times


def compared(ours: np.ndarray, theirs: np.ndarray, *, seed: int) -> Estimate:
    """Ours minus theirs with its paired BCa interval over subjects."""
    if len(ours) == 1:
        return bootstrap_mean(ours[0] - theirs[0], seed=seed)
    return bootstrap_weighted(weighted_area_difference, *ours, *theirs, seed=seed)


def alone(values: np.ndarray, *, seed: int) -> Estimate:
    """One arm's number with its interval over subjects."""
    return bootstrap_mean(values[0], seed=seed) if len(values) == 1 else bootstrap_weighted(
        weighted_aurc, *values, seed=seed
    )  # fmt: skip


def told(estimate: Estimate) -> dict[str, float]:
    """Return an estimate as it stands in the files of the study."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def evidence(pool: Pool, arm: Arm) -> Evidence:
    """What an arm did on the test cases, for the acceptance rule."""
    return evidence_of(pool, arm.weights, name=arm.name, scores=ENSEMBLE_SCORES)


def verdict_on(change: Evidence, baseline: Evidence, *, n_arms: int, seed: int) -> Verdict:
    """Verdict of the acceptance rule; all arms of the study share one error of 5 %."""
    return accept(change, baseline, rule=AcceptanceRule(level=1 - 0.05 / n_arms), seed=seed)
