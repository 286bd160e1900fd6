"""Cyclical SGLD: variance on Gaussian targets, noise only where it is cold, and training that resumes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from plausible.train import TrainingSettings, cyclical_sgld
from plausible.train.bayes_by_backprop import observations
from plausible.train.cyclical_sgld import METHOD, add_noise, freeze_preconditioner, is_cold, set_momentum
from plausible.train.hooks import Training
from tests.train.trajectories import digests, job_of, predicted, train_interrupted, trained_with

SETTINGS = TrainingSettings(method="cyclical_sgld", iterations=80, keep=2)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sgld")
    return trained_with(dataset, folder, "cyclical_sgld"), folder


def sampled_variance(*, curvature: float, temperature: float, rate: float, steps: int = 2000, n: int = 1500) -> float:
    """Mean square of n chains on curvature/2 θ², from its own standard deviation times 0.7."""
    generator = torch.Generator().manual_seed(0)
    start = 0.7 * (temperature / curvature) ** 0.5 * torch.randn(n, generator=generator)
    theta, memory, squares = torch.nn.Parameter(start), {}, []
    optimiser = torch.optim.AdamW([theta], lr=rate, weight_decay=0.0)
    optimiser.param_groups[0]["initial_lr"] = rate
    set_momentum(optimiser, 0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for step in range(steps):
            theta.grad = curvature * theta.detach()
            optimiser.step()
            if step >= steps // 8:
                freeze_preconditioner(optimiser, memory)
            add_noise(optimiser, share=1.0, temperature=temperature)
            if step >= steps // 2 and step % 50 == 0:
                squares.append(float(theta.detach().square().mean()))
    return sum(squares) / len(squares)


@pytest.mark.parametrize(("curvature", "temperature"), [(1.0, 1.0), (4.0, 1.0), (1.0, 0.25)])
def test_variance_of_a_gaussian_target_is_temperature_over_curvature(curvature, temperature):
    expected = temperature / curvature
    found = sampled_variance(curvature=curvature, temperature=temperature, rate=0.02 * expected**0.5)
    assert found == pytest.approx(expected, rel=0.05)


def test_noise_has_the_variance_of_the_preconditioned_step():
    theta = torch.nn.Parameter(torch.zeros(20000))
    optimiser = torch.optim.AdamW([{"params": [theta], "lr": 0.01}])
    theta.grad = torch.full_like(theta, 4.0)
    optimiser.step()
    optimiser.param_groups[0]["initial_lr"] = 0.01
    before = theta.detach().clone()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        add_noise(optimiser, share=0.5, temperature=0.1)
    change = theta.detach() - before
    assert float(change.var()) == pytest.approx(2 * 0.01 * 0.5 * 0.1 / 4.0, rel=0.03)


def test_only_the_last_quarter_of_each_cycle_is_cold():
    cold = [step for step in range(80) if is_cold(SETTINGS, step)]
    assert cold == [*range(30, 40), *range(70, 80)]
    assert not any(is_cold(replace(SETTINGS, temperature=0.0), step) for step in range(80))


def test_each_cold_part_has_a_preconditioner_of_its_own_and_no_momentum(tmp_path, monkeypatch):
    """Two cycles of eight steps: the last two of each are cold."""
    monkeypatch.setattr(cyclical_sgld, "observations", lambda job: 1000)
    job = job_of(replace(SETTINGS, iterations=16), tmp_path)
    network = torch.nn.Module()
    network.theta = torch.nn.Parameter(torch.ones(5))
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01)
    training = Training(network, optimiser, METHOD.schedule(optimiser, job.settings), {})
    momentum, frozen = [], []
    for step in range(16):
        momentum.append(optimiser.param_groups[0]["betas"][0])
        network.theta.grad = torch.full((5,), step + 1.0)
        optimiser.step()
        training.iteration += 1
        METHOD.after_step(training, job)
        frozen.append(training.memory.get("mean_squares"))
    assert momentum == ([0.9] * 6 + [0.0] * 2) * 2
    assert [one is not None for one in frozen] == ([False] * 6 + [True] * 2) * 2
    assert torch.equal(frozen[6][0], frozen[7][0])
    assert not torch.equal(frozen[6][0], frozen[14][0])
    assert torch.equal(optimiser.state[network.theta]["exp_avg_sq"], frozen[15][0])


def test_without_temperature_it_is_a_snapshot_ensemble(dataset, tmp_path):
    cold = trained_with(dataset, tmp_path / "cold", "cyclical_sgld", temperature=0.0)
    snapshots = trained_with(dataset, tmp_path / "snapshots", "snapshots")
    assert digests(cold) == digests(snapshots)
    with pytest.raises(ValueError, match="temperature must be at least 0, got -1"):
        trained_with(dataset, tmp_path / "m", "cyclical_sgld", temperature=-1.0)


def test_samples_move_further_at_a_higher_temperature(trained, dataset, tmp_path):
    def first_sample(folder, result):
        return torch.load(folder / result.info.members[0].weights, weights_only=True)

    snapshots = trained_with(dataset, tmp_path / "snapshots", "snapshots")
    still = first_sample(tmp_path / "snapshots", snapshots)
    distances = []
    for temperature in (1.0, 100.0):
        folder = tmp_path / f"{temperature}"
        moved = first_sample(folder, trained_with(dataset, folder, "cyclical_sgld", temperature=temperature))
        distances.append(sum(float((moved[name].float() - still[name].float()).square().sum()) for name in still))
    assert 0 < distances[0] < distances[1]


def test_names(trained):
    assert [record.id for record in trained[0].info.members] == [f"member_0.sample_{n}" for n in (1, 2, 3)]
    assert trained[0].info.ensemble == "checkpoint ensemble of 3 (1 training)"


@pytest.mark.parametrize("at", [6, 11])
def test_interrupted_ends_with_the_same_bytes(at, trained, dataset, tmp_path, monkeypatch):
    """Noise, momentum and the frozen preconditioner of a cold part are in the checkpoint."""
    longer = {"iterations": 16, "keep": 1, "checkpoint_every": 13} if at == 11 else {}
    whole = trained_with(dataset, tmp_path / "whole", "cyclical_sgld", **longer)
    again = train_interrupted(dataset, tmp_path / "m", "cyclical_sgld", monkeypatch, at=15 if longer else at, **longer)
    assert digests(again) == digests(whole)


def test_members_are_predicted_and_differ(trained, dataset):
    first, second, third = predicted(dataset, trained[1]).values()
    assert abs(first - second).max() > 1e-3
    assert abs(second - third).max() > 1e-3


def test_every_region_of_a_voxel_is_an_observation(tmp_path):
    """The mean loss of regions is a mean over voxels and regions, that of exclusive classes over voxels."""
    for part, values in (
        ("image", np.zeros((1, 4, 5, 6))),
        ("labels", np.zeros((4, 5, 6))),
        ("places", np.zeros((0, 4))),
    ):
        np.save(tmp_path / f"case_0.{part}.npy", values.astype(np.int32 if part != "image" else np.float32))
    assert observations(job_of(SETTINGS, tmp_path)) == 4 * 5 * 6
    assert observations(job_of(SETTINGS, tmp_path, exclusive=False)) == 2 * 4 * 5 * 6
