"""How well the prescription isodose fits a target. 1 is a perfect fit; the two indices fail in different ways.

They need three volumes: the target (TV), everything that receives the prescription (PIV), and what of the target does
(TV_PIV). PIV depends on where one looks: give the DVH of the patient's outline, or of the whole dose grid.

Sources: Paddick 2000, doi:10.3171/jns.2000.93.supplement_3.0219; Shaw et al. 1993 (RTOG),
doi:10.1016/0360-3016(93)90548-A.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from plausible.core import Catalogue, Dose
from plausible.dose.dvh import Dvh
from plausible.dose.interpolation import DoseField, Interpolation
from plausible.dose.metrics import volume_at_dose
from plausible.dose.soft import Cells, cells_dvh

ConformityIndex: TypeAlias = Callable[..., float]

CONFORMITY_INDICES: Catalogue[ConformityIndex] = Catalogue("conformity index")


def dose_grid_dvh(dose: Dose, *, interpolation: Interpolation = "linear") -> Dvh:
    """DVH of the whole dose grid, dose linear in each of its voxels: what everything receives."""
    field = DoseField.of(dose, interpolation=interpolation)
    voxels = np.indices(dose.geometry.shape).reshape(3, -1).T
    return cells_dvh(Cells.whole(voxels), field, geometry=dose.geometry)


@CONFORMITY_INDICES.add(
    unit="1", higher_is="better", source="Paddick 2000, doi:10.3171/jns.2000.93.supplement_3.0219", label="Paddick CI"
)
def paddick_conformity(target: Dvh, everywhere: Dvh, *, prescription_gy: float) -> float:
    """Share of the target covered, times the share of the prescription isodose that lies in the target.

    TV_PIV² / (TV · PIV), from 0 (they miss each other) to 1 (they are the same). NaN without a target, without an
    isodose, or if the target reaches beyond the dose grid.

    Args:
        target: DVH of the target.
        everywhere: DVH of the patient's outline or of the dose grid.
        prescription_gy: dose of the isodose.

    Raises:
        ValueError: a prescription that is not above 0.
    """
    covered, isodose = _volumes(target, everywhere, prescription_gy)
    return covered**2 / (target.total_volume_ml * isodose) if isodose > 0 and target.total_volume_ml else math.nan


@CONFORMITY_INDICES.add(
    unit="1", higher_is="neither", source="Shaw et al. 1993, doi:10.1016/0360-3016(93)90548-A", label="RTOG CI"
)
def rtog_conformity(target: Dvh, everywhere: Dvh, *, prescription_gy: float) -> float:
    """Volume of the prescription isodose over that of the target, wherever they lie: 1 to 2 was called acceptable.

    PIV / TV. It does not see whether the isodose hits the target. NaN without a target.

    Args:
        target: DVH of the target.
        everywhere: DVH of the patient's outline or of the dose grid.
        prescription_gy: dose of the isodose.

    Raises:
        ValueError: a prescription that is not above 0.
    """
    _, isodose = _volumes(target, everywhere, prescription_gy)
    return isodose / target.total_volume_ml if target.total_volume_ml else math.nan


def _volumes(target: Dvh, everywhere: Dvh, prescription_gy: float) -> tuple[float, float]:
    """Volume of the target that receives the prescription, and everything that does."""
    if not prescription_gy > 0:
        raise ValueError(f"prescription_gy must be above 0, got {prescription_gy}")
    return volume_at_dose(target, dose_gy=prescription_gy), float(everywhere.volume_at(prescription_gy))
