"""The dose to the cases of a study: dose.json and maps per case, doses.csv and constraints.csv for all."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from plausible.core import Case, Dose, Members, Problem, ScalarMap, Study, provenance, sha256_of
from plausible.core.members import FramedSource
from plausible.core.problems import ProblemWarning, collecting
from plausible.dose import SHIPPED, ConstraintSet, parse_constraints, shipped_constraints
from plausible.io import case_inputs, hash_files, write_scalar_map
from plausible.io.atomic import write_text
from plausible.io.dicom.datasets import file_label
from plausible.io.dicom_files import is_dicom_case
from plausible.io.doses import check_overlap, find_doses, read_dose
from plausible.io.nifti import describe
from plausible.io.rows import write_table
from plausible.report.dose_model import CaseDose
from plausible.report.model import MapFile
from plausible.report.schema import to_json
from plausible.runs.calibration import Calibrations
from plausible.runs.dose_calibrated import calibrated_case
from plausible.runs.dose_calibration import DOSE_CALIBRATION_JSON
from plausible.runs.dose_case import AWARE_MAP, COVERAGE_COLUMNS, DOSE_MAP, DoseFound, assess_dose
from plausible.runs.dose_settings import DoseSettings
from plausible.runs.layout import CASE_PAGE, DOSE_JSON, made_before, told
from plausible.runs.walk import OnCase, Walked, walk_cases

COVERAGE = "dose_volume_coverage.csv"
DEFAULT_SET = "head_and_neck"


@dataclass(frozen=True, slots=True, eq=False)
class DosePlan:
    """Which dose belongs to which case, and what must hold.

    Attributes:
        doses: file or folder of each subject's dose.
        constraints: what must hold.
        sha256: of the text of the constraints.
        problems: cases without a dose.
    """

    doses: Mapping[str, Path]
    constraints: ConstraintSet
    sha256: str
    problems: tuple[Problem, ...] = ()


def plan_doses(study: Study, folder: Path, constraints: str | None) -> DosePlan:
    """Find the dose of every case and read the constraints.

    Args:
        study: the cases.
        folder: of the doses.
        constraints: a TOML file, or the name of a set that is shipped; None takes the one for head and neck.

    Raises:
        InvalidInput: E632, no doses; E630 or E631, constraints that cannot be read.
        ValueError: constraints that are neither a file nor shipped, or doses of other cases only.
    """
    doses = find_doses(folder)
    chosen, sha256 = read_constraints(constraints or DEFAULT_SET)
    lacking = [case.subject for case in study if case.subject not in doses]
    if len(lacking) == len(study):
        told_doses = [file_label(path) if is_dicom_case(path) else name for name, path in doses.items()]
        raise ValueError(
            f"{folder.name}: no dose has the name of a case; doses: {_some(told_doses)}; cases: {_some(lacking)}"
        )
    there = {subject: path for subject, path in doses.items() if subject not in lacking}
    return DosePlan(there, chosen, sha256, tuple(_without_dose(subject, folder) for subject in lacking))


def read_constraints(told_as: str) -> tuple[ConstraintSet, str]:
    """Read constraints from a TOML file or by the name of a set that is shipped, with a hash of what they say.

    Raises:
        InvalidInput: E630 or E631, see `parse_constraints`.
        ValueError: neither a file nor the name of a set.
    """
    path = Path(told_as)
    if path.suffix != ".toml":
        found = shipped_constraints(told_as)
        return found, sha256_of(repr(found).encode())
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"--constraints {path.name}: {type(error).__name__}; give a TOML file or one of {', '.join(SHIPPED)}"
        ) from error
    return parse_constraints(text, file=path.name), sha256_of(text.encode())


def dose_study(
    study: Study,
    output: Path,
    plan: DosePlan,
    *,
    settings: DoseSettings | None = None,
    calibrations: Calibrations | None = None,
    overwrite: bool = False,
    on_case: OnCase | None = None,
) -> Walked:
    """Judge the dose of every case that has one; the others are left out.

    Writes OUT/CASE/dose.json, dose_volume_coverage.csv and two maps. A case whose file names the same version, inputs
    (by SHA-256), constraints and settings is kept.

    Args:
        study: cases with members.
        output: folder of the results; it may hold an assessment already.
        plan: doses and constraints.
        settings: how they are judged.
        calibrations: what was calibrated on other patients; its intervals, bands and rules stand beside the members'.
        overwrite: judge again what is there already.
        on_case: called after each case.

    Raises:
        InvalidInput: E402, a patient of the calibration; nothing is written then.
        UnfitEnvironment: E903, results cannot be written.
    """
    chosen = settings or DoseSettings()
    for record in calibrations.records if calibrations else ():
        for subject in plan.doses:
            record.guarantee.check_unseen(subject)  # before a case is touched: its dose.json may be what it was made of
    return walk_cases(
        study.only(tuple(plan.doses)),
        output,
        stage="dose",
        run=lambda case: _judge(case, output, plan, settings=chosen, calibrations=calibrations, overwrite=overwrite),
        on_case=on_case,
    )


def _judge(
    case: Case,
    output: Path,
    plan: DosePlan,
    *,
    settings: DoseSettings,
    calibrations: Calibrations | None,
    overwrite: bool,
) -> bool:
    folder, source = output / case.subject, plan.doses[case.subject]
    files = {f"dose/{case.subject}": str(source)}
    chosen = asdict(settings)
    made = provenance(
        f"dose {told(chosen)}",
        settings={**chosen, "constraints": plan.constraints.name},
        inputs=case_inputs(case)
        | hash_files(files)
        | {"constraints": plan.sha256}
        | ({DOSE_CALIBRATION_JSON: calibrations.sha256} if calibrations else {}),
    )
    if not overwrite and made_before(folder / DOSE_JSON, made.key) and _maps_there(folder):
        return False
    odd = list[Problem]()
    with collecting(odd):
        dose = read_dose(source, subject=case.subject)
        members, raters = case.members(), case.raters()
        odd += _belongs(case, dose, members, raters)
        check_overlap(dose, members.geometry, subject=case.subject, file=source.name)
        found = assess_dose(members, dose, plan.constraints, settings, raters=raters)
    odd = list(dict.fromkeys(odd))
    odd += [_beyond(case.subject, name, share) for name, share in found.outside.items()]
    for problem in odd:  # for this run's list; in dose.json they stay
        warnings.warn(ProblemWarning(problem), stacklevel=2)
    (folder / CASE_PAGE).unlink(missing_ok=True)
    (folder / DOSE_JSON).unlink(missing_ok=True)
    told_made = made.to_dict()
    listed = [_write_map(folder, one, told_made) for one in found.maps]
    write_table(folder / COVERAGE, COVERAGE_COLUMNS, found.coverage)
    report = _report(members, raters, dose, found, plan, settings, listed, told_made, odd)
    write_text(folder / DOSE_JSON, to_json(calibrated_case(report, calibrations) if calibrations else report))
    return True


def _belongs(case: Case, dose: Dose, members: Members, raters: Members | None) -> list[Problem]:
    """Refuse a dose of another patient or frame of reference than image, members or references, as far as they say."""
    if dose.frame is None:
        return []
    own = replace(dose.frame, others_accepted="other_frame" in case.accept)
    frames = {"image": found} if (found := case.frame()) else {}
    sources = (*members.sources, *(raters.sources if raters else ()))
    frames |= {source.info.id: source.frame_of_reference for source in sources if isinstance(source, FramedSource)}
    return [problem for name, frame in frames.items() for problem in own.check_holds(frame, what=name, of="dose")]


def _report(
    members: Members,
    raters: Members | None,
    dose: Dose,
    found: DoseFound,
    plan: DosePlan,
    settings: DoseSettings,
    maps: Sequence[MapFile],
    made: Mapping[str, Any],
    odd: Sequence[Problem],
) -> CaseDose:
    return CaseDose(
        subject=members.subject,
        structures=found.structures,
        constraint_set=plan.constraints.name,
        constraint_note=plan.constraints.note,
        not_there=plan.constraints.without_structure(members.classes.structures),
        maximum_gy=float(dose.dose_gy.max()),
        dose_kind=dose.kind,
        dose_shape=dose.geometry.shape,
        dose_spacing_mm=dose.geometry.spacing_mm,
        interpolation=settings.dose_interpolation,
        raters=tuple(info.id for info in raters.infos) if raters else (),
        members=tuple(info.id for info in members.infos),
        scores=tuple(row.to_dict() for row in found.rows),
        maps=tuple(maps),
        provenance=made,
        methods=methods(found, settings),
        warnings=(*(f"{one.title}: {one.found}." for one in odd), *_few(len(members))),
    )


def methods(found: DoseFound, settings: DoseSettings) -> str:
    """Say in a paragraph what was done, ready for a paper."""
    made_by = "; ".join(dict.fromkeys(one.dvh_method for one in found.structures))
    return (
        f"DVHs of every member: {made_by}. Metrics are read off the cumulative curve, relative to the member's own "
        "volume. Intervals are where one further member would lie: order statistics where there are enough members "
        "(19 for 90 %), Student's prediction interval otherwise. P(violation) is the share of members that violate a "
        f"constraint, with a {settings.risk_interval.title()} interval ({100 * settings.risk_level:g} %); up to "
        f"{100 * settings.pass_up_to:g} % is a pass, from {100 * settings.fail_from:g} % a fail. The slice to review "
        "is the one whose agreement would reduce the variance of the metric over members most, by the metric's shape "
        "derivative. The dose is fixed: nothing was planned again."
    )


def _few(n_members: int) -> tuple[str, ...]:
    if n_members >= 20:
        return ()
    return (
        f"Only {n_members} member{'s' if n_members != 1 else ''}: a probability of violation is known roughly "
        "(plausible draw makes more members of soft ones).",
    )


def _write_map(folder: Path, scalar_map: ScalarMap, made: Mapping[str, Any]) -> MapFile:
    name = f"{scalar_map.name}.nii.gz"
    write_scalar_map(
        folder / name, scalar_map, sidecar={"made_by": {key: made[key] for key in made if key != "inputs"}}
    )
    listed = describe(scalar_map)
    low, high = listed.pop("valid_range")
    return MapFile(path=name, valid_range=(low, high), **{**listed, "frames": tuple(listed["frames"])})


def _maps_there(folder: Path) -> bool:
    return (folder / COVERAGE).is_file() and all(
        (folder / f"{name}{ending}").is_file() for name in (DOSE_MAP, AWARE_MAP) for ending in (".nii.gz", ".json")
    )


def _without_dose(subject: str, folder: Path) -> Problem:
    return Problem(
        code="E635",
        subject=subject,
        severity="warning",
        found=f"no file or folder {subject} in {folder.name}",
        expected="a dose named as the case is",
        fix=f"add {subject}.nii.gz in Gy, or {subject}.dcm; the other cases are done",
    )


def _beyond(subject: str, structure: str, share: float) -> Problem:
    return Problem(
        code="E636",
        subject=subject,
        severity="warning",
        found=f"{100 * share:.2g} % of {structure} beyond the dose grid",
        expected="a dose that covers the structure",
        fix="export the dose on a larger grid; metrics that depend on that part are undefined",
    )


def _some(names: Mapping[str, Path] | Sequence[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:5]) + (" ..." if len(listed) > 5 else "")
