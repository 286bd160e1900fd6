"""The stochastic segmentation network: its Gaussian, its integral, one field for all windows, and what it can learn."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from plausible.sample import load_model, predict_members
from plausible.sample.sampling import Sampling
from plausible.train import member as member_module
from plausible.train import train_ensemble
from plausible.train.stochastic_segmentation import LogitFunctions, LogitGaussian, integrated_loss
from plausible.train.voxel_noise import voxel_noise
from tests.sample.test_predict import image
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY, write_dataset

SETTINGS = replace(TINY, method="stochastic_segmentation", rank=3, loss_samples=4)
WHOLE = (5, 7, 11)
EVERYWHERE = tuple(slice(0, size) for size in WHOLE)


def gaussian(mean, *, factors=None, deviations=None, rank=2) -> LogitGaussian:
    """Gaussian of one patch `c x y z`; no covariance where none is given."""
    mean = torch.as_tensor(mean, dtype=torch.float32)[None]
    none = torch.zeros(1, rank, *mean.shape[1:])
    return LogitGaussian(
        mean,
        none if factors is None else torch.as_tensor(factors, dtype=torch.float32)[None],
        0 * mean if deviations is None else torch.as_tensor(deviations, dtype=torch.float32)[None],
    )


def one_hot(labels: torch.Tensor, n: int) -> torch.Tensor:
    return torch.stack([labels == c for c in range(n)]).float()[None]


def test_draws_have_the_covariance_of_factors_and_variances():
    random, n = np.random.default_rng(0), 40_000
    mean, factors = random.normal(size=(2, 3, 1, 1)), random.normal(size=(4, 2, 3, 1, 1))
    deviations = random.uniform(0.2, 1.0, size=(2, 3, 1, 1))
    told = gaussian(mean, factors=factors, deviations=deviations)
    generator = torch.Generator().manual_seed(0)
    numbers, noise = torch.randn(1, n, 4, generator=generator), torch.randn(1, n, 2, 3, 1, 1, generator=generator)
    drawn = told.draw(numbers, noise).numpy().reshape(n, -1).astype(np.float64)
    p = factors.reshape(4, -1).T
    expected = p @ p.T + np.diag(deviations.ravel() ** 2)
    error = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / n)
    assert (np.abs(np.cov(drawn.T) - expected) < 5 * error).all()
    assert (np.abs(drawn.mean(axis=0) - mean.ravel()) < 5 * np.sqrt(np.diag(expected) / n)).all()


def test_outputs_of_the_network_are_means_variances_and_factors():
    outputs = torch.randn(2, 3 * (4 + 2), 2, 3, 4)
    read = LogitGaussian.of(outputs, rank=4)
    assert torch.equal(read.mean, outputs[:, :3])
    assert read.factors.shape == (2, 4, 3, 2, 3, 4)
    assert torch.equal(torch.argsort(read.deviations.flatten()), torch.argsort(outputs[:, 3:6].flatten()))
    assert torch.equal(read.factors[:, 2] > 0, outputs[:, 12:15] > 0)
    wild = LogitGaussian.of(1e6 * outputs, rank=4)
    assert torch.isfinite(wild.draw(torch.randn(2, 1, 4), torch.randn(2, 1, 3, 2, 3, 4)) - wild.mean[:, None]).all()
    assert float(wild.factors.abs().max()) < 20


@pytest.mark.parametrize("draws", [1, 2, 5])
def test_without_covariance_the_loss_is_cross_entropy(draws):
    logits, labels = torch.randn(3, *WHOLE), torch.randint(0, 3, WHOLE)
    found = integrated_loss(gaussian(logits), one_hot(labels, 3), draws=draws, exclusive=True)
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits[None], labels[None]))
    regions = torch.randint(0, 2, (1, 3, *WHOLE)).float()
    found = integrated_loss(gaussian(logits), regions, draws=draws, exclusive=False)
    expected = 3 * torch.nn.functional.binary_cross_entropy_with_logits(logits[None], regions)
    torch.testing.assert_close(found, expected)


def test_the_integral_is_that_of_a_logistic_normal():
    """One voxel, one region: E σ(μ + τ z) by Gauss-Hermite quadrature."""
    mean, factor, deviation, draws = 0.4, 1.5, 0.8, 100_000
    told = gaussian(
        torch.full((1, 1, 1, 1), mean),
        factors=torch.full((1, 1, 1, 1, 1), factor),
        deviations=torch.full((1, 1, 1, 1), deviation),
    )
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    likelihoods = 1 / (1 + np.exp(-(mean + math.hypot(factor, deviation) * points)))
    expected = (weights * likelihoods).sum() / math.sqrt(2 * math.pi)
    found = integrated_loss(told, torch.ones(1, 1, 1, 1, 1), draws=draws, exclusive=False)
    assert math.exp(-float(found)) == pytest.approx(expected, abs=5 * 0.35 / math.sqrt(draws))


def test_the_likelihood_is_that_of_the_whole_patch():
    """Two voxels that move together: (E[p²] for equal labels) is more than E[p]² of independent ones."""
    two = torch.zeros(1, 2, 1, 1)
    together = gaussian(two, factors=torch.full((1, 1, 2, 1, 1), 3.0))
    apart = gaussian(two, deviations=torch.full((1, 2, 1, 1), 3.0))
    equal = torch.ones(1, 1, 2, 1, 1)
    torch.manual_seed(0)
    one, other = (2 * float(integrated_loss(told, equal, draws=20_000, exclusive=False)) for told in (together, apart))
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    p = 1 / (1 + np.exp(-3 * points))
    mean = (weights * p**2).sum() / math.sqrt(2 * math.pi)
    assert math.exp(-one) == pytest.approx(mean, abs=0.01)
    assert math.exp(-other) == pytest.approx(0.25, abs=0.01)


def test_noise_is_standard_normal_and_independent_over_voxels_channels_and_seeds():
    shape, place = (20, 21, 22), (slice(0, 20), slice(0, 21), slice(0, 22))
    fields = [voxel_noise(seed, place, shape=shape, channels=2).numpy().astype(np.float64) for seed in (0, 1, 2**63)]
    for field in fields:
        assert stats.kstest(field.ravel(), "norm").pvalue > 1e-3
    one, other, far = (field.reshape(2, *shape) for field in fields)
    pairs = [(one, other), (one, far), (one[0], one[1]), (one[:, 1:], one[:, :-1]), (one[..., 1:], one[..., :-1])]
    for a, b in pairs:
        assert abs(np.mean(a * b)) < 5 / math.sqrt(a.size)
        assert abs(np.mean(a**2 * b**2) - 1) < 5 * math.sqrt(8 / a.size)


def test_noise_of_a_window_is_a_part_of_the_noise_of_the_image():
    whole = voxel_noise(7, EVERYWHERE, shape=WHOLE, channels=3)
    place = (slice(2, 5), slice(1, 4), slice(6, 11))
    part = voxel_noise(7, place, shape=WHOLE, channels=3)
    assert torch.equal(part, whole[:, 2:5, 1:4, 6:11])
    assert len(torch.unique(whole)) > 0.999 * whole.numel()


class PointwiseNetwork(torch.nn.Module):
    """The same outputs for the same voxel in whichever window it lies."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return torch.cat([windows * factor for factor in (1.0, -1.0, 0.5, 0.3, 2.0, -0.7, 1.2, 0.1)], dim=1)


