"""Members of one image: each network's own probabilities on the image's own grid."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from plausible.core import Geometry, Image, InvalidInput, Members
from plausible.sample import Sampling, load_model, predict_members
from plausible.sample.model import kinds_in_training
from plausible.train import train_ensemble
from plausible.train.preprocess import prepare_image
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY, affine, image_and_labels, write_dataset


def image(shape=(5, 7, 11), *, spacing=(0.7, 1.1, 3.0), channels=1, seed=0) -> Image:
    values = np.random.default_rng(seed).normal(100, 20, (channels, *shape)).astype(np.float32)
    return Image(values, Geometry(shape, affine(spacing=spacing)), ("MR",) * channels)


@pytest.mark.parametrize("shape", [(5, 7, 11), (19, 8, 3), (9, 30, 1)])
def test_members_are_probabilities_on_the_grid_of_an_oblique_anisotropic_image(model, shape):
    given = image(shape)
    members = list(predict_members(model, given))
    assert len(members) == 2
    for member in members:
        assert member.probabilities.dtype == np.float32
        assert member.probabilities.shape == (3, *shape)
        assert member.geometry.matches(given.geometry)
        np.testing.assert_allclose(member.probabilities.sum(axis=0), 1, atol=1e-5)
    assert np.abs(members[0].probabilities - members[1].probabilities).max() > 1e-3
    together = Members.from_arrays(
        [m.probabilities for m in members], geometry=given.geometry, classes=members[0].classes
    )
    assert len(together) == 2


def test_a_member_is_the_softmax_of_its_own_network(model):
    """On a grid that is the network's own and one window large, nothing but the network stands between."""
    plan = model.grid
    given = Image(image(plan.patch).values, Geometry(plan.patch, np.diag([*plan.spacing_mm, 1.0])), ("MR",))
    inputs = torch.from_numpy(prepare_image(given, plan))[None]
    for source, member in zip(model.sources, predict_members(model, given), strict=True):
        with torch.inference_mode():
            expected = torch.softmax(source.network(inputs), dim=1)[0].numpy()
        np.testing.assert_allclose(member.probabilities, expected, atol=1e-5)


def test_members_do_not_depend_on_the_batch_of_windows(model):
    given = image((22, 29, 12), spacing=(1.0, 1.2, 2.0))
    several = replace(model, batch=1), replace(model, batch=5)
    for one, five in zip(*(predict_members(m, given) for m in several), strict=True):
        np.testing.assert_allclose(one.probabilities, five.probabilities, atol=1e-5)


def test_members_do_not_depend_on_the_orientation_of_the_file(model):
    given = image((11, 13, 9), spacing=(1.0, 1.2, 2.0))
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, given.geometry.shape[0] - 1
    turned = Image(given.values[:, ::-1], Geometry(given.geometry.shape, given.geometry.affine @ flip), ("MR",))
    for straight, other in zip(predict_members(model, given), predict_members(model, turned), strict=True):
        np.testing.assert_allclose(straight.probabilities, other.probabilities[:, ::-1], atol=1e-5)


def test_the_image_is_not_changed(model):
    given = image()
    before = given.values.copy()
    list(predict_members(model, given))
    np.testing.assert_array_equal(given.values, before)


def test_overlapping_regions_are_sigmoids(tmp_path):
    regions = {"background": 0, "ball": [1, 2], "core": [2]}
    dataset = write_dataset(tmp_path / "data", channels=2, labels=regions, order=[1, 2], names=["CT", "T1"])
    train_ensemble(dataset, tmp_path / "m", members=1, settings=TINY, split=SPLIT, threads=1)
    model = load_model(tmp_path / "m", device="cpu")
    values, _ = image_and_labels(4, channels=2)
    given = Image(values, Geometry(values.shape[1:], affine()), ("CT", "T1"))
    (member,) = predict_members(model, given)
    assert not member.classes.exclusive
    assert member.probabilities.shape == (2, *values.shape[1:])
    assert np.abs(member.probabilities.sum(axis=0) - 1).max() > 0.01
    assert member.probabilities.min() >= 0
    assert member.probabilities.max() <= 1


def test_another_number_of_channels_is_refused(model):
    with pytest.raises(InvalidInput, match="2 channels") as error:
        list(predict_members(model, image(channels=2), subject="case_9"))
    assert error.value.problem.code == "E109"
    assert error.value.problem.subject == "case_9"


@pytest.mark.parametrize("wrong", [{"overlap": 1.0}, {"batch": 0}])
def test_impossible_settings_are_refused(model, wrong):
    with pytest.raises(ValueError, match="overlap"):
        replace(model, **wrong)


def test_an_image_whose_spacing_cannot_be_meant_is_refused_before_it_is_resampled(model):
    with pytest.raises(InvalidInput, match="voxels at the model's") as error:
        list(predict_members(model, image(spacing=(700.0, 1100.0, 3000.0)), subject="case_9"))
    assert error.value.problem.code == "E206"
    assert error.value.problem.subject == "case_9"


def changed_model(folder, tmp_path, change) -> None:
    shutil.copytree(folder, tmp_path / "m")
    change(tmp_path / "m")


def other_weights(model):
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, buffer)
    (model / "member_1/weights.pt").write_bytes(buffer.getvalue())


def missing_weights(model):
    (model / "member_1/weights.pt").unlink()


def missing_json(model):
    (model / "model.json").unlink()


def cut_json(model):
    text = (model / "model.json").read_text()
    (model / "model.json").write_text(text[: len(text) // 2])


def other_format(model):
    content = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**content, "format": "other"}))


@pytest.mark.parametrize("change", [other_weights, missing_weights, missing_json, cut_json, other_format])
def test_incomplete_and_foreign_models_are_refused(folder, tmp_path, change):
    changed_model(folder, tmp_path, change)
    with pytest.raises(InvalidInput) as error:
        load_model(tmp_path / "m")
    assert error.value.problem.code == "E502"
    assert str(tmp_path) not in str(error.value)


def test_what_decides_a_member_tells_it_apart(folder, model):
    known = [json.dumps(dict(model.identity(m)), sort_keys=True) for m in range(2)]
    assert known[0] != known[1]
    told = json.loads(known[0])
    assert told["settings"]["iterations"] == TINY.iterations
    assert told["classes"]["names"] == ["background", "shell", "core"]
    assert told["device"] == "cpu"
    other = load_model(folder, device="cpu", precision="float32", overlap=0.25)
    assert json.dumps(dict(other.identity(0)), sort_keys=True) != known[0]


def test_views_that_are_not_told_are_those_that_training_showed(folder):
    """The tiny training turns and shades its patches and mirrors none."""
    views = [info.view for info in load_model(folder, device="cpu", sampling=Sampling(sampler=("tta",))).infos[:8]]
    assert views[0] == ""
    assert not any("flip" in view for view in views)
    assert kinds_in_training(replace(TINY, flip_axes=(0, 1, 2), rotation_deg=0.0)) == ("flips", "intensity")
    told = Sampling(sampler=("tta",), tta=("flips",), views=2)
    assert load_model(folder, device="cpu", sampling=told).infos[1].view == "flip_x"
