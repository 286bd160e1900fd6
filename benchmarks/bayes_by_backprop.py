"""Noise of the gradient over weight draws, the batch of two patches fixed, for three ways to draw; time of a step.

    python benchmarks/bayes_by_backprop.py --draws 100

One draw for both patches is 1; a table of variances relative to it, of the means' and of ρ's gradient.
"""

import argparse
import time

import torch

from plausible.core import Classes
from plausible.train.bayes_by_backprop import antithetic
from plausible.train.gaussian_weights import GaussianWeights
from plausible.train.network import build_loss, build_network
from plausible.train.plan import Plan

PATCH, SD = (16, 24, 16), 0.03
PLAN = Plan(
    spacing_mm=(1.0, 1.0, 1.0),
    patch=PATCH,
    strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
    kernels=((3, 3, 3),) * 3,
    filters=(4, 8, 16),
    channels=(),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=100)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = GaussianWeights(build_network(PLAN, channels=1, outputs=3, seed=0), initial_sd=SD)
    loss = build_loss(Classes.exclusive_of({"background": 0, "shell": 1, "core": 2}))
    leave_the_start(network, loss)
    images, targets = balls()
    print("| draws | gradient of the means | gradient of ρ | CPU ms a step |\n|---|---|---|---|")
    base = None
    for name, outputs in WAYS.items():
        means, spreads, milliseconds = noise_of(network, loss, images, targets, outputs, asked.draws)
        base = base or (means, spreads)
        print(f"| {name} | {means / base[0]:.2f} | {spreads / base[1]:.2f} | {milliseconds:.0f} |", flush=True)


def balls():
    """Two noisy patches with a ball in a ball each."""
    centres = torch.rand(2, 3) * torch.tensor(PATCH) / 2 + torch.tensor(PATCH) / 4
    grid = torch.stack(torch.meshgrid(*[torch.arange(n) for n in PATCH], indexing="ij")).float()
    distance = (grid[None] - centres[:, :, None, None, None]).square().sum(1).sqrt()
    labels = (distance < 6).long() + (distance < 3).long()
    images = labels[:, None].float() + 0.5 * torch.randn(2, 1, *PATCH)
    return images, torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()


def leave_the_start(network, loss):
    """Train the means for a few steps, so that the gradient is not that of random weights."""
    optimiser = torch.optim.AdamW(network.mean.parameters(), lr=3e-3)
    for _ in range(60):
        images, targets = balls()
        optimiser.zero_grad()
        loss(network(images), targets).backward()
        optimiser.step()


def shared(network, images):
    return network(images, network.noise())


def one_each(network, images):
    return torch.cat([network(patch, network.noise()) for patch in images.split(1)])


def opposite(network, images):
    draws = zip(images.split(1), antithetic(network, 2), strict=True)
    return torch.cat([network(patch, noise) for patch, noise in draws])


WAYS = {
    "one for both patches": shared,
    "one for each patch": one_each,
    "opposite": opposite,
    "none (a plain network)": lambda network, images: network(images),
}


def noise_of(network, loss, images, targets, outputs, draws):
    parts = list(network.means().values()), list(network.rho.parameters())
    gradients, began = ([], []), time.process_time()
    for _ in range(draws):
        network.zero_grad(set_to_none=True)
        loss(outputs(network, images), targets).backward()
        for found, parameters in zip(gradients, parts, strict=True):
            found.append(
                torch.cat([torch.zeros_like(p).ravel() if p.grad is None else p.grad.ravel() for p in parameters])
            )
    means, spreads = (float(torch.stack(found).var(0).sum()) for found in gradients)
    return means, spreads, 1000 * (time.process_time() - began) / draws


if __name__ == "__main__":
    main()
