"""What members of an ensemble differ in: raters, recipes, networks, losses; and what they are called for it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import nibabel as nib
import numpy as np
import pytest
import torch

from plausible.core import Classes, InvalidInput
from plausible.train import METHODS, RECIPES, MemberRecord, Split, ensemble_name, plan_training, train_ensemble
from plausible.train.fingerprint import Fingerprint
from plausible.train.grid import ChannelFingerprint
from plausible.train.network import NETWORKS, build_loss, build_network
from plausible.train.plan import plan
from plausible.train.recipes import recipes_for, with_recipe
from plausible.train.settings import Architecture, LossName
from plausible.train.split import member_splits
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY, write_dataset

EXCLUSIVE = Classes.exclusive_of({"background": 0, "shell": 1, "core": 2})
REGIONS = Classes.overlapping_of({"ball": [1, 2], "core": [2]}, order=[1, 2])


def fingerprint(*, spacing=(1.0, 1.0, 1.0), size=(16.0, 24.0, 16.0)) -> Fingerprint:
    channel = ChannelFingerprint(
        name="MR", scheme="z-score", mean=0.0, sd=1.0, percentile_00_5=0.0, percentile_99_5=1.0, zero_share=0.0
    )
    return Fingerprint(
        n_cases=3, median_spacing_mm=spacing, fine_spacing_mm=spacing, median_size_mm=size, channels=(channel,)
    )


def record(m: int, **changed) -> MemberRecord:
    told = {
        "id": f"member_{m}",
        "seed": m,
        "fold": None,
        "architecture": "DynUNet 16-32",
        "train_subjects": ("a", "b"),
        "train_key": "k",
        "validation_subjects": (),
        "weights": "w",
        "weights_sha256": str(m),
        "minutes": 1.0,
        "iterations": 1,
        "validation_dice": None,
    }
    return MemberRecord(**{**told, **changed})


@pytest.mark.parametrize("architecture", get_args(Architecture))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 3.0)])
def test_every_network_gives_logits_for_each_voxel_and_has_no_batch_statistics(architecture, spacing):
    planned = plan(fingerprint(spacing=spacing), replace(TINY, architecture=architecture, width=4, patch=(12, 20, 8)))
    network = build_network(planned, channels=1, outputs=3, seed=0).eval()
    assert network(torch.zeros(1, 1, *planned.patch)).shape == (1, 3, *planned.patch)
    assert not list(network.buffers())
    assert planned.architecture.endswith("4-8-16")
    assert set(NETWORKS) == set(get_args(Architecture))


@pytest.mark.parametrize("classes", [EXCLUSIVE, REGIONS])
@pytest.mark.parametrize("name", get_args(LossName))
def test_every_loss_falls_as_logits_become_right(classes, name):
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (2, 4, 5, 6)))
    one_hot = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    target = one_hot if classes.exclusive else torch.stack([one_hot[:, 1:].sum(1), one_hot[:, 2]], dim=1)
    loss = build_loss(classes, name)
    values = [float(loss(scale * (2 * target - 1), target)) for scale in (-3.0, 0.0, 1.0, 3.0, 12.0)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 1e-3


def test_losses_of_exclusive_classes_are_those_of_their_names():
    """Uniform logits over three classes: cross-entropy log 3, focal (1 - 1/3)^2 times it, Dice of a third."""
    target = torch.zeros(1, 3, 2, 2, 3)
    for voxel in range(12):
        target[0, voxel % 3].view(-1)[voxel] = 1
    logits = torch.zeros_like(target)
    dice = 1 - 2 * (4 / 3) / (4 + 4)
    entropy = float(torch.log(torch.tensor(3.0)))
    assert float(build_loss(EXCLUSIVE, "ce")(logits, target)) == pytest.approx(entropy)
    assert float(build_loss(EXCLUSIVE, "dice")(logits, target)) == pytest.approx(dice, abs=1e-5)
    assert float(build_loss(EXCLUSIVE, "dice_ce")(logits, target)) == pytest.approx(dice + entropy, abs=1e-5)
    tversky = 1 - (4 / 3) / (4 / 3 + 0.3 * 8 / 3 + 0.7 * 8 / 3)
    assert float(build_loss(EXCLUSIVE, "tversky")(logits, target)) == pytest.approx(tversky, abs=1e-5)


def test_recipes_change_only_what_members_need_not_share():
    changed = [with_recipe(TINY, recipe) for recipe in recipes_for(7)]
    assert changed[0] == changed[5] == TINY
    assert len({(s.architecture, s.loss, s.width) for s in changed[:5]}) == len(RECIPES)
    assert {s.patch for s in changed} == {TINY.patch}
    assert with_recipe(replace(TINY, width=16), {"width_factor": 1.5}).width == 24
    with pytest.raises(ValueError, match="not patch"):
        with_recipe(TINY, {"patch": (4, 4, 4)})
    with pytest.raises(ValueError, match="at least one recipe"):
        recipes_for(3, ())


def test_seeds_and_raters_are_crossed():
    splits = {"a": Split(("x", "y"), ("z",)), "b": Split(("x",), ("z",))}
    parts = member_splits(splits, members=4, ensemble="rater", seed=7)
    assert [(p.rater, p.seed) for p in parts] == [("a", 7), ("b", 7), ("a", 8), ("b", 8)]
    assert [p.train for p in parts] == [("x", "y"), ("x",), ("x", "y"), ("x",)]
    with pytest.raises(ValueError, match="multiple"):
        member_splits(splits, members=3, ensemble="rater", seed=0)
    with pytest.raises(ValueError, match="needs raters"):
        member_splits(splits, members=4, ensemble="deep", seed=0)


NAMES = [
    ([record(0), record(1)], "deep ensemble of 2"),
    ([record(0), record(0)], "2 members of 1 seeds"),
    ([record(0, rater="a"), record(0, rater="b"), record(1, rater="a"), record(1, rater="b")], "4 (2 raters)"),
    ([record(0), record(1, architecture="SegResNet 8")], "heterogeneous ensemble of 2"),
    ([record(0, settings={"loss": "ce"}), record(1, settings={"loss": "dice"})], "heterogeneous ensemble of 2"),
    ([record(0, settings={"learning_rate": 1e-3}), record(1, settings={"learning_rate": 2e-3})], "neous ensemble of 2"),
    ([record(0, name="checkpoint_1"), record(0, name="checkpoint_2")], "checkpoint ensemble of 2 (1 training)"),
    ([record(s, name=f"checkpoint_{c}") for s in (0, 1) for c in (1, 2)], "checkpoint ensemble of 4 (2 trainings)"),
    ([record(0, method="swag")], "single member (SWAG)"),
    ([record(0, method="swag"), record(1, method="swag")], "deep ensemble of 2 (SWAG)"),
    ([record(0, fold=0, train_key="1"), record(1, fold=1, train_key="2")], "cross-validation ensemble of 2"),
    ([record(0, fold=0, train_key="1"), record(1, train_key="2")], "mixed ensemble of 2"),
]


@pytest.mark.parametrize(("members", "name"), NAMES)
def test_name_says_what_members_differ_in(members, name):
    assert ensemble_name(members).endswith(name)


def test_kinds_of_members():
    told = [record(0), record(0, fold=1), record(0, rater="a"), record(0, name="checkpoint_1")]
    assert [r.info.kind for r in told] == ["seed", "fold", "rater", "checkpoint"]
    assert record(0, rater="a").info.rater == "a"
    assert record(0, method="swag").info.method == "swag"


def with_raters(dataset: Path) -> Path:
    """Two raters: b draws the core one label lower, and did not draw case_1."""
    for rater in ("a", "b"):
        shutil.copytree(dataset / "labelsTr", dataset / f"labelsTr_{rater}")
    for path in (dataset / "labelsTr_b").glob("*.nii.gz"):
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.minimum(image.dataobj, 1).astype(np.uint8), image.affine), path)
    (dataset / "labelsTr_b/case_1.nii.gz").unlink()
    return dataset


@pytest.mark.parametrize("raters", [(), ("a", "b")])
def test_rater_ensemble_learns_from_the_labels_of_each_rater(tmp_path, raters):
    dataset = with_raters(write_dataset(tmp_path / "data"))
    told = {"ensemble": "rater", "members": 2, "settings": TINY, "split": SPLIT, "threads": 1}
    done = train_ensemble(dataset, tmp_path / "m", raters=raters, **told)
    first, second = done.info.members
    assert done.info.ensemble == "rater ensemble of 2 (2 raters)"
    assert (first.rater, second.rater) == ("a", "b")
    assert first.seed == second.seed == 0
    assert first.train_subjects == ("case_0", "case_1", "case_2")
    assert second.train_subjects == ("case_0", "case_2")
    assert first.validation_dice_by_structure["core"] is not None
    assert second.validation_dice_by_structure["core"] in (None, 0.0)
    assert first.weights_sha256 != second.weights_sha256
    assert train_ensemble(dataset, tmp_path / "m", raters=raters, **told).was_finished


def test_raters_that_are_not_there_are_named(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    with pytest.raises(InvalidInput, match="no folder labelsTr_RATER"):
        train_ensemble(dataset, tmp_path / "m", ensemble="rater", settings=TINY)
    with pytest.raises(InvalidInput, match="there are a, b"):
        train_ensemble(with_raters(dataset), tmp_path / "m", ensemble="rater", raters=("a", "x"), settings=TINY)
    with pytest.raises(ValueError, match="of a rater ensemble"):
        plan_training(dataset, raters=("a",), settings=TINY)


def test_heterogeneous_members_have_networks_of_their_own_on_one_grid(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    recipes = [{}, {"architecture": "segresnet", "loss": "ce"}, {"architecture": "residual_unet", "width": 3}]
    told = {"ensemble": "heterogeneous", "members": 3, "settings": TINY, "split": SPLIT, "recipes": recipes}
    done = train_ensemble(dataset, tmp_path / "m", threads=1, **told)
    assert done.info.ensemble == "heterogeneous ensemble of 3"
    assert [r.architecture.split()[0] for r in done.info.members] == ["DynUNet", "SegResNet", "residual"]
    assert len({json.dumps(r.own_plan(done.info.plan).to_dict()["spacing_mm"]) for r in done.info.members}) == 1
    assert done.info.members[1].training_settings.loss == "ce"
    planned = plan_training(dataset, **told)
    assert [m["network"] for m in planned["members"]] == [r.architecture for r in done.info.members]
    with pytest.raises(InvalidInput, match="recipes"):
        train_ensemble(dataset, tmp_path / "m", threads=1, **{**told, "recipes": recipes[:2]})


def test_every_training_method_says_where_it_comes_from():
    for name, method in METHODS.items():
        assert method.name == name
        assert method.summary.endswith(".")
        assert any(mark in method.source for mark in ("arXiv", "doi"))
        assert method.load() is method.load()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kl_weight": -1.0}, "kl_weight must be at least 0, got -1"),
        ({"temperature": -1.0}, "temperature must be at least 0"),
        ({"prior_sd": 0.0}, "prior_sd must be above 0"),
        ({"dropout_rate": 1.0}, r"dropout_rate must lie in \[0, 1\)"),
        ({"rank": 0}, "rank must be at least 1"),
        ({"flip_axes": (3,)}, "flip_axes must be among 0, 1, 2"),
        ({"deep_supervision": True, "architecture": "segresnet"}, "segresnet has no heads"),
    ],
)
def test_settings_out_of_range_are_named(changed, said):
    with pytest.raises(ValueError, match=said):
        replace(TINY, **changed)
