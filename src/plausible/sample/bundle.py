"""A MONAI bundle as a model: one weights file, one member, with the bundle's own preprocessing and inferer.

What the inferer returns is taken before any `Activationsd` or `AsDiscreted`, made probabilities, and brought linearly
back onto the image's own grid by the inverse of the preprocessing. What the preprocessing cropped away is background.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from jaxtyping import Float32
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Invertd

from plausible.core import Classes, Image, InvalidInput, Member, MemberInfo, Problem, sha256_of
from plausible.sample.bundle_config import BundleParts, read_bundle, unusable_bundle
from plausible.sample.sampling import Sampling
from plausible.sample.windowed import check_channels
from plausible.train.device import choose_device
from plausible.train.network import autocast, choose_precision, to_probabilities
from plausible.train.settings import Precision


@dataclass(frozen=True, slots=True, eq=False)
class BundleMember:
    """One weights file."""

    info: MemberInfo
    weights: Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class BundleModel:
    """A bundle in memory; its one network gets the weights of each member in turn."""

    parts: BundleParts
    members: tuple[BundleMember, ...]
    device: str
    precision: Precision

    @property
    def classes(self) -> Classes:
        """What the channels of its output mean."""
        return self.parts.classes

    @property
    def channels(self) -> tuple[str, ...]:
        """The image's channels."""
        return self.parts.channels

    @property
    def ensemble(self) -> str:
        """How many weights there are."""
        n = len(self.members)
        return "MONAI bundle" if n == 1 else f"MONAI bundle with {n} sets of weights"

    @property
    def infos(self) -> tuple[MemberInfo, ...]:
        """What makes each member."""
        return tuple(member.info for member in self.members)

    def identity(self, member: int) -> Mapping[str, Any]:
        """Weights, the meaning of the output, configuration and code of the bundle, and MONAI's version."""
        told = {"weights": self.infos[member].checkpoint, "files": dict(self.parts.digests)}
        return {**told, "classes": asdict(self.classes), "monai": monai.__version__, "precision": self.precision}

    def predict(self, image: Image, chosen: Sequence[int], *, subject: str = "") -> Iterator[Member]:
        """Yield the members of these numbers, one in memory at a time; the image is prepared once.

        Raises:
            InvalidInput: E109, another number of channels; E502, the preprocessing or the network cannot take it.
        """
        check_channels(image, self.channels, subject)
        try:
            prepared = self._prepared(image)
            for number in chosen:
                values = self._restored(self._probabilities(self.members[number], prepared), prepared)
                yield Member(values, image.geometry, self.classes, self.members[number].info)
        except torch.OutOfMemoryError:  # a RuntimeError, but no fault of the bundle
            raise
        except (RuntimeError, KeyError, TypeError) as error:
            raise unusable_bundle(Path(subject or "image"), f"{type(error).__name__}: {error}") from error

    def _prepared(self, image: Image) -> MetaTensor:
        meta = {"original_channel_dim": 0, "spatial_shape": np.asarray(image.geometry.shape), "space": "RAS"}
        values = torch.from_numpy(np.ascontiguousarray(image.values, dtype=np.float32))
        affine = torch.from_numpy(image.geometry.affine.copy())
        self.parts.preprocessing.set_random_state(seed=0)
        with _quiet():
            found = self.parts.preprocessing({self.parts.key: MetaTensor(values, affine=affine, meta=meta)})
        prepared: MetaTensor = found[self.parts.key]
        return prepared

    def _probabilities(self, member: BundleMember, prepared: MetaTensor) -> torch.Tensor:
        network = self.parts.network.to(self.device)
        network.load_state_dict(member.weights)
        inputs = prepared.as_tensor().float()[None].to(self.device)
        with torch.inference_mode(), _quiet(), autocast(self.precision, device=self.device):
            logits = self.parts.inferer(inputs, network.eval())
        if not isinstance(logits, torch.Tensor) or logits.shape[1] != len(self.classes.names):
            told = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise _misfit(told, self.classes)
        return to_probabilities(logits, exclusive=self.classes.exclusive)[0].cpu().clone()

    def _restored(self, probabilities: torch.Tensor, prepared: MetaTensor) -> Float32[np.ndarray, "c i j k"]:
        key, preprocessing = self.parts.key, self.parts.preprocessing
        back = Invertd("pred", transform=preprocessing, orig_keys=key, nearest_interp=False)
        with _quiet():
            found = back({"pred": MetaTensor(probabilities), key: prepared})["pred"]
        values: np.ndarray = found.as_tensor().float().numpy().clip(0, 1)
        if self.classes.exclusive:
            values[0] += np.maximum(0, 1 - values.sum(axis=0))
            values /= values.sum(axis=0, keepdims=True)
        return values


