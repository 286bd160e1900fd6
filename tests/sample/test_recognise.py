"""Which tool a model is of is proven by its files; what only one tool knows is refused for the others."""

import pytest

from plausible.core import InvalidInput
from plausible.sample import Sampling, nnunet, open_model
from tests.cli.program import run, told


@pytest.fixture
def trained(tmp_path):
    folder = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    for name in ("plans.json", "dataset.json"):
        (folder / name).write_text("{}")
    return folder


def test_samplers_that_nnunet_models_do_not_have_are_refused(trained):
    with pytest.raises(InvalidInput, match="own mirrorings") as error:
        open_model(trained, sampling=Sampling(sampler=("tta",), tta=("rotations",)))
    assert error.value.problem.code == "E505"
    with pytest.raises(ValueError, match="every mirroring"):
        open_model(trained, sampling=Sampling(sampler=("tta",), views=4))


def test_folds_and_checkpoints_are_nnunets_alone(folder):
    for told_only in ({"folds": ["0"]}, {"checkpoint": ["checkpoint_best.pth"]}):
        with pytest.raises(ValueError, match="nnU-Net model, which model is not"):
            open_model(folder, **told_only)


@pytest.mark.parametrize("files", [[], ["plans.json", "dataset.json"], ["fold_0/checkpoint_final.pth"]])
def test_a_folder_of_no_known_model_is_refused(tmp_path, files):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(InvalidInput) as error:
        open_model(tmp_path)
    assert error.value.problem.code == "E504"
    for known in ("model.json", "plans.json", "plausible_model.toml", "configs/inference.json"):
        assert known in error.value.problem.expected


def test_the_program_asks_nnunets_reader_for_folds_weights_and_views(trained, tmp_path, monkeypatch):
    asked = []

    def load(folder, **settings):
        asked.append((folder, settings))
        raise ValueError("seen")

    monkeypatch.setattr(nnunet, "load_nnunet_model", load)
    line = ("predict", trained, "-i", tmp_path, "-o", tmp_path / "s", "--device", "cpu")
    run(*line, code=2)
    chosen = ("--folds", 0, "--folds", "all", "--checkpoint", "checkpoint_best.pth", "--overlap", 0.25)
    run(*line, *chosen, "--sampler", "tta", code=2)
    plain = {"device": "cpu", "folds": (), "checkpoint": "checkpoint_final.pth", "views": "none", "tile_step_size": 0.5}
    other = {"folds": (0, "all"), "checkpoint": ("checkpoint_best.pth",), "views": "members", "tile_step_size": 0.75}
    assert asked == [(trained, plain), (trained, {**plain, **other})]


def test_the_program_makes_members_of_views(folder, tmp_path):
    line = ("predict", folder, "-i", tmp_path, "-o", tmp_path / "s", "--device", "cpu", "--dry-run")
    (tmp_path / "case_0000.nii.gz").write_bytes(b"")
    views = ("--sampler", "tta", "--tta", "rotations", "--tta", "intensity", "--views", 3)
    found = told(*line, *views)
    assert found["ensemble"] == "deep ensemble of 2 x 3 views"
    assert found["members"] == [f"member_{n}{view}" for n in range(2) for view in ("", ".rotate_z_6", ".gamma_0.8")]
    assert "at most 8 for flips" in run(*line, "--sampler", "tta", "--tta", "flips", "--views", 9, code=2).output


def test_draws_of_a_model_without_chance_are_refused(folder, tmp_path):
    line = ("predict", folder, "-i", tmp_path, "-o", tmp_path / "s", "--device", "cpu", "--dry-run")
    (tmp_path / "case_0000.nii.gz").write_bytes(b"")
    assert "nothing is drawn in this model" in run(*line, "--draws", 3, code=2).output
    assert told(*line, "--draws", 10)["members"] == told(*line)["members"] == ["member_0", "member_1"]
    drawn = [f"member_{network}.draw_{draw:02d}" for network in range(2) for draw in range(3)]
    assert told(*line, "--draws", 3, "--sampler", "dropout")["members"] == drawn


@pytest.mark.parametrize("own", [{"overlap": 0.25}, {"batch": 8}])
def test_windows_of_a_bundle_are_its_own(tmp_path, own):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/inference.json").write_text("{}")
    with pytest.raises(ValueError, match="MONAI bundle and has its own"):
        open_model(tmp_path, trust_bundle=True, **own)
    with pytest.raises(InvalidInput, match=r"inference\.json"):
        open_model(tmp_path, trust_bundle=True)
