"""Models that were exported as TorchScript, with torch.export, or as ONNX: a card and one file per member.

Windows are turned to the axes of the file and back, and what it returns is made logits, so that everything after it is
the same as for our own models. Passes of one window tell whether chance is left in a file: an export in evaluation
mode drops its dropout; what is called drawn must vary with the seed, and with nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
import torch

from plausible.core import InvalidInput, Problem, UnfitEnvironment
from plausible.sample.model_card import CARD, ModelCard, file_hash, read_card, unusable_card
from plausible.sample.sampling import Sampling
from plausible.sample.windowed import FunctionSource, WindowedModel, draws_of, sampled
from plausible.train.device import choose_device
from plausible.train.grid import ChannelFingerprint, Triple
from plausible.train.hooks import Function, Place

Engine: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""From windows `b n i j k` in the file's own axes to what it returns `b c i j k`."""

SMALLEST, CLOSEST = 1e-30, 1e-7


@dataclass(frozen=True, slots=True)
class CardGrid:
    """Spacing left-right, back-front, foot-head, and normalisation, as a card tells them."""

    spacing_mm: Triple
    channels: tuple[ChannelFingerprint, ...]


@dataclass(frozen=True, slots=True)
class ExportedFunctions:
    """A file's function, or the functions drawn from one that holds active dropout."""

    engine: Engine
    card: ModelCard

    def draw(self, seed: int | None, *, shape: tuple[int, int, int]) -> Function:
        """Return the function; of a stochastic file, every window starts from the same random state."""

        def function(windows: torch.Tensor, places: Sequence[Place]) -> torch.Tensor:
            if seed is None:
                return self._logits(windows)
            return torch.cat([self._seeded(window, seed) for window in windows.split(1)])

        return function

    def _seeded(self, window: torch.Tensor, seed: int) -> torch.Tensor:
        with torch.random.fork_rng(devices=[window.device] if window.device.type == "cuda" else []):
            torch.manual_seed(seed)
            return self._logits(window)

    def _logits(self, windows: torch.Tensor) -> torch.Tensor:
        turned = windows.permute(0, 1, *(axis + 2 for axis in self.card.order))
        backwards = [place + 2 for place in self.card.backwards]
        found = checked(self.engine(turned.flip(backwards).contiguous()).float(), self.card)
        back = found.flip(backwards).permute(0, 1, *(self.card.order.index(axis) + 2 for axis in range(3)))
        if self.card.output == "logits":
            return back
        return back.clamp(SMALLEST, 1).log() if self.card.classes.exclusive else back.logit(CLOSEST)


def load_exported_model(
    folder: Path,
    *,
    device: str = "auto",
    sampling: Sampling | None = None,
    overlap: float = 0.5,
    batch: int = 2,
) -> WindowedModel:
    """Read exported files with their card; they compute in the precision they were exported in.

    Args:
        folder: holds `plausible_model.toml` and the files it names.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        sampling: views; draws of each file that is stochastic; None takes the defaults.
        overlap: share by which neighbouring windows overlap.
        batch: windows computed at once.

    Raises:
        InvalidInput: E502, an unreadable card or file; E308, E302, other channels or values than the card tells; E505,
            no chance in what is called stochastic, or chance in what is not.
        UnfitEnvironment: E901, a package or the device is missing.
    """
    sampling, card, chosen = sampling or Sampling(), read_card(folder), choose_device(device)
    if card.stochastic and card.format == "onnx":
        raise _chance(
            f"{folder.name}/{CARD}",
            found='stochastic = true with format = "onnx": a seed does not reach the chance in an ONNX file',
            expected="members that are one function in every window",
            fix="export it as scripted TorchScript or with torch.export; or in evaluation mode, stochastic = false",
        )
    sources = [
        drawn
        for number in range(len(card.members))
        for drawn in draws_of(
            _source(folder, card, number, device=chosen), sampling, network=number, stochastic=card.stochastic
        )
    ]
    loaded = WindowedModel(
        classes=card.classes,
        channels=tuple(channel.name for channel in card.channels),
        ensemble=card.ensemble or f"{len(card.members)} exported files",
        grid=CardGrid(_turned(card.spacing_mm, card), card.channels),
        sources=tuple(sources),
        device=chosen,
        precision="float32",
        overlap=overlap,
        batch=batch,
    )
    return sampled(loaded, sampling)


