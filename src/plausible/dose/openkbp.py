"""The metrics of the OpenKBP challenge, to its own definition, so that numbers can be compared with published ones.

They differ from ours on purpose: dose at voxel centres, numpy's percentiles, and D0.1cc as the percentile of a whole
number of voxels (three of 38 mm³, which is 0.114 cc). For a DVH use `plausible.dose.Dvh`.

Source: Babier et al. 2021, doi:10.1002/mp.14845, and the challenge's code (ababier/open-kbp).
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float

TENTH_CC_MM3 = 100.0


def openkbp_organ_metrics(
    dose_gy: Float[np.ndarray, "i j k"], mask: Bool[np.ndarray, "i j k"], *, voxel_mm3: float
) -> dict[str, float]:
    """D_0.1_cc and mean of an organ at risk, in Gy; empty if the organ is.

    Raises:
        ValueError: a voxel volume that is not above 0.
    """
    if not voxel_mm3 > 0:
        raise ValueError(f"voxel_mm3 must be above 0, got {voxel_mm3}")
    inside = dose_gy[mask]
    if not inside.size:
        return {}
    n_voxels = max(1, round(TENTH_CC_MM3 / voxel_mm3))
    percentile = max(100 - 100 * n_voxels / inside.size, 0)
    return {"D_0.1_cc": float(np.percentile(inside, percentile)), "mean": float(inside.mean())}


def openkbp_target_metrics(dose_gy: Float[np.ndarray, "i j k"], mask: Bool[np.ndarray, "i j k"]) -> dict[str, float]:
    """D_99, D_95 and D_1 of a target, in Gy, as the percentiles 1, 5 and 99; empty if the target is."""
    inside = dose_gy[mask]
    if not inside.size:
        return {}
    low, near, high = np.percentile(inside, [1, 5, 99])
    return {"D_99": float(low), "D_95": float(near), "D_1": float(high)}


def openkbp_dose_error(
    prediction_gy: Float[np.ndarray, "i j k"],
    reference_gy: Float[np.ndarray, "i j k"],
    *,
    possible_dose: Bool[np.ndarray, "i j k"],
) -> float:
    """Dose error of one patient: Σ|ΔD| over all voxels, over the number of voxels where dose is possible.

    The challenge's dose score is the mean over patients. NaN if dose is possible nowhere.
    """
    n_possible = int(possible_dose.sum())
    apart = np.abs(prediction_gy.astype(np.float64) - reference_gy)
    return float(apart.sum() / n_possible) if n_possible else math.nan


def openkbp_dvh_score(
    predictions: Iterable[Mapping[tuple[str, str], float]], references: Iterable[Mapping[tuple[str, str], float]]
) -> float:
    """Mean |Δmetric| over all pairs of patient and metric; absent structures do not count. NaN if there are none.

    Args:
        predictions: per patient, (structure, metric) to value in Gy.
        references: of the same patients in the same order.

    Raises:
        ValueError: another number of patients, or a metric of the reference that a prediction lacks.
    """
    apart = []
    for ours, theirs in zip(predictions, references, strict=True):
        missing = [f"{structure} {metric}" for structure, metric in theirs if (structure, metric) not in ours]
        if missing:
            raise ValueError(f"the prediction lacks {', '.join(missing)}")
        apart += [abs(ours[cell] - value) for cell, value in theirs.items()]
    return float(np.mean(apart)) if apart else math.nan
