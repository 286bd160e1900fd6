"""Entries of `splits_final.json` for deep ensembles: nothing that was there is lost or renumbered."""

import json

import pytest

from plausible.core import InvalidInput
from plausible.sample.nnunet_deep_ensemble import cross_validation, prepare_deep_ensemble

CASES = [f"case_{number:02d}" for number in range(12)]
FULL = {"train": CASES, "val": CASES}

pytestmark = pytest.mark.timeout(300)  # nnU-Net's imports alone take long where nothing is compiled yet


@pytest.fixture
def preprocessed(tmp_path):
    folder = tmp_path / "Dataset902_Random"
    (folder / "gt_segmentations").mkdir(parents=True)
    for case in CASES:
        (folder / "gt_segmentations" / f"{case}.nii.gz").touch()
    write(folder, "dataset.json", {"file_ending": ".nii.gz", "labels": {}})
    write(folder, "nnUNetPlans.json", {"plans_name": "nnUNetPlans", "configurations": {"2d": {}, "3d_fullres": {}}})
    write(folder, "dataset_fingerprint.json", {"spacings": []})
    return folder


def write(folder, name, content):
    (folder / name).write_text(json.dumps(content))


def splits(folder):
    return json.loads((folder / "splits_final.json").read_text())


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.json")}


def test_default_folds_are_those_of_nnunet():
    split = pytest.importorskip("nnunetv2.utilities.crossval_split", reason="nnU-Net is not installed")
    for n in (5, 12, 203):
        cases = [f"case_{number:03d}" for number in range(n)]
        assert cross_validation(cases) == split.generate_crossval_split(cases, seed=12345, n_splits=5)


def test_members_follow_the_default_folds(preprocessed):
    done = prepare_deep_ensemble(preprocessed, 3)
    assert splits(preprocessed) == [*cross_validation(CASES), FULL, FULL, FULL]
    assert (done.folds, done.n_cases, done.kept) == ((5, 6, 7), 12, None)
    assert done.commands[0] == "nnUNetv2_train Dataset902_Random 3d_fullres 5 -p nnUNetPlans"


def test_folds_that_were_there_keep_their_numbers_and_a_copy(preprocessed):
    own = [{"train": CASES[:8], "val": CASES[8:]}, {"train": CASES[4:], "val": CASES[:4]}]
    write(preprocessed, "splits_final.json", own)
    before = (preprocessed / "splits_final.json").read_bytes()
    done = prepare_deep_ensemble(preprocessed, 2, configuration="2d", trainer="nnUNetTrainer_250epochs")
    assert splits(preprocessed) == [*own, FULL, FULL]
    assert done.kept is not None
    assert done.kept.read_bytes() == before
    assert done.commands == tuple(
        f"nnUNetv2_train Dataset902_Random 2d {fold} -p nnUNetPlans -tr nnUNetTrainer_250epochs" for fold in (2, 3)
    )


def test_again_changes_nothing_and_more_members_are_appended(preprocessed):
    first = prepare_deep_ensemble(preprocessed, 2)
    there = files(preprocessed)
    again = prepare_deep_ensemble(preprocessed, 2)
    assert files(preprocessed) == there
    assert (again.folds, again.commands, again.kept) == (first.folds, first.commands, None)
    more = prepare_deep_ensemble(preprocessed, 4)
    assert more.folds == (5, 6, 7, 8)
    assert splits(preprocessed)[5:] == [FULL] * 4
    assert prepare_deep_ensemble(preprocessed, 3).folds == (5, 6, 7)


def test_order_of_cases_in_an_entry_does_not_matter(preprocessed):
    write(preprocessed, "splits_final.json", [{"train": CASES[::-1], "val": CASES}])
    assert prepare_deep_ensemble(preprocessed, 2).folds == (0, 1)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("splits_final.json", [{"train": CASES[:6], "val": CASES[6:-1]}], "1 labelled cases in no fold (case_11)"),
        ("splits_final.json", [{"train": CASES, "val": ["case_99"]}], "1 of the folds without a label (case_99)"),
        ("splits_final.json", {"train": CASES}, "not a list of train and val"),
        (
            "other.json",
            {"plans_name": "other", "configurations": {"3d_fullres": {}}},
            "nnUNetPlans, other in the folder",
        ),
        ("nnUNetPlans.json", {"plans_name": "nnUNetPlans", "configurations": {"2d": {}}}, "and plans for 2d"),
        ("nnUNetPlans.json", {}, "no plans in the folder"),
        ("dataset.json", {}, "no dataset.json with a file_ending"),
        ("dataset.json", {"file_ending": ".mha"}, "0 labels in gt_segmentations"),
    ],
)
def test_what_is_not_clear_is_refused_and_nothing_is_written(name, content, found, preprocessed):
    write(preprocessed, name, content)
    there = files(preprocessed)
    with pytest.raises(InvalidInput) as error:
        prepare_deep_ensemble(preprocessed, 2)
    assert error.value.problem.code == "E501"
    assert found in error.value.problem.found
    assert files(preprocessed) == there


def test_plans_are_chosen_by_name(preprocessed):
    write(preprocessed, "other.json", {"plans_name": "other", "configurations": {"3d_fullres": {}}})
    assert prepare_deep_ensemble(preprocessed, 2, plans="other").commands[0].endswith("5 -p other")


def test_one_member_is_no_ensemble(preprocessed):
    with pytest.raises(ValueError, match="at least two"):
        prepare_deep_ensemble(preprocessed, 1)


def test_nnunet_takes_the_folds_as_meant(preprocessed):
    """nnU-Net's own trainer reads the entry of a member as all cases, for training and for validation."""
    trainer = pytest.importorskip("nnunetv2.training.nnUNetTrainer.nnUNetTrainer", reason="nnU-Net is not installed")

    class Cases:
        identifiers = CASES

        def __init__(self, *_, **__):
            pass

    done = prepare_deep_ensemble(preprocessed, 2)
    own = object.__new__(trainer.nnUNetTrainer)
    own.dataset_class, own.fold = Cases, done.folds[-1]
    own.preprocessed_dataset_folder_base = str(preprocessed)
    own.preprocessed_dataset_folder = own.folder_with_segs_from_previous_stage = None
    own.print_to_log_file = lambda *_, **__: None
    assert own.do_split() == (CASES, CASES)
