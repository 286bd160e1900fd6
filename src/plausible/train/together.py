"""Train all members of an ensemble at once, in one process: each has its loss, and a term that couples them.

Weights start from each member's seed, as in a deep ensemble, and each member has its own optimiser and clipped
gradients. **Members see the same patches** where they are to differ on the images they are trained on, as a term of all
predictions needs them on one batch: in the order of the first member's seed. Where they are to differ on other images,
each trains on the patches of its own seed, and all are shown these others beside them (a second pass through each
network). A weight of 0 leaves the term out.

All networks with their gradients, optimisers and activations are in memory at the same time. A checkpoint holds all of
them in one file, so that a run that was killed ends with the same bits.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from plausible.train.batches import Batches
from plausible.train.checkpoint import NAME, resume_together, save_together
from plausible.train.coupling import Coupling
from plausible.train.diversity_images import DiversityPatches
from plausible.train.hooks import Step, Training
from plausible.train.job import EnsembleJob
from plausible.train.member import batches_of, descend, finish, is_finished, start, threads_and_seed
from plausible.train.methods import METHODS
from plausible.train.network import Loss, build_loss
from plausible.train.workers import Progress


def train_together(job: EnsembleJob, *, on_progress: Progress) -> None:
    """Train all members, or continue where a killed run stopped, or return if they are finished."""
    if all(map(is_finished, job.members)):
        return
    first = job.members[0]
    with threads_and_seed(first.threads, first.split.seed):
        started = [start(member) for member in job.members]
        trainings = resume_together(job.folder, started, device=first.device)
        fit_together(job, trainings, on_progress)
        for member, training in zip(job.members, trainings, strict=True):
            if not is_finished(member):
                finish(member, training)
    (job.folder / NAME).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Material:
    """What is shown at any iteration.

    Attributes:
        batches: patches to learn from, of each member or one for all.
        losses: of each member.
        patches: others to differ on.
    """

    job: EnsembleJob
    batches: Sequence[Batches]
    losses: Sequence[Loss]
    patches: DiversityPatches | None

    @classmethod
    def of(cls, job: EnsembleJob) -> "Material":
        """Return what a training is shown."""
        others = job.diversity.images != "training"
        alone = others and job.diversity.objective.how == "together"
        batches = [batches_of(member) for member in (job.members if alone else job.members[:1])]
        losses = [build_loss(member.classes, member.settings.loss) for member in job.members]
        return cls(job, batches, losses, DiversityPatches.of(job) if others and job.diversity.weight else None)

    def steps(self, iteration: int) -> list[Step]:
        """One step for every member."""
        device = self.job.members[0].device
        drawn = [tuple(part.to(device) for part in batches.draw(iteration)) for batches in self.batches]
        shown = drawn if len(drawn) > 1 else drawn * len(self.job.members)
        return [
            Step(images, targets, loss, member, iteration)
            for member, loss, (images, targets) in zip(self.job.members, self.losses, shown, strict=True)
        ]


def fit_together(job: EnsembleJob, trainings: Sequence[Training], on_progress: Progress) -> None:
    """Take the steps that are left."""
    material, coupling, first = Material.of(job), Coupling.of(job), job.members[0]
    total = first.settings.iterations
    began = time.monotonic() - sum(training.seconds for training in trainings)
    worked = time.process_time() - sum(training.cpu_seconds for training in trainings)
    while trainings[0].iteration < total:
        losses = joint_step(trainings, material, coupling)
        for m, (member, training, loss) in enumerate(zip(job.members, trainings, losses, strict=True)):
            training.iteration += 1
            training.seconds = (time.monotonic() - began) / len(trainings)
            training.cpu_seconds = (time.process_time() - worked) / len(trainings)
            METHODS[member.settings.method].load().after_step(training, member)
            on_progress(m, training.iteration, total, loss)
        if trainings[0].iteration % first.settings.checkpoint_every == 0:
            save_together(job.folder, trainings)


def joint_step(trainings: Sequence[Training], material: Material, coupling: Coupling) -> list[float]:
    """One step of every member; returns each one's loss without the term."""
    steps = material.steps(trainings[0].iteration)
    for training in trainings:
        training.network.train()
        training.optimiser.zero_grad(set_to_none=True)
    logits = [step.forward(training.network) for step, training in zip(steps, trainings, strict=True)]
    losses = [step.supervised(one) for step, one in zip(steps, logits, strict=True)]
    terms = coupling_terms(trainings, material, coupling, steps, logits) if coupling.weight else None
    total = torch.stack(losses).sum()
    (total if terms is None else total + terms.sum()).backward()
    for step, training in zip(steps, trainings, strict=True):
        descend(training, step.job.settings)
    return [float(loss.detach()) for loss in losses]


def coupling_terms(
    trainings: Sequence[Training],
    material: Material,
    coupling: Coupling,
    steps: Sequence[Step],
    logits: Sequence[torch.Tensor],
) -> torch.Tensor:
    """Term of every member, on the batch that all share or on patches of its own."""
    if material.patches is None:
        return coupling(logits, steps[0].targets)
    drawn, masks = material.patches.draw(steps[0].iteration)
    images = drawn.to(steps[0].job.device)
    shown = [step.forward(training.network, images) for step, training in zip(steps, trainings, strict=True)]
    return coupling(shown, None if masks is None else masks.to(images.device))
