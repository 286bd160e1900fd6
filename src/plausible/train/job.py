"""What a training needs; it travels to another process as it is, and does not need torch itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plausible.core import Classes
from plausible.train.diversity_settings import DiversitySettings
from plausible.train.plan import Plan
from plausible.train.settings import TrainingSettings
from plausible.train.split import MemberSplit

BACKBONE = "backbone"
"""Folder of a network whose features are frozen, while last layers are trained on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberJob:
    """One member's training: what it sees, on which grid and network, with which settings, on which processor.

    Attributes:
        diversity: how it was made to differ from the others, for its record.
    """

    id: str
    folder: Path
    cache: Path
    split: MemberSplit
    plan: Plan
    classes: Classes
    channels: int
    settings: TrainingSettings
    device: str
    threads: int
    diversity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleJob:
    """The training of members that are made to differ from each other, in one process.

    Attributes:
        folder: of the model; what all members share while they are trained lies here.
        unlabelled: names of the prepared images without labels, where members are to differ on such.
        unlabelled_cache: where they lie.
    """

    members: tuple[MemberJob, ...]
    diversity: DiversitySettings
    folder: Path
    unlabelled: tuple[str, ...] = ()
    unlabelled_cache: Path = Path()
