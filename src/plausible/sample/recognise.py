"""Which kind of trained model a folder holds, proven by the files that only this kind has, and how it is loaded."""

from collections.abc import Sequence
from pathlib import Path

from plausible.core import InvalidInput, Problem, missing_extra
from plausible.sample.bundle_config import is_bundle
from plausible.sample.model import load_model
from plausible.sample.model_card import CARD
from plausible.sample.sampling import Sampling
from plausible.sample.source import SegmentationModel
from plausible.train.settings import Precision

OVERLAP, BATCH = 0.5, 2


def open_model(
    model: Path,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    sampling: Sampling | None = None,
    overlap: float = OVERLAP,
    batch: int = BATCH,
    folds: Sequence[str] = (),
    checkpoint: Sequence[str] = (),
    trust_bundle: bool = False,
) -> SegmentationModel:
    """Load a trained model of any known tool.

    Args:
        model: its folder: of `plausible train`, of nnU-Net v2, exported files with a card, or a MONAI bundle.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        precision: "auto" computes in bfloat16 where the processor does; exported files and nnU-Net have their own.
        sampling: draws of each network, views, inserted dropout; None takes the defaults.
        overlap: share by which neighbouring windows overlap; a bundle has its own.
        batch: windows computed at once; a bundle and nnU-Net have their own.
        folds: of an nnU-Net model, by number or "all"; none takes every fold.
        checkpoint: names of weights in each fold of an nnU-Net model; none takes `checkpoint_final.pth`.
        trust_bundle: whether the configuration of a MONAI bundle, which is code, may run.

    Raises:
        ValueError: folds or checkpoints of another model than nnU-Net's; overlap or batch of a bundle.
        InvalidInput: E504, nothing that is known; and what the loader of its kind raises.
        UnfitEnvironment: E901, a package or the device is missing.
    """
    if is_nnunet(model):
        return _nnunet(model, folds, checkpoint, sampling or Sampling(), overlap=overlap, device=device)
    if folds or checkpoint:
        raise ValueError(f"folds and checkpoint choose among those of an nnU-Net model, which {model.name} is not")
    if (model / "model.json").exists():
        return load_model(model, device=device, precision=precision, sampling=sampling, overlap=overlap, batch=batch)
    try:
        if (model / CARD).exists():
            from plausible.sample.exported import load_exported_model

            return load_exported_model(model, device=device, sampling=sampling, overlap=overlap, batch=batch)
        if is_bundle(model):
            if (overlap, batch) != (OVERLAP, BATCH):
                raise ValueError(f"overlap and batch: {model.name} is a MONAI bundle and has its own; leave them out")
            from plausible.sample.bundle import load_bundle

            return load_bundle(model, trust=trust_bundle, device=device, precision=precision, sampling=sampling)
    except ImportError as error:
        raise missing_extra(error.name or "torch", extra="train") from error
    raise InvalidInput(
        Problem(
            code="E504",
            file=model.name,
            found=_found(model),
            expected=f"model.json (plausible train), plans.json and fold_0 (nnU-Net), {CARD} (exported files), or "
            "configs/inference.json (MONAI bundle)",
            fix="give the folder that holds one of these files",
        )
    )


def is_nnunet(model: Path) -> bool:
    """Whether a folder is a trained model of nnU-Net v2."""
    told = all((model / name).is_file() for name in ("plans.json", "dataset.json"))
    return told and any(model.glob("fold_*"))


def _nnunet(
    model: Path, folds: Sequence[str], checkpoint: Sequence[str], sampling: Sampling, *, overlap: float, device: str
) -> SegmentationModel:
    """nnU-Net's own windows and views: it mirrors along the axes it was trained with, and takes inserted dropout."""
    mirrored = "tta" in sampling.sampler
    if mirrored and sampling.tta not in ((), ("flips",)):
        raise InvalidInput(
            Problem(
                code="E505",
                file=model.name,
                found=f"views: {', '.join(sampling.tta)}",
                expected="flips: nnU-Net's own mirrorings",
                fix="plausible predict MODEL ... --sampler tta --tta flips",
            )
        )
    if mirrored and sampling.views != Sampling().views:
        raise ValueError("views: every mirroring that an nnU-Net model was trained with is taken; leave the number out")
    from plausible.sample.nnunet import load_nnunet_model
    from plausible.sample.nnunet_checkpoint import FINAL

    loaded = load_nnunet_model(
        model,
        folds=tuple("all" if fold == "all" else int(fold) for fold in folds),
        checkpoint=tuple(checkpoint) or FINAL,
        views="members" if mirrored else "none",
        tile_step_size=1 - overlap,
        device=device,
    )
    if "dropout" not in sampling.sampler:
        return loaded
    from plausible.sample.nnunet_dropout import with_nnunet_dropout

    return with_nnunet_dropout(loaded, sampling)


def _found(model: Path) -> str:
    if not model.is_dir():
        return "no such folder"
    names = sorted(path.name for path in model.iterdir())
    return f"{len(names)} files: {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}" if names else "nothing"
