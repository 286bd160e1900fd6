"""Orthogonal ensemble networks: filters that are orthogonal within a layer, and to those of the members before.

    λ Σ_layers [ ½ Σ_{i≠j} cos²(w_i, w_j)  +  1/N Σ_earlier Σ_ij cos²(w_i, w_j^earlier) ]

A filter is all weights of an output channel of a convolution. Members are trained one after another; the first has the
first part alone. Layers are paired by name and shape.

Source: Larrazabal et al. 2021, arXiv:2105.10827.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float

from plausible.train.hooks import Weights
from plausible.train.network import Network

Filters = Mapping[str, torch.Tensor]
"""Unit filters `o d` of every convolution, by the name of the layer."""


@dataclass(frozen=True, slots=True)
class Orthogonality:
    """Penalty of a network's filters, given those of the members trained before it."""

    weight: float
    earlier: Sequence[Filters] = ()

    def __call__(self, network: Network) -> torch.Tensor:
        """λ times the sum over layers."""
        parts = [self._layer(name, own) for name, own in unit_filters(network).items()]
        return self.weight * torch.stack(parts).sum()

    def _layer(self, name: str, own: torch.Tensor) -> torch.Tensor:
        others = [filters[name].to(own.device) for filters in self.earlier if name in filters]
        between = [cosine_squares(own, other) for other in others if other.shape[1] == own.shape[1]]
        within = within_layer(own)
        return within + torch.stack(between).mean() if between else within


def cosine_squares(first: Float[torch.Tensor, "o d"], second: Float[torch.Tensor, "p d"]) -> Float[torch.Tensor, ""]:
    """Sum of the squared cosines between unit filters of two layers; 0 if they are orthogonal."""
    return (first @ second.T).square().sum()


def within_layer(filters: Float[torch.Tensor, "o d"]) -> Float[torch.Tensor, ""]:
    """Half the sum of the squared cosines between different unit filters of a layer: every pair once."""
    squares = (filters @ filters.T).square()
    return (squares.sum() - squares.diagonal().sum()) / 2


def unit_filters(network: Network) -> dict[str, torch.Tensor]:
    """Unit filters of a network's convolutions, attached to its weights."""
    return {name: _unit(layer.weight, transposed=transposed) for name, layer, transposed in _convolutions(network)}


def filters_among(weights: Weights, network: Network) -> dict[str, torch.Tensor]:
    """Unit filters among weights that were kept of a network like this one."""
    layers = [(name, f"{name}.weight", transposed) for name, _, transposed in _convolutions(network)]
    return {name: _unit(weights[key].float(), transposed=t) for name, key, t in layers if key in weights}


def _convolutions(network: Network) -> Iterator[tuple[str, torch.nn.Module, bool]]:
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            yield name, module, isinstance(module, torch.nn.ConvTranspose3d)


def _unit(weight: torch.Tensor, *, transposed: bool) -> torch.Tensor:
    """Rows of length 1, one for each output channel."""
    rows = (weight.transpose(0, 1) if transposed else weight).flatten(1)
    return torch.nn.functional.normalize(rows, dim=1)


TERM = Orthogonality
