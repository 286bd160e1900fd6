"""Training as a whole: what a model says of itself, what it refuses, and that a killed run ends with the same bits."""

import io
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from plausible.core import InvalidInput
from plausible.train import ModelInfo, Split, ensemble_name, read_model, train_ensemble
from plausible.train import member as member_module
from tests.cli.program import run_until_killed, without_time
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY, TINY_OPTIONS, affine, image_and_labels, write_dataset


def weights(folder: Path, record) -> dict[str, torch.Tensor]:
    return torch.load(io.BytesIO((folder / record.weights).read_bytes()), weights_only=True)


def train(dataset, folder, **more):
    return train_ensemble(dataset, folder, **{"members": 2, "settings": TINY, "split": SPLIT, "threads": 1, **more})


def test_says_what_made_each_member(trained, dataset):
    result, folder = trained
    info = read_model(folder)
    assert info.to_dict() == result.info.to_dict()
    assert info.ensemble == "deep ensemble of 2"
    assert [record.seed for record in info.members] == [0, 1]
    assert info.members[0].train_subjects == ("case_0", "case_1", "case_2")
    assert info.infos[0].kind == "seed"
    assert set(info.provenance["inputs"]) == {f"case_{n}{end}" for n in range(4) for end in ("_0000.nii.gz", ".nii.gz")}
    assert 0 <= info.members[0].validation_dice <= 1
    assert not (folder / "training.json").exists()
    text = (folder / "model.json").read_text()
    assert str(dataset) not in text
    assert str(folder) not in text


def test_rerun_of_a_finished_training_changes_nothing(trained, dataset):
    result, folder = trained
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = train(dataset, folder)
    assert again.was_finished
    assert not result.was_finished
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_two_seeds_differ_and_the_same_seed_repeats(trained, dataset, tmp_path):
    result, folder = trained
    first, second = (weights(folder, record) for record in result.info.members)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    again = train(dataset, tmp_path / "again", members=1)
    repeated = weights(tmp_path / "again", again.info.members[0])
    assert all(torch.equal(first[name], repeated[name]) for name in first)


def test_stopped_after_a_checkpoint_ends_with_the_same_bytes(trained, dataset, tmp_path, monkeypatch):
    result, folder = trained
    step, steps = member_module._step, []

    def stop_at_the_fifth(*arguments):
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(member_module, "_step", stop_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "m")
    assert (tmp_path / "m/member_0/checkpoint.pt").exists()
    monkeypatch.setattr(member_module, "_step", step)
    resumed = train(dataset, tmp_path / "m")
    for before, after in zip(result.info.members, resumed.info.members, strict=True):
        assert (tmp_path / "m" / after.weights).read_bytes() == (folder / before.weights).read_bytes()


def test_average_best_weights_and_deep_supervision_survive_a_stop(dataset, tmp_path, monkeypatch):
    settings = replace(
        TINY, iterations=7, ema_decay=0.5, deep_supervision=True, validate_every=2, patience=5, checkpoint_every=3
    )
    whole = train(dataset, tmp_path / "whole", members=1, settings=settings)
    step, steps = member_module._step, []

    def stop_at_the_sixth(*arguments):
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(member_module, "_step", stop_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "cut", members=1, settings=settings)
    monkeypatch.setattr(member_module, "_step", step)
    cut = train(dataset, tmp_path / "cut", members=1, settings=settings)
    assert cut.info.members[0].weights_sha256 == whole.info.members[0].weights_sha256
    assert cut.info.members[0].iterations == whole.info.members[0].iterations


@pytest.mark.parametrize(("at", "where", "name"), [(5, ".prepared", "case_1.image.npy"), (15, "m", "checkpoint.pt")])
def test_killed_with_sigkill_and_rerun_ends_with_the_same_bytes(at, where, name, trained, dataset, tmp_path):
    result, folder = trained
    (tmp_path / "split.json").write_text(json.dumps({"train": SPLIT.train, "validation": SPLIT.validation}))
    line = ("train", dataset, "-o", tmp_path / "m", "--split", tmp_path / "split.json", *TINY_OPTIONS)
    run_until_killed(*line, at=at)
    assert not (tmp_path / "m" / "model.json").exists()
    (half,) = tmp_path.rglob(".tmp-*")
    assert (half.parent.parent.name, half.name.split("-")[-1]) == (where, name)
    resumed = train(dataset, tmp_path / "m")
    assert not list(tmp_path.rglob(".tmp-*"))
    again, before = without_time(resumed.info.to_dict()), without_time(result.info.to_dict())
    for one, other in zip(again.pop("members"), before.pop("members"), strict=True):
        assert {key: value for key, value in one.items() if value != other[key]} == {}
    assert again == before
    for record in result.info.members:
        assert (tmp_path / "m" / record.weights).read_bytes() == (folder / record.weights).read_bytes()


