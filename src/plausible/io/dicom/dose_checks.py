"""What the values of a dose are, and whether they can be right."""

from pathlib import Path
from typing import Any

from plausible.core import Dose, DoseKind, Problem
from plausible.io.dicom.datasets import caution, refusal, text

COARSEST_STEP_GY = 0.01
HIGHEST_GY = 150.0
LOWEST_MAXIMUM_GY = 1.0


def check_what_it_is(
    path: Path, header: Any, *, prescription_gy: float | None
) -> tuple[DoseKind, float, list[Problem]]:
    """Return the kind of dose, what its unit is in Gy, and what to look at.

    Raises:
        InvalidInput: E616, no unit, relative without a prescription, or an error distribution.
    """
    units, kind = text(header, "DoseUnits").upper(), text(header, "DoseType").upper()
    if units not in {"GY", "RELATIVE"}:
        raise refusal(
            "E616",
            path=path,
            found=f"DoseUnits {units or 'missing'}",
            expected="GY, or RELATIVE with a prescription",
            fix="export the dose again in Gy",
        )
    if units == "RELATIVE" and prescription_gy is None:
        raise refusal(
            "E616",
            path=path,
            found="DoseUnits RELATIVE: values without Gy",
            expected="a dose in Gy, or what the value 1 stands for",
            fix="say it, e.g. prescription_gy=60 (0.6 if the values are percent), or export the dose in Gy",
        )
    if kind not in {"PHYSICAL", "EFFECTIVE"}:
        raise refusal(
            "E616",
            path=path,
            found=f"DoseType {kind or 'missing'}" + (", the error of a dose" if kind == "ERROR" else ""),
            expected="PHYSICAL or EFFECTIVE",
            fix="choose the dose itself; plausible inspect -i FOLDER lists the doses of a folder",
        )
    to_gy = prescription_gy if units == "RELATIVE" and prescription_gy is not None else 1.0
    if kind == "PHYSICAL":
        return "physical", to_gy, []
    return "effective", to_gy, [_effective(path)]


def _effective(path: Path) -> Problem:
    return caution(
        "E616",
        path=path,
        found="DoseType EFFECTIVE: a biological weight (RBE) is in the values",
        expected="physical dose, which constraints of photon therapy are given for",
        fix="use constraints in Gy (RBE); results are labelled effective dose",
    )


def stray_rescale(path: Path, header: Any, *, scaling: float) -> list[Problem]:
    """Say that a rescale was ignored, and that steps of stored integers are coarse."""
    found = []
    slope, intercept = text(header, "RescaleSlope"), text(header, "RescaleIntercept")
    if slope or intercept:
        found.append(
            caution(
                "E618",
                path=path,
                found=f"RescaleSlope {slope or 'missing'}, RescaleIntercept {intercept or 'missing'}: ignored",
                expected="DoseGridScaling only",
                fix="compare the maximum with the planning system; other programs may apply the slope",
            )
        )
    if scaling > COARSEST_STEP_GY:
        found.append(
            caution(
                "E618",
                path=path,
                found=f"steps of {scaling:.3g} Gy between stored values ({text(header, 'BitsAllocated')} bits)",
                expected=f"steps of at most {COARSEST_STEP_GY} Gy",
                fix="export the dose with 32 bits",
            )
        )
    return found


def implausible(dose: Dose, *, path: Path) -> list[Problem]:
    """Say if the maximum is none of a treatment, or if values are negative."""
    found = []
    highest, lowest = float(dose.dose_gy.max()), float(dose.dose_gy.min())
    if not LOWEST_MAXIMUM_GY <= highest <= HIGHEST_GY:
        found.append(
            caution(
                "E618",
                path=path,
                found=f"a maximum of {highest:.4g} Gy",
                expected=f"{LOWEST_MAXIMUM_GY:g} to {HIGHEST_GY:g} Gy for a treatment",
                fix="compare with the planning system: cGy taken for Gy, or a single beam or fraction?",
            )
        )
    if lowest < 0:
        found.append(
            caution(
                "E618",
                path=path,
                found=f"negative values, down to {lowest:.4g} Gy",
                expected="values of at least 0",
                fix="compare with the planning system; a difference of doses is no dose",
            )
        )
    return found
