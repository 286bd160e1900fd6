"""What a MONAI bundle says of itself: network, preprocessing, inferer, and the names of its channels.

Reading a bundle **runs code**: a configuration may call any function and hold expressions of Python. It is parsed only
where the bundle is trusted.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plausible.core import Classes, InvalidInput, Problem, sha256_of

METADATA = "configs/metadata.json"
CONFIGS = tuple(f"configs/inference.{ending}" for ending in ("json", "yaml", "yml"))
LOADERS = ("LoadImaged", "EnsureChannelFirstd", "AsChannelFirstd", "AddChanneld")
"""Transforms that read a file or find its channels: our own reader has done that."""


@dataclass(frozen=True, slots=True, eq=False)
class BundleParts:
    """What is taken from a bundle.

    Attributes:
        key: name of the image in the preprocessing's dictionary.
        preprocessing: MONAI's `Compose` without what reads files.
        inferer: called with images `1 n i j k` and the network.
        digests: SHA-256 of every file of `configs` and of the bundle's own code, by its path in the bundle.
    """

    classes: Classes
    channels: tuple[str, ...]
    key: str
    network: Any
    preprocessing: Any
    inferer: Any
    digests: Mapping[str, str]


def is_bundle(folder: Path) -> bool:
    """Whether a folder has the configuration of a bundle's inference."""
    return any((folder / name).is_file() for name in CONFIGS)


def read_bundle(folder: Path, *, classes: Classes | None = None) -> BundleParts:
    """Parse a trusted bundle.

    Args:
        folder: of the bundle.
        classes: what the channels of its output mean; None takes them from metadata and postprocessing.

    Raises:
        InvalidInput: E502, a part is missing or cannot be built; E311, E313, the meaning of the output is not told.
    """
    config = next(folder / name for name in CONFIGS if (folder / name).is_file())
    metadata = _metadata(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser = _parser(folder, config)
            network = parser.get_parsed_content("network_def" if "network_def" in parser else "network")
            transforms = parser.get_parsed_content("preprocessing")
            inferer = parser.get_parsed_content("inferer")
            postprocessing = parser.get("postprocessing", {})
    except (ImportError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise unusable_bundle(folder, f"{config.name}: {type(error).__name__}: {error}") from error
    key, preprocessing = _preprocessing(transforms)
    return BundleParts(
        classes=classes or _classes(folder, metadata, postprocessing),
        channels=_channels(metadata),
        key=key,
        network=network,
        preprocessing=preprocessing,
        inferer=inferer,
        digests=_digests(folder),
    )


def unusable_bundle(folder: Path, found: str) -> InvalidInput:
    """Return the error of a bundle that cannot be used."""
    return InvalidInput(
        Problem(
            code="E502",
            file=folder.name,
            found=found.replace(str(folder), folder.name)[:300],
            expected="configs/inference.json (network_def, preprocessing, inferer), configs/metadata.json, models/*.pt",
            fix="python -m monai.bundle verify_metadata, or give the folder of a whole bundle",
        )
    )


def _parser(folder: Path, config: Path) -> Any:
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(config))
    if (folder / METADATA).is_file():
        parser.read_meta(str(folder / METADATA))
    parser["bundle_root"] = str(folder)
    return parser


def _digests(folder: Path) -> dict[str, str]:
    paths = {*(folder / "configs").rglob("*"), *folder.rglob("*.py")}
    chosen = sorted(path for path in paths if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder).as_posix(): sha256_of(path.read_bytes()) for path in chosen}


def _metadata(folder: Path) -> dict[str, Any]:
    if not (folder / METADATA).is_file():
        return {}
    try:
        content: dict[str, Any] = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    except ValueError as error:
        raise unusable_bundle(folder, f"metadata.json: {error}") from error
    return content.get("network_data_format", {})


def _preprocessing(transforms: Any) -> tuple[str, Any]:
    """Key of the image and the transforms after reading, in one `Compose`."""
    from monai.transforms import Compose

    parts = list(getattr(transforms, "transforms", transforms))
    key = str(next(iter(getattr(parts[0], "keys", ("image",)))))
    return key, Compose([part for part in parts if type(part).__name__ not in LOADERS])


def _classes(folder: Path, metadata: Mapping[str, Any], postprocessing: Any) -> Classes:
    told = {int(n): str(name) for n, name in metadata.get("outputs", {}).get("pred", {}).get("channel_def", {}).items()}
    if not told:
        raise _not_told("E311", folder, "no network_data_format.outputs.pred.channel_def in metadata.json")
    names = [told[n] for n in sorted(told)]
    steps = postprocessing.get("transforms", []) if isinstance(postprocessing, Mapping) else []
    activations = [step for step in steps if str(step.get("_target_", "")).endswith("Activationsd")]
    exclusive = [bool(step.get("softmax")) for step in activations if step.get("softmax") or step.get("sigmoid")]
    if len(set(exclusive)) != 1:
        raise _not_told("E313", folder, "no Activationsd with softmax or sigmoid in postprocessing")
    if exclusive[0]:
        return Classes.exclusive_of({name: n for n, name in enumerate(names)})
    return Classes.overlapping_of({name: [n + 1] for n, name in enumerate(names)})


def _channels(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    told = metadata.get("inputs", {}).get("image", {})
    number, named = int(told.get("num_channels", 1)), told.get("channel_def", {})
    return tuple(str(named.get(str(n), told.get("modality", "image") if number == 1 else n)) for n in range(number))


def _not_told(code: str, folder: Path, found: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code=code,
            file=folder.name,
            found=found,
            expected="names of the output's channels, and softmax or sigmoid",
            fix="add them to the bundle, or plausible.sample.bundle.load_bundle(..., classes=...)",
        )
    )
