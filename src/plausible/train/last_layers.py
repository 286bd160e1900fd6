"""Last layers that repel each other, on the frozen features of one network.

One network is trained as usual, with the first member's seed. Then as many last layers as there are members start from
random weights, each of its member's seed, and learn the labels of the training patches together; what repels them is
computed on images whose labels mean nothing (shuffled or unlabelled ones) or which look different (shifted), never on
those they learn from: diversity there costs accuracy. Features are not learnt any more, so that a step costs two passes
forward and next to nothing backward. All last layers see the same patches.

Every member is kept with the weights of the whole network, of which all but the last layer are the same.

Source: Steger et al. 2024, arXiv:2412.15758.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from plausible.train.checkpoint import NAME, loaded, resume_together
from plausible.train.hooks import Training, Weights, one_cycle
from plausible.train.job import BACKBONE, EnsembleJob, MemberJob
from plausible.train.last_layer import last_layer_of
from plausible.train.member import finish, is_finished, threads_and_seed, train_member
from plausible.train.member_record import MemberRecord
from plausible.train.network import Network, build_network, load_weights
from plausible.train.together import fit_together
from plausible.train.workers import Progress

RATE = 10.0
"""Learning rate of the last layers, in multiples of the network's: at its own, random weights are not overcome in the
200 steps of the default."""


class Body:
    """A frozen network up to its last layer; what it made of the last images is remembered for the next member."""

    def __init__(self, network: Network, layer: str) -> None:
        """Freeze the network."""
        self.network = network.eval().requires_grad_(requires_grad=False)
        self.layer = layer
        self._seen: list[torch.Tensor] = []
        self._images: torch.Tensor | None = None
        self._told: tuple[torch.Tensor, torch.Tensor] | None = None
        network.get_submodule(layer).register_forward_pre_hook(lambda module, inputs: self._seen.append(inputs[0]))

    def features(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs of the last layer, and what is added to its outputs to make the logits."""
        if self._told is None or images is not self._images:
            with torch.no_grad():
                logits = self.network(images)
                inputs = self._seen.pop()
                self._told = inputs, logits - self.network.get_submodule(self.layer)(inputs)
                self._seen.clear()
            self._images = images
        return self._told


class LastLayer(torch.nn.Module):  # type: ignore[misc]
    """A last layer of its own on a body that others share; only the layer is trained."""

    def __init__(self, features: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]], layer: Network) -> None:
        """Take the layer, and where its inputs come from."""
        super().__init__()
        self.features = features
        self.layer = layer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of the images."""
        inputs, added = self.features(images)
        logits: torch.Tensor = self.layer(inputs) + added
        return logits


def train_last_layers(job: EnsembleJob, *, on_progress: Progress) -> None:
    """Train the network and then the last layers, or continue where a killed run stopped."""
    if all(map(is_finished, job.members)):
        return
    first = job.members[0]
    backbone = replace(first, id=BACKBONE, folder=job.folder / BACKBONE, diversity={})
    total = first.settings.iterations
    (record,) = train_member(backbone, on_iteration=lambda iteration, loss: on_progress(0, iteration, total, loss))
    weights = loaded((job.folder / record.weights).read_bytes(), device=first.device)
    short = _for_last_layers(job)
    with threads_and_seed(first.threads, first.split.seed):
        body = body_of(first, weights)
        trainings = resume_together(job.folder, [start_layer(body, m) for m in short.members], device=first.device)
        fit_together(short, trainings, on_progress)
        for member, training in zip(job.members, trainings, strict=True):
            if not is_finished(member):
                finish(member, _with_time_of(training, record, len(job.members)), _whole(body, training, weights))
    (job.folder / NAME).unlink(missing_ok=True)


def _for_last_layers(job: EnsembleJob) -> EnsembleJob:
    """Return the same job with as many steps as last layers have."""
    steps = job.diversity.last_layer_iterations
    members = tuple(replace(m, settings=replace(m.settings, iterations=steps)) for m in job.members)
    return replace(job, members=members)


def body_of(job: MemberJob, weights: Weights) -> Body:
    """Return the trained network, frozen, with its last layer found."""
    network = build_network(job.plan, channels=job.channels, outputs=len(job.classes.names), seed=0).to(job.device)
    load_weights(network, weights)
    return Body(network, last_layer_of(network, torch.zeros(1, job.channels, *job.plan.patch, device=job.device)))


def start_layer(body: Body, job: MemberJob) -> Training:
    """Return a last layer before its first step, with random weights of the member's seed."""
    seed, settings = job.split.seed, job.settings
    fresh = build_network(job.plan, channels=job.channels, outputs=len(job.classes.names), seed=seed)
    network = LastLayer(body.features, fresh.get_submodule(body.layer)).to(job.device)
    rate = RATE * settings.learning_rate
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=settings.weight_decay)
    return Training(network, optimiser, one_cycle(optimiser, settings), {})


def _whole(body: Body, training: Training, weights: Weights) -> dict[str, torch.Tensor]:
    """Return the network's weights with the last layer of a member in them."""
    own: Mapping[str, torch.Tensor] = dict(training.network.layer.named_parameters())
    return {**weights, **{f"{body.layer}.{name}": value.detach() for name, value in own.items()}}


def _with_time_of(training: Training, backbone: MemberRecord, members: int) -> Training:
    """Count the steps of the network, and each member's share of its time."""
    return replace(
        training,
        iteration=training.iteration + backbone.iterations,
        seconds=training.seconds + 60 * backbone.minutes / members,
        cpu_seconds=training.cpu_seconds + 60 * (backbone.cpu_minutes or 0.0) / members,
    )
