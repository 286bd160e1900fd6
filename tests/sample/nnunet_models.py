"""Trained-model folders of nnU-Net with random weights: every file that a training leaves, made in milliseconds."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np

from plausible.core import Geometry, Image

SHAPE = (13, 18, 11)
LABELS = {"background": 0, "head": 1, "tail": 2}
REGIONS = {"background": 0, "whole": [1, 2], "core": 2}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a model folder is made of.

    Attributes:
        spacing: of the prepared image, along its own axes.
        patch: windows of the prepared image; two entries make a 2d configuration.
    """

    labels: dict = field(default_factory=lambda: LABELS)
    regions_class_order: tuple[int, ...] = ()
    channels: tuple[str, ...] = ("MRI",)
    reader: str = "SimpleITKIO"
    transpose: tuple[int, int, int] = (0, 1, 2)
    spacing: tuple[float, ...] = (1.5, 0.9, 0.8)
    patch: tuple[int, ...] = (8, 16, 16)
    mirror_axes: tuple[int, ...] | None = (0, 1, 2)
    folds: tuple[int | str, ...] = (0, 1)
    network: str = "PlainConvUNet"
    previous_stage: str = ""

    @property
    def configuration(self) -> str:
        return "2d" if len(self.patch) == 2 else "3d_fullres"


def write_model(folder: Path, recipe: Recipe, *, names=("checkpoint_final.pth",)) -> Path:
    """Write plans.json, dataset.json and a checkpoint with random weights for every fold."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    folder.mkdir(parents=True)
    plans, dataset = plans_of(recipe), dataset_of(recipe)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    configuration = PlansManager(plans).get_configuration(recipe.configuration)
    heads = PlansManager(plans).get_label_manager(dataset).num_segmentation_heads
    for number, (fold, name) in enumerate((fold, name) for fold in recipe.folds for name in names):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            network = build(nnUNetTrainer, PlansManager(plans), configuration, len(recipe.channels), heads)
            for parameter in network.parameters():
                parameter.data = torch.randn_like(parameter) * 0.3
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        torch.save(checkpoint_of(recipe, network.state_dict(), fold, plans, dataset), folder / f"fold_{fold}" / name)
    return folder


def build(trainer, plans, configuration, channels, heads):
    """Build the network with the trainer's own function, whose arguments changed between versions."""
    import inspect

    if "plans_manager" in inspect.signature(trainer.build_network_architecture).parameters:
        return trainer.build_network_architecture(plans, configuration, channels, heads, True)
    return trainer.build_network_architecture(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        channels,
        heads,
        True,
    )


def checkpoint_of(recipe, weights, fold, plans, dataset):
    """Everything that nnUNetTrainer.save_checkpoint writes, numpy's numbers included."""
    import torch

    return {
        "network_weights": weights,
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01, "params": [0]}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.25)], "dice_per_class_or_region": [[np.float32(0.1)]]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 5,
        "init_args": {
            "plans": plans,
            "configuration": recipe.configuration,
            "fold": fold,
            "dataset_json": dataset,
            "device": torch.device("cpu"),
        },
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": recipe.mirror_axes,
    }


def dataset_of(recipe):
    told = {"regions_class_order": list(recipe.regions_class_order)} if recipe.regions_class_order else {}
    return {
        "channel_names": {str(number): name for number, name in enumerate(recipe.channels)},
        "labels": recipe.labels,
        "numTraining": 10,
        "file_ending": ".nii.gz",
        **told,
    }


def plans_of(recipe):
    statistics = {"mean": 0.3, "std": 1.1, "percentile_00_5": -2.0, "percentile_99_5": 3.0, "min": -4, "max": 5}
    return {
        "dataset_name": "Dataset902_Random",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": [20, 20, 20],
        "image_reader_writer": recipe.reader,
        "transpose_forward": list(recipe.transpose),
        "transpose_backward": [int(axis) for axis in np.argsort(recipe.transpose)],
        "configurations": {recipe.configuration: configuration_of(recipe)},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(n): statistics for n in range(len(recipe.channels))},
    }


def configuration_of(recipe):
    cubic = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    return {
        "data_identifier": "nnUNetPlans_" + recipe.configuration,
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(recipe.patch),
        "median_image_size_in_voxels": [20.0, 20.0, 20.0][: len(recipe.patch)],
        "spacing": list(recipe.spacing)[-len(recipe.patch) :],
        "normalization_schemes": ["ZScoreNormalization"] * len(recipe.channels),
        "use_mask_for_norm": [False] * len(recipe.channels),
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": cubic,
        "resampling_fn_seg_kwargs": {**cubic, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**cubic, "order": 1},
        "architecture": architecture_of(recipe),
        "batch_dice": False,
        **({"previous_stage": recipe.previous_stage} if recipe.previous_stage else {}),
    }


def architecture_of(recipe):
    dim, plain = len(recipe.patch), recipe.network == "PlainConvUNet"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{recipe.network}",
        "arch_kwargs": {
            "n_stages": 2,
            "features_per_stage": [4, 8],
            "conv_op": f"torch.nn.modules.conv.Conv{dim}d",
            "kernel_sizes": [[3] * dim] * 2,
            "strides": [[1] * dim, [2] * dim],
            "n_conv_per_stage" if plain else "n_blocks_per_stage": [1, 1],
            "n_conv_per_stage_decoder": [1],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dim}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def oblique_geometry(*, axes=(0, 1, 2), signs=(1, 1, 1), spacing=(0.75, 0.9, 2.5), degrees=17.0, shape=SHAPE):
    """Grid turned about two axes, its axes permuted and mirrored; the affine as a NIfTI header stores it."""
    turn = np.deg2rad(degrees)
    z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    x = np.array([[1, 0, 0], [0, np.cos(turn / 2), -np.sin(turn / 2)], [0, np.sin(turn / 2), np.cos(turn / 2)]])
    affine = np.eye(4)
    affine[:3, :3] = (z @ x @ np.diag(signs))[:, list(axes)] * np.asarray(spacing)
    affine[:3, 3] = (-20.0, 31.0, 7.0)
    return Geometry(shape, affine.astype(np.float32))


def random_image(geometry, *, channels=("MRI",), seed=0):
    """Blobs and noise with a black margin, so that nnU-Net crops."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(len(channels), *geometry.shape)).cumsum(axis=1).cumsum(axis=2).astype(np.float32)
    values[:, :2] = 0
    values[:, :, -3:] = 0
    return Image(values, geometry, tuple(channels))


def write_images(folder: Path, image: Image, *, subject="case") -> list[str]:
    """Write the channels as nnU-Net names them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, values in enumerate(image.values):
        path = folder / f"{subject}_{number:04d}.nii.gz"
        file = nibabel.Nifti1Image(values, image.geometry.affine)
        file.header.set_zooms(image.geometry.spacing_mm)
        nibabel.save(file, path)
        paths.append(str(path))
    return paths
