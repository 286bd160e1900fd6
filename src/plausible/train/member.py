"""Train one member: steps, validations, checkpoints, and the finished weights.

A checkpoint holds weights, optimiser, schedule, average, best weights and torch's random state; patches are a function
of seed and iteration. A run that was killed therefore ends with the same bits as one that was not, on the same
processor with the same number of threads.
"""

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from plausible.core import sha256_of
from plausible.io.atomic import write_bytes, write_json
from plausible.train.batches import Batches, augmentation
from plausible.train.cache import load_case
from plausible.train.job import MemberJob
from plausible.train.model import MemberRecord
from plausible.train.network import (
    Loss,
    Network,
    autocast,
    build_loss,
    build_network,
    load_weights,
    supervised_loss,
    weights_of,
)
from plausible.train.settings import TrainingSettings
from plausible.train.validation import mean_of, validation_dice

OnIteration = Callable[[int, float], None]
CLIP_NORM = 12.0


@dataclass(slots=True)
class State:
    """A training under way."""

    network: Network
    optimiser: Any
    schedule: Any
    average: dict[str, torch.Tensor]
    iteration: int = 0
    seconds: float = 0.0
    best_dice: float = -1.0
    best_iteration: int = 0
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[tuple[int, float]] = field(default_factory=list)


def train_member(job: MemberJob, *, on_iteration: OnIteration | None = None) -> MemberRecord:
    """Train a member, or continue where a killed run stopped, or return it if it is finished."""
    finished = job.folder / "member.json"
    if finished.exists():
        return read_record(finished)
    with _threads(job.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.split.seed)
        state = _resume(job, _start(job))
        _fit(job, state, on_iteration or (lambda iteration, loss: None))
        return _finish(job, state)


def read_record(path: Path) -> MemberRecord:
    """Read what made a finished member."""
    content = json.loads(path.read_text(encoding="utf-8"))
    subjects = {name: tuple(content[name]) for name in ("train_subjects", "validation_subjects")}
    return MemberRecord(**{**content, **subjects})


def _start(job: MemberJob) -> State:
    settings = job.settings
    network = build_network(job.plan, channels=job.channels, classes=job.classes, seed=job.split.seed).to(job.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        settings.learning_rate,
        total_steps=settings.iterations + 1,
        pct_start=settings.warmup,
        cycle_momentum=False,
    )
    average = weights_of(network) if settings.ema_decay else {}
    return State(network, optimiser, schedule, average)


def _fit(job: MemberJob, state: State, on_iteration: OnIteration) -> None:
    settings = job.settings
    cases = [load_case(job.cache, subject) for subject in job.split.train]
    batches = Batches(cases, job.classes, job.plan, settings, job.split.seed, augmentation(job.plan, settings))
    loss = build_loss(job.classes)
    began = time.monotonic() - state.seconds
    while state.iteration < settings.iterations and not _exhausted(settings, state):
        value = _step(job, state, loss, batches.draw(state.iteration))
        state.iteration += 1
        state.seconds = time.monotonic() - began
        if settings.validate_every and state.iteration % settings.validate_every == 0 and job.split.validation:
            _validate(job, state)
        if state.iteration % settings.checkpoint_every == 0:
            write_bytes(job.folder / "checkpoint.pt", _saved(_checkpoint(state)))
        on_iteration(state.iteration, value)


def _step(job: MemberJob, state: State, loss: Loss, batch: tuple[torch.Tensor, torch.Tensor]) -> float:
    state.network.train()
    images, targets = (part.to(job.device) for part in batch)
    state.optimiser.zero_grad(set_to_none=True)
    with autocast(job.settings.precision, device=job.device):
        logits = state.network(images)
    value = supervised_loss(loss, logits, targets)
    value.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), CLIP_NORM)
    state.optimiser.step()
    state.schedule.step()
    decay = job.settings.ema_decay
    if decay:
        with torch.no_grad():
            for name, weights in state.network.named_parameters():
                state.average[name].lerp_(weights, 1 - decay)
    return float(value.detach())


def _validate(job: MemberJob, state: State) -> None:
    weights = _current(state)
    dice = mean_of(validation_dice(_with(job, weights), job))
    state.history.append((state.iteration, dice))
    if dice > state.best_dice and job.settings.patience:
        state.best_dice, state.best_iteration, state.best = dice, state.iteration, weights


def _exhausted(settings: TrainingSettings, state: State) -> bool:
    waited = state.iteration - state.best_iteration
    return bool(settings.patience and state.history) and waited >= settings.patience * settings.validate_every


def _finish(job: MemberJob, state: State) -> MemberRecord:
    weights, kept = (state.best, state.best_iteration) if state.best else (_current(state), state.iteration)
    stored = {name: _as_stored(tensor.cpu(), job.settings) for name, tensor in weights.items()}
    data = _saved(stored)
    write_bytes(job.folder / "weights.pt", data)
    dice = validation_dice(_with(job, stored), job) if job.split.validation else {}
    record = MemberRecord(
        id=job.id,
        seed=job.split.seed,
        fold=job.split.fold,
        architecture=job.plan.architecture,
        train_subjects=job.split.train,
        train_key=job.split.key,
        validation_subjects=job.split.validation,
        weights=f"{job.folder.name}/weights.pt",
        weights_sha256=sha256_of(data),
        minutes=round(state.seconds / 60, 2),
        iterations=kept,
        validation_dice=mean_of(dice) if dice else None,
        validation_dice_by_structure=dice,
    )
    write_json(job.folder / "member.json", asdict(record))
    (job.folder / "checkpoint.pt").unlink(missing_ok=True)
    return record


def _checkpoint(state: State) -> dict[str, Any]:
    return {
        "network": state.network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "schedule": state.schedule.state_dict(),
        "average": state.average,
        "best": state.best,
        "random": torch.get_rng_state(),
        "numbers": [state.iteration, state.seconds, state.best_dice, state.best_iteration],
        "history": [list(entry) for entry in state.history],
    }


def _resume(job: MemberJob, state: State) -> State:
    path = job.folder / "checkpoint.pt"
    if not path.exists():
        return state
    content = torch.load(io.BytesIO(path.read_bytes()), map_location=job.device, weights_only=True)
    state.network.load_state_dict(content["network"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.schedule.load_state_dict(content["schedule"])
    torch.set_rng_state(content["random"].cpu())
    state.average, state.best = content["average"], content["best"]
    state.iteration, state.seconds, state.best_dice, state.best_iteration = content["numbers"]
    state.history = [(int(iteration), float(dice)) for iteration, dice in content["history"]]
    return state


def _current(state: State) -> dict[str, torch.Tensor]:
    average = {name: tensor.clone() for name, tensor in state.average.items()}
    return average or weights_of(state.network)


def _with(job: MemberJob, weights: dict[str, torch.Tensor]) -> Network:
    network = build_network(job.plan, channels=job.channels, classes=job.classes, seed=0).to(job.device)
    load_weights(network, weights)
    return network


def _as_stored(tensor: torch.Tensor, settings: TrainingSettings) -> torch.Tensor:
    return tensor.half() if settings.weights_as == "float16" else tensor


def _saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
