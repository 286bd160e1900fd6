"""Score the cases of a study against references; what is done already is kept."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from plausible.aggregate import MemberVolumes, PairwiseOverlap, agreement_rows, volume_rows
from plausible.core import Case, InvalidInput, Members, Study, collect, provenance
from plausible.evaluate import ambiguity_rows, boundary_calibration_rows, evaluate_case
from plausible.io import hash_files
from plausible.io.atomic import write_json
from plausible.measure import default_slab_voxels
from plausible.runs.evaluation import EvaluatedCase
from plausible.runs.layout import EVALUATION_JSON, read_json, relative, told
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
    """
    chosen = settings or EvaluateSettings()
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
    made = provenance(f"evaluate {told(chosen)}", settings=chosen, inputs=hash_files(case.files))
    if not overwrite and _key(path) == made.key:
        return False
    raters = case.raters()
    assert raters is not None, f"{case.subject} was chosen for its reference"
    found = _scored(case, case.members(), raters, settings, made.to_dict(), output)
    write_json(path, found.to_dict())
    return True


def _key(path: Path) -> str:
    """Key of the evaluation that is there; empty if there is none, or a damaged one, which is made again."""
    try:
        return str((read_json(path) or {})["provenance"]["key"])
    except (InvalidInput, KeyError, TypeError):
        return ""


def _scored(
    case: Case, members: Members, raters: Members, settings: EvaluateSettings, made: dict[str, Any], output: Path
) -> EvaluatedCase:
    slab_voxels = default_slab_voxels(members)
    scored = evaluate_case(
        members,
        raters,
        tolerance_mm=settings.tolerance_mm,
        n_bins=settings.n_bins,
        box_margin_mm=settings.box_margin_mm,
        slab_voxels=slab_voxels,
        subject=case.subject,
    )
    own = collect(members, MemberVolumes, PairwiseOverlap, slab_voxels=slab_voxels)
    plain = [
        *volume_rows(own[MemberVolumes], subject=case.subject),
        *agreement_rows(own[PairwiseOverlap], subject=case.subject),
        *ambiguity_rows(members, raters, subject=case.subject, slab_voxels=slab_voxels),
    ]
    if settings.space_sigma_mm is not None:
        plain += boundary_calibration_rows(
            members, raters, sigma_mm=settings.space_sigma_mm, subject=case.subject, slab_voxels=slab_voxels
        )
    truth = collect(raters, MemberVolumes)[MemberVolumes]
    volumes = dict(zip(truth.structures, map(float, truth.volumes_ml.mean(axis=0)), strict=True))
    first = raters.infos[0].id + "/"
    files = tuple(relative(path, to=output) for name, path in sorted(case.files.items()) if name.startswith(first))
    return EvaluatedCase(case.subject, (*plain, *scored.rows), scored.reliability, volumes, files, made)
