import pytest

from plausible.sample import load_model
from plausible.train import train_ensemble
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY, write_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "Dataset001_balls")


@pytest.fixture(scope="session")
def folder(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    train_ensemble(dataset, folder, members=2, settings=TINY, split=SPLIT, threads=1)
    return folder


@pytest.fixture(scope="session")
def model(folder):
    return load_model(folder, device="cpu", precision="float32")
