"""Checkpoint ensemble: weights kept at several moments of the last part of one training.

`keep` sets, equally spaced in the iterations after `keep_from` of the training, whose schedule is the plain network's:
the last set is the plain network itself. One training's price, and members that share most of their way.

Source: Zhang et al. 2026, doi:10.1088/1361-6560/ae7eeb.
"""

from collections.abc import Sequence

import torch

from plausible.train.hooks import Kept, Method, Training
from plausible.train.job import MemberJob
from plausible.train.trajectory import collected_at, one_whole_cycle, remember, remembered


def collect(training: Training, job: MemberJob) -> None:
    """Copy the weights where a checkpoint is due."""
    remember(training, collected_at(job.settings, job.settings.keep))


def keep(job: MemberJob, training: Training, weights: dict[str, torch.Tensor]) -> Sequence[Kept]:
    """Return every checkpoint, the earliest first."""
    return remembered(training, collected_at(job.settings, job.settings.keep), name="checkpoint")


METHOD = Method(schedule=one_whole_cycle, after_step=collect, finish=keep)
