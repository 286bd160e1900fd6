"""What re-planning on plausible contours does to the dose itself: its mean and its spread, voxel by voxel."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from plausible.core import ScalarMap
from plausible.dose.plan import FinishedPlan, Influence
from plausible.io import write_scalar_map

REPLAN_JSON = "replan.json"
PLANS = "replan"
"""Folder of plans beside a case's results."""
REPLANNED_MEAN, REPLANNED_SD = REPLANNED = ("replanned_dose_mean", "replanned_dose_sd")


def dose_statistics(influence: Influence, plans: Sequence[FinishedPlan]) -> tuple[ScalarMap, ...]:
    """Mean and SD (n - 1) of the doses of the members' plans, on the dose grid; none of fewer than two.

    Args:
        influence: dose of each beamlet.
        plans: on the contours of each member, without that of the reference.
    """
    if len(plans) < 2:
        return ()
    mean, squares = np.zeros(influence.geometry.shape), np.zeros(influence.geometry.shape)
    for n, plan in enumerate(plans, start=1):
        dose = influence.dose(plan.weights).dose_gy
        apart = dose - mean
        mean += apart / n
        squares += apart * (dose - mean)
    values = {REPLANNED_MEAN: mean, REPLANNED_SD: np.sqrt(squares / (len(plans) - 1))}
    words = {REPLANNED_MEAN: "mean", REPLANNED_SD: "standard deviation (n - 1)"}
    return tuple(
        ScalarMap(
            name,
            value[np.newaxis].astype(np.float32),
            influence.geometry,
            "Gy",
            (0.0, np.inf),
            f"{words[name]} of the doses planned on {len(plans)} plausible contours",
            ("",),
        )
        for name, value in values.items()
    )


def write_statistics(folder: Path, maps: Sequence[ScalarMap]) -> Iterator[str]:
    """Write the maps into a case's folder; yield their names."""
    for one in maps:
        write_scalar_map(folder / f"{one.name}.nii.gz", one, sidecar={})
        yield f"{one.name}.nii.gz"
