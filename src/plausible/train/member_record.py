"""What made one member of a trained model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plausible.core import MemberInfo
from plausible.train.plan import Plan
from plausible.train.settings import TrainingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """What made one member.

    Attributes:
        rater: whose labels it was trained on, where there are several raters.
        method: how its network was trained, and what can be drawn from it.
        name: which of several sets of weights of one training this is.
        train_key: SHA-256 of the sorted list of training subjects.
        weights_sha256: SHA-256 of the weights' file.
        minutes, cpu_minutes: training time by the clock and of the processors; shared by the several of one training.
        iterations: optimiser steps whose result was kept.
        settings: settings of its training; empty means those in the model's provenance.
        plan: its own grid and network; empty means the model's.
        diversity: how it was made to differ from the others; empty where it was trained for itself.
        validation_dice: mean over validation cases and structures, on the network's grid; None without such cases.
    """

    id: str
    seed: int
    fold: int | None
    architecture: str
    train_subjects: tuple[str, ...]
    train_key: str
    validation_subjects: tuple[str, ...]
    weights: str
    weights_sha256: str
    minutes: float
    iterations: int
    validation_dice: float | None
    validation_dice_by_structure: Mapping[str, float | None] = field(default_factory=dict)
    cpu_minutes: float | None = None
    rater: str = ""
    method: str = "plain"
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    diversity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def info(self) -> MemberInfo:
        """The member as the rest of the library knows it."""
        return MemberInfo(
            id=self.id,
            kind=self._kind,
            seed=self.seed,
            fold=self.fold,
            rater=self.rater,
            architecture=self.architecture,
            checkpoint=self.weights_sha256,
            source=self.weights,
            method=self.method,
        )

    @property
    def _kind(self) -> str:
        told = {"checkpoint": self.name, "rater": self.rater, "fold": self.fold is not None}
        return next((kind for kind, there in told.items() if there), "seed")

    @property
    def training_settings(self) -> TrainingSettings:
        """Settings of its training, as far as they are known."""
        lists = {name: tuple(value) for name, value in self.settings.items() if isinstance(value, list)}
        return TrainingSettings(**{**self.settings, **lists})

    def own_plan(self, shared: Plan) -> Plan:
        """Return its own plan, or the one that its model's members share."""
        return Plan.from_dict(self.plan) if self.plan else shared


def record_from_dict(content: Mapping[str, Any]) -> MemberRecord:
    """Return what made a member from plain JSON values."""
    subjects = {name: tuple(content[name]) for name in ("train_subjects", "validation_subjects")}
    return MemberRecord(**{**content, **subjects})