def load_bundle(
    folder: Path,
    *,
    trust: bool = False,
    device: str = "auto",
    precision: Precision = "auto",
    sampling: Sampling | None = None,
    weights: Sequence[str] = (),
    classes: Classes | None = None,
) -> BundleModel:
    """Read a MONAI bundle. **This runs code that the bundle names**: only with `trust`.

    Args:
        folder: holds `configs/inference.json` (or yaml), `configs/metadata.json` and `models`.
        trust: whether its configuration may run.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        precision: "auto" computes in bfloat16 where the processor does.
        sampling: refused where it asks for a sampler; windows and preprocessing are the bundle's own.
        weights: names of files in `models`, one member each; none takes every `.pt` file.
        classes: what the channels of the output mean; None takes them from the bundle.

    Raises:
        InvalidInput: E506, it is not trusted; E502, it is incomplete; E505, a sampler; E311, E313, see `read_bundle`.
        UnfitEnvironment: E901, the device is missing.
    """
    if not trust:
        raise _untrusted(folder)
    if sampling and sampling.sampler:
        raise _unsampled(folder, sampling)
    parts, chosen = read_bundle(folder, classes=classes), choose_device(device)
    paths = [folder / "models" / name for name in weights] or sorted((folder / "models").glob("*.pt"))
    if not paths:
        raise unusable_bundle(folder, "no .pt file in models")
    members = tuple(_member(folder, path, n, parts.network) for n, path in enumerate(paths))
    return BundleModel(parts, members, chosen, choose_precision(precision, device=chosen))


def _member(folder: Path, path: Path, number: int, network: Any) -> BundleMember:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        inner = next((content[name] for name in ("model", "state_dict", "network") if name in content), content)
        network.load_state_dict(inner)
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise unusable_bundle(folder, f"models/{path.name}: {str(error).strip().splitlines()[0]}") from error
    digest = sha256_of(path.read_bytes())
    info = MemberInfo(id=f"member_{number}", kind="unknown", checkpoint=digest, source=f"models/{path.name}")
    return BundleMember(info, inner)


def _quiet() -> Any:
    """MONAI's warnings about itself are nothing that a user of a bundle can act on."""
    return warnings.catch_warnings(action="ignore")


def _untrusted(folder: Path) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E506",
            file=folder.name,
            found="a MONAI bundle; its configuration can call any function of this computer",
            expected="your word that you know who made it",
            fix="read configs/inference.json, then repeat with --trust-bundle",
        )
    )


def _unsampled(folder: Path, sampling: Sampling) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E505",
            file=folder.name,
            found=f"--sampler {', '.join(sampling.sampler)}",
            expected="no sampler: preprocessing and windows are the bundle's own",
            fix="put several weights into models, or export its network with a card (docs/methods/other_models.md)",
        )
    )


def _misfit(told: object, classes: Classes) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E308",
            found=f"the network's output: {told}",
            expected=f"{len(classes.names)} channels: {', '.join(classes.names)}",
            fix="correct channel_def in configs/metadata.json",
        )
    )
