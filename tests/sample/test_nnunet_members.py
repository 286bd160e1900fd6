"""What the members of an nnU-Net model are together: from its splits, from its validation, or by its default."""

import json

import pytest

from plausible.core import InvalidInput
from plausible.sample.nnunet_checkpoint import CheckpointFile, find_checkpoints, found_folds, read_checkpoint
from plausible.sample.nnunet_members import PREPROCESSED, ensemble_name, mirrorings, training_cases, view_name

CASES = [f"case_{number}" for number in range(10)]
FULL = {"train": CASES, "val": CASES}
CROSS_VALIDATION = [
    {"train": [c for c in CASES if c not in CASES[2 * f : 2 * f + 2]], "val": CASES[2 * f : 2 * f + 2]}
    for f in range(5)
]
HALF = {"train": CASES[:5], "val": CASES[5:]}


def name_of(folder, *folds, checkpoints=1, views=1, averaged=False):
    files = [CheckpointFile(fold, f"{n}.pth", folder) for fold in folds for n in range(checkpoints)]
    seen = training_cases(folder, folds, dataset_name="Dataset902_Random", n_cases=len(CASES))
    return ensemble_name(files, seen, n_views=views, averaged=averaged)


@pytest.mark.parametrize(
    ("splits", "folds", "expected"),
    [
        ([], (0, 1, 2, 3, 4), "cross-validation ensemble of 5"),
        ([], (3,), "single network"),
        ([], (0, 5), "ensemble of 2 of unknown training cases"),
        ([], ("all",), "single network"),
        (CROSS_VALIDATION, (0, 1, 2), "cross-validation ensemble of 3"),
        ([*CROSS_VALIDATION, FULL, FULL, FULL], (5, 6, 7), "deep ensemble of 3"),
        ([*CROSS_VALIDATION, FULL, FULL], (5, 6, "all"), "deep ensemble of 3"),
        ([*CROSS_VALIDATION, FULL], (4, 5), "mixed ensemble of 2"),
        ([FULL, FULL], (0, 1), "deep ensemble of 2"),
        ([HALF, HALF], (0, 1), "deep ensemble of 2"),
        (CROSS_VALIDATION[:2], (0, 1, 2), "ensemble of 3 of unknown training cases"),
    ],
)
def test_name_follows_from_what_each_fold_saw(splits, folds, expected, tmp_path):
    if splits:
        (tmp_path / "splits_final.json").write_text(json.dumps(splits))
    assert name_of(tmp_path, *folds) == f"{expected} (nnU-Net)"


def test_splits_are_found_where_nnunet_keeps_them(tmp_path, monkeypatch):
    place = tmp_path / "preprocessed" / "Dataset902_Random"
    place.mkdir(parents=True)
    (place / "splits_final.json").write_text(json.dumps([FULL, FULL]))
    monkeypatch.setenv(PREPROCESSED, str(place.parent))
    assert name_of(tmp_path / "model", 0, 1) == "deep ensemble of 2 (nnU-Net)"


@pytest.mark.parametrize(
    ("validated", "expected"),
    [([CASES, CASES], "deep ensemble of 2"), ([CASES[:2], CASES[2:4]], "cross-validation ensemble of 2")],
)
def test_validation_beside_the_weights_tells_it_too(validated, expected, tmp_path):
    for fold, cases in enumerate(validated):
        place = tmp_path / f"fold_{fold + 5}" / "validation"
        place.mkdir(parents=True)
        told = {"metric_per_case": [{"reference_file": f"/data/{case}.nii.gz"} for case in cases]}
        (place / "summary.json").write_text(json.dumps(told))
    assert name_of(tmp_path, 5, 6) == f"{expected} (nnU-Net)"


def test_checkpoints_and_views_are_counted(tmp_path):
    assert name_of(tmp_path, 0, 1, checkpoints=2, views=8) == (
        "cross-validation ensemble of 2 (nnU-Net, 2 checkpoints each, 8 views each)"
    )
    assert name_of(tmp_path, 0, views=8, averaged=True) == "single network (nnU-Net, 8 views averaged as logits)"


def test_views_in_the_order_of_nnunet():
    assert mirrorings((0, 2)) == ((), (0,), (2,), (0, 2))
    assert [view_name(flip, letters="yzx") for flip in mirrorings((0, 2))] == ["", "flip_y", "flip_x", "flip_xy"]
    assert mirrorings(()) == ((),)


def test_numbered_folds_are_taken_before_fold_all(tmp_path):
    for name in ("fold_10", "fold_2", "fold_all", "fold_x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoint_final.pth").touch()
    assert found_folds(tmp_path) == (2, 10)
    files = find_checkpoints(tmp_path, folds=["all"], names=["checkpoint_final.pth"])
    assert [file.label for file in files] == ["fold_all"]


def test_the_command_for_whole_folds_can_be_run_as_it_stands(tmp_path):
    for name in ("fold_0", "fold_1", "fold_2"):
        (tmp_path / name).mkdir()
    for name in ("fold_0", "fold_2"):
        (tmp_path / name / "checkpoint_final.pth").touch()
    with pytest.raises(InvalidInput) as error:
        find_checkpoints(tmp_path, folds=(), names=["checkpoint_final.pth"])
    line = f"plausible predict {tmp_path.name} --folds 0 --folds 2 -i IMAGES -o MEMBERS"
    assert error.value.problem.fix == line


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_training_are_left_out_in_either_order(tmp_path, prefix):
    torch = pytest.importorskip("torch")
    (tmp_path / "fold_0").mkdir()
    content = {"network_weights": {f"{prefix}encoder.module.weight": torch.ones(2)}, "trainer_name": "nnUNetTrainer"}
    torch.save({**content, "init_args": {"configuration": "2d"}}, tmp_path / "fold_0/checkpoint_final.pth")
    (file,) = find_checkpoints(tmp_path, folds=(), names=["checkpoint_final.pth"])
    assert list(read_checkpoint(file).weights) == ["encoder.module.weight"]
