"""Our own trained models in memory: weights checked against what `model.json` says, functions ready to be drawn."""

import pickle
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from plausible.core import missing_extra, sha256_of
from plausible.sample.sampling import VIEW_KINDS, Sampling
from plausible.sample.windowed import FunctionSource, WindowedModel, draws_of, sampled
from plausible.train.member_record import MemberRecord
from plausible.train.methods import METHODS
from plausible.train.model import ModelInfo, read_model, unusable_model
from plausible.train.settings import Precision, TrainingSettings


def load_model(
    model: Path,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    sampling: Sampling | None = None,
    overlap: float = 0.5,
    batch: int = 2,
) -> WindowedModel:
    """Read a model that `plausible train` made; nothing is unpickled but tensors.

    Args:
        model: its folder.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        precision: "auto" computes in bfloat16 where the processor does.
        sampling: draws of each network, views, inserted dropout; None takes the defaults.
        overlap: share by which neighbouring windows overlap, from 0 up to but without 1.
        batch: windows computed at once; members do not depend on it but for rounding.

    Raises:
        InvalidInput: E502, the folder is incomplete, not ours, or weights are not those that `model.json` names.
        UnfitEnvironment: E901, torch or MONAI or the device is missing.
    """
    info = read_model(model)
    sampling = _with_kinds(sampling or Sampling(), info)
    try:
        from plausible.train.device import choose_device
        from plausible.train.network import choose_precision
    except ImportError as error:
        raise missing_extra(error.name or "torch", extra="train") from error
    chosen = choose_device(device)
    loaded = WindowedModel(
        classes=info.classes,
        channels=info.channels,
        ensemble=info.ensemble + (f" x {sampling.draws} draws" if _gives_many(info) else ""),
        grid=info.plan,
        sources=tuple(_sources(model, info, sampling, device=chosen)),
        device=chosen,
        precision=choose_precision(precision, device=chosen),
        overlap=overlap,
        batch=batch,
    )
    return sampled(loaded, sampling)


def _sources(model: Path, info: ModelInfo, sampling: Sampling, *, device: str) -> Iterator[FunctionSource]:
    for network, record in enumerate(info.members):
        source = source_of(model, info, record, device=device)
        yield from draws_of(source, sampling, network=network, stochastic=METHODS[record.method].stochastic)


def source_of(model: Path, info: ModelInfo, record: MemberRecord, *, device: str) -> FunctionSource:
    """Return one network of a model with its weights, from which functions are drawn."""
    import monai
    import torch

    from plausible.train.checkpoint import loaded
    from plausible.train.network import build_network

    data = _weights(model, record)
    method, settings, plan = METHODS[record.method].load(), record.training_settings, record.own_plan(info.plan)
    outputs = method.outputs(len(info.classes.names), settings)
    network = build_network(plan, channels=len(info.channels), outputs=outputs, seed=0).to(device)
    try:
        weights = loaded(data, device=device)
        functions = method.functions(network, weights, settings)
    except (ValueError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
        raise unusable_model(model, f"{record.weights}: {error}") from error
    identity = {
        "plan": plan.to_dict(),
        "weights": record.weights_sha256,
        "method": record.method,
        "settings": asdict(settings),
        "monai": monai.__version__,
        "torch": torch.__version__,
    }
    return FunctionSource(record.info, functions, identity, plan.patch, network=network)


def _gives_many(info: ModelInfo) -> bool:
    return any(METHODS[record.method].stochastic for record in info.members)


def _with_kinds(sampling: Sampling, info: ModelInfo) -> Sampling:
    """Where no kinds of views are told, take those that every network has seen in training."""
    seen = [set(kinds_in_training(record.training_settings)) for record in info.members]
    return replace(sampling, tta=sampling.tta or tuple(kind for kind in VIEW_KINDS if all(kind in s for s in seen)))


def kinds_in_training(settings: TrainingSettings) -> tuple[str, ...]:
    """Kinds of views that augmentation showed a network; mirroring only if it was mirrored along every axis."""
    shown = {
        "flips": set(settings.flip_axes) == {0, 1, 2},
        "rotations": settings.rotation_deg > 0,
        "intensity": settings.noise + settings.brightness + settings.gamma > 0,
    }
    return tuple(kind for kind, there in shown.items() if there)


def _weights(model: Path, record: MemberRecord) -> bytes:
    path = model / record.weights
    if not path.exists():
        raise unusable_model(model, f"no {record.weights}")
    data = path.read_bytes()
    if sha256_of(data) != record.weights_sha256:
        raise unusable_model(model, f"{record.weights} is not the file that model.json describes (SHA-256 differs)")
    return data
