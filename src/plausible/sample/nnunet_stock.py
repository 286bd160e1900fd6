"""nnU-Net's own code, called as its prediction calls it: preprocessing, network, sliding windows, export."""

import contextlib
import inspect
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Float16, Float32

from plausible.core import Problem, UnfitEnvironment, missing_extra
from plausible.sample.nnunet_checkpoint import Checkpoint
from plausible.sample.nnunet_image import ReadImage


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """An image after nnU-Net's preprocessing: a tensor `n p q r`, and what the export must know to go back."""

    data: Any
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Stock:
    """The parts of nnU-Net that turn an image and weights into probabilities.

    Attributes:
        version: of nnunetv2.
        plans, configuration, labels, dataset: nnU-Net's managers and the content of `dataset.json`.
        predictor: nnU-Net's `nnUNetPredictor`, which averages mirror views where it was told to.
        network: takes any member's weights.
    """

    version: str
    plans: Any
    configuration: Any
    labels: Any
    dataset: Mapping[str, Any]
    predictor: Any
    network: Any

    def prepare(self, image: ReadImage) -> Prepared:
        """Transpose, crop, normalise and resample as nnU-Net does before it predicts."""
        from nnunetv2.inference.data_iterators import PreprocessAdapterFromNpy

        with _quiet():
            adapter = PreprocessAdapterFromNpy(
                [image.values], None, [dict(image.properties)], None, self.plans, self.dataset, self.configuration
            )
            done = next(adapter)
        return Prepared(done["data"], done["data_properties"])

    def load(self, weights: Mapping[str, Any]) -> None:
        """Put a member's weights into the network."""
        self.network.load_state_dict(weights)

    def logits(self, prepared: Prepared, *, flip: tuple[int, ...] = ()) -> Float16[np.ndarray, "c p q r"]:
        """Logits of the network with its present weights on the prepared grid, added up over windows in float16.

        Windows are mirrored on the spatial axes of `flip`.
        """
        import torch

        with torch.inference_mode(), _mirrored(self.network, flip):
            return self.predictor.predict_sliding_window_return_logits(prepared.data).cpu().numpy()

    def export(self, logits: Float16[np.ndarray, "c p q r"], prepared: Prepared) -> Float32[np.ndarray, "c z y x"]:
        """Probabilities on the grid that nnU-Net's reader gave: resampled as logits, softmax or sigmoid, uncropped."""
        import torch
        from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

        _, probabilities = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits,
            self.plans,
            self.configuration,
            self.labels,
            dict(prepared.properties),
            return_probabilities=True,
            num_threads_torch=torch.get_num_threads(),
        )
        return np.asarray(probabilities, dtype=np.float32)


def open_plans(plans: Mapping[str, Any]) -> Any:
    """Return nnU-Net's manager of plans.

    Raises:
        UnfitEnvironment: E901, nnunetv2 or torch is not installed.
    """
    try:
        with _quiet():
            from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    except ImportError as error:
        raise missing_extra(error.name or "nnunetv2", extra="nnunet") from error
    return PlansManager(dict(plans))


def open_stock(
    plans: Any, dataset: Mapping[str, Any], checkpoint: Checkpoint, *, mirror: bool, tile_step_size: float, device: str
) -> Stock:
    """Build the network and nnU-Net's predictor for the configuration that a checkpoint was trained with.

    Raises:
        UnfitEnvironment: E901, the trainer or the network is not part of the installed nnU-Net.
    """
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    with _quiet():
        configuration = plans.get_configuration(checkpoint.configuration)
        labels = plans.get_label_manager(dataset)
        network = _build_network(plans, configuration, labels, dataset, checkpoint)
        predictor = nnUNetPredictor(
            tile_step_size=tile_step_size,
            use_mirroring=mirror,
            perform_everything_on_device=device.startswith("cuda"),
            device=torch.device(device),
            allow_tqdm=False,
        )
        axes = checkpoint.mirror_axes or None
        predictor.manual_initialization(network, plans, configuration, None, dict(dataset), checkpoint.trainer, axes)
        predictor.network = network  # never compiled: each member puts its weights into it
    return Stock(version("nnunetv2"), plans, configuration, labels, dataset, predictor, network)


def _build_network(
    plans: Any, configuration: Any, labels: Any, dataset: Mapping[str, Any], checkpoint: Checkpoint
) -> Any:
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels

    try:
        build = _find_trainer(checkpoint.trainer).build_network_architecture
        heads, channels = labels.num_segmentation_heads, determine_num_input_channels(plans, configuration, dataset)
        if "plans_manager" in inspect.signature(build).parameters:
            return build(plans, configuration, channels, heads, enable_deep_supervision=False)
        return build(
            configuration.network_arch_class_name,
            configuration.network_arch_init_kwargs,
            configuration.network_arch_init_kwargs_req_import,
            channels,
            heads,
            enable_deep_supervision=False,
        )
    except (ImportError, RuntimeError, AttributeError) as error:
        raise _unknown_trainer(checkpoint.trainer, error) from error


def _find_trainer(name: str) -> Any:
    """Class of a trainer; the plain one without looking through nnU-Net's variants, which would import them all."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    if name == nnUNetTrainer.__name__:
        return nnUNetTrainer
    try:
        from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
    except ImportError:  # nnU-Net before 2.7
        import nnunetv2
        from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

        folder = f"{nnunetv2.__path__[0]}/training/nnUNetTrainer"
        return recursive_find_python_class(folder, name, "nnunetv2.training.nnUNetTrainer")
    return recursive_find_trainer_class_by_name(name)


@contextlib.contextmanager
def _mirrored(network: Any, axes: tuple[int, ...]) -> Iterator[None]:
    """See the network through a mirror: windows are flipped, and what it says of them is flipped back."""
    import torch

    if not axes:
        yield
        return
    places = tuple(axis + 2 for axis in axes)
    before = network.register_forward_pre_hook(lambda _, windows: (torch.flip(windows[0], places),))
    after = network.register_forward_hook(lambda _, __, logits: torch.flip(logits, places))
    try:
        yield
    finally:
        before.remove()
        after.remove()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep nnU-Net's notices off the terminal: progress and JSON are ours to print."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _unknown_trainer(trainer: str, error: Exception) -> UnfitEnvironment:
    return UnfitEnvironment(
        Problem(
            code="E901",
            found=f"trainer {trainer}: {type(error).__name__}: {' '.join(str(error).split())[:200]}",
            expected="an installed nnU-Net that knows this trainer and its network",
            fix="install the nnU-Net of the training, or name the folder of the trainer in nnUNet_extTrainer",
        )
    )
