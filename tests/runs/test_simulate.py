"""A toy case on disk: the same bytes again, readable by everything, and never mixed with another."""

import json

import numpy as np
import pytest

from plausible.io import read_dataset, read_labels, read_scalar_map
from plausible.io.raw_dataset import raters_of
from plausible.runs.simulate import SimulateSettings, simulate_dataset
from plausible.simulate import TOY_CASES, simulate
from tests.cli.program import contents

SMALL = SimulateSettings(size=16, share=0.02)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "Dataset301"
    done = simulate_dataset("3b", folder, settings=SMALL)
    assert not done.was_there
    return folder


def test_the_same_arguments_write_the_same_bytes(toy, tmp_path):
    simulate_dataset("3b", tmp_path / "again", settings=SMALL)
    assert contents(tmp_path / "again") == contents(toy)
    simulate_dataset("3b", tmp_path / "other", seed=1, settings=SMALL)
    same, other = contents(toy), contents(tmp_path / "other")
    assert same.keys() == other.keys()
    assert sum(same[name] != other[name] for name in same if "images" in name) == 9


def test_files_hold_what_was_simulated(toy):
    for case in simulate("3b", size=16, share=0.02):
        part = "Tr" if case.group.role == "train" else "Ts"
        for n in range(3):
            values, grid = read_labels(toy / f"labels{part}_rater_{n + 1}" / f"{case.subject}.nii.gz")
            np.testing.assert_array_equal(values, case.masks[n])
        assert grid.matches(case.image.geometry)
        entropy = read_scalar_map(toy / f"truth{part}" / f"{case.subject}_aleatoric_entropy.nii.gz")
        np.testing.assert_allclose(entropy.values, case.truth[1].values, atol=2e-5)
        told = json.loads((toy / f"truth{part}" / f"{case.subject}_aleatoric_entropy.json").read_text("utf-8"))
        assert (told["unit"], told["n_raters"], told["role"]) == ("nat", 3, case.group.role)


def test_it_is_a_raw_dataset_with_raters(toy):
    assert raters_of(toy) == raters_of(toy, part="Ts") == ("rater_1", "rater_2", "rater_3")
    split = json.loads((toy / "split.json").read_text("utf-8"))
    assert {role: len(cases) for role, cases in split.items()} == {"train": 4, "iid": 2, "shifted": 3}
    train, test = read_dataset(toy), read_dataset(toy, part="Ts", rater="rater_3")
    assert [case.subject for case in train] == sorted(split["train"])
    assert {case.subject for case in test} == {*split["iid"], *split["shifted"]}
    assert (train.problems, test.problems) == ((), ())
    case = train.case("train_blurred_001")
    assert case.image().channels == ("intensity",)
    told = json.loads((toy / "dataset.json").read_text("utf-8"))
    chosen = told["cases"]["train_blurred_001"]["labels_of"]
    (label,) = case.raters()
    values, _ = read_labels(toy / f"labelsTr_{chosen}" / "train_blurred_001.nii.gz")
    np.testing.assert_array_equal(label.probabilities[1], values)
    assert told["numTraining"] == 4


def test_what_is_there_is_kept_and_another_case_is_never_mixed_in(toy, tmp_path):
    folder, before = tmp_path / "toy", contents(toy)
    simulate_dataset("3b", folder, settings=SMALL)
    assert simulate_dataset("3b", folder, settings=SMALL).was_there
    with pytest.raises(ValueError, match="another dataset"):
        simulate_dataset("1", folder, settings=SMALL)
    simulate_dataset("1", folder, settings=SMALL, overwrite=True)
    assert {case.subject for case in read_dataset(folder)} == {f"train_00{n}" for n in range(4)}
    simulate_dataset("3b", folder, settings=SMALL, overwrite=True)
    assert contents(folder) == before


def test_a_run_that_was_stopped_is_done_again(toy, tmp_path):
    def stop(subject: str, number: int, total: int) -> None:
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_dataset("3b", tmp_path / "toy", settings=SMALL, on_case=stop)
    assert not simulate_dataset("3b", tmp_path / "toy", settings=SMALL).was_there
    assert contents(tmp_path / "toy") == contents(toy)


def test_a_dataset_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "dataset.json").write_text('{"name": "liver"}')
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="liver"):
            simulate_dataset("1", tmp_path, settings=SMALL, overwrite=overwrite)


@pytest.mark.parametrize("case", TOY_CASES)
def test_every_case_can_be_written(case, tmp_path):
    done = simulate_dataset(case, tmp_path / "toy", settings=SimulateSettings(size=16, share=0.005, clean=True))
    assert done.raters == (() if case == "2" else ("rater_1", "rater_2", "rater_3"))
    assert len(list((tmp_path / "toy" / "imagesTr").iterdir())) == len(done.split["train"])
