"""Trained-model folders of nnU-Net with random weights, against nnU-Net's own prediction from the same folder."""

import json
import os
import sys

import nibabel
import numpy as np
import pytest

from plausible.core import InvalidInput, UnfitEnvironment
from plausible.sample.nnunet import load_nnunet_model
from plausible.sample.source import SegmentationModel
from tests.sample.nnunet_models import (
    REGIONS,
    Recipe,
    oblique_geometry,
    random_image,
    write_images,
    write_model,
)

pytest.importorskip("nnunetv2", reason="nnU-Net is not installed")
pytestmark = pytest.mark.timeout(300)  # nnU-Net's imports alone take long where nothing is compiled yet

ROUNDING = 2e-7
"""Softmax in float32 differs in its last digit with the number of threads."""

ANISOTROPIC = Recipe(transpose=(1, 0, 2), spacing=(3.1, 0.8, 0.9), patch=(4, 16, 16), mirror_axes=(0, 2))
RECIPES = {
    "softmax": Recipe(),
    "anisotropic, axes transposed": ANISOTROPIC,
    "axes turned round": Recipe(transpose=(2, 0, 1), spacing=(0.7, 2.0, 1.1), patch=(16, 8, 16)),
    "regions": Recipe(labels=REGIONS, regions_class_order=(1, 2), folds=(0, 1, 2)),
    "two channels": Recipe(channels=("T1", "T2"), folds=("all",)),
    "nibabel": Recipe(reader="NibabelIO"),
    "turned to RAS": Recipe(reader="NibabelIOWithReorient", transpose=(0, 2, 1)),
    "residual encoder": Recipe(network="ResidualEncoderUNet"),
    "2d": Recipe(patch=(16, 16), spacing=(0.8, 0.9), transpose=(2, 1, 0), mirror_axes=(0, 1)),
    "never mirrored": Recipe(mirror_axes=None),
}


@pytest.fixture
def build(tmp_path):
    return lambda recipe=None, **how: write_model(tmp_path / "model", recipe or Recipe(), **how)


@pytest.fixture
def image():
    return random_image(oblique_geometry(axes=(1, 0, 2), signs=(-1, 1, -1)))


