"""A training under way on disk: weights, optimiser, schedule, what the method collected, and torch's random state."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from plausible.io.atomic import write_bytes
from plausible.train.hooks import Training

NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, training: Training) -> None:
    """Write everything that is needed to continue with the same bits."""
    write_bytes(folder / NAME, saved(_content(training)))


def save_together(folder: Path, trainings: Sequence[Training]) -> None:
    """Write several trainings that go in step as one file, so that none is ahead of the others."""
    write_bytes(folder / NAME, saved({"members": [_content(training) for training in trainings]}))


def _content(training: Training) -> dict[str, Any]:
    return {
        "network": training.network.state_dict(),
        "optimiser": training.optimiser.state_dict(),
        "schedule": training.schedule.state_dict(),
        "average": training.average,
        "memory": training.memory,
        "best": training.best,
        "random": torch.get_rng_state(),
        "numbers": [training.iteration, training.best_dice, training.best_iteration],
        "seconds": [training.seconds, training.cpu_seconds],
        "history": [list(entry) for entry in training.history],
    }


def resume(folder: Path, training: Training, *, device: str) -> Training:
    """Continue from the checkpoint of a folder, if there is one."""
    content = _read(folder, device)
    return training if content is None else _restored(training, content)


def resume_together(folder: Path, trainings: Sequence[Training], *, device: str) -> list[Training]:
    """Continue trainings that go in step, if there is a checkpoint of them."""
    content = _read(folder, device)
    if content is None:
        return list(trainings)
    return [_restored(training, told) for training, told in zip(trainings, content["members"], strict=True)]


def _read(folder: Path, device: str) -> Any:
    path = folder / NAME
    if not path.exists():
        return None
    return loaded(path.read_bytes(), device=device)


def _restored(training: Training, content: Mapping[str, Any]) -> Training:
    training.network.load_state_dict(content["network"])
    training.optimiser.load_state_dict(content["optimiser"])
    training.schedule.load_state_dict(content["schedule"])
    torch.set_rng_state(content["random"].cpu())
    training.average, training.best, training.memory = content["average"], content["best"], content["memory"]
    training.iteration, training.best_dice, training.best_iteration = content["numbers"]
    training.seconds, training.cpu_seconds = content["seconds"]
    training.history = [(int(iteration), float(dice)) for iteration, dice in content["history"]]
    return training


def loaded(data: bytes, *, device: str) -> Any:
    """Return what is in a torch file: weights and plain values only, since anything else could run code."""
    return torch.load(io.BytesIO(data), map_location=device, weights_only=True)


def saved(content: Any) -> bytes:
    """Bytes of a torch file."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
