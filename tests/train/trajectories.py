"""What the tests of methods that collect weights share: tiny trainings, and plain gradient descent on a quadratic."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from plausible.core import Classes
from plausible.io.images import find_images, read_image
from plausible.sample import load_model
from plausible.sample.sampling import Sampling
from plausible.train import TrainingSettings, train_ensemble
from plausible.train import member as member_module
from plausible.train.fingerprint import Fingerprint
from plausible.train.grid import ChannelFingerprint
from plausible.train.hooks import Training
from plausible.train.job import MemberJob
from plausible.train.plan import plan
from plausible.train.split import MemberSplit
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY

SHORT = replace(TINY, iterations=12, keep=3, rank=2, checkpoint_every=5)
"""Cycles of four iterations; checkpoints 8, 10, 12; SWAG collects after every iteration from 7 to 12."""


def trained_with(dataset: Path, folder: Path, method: str, *, members: int = 1, **more):
    settings = replace(SHORT, method=method, **more)
    return train_ensemble(dataset, folder, members=members, settings=settings, split=SPLIT, threads=1)


def train_interrupted(dataset: Path, folder: Path, method: str, monkeypatch, *, at: int, **more):
    """Stop in the step of this number (from 1), then train again to the end."""
    step, steps = member_module._step, []

    def stopping(*arguments):
        steps.append(1)
        if len(steps) == at:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(member_module, "_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        trained_with(dataset, folder, method, **more)
    assert (folder / "member_0/checkpoint.pt").exists()
    monkeypatch.setattr(member_module, "_step", step)
    return trained_with(dataset, folder, method, **more)


def digests(trained) -> list[str]:
    return [record.weights_sha256 for record in trained.info.members]


def predicted(dataset: Path, folder: Path, *, draws: int = 3, seed: int = 0, **more) -> dict[str, np.ndarray]:
    """Probabilities of a case that was not trained on, by member."""
    sampling = Sampling(draws=draws, sampling_seed=seed)
    model = load_model(folder, device="cpu", precision="float32", sampling=sampling, **more)
    image = read_image(find_images(dataset / "imagesTr")["case_4"], channels=model.channels, subject="case_4")
    return {m.info.id: m.probabilities for m in model.predict(image, range(len(model.infos)), subject="case_4")}


def job_of(settings: TrainingSettings, folder: Path, *, exclusive: bool = True, split: MemberSplit | None = None):
    """A job as training gets it, for images of 8 x 12 x 16 voxels."""
    channel = ChannelFingerprint(
        name="MR", scheme="z-score", mean=0.0, sd=1.0, percentile_00_5=0.0, percentile_99_5=1.0, zero_share=0.0
    )
    fingerprint = Fingerprint(
        n_cases=1,
        median_size_mm=(8.0, 12.0, 16.0),
        median_spacing_mm=(1.0, 1.0, 1.0),
        fine_spacing_mm=(1.0, 1.0, 1.0),
        channels=(channel,),
    )
    labels = ((0,), (1,), (2,)) if exclusive else ((1, 2), (2,))
    names = ("background", "shell", "core") if exclusive else ("whole", "core")
    return MemberJob(
        id="member_0",
        folder=folder,
        cache=folder,
        split=split or MemberSplit(0, None, ("case_0",), ()),
        plan=plan(fingerprint, replace(settings, patch=(8, 12, 16))),
        classes=Classes(names, exclusive=exclusive, labels=labels),
        channels=1,
        settings=settings,
        device="cpu",
        threads=1,
    )


RATE, CURVATURE, NOISE = 0.1, 1.0, 1.0
STATIONARY = RATE * NOISE / (CURVATURE * (2 - RATE * CURVATURE))
"""Variance of gradient descent on CURVATURE/2 θ² with gradient noise of variance NOISE, in the long run: 0.05263."""


def descend(job: MemberJob, after_step, *, parameters: int) -> Training:
    """Plain gradient descent from 0 on many such quadratics at once; `after_step` collects."""
    generator = torch.Generator().manual_seed(0)
    theta = torch.nn.Parameter(torch.zeros(parameters))
    network = torch.nn.Module()
    network.theta = theta
    training = Training(network, torch.optim.SGD([theta], lr=RATE), SimpleNamespace(), {})
    while training.iteration < job.settings.iterations:
        theta.grad = CURVATURE * theta.detach() + NOISE**0.5 * torch.randn(parameters, generator=generator)
        training.optimiser.step()
        training.iteration += 1
        after_step(training, job)
    return training
