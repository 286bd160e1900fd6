"""From what was read to what each training needs: cases on the network's grid, one job a member."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from plausible.core import content_key
from plausible.io.raw_dataset import DatasetJson
from plausible.train.cases import Surveys
from plausible.train.design import Design
from plausible.train.fingerprint import Fingerprint, fingerprint
from plausible.train.job import EnsembleJob, MemberJob
from plausible.train.plan import Plan
from plausible.train.unlabelled import UNLABELLED, Unlabelled, prepare_unlabelled

CACHE = ".prepared"


def fingerprint_of(surveys: Surveys, channels: tuple[str, ...]) -> Fingerprint:
    """What the training cases are like."""
    first = surveys.first
    return fingerprint((first.measured[s] for s in first.split.train), channels=channels)


def prepared_jobs(
    output: Path, started: Mapping[str, Any], surveys: Surveys, told: DatasetJson, design: Design
) -> list[MemberJob]:
    """Bring every case onto the network's grid, and return what each member's training needs."""
    from plausible.train.cache import prepare_case

    shared, found = Plan.from_dict(started["plan"]), fingerprint_of(surveys, told.channels)
    cache = _cache(output, started)
    for rater, surveyed in surveys.by_rater.items():
        for subject in [*surveyed.split.train, *surveyed.split.validation]:
            prepare_case(surveyed.study.case(subject), shared, cache=cache / rater)
    return [
        MemberJob(
            id=f"member_{m}",
            folder=output / f"member_{m}",
            cache=cache / part.rater,
            split=part,
            plan=design.plan_of(m, found, shared),
            classes=told.classes,
            channels=len(told.channels),
            settings=replace(design.settings_of(m), precision=started["precision"]),
            device=started["device"],
            threads=started["threads"],
            diversity=design.diversity.asked,
        )
        for m, part in enumerate(design.parts(surveys))
    ]


def coupled_job(
    output: Path,
    started: Mapping[str, Any],
    jobs: Sequence[MemberJob],
    others: Unlabelled,
    design: Design,
    told: DatasetJson,
) -> EnsembleJob:
    """Return what members that are made to differ need; unlabelled images are brought onto the grid."""
    cache = _cache(output, started) / UNLABELLED
    prepare_unlabelled(others, Plan.from_dict(started["plan"]), channels=told.channels, cache=cache)
    return EnsembleJob(
        members=tuple(jobs),
        diversity=design.diversity,
        folder=output,
        unlabelled=tuple(others.images),
        unlabelled_cache=cache,
    )


def _cache(output: Path, started: Mapping[str, Any]) -> Path:
    return output / CACHE / content_key(started["plan"])[:12]
