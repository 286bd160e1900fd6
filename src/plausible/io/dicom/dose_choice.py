"""Which files make up the dose of a plan: its PLAN dose, or all of its BEAM doses added."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from plausible.core import Dose, InvalidInput, Problem
from plausible.io.dicom.datasets import caution, file_label, refusal
from plausible.io.dicom.folder import DicomFolder
from plausible.io.dicom.objects import DoseFile

WHOLE = ("PLAN", "MULTI_PLAN")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Files that are added to one dose."""

    paths: tuple[Path, ...]
    problems: tuple[Problem, ...] = ()


def chosen_doses(folder: DicomFolder, *, instance_uid: str | None = None) -> Chosen:
    """Return the files of the dose that is meant.

    Raises:
        InvalidInput: E601, no dose; E617, several, or parts that do not make up a plan.
    """
    doses = [one for one in folder.doses if instance_uid in {None, one.instance.instance_uid}]
    if not doses:
        raise _nothing(folder, instance_uid)
    plans = [one for one in doses if one.summation in WHOLE]
    beams = [one for one in doses if one.summation == "BEAM"]
    if len(plans) == 1:
        return Chosen((plans[0].instance.path,))
    if len(plans) > 1:
        raise _several(plans)
    if beams:
        return _all_beams(folder, beams)
    if len(doses) > 1:
        raise _several(doses)
    return Chosen((doses[0].instance.path,))


def check_fractions(summation: str, n_fractions: int | None, *, path: Path) -> None:
    """Refuse a dose that is not of a whole plan, unless it was told how often it is given.

    Raises:
        InvalidInput: E617.
    """
    if summation in {*WHOLE, "BEAM"} or (summation == "FRACTION" and n_fractions):
        return
    fix = "give n_fractions=... (1 if the values are of the whole treatment)" if summation == "FRACTION" else ""
    raise refusal(
        "E617",
        path=path,
        found=f"DoseSummationType {summation or 'missing'}",
        expected="the dose of a whole PLAN",
        fix=" or ".join(filter(None, (fix, "export the dose of the whole plan"))),
    )


def summed(doses: Sequence[Dose], paths: Sequence[Path]) -> Dose:
    """Add doses on one grid.

    Raises:
        InvalidInput: E201 or E202, two grids.
    """
    first = doses[0]
    for other, path in zip(doses[1:], paths[1:], strict=True):
        other.geometry.check_matches(first.geometry, this=file_label(path), that=file_label(paths[0]))
    total = np.zeros(first.geometry.shape, dtype=np.float64)
    for one in doses:
        total += one.dose_gy
    return replace(first, dose_gy=total.astype(np.float32))


def _all_beams(folder: DicomFolder, doses: Sequence[DoseFile]) -> Chosen:
    """BEAM doses of one plan that hold each of its beams once."""
    plan_uids = {uid for one in doses for uid in one.plan_uids}
    plans = [one for one in folder.plans if one.instance.instance_uid in plan_uids]
    if len(plan_uids) != 1 or len(plans) != 1:
        raise _incomplete(doses, f"{len(plan_uids)} plans are named and {len(plans)} of them given")
    held = [beam for one in doses for beam in one.beams]
    lacking = sorted(plans[0].beams - set(held))
    if lacking or len(held) != len(set(held)) or not all(one.beams for one in doses):
        told = f"beams {sorted(held)} of the plan's {sorted(plans[0].beams)}"
        raise _incomplete(doses, told)
    paths = tuple(one.instance.path for one in doses)
    note = caution(
        "E617",
        path=paths[0],
        found=f"no PLAN dose; the doses of all {len(held)} beams were added",
        expected="the dose of the plan as the planning system computed it",
        fix="export the PLAN dose to compare",
    )
    return Chosen(paths, (note,) if len(paths) > 1 else ())


def _incomplete(doses: Sequence[DoseFile], told: str) -> InvalidInput:
    return refusal(
        "E617",
        path=doses[0].instance.path,
        found=f"{len(doses)} BEAM doses; {told}",
        expected="a PLAN dose, or each beam of one plan once, with its RTPLAN",
        fix="give the RTPLAN and the doses of all its beams, or export the dose of the whole plan",
    )


def _several(doses: Sequence[DoseFile]) -> InvalidInput:
    listed = "; ".join(f"{one.summation or 'no summation type'} {one.instance.instance_uid}" for one in doses)
    return refusal(
        "E617",
        path=doses[0].instance.path,
        found=f"{len(doses)} doses: {listed}",
        expected="one dose of a whole plan",
        fix="choose one by its SOPInstanceUID (instance_uid=...)",
    )


def _nothing(folder: DicomFolder, instance_uid: str | None) -> InvalidInput:
    return refusal(
        "E601",
        found=f"no RT Dose{f' {instance_uid}' if instance_uid else ''}",
        expected="one, with its file",
        fix="plausible inspect -i FOLDER lists the doses of a folder",
    )
