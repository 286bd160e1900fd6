"""A MONAI bundle: the members are what the bundle's own pipeline gives before anything is made discrete."""

import json
import warnings

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data.meta_tensor import MetaTensor

from plausible.core import Classes, Geometry, Image, InvalidInput
from plausible.io.images import read_image
from plausible.sample import Sampling, image_study, open_model, predict_members, predict_study
from plausible.sample.bundle import load_bundle
from tests.train.datasets import affine, image_and_labels

NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [2, 4],
    "strides": [2],
    "norm": "INSTANCE",
}
PREPROCESSING = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "LPS", "labels": None},
    {"_target_": "Spacingd", "keys": "image", "pixdim": [1.3, 1.1, 1.7], "mode": "bilinear"},
    {"_target_": "ScaleIntensityd", "keys": "image"},
]
INVERT = {
    "_target_": "Invertd",
    "keys": "pred",
    "transform": "@preprocessing",
    "orig_keys": "image",
    "nearest_interp": False,
}
METADATA = {
    "network_data_format": {
        "inputs": {"image": {"modality": "MR", "num_channels": 1, "channel_def": {"0": "T1"}}},
        "outputs": {"pred": {"num_channels": 3, "channel_def": {"0": "background", "1": "shell", "2": "core"}}},
    }
}


def write_bundle(folder, *, weights=("model.pt",), preprocessing=PREPROCESSING, softmax=True, metadata=METADATA):
    """A bundle as MONAI's model zoo writes them, with a random network."""
    activation = {"_target_": "Activationsd", "keys": "pred", "softmax" if softmax else "sigmoid": True}
    config = {
        "bundle_root": ".",
        "device": "$torch.device('cpu')",
        "network_def": NETWORK,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": preprocessing},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [8, 8, 8], "sw_batch_size": 2, "overlap": 0.5},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [activation, INVERT, {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}],
        },
    }
    for name, content in (("inference", config), ("metadata", metadata)):
        (folder / "configs").mkdir(parents=True, exist_ok=True)
        (folder / f"configs/{name}.json").write_text(json.dumps(content))
    (folder / "models").mkdir()
    for n, name in enumerate(weights):
        with torch.random.fork_rng():
            torch.manual_seed(n)
            network = ConfigParser({"network_def": NETWORK}).get_parsed_content("network_def")
        torch.save(network.state_dict(), folder / "models" / name)
    return folder


@pytest.fixture
def case(tmp_path):
    """An oblique image file whose first axis runs backwards."""
    (tmp_path / "images").mkdir()
    values, _ = image_and_labels(1)
    path = tmp_path / "images/case_0000.nii.gz"
    nib.save(nib.Nifti1Image(values[0], affine(flip=True)), path)
    return path


def by_its_own_pipeline(folder, path, weights: str) -> np.ndarray:
    """The bundle's own transforms, inferer, Activationsd and Invertd, with its own reader of files."""
    parser = ConfigParser()
    parser.read_config(str(folder / "configs/inference.json"))
    network = parser.get_parsed_content("network")
    network.load_state_dict(torch.load(folder / "models" / weights, weights_only=True))
    with warnings.catch_warnings(action="ignore"):
        return _own(parser, network, path)


def _own(parser, network, path) -> np.ndarray:
    data = parser.get_parsed_content("preprocessing")({"image": str(path)})
    with torch.inference_mode():
        logits = parser.get_parsed_content("inferer")(data["image"][None].as_tensor(), network.eval())[0]
    data["pred"] = MetaTensor(logits.clone())
    for transform in parser.get_parsed_content("postprocessing").transforms[:2]:
        data = transform(data)
    return data["pred"].as_tensor().numpy()


def test_members_are_those_of_the_bundles_own_pipeline(tmp_path, case):
    folder = write_bundle(tmp_path / "bundle", weights=("model_a.pt", "model_b.pt"))
    model = open_model(folder, device="cpu", precision="float32", trust_bundle=True)
    given = read_image([case], channels=("T1",), subject="case")
    members = list(predict_members(model, given))
    assert [(info.kind, info.source) for info in model.infos] == [
        ("unknown", "models/model_a.pt"),
        ("unknown", "models/model_b.pt"),
    ]
    for member, weights in zip(members, ("model_a.pt", "model_b.pt"), strict=True):
        expected = by_its_own_pipeline(folder, case, weights)
        assert member.probabilities.shape == (3, *given.geometry.shape)
        np.testing.assert_allclose(member.probabilities, expected / expected.sum(axis=0), atol=1e-5)
    assert np.abs(members[0].probabilities - members[1].probabilities).max() > 1e-3
    assert model.classes == Classes.exclusive_of({"background": 0, "shell": 1, "core": 2})
    assert (model.channels, model.ensemble) == (("T1",), "MONAI bundle with 2 sets of weights")


def test_members_go_to_the_store_and_are_kept(tmp_path, case):
    model = load_bundle(write_bundle(tmp_path / "bundle"), trust=True, device="cpu")
    study = image_study(case.parent, model)
    assert predict_study(model, study, tmp_path / "s").written == (("case", 1),)
    assert predict_study(model, study, tmp_path / "s").kept == (("case", 1),)
    config = tmp_path / "bundle/configs/inference.json"
    config.write_text(config.read_text().replace("1.7", "1.8"))
    other = load_bundle(tmp_path / "bundle", trust=True, device="cpu")
    assert predict_study(other, study, tmp_path / "s").written == (("case", 1),)


