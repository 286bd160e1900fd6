"""MC dropout: trained with dropout of whole channels; a member is one mask, the same for the whole image.

Gal & Ghahramani 2016 (arXiv:1506.02142) read dropout kept on at prediction as draws from an approximate posterior. The
point prediction leaves nothing out.
"""

from dataclasses import dataclass

import torch

from plausible.train.dropout import FixedDropout, train_with_dropout
from plausible.train.dropout_places import places_in
from plausible.train.hooks import Function, Functions, Method, Weights
from plausible.train.network import Network, load_weights
from plausible.train.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class DropoutFunctions:
    """A network from which channels are left out after the modules of these names."""

    network: Network
    places: tuple[str, ...]
    rate: float

    def draw(self, seed: int | None, *, shape: tuple[int, int, int]) -> Function:
        """Draw one mask; None leaves nothing out."""
        network = self.network.eval()
        if seed is None:
            return lambda windows, places: network(windows)
        dropout = FixedDropout(network, self.places, self.rate, seed)

        def function(windows: torch.Tensor, places: object) -> torch.Tensor:
            with dropout.applied():
                logits: torch.Tensor = network(windows)
            return logits

        return function


def with_random_masks(network: Network, settings: TrainingSettings) -> Network:
    """Train with a mask of its own for each sample of each batch."""
    return train_with_dropout(network, places_in(network, settings.dropout_at), rate=settings.dropout_rate)


def dropout_functions(network: Network, weights: Weights, settings: TrainingSettings) -> Functions:
    """Put the weights into the network; every seed is a mask of it."""
    load_weights(network, weights)
    return DropoutFunctions(network, places_in(network, settings.dropout_at), settings.dropout_rate)


METHOD = Method(trainable=with_random_masks, functions=dropout_functions, preview=dropout_functions)
