"""From an assessment to what case.json holds: verdict, structures, profiles, provenance and methods."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from plausible.aggregate import mean_pairwise_dice, pairwise_dice, touches_edge, volume_interval, worst_slice
from plausible.core import Case, MemberInfo, Problem, Provenance
from plausible.report import CaseReport, Interval, MapFile, SliceProfile, State, StructureSummary, Verdict
from plausible.runs.assess_case import PROBABILITY, Assessment, volume_ml, warnings_of
from plausible.runs.settings import AssessSettings

LOW_AGREEMENT = "low_agreement"
ABSENT_IN_SOME = "absent_in_some_members"


def case_report(
    case: Case,
    found: Assessment,
    settings: AssessSettings,
    *,
    study: str,
    ensemble: str,
    provenance: Provenance,
    maps: Sequence[MapFile],
    image: Sequence[str],
    channels: Sequence[str],
    odd: Sequence[Problem] = (),
) -> CaseReport:
    """Return what case.json holds of an assessed case."""
    structures = tuple(_structures(found, settings))
    members = found.members
    empty = [s.name for s in structures if not any(s.member_volumes_ml)]
    return CaseReport(
        subject=case.subject,
        study=study,
        verdict=verdict(structures, limit=settings.review_below, n_members=len(members)),
        structures=structures,
        profiles=tuple(
            SliceProfile(
                structure=one.structure,
                axis=one.axis,
                uncertain_area_cm2=tuple(map(float, one.uncertain_area_cm2)),
                area_cm2=tuple(map(float, one.area_cm2)),
            )
            for one in found.profiles
        ),
        members=tuple(asdict(info) for info in members.infos),
        ensemble=ensemble or counted(members.infos),
        scores=tuple(row.to_dict() for row in found.rows),
        maps=tuple(maps),
        shape=members.geometry.shape,
        spacing_mm=members.geometry.spacing_mm,
        exclusive=case.classes.exclusive,
        provenance=provenance.to_dict(),
        methods=methods(found, settings),
        hard_members=all(source.hard for source in members.sources),
        image=tuple(image),
        channels=tuple(channels),
        warnings=(*warnings_of(members, empty), *dict.fromkeys(f"{one.title}: {one.found}." for one in odd)),
    )


def counted(infos: Sequence[MemberInfo]) -> str:
    """How many members there are, or raters if all of them are people."""
    word = "rater" if infos and all(info.kind == "rater" for info in infos) else "member"
    return f"{len(infos)} {word}" + ("s" if len(infos) != 1 else "")


def verdict(structures: Sequence[StructureSummary], *, limit: float | None, n_members: int) -> Verdict:
    """Say what to do with a case: the least agreed structure decides, and a structure that some members lack."""
    defined = [(s.agreement, s) for s in structures if s.agreement is not None]
    if n_members < 2:
        return Verdict(state="cannot_tell", reason="There is only one member: nothing can disagree.", limit=limit)
    if not defined:
        return Verdict(state="cannot_tell", reason="No member found any structure.", limit=limit)
    agreement, least = min(defined, key=lambda pair: pair[0])
    reason, state = _reason(least, agreement, limit, [s.name for s in structures if ABSENT_IN_SOME in s.flags])
    return Verdict(state=state, reason=reason, value=agreement, limit=limit, structure=least.name)


def _reason(least: StructureSummary, agreement: float, limit: float | None, absent: Sequence[str]) -> tuple[str, State]:
    where = f"Members agree least on {least.name}: mean pairwise Dice {agreement:.2f}"
    where += f", most uncertain in slice {least.worst_slice}" if least.worst_slice is not None else ""
    if absent:
        return f"Some members did not find {', '.join(absent)}. {where}.", "review"
    if limit is None:
        return f"{where}. No limit is set, so no verdict is given (--review-below, or a calibration).", "cannot_tell"
    if agreement < limit:
        return f"{where}, below the limit of {limit:.2f}.", "review"
    return f"{where}, not below the limit of {limit:.2f}.", "pass"


def _structures(found: Assessment, settings: AssessSettings) -> list[StructureSummary]:
    low, high = volume_interval(found.volumes, level=settings.interval_level)
    agreement, matrices = mean_pairwise_dice(found.overlap), pairwise_dice(found.overlap)
    return [
        _structure(found, settings, s, (float(low[s]), float(high[s])), float(agreement[s]), matrices[s])
        for s in range(len(found.volumes.structures))
    ]


def _structure(
    found: Assessment,
    settings: AssessSettings,
    s: int,
    interval: tuple[float, float],
    agreement: float,
    matrix: np.ndarray,
) -> StructureSummary:
    volumes = found.volumes.volumes_ml[:, s]
    mask, several = found.masks.predicted[s], len(volumes) > 1
    flags = []
    if settings.review_below is not None and agreement < settings.review_below:
        flags.append(LOW_AGREEMENT)
    if 0 < np.count_nonzero(volumes) < len(volumes):
        flags.append(ABSENT_IN_SOME)
    share = f"{100 * settings.interval_level:g} %"
    return StructureSummary(
        name=found.volumes.structures[s],
        volume_ml=Interval(
            value=volume_ml(mask, found.members.geometry),
            low=interval[0] if several else None,
            high=interval[1] if several else None,
            level=settings.interval_level if several else None,
            n=len(volumes),
            meaning=f"range of the middle {share} of {len(volumes)} members, not calibrated" if several else "",
        ),
        member_volumes_ml=tuple(map(float, volumes)),
        expected_volume_ml=float(found.volumes.expected_ml[:, s].mean()),
        volume_cv=_defined(_row(found, s, "volume_cv")),
        agreement=_defined(agreement),
        agreement_matrix=tuple(tuple(_defined(float(v)) for v in row) for row in matrix) if several else (),
        worst_slice=worst_slice(found.profiles[s]),
        touches_edge=touches_edge(mask),
        flags=tuple(flags),
    )


def _row(found: Assessment, s: int, measure: str) -> float:
    name = found.volumes.structures[s]
    return next(row.value for row in found.rows if row.measure == measure and row.structure == name)


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None


def methods(found: Assessment, settings: AssessSettings) -> str:
    """Say in a paragraph what was done, ready for a paper."""
    who = counted(found.members.infos)
    hard = all(source.hard for source in found.members.sources)
    what = "label maps (0 or 1 at each voxel)" if hard else "probabilities"
    names = ", ".join(one.name.replace("_", " ") for one in found.maps if one.name != PROBABILITY)
    rule = "the most probable class" if found.members.classes.exclusive else "probability above 0.5 per region"
    return (
        f"The {what} of {who} were averaged (linear pool); the segmentation is {rule} of the mean. "
        f"Voxel maps: {names}; natural logarithm, in nat. Each was summarised over the whole image, the predicted "
        f"structure, all voxels that any member gave to the structure, and a shell of {settings.boundary_mm:g} mm on "
        "either side of the predicted surface. Agreement is the mean Dice over all pairs of members. Volumes are those "
        f"of the members' own masks; intervals are the middle {100 * settings.interval_level:g} % of the members "
        "(linear quantiles) and are not calibrated." + "".join(_further_methods(settings))
    )


def _further_methods(settings: AssessSettings) -> Iterator[str]:
    """Say what was asked for beyond the everyday numbers."""
    if settings.thresholds:
        yield f" Voxels count as uncertain from {', '.join(settings.thresholds)}."
    if settings.aggregations:
        yield f" Further aggregations: {', '.join(settings.aggregations)}."
    if settings.lesion_connectivity is not None:
        yield (
            f" Lesions are the connected components of the segmentation ({settings.lesion_connectivity} neighbours); a "
            "member finds one if a component of its own shares a voxel with it."
        )
    if settings.agreement_tolerance_mm is not None:
        yield (
            " Surfaces of the members are compared in pairs by normalized surface Dice with a tolerance of "
            f"{settings.agreement_tolerance_mm:g} mm."
        )
