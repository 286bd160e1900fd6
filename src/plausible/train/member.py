"""Train one network: steps, validations, checkpoints, and what is kept at the end.

A checkpoint holds weights, optimiser, schedule, average, best weights and torch's random state; patches are a function
of seed and iteration. A run that was killed therefore ends with the same bits as one that was not, on the same
processor with the same number of threads.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

from plausible.core import sha256_of
from plausible.io.atomic import write_bytes, write_json
from plausible.train.batches import Batches, augmentation
from plausible.train.cache import load_case
from plausible.train.checkpoint import NAME as CHECKPOINT
from plausible.train.checkpoint import resume, save_checkpoint, saved
from plausible.train.hooks import Functions, Kept, Method, Step, Training, Weights
from plausible.train.job import MemberJob
from plausible.train.member_record import MemberRecord, record_from_dict
from plausible.train.methods import METHODS
from plausible.train.network import Network, build_loss, build_network, weights_of
from plausible.train.settings import TrainingSettings
from plausible.train.validation import mean_of, validation_dice

OnIteration = Callable[[int, float], None]
Penalty = Callable[[Network], torch.Tensor]
"""What is added to the loss of a step, from the network's weights."""

CLIP_NORM = 12.0


def train_member(
    job: MemberJob, *, on_iteration: OnIteration | None = None, penalty: Penalty | None = None
) -> tuple[MemberRecord, ...]:
    """Train a network, or continue where a killed run stopped, or return what is finished.

    One training keeps one set of weights, or several (checkpoints): a record each.
    """
    if is_finished(job):
        return read_records(job.folder)
    with threads_and_seed(job.threads, job.split.seed):
        training = resume(job.folder, start(job), device=job.device)
        _fit(job, training, on_iteration or (lambda iteration, loss: None), penalty)
        return finish(job, training)


def is_finished(job: MemberJob) -> bool:
    """Whether a member's training is done."""
    return (job.folder / "member.json").exists()


def read_records(folder: Path) -> tuple[MemberRecord, ...]:
    """Read what a finished training kept."""
    content = json.loads((folder / "member.json").read_text(encoding="utf-8"))
    return tuple(record_from_dict(record) for record in content["records"])


