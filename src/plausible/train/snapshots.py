"""Snapshot ensemble: a cyclic learning rate, and the weights at the end of each cycle.

Each cycle ends in a minimum, and the high rate at the start of the next one leaves it again.

Source: Huang et al. 2017, arXiv:1704.00109.
"""

from collections.abc import Sequence

import torch

from plausible.train.hooks import Kept, Method, Training
from plausible.train.job import MemberJob
from plausible.train.trajectory import cycle_ends, cyclic_cosine, remember, remembered


def collect(training: Training, job: MemberJob) -> None:
    """Copy the weights at the end of a cycle."""
    remember(training, cycle_ends(job.settings))


def keep(job: MemberJob, training: Training, weights: dict[str, torch.Tensor]) -> Sequence[Kept]:
    """Return the weights of every cycle."""
    return remembered(training, cycle_ends(job.settings), name="snapshot")


METHOD = Method(schedule=cyclic_cosine, after_step=collect, finish=keep)