def stock(folder, image, scratch, *, folds, mirror=True):
    """Labels and probabilities of nnU-Net's own prediction: from files, through its reader and its writer."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=mirror, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), folds, "checkpoint_final.pth")
    reader = predictor.plans_manager.image_reader_writer_class()
    values, properties = reader.read_images(write_images(scratch / "images", image))
    labels, probabilities = predictor.predict_single_npy_array(values, properties, None, None, True)
    reader.write_seg(labels, str(scratch / "labels.nii.gz"), properties)
    return np.asarray(nibabel.load(scratch / "labels.nii.gz").dataobj), probabilities.transpose(0, 3, 2, 1)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_mean_of_logits_is_stock_prediction(recipe, build, tmp_path):
    image = random_image(oblique_geometry(axes=(1, 0, 2), signs=(-1, 1, -1)), channels=recipe.channels)
    folder = build(recipe)
    labels, probabilities = stock(folder, image, tmp_path, folds=recipe.folds)
    model = load_nnunet_model(folder, folds=recipe.folds, views="averaged", device="cpu")
    ours = model.mean_of_logits(image)
    assert ours.std() > 0.05  # random weights, but no constant
    np.testing.assert_array_equal(model.classes.decode(ours), labels)
    if not recipe.reader.endswith("Reorient"):  # there, stock probabilities stay in RAS
        np.testing.assert_allclose(ours, probabilities, atol=ROUNDING)


def test_each_member_is_stock_prediction_of_its_fold(build, image, tmp_path):
    folder = build(ANISOTROPIC)
    members = list(load_nnunet_model(folder, device="cpu").predict(image, [0, 1]))
    for fold, member in enumerate(members):
        _, expected = stock(folder, image, tmp_path, folds=(fold,), mirror=False)
        np.testing.assert_allclose(member.probabilities, expected, atol=ROUNDING)
    assert np.abs(members[0].probabilities - members[1].probabilities).max() > 0.05
    assert [member.info.id for member in members] == ["fold_0", "fold_1"]
    assert members[0].geometry is image.geometry


def test_mean_of_views_is_stock_prediction_but_for_float16(build, image, tmp_path):
    folder = build(ANISOTROPIC)
    _, expected = stock(folder, image, tmp_path, folds=(0, 1))
    ours = load_nnunet_model(folder, views="members", device="cpu").mean_of_logits(image)
    apart = np.abs(ours - expected)
    assert apart.mean() < 5e-4
    assert apart.max() < 0.03  # in corners of the image, where float16 keeps few digits of the windows' weights


def test_views_are_named_by_the_axes_of_the_image(build):
    """A member that looks in a mirror on x says of an image what the plain one says of the image mirrored on i."""
    recipe = Recipe(transpose=(1, 0, 2), spacing=(1.0, 1.0, 1.0), patch=(24, 16, 16), mirror_axes=(0, 1, 2), folds=(0,))
    geometry = oblique_geometry(spacing=(1.0, 1.0, 1.0), shape=(8, 12, 10))
    image = random_image(geometry)
    image = type(image)(image.values + 100, geometry, image.channels)  # no black margin: nothing is cropped
    model = load_nnunet_model(build(recipe), views="members", device="cpu")
    members = {member.info.view: member.probabilities for member in model.predict(image, range(8))}
    assert list(members) == ["", "flip_y", "flip_z", "flip_x", "flip_yz", "flip_xy", "flip_xz", "flip_xyz"]
    for axis, letter in enumerate("xyz", start=1):
        mirrored = type(image)(np.flip(image.values, axis).copy(), geometry, image.channels)
        plain = next(iter(model.predict(mirrored, [0]))).probabilities
        np.testing.assert_allclose(members[f"flip_{letter}"], np.flip(plain, axis), atol=2e-3)
        assert np.abs(members[""] - members[f"flip_{letter}"]).max() > 0.02


def test_members_do_not_depend_on_each_other(build, image):
    model = load_nnunet_model(build(), views="members", device="cpu")
    together = dict(zip((9, 0, 3), model.predict(image, [9, 0, 3]), strict=True))
    for number, member in together.items():
        (alone,) = model.predict(image, [number])
        np.testing.assert_array_equal(alone.probabilities, member.probabilities)
        assert alone.info == member.info == model.infos[number]


def test_model_is_what_prediction_expects(build):
    model = load_nnunet_model(build(), device="cpu")
    assert isinstance(model, SegmentationModel)
    assert (model.channels, model.classes.names) == (("MRI",), ("background", "head", "tail"))
    assert model.ensemble == "cross-validation ensemble of 2 (nnU-Net)"
    first = model.infos[0]
    assert (first.kind, first.fold, first.architecture) == ("fold", 0, "PlainConvUNet 4-8")
    assert (first.method, first.source) == ("nnunet", "fold_0/checkpoint_final.pth")
    assert len({info.checkpoint for info in model.infos}) == 2


def test_checkpoints_and_views_are_members_of_each_fold(build):
    folder = build(ANISOTROPIC, names=("checkpoint_final.pth", "checkpoint_best.pth"))
    names = ("checkpoint_final.pth", "checkpoint_best.pth")
    model = load_nnunet_model(folder, folds=[1], checkpoint=names, views="members", device="cpu")
    weights = ("fold_1", "fold_1.checkpoint_best")
    views = ("", ".flip_y", ".flip_x", ".flip_xy")  # the prepared image's first axis is y, its last is x
    assert [info.id for info in model.infos] == [name + view for name in weights for view in views]
    assert model.ensemble == "single network (nnU-Net, 2 checkpoints each, 4 views each)"
    assert [info.kind for info in model.infos[:2]] == ["fold", "view"]


def test_identity_tells_apart_what_has_other_bits(build):
    folder = build()
    how = ({}, {"views": "averaged"}, {"views": "members"}, {"tile_step_size": 0.75})
    models = [load_nnunet_model(folder, device="cpu", **settings) for settings in how]
    identities = [json.dumps(model.identity(0), sort_keys=True) for model in models]
    assert identities[0] == identities[2]  # the view that is not mirrored
    assert len(set(identities)) == 3
    every = [json.dumps(models[2].identity(number)) for number in range(16)]
    assert len(set(every)) == 16


def test_nothing_is_printed(build, image, capfd):
    folder = build()
    capfd.readouterr()
    next(load_nnunet_model(folder, device="cpu").predict(image, [0]))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("break_it", "found", "fix"),
    [
        (lambda f: (f / "plans.json").unlink(), "no plans.json", "nnUNetv2_train"),
        (lambda f: (f / "fold_1" / "checkpoint_final.pth").unlink(), "no fold_1/checkpoint_final.pth", "--folds 0 -i"),
        (lambda f: (f / "fold_0" / "checkpoint_final.pth").write_bytes(b"PK, cut off"), "Error", "copy fold_0/"),
        (lambda f: edit_plans(f, image_reader_writer="Tiff3DIO"), "images read by Tiff3DIO", "--save_probabilities"),
        (lambda f: edit_plans(f, configurations={"2d": {}}), "weights of configuration 3d_fullres", "copy plans.json"),
        (lambda f: edit_checkpoint(f, trainer_name="nnUNetTrainerOther"), "trainer nnUNetTrainerOther", "one trainer"),
        (lambda f: edit_checkpoint(f, inference_allowed_mirroring_axes=(0,)), "mirrored axes [0]", "one trainer"),
        (lambda f: edit_checkpoint(f, network_weights={}), "Missing key(s)", "copy plans.json and fold_1/"),
        (lambda f: edit_checkpoint(f, init_args=None), "TypeError", "copy fold_1/"),
    ],
)
def test_unusable_folders_say_why(break_it, found, fix, build):
    folder = build()
    break_it(folder)
    with pytest.raises(InvalidInput) as error:
        load_nnunet_model(folder, device="cpu")
    assert error.value.problem.code == "E502"
    assert found in error.value.problem.found
    assert fix in error.value.problem.fix


def test_folder_above_names_the_models_in_it(build, tmp_path):
    build().rename(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    with pytest.raises(InvalidInput, match=r"give one of .*/nnUNetTrainer__nnUNetPlans__3d_fullres"):
        load_nnunet_model(tmp_path, device="cpu")


def test_cascade_is_refused_with_the_command(build):
    with pytest.raises(InvalidInput, match="second stage of a cascade") as error:
        load_nnunet_model(build(Recipe(previous_stage="3d_lowres")), device="cpu")
    assert "-prev_stage_predictions" in error.value.problem.fix


def test_checkpoints_cannot_run_code(build, tmp_path):
    folder = build()
    trace = tmp_path / "was_run"
    edit_checkpoint(folder, logging=RunsCode(trace))
    with pytest.raises(InvalidInput, match="would be run while it is read"):
        load_nnunet_model(folder, device="cpu")
    assert not trace.exists()


def test_unknown_trainer_is_a_matter_of_the_installation(build):
    folder = build(Recipe(folds=(1,)))
    edit_checkpoint(folder, trainer_name="nnUNetTrainerOfMine")
    with pytest.raises(UnfitEnvironment, match="nnUNet_extTrainer"):
        load_nnunet_model(folder, device="cpu")


def test_images_that_do_not_fit_are_refused(build, image):
    model = load_nnunet_model(build(Recipe(channels=("T1", "T2"))), device="cpu")
    with pytest.raises(InvalidInput, match="2 as in training: T1, T2") as error:
        next(model.predict(image, [0], subject="case_7"))
    assert (error.value.problem.code, error.value.problem.subject) == ("E109", "case_7")
    black = type(image)(np.zeros((2, *image.geometry.shape), np.float32), image.geometry, ("T1", "T2"))
    with pytest.raises(InvalidInput, match="E310"):
        next(model.predict(black, [0]))


def test_missing_package_gives_the_command(build, monkeypatch):
    folder = build()
    monkeypatch.setitem(sys.modules, "nnunetv2.utilities.plans_handling.plans_handler", None)
    with pytest.raises(UnfitEnvironment, match=r'pip install "plausible\[nnunet\]"'):
        load_nnunet_model(folder, device="cpu")


def test_settings_out_of_range_are_refused(build):
    folder = build()
    with pytest.raises(ValueError, match="tile_step_size"):
        load_nnunet_model(folder, tile_step_size=0.0, device="cpu")
    with pytest.raises(UnfitEnvironment, match="E901"):
        load_nnunet_model(folder, device="no_such_processor")


class RunsCode:
    """What a malicious checkpoint would hold: unpickling it creates a folder."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def edit_plans(folder, **changes):
    path = folder / "plans.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_checkpoint(folder, **changes):
    import torch

    path = folder / "fold_1" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    torch.save({**content, **changes}, path)
