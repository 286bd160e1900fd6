"""Snapshots: the shape of the cyclic rate, and the weights at each cycle's end."""

import math
from dataclasses import replace

import pytest
import torch

from plausible.train import TrainingSettings
from plausible.train.snapshots import METHOD
from plausible.train.trajectory import cycle_ends, cyclic_share
from tests.train.trajectories import digests, predicted, train_interrupted, trained_with

SETTINGS = TrainingSettings(method="snapshots", iterations=100, keep=4, warmup=0.2)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("snapshots")
    return trained_with(dataset, folder, "snapshots"), folder


def rates(settings):
    """Learning rates of every step, as the optimiser sees them."""
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=settings.learning_rate)
    schedule, found = METHOD.schedule(optimiser, settings), []
    for _ in range(settings.iterations):
        found.append(optimiser.param_groups[0]["lr"] / settings.learning_rate)
        optimiser.step()
        schedule.step()
    return found


def test_cycles_are_cosines_from_the_peak_to_nothing():
    found = rates(SETTINGS)
    assert cycle_ends(SETTINGS) == (25, 50, 75, 100)
    for start in (25, 50, 75):
        assert found[start] == 1
        assert found[start + 10] == pytest.approx((1 + math.cos(0.4 * math.pi)) / 2)
        cycle = found[start : start + 25]
        assert cycle == sorted(cycle, reverse=True)
        assert cycle == pytest.approx(found[25:50])
        assert cycle[-1] < 0.01
    assert found[5:25] == pytest.approx(found[30:50])


def test_the_first_cycle_rises_from_a_low_rate():
    found = rates(SETTINGS)
    assert found[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert found[5] > found[4]


def test_uneven_cycles_end_at_the_last_iteration():
    settings = replace(SETTINGS, iterations=10, keep=3)
    assert cycle_ends(settings) == (3, 6, 10)
    assert [cyclic_share(settings, n) == 1 for n in range(3, 10)] == [True, False, False, True, False, False, False]
    with pytest.raises(ValueError, match="4 cycles need as many iterations, there are 3"):
        cycle_ends(replace(SETTINGS, iterations=3))


def test_one_cycle_is_one_set_of_weights(dataset, tmp_path):
    result = trained_with(dataset, tmp_path / "m", "snapshots", keep=1)
    assert [record.id for record in result.info.members] == ["member_0.snapshot_1"]
    assert result.info.ensemble == "single member"


def test_names_and_iterations(trained):
    result, _ = trained
    assert result.info.ensemble == "checkpoint ensemble of 3 (1 training)"
    assert [(record.id, record.iterations) for record in result.info.members] == [
        ("member_0.snapshot_1", 4),
        ("member_0.snapshot_2", 8),
        ("member_0.snapshot_3", 12),
    ]


def test_interrupted_ends_with_the_same_bytes(trained, dataset, tmp_path, monkeypatch):
    again = train_interrupted(dataset, tmp_path / "m", "snapshots", monkeypatch, at=9)
    assert digests(again) == digests(trained[0])


def test_members_are_predicted_and_differ(trained, dataset):
    first, second, third = predicted(dataset, trained[1]).values()
    assert abs(first - second).max() > 1e-3
    assert abs(second - third).max() > 1e-3
