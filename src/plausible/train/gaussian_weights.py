"""A network whose weights are Gaussians: each weight has a mean and a standard deviation of its own.

w = μ + softplus(ρ) ε with ε ~ N(0, 1), and KL(q ‖ p) to the prior p = N(0, s²) in closed form. The network is left as
it is: it holds the means, ρ lies beside it, and drawn weights are put in its place for a forward pass.

Weights and biases of convolutions and linear layers are Gaussian. Scale and shift of a normalisation are not: they are
few, their prior would have to sit at 1 instead of 0, and the scale is already in the weights that follow.
"""

from collections.abc import Mapping

import torch
from torch.func import functional_call

from plausible.train.network import Network

Noise = Mapping[str, torch.Tensor]
"""Standard normal noise of every Gaussian parameter, by its name in the network."""


class GaussianWeights(torch.nn.Module):  # type: ignore[misc]
    """A network and the spread of its weights; parameters are called `mean.*` and `rho.*`.

    Args:
        network: as it was built; its parameters become the means.
        initial_sd: standard deviation of every weight at the start.
    """

    def __init__(self, network: Network, *, initial_sd: float) -> None:
        super().__init__()
        self.mean = network
        self.rho = _Spread(network, initial_sd=initial_sd)

    def standard_deviations(self) -> dict[str, torch.Tensor]:
        """Standard deviation of every Gaussian parameter, by its name in the network."""
        return {name: torch.nn.functional.softplus(rho) for name, rho in self.rho.by_name().items()}

    def means(self) -> dict[str, torch.Tensor]:
        """Mean of every Gaussian parameter, by its name in the network."""
        names = self.rho.by_name()
        return {name: mean for name, mean in self.mean.named_parameters() if name in names}

    def noise(self, generator: torch.Generator | None = None) -> dict[str, torch.Tensor]:
        """Draw standard normal noise on the CPU, so that every device sees the same; None takes torch's own state."""
        return {
            name: torch.randn(mean.shape, generator=generator).to(mean.device) for name, mean in self.means().items()
        }

    def drawn(self, noise: Noise) -> dict[str, torch.Tensor]:
        """Return the weights that this noise stands for."""
        spread = self.standard_deviations()
        return {name: torch.addcmul(mean, spread[name], noise[name]) for name, mean in self.means().items()}

    def forward(self, images: torch.Tensor, noise: Noise | None = None) -> torch.Tensor:
        """Outputs with the weights of this noise; None takes the means."""
        if noise is None:
            outputs: torch.Tensor = self.mean(images)
            return outputs
        # A module that stands in the network under two names is swapped twice with `tie_weights` and not restored.
        outputs = functional_call(self.mean, self.drawn(noise), (images,), tie_weights=False)
        return outputs

    def kl_divergence(self, *, prior_sd: float) -> torch.Tensor:
        """KL divergence in nats from N(0, prior_sd²) over all Gaussian weights."""
        spread = self.standard_deviations()
        return torch.stack([gaussian_kl(mean, spread[name], prior_sd) for name, mean in self.means().items()]).sum()


def gaussian_kl(mean: torch.Tensor, sd: torch.Tensor, prior_sd: float) -> torch.Tensor:
    """KL(N(μ, σ²) ‖ N(0, s²)) = log(s / σ) + (σ² + μ²) / (2 s²) - 1/2, summed over all elements."""
    squares = (sd.square().sum() + mean.square().sum()) / (2 * prior_sd**2)
    return squares - torch.log(sd / prior_sd).sum() - mean.numel() / 2


def gaussian_names(network: Network) -> list[str]:
    """Names of the parameters that are Gaussian: those of modules with a weight matrix or kernel."""
    parameters = dict(network.named_parameters())
    owners = {name.rpartition(".")[0] for name, parameter in parameters.items() if parameter.ndim > 1}
    return [name for name in parameters if name.rpartition(".")[0] in owners]


class _Spread(torch.nn.Module):  # type: ignore[misc]
    """ρ of every Gaussian parameter; dots are not allowed in names of parameters."""

    def __init__(self, network: Network, *, initial_sd: float) -> None:
        super().__init__()
        rho = float(torch.expm1(torch.tensor(initial_sd, dtype=torch.float64)).log())
        parameters = dict(network.named_parameters())
        for name in gaussian_names(network):
            self.register_parameter(name.replace(".", "/"), torch.nn.Parameter(torch.full_like(parameters[name], rho)))

    def by_name(self) -> dict[str, torch.Tensor]:
        return {name.replace("/", "."): rho for name, rho in self.named_parameters()}
