"""Train an ensemble from an nnU-Net raw dataset: survey, plan, prepare, train every member, say what made it."""

import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plausible.core import Problem, missing_extra, provenance
from plausible.io.atomic import write_json
from plausible.io.raw_dataset import DatasetJson, raters_of, read_dataset_json
from plausible.train.cases import Surveys, survey_dataset, untrainable
from plausible.train.coupled import planned, train_coupled
from plausible.train.design import Design
from plausible.train.diversity_settings import DiversitySettings
from plausible.train.folder import START, check_folder, check_same, finished_model, request_of
from plausible.train.job import BACKBONE
from plausible.train.member_record import MemberRecord
from plausible.train.model import ModelInfo
from plausible.train.naming import ensemble_name
from plausible.train.plan import Plan, plan
from plausible.train.prepared import CACHE, coupled_job, fingerprint_of, prepared_jobs
from plausible.train.recipes import RECIPES, Recipe
from plausible.train.settings import EnsembleKind, TrainingSettings
from plausible.train.split import Split
from plausible.train.unlabelled import UNLABELLED, asked_unlabelled
from plausible.train.workers import Progress, run_jobs

LEFT_OUT = ("split", "data", "version", "recipes", UNLABELLED)
"""What is not repeated in the command that stands in the model."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished model, and whether it was finished before."""

    info: ModelInfo
    was_finished: bool
    left_out: tuple[Problem, ...]


