"""Score the cases of a study against references; what is done already is kept."""

import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plausible.aggregate import MemberVolumes, agreement_rows, volume_rows
from plausible.core import Case, Members, Problem, Score, Study, collect, provenance
from plausible.core.problems import ProblemWarning
from plausible.evaluate import (
    ambiguity_rows,
    boundary_calibration_rows,
    ceiling_rows,
    check_protocols,
    evaluate_case,
    lesion_detection_rows,
    protocol_rows,
    references_of,
)
from plausible.io import case_inputs
from plausible.io.atomic import write_json
from plausible.measure import default_slab_voxels
from plausible.runs.evaluation import EvaluatedCase
from plausible.runs.layout import EVALUATION_JSON, made_before, relative, told
from plausible.runs.settings import EvaluateSettings
from plausible.runs.walk import OnCase, Walked, walk_cases


def evaluate_study(
    study: Study,
    output: Path,
    *,
    settings: EvaluateSettings | None = None,
    overwrite: bool = False,
    on_case: OnCase | None = None,
) -> Walked:
    """Score every case that has a reference; the others are left out.

    Writes OUT/CASE/evaluation.json. A case whose file names the same version, inputs (by SHA-256) and settings is kept.

    Args:
        study: cases with members and references.
        output: folder of the results; it may hold an assessment already.
        settings: how cases are scored.
        overwrite: score again what is there already.
        on_case: called after each case.

    Raises:
        UnfitEnvironment: E903, results cannot be written.
        ValueError: a protocol that these classes cannot be scored by.
    """
    chosen = settings or EvaluateSettings()
    check_protocols(chosen.protocol, study.classes, tumour=chosen.tumour, vessels=chosen.vessels)
    return walk_cases(
        study.only(referenced(study)),
        output,
        stage="evaluate",
        run=lambda case: _evaluate(case, output, settings=chosen, overwrite=overwrite),
        on_case=on_case,
    )


def referenced(study: Study) -> tuple[str, ...]:
    """Cases that have a reference."""
    return tuple(case.subject for case in study if case.load_raters is not None)


def _evaluate(case: Case, output: Path, *, settings: EvaluateSettings, overwrite: bool) -> bool:
    path = output / case.subject / EVALUATION_JSON
    chosen = asdict(settings)
    made = provenance(f"evaluate {told(chosen)}", settings=chosen, inputs=case_inputs(case))
    if not overwrite and made_before(path, made.key):
        return False
    raters = case.raters()
    assert raters is not None, f"{case.subject} was chosen for its reference"
    found = _scored(case, case.members(), raters, settings, made.to_dict(), output)
    write_json(path, found.to_dict())
    return True


def _scored(
    case: Case, members: Members, raters: Members, settings: EvaluateSettings, made: dict[str, Any], output: Path
) -> EvaluatedCase:
    slab_voxels = default_slab_voxels(members)
    references = references_of(
        raters, settings.reference, seed=settings.reference_seed, subject=case.subject, slab_voxels=slab_voxels
    )
    scored = evaluate_case(
        members,
        references,
        tolerance_mm=settings.tolerance_mm,
        n_bins=settings.n_bins,
        box_margin_mm=settings.box_margin_mm,
        slab_voxels=slab_voxels,
        subject=case.subject,
    )
    rows = [
        *volume_rows(scored.volumes, subject=case.subject),
        *agreement_rows(scored.overlap, subject=case.subject),
        *ambiguity_rows(members, raters, subject=case.subject, slab_voxels=slab_voxels),
        *_chosen_rows(case, members, raters, references, settings, slab_voxels),
        *scored.rows,
    ]
    truth = collect(raters, MemberVolumes)[MemberVolumes]
    volumes = dict(zip(truth.structures, map(float, truth.volumes_ml.mean(axis=0)), strict=True))
    files = tuple(relative(path, to=output) for path in _shown_files(case, raters, references))
    return EvaluatedCase(case.subject, tuple(rows), scored.reliability, volumes, files, made)


def _chosen_rows(
    case: Case,
    members: Members,
    raters: Members,
    references: Members,
    settings: EvaluateSettings,
    slab_voxels: int | None,
) -> Iterator[Score]:
    """Rows that the settings ask for, and those of the raters themselves."""
    common: dict[str, Any] = {"subject": case.subject, "slab_voxels": slab_voxels}
    yield from ceiling_rows(
        raters, settings.reference, tolerance_mm=settings.tolerance_mm, seed=settings.reference_seed, **common
    )
    if settings.space_sigma_mm is not None:
        yield from boundary_calibration_rows(members, references, sigma_mm=settings.space_sigma_mm, **common)
    if settings.lesion_connectivity is not None:
        yield from lesion_detection_rows(
            members,
            references,
            connectivity=settings.lesion_connectivity,
            min_iou=settings.lesion_iou,
            **common,
        )
    if settings.protocol and len(raters) < 2:
        warnings.warn(ProblemWarning(_one_rater(case.subject, settings.protocol)), stacklevel=2)
    elif settings.protocol:
        yield from protocol_rows(
            settings.protocol, members, raters, tumour=settings.tumour, vessels=settings.vessels, **common
        )


def _one_rater(subject: str, protocols: tuple[str, ...]) -> Problem:
    return Problem(
        code="E406",
        subject=subject,
        severity="warning",
        found="one rater",
        expected=f"two or more for the protocol {', '.join(protocols)}; its scores are left out",
        fix="give the folder of every rater: --references anna=FOLDER --references ben=FOLDER",
    )


def _shown_files(case: Case, raters: Members, references: Members) -> list[Path]:
    """Files of the rater whose contour pages draw: the first reference, or the first rater where it is a consensus."""
    ids = [info.id for info in raters.infos]
    first = references.infos[0].id.removeprefix("random:")
    shown = (first if first in ids else ids[0]) + "/"
    return [Path(path) for name, path in sorted(case.files.items()) if name.startswith(shown)]
