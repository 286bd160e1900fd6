"""Members that are made to differ, trained whole: what a model says of itself, and that a stopped run ends the same."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from plausible.cli.main import app
from plausible.core import InvalidInput
from plausible.sample import load_model
from plausible.train import DIVERSITY_OBJECTIVES, DiversitySettings, plan_training, read_model, train_ensemble
from plausible.train import member as member_module
from plausible.train import together as together_module
from plausible.train.batches import Batches
from plausible.train.network import build_network
from plausible.train.orthogonal_filters import cosine_squares, filters_among
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY, TINY_OPTIONS, write_dataset
from tests.train.trajectories import predicted

SHORT = replace(TINY, weights_as="float32")
NAMES = {
    "negative_correlation": "deep ensemble of 2 (negative correlation, lambda 0.5)",
    "function_repulsion": "deep ensemble of 2 (repulsion in function space, weight 0.1)",
    "orthogonal_filters": "deep ensemble of 2 (orthogonal filters, lambda 0.1)",
    "last_layer_repulsion": "last-layer ensemble of 2 (repulsive last layers, weight 0.1, on shuffled images)",
}


def train(dataset, folder, name, *, members=2, settings=SHORT, ensemble="deep", unlabelled=None, **told):
    diversity = DiversitySettings(diversity=name, **({"last_layer_iterations": 4} | told))
    return train_ensemble(
        dataset,
        folder,
        members=members,
        settings=settings,
        ensemble=ensemble,
        split=SPLIT,
        threads=1,
        diversity=diversity,
        unlabelled=unlabelled,
    )


def weights(folder: Path, record) -> dict[str, torch.Tensor]:
    return torch.load(io.BytesIO((folder / record.weights).read_bytes()), weights_only=True)


def digests(trained) -> list[str]:
    return [record.weights_sha256 for record in trained.info.members]


@pytest.fixture(scope="module")
def models(dataset, tmp_path_factory):
    """A tiny ensemble of every objective, and its folder."""
    root = tmp_path_factory.mktemp("diverse")
    return {name: (train(dataset, root / name, name), root / name) for name in DIVERSITY_OBJECTIVES}


@pytest.mark.parametrize("name", DIVERSITY_OBJECTIVES)
def test_a_model_says_how_its_members_were_made_to_differ(name, models, dataset):
    trained, folder = models[name]
    info = read_model(folder)
    assert info.ensemble == NAMES[name] == load_model(folder).ensemble
    assert [record.diversity["diversity"] for record in info.members] == [name, name]
    assert info.provenance["settings"]["diversity"] == name
    assert f"--diversity {name} --diversity-weight" in info.provenance["command"]
    assert len(set(digests(trained))) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["member_0", "member_1", "model.json"]
    assert [path.name for path in (folder / "member_0").iterdir()] == ["weights.pt"]
    found = predicted(dataset, folder, draws=1)
    assert set(found) == {"member_0", "member_1"}
    assert abs(found["member_0"] - found["member_1"]).max() > 0


@pytest.mark.parametrize("name", DIVERSITY_OBJECTIVES)
def test_a_finished_model_is_kept_and_other_weights_are_refused(name, models, dataset):
    _, folder = models[name]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert train(dataset, folder, name).was_finished
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(InvalidInput, match=r"diversity_weight 0\.\d, now 0\.7"):
        train(dataset, folder, name, diversity_weight=0.7)


def stopping_at(function, number: int):
    """The function, stopped at a call of this number (from 1)."""
    calls = []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return function(*arguments)

    return stop


PLACES = {
    "negative_correlation": (together_module, "joint_step", 5),
    "function_repulsion": (together_module, "joint_step", 4),
    "orthogonal_filters": (member_module, "_step", 6 + 4),
    "last_layer_repulsion": (together_module, "joint_step", 4),
}


@pytest.mark.parametrize("name", DIVERSITY_OBJECTIVES)
def test_a_run_that_was_stopped_ends_with_the_same_bytes(name, models, dataset, tmp_path, monkeypatch):
    module, function, number = PLACES[name]
    kept = getattr(module, function)
    monkeypatch.setattr(module, function, stopping_at(kept, number))
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "m", name)
    (checkpoint,) = (tmp_path / "m").rglob("checkpoint.pt")
    assert checkpoint.parent.name == ("member_1" if name == "orthogonal_filters" else "m")
    resumed_at = []
    monkeypatch.setattr(module, function, lambda *told: (resumed_at.append(1), kept(*told))[1])
    resumed = train(dataset, tmp_path / "m", name)
    assert len(resumed_at) == {"last_layer_repulsion": 2}.get(name, 6 - 2 * ((number - 1) % 6 // 2))
    assert digests(resumed) == digests(models[name][0])


def test_a_run_that_was_stopped_while_members_are_written_ends_the_same(models, dataset, tmp_path, monkeypatch):
    kept = together_module.finish
    monkeypatch.setattr(together_module, "finish", stopping_at(kept, 2))
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "m", "negative_correlation")
    assert (tmp_path / "m/member_0/member.json").exists()
    monkeypatch.setattr(together_module, "finish", kept)
    assert digests(train(dataset, tmp_path / "m", "negative_correlation")) == digests(models["negative_correlation"][0])


@pytest.mark.parametrize("name", ["negative_correlation", "function_repulsion"])
def test_at_weight_0_members_learn_as_on_their_own_from_the_same_patches(name, dataset, tmp_path, monkeypatch):
    joint = train(dataset, tmp_path / "joint", name, diversity_weight=0.0)
    kept = Batches.__init__
    monkeypatch.setattr(
        member_module,
        "Batches",
        lambda cases, classes, plan, settings, seed, transform: Batches(cases, classes, plan, settings, 0, transform),
    )
    alone = train_ensemble(dataset, tmp_path / "alone", members=2, settings=SHORT, split=SPLIT, threads=1)
    assert Batches.__init__ is kept
    assert digests(joint) == digests(alone)


def test_on_other_images_members_keep_their_own_patches(dataset, tmp_path):
    told = {"diversity_weight": 0.0, "diversity_images": "shifted"}
    joint = train(dataset, tmp_path / "joint", "function_repulsion", **told)
    alone = train_ensemble(dataset, tmp_path / "alone", members=2, settings=SHORT, split=SPLIT, threads=1)
    assert digests(joint) == digests(alone)


@pytest.mark.parametrize("images", ["shifted", "shuffled", "unlabelled"])
def test_members_differ_on_other_images(images, dataset, tmp_path):
    folder = dataset / "imagesTr" if images == "unlabelled" else None
    told = {"diversity_images": images, "unlabelled": folder}
    found = train(dataset, tmp_path / "m", "function_repulsion", **told)
    control = train(dataset, tmp_path / "control", "function_repulsion", diversity_weight=0.0, **told)
    assert all(a != b for a, b in zip(digests(found), digests(control), strict=True))
    assert digests(found) == digests(train(dataset, tmp_path / "again", "function_repulsion", **told))
    kept = found.info.provenance["settings"].get("unlabelled", {})
    assert len(kept) == (5 if images == "unlabelled" else 0)
    assert str(dataset) not in (tmp_path / "m/model.json").read_text()


def spread(dataset, folder) -> float:
    first, second = predicted(dataset, folder, draws=1).values()
    return float(((first - second) ** 2).mean())


def test_a_negative_weight_pulls_members_together_and_a_positive_one_apart(dataset, tmp_path):
    longer = replace(SHORT, iterations=30, learning_rate=1e-2, checkpoint_every=100)
    told = {"settings": longer, "diversity_at": "all"}
    found = {}
    for weight in (-5.0, 0.0, 5.0):
        train(dataset, tmp_path / str(weight), "negative_correlation", diversity_weight=weight, **told)
        found[weight] = spread(dataset, tmp_path / str(weight))
    assert found[-5.0] < found[0.0] < found[5.0]


def test_repulsion_moves_members_apart(dataset, tmp_path):
    longer = replace(SHORT, iterations=30, learning_rate=1e-2, checkpoint_every=100)
    for weight in (0.0, 1.0):
        told = {"settings": longer, "diversity_at": "all", "diversity_weight": weight}
        train(dataset, tmp_path / str(weight), "function_repulsion", **told)
    assert spread(dataset, tmp_path / "1.0") > spread(dataset, tmp_path / "0.0")


def test_the_first_of_orthogonal_members_knows_no_others_and_the_second_does(models, dataset, tmp_path):
    alone = train(dataset, tmp_path / "three", "orthogonal_filters", members=3)
    assert digests(alone)[:2] == digests(models["orthogonal_filters"][0])
    longer = replace(SHORT, iterations=40, learning_rate=1e-2, checkpoint_every=100)
    between = {}
    for weight in (0.0, 1.0):
        told = {"settings": longer, "diversity_weight": weight}
        done = train(dataset, tmp_path / str(weight), "orthogonal_filters", **told)
        shape = done.info.members[0].own_plan(done.info.plan)
        network = build_network(shape, channels=1, outputs=3, seed=0)
        first, second = (filters_among(weights(tmp_path / str(weight), r), network) for r in done.info.members)
        between[weight] = sum(float(cosine_squares(first[name], second[name])) for name in first)
    assert between[1.0] < 0.8 * between[0.0]


def test_last_layers_share_everything_else(models, dataset):
    trained, folder = models["last_layer_repulsion"]
    first, second = (weights(folder, record) for record in trained.info.members)
    differing = {name.rsplit(".", 1)[0] for name in first if not torch.equal(first[name], second[name])}
    assert len(differing) == 1
    alone = [record.iterations for record in trained.info.members]
    assert alone == [6 + 4, 6 + 4]


def test_last_layers_learn_ten_times_as_fast_to_overcome_their_random_weights(dataset, tmp_path, monkeypatch):
    peaks = set()

    def told(trainings, *rest):
        peaks.update(group["max_lr"] for one in trainings for group in one.optimiser.param_groups)
        return step(trainings, *rest)

    step = together_module.joint_step
    monkeypatch.setattr(together_module, "joint_step", told)
    train(dataset, tmp_path / "m", "last_layer_repulsion", settings=replace(SHORT, learning_rate=1e-3))
    assert [*peaks] == pytest.approx([1e-2])


def test_overlapping_regions_can_be_made_to_differ(tmp_path):
    labels = {"background": 0, "ball": [1, 2], "core": [2]}
    dataset = write_dataset(tmp_path / "data", labels=labels, order=[1, 2])
    for name in ("negative_correlation", "function_repulsion"):
        assert train(dataset, tmp_path / name, name).info.ensemble == NAMES[name]


def test_recipes_can_be_trained_together(dataset, tmp_path):
    done = train_ensemble(
        dataset,
        tmp_path / "m",
        members=2,
        settings=replace(SHORT, deep_supervision=True),
        ensemble="heterogeneous",
        recipes=[{}, {"architecture": "segresnet", "deep_supervision": False, "loss": "brier"}],
        split=SPLIT,
        threads=1,
        diversity=DiversitySettings(diversity="negative_correlation"),
    )
    assert done.info.ensemble == "heterogeneous ensemble of 2 (negative correlation, lambda 0.5)"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"name": "negative_correlation", "ensemble": "cv"}, "goes with --ensemble deep, heterogeneous, not with cv"),
        ({"name": "orthogonal_filters", "ensemble": "heterogeneous"}, "not with heterogeneous"),
        ({"name": "negative_correlation", "members": 1}, "at least two members"),
        ({"name": "negative_correlation", "settings": replace(TINY, method="bayes_by_backprop")}, "bayes_by_backprop"),
        ({"name": "last_layer_repulsion", "settings": replace(TINY, method="swag")}, "with --method swag"),
        ({"name": "function_repulsion", "settings": replace(TINY, validate_every=2)}, "leave validate_every"),
        ({"name": "function_repulsion", "diversity_images": "unlabelled"}, "need each other"),
        ({"name": "function_repulsion", "unlabelled": Path("folder")}, "need each other"),
    ],
)
def test_what_cannot_be_trained_so_is_refused_before_anything_is_written(told, said, dataset, tmp_path):
    with pytest.raises(ValueError, match=said):
        train(dataset, tmp_path / "m", **told)
    assert not (tmp_path / "m").exists()


def test_an_empty_folder_of_unlabelled_images_is_named(dataset, tmp_path):
    (tmp_path / "others").mkdir()
    with pytest.raises(InvalidInput, match="no image") as error:
        train(
            dataset, tmp_path / "m", "function_repulsion", diversity_images="unlabelled", unlabelled=tmp_path / "others"
        )
    assert error.value.problem.code == "E507"


def test_the_plan_says_what_is_asked_and_what_memory_it_takes(dataset):
    settings = replace(TINY, width=16, patch=(32, 32, 32))
    joint = DiversitySettings(diversity="negative_correlation")
    told = {"settings": settings, "split": SPLIT}
    two, four = (plan_training(dataset, members=m, diversity=joint, **told)["diversity"] for m in (2, 4))
    assert two["trained"] == "together"
    assert four["memory_gb"] == pytest.approx(2 * two["memory_gb"], abs=0.02)
    apart = replace(joint, diversity_images="shifted")
    assert plan_training(dataset, members=2, diversity=apart, **told)["diversity"]["memory_gb"] > two["memory_gb"]
    assert plan_training(dataset, members=2, **told)["diversity"] == {}
    json.dumps(two)


def test_the_command_trains_members_that_differ(dataset, tmp_path):
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": SPLIT.train, "validation": SPLIT.validation}))
    line = ["train", dataset, "-o", tmp_path / "m", "--split", split, *TINY_OPTIONS, "--diversity"]
    found = CliRunner().invoke(app, [str(part) for part in [*line, "negative_correlation", "--diversity-weight", -0.5]])
    assert found.exit_code == 0, found.output
    assert "deep ensemble of 2 (negative correlation, lambda -0.5)" in found.output
    found = CliRunner().invoke(app, [str(part) for part in [*line, "function_repulsion", "--diversity-weight", -0.5]])
    assert found.exit_code == 2
    assert "of negative_correlation only" in found.output