def test_overlapping_windows_of_one_draw_agree_voxel_by_voxel():
    functions, values = LogitFunctions(PointwiseNetwork(), rank=2), torch.randn(1, 1, *WHOLE)
    for seed in (4, None):
        function = functions.draw(seed, shape=WHOLE)
        whole = function(values, [EVERYWHERE])
        places = [(slice(0, 3), slice(0, 4), slice(2, 8)), (slice(1, 4), slice(2, 6), slice(4, 10))]
        windows = torch.cat([values[(slice(None), slice(None), *place)] for place in places])
        for window, place in zip(function(windows, places), places, strict=True):
            torch.testing.assert_close(window, whole[(0, slice(None), *place)])
    drawn = [functions.draw(seed, shape=WHOLE)(values, [EVERYWHERE]) for seed in (4, 4, 5)]
    assert torch.equal(drawn[0], drawn[1])
    assert float((drawn[0] - drawn[2]).abs().min()) > 0
    assert torch.equal(functions.draw(None, shape=WHOLE)(values, [EVERYWHERE]), torch.cat([values, -values], dim=1))


def test_learns_that_a_lesion_is_there_or_not_there():
    """Labels are all of a block or nothing of it, one time in two: draws are that too, as a whole."""
    torch.manual_seed(0)
    outputs = torch.randn(1, 2 * 4, 3, 3, 3).requires_grad_()
    optimiser = torch.optim.Adam([outputs], lr=0.5)
    everything, nothing = one_hot(torch.ones(3, 3, 3), 2), one_hot(torch.zeros(3, 3, 3), 2)
    for _ in range(300):
        optimiser.zero_grad()
        told = LogitGaussian.of(outputs, rank=2)
        loss = sum(integrated_loss(told, labels, draws=20, exclusive=True) for labels in (everything, nothing))
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        drawn = LogitGaussian.of(outputs, rank=2).draw(torch.randn(1, 400, 2), torch.randn(1, 400, 2, 3, 3, 3))
    share = drawn[0].argmax(dim=1).float().mean(dim=(1, 2, 3)).numpy()
    assert 0.35 < (share > 0.9).mean() < 0.65
    assert 0.35 < (share < 0.1).mean() < 0.65
    assert float(loss.detach()) / 2 * 27 < 3 * math.log(2)  # one bit is the least; voxel by voxel it is 27


