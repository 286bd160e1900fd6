"""Bayes by Backprop: the divergence, the bound and its optimum where it is known, and a training from end to end."""

import io
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from plausible.core import Classes
from plausible.sample import load_model, predict_members
from plausible.sample.sampling import Sampling
from plausible.train import TrainingSettings, train_ensemble
from plausible.train import member as member_module
from plausible.train.bayes_by_backprop import METHOD, antithetic, gaussian_functions, negative_elbo
from plausible.train.gaussian_weights import GaussianWeights, gaussian_kl, gaussian_names
from plausible.train.hooks import Step
from plausible.train.job import MemberJob
from plausible.train.network import build_network, weights_of
from plausible.train.plan import Plan
from plausible.train.split import MemberSplit
from tests.sample.test_predict import image
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY

SETTINGS = replace(TINY, method="bayes_by_backprop")
PLAN = Plan(
    spacing_mm=(1.0, 1.2, 2.0),
    patch=(8, 12, 8),
    strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
    kernels=((3, 3, 3),) * 3,
    filters=(2, 4, 8),
    channels=(),
)


def network(seed=0) -> torch.nn.Module:
    return build_network(PLAN, channels=1, outputs=3, seed=seed)


def linear(n_inputs=3) -> torch.nn.Module:
    """A linear model of every voxel's channels, as a network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv3d(n_inputs, 1, 1, bias=False)).double()


def step_of(folder: Path, inputs: np.ndarray, values: np.ndarray, *, batch: int, loss, cases=1, **settings) -> Step:
    """A step whose patches are the whole data set: observations `n channels` along one axis, repeated."""
    labels = np.zeros((len(values), 1, 1), dtype=np.int32)
    for case in range(cases):
        for part, content in {
            "image": labels[None].astype(np.float32),
            "labels": labels,
            "places": np.zeros((0, 4), int),
        }.items():
            np.save(folder / f"case_{case}.{part}.npy", content)
    job = MemberJob(
        id="member_0",
        folder=folder,
        cache=folder,
        split=MemberSplit(0, None, tuple(f"case_{case}" for case in range(cases)), ()),
        plan=PLAN,
        classes=Classes.overlapping_of({"organ": [1]}),
        channels=inputs.shape[1],
        settings=TrainingSettings(method="bayes_by_backprop", precision="float32", **settings),
        device="cpu",
        threads=1,
    )
    images = torch.tensor(inputs.T[None, :, :, None, None]).repeat(batch, 1, 1, 1, 1)
    targets = torch.tensor(values[None, None, :, None, None]).repeat(batch, 1, 1, 1, 1)
    return Step(images, targets, loss, job, 0)


def minimise(objective, module: torch.nn.Module, *, steps=10) -> None:
    optimiser = torch.optim.LBFGS(module.parameters(), max_iter=20, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = objective()
        value.backward()
        return value

    for _ in range(steps):
        optimiser.step(closure)


def with_all_signs(gaussian: GaussianWeights, monkeypatch) -> int:
    """Replace the noise by all combinations of signs: its mean and covariance are exactly those of normal noise.

    Half of them is drawn, the other half comes as their opposites; returns how many draws make a full set.
    """
    halves = [torch.tensor([1.0, *signs]).double() for signs in itertools.product([-1.0, 1.0], repeat=2)]
    turn = itertools.cycle(halves)
    monkeypatch.setattr(gaussian, "noise", lambda: {"0.weight": next(turn).reshape(1, 3, 1, 1, 1)})
    return 2 * len(halves)


def test_divergence_in_closed_form():
    """KL is 0 for the prior itself, 1/2 for a mean one prior sd away, log 2 - 3/8 for half its sd."""
    one = torch.ones(4)
    assert float(gaussian_kl(0 * one, 0.1 * one, 0.1)) == pytest.approx(0, abs=1e-5)
    assert float(gaussian_kl(0.1 * one, 0.1 * one, 0.1)) == pytest.approx(4 / 2, rel=1e-5)
    assert float(gaussian_kl(0 * one, 0.05 * one, 0.1)) == pytest.approx(4 * (np.log(2) - 3 / 8), rel=1e-5)


def test_divergence_of_a_network_is_that_of_torch_distributions():
    gaussian = GaussianWeights(network(), initial_sd=0.03)
    with torch.no_grad():
        for rho in gaussian.rho.parameters():
            rho.add_(torch.randn(rho.shape, generator=torch.Generator().manual_seed(1)))
    spread = gaussian.standard_deviations()
    expected = sum(
        torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, spread[name]), torch.distributions.Normal(0.0, 0.2)
        ).sum()
        for name, mean in gaussian.means().items()
    )
    torch.testing.assert_close(gaussian.kl_divergence(prior_sd=0.2), expected, rtol=1e-5, atol=0)


def test_divergence_is_that_of_torchbayesian():
    bnn = pytest.importorskip("torchbayesian.bnn")
    plain = torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3), torch.nn.LeakyReLU(), torch.nn.Conv3d(4, 2, 1))
    theirs = bnn.BayesianModule(plain, prior=("NORMAL", {"mu": 0.0, "sigma": 0.2}))
    posteriors = [part for part in theirs.modules() if hasattr(part, "mu") and hasattr(part, "rho")]
    ours = sum(
        gaussian_kl(part.mu.detach(), torch.nn.functional.softplus(part.rho.detach()), 0.2) for part in posteriors
    )
    assert len(posteriors) == 4
    torch.testing.assert_close(theirs.kl_divergence(), ours, rtol=1e-5, atol=0, check_dtype=False)


def test_linear_regression_has_the_exact_mean_and_the_mean_field_variance(tmp_path, monkeypatch):
    """Λ = XᵀX / σ² + 1 / s²: the optimum is N(Λ⁻¹ Xᵀy / σ², 1 / diag Λ), narrower than the posterior's marginals."""
    random, sigma, prior_sd = np.random.default_rng(0), 0.7, 0.4
    inputs = random.normal(size=(11, 3)) @ np.array([[1, 0.8, 0], [0, 1, 0.5], [0, 0, 1]])
    values = inputs @ [0.5, -0.3, 0.2] + sigma * random.normal(size=11)
    precision = inputs.T @ inputs / sigma**2 + np.eye(3) / prior_sd**2
    gaussian = GaussianWeights(linear(), initial_sd=0.1).double()
    batch = with_all_signs(gaussian, monkeypatch)
    step = step_of(
        tmp_path,
        inputs,
        values,
        batch=batch,
        loss=lambda a, b: ((a.double() - b) ** 2).mean() / (2 * sigma**2),
        prior_sd=prior_sd,
    )
    monkeypatch.setattr(Step, "supervised", lambda self, logits: self.loss(logits, self.targets))
    minimise(lambda: negative_elbo(gaussian, step), gaussian)
    (mean,), (sd,) = gaussian.means().values(), gaussian.standard_deviations().values()
    np.testing.assert_allclose(
        mean.detach().numpy().ravel(), np.linalg.solve(precision, inputs.T @ values / sigma**2), atol=1e-4
    )
    np.testing.assert_allclose(sd.detach().numpy().ravel() ** 2, 1 / np.diag(precision), rtol=1e-3)
    assert (sd.detach().numpy().ravel() ** 2 < 0.99 * np.diag(np.linalg.inv(precision))).all()