def test_side_by_side_in_processes_gives_the_same_bytes(trained, dataset, tmp_path):
    result, _ = trained
    seen = []
    other = train(dataset, tmp_path / "m", workers=2, on_progress=lambda m, i, n, loss: seen.append((m, i, n)))
    assert sorted(seen) == [(m, i, 6) for m in range(2) for i in range(1, 7)]
    assert [r.weights_sha256 for r in other.info.members] == [r.weights_sha256 for r in result.info.members]


def test_cross_validation_members_leave_out_a_fold_each(dataset, tmp_path):
    result = train(dataset, tmp_path / "cv", members=3, ensemble="cv", settings=replace(TINY, iterations=1))
    assert result.info.ensemble == "cross-validation ensemble of 3"
    left_out = [set(SPLIT.train) - set(record.train_subjects) for record in result.info.members]
    assert sorted(len(out) for out in left_out) == [1, 1, 1]
    assert set.union(*left_out) == set(SPLIT.train)
    assert {info.kind for info in result.info.infos} == {"fold"}
    content = json.loads((tmp_path / "cv/model.json").read_text())
    content["ensemble"] = "deep ensemble of 3"
    (tmp_path / "cv/model.json").write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match=r"E502.*\n.*not a deep ensemble of 3"):
        read_model(tmp_path / "cv")


def test_name_is_derived_from_what_members_saw(trained):
    first, second = trained[0].info.members
    assert ensemble_name([first]) == "single member"
    assert ensemble_name([first, second]) == "deep ensemble of 2"
    assert ensemble_name([first, first]) == "2 members of 1 seeds"
    other_cases = replace(second, train_key="other")
    assert ensemble_name([first, other_cases]) == "mixed ensemble of 2"
    with pytest.raises(ValueError, match="not a deep ensemble of 2"):
        ModelInfo(**{**_fields(trained[0].info), "members": (first, other_cases)})


def _fields(info) -> dict:
    return {name: getattr(info, name) for name in info.__dataclass_fields__}


def test_other_settings_on_the_same_folder_are_refused(trained, dataset):
    _, folder = trained
    with pytest.raises(InvalidInput, match="iterations 6, now 7") as error:
        train(dataset, folder, settings=replace(TINY, iterations=7))
    assert error.value.problem.code == "E503"
    assert train(dataset, folder, settings=replace(TINY, checkpoint_every=5)).was_finished


def test_foreign_and_incomplete_folders_are_refused(trained, dataset, tmp_path):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/thesis.txt").write_text("do not touch")
    with pytest.raises(InvalidInput) as error:
        train(dataset, tmp_path / "foreign")
    assert error.value.problem.code == "E502"
    with pytest.raises(InvalidInput) as error:
        read_model(tmp_path / "foreign")
    assert error.value.problem.code == "E502"


def test_bad_cases_are_listed_and_left_out(tmp_path):
    folder = write_dataset(tmp_path / "data")
    values, _ = image_and_labels(2)
    values[0, 3, 3, 3] = np.nan
    nib.save(nib.Nifti1Image(values[0], affine()), folder / "imagesTr/case_2_0000.nii.gz")
    (folder / "labelsTr/case_3.nii.gz").unlink()
    result = train(folder, tmp_path / "m", members=1, split=None, validation_fraction=0.25)
    assert {(p.subject, p.code) for p in result.left_out} == {("case_2", "E309"), ("case_3", "E106")}
    listed = read_model(tmp_path / "m").left_out
    assert {p["subject"] for p in listed} == {"case_2", "case_3"}
    record = result.info.members[0]
    assert set(record.train_subjects) | set(record.validation_subjects) == {"case_0", "case_1", "case_4"}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"labels": {"background": 0}}, "only one class: background"),
        ({"n_cases": 0}, "no usable case"),
        ({"split": Split(("case_0", "nobody"))}, "nobody"),
    ],
)
def test_untrainable_datasets_say_why(tmp_path, change, found):
    told = {name: value for name, value in change.items() if name != "split"}
    folder = write_dataset(tmp_path / "data", **told)
    with pytest.raises(InvalidInput, match=found) as error:
        train(folder, tmp_path / "m", split=change.get("split"), validation_fraction=0.0)
    assert error.value.problem.code == "E501"
    assert not (tmp_path / "m").exists()


def test_dataset_without_a_foreground_voxel_cannot_be_trained_on(tmp_path):
    folder = write_dataset(tmp_path / "data", n_cases=2)
    for n in range(2):
        _, mask = image_and_labels(n)
        nib.save(nib.Nifti1Image(0 * mask, affine(flip=n == 1)), folder / f"labelsTr/case_{n}.nii.gz")
    with pytest.raises(InvalidInput, match="not one voxel of shell, core in 2") as error:
        train(folder, tmp_path / "m", split=None, validation_fraction=0.0)
    assert error.value.problem.code == "E501"