def checked(found: torch.Tensor, card: ModelCard) -> torch.Tensor:
    """Return what a file gave, if it has the card's channels and, where told so, probabilities.

    Raises:
        InvalidInput: E308, E302, E301.
    """
    names = card.classes.names
    if found.ndim != 5 or found.shape[1] != len(names):
        raise _misfit("E308", f"an output of shape {tuple(found.shape)}", f"{len(names)} channels: {', '.join(names)}")
    if card.output == "probabilities":
        low, high, total = float(found.min()), float(found.max()), found.sum(dim=1)
        if low < -1e-4 or high > 1 + 1e-4:
            raise _misfit(
                "E302", f"values from {low:.3g} to {high:.3g}", 'values from 0 to 1 (output = "probabilities")'
            )
        if card.classes.exclusive and (total - 1).abs().max() > 1e-2:
            raise _misfit("E301", f"probabilities that sum to {float(total.min()):.3g}", "1 in every voxel (exclusive)")
    return found


def _source(folder: Path, card: ModelCard, number: int, *, device: str) -> FunctionSource:
    member = card.members[number]
    path = folder / member.file
    if not path.is_file():
        raise unusable_card(folder, f"no file {member.file}")
    digest = file_hash(path)
    if member.sha256 and digest != member.sha256:
        raise unusable_card(folder, f"{member.file} is not the file of the card (SHA-256 differs)")
    functions = ExportedFunctions(_opened(path, card, device=device), card)
    patch = _turned(card.patch, card)
    _check_chance(functions, patch, card, member.file, device=device)
    told = {key: value for key, value in asdict(card).items() if key not in ("members", "ensemble")}
    info = member.info(number, checkpoint=digest)
    return FunctionSource(info, functions, {"weights": digest, "card": told}, patch)


def _opened(path: Path, card: ModelCard, *, device: str) -> Engine:
    try:
        if card.format == "onnx":
            from plausible.sample.exported_onnx import onnx_engine

            return onnx_engine(path, device=device, output_name=card.output_name)
        from plausible.sample.exported_torch import open_program, open_torchscript

        opened = open_program if card.format == "torch_export" else open_torchscript
        module: Engine = opened(path, device=device, stochastic=card.stochastic)
    except (InvalidInput, UnfitEnvironment):
        raise
    except (RuntimeError, ValueError, OSError, KeyError, BadZipFile) as error:
        told = str(error).strip().splitlines()[0].replace(str(path.parent), path.parent.name)
        raise unusable_card(path.parent, f"{path.name} as {card.format}: {told}") from error
    return module


def _check_chance(
    functions: ExportedFunctions, patch: tuple[int, int, int], card: ModelCard, file: str, *, device: str
) -> None:
    """Passes of one window: always the same by one seed, whatever was seen in between; another by another seed."""
    window, between = np.random.default_rng(0).standard_normal((2, 1, len(card.channels), *patch), dtype=np.float32)
    first, second = (1, 2) if card.stochastic else (None, None)
    told = [(first, window), (first, between), (first, window), (second, window)]
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        passes = [functions.draw(seed, shape=patch)(torch.from_numpy(seen).to(device), []) for seed, seen in told]
    if not torch.allclose(passes[0], passes[2], atol=1e-4):
        raise _unlike(card, file)
    if card.stochastic and torch.allclose(passes[0], passes[3], atol=1e-4):
        raise _chance(
            file,
            found="two passes give the same: its dropout was exported away",
            expected="dropout that is active in the file (stochastic = true)",
            fix="export it in training mode, or scripted; or set stochastic = false",
        )


def _unlike(card: ModelCard, file: str) -> InvalidInput:
    if card.stochastic:
        return _chance(
            file,
            found="two passes of one window from the same random state differ",
            expected="chance that the seed decides, so that a member is one function in every window",
            fix="export it as scripted TorchScript with dropout of whole channels, or several files without chance",
        )
    return _chance(
        file,
        found="two passes differ",
        expected="one function",
        fix="export it in evaluation mode (model.eval()), or set stochastic = true",
    )


def _chance(file: str, *, found: str, expected: str, fix: str) -> InvalidInput:
    return InvalidInput(Problem(code="E505", file=file, found=found, expected=expected, fix=fix))


def _turned(values: tuple[Any, Any, Any], card: ModelCard) -> tuple[Any, Any, Any]:
    """From the order of the card's axes to left-right, back-front, foot-head."""
    x, y, z = (values[card.order.index(axis)] for axis in range(3))
    return x, y, z


def _misfit(code: str, found: str, expected: str) -> InvalidInput:
    return InvalidInput(Problem(code=code, found=found, expected=expected, fix="correct plausible_model.toml"))
