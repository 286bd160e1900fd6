"""What one member's training needs; it travels to another process as it is, and does not need torch itself."""

from dataclasses import dataclass
from pathlib import Path

from plausible.core import Classes
from plausible.train.plan import Plan
from plausible.train.settings import TrainingSettings
from plausible.train.split import MemberSplit


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberJob:
    """One member's training: what it sees, on which grid and network, with which settings, on which processor."""

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
