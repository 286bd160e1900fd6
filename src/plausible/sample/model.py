"""A trained model in memory: networks with their weights, checked against what `model.json` says."""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plausible.core import missing_extra, sha256_of
from plausible.train.model import MemberRecord, ModelInfo, read_model, unusable_model
from plausible.train.settings import Precision


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """What a model is, its networks in the order of its members, and the processor they are on."""

    info: ModelInfo
    networks: tuple[Any, ...]
    device: str
    precision: Precision


def load_model(model: Path, *, device: str = "auto", precision: Precision = "auto") -> TrainedModel:
    """Read a model that `plausible train` made; nothing is unpickled but tensors.

    Args:
        model: its folder.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        precision: "auto" computes in bfloat16 where the processor does.

    Raises:
        InvalidInput: E502, the folder is incomplete, not ours, or weights are not those that `model.json` names.
        UnfitEnvironment: E901, torch or MONAI or the device is missing.
    """
    info = read_model(model)
    try:
        from plausible.train.network import choose_device, choose_precision
    except ImportError as error:
        raise missing_extra(error.name or "torch", extra="train") from error
    chosen = choose_device(device)
    networks = tuple(_network(model, info, record, device=chosen) for record in info.members)
    return TrainedModel(info, networks, chosen, choose_precision(precision, device=chosen))


def _network(model: Path, info: ModelInfo, record: MemberRecord, *, device: str) -> Any:
    import torch

    from plausible.train.network import build_network, load_weights

    path = model / record.weights
    if not path.exists():
        raise unusable_model(model, f"no {record.weights}")
    data = path.read_bytes()
    if sha256_of(data) != record.weights_sha256:
        raise unusable_model(model, f"{record.weights} is not the file that model.json describes (SHA-256 differs)")
    network = build_network(info.plan, channels=len(info.channels), classes=info.classes, seed=0)
    try:
        load_weights(network, torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
    except (ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise unusable_model(model, f"{record.weights}: {error}") from error
    return network.to(device).eval()
