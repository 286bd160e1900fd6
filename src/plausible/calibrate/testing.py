"""Is the risk at this setting below α? p-values from n patients, and tests of many settings at once.

The hypothesis tested is "the risk exceeds α": a small p-value certifies the setting. Patients are assumed independent.

| p-value | for | |
|---|---|---|
| hoeffding_bentkus | any loss in [0, 1] | min{exp(-n h(R̂∧α, α)), e P(Bin(n, α) ≤ ⌈n R̂⌉)} |
| betting | any loss in [0, 1] | 1 / max_i Π_{j≤i} (1 - ν_j (L_j - α)); smaller if losses vary little |
| binomial | losses 0 or 1 | P(Bin(n, α) ≤ n R̂), exact (Clopper-Pearson) |

Sources: Bates et al. 2021, arXiv:2101.02703; Angelopoulos et al. 2021, arXiv:2110.01052; Waudby-Smith and Ramdas 2024,
arXiv:2010.09686; Clopper and Pearson 1934; Wiens 2003, doi:10.1002/pst.64 (fallback).
"""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy import special, stats

from plausible.calibrate.rank import check_level, too_few
from plausible.core import Catalogue, InvalidInput

PValue: TypeAlias = Callable[..., np.ndarray]

P_VALUES: Catalogue[PValue] = Catalogue("p-value")

Correction: TypeAlias = Literal["fixed_sequence", "fallback", "bonferroni"]
"""How settings tested together share δ: one after the other until the first failure, each at δ; in order, each with an
equal part of δ plus what the ones before it certified with; or each with an equal part."""


@P_VALUES.add(unit="1", higher_is="neither", source="Bates et al. 2021, arXiv:2101.02703")
def hoeffding_bentkus(losses: Float[np.ndarray, "*settings s"], *, alpha: float, delta: float) -> np.ndarray:
    """p-value of "the risk exceeds α" for losses between 0 and 1, from their mean alone."""
    n, total = losses.shape[-1], losses.sum(axis=-1)
    mean = np.minimum(total / n, alpha)
    hoeffding = np.exp(-n * (special.rel_entr(mean, alpha) + special.rel_entr(1 - mean, 1 - alpha)))
    bentkus = math.e * stats.binom.cdf(np.ceil(np.round(total, 9)), n, alpha)
    return np.asarray(np.minimum(np.minimum(hoeffding, bentkus), 1))


@P_VALUES.add(unit="1", higher_is="neither", source="Waudby-Smith and Ramdas 2024, arXiv:2010.09686")
def betting(losses: Float[np.ndarray, "*settings s"], *, alpha: float, delta: float) -> np.ndarray:
    """p-value of "the risk exceeds α" for losses between 0 and 1, from a bet on each patient in turn.

    The stake follows the variance of the patients before, so losses that vary little are certified sooner.
    """
    n = losses.shape[-1]
    turn = np.arange(1, n + 1)
    mean = (0.5 + losses.cumsum(axis=-1)) / (turn + 1)
    variance = (0.25 + np.square(losses - mean).cumsum(axis=-1)) / (turn + 1)
    before = np.concatenate([np.full((*losses.shape[:-1], 1), 0.25), variance[..., :-1]], axis=-1)
    stake = np.minimum(1, np.sqrt(2 * math.log(1 / delta) / (n * before)))
    wealth = np.log1p(-stake * (losses - alpha)).cumsum(axis=-1).max(axis=-1)
    return np.asarray(np.exp(-np.maximum(wealth, 0)))


@P_VALUES.add(unit="1", higher_is="neither", source="Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404")
def binomial(losses: Float[np.ndarray, "*settings s"], *, alpha: float, delta: float) -> np.ndarray:
    """p-value of "the risk exceeds α" for losses that are 0 or 1; exact.

    Raises:
        ValueError: another loss.
    """
    if not np.isin(losses, (0.0, 1.0)).all():
        raise ValueError("the binomial p-value is for losses 0 or 1; use hoeffding_bentkus or betting")
    return np.asarray(stats.binom.cdf(losses.sum(axis=-1), losses.shape[-1], alpha))


def certified(
    p_values: Float[np.ndarray, "*repeats t"], *, delta: float, correction: Correction
) -> Bool[np.ndarray, "*repeats t"]:
    """Which settings are certified together: none of them wrongly, with probability 1 - δ.

    Args:
        p_values: in the order of testing, which must not depend on the losses.
        delta: probability of one wrong certificate or more.
        correction: how the settings share δ.
    """
    check_level(delta, name="delta")
    if correction == "fixed_sequence":
        return np.asarray(np.logical_and.accumulate(p_values <= delta, axis=-1))
    share = delta / p_values.shape[-1]
    if correction == "bonferroni":
        return np.asarray(p_values <= share)
    passed = np.zeros(p_values.shape, dtype=bool)
    level = np.zeros(p_values.shape[:-1])
    for place in range(p_values.shape[-1]):
        level = level + share
        passed[..., place] = p_values[..., place] <= level
        level = np.where(passed[..., place], level, 0.0)
    return passed


def smallest_n_certified(alpha: float, *, delta: float) -> int:
    """Fewest patients, all without loss, that certify a risk of at most α: ⌈ln δ / ln(1 - α)⌉."""
    return math.ceil(math.log(delta) / math.log1p(-alpha) - 1e-9)


def check_enough(n: int, *, alpha: float, delta: float, settings: int = 1) -> None:
    """Refuse fewer patients than could ever certify a setting.

    Raises:
        InvalidInput: E401.
        ValueError: alpha or delta is not between 0 and 1.
    """
    check_level(alpha, name="alpha")
    check_level(delta, name="delta")
    needed = smallest_n_certified(alpha, delta=delta / settings)
    if n < needed:
        raise _too_few(n, alpha, needed, delta / settings)


def tested_at_once(correction: Correction, n_settings: int) -> int:
    """How many parts δ has when the first setting is tested."""
    return 1 if correction == "fixed_sequence" else n_settings


def _too_few(n: int, alpha: float, needed: int, delta: float) -> InvalidInput:
    best = 1 - delta ** (1 / n) if n else 1.0
    return too_few(n, alpha=alpha, needed=needed, best=best)