@pytest.mark.parametrize("kl_weight", [1.0, 0.3])
def test_without_data_the_posterior_is_the_prior(kl_weight, tmp_path):
    gaussian = GaussianWeights(linear(), initial_sd=0.01).double()
    step = step_of(
        tmp_path,
        np.ones((4, 3)),
        np.ones(4),
        batch=2,
        loss=lambda a, b: 0 * a.mean(),
        prior_sd=0.3,
        kl_weight=kl_weight,
    )
    minimise(lambda: negative_elbo(gaussian, step), gaussian)
    (mean,), (sd,) = gaussian.means().values(), gaussian.standard_deviations().values()
    np.testing.assert_allclose(mean.detach().numpy(), 0, atol=1e-5)
    np.testing.assert_allclose(sd.detach().numpy(), 0.3, rtol=1e-3)


@pytest.mark.parametrize("kl_weight", [1.0, 0.25])
def test_over_an_epoch_the_divergence_counts_once(kl_weight, tmp_path):
    """Voxels times loss, summed over steps that see every voxel once, are the bound of the data set."""
    gaussian, voxels = GaussianWeights(linear(), initial_sd=0.1).double(), 5
    step = step_of(
        tmp_path,
        np.ones((voxels, 3)),
        np.ones(voxels),
        batch=1,
        cases=6,
        loss=lambda a, b: 0 * a.mean() + 2.0,
        prior_sd=0.3,
        kl_weight=kl_weight,
    )
    epoch = sum(voxels * negative_elbo(gaussian, step) for _ in range(6))
    kl = gaussian.kl_divergence(prior_sd=0.3)
    torch.testing.assert_close(epoch, 6 * voxels * 2.0 + kl_weight * kl, rtol=1e-6, atol=0)


