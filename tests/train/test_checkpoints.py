"""Checkpoint ensembles: when weights are kept, what they are, and how far they lie apart on a quadratic."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from plausible.train import TrainingSettings
from plausible.train.checkpoints import METHOD
from plausible.train.trajectory import collected_at
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


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return trained_with(dataset, folder, "checkpoints"), folder


def weights(folder, record):
    return torch.load(folder / record.weights, weights_only=True)


def test_moments_are_equally_spaced_and_the_last_one_ends_the_training():
    assert collected_at(TrainingSettings(iterations=1500, keep_from=0.5), 5) == (900, 1050, 1200, 1350, 1500)
    assert collected_at(TrainingSettings(iterations=10, keep_from=0.0), 3) == (3, 6, 10)
    assert collected_at(TrainingSettings(iterations=7, keep_from=0.5), 4) == (4, 5, 6, 7)
    with pytest.raises(ValueError, match=r"5 times, and only 4 of 7 iterations"):
        collected_at(TrainingSettings(iterations=7, keep_from=0.5), 5)


def test_spread_on_a_quadratic_is_the_stationary_variance(tmp_path):
    assert pytest.approx(0.05263, abs=5e-6) == STATIONARY
    settings = replace(SHORT, method="checkpoints", iterations=400, keep=10, keep_from=0.5)
    job = job_of(settings, tmp_path)
    training = descend(job, METHOD.after_step, parameters=4000)
    kept = METHOD.finish(job, training, {})
    assert [one.iterations for one in kept] == list(range(220, 401, 20))
    values = torch.stack([one.weights["theta"] for one in kept])
    assert float(values.square().mean()) == pytest.approx(STATIONARY, rel=0.03)
    assert torch.equal(values[-1], training.network.theta.detach())
    apart = values[1:] - values[:-1]
    assert float(apart.square().mean()) == pytest.approx(2 * STATIONARY * (1 - 0.9**20), rel=0.03)


def test_names_minutes_and_iterations(trained):
    result, folder = trained
    records = result.info.members
    assert result.info.ensemble == "checkpoint ensemble of 3 (1 training)"
    assert [record.id for record in records] == [f"member_0.checkpoint_{n}" for n in (1, 2, 3)]
    assert [record.iterations for record in records] == [8, 10, 12]
    assert [record.info.kind for record in records] == ["checkpoint"] * 3
    assert len({record.minutes for record in records}) == 1
    assert sorted(p.name for p in (folder / "member_0").iterdir()) == [f"checkpoint_{n}.pt" for n in (1, 2, 3)]


def test_the_last_checkpoint_is_the_plain_network_of_the_same_seed(trained, dataset, tmp_path):
    result, folder = trained
    plain = trained_with(dataset, tmp_path / "plain", "plain").info.members[0]
    last, alone = weights(folder, result.info.members[-1]), weights(tmp_path / "plain", plain)
    assert all(torch.equal(last[name], alone[name]) for name in alone)
    first = weights(folder, result.info.members[0])
    assert any(not torch.equal(first[name], last[name]) for name in last)


def test_two_trainings_of_three_checkpoints(dataset, tmp_path):
    result = trained_with(dataset, tmp_path / "m", "checkpoints", members=2)
    assert result.info.ensemble == "checkpoint ensemble of 6 (2 trainings)"
    assert result.info.members[3].id == "member_1.checkpoint_1"


def test_interrupted_between_two_checkpoints_ends_with_the_same_bytes(trained, dataset, tmp_path, monkeypatch):
    result, _ = trained
    again = train_interrupted(dataset, tmp_path / "m", "checkpoints", monkeypatch, at=12)
    assert digests(again) == digests(result)


def test_with_an_average_the_average_is_kept(trained, dataset, tmp_path):
    result, folder = trained
    averaged = trained_with(dataset, tmp_path / "m", "checkpoints", ema_decay=0.9)
    ends = [weights(path, told.info.members[-1]) for path, told in ((folder, result), (tmp_path / "m", averaged))]
    assert any(not torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    plain = trained_with(dataset, tmp_path / "plain", "plain", ema_decay=0.9).info.members[0]
    alone = weights(tmp_path / "plain", plain)
    assert all(torch.equal(ends[1][name], alone[name]) for name in alone)


def test_members_are_predicted_and_differ(trained, dataset):
    _, folder = trained
    found = predicted(dataset, folder)
    assert list(found) == [f"member_0.checkpoint_{n}" for n in (1, 2, 3)]
    first, second, third = found.values()
    assert min(np.abs(a - b).max() for a, b in ((first, second), (second, third))) > 1e-4
    np.testing.assert_array_equal(predicted(dataset, folder, seed=1)["member_0.checkpoint_2"], second)


def test_stopping_early_and_too_few_iterations_are_refused(dataset, tmp_path):
    for method in ("checkpoints", "snapshots", "cyclical_sgld", "swag"):
        with pytest.raises(ValueError, match=f"{method} collects weights until the end"):
            trained_with(dataset, tmp_path / method, method, patience=1, validate_every=2)
    with pytest.raises(ValueError, match="3 times, and only 1 of 12"):
        trained_with(dataset, tmp_path / "m", "checkpoints", keep_from=0.95)
