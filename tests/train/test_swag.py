"""SWAG: moments by hand, the covariance of draws, a quadratic's stationary variance, and the schedule."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from plausible.train import TrainingSettings
from plausible.train.swag import METHOD, UNIT, SwagFunctions, add_to_moments, gaussian_of, moments_at
from tests.train.trajectories import (
    SHORT,
    STATIONARY,
    descend,
    digests,
    job_of,
    predicted,
    train_interrupted,
    trained_with,
)

SETTINGS = TrainingSettings(method="swag", iterations=100, warmup=0.1, keep_from=0.6, constant_rate=0.25, rank=4)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("swag")
    return trained_with(dataset, folder, "swag", validate_every=4), folder


def weights(folder, record):
    return torch.load(folder / record.weights, weights_only=True)


def test_moments_of_five_sets_by_hand():
    rows, memory = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0)), {}
    for row in rows:
        add_to_moments(memory, {"a": row}, rank=2)
    found = gaussian_of(memory)
    torch.testing.assert_close(found["mean.a"], rows.mean(dim=0))
    torch.testing.assert_close(found["sd.a"] * UNIT, rows.std(dim=0, correction=0))
    torch.testing.assert_close(found["deviations.a"][1] * UNIT, rows[4] - rows.mean(dim=0))
    torch.testing.assert_close(found["deviations.a"][0] * UNIT, rows[3] - rows[:4].mean(dim=0))


def test_a_small_variance_around_a_large_mean_keeps_its_digits():
    rows, memory = 1 + 1e-4 * torch.randn(50, 400, generator=torch.Generator().manual_seed(0)), {}
    for row in rows:
        add_to_moments(memory, {"a": row}, rank=2)
    stored = gaussian_of(memory)["sd.a"].half().double() * UNIT
    torch.testing.assert_close(stored, rows.double().std(dim=0, correction=0), rtol=2e-3, atol=0)


def test_draws_have_half_the_diagonal_and_half_the_low_rank_covariance():
    generator = torch.Generator().manual_seed(1)
    mean = {"a": torch.tensor([1.0, -2.0]), "b": torch.tensor([[0.5]])}
    sd = {"a": torch.tensor([0.5, 1.0]), "b": torch.tensor([[2.0]])}
    deviations = {"a": torch.randn(4, 2, generator=generator), "b": torch.randn(4, 1, 1, generator=generator)}
    stored = [{name: values / UNIT for name, values in part.items()} for part in (sd, deviations)]
    functions = SwagFunctions(torch.nn.Identity(), mean, *stored)
    rows = np.array(
        [torch.cat([v.flatten() for v in functions.weights(seed).values()]).numpy() for seed in range(8000)]
    )
    d = np.concatenate([deviations["a"].numpy(), deviations["b"].numpy()[:, 0]], axis=1).T
    expected = np.diag([0.25, 1.0, 4.0]) / 2 + d @ d.T / (2 * (4 - 1))
    scale = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    assert np.abs((np.cov(rows.T) - expected) / scale).max() < 0.06
    assert np.abs(rows.mean(axis=0) - [1.0, -2.0, 0.5]).max() < 5 * math.sqrt(expected.max() / 8000)


def test_on_a_quadratic_the_gaussian_is_the_stationary_distribution(tmp_path):
    settings = replace(SHORT, method="swag", iterations=1600, keep_from=0.25, rank=20)
    job = job_of(settings, tmp_path)
    (kept,) = METHOD.finish(job, descend(job, METHOD.after_step, parameters=3000), {})
    interval, n = 1200 // 60, 60
    correlated = 1 + 2 * sum((1 - k / n) * 0.9 ** (interval * k) for k in range(1, n))
    variance = (kept.weights["sd.theta"] * UNIT).square()
    assert float(variance.mean()) == pytest.approx(STATIONARY * (1 - correlated / n), rel=0.02)
    assert float(kept.weights["mean.theta"].square().mean()) == pytest.approx(STATIONARY * correlated / n, rel=0.1)
    (deviations,) = (kept.weights["deviations.theta"] * UNIT,)
    assert float(deviations.square().mean()) == pytest.approx(STATIONARY, rel=0.05)


def test_the_rate_falls_to_a_constant_where_collecting_begins():
    optimiser, found = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=2e-3), []
    schedule = METHOD.schedule(optimiser, SETTINGS)
    for _ in range(100):
        found.append(optimiser.param_groups[0]["lr"] / 2e-3)
        optimiser.step()
        schedule.step()
    assert found[:10] == pytest.approx([n / 11 for n in range(1, 11)])
    assert found[10] == 1
    assert found[35] == pytest.approx((1 + 0.25) / 2)
    assert found[10:60] == sorted(found[10:60], reverse=True)
    assert set(found[60:]) == {0.25}
    assert found[59] == pytest.approx(0.25, abs=0.01)


def test_weights_are_collected_three_times_as_often_as_the_rank():
    assert moments_at(SETTINGS) == tuple(60 + 40 * k // 12 for k in range(1, 13))
    with pytest.raises(ValueError, match="rank must be at least 2"):
        METHOD.schedule(None, replace(SETTINGS, rank=1))
    with pytest.raises(ValueError, match="swag collects weights 60 times, and only 40 of 100"):
        METHOD.schedule(None, replace(SETTINGS, rank=20))


def test_what_is_kept_and_what_it_is_called(trained):
    result, folder = trained
    (record,) = result.info.members
    assert result.info.ensemble == "single member (SWAG)"
    assert (record.id, record.name) == ("member_0", "")
    kept = weights(folder, record)
    assert {name.partition(".")[0] for name in kept} == {"mean", "sd", "deviations"}
    assert {tensor.dtype for tensor in kept.values()} == {torch.float16}
    assert all(bool((tensor > 0).any()) for name, tensor in kept.items() if name.startswith("sd.") and "conv" in name)
    name = next(name for name in kept if name.startswith("deviations."))
    assert len(kept[name]) == 2


def test_several_seeds_are_multiswag(dataset, tmp_path):
    result = trained_with(dataset, tmp_path / "m", "swag", members=2)
    assert result.info.ensemble == "deep ensemble of 2 (SWAG)"
    assert list(predicted(dataset, tmp_path / "m", draws=2)) == [
        f"member_{m}.draw_0{n}" for m in (0, 1) for n in (0, 1)
    ]


def test_draws_repeat_by_seed_and_differ_otherwise(trained, dataset):
    first, again = (predicted(dataset, trained[1], draws=2) for _ in range(2))
    other = predicted(dataset, trained[1], draws=2, seed=1)
    for name, probabilities in first.items():
        np.testing.assert_array_equal(probabilities, again[name])
        assert np.abs(probabilities - other[name]).max() > 1e-4
    a, b = first.values()
    assert np.abs(a - b).max() > 1e-4


def test_the_point_prediction_is_the_mean_whatever_was_drawn_before(trained):
    kept = weights(trained[1], trained[0].info.members[0])
    shapes = {n.removeprefix("mean."): v.shape for n, v in kept.items() if n.startswith("mean.")}
    network = torch.nn.Module()
    network.parameters_of = torch.nn.ParameterDict({n.replace(".", "/"): torch.zeros(s) for n, s in shapes.items()})
    renamed = {
        f"{part}.parameters_of.{name.replace('.', '/')}": value
        for part, _, name, value in ((*key.partition("."), v) for key, v in kept.items())
    }
    functions = METHOD.functions(network, renamed, SHORT)
    functions.draw(3, shape=(8, 12, 8))
    drawn = {name: p.detach().clone() for name, p in network.named_parameters()}
    functions.draw(None, shape=(8, 12, 8))
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), renamed[f"mean.{name}"].float(), rtol=0, atol=0)
    assert any(not torch.equal(drawn[name], p.detach()) for name, p in network.named_parameters())


def test_windows_of_one_draw_go_through_the_same_function():
    """What two overlapping windows say of the voxels they share agrees where neither sees its edge."""
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3, padding=1))
    names = dict(network.named_parameters())
    mean = {name: torch.zeros_like(value) for name, value in names.items()}
    sd = {name: torch.ones_like(value) / UNIT for name, value in names.items()}
    along = {name: torch.ones(2, *value.shape) / UNIT for name, value in names.items()}
    functions = SwagFunctions(network, mean, sd, along)
    image = torch.randn(1, 1, 5, 7, 18, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        function = functions.draw(4, shape=(5, 7, 18))
        left, right = function(image[..., :11], []), function(image[..., 5:], [])
        other = functions.draw(5, shape=(5, 7, 18))(image[..., 5:], [])
    torch.testing.assert_close(left[..., 6:10], right[..., 1:5])
    assert float((left[..., 6:10] - other[..., 1:5]).abs().max()) > 0.1


def test_interrupted_while_collecting_ends_with_the_same_bytes(trained, dataset, tmp_path, monkeypatch):
    again = train_interrupted(dataset, tmp_path / "m", "swag", monkeypatch, at=12, validate_every=4)
    assert digests(again) == digests(trained[0])


def test_weights_of_another_network_are_refused(trained):
    kept = weights(trained[1], trained[0].info.members[0])
    with pytest.raises(ValueError, match="do not fit"):
        METHOD.functions(torch.nn.Linear(2, 2), kept, SHORT)