def train_ensemble(
    dataset: Path,
    output: Path,
    *,
    members: int = 5,
    ensemble: EnsembleKind = "deep",
    settings: TrainingSettings | None = None,
    raters: Sequence[str] = (),
    recipes: Sequence[Recipe] = RECIPES,
    diversity: DiversitySettings | None = None,
    unlabelled: Path | None = None,
    split: Split | None = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
    device: str = "auto",
    workers: int = 1,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> Trained:
    """Train the members of an ensemble; a run that was killed continues, a finished one is returned.

    Args:
        dataset: an nnU-Net raw dataset (dataset.json, imagesTr, labelsTr).
        output: folder of the model; empty, new, or of the same training before.
        members: how many.
        ensemble: "deep": the same cases and a seed each. "cv": each leaves out another fold. "rater": every seed with
            the labels of every rater. "heterogeneous": the same cases, a seed and a recipe each.
        settings: how each member is trained.
        raters: of a rater ensemble, each with label maps in `labelsTr_<rater>`; none takes all there are.
        recipes: of a heterogeneous ensemble, changes to the settings of member 0, 1, ...
        diversity: how members are made to differ beyond that; None trains each for itself.
        unlabelled: folder of images without labels on which members are to differ.
        split: subjects to train and validate on; None keeps `validation_fraction` of them by seed.
        validation_fraction: share of the cases for validation; 0 for none.
        seed: of the split; member m has the seed `seed + m`.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        workers: members trained at the same time, each in a process of its own; of no account where members are made
            to differ, which takes one process.
        threads: of each worker; 0 shares the processor's cores out. Bits repeat only with the same number.
        on_progress: called with member, iteration, number of iterations, loss.

    Raises:
        InvalidInput: E501 nothing to train on, E502 the folder holds something else, E503 it was trained otherwise,
            E507 no unlabelled images, E108 and E311 for an unreadable dataset.
        UnfitEnvironment: E901 torch or MONAI or the device is missing, E902 a worker was killed.
    """
    check_folder(output)
    told = read_dataset_json(dataset / "dataset.json")
    design = Design(
        members=members,
        ensemble=ensemble,
        seed=seed,
        settings=settings or TrainingSettings(),
        recipes=tuple(recipes),
        diversity=diversity or DiversitySettings(),
    )
    others = asked_unlabelled(unlabelled, design.diversity, told)
    surveys = _survey(dataset, design, raters, split, validation_fraction)
    raters = [rater for rater in surveys.by_rater if rater]
    asked = {**design.asked, "rater": raters, **asdict(design.settings)}
    request = request_of({**asked, UNLABELLED: others.hashes} if others.hashes else asked, surveys)
    finished = finished_model(output, request)
    if finished:
        return Trained(finished, True, surveys.left_out)
    workers = 1 if design.diversity.used else workers
    started = _start(output, request, design, surveys, told, device=device, threads=_threads(threads, workers))
    jobs = prepared_jobs(output, started, surveys, told, design)
    if design.diversity.used:
        train_coupled(coupled_job(output, started, jobs, others, design, told), on_progress=on_progress)
    else:
        run_jobs(jobs, workers=min(workers, len(jobs)), on_progress=on_progress)
    return Trained(_assemble(output, started, surveys, told), False, surveys.left_out)


def plan_training(
    dataset: Path,
    *,
    members: int = 5,
    ensemble: EnsembleKind = "deep",
    settings: TrainingSettings | None = None,
    raters: Sequence[str] = (),
    recipes: Sequence[Recipe] = RECIPES,
    diversity: DiversitySettings | None = None,
    unlabelled: Path | None = None,
    split: Split | None = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
) -> dict[str, Any]:
    """Say what `train_ensemble` would do with the same arguments: cases, patch, spacing, network. Nothing is written.

    Raises:
        InvalidInput: as `train_ensemble`.
    """
    design = Design(
        members=members,
        ensemble=ensemble,
        seed=seed,
        settings=settings or TrainingSettings(),
        recipes=tuple(recipes),
        diversity=diversity or DiversitySettings(),
    )
    told = read_dataset_json(dataset / "dataset.json")
    asked_unlabelled(unlabelled, design.diversity, told)
    surveys = _survey(dataset, design, raters, split, validation_fraction)
    found = fingerprint_of(surveys, told.channels)
    shared = plan(found, design.settings)
    plans = [design.plan_of(m, found, shared) for m in range(members)]
    return {
        "members": [
            {
                "seed": part.seed,
                "rater": part.rater,
                "train": len(part.train),
                "validation": len(part.validation),
                "network": own.architecture,
            }
            for own, part in zip(plans, design.parts(surveys), strict=True)
        ],
        "diversity": planned(design.diversity, plans, design.settings),
        "left_out": [problem.to_dict() for problem in surveys.left_out],
        "plan": shared.to_dict(),
    }


def _start(
    output: Path,
    request: Mapping[str, Any],
    design: Design,
    surveys: Surveys,
    told: DatasetJson,
    *,
    device: str,
    threads: int,
) -> dict[str, Any]:
    """Write down what is trained before the first step; a rerun takes device, precision and threads from there."""
    path = output / START
    if path.exists():
        started: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        check_same(output, started["request"], request)
        return started
    try:
        import torch

        from plausible.train.device import choose_device
        from plausible.train.network import choose_precision
    except ImportError as error:
        raise missing_extra(error.name or "torch", extra="train") from error
    chosen = choose_device(device)
    found = fingerprint_of(surveys, told.channels)
    started = {
        "request": request,
        "device": chosen,
        "precision": choose_precision(design.settings.precision, device=chosen),
        "threads": threads,
        "torch": torch.__version__,
        "fingerprint": asdict(found),
        "plan": plan(found, design.settings).to_dict(),
    }
    write_json(path, started)
    plain: dict[str, Any] = json.loads(json.dumps(started))
    return plain


def _assemble(output: Path, started: Mapping[str, Any], surveys: Surveys, told: DatasetJson) -> ModelInfo:
    from plausible.train.member import read_records

    request = started["request"]
    folders = [output / f"member_{m}" for m in range(request["members"])]
    records = tuple(record for folder in folders for record in read_records(folder))
    settings = {name: value for name, value in request.items() if name != "data"}
    made = provenance(_command(request), settings=settings, inputs=surveys.hashes, minutes=_minutes(records))
    info = ModelInfo(
        classes=told.classes,
        channels=told.channels,
        plan=Plan.from_dict(started["plan"]),
        members=records,
        ensemble=ensemble_name(records),
        provenance=made.to_dict(),
        fingerprint=started["fingerprint"],
        environment=_environment(started),
        left_out=tuple(problem.to_dict() for problem in surveys.left_out),
    )
    write_json(output / "model.json", info.to_dict())
    shutil.rmtree(output / BACKBONE, ignore_errors=True)
    for leftover in (output / START, *(folder / "member.json" for folder in folders)):
        leftover.unlink(missing_ok=True)
    shutil.rmtree(output / CACHE, ignore_errors=True)
    return info


def _survey(
    dataset: Path, design: Design, raters: Sequence[str], split: Split | None, validation_fraction: float
) -> Surveys:
    """Read every case that the design trains or validates on, once for each of its raters."""
    return survey_dataset(
        dataset,
        raters=_raters(dataset, raters, design.ensemble),
        split=split,
        validation_fraction=validation_fraction,
        seed=design.seed,
    )


def _raters(dataset: Path, raters: Sequence[str], ensemble: EnsembleKind) -> tuple[str, ...]:
    """Raters of a rater ensemble: those told, or all that the dataset has."""
    if ensemble != "rater":
        if raters:
            raise ValueError(f"raters are of a rater ensemble (--ensemble rater), not of a {ensemble} one")
        return ()
    found = tuple(raters) or raters_of(dataset)
    if not found:
        raise untrainable(
            "no folder labelsTr_RATER",
            expected="label maps of each rater in labelsTr_RATER",
            fix="add them, or --ensemble deep",
        )
    return found


def _command(request: Mapping[str, Any]) -> str:
    """Return the verb with its settings as they are typed; no paths of the machine."""
    told = {name: value for name, value in request.items() if name not in LEFT_OUT and value != []}
    return " ".join(["train", *(word for name, value in told.items() for word in _typed(name, value))])


def _typed(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is None:
        return []
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if name == "patch":
        return [flag, *map(str, value)]
    return [word for one in (value if isinstance(value, list) else [value]) for word in (flag, str(one))]


def _environment(started: Mapping[str, Any]) -> dict[str, Any]:
    import monai

    used = {name: started[name] for name in ("device", "precision", "threads", "torch")}
    return {**used, "monai": monai.__version__, "python": platform.python_version(), "machine": platform.machine()}


def _minutes(records: tuple[MemberRecord, ...]) -> float:
    return round(sum(record.minutes for record in records), 2)


def _threads(threads: int, workers: int) -> int:
    return threads or max(1, (os.cpu_count() or 1) // max(workers, 1))
