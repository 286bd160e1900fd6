"""Dropout of whole channels after chosen modules of any network, by hooks: parameters keep their names and values.

Of the output of a chosen module (channels on axis 1) each channel is left out with probability q; what stays is divided
by 1 - q, so that the mean is that of the whole network (Tompson et al. 2015, arXiv:1411.4280). Single voxels are not
left out: neighbours say the same, so that a convolution would fill them in.

Three ways: **off** is the network as it is; **random** (`train_with_dropout`) draws a mask for each sample of each
training batch; **fixed** (`FixedDropout`) draws one mask from a seed and applies it to every window at every position.
A fixed mask is a function of seed, module name and number of channels alone, never of the device or the order of
windows, so that one seed is one function for a whole image.
"""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from plausible.core import InvalidInput, Problem
from plausible.train.network import Network


@dataclass(frozen=True, slots=True)
class RandomChannels:
    """Hook of a training: while the module trains, a mask of its own for each sample.

    Masks are drawn on the CPU, whose random state every checkpoint holds, so that a training resumes on any device.
    """

    rate: float

    def __call__(self, module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        """Leave out channels of the output; in evaluation mode nothing."""
        if not module.training:
            return output
        return _masked(output, torch.rand(output.shape[:2]) >= self.rate, self.rate)


def train_with_dropout(network: Network, places: Sequence[str], *, rate: float) -> Network:
    """Let a network drop channels at random after these modules while it trains; evaluation mode leaves it as it is."""
    for name in places:
        network.get_submodule(name).register_forward_hook(RandomChannels(_checked(rate)))
    return network


@dataclass(frozen=True, slots=True, eq=False)
class FixedDropout:
    """One dropout mask of a network, drawn from a seed: a function without chance.

    Outside of `applied` the network is untouched, down to the list of its hooks: two masks, or a mask and the plain
    network, can be used in turn.

    Attributes:
        places: names of the modules after which channels are left out.
        rate: share of the channels that is left out on average, from 0 up to but without 1.
    """

    network: Network
    places: tuple[str, ...]
    rate: float
    seed: int
    masks: dict[tuple[str, int], torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _checked(self.rate)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Apply the mask to whatever goes through the network inside this block.

        Raises:
            InvalidInput: E505, a module gives no tensor with channels, or nothing went through it.
        """
        hooked = [(name, self.network.get_submodule(name)) for name in self.places]
        handles = [module.register_forward_hook(partial(self._leave_out, name)) for name, module in hooked]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        passed = {name for name, _ in self.masks}
        idle = [name for name in self.places if name not in passed]
        if idle:
            raise _unsuited(f"nothing goes through {', '.join(idle[:5])}")

    def _leave_out(self, name: str, module: Any, inputs: Any, output: Any) -> torch.Tensor:
        if not isinstance(output, torch.Tensor) or output.ndim < 2 or not output.is_floating_point():
            raise _unsuited(f"{name} ({type(module).__name__}) gives no array with channels")
        key = name, output.shape[1]
        if key not in self.masks:
            self.masks[key] = torch.from_numpy(kept_channels(name, output.shape[1], rate=self.rate, seed=self.seed))
        return _masked(output, self.masks[key][None], self.rate)


def kept_channels(name: str, channels: int, *, rate: float, seed: int) -> np.ndarray:
    """Which channels of a module stay: drawn from the seed and the module's name, whatever other modules there are."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).random(channels) >= rate


def _masked(output: torch.Tensor, keep: torch.Tensor, rate: float) -> torch.Tensor:
    """Scale what is kept in float32 or better, and return it in the output's own type (bfloat16 under autocast)."""
    exact = torch.promote_types(output.dtype, torch.float32)
    scale = (keep.to(exact) / (1 - rate)).to(output.device).reshape(*keep.shape, *(1,) * (output.ndim - 2))
    scaled: torch.Tensor = (output * scale).to(output.dtype)
    return scaled


def _checked(rate: float) -> float:
    if not 0 <= rate < 1:
        raise ValueError(f"the rate of dropout must lie in [0, 1), got {rate}")
    return rate


def _unsuited(found: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E505",
            found=found,
            expected="modules that every image passes through and that give an array `b c x y z`",
            fix="name other modules with --insert-at",
        )
    )
