"""What it costs to train members together: processor time of an iteration against members on their own, and memory.

    python benchmarks/diversity_training.py --members 4 --iterations 8

Patches of 40 x 56 x 40, batch 2, U-Net 16-32-64, bfloat16, one thread, made-up images. An iteration is one step of
every member. Each line is a process of its own; its peak memory is that of the process, with torch and the images.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from plausible.core import Classes
from plausible.train import DiversitySettings, TrainingSettings
from plausible.train.coupled import planned
from plausible.train.grid import ChannelFingerprint
from plausible.train.job import EnsembleJob, MemberJob
from plausible.train.plan import Plan
from plausible.train.split import MemberSplit

CHANNEL = ChannelFingerprint(
    name="MR", scheme="z-score", mean=0.0, sd=1.0, percentile_00_5=0.0, percentile_99_5=1.0, zero_share=0.0
)
PLAN = Plan(
    spacing_mm=(1.0, 1.0, 1.0),
    patch=(40, 56, 40),
    strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
    kernels=((3, 3, 3),) * 3,
    filters=(16, 32, 64),
    channels=(CHANNEL,),
)
ARMS = {
    "each on its own": None,
    "negative correlation": DiversitySettings(diversity="negative_correlation"),
    "repulsion": DiversitySettings(diversity="function_repulsion"),
    "repulsion, images with artefacts": DiversitySettings(diversity="function_repulsion", diversity_images="shifted"),
    "orthogonal filters": DiversitySettings(diversity="orthogonal_filters"),
    "last layers (an iteration of theirs)": DiversitySettings(diversity="last_layer_repulsion"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument(
        "--only", nargs="+", choices=list(ARMS), default=list(ARMS), help="relative to the first of them"
    )
    asked = parser.parse_args()
    print("| members | CPU s an iteration | relative | peak GB | planned GB |\n|---|---|---|---|---|")
    base = 0.0
    context = multiprocessing.get_context("spawn")
    for name in asked.only:
        with tempfile.TemporaryDirectory() as folder, context.Pool(1) as pool:
            seconds, peak_gb, promised = pool.apply(measured, (name, asked.members, asked.iterations, Path(folder)))
        base = base or seconds
        print(f"| {name} | {seconds:.2f} | {seconds / base:.2f} | {peak_gb:.2f} | {promised} |", flush=True)


def measured(name, members, iterations, folder):
    """Processor seconds of an iteration of all members, peak memory and what the plan says."""
    diversity = ARMS[name]
    run, settings = prepared(diversity, members, folder)
    run(2)
    began = time.process_time()
    run(iterations)
    seconds = (time.process_time() - began) / iterations
    told = planned(diversity, [PLAN] * members, settings)["memory_gb"] if diversity else ""
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, told


def prepared(diversity, members, folder):
    """A function that takes so many iterations, with everything before the first step done."""
    settings = TrainingSettings(width=16, levels=3, patch=PLAN.patch, precision="bfloat16", iterations=1000)
    write_cases(folder)
    jobs = tuple(member_job(m, settings, folder) for m in range(members))
    if diversity is None or diversity.objective.how == "in sequence":
        return separate(jobs, diversity), settings
    return together(EnsembleJob(members=jobs, diversity=diversity, folder=folder)), settings


def separate(jobs, diversity):
    from plausible.train import member
    from plausible.train.hooks import Step
    from plausible.train.methods import METHODS
    from plausible.train.network import build_loss
    from plausible.train.orthogonal_filters import Orthogonality, unit_filters

    trainings, batches = [member.start(job) for job in jobs], [member.batches_of(job) for job in jobs]
    filters = [{name: f.detach() for name, f in unit_filters(t.network).items()} for t in trainings]
    penalties = [Orthogonality(0.1, filters[:m]) if diversity else None for m in range(len(jobs))]
    method, losses = METHODS["plain"].load(), [build_loss(job.classes) for job in jobs]

    def run(iterations):
        for _ in range(iterations):
            for job, training, drawn, loss, penalty in zip(jobs, trainings, batches, losses, penalties, strict=True):
                images, targets = drawn.draw(training.iteration)
                member._step(training, method, Step(images, targets, loss, job, training.iteration), penalty)
                training.iteration += 1

    return run


def together(job):
    from plausible.train import last_layers, member
    from plausible.train.coupling import Coupling
    from plausible.train.network import weights_of
    from plausible.train.together import Material, joint_step

    if job.diversity.objective.how == "last layers":
        body = last_layers.body_of(job.members[0], weights_of(member.start(job.members[0]).network))
        trainings = [last_layers.start_layer(body, one) for one in job.members]
    else:
        trainings = [member.start(one) for one in job.members]
    material, coupling = Material.of(job), Coupling.of(job)

    def run(iterations):
        for _ in range(iterations):
            joint_step(trainings, material, coupling)
            for training in trainings:
                training.iteration += 1

    return run


def write_cases(folder):
    from plausible.train.cache import keep_prepared

    grid = np.indices(PLAN.patch).astype(np.float32)
    for n in range(4):
        rng = np.random.default_rng(n)
        centre = np.array([20, 28, 20]) + rng.integers(-3, 4, 3)
        distance = np.sqrt(((grid - centre[:, None, None, None]) ** 2).sum(axis=0))
        labels = ((distance < 12).astype(np.uint8) + (distance < 6)).astype(np.uint8)
        image = (labels + rng.normal(size=PLAN.patch))[None].astype(np.float32)
        keep_prepared(f"case_{n}", image, labels, cache=folder)


def member_job(m, settings, folder):
    import torch

    torch.set_num_threads(1)
    return MemberJob(
        id=f"member_{m}",
        folder=folder / f"member_{m}",
        cache=folder,
        split=MemberSplit(m, None, tuple(f"case_{n}" for n in range(4)), ()),
        plan=PLAN,
        classes=Classes.exclusive_of({"background": 0, "shell": 1, "core": 2}),
        channels=1,
        settings=settings,
        device="cpu",
        threads=1,
    )


if __name__ == "__main__":
    main()
