"""Assess the cases of a study: maps, rows, verdicts and pages; what is done already is kept."""

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plausible.core import Case, InvalidInput, Problem, Study, provenance
from plausible.core.problems import ProblemWarning, collecting
from plausible.io import case_inputs, is_complete, write_case
from plausible.io.atomic import write_text
from plausible.io.results import SEGMENTATION
from plausible.report import MapFile, to_json
from plausible.runs.apply_calibration import calibrated, calibrated_maps
from plausible.runs.assess_case import Assessment, assess_members
from plausible.runs.calibration import CALIBRATION_JSON, Calibrations
from plausible.runs.case_report import case_report
from plausible.runs.layout import CASE_JSON, CASE_PAGE, relative, told
from plausible.runs.learned import Learned
from plausible.runs.settings import AssessSettings
from plausible.runs.walk import OnCase, Walked, walk_cases


def assess_study(
    study: Study,
    output: Path,
    *,
    settings: AssessSettings | None = None,
    calibrations: Calibrations | None = None,
    learned: Learned | None = None,
    overwrite: bool = False,
    on_case: OnCase | None = None,
) -> Walked:
    """Assess every case of a study into a folder; `draw_pages` and `write_cohort` make the pages of it.

    A case is complete when its case.json names the same version, inputs (by SHA-256) and settings and all its files
    are there; such a case is kept. A run that was killed is run again and continues.

    Args:
        study: cases with members.
        output: folder of the results.
        settings: how cases are assessed.
        calibrations: what was calibrated on other patients; its intervals and flags are used then.
        learned: what was learnt on other cases; its thresholds are used and its mixture is read then.
        overwrite: assess again what is there already.
        on_case: called after each case.
    """
    chosen = settings or AssessSettings()
    return walk_cases(
        study,
        output,
        stage="assess",
        run=lambda case: assess_case(
            case,
            output,
            study=study,
            settings=chosen,
            calibrations=calibrations,
            learned=learned,
            overwrite=overwrite,
        ),
        on_case=on_case,
    )


def assess_case(
    case: Case,
    output: Path,
    *,
    study: Study,
    settings: AssessSettings,
    calibrations: Calibrations | None = None,
    learned: Learned | None = None,
    overwrite: bool = False,
) -> bool:
    """Assess one case into its folder; say whether there was anything to do.

    Raises:
        InvalidInput: what the readers of its image and members find.
    """
    folder = output / case.subject
    settings = learned.settings(settings) if learned else settings
    told_settings = asdict(settings)
    made = provenance(
        f"assess {told(told_settings)}".strip(),
        settings=told_settings,
        inputs=case_inputs(case)
        | ({CALIBRATION_JSON: calibrations.sha256} if calibrations else {})
        | ({"learned": learned.sha256} if learned else {}),
        ensemble=study.ensemble,
    )
    if not overwrite and is_complete(folder, made.key):
        return False
    odd = list[Problem]()
    with collecting(odd):
        found = assess_members(case.members(), settings)
        channels = _channels(case)
    for problem in odd:  # for this run's list; in case.json they stay
        warnings.warn(ProblemWarning(problem), stacklevel=2)
    found = learned.added(found) if learned else found
    infos = [asdict(info) for info in found.members.infos]
    sidecar = {
        "classes": list(case.classes.names),
        "exclusive": case.classes.exclusive,
        "class_labels": [list(values) for values in found.segmentation.classes.labels],
        "regions_class_order": list(found.segmentation.classes.order),
        "members": infos,
        "mean_of": "probabilities",
        "calibration": calibrations.summary if calibrations else None,
        "made_by": {key: value for key, value in made.to_dict().items() if key != "inputs"},
    }
    (folder / CASE_PAGE).unlink(missing_ok=True)
    maps = (*found.maps, *(calibrated_maps(found, calibrations) if calibrations else ()))
    listed = write_case(folder, maps=maps, segmentation=found.segmentation, sidecar=sidecar)
    report = case_report(
        case,
        found,
        settings,
        study=study.name,
        ensemble=study.ensemble,
        provenance=made,
        maps=[_segmentation_file(found), *map(_map_file, listed)],
        image=[relative(path, to=output) for path in image_files(case)],
        channels=channels,
        odd=odd,
    )
    write_text(folder / CASE_JSON, to_json(calibrated(report, found, calibrations) if calibrations else report))
    return True


def image_files(case: Case) -> list[str]:
    """Files of a case's image, in the order of its channels."""
    return [path for name, path in sorted(case.files.items()) if name.startswith("image/")]


def _channels(case: Case) -> tuple[str, ...]:
    """Names of the image's channels. An image that cannot be read stops nothing; its page says why it is not shown."""
    try:
        image = case.image()
    except InvalidInput:
        return ()
    return image.channels if image else ()


def _segmentation_file(found: Assessment) -> MapFile:
    labels = found.segmentation.classes
    return MapFile(
        path=SEGMENTATION,
        quantity="segmentation",
        unit="label",
        definition="label rule on the mean probability",
        valid_range=(0.0, float(max((*labels.label_values(), *labels.order)))),
    )


def _map_file(listed: Mapping[str, Any]) -> MapFile:
    low, high = listed["valid_range"]
    return MapFile(**{**listed, "valid_range": (low, high), "frames": tuple(listed["frames"])})
