"""Our own trained networks as files that other programs run: TorchScript, torch.export or ONNX, with their card."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plausible.core import InvalidInput, Problem, UnfitEnvironment, missing_extra
from plausible.io.atomic import replacing
from plausible.sample.model_card import PROVENANCE, CardMember, Format, ModelCard, file_hash, write_card

if TYPE_CHECKING:
    from plausible.sample.windowed import FunctionSource

ENDINGS: Mapping[Format, str] = {"torchscript": ".ts", "torch_export": ".pt2", "onnx": ".onnx"}


def export_model(model: Path, out: Path, *, to: Format) -> ModelCard:
    """Write every member of a trained model as a file of its own, and the card that says how to use them.

    Windows have the plan's patch, any number of them at a time; the files give logits on axes to the right, front and
    head. `open_model` reads the folder again.

    Args:
        model: folder of a model that `plausible train` made.
        out: folder for the files.
        to: "torch_export" (.pt2), "onnx", or "torchscript", which torch calls deprecated.

    Raises:
        InvalidInput: E502, no such model; E505, a member that is drawn, or members with patches of their own.
        UnfitEnvironment: E901, a package is missing.
    """
    try:
        from plausible.sample.model import load_model

        loaded = load_model(model, device="cpu", precision="float32")
    except ImportError as error:
        raise missing_extra(error.name or "torch", extra="train") from error
    _check_exportable(model, loaded.sources)
    members = tuple(_write(source, out, number, to, loaded.channels) for number, source in enumerate(loaded.sources))
    card = ModelCard(
        format=to,
        output="logits",
        classes=loaded.classes,
        channels=loaded.grid.channels,
        axes="RAS",
        spacing_mm=loaded.grid.spacing_mm,
        patch=loaded.sources[0].patch,
        members=members,
        ensemble=loaded.ensemble,
    )
    write_card(out, card)
    return card


def _check_exportable(model: Path, sources: "tuple[FunctionSource, ...]") -> None:
    drawn = [source.info.id for source in sources if source.seed is not None]
    if drawn or len({source.patch for source in sources}) > 1:
        raise InvalidInput(
            Problem(
                code="E505",
                file=model.name,
                found=f"members that are drawn: {drawn[0]}, ..." if drawn else "members with patches of their own",
                expected="networks without chance, on one patch",
                fix="predict with the model itself (plausible predict), or train --method plain without recipes",
            )
        )


def _write(source: "FunctionSource", out: Path, number: int, to: Format, channels: tuple[str, ...]) -> CardMember:
    import torch

    network = source.network.eval().requires_grad_(False)
    example = torch.zeros((2, len(channels), *source.patch))
    path = out / f"{source.info.id}{ENDINGS[to]}"
    writers: dict[Format, Callable[[Any, Any, Path], None]] = {
        "torchscript": _torchscript,
        "torch_export": _torch_export,
        "onnx": _onnx,
    }
    with replacing(path) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        writers[to](network, example, temporary)
    told = {
        name: value for name, value in asdict(source.info).items() if name in PROVENANCE and value not in (None, "")
    }
    return CardMember(path.name, file_hash(path), told)


def _torchscript(network: Any, example: Any, path: Path) -> None:
    import torch

    torch.jit.trace(network, example).save(path)


def _program(network: Any, example: Any) -> Any:
    import torch

    batch = torch.export.Dim("batch", min=1, max=4096)
    return torch.export.export(network, (example,), dynamic_shapes=({0: batch},))


def _torch_export(network: Any, example: Any, path: Path) -> None:
    import torch

    torch.export.save(_program(network, example), path)


def _onnx(network: Any, example: Any, path: Path) -> None:
    import torch

    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"]}
    try:
        torch.onnx.export(_program(network, example), (), path, **names, external_data=False, verbose=False)
    except ImportError as error:
        raise UnfitEnvironment(
            Problem(
                code="E901",
                found=f"the package {error.name!r} cannot be imported",
                expected="onnx and onnxscript, which torch.onnx.export uses",
                fix="pip install onnx onnxscript",
            )
        ) from error
