from pathlib import Path

import pytest

from plausible.train import Split, train_ensemble
from tests.train.datasets import TINY, write_dataset

SPLIT = Split(("case_0", "case_1", "case_2"), ("case_3",))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "Dataset001_balls")


@pytest.fixture(scope="session")
def trained(dataset, tmp_path_factory):
    """A tiny deep ensemble of two, and its folder."""
    folder = tmp_path_factory.mktemp("models") / "model"
    return train_ensemble(dataset, folder, members=2, settings=TINY, split=SPLIT, threads=1), folder