def test_kernels_and_their_biases_are_gaussian_and_normalisations_are_not():
    net = network()
    names = gaussian_names(net)
    assert {name for name, values in net.named_parameters() if values.ndim > 1} < set(names)
    assert "output_block.conv.conv.bias" in names
    assert not [name for name in names if "norm" in name]


def test_a_draw_is_the_network_with_the_drawn_weights_and_leaves_the_means():
    """DynUNet lists its blocks under two names each; swapping both left drawn weights behind."""
    gaussian, inputs = GaussianWeights(network(), initial_sd=0.1), torch.randn(2, 1, *PLAN.patch)
    before, noise = weights_of(gaussian), gaussian.noise(torch.Generator().manual_seed(3))
    outputs = gaussian(inputs, noise)
    for name, values in gaussian.named_parameters():
        assert torch.equal(values, before[name])
    by_hand = network()
    with torch.no_grad():
        for name, values in by_hand.named_parameters():
            values.copy_(before[f"mean.{name}"])
            if name in noise:
                rho = dict(gaussian.rho.by_name())[name]
                values.add_(torch.log1p(torch.exp(rho)) * noise[name])
    torch.testing.assert_close(outputs, by_hand(inputs), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(outputs, gaussian(inputs), atol=1e-2)
    outputs.sum().backward()
    assert all(values.grad is not None for values in gaussian.parameters())


def test_weights_of_two_patches_lie_opposite():
    gaussian = GaussianWeights(network(), initial_sd=0.1)
    first, second, third = antithetic(gaussian, 3)
    assert all(torch.equal(first[name], -second[name]) for name in first)
    assert not any(torch.equal(second[name].abs(), third[name].abs()) for name in first)


def test_the_prior_takes_the_place_of_weight_decay():
    gaussian = GaussianWeights(network(), initial_sd=0.1)
    groups = list(METHOD.parameters(gaussian, SETTINGS))
    optimiser = torch.optim.AdamW(groups, lr=1.0, weight_decay=0.1)
    means, rho, rest = optimiser.param_groups
    assert [means["weight_decay"], rho["weight_decay"], rest["weight_decay"]] == [0, 0, 0.1]
    assert len(means["params"]) == len(rho["params"]) == len(gaussian.means())
    everything = [id(values) for group in optimiser.param_groups for values in group["params"]]
    assert sorted(everything) == sorted(id(values) for values in gaussian.parameters())


@pytest.mark.parametrize("sd", [1e-5, 1e-3, 0.01, 0.1, 1.0])
def test_storing_half_precision_changes_no_standard_deviation_by_half_a_percent(sd):
    gaussian = GaussianWeights(linear(), initial_sd=sd)
    (rho,) = gaussian.rho.parameters()
    assert float(torch.nn.functional.softplus(rho.detach()).max()) == pytest.approx(sd, rel=1e-6)
    stored = torch.nn.functional.softplus(rho.detach().half().float())
    np.testing.assert_allclose(stored.numpy(), sd, rtol=0.005)


def test_draws_have_the_mean_and_the_spread_that_were_kept():
    gaussian = GaussianWeights(torch.nn.Sequential(torch.nn.Conv3d(2, 1, 1, bias=False)), initial_sd=0.2)
    kept = weights_of(gaussian)
    functions = gaussian_functions(gaussian.mean, kept, SETTINGS)
    window, places = torch.tensor([3.0, -2.0]).reshape(1, 2, 1, 1, 1), [(slice(0, 1),) * 3]

    def value(seed) -> float:
        return float(functions.draw(seed, shape=(1, 1, 1))(window, places).detach())

    drawn = np.array([value(seed) for seed in range(3000)])
    assert value(5) == drawn[5]
    expected = float((kept["mean.0.weight"].ravel() * torch.tensor([3.0, -2.0])).sum())
    assert value(None) == pytest.approx(expected, rel=1e-5)
    sd = 0.2 * np.sqrt(3**2 + 2**2)
    assert abs(drawn.mean() - expected) < 5 * sd / np.sqrt(3000)
    assert drawn.std() == pytest.approx(sd, rel=5 / np.sqrt(2 * 3000))


@pytest.fixture(scope="module")
def bayesian(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bayes") / "model"
    return train_ensemble(dataset, folder, members=1, settings=SETTINGS, split=SPLIT, threads=1), folder


def test_keeps_means_and_spreads_and_says_what_it_is(bayesian):
    result, folder = bayesian
    record = result.info.members[0]
    stored = torch.load(io.BytesIO((folder / record.weights).read_bytes()), weights_only=True)
    assert result.info.ensemble == "single member (Bayes by Backprop)"
    assert {name.split(".")[0] for name in stored} == {"mean", "rho"}
    assert 0 <= record.validation_dice <= 1
    moved = [values.float() for name, values in stored.items() if name.startswith("rho")]
    assert any(float(values.std()) > 1e-3 for values in moved)


def test_stopped_after_a_checkpoint_ends_with_the_same_bytes(bayesian, dataset, tmp_path, monkeypatch):
    result, _ = bayesian
    step, steps = member_module._step, []

    def stop_at_the_fifth(*arguments):
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return step(*arguments)

    again = {"members": 1, "settings": SETTINGS, "split": SPLIT, "threads": 1}
    monkeypatch.setattr(member_module, "_step", stop_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        train_ensemble(dataset, tmp_path / "m", **again)
    monkeypatch.setattr(member_module, "_step", step)
    resumed = train_ensemble(dataset, tmp_path / "m", **again)
    assert resumed.info.members[0].weights_sha256 == result.info.members[0].weights_sha256


def test_members_are_draws_that_repeat(bayesian):
    _, folder = bayesian
    given = image((22, 29, 12), spacing=(1.0, 1.2, 2.0))
    model = load_model(folder, device="cpu", sampling=Sampling(draws=3))
    assert [info.id for info in model.infos] == [f"member_0.draw_{n:02d}" for n in range(3)]
    assert model.ensemble == "single member (Bayes by Backprop) x 3 draws"
    first, second = (
        [member.probabilities for member in predict_members(source, given)]
        for source in (model, load_model(folder, device="cpu", sampling=Sampling(draws=3), batch=1))
    )
    for one, same in zip(first, second, strict=True):
        np.testing.assert_allclose(one, same, atol=1e-5)
    assert np.abs(first[0] - first[1]).max() > 1e-4