def test_deep_supervision_is_refused(dataset, tmp_path):
    with pytest.raises(ValueError, match="leave deep_supervision off"):
        train_ensemble(dataset, tmp_path / "m", members=1, settings=replace(SETTINGS, deep_supervision=True))


@pytest.fixture(scope="module")
def stochastic(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ssn") / "model"
    return train_ensemble(dataset, folder, members=1, settings=SETTINGS, split=SPLIT, threads=1), folder


def test_stopped_after_a_checkpoint_ends_with_the_same_bytes(stochastic, dataset, tmp_path, monkeypatch):
    result, _ = stochastic
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


def test_members_are_draws_that_do_not_depend_on_how_windows_come(stochastic):
    _, folder = stochastic
    given = image((22, 29, 12), spacing=(1.0, 1.2, 2.0))
    first, second = (
        [member.probabilities for member in predict_members(source, given)]
        for source in (
            load_model(folder, device="cpu", sampling=Sampling(draws=3)),
            load_model(folder, device="cpu", sampling=Sampling(draws=3), batch=1),
        )
    )
    for one, same in zip(first, second, strict=True):
        assert one.shape == (3, 22, 29, 12)
        np.testing.assert_allclose(one, same, atol=1e-5)
    assert np.abs(first[0] - first[1]).max() > 1e-3


def test_overlapping_regions_are_trained_and_drawn(tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    data = write_dataset(tmp_path / "data", n_cases=2, labels=labels, order=[1, 2])
    settings = replace(SETTINGS, iterations=2)
    result = train_ensemble(data, tmp_path / "m", members=1, settings=settings, validation_fraction=0.0, threads=1)
    assert not result.info.classes.exclusive
    model = load_model(tmp_path / "m", device="cpu", sampling=Sampling(draws=1))
    (member,) = predict_members(model, image((11, 13, 9)))
    assert member.probabilities.shape == (2, 11, 13, 9)