def start(job: MemberJob) -> Training:
    """Return a training before its first step, drawn by the member's seed."""
    settings, method = job.settings, METHODS[job.settings.method].load()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.split.seed)
        network = method.trainable(_built(job, method), settings).to(job.device)
    optimiser = torch.optim.AdamW(
        method.parameters(network, settings), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    average = weights_of(network) if settings.ema_decay else {}
    return Training(network, optimiser, method.schedule(optimiser, settings), average)


def batches_of(job: MemberJob) -> Batches:
    """Patches of a member's training, in the order of its seed."""
    cases = [load_case(job.cache, subject) for subject in job.split.train]
    return Batches(cases, job.classes, job.plan, job.settings, job.split.seed, augmentation(job.plan, job.settings))


def _fit(job: MemberJob, training: Training, on_iteration: OnIteration, penalty: Penalty | None) -> None:
    settings, method = job.settings, METHODS[job.settings.method].load()
    batches = batches_of(job)
    loss = build_loss(job.classes, settings.loss)
    began, worked = time.monotonic() - training.seconds, time.process_time() - training.cpu_seconds
    while training.iteration < settings.iterations and not _exhausted(settings, training):
        images, targets = (part.to(job.device) for part in batches.draw(training.iteration))
        value = _step(training, method, Step(images, targets, loss, job, training.iteration), penalty)
        training.iteration += 1
        method.after_step(training, job)
        training.seconds, training.cpu_seconds = time.monotonic() - began, time.process_time() - worked
        if settings.validate_every and training.iteration % settings.validate_every == 0 and job.split.validation:
            _validate(job, training)
        if training.iteration % settings.checkpoint_every == 0:
            save_checkpoint(job.folder, training)
        on_iteration(training.iteration, value)


def _step(training: Training, method: Method, step: Step, penalty: Penalty | None) -> float:
    training.network.train()
    training.optimiser.zero_grad(set_to_none=True)
    value = method.objective(training.network, step)
    (value + penalty(training.network) if penalty else value).backward()
    descend(training, step.job.settings)
    return float(value.detach())


def descend(training: Training, settings: TrainingSettings) -> None:
    """Take the step whose gradients are there."""
    torch.nn.utils.clip_grad_norm_(training.network.parameters(), CLIP_NORM)
    training.optimiser.step()
    training.schedule.step()
    if settings.ema_decay:
        with torch.no_grad():
            for name, weights in training.network.named_parameters():
                training.average[name].lerp_(weights, 1 - settings.ema_decay)


def _validate(job: MemberJob, training: Training) -> None:
    weights, method = _current(training), METHODS[job.settings.method].load()
    functions = method.preview(_built(job, method).to(job.device), weights, job.settings)
    dice = mean_of(validation_dice(functions, job))
    training.history.append((training.iteration, dice))
    if dice > training.best_dice and job.settings.patience:
        training.best_dice, training.best_iteration, training.best = dice, training.iteration, weights


def _exhausted(settings: TrainingSettings, training: Training) -> bool:
    waited = training.iteration - training.best_iteration
    return bool(settings.patience and training.history) and waited >= settings.patience * settings.validate_every


def finish(job: MemberJob, training: Training, weights: Weights | None = None) -> tuple[MemberRecord, ...]:
    """Keep what a training ended with, or the weights told, and say what made them."""
    kept = dict(weights or training.best or _current(training))
    found = METHODS[job.settings.method].load().finish(job, training, kept)
    records = tuple(_record(job, kept, training, shared=len(found)) for kept in found)
    write_json(job.folder / "member.json", {"records": [asdict(record) for record in records]})
    (job.folder / CHECKPOINT).unlink(missing_ok=True)
    return records


def _record(job: MemberJob, kept: Kept, training: Training, *, shared: int) -> MemberRecord:
    """Write one set of weights and say what made it; sets of one training share its minutes."""
    stored = {name: _as_stored(tensor.cpu(), job.settings) for name, tensor in kept.weights.items()}
    data, file = saved(stored), job.folder / f"{kept.name or 'weights'}.pt"
    write_bytes(file, data)
    dice = validation_dice(functions_of(job, stored), job) if job.split.validation else {}
    return MemberRecord(
        id=f"{job.id}.{kept.name}" if kept.name else job.id,
        seed=job.split.seed,
        fold=job.split.fold,
        rater=job.split.rater,
        architecture=job.plan.architecture,
        method=job.settings.method,
        name=kept.name,
        train_subjects=job.split.train,
        train_key=job.split.key,
        validation_subjects=job.split.validation,
        weights=f"{job.folder.name}/{file.name}",
        weights_sha256=sha256_of(data),
        minutes=round(training.seconds / 60 / shared, 2),
        cpu_minutes=round(training.cpu_seconds / 60 / shared, 2),
        iterations=kept.iterations or (training.best_iteration if training.best else training.iteration),
        validation_dice=mean_of(dice) if dice else None,
        validation_dice_by_structure=dice,
        settings=asdict(job.settings),
        plan=job.plan.to_dict(),
        diversity=dict(job.diversity),
    )


def functions_of(job: MemberJob, weights: Weights) -> Functions:
    """What was kept of a training, ready to draw from."""
    method = METHODS[job.settings.method].load()
    return method.functions(_built(job, method).to(job.device), weights, job.settings)


def _built(job: MemberJob, method: Method) -> torch.nn.Module:
    outputs = method.outputs(len(job.classes.names), job.settings)
    return build_network(job.plan, channels=job.channels, outputs=outputs, seed=job.split.seed)


def _current(training: Training) -> dict[str, torch.Tensor]:
    average = {name: tensor.clone() for name, tensor in training.average.items()}
    return average or weights_of(training.network)


def _as_stored(tensor: torch.Tensor, settings: TrainingSettings) -> torch.Tensor:
    halved = settings.weights_as == "float16" and tensor.dtype == torch.float32
    return tensor.half() if halved else tensor


@contextmanager
def threads_and_seed(threads: int, seed: int) -> Iterator[None]:
    """Compute with so many threads and from this random state; both are put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)
