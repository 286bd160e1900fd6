"""Which kind of trained model a folder holds, proven by the files that only this kind has, and how it is loaded."""

from pathlib import Path

from plausible.core import InvalidInput, Problem
from plausible.sample.model import load_model
from plausible.sample.sampling import Sampling
from plausible.sample.source import SegmentationModel
from plausible.train.settings import Precision


def open_model(
    model: Path,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    sampling: Sampling | None = None,
    overlap: float = 0.5,
    batch: int = 4,
) -> SegmentationModel:
    """Load a trained model of any known tool.

    Raises:
        InvalidInput: E504, nothing that is known; and what the loader of its kind raises.
        UnfitEnvironment: E901, a package or the device is missing.
    """
    if (model / "model.json").exists():
        return load_model(model, device=device, precision=precision, sampling=sampling, overlap=overlap, batch=batch)
    raise InvalidInput(
        Problem(
            code="E504",
            file=model.name,
            found=_found(model),
            expected="model.json (plausible train)",
            fix="give the folder that holds one of these files",
        )
    )


def _found(model: Path) -> str:
    if not model.is_dir():
        return "no such folder"
    names = sorted(path.name for path in model.iterdir())
    return f"{len(names)} files: {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}" if names else "nothing"