def test_other_classes_configs_or_code_are_another_member(tmp_path):
    folder = write_bundle(tmp_path / "bundle")

    def identity(**told):
        return json.dumps(load_bundle(folder, trust=True, device="cpu", **told).identity(0), sort_keys=True)

    labels = {"background": 0, "shell": 1, "core": 2}
    found = [identity(), identity(classes=Classes.exclusive_of({**labels, "core": 5}))]
    regions = {"a": [1, 2], "b": [2], "c": [3]}
    found += [identity(classes=Classes.overlapping_of(regions, order=order)) for order in ((), (1, 2, 3), (3, 2, 1))]
    for name in ("configs/other.yaml", "scripts/network.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        for content in ("a = 1", "a = 2"):
            (folder / name).write_text(content)
            found.append(identity())
    assert len(set(found)) == len(found)
    assert identity() == found[-1]
    (folder / "docs").mkdir()
    (folder / "docs/README.md").write_text("says nothing to the network")
    assert identity() == found[-1]


def test_too_little_memory_is_not_the_fault_of_the_bundle(tmp_path, monkeypatch):
    model = load_bundle(write_bundle(tmp_path / "bundle"), trust=True, device="cpu")
    given = Image(image_and_labels(0)[0], Geometry((11, 13, 9), affine()), ("T1",))

    def full(self, *_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(model), "_probabilities", full)
    with pytest.raises(torch.OutOfMemoryError):
        list(predict_members(model, given))


def test_what_was_cropped_away_is_background(tmp_path):
    crop = {"_target_": "SpatialCropd", "keys": "image", "roi_start": [2, 2, 2], "roi_end": [9, 9, 9]}
    model = load_bundle(
        write_bundle(tmp_path / "b", preprocessing=[*PREPROCESSING[:2], crop]), trust=True, device="cpu"
    )
    given = Image(image_and_labels(0)[0], Geometry((11, 13, 9), affine()), ("T1",))
    (member,) = predict_members(model, given)
    np.testing.assert_allclose(member.probabilities.sum(axis=0), 1, atol=1e-5)
    assert (member.probabilities[0, :2] == 1).all()
    assert (member.probabilities[0, 2:9, 2:9, 2:9] < 1).all()


def test_sigmoids_are_overlapping_regions_and_classes_can_be_told(tmp_path):
    folder = write_bundle(tmp_path / "b", softmax=False)
    model = load_bundle(folder, trust=True, device="cpu")
    assert model.classes == Classes.overlapping_of({"background": [1], "shell": [2], "core": [3]})
    told = Classes.overlapping_of({"a": [1, 2], "b": [2], "c": [3]})
    assert load_bundle(folder, trust=True, device="cpu", classes=told).classes == told


def test_nothing_of_a_bundle_runs_before_it_is_trusted(tmp_path):
    folder = write_bundle(tmp_path / "bundle")
    config = json.loads((folder / "configs/inference.json").read_text())
    ran = tmp_path / "ran"
    config["network_def"] = f"$__import__('pathlib').Path({str(ran)!r}).touch()"
    (folder / "configs/inference.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match="--trust-bundle") as error:
        open_model(folder)
    assert error.value.problem.code == "E506"
    assert not ran.exists()
    with pytest.raises(InvalidInput):
        open_model(folder, trust_bundle=True)
    assert ran.exists()


def broken(folder, name, old, new):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "code"),
    [
        ("configs/metadata.json", "channel_def", "channels", "E311"),
        ("configs/inference.json", "softmax", "other", "E313"),
        ("configs/inference.json", "preprocessing", "before", "E502"),
        ("configs/inference.json", "SlidingWindowInferer", "NoSuchInferer", "E502"),
        ("configs/inference.json", '"out_channels": 3', '"out_channels": 2', "E502"),
        ("configs/metadata.json", "{", "", "E502"),
    ],
)
def test_a_bundle_that_lacks_something_is_refused(tmp_path, name, old, new, code):
    folder = write_bundle(tmp_path / "bundle")
    broken(folder, name, old, new)
    with pytest.raises(InvalidInput) as error:
        load_bundle(folder, trust=True, device="cpu")
    assert error.value.problem.code == code
    assert str(tmp_path) not in str(error.value)


def test_an_output_of_other_channels_than_the_metadata_tells_is_refused(tmp_path):
    folder = write_bundle(tmp_path / "bundle")
    broken(folder, "configs/metadata.json", ', "2": "core"', "")
    given = Image(image_and_labels(0)[0], Geometry((11, 13, 9), affine()), ("T1",))
    with pytest.raises(InvalidInput) as error:
        list(predict_members(load_bundle(folder, trust=True, device="cpu"), given))
    assert error.value.problem.code == "E308"


def test_samplers_missing_weights_and_other_channels_are_refused(tmp_path):
    folder = write_bundle(tmp_path / "bundle")
    with pytest.raises(InvalidInput, match="no sampler"):
        load_bundle(folder, trust=True, sampling=Sampling(sampler=("tta",)))
    two = Image(np.zeros((2, 5, 6, 7), np.float32), Geometry((5, 6, 7), affine()), ("a", "b"))
    with pytest.raises(InvalidInput, match="2 channels"):
        list(predict_members(load_bundle(folder, trust=True, device="cpu"), two))
    (folder / "models/model.pt").unlink()
    with pytest.raises(InvalidInput, match=r"no \.pt file"):
        load_bundle(folder, trust=True)
