"""Where channels are left out of a network: after blocks of encoder, bottleneck and decoder, never of the output.

**Dropout comes where a convolution reads next.** An instance norm that reads a channel directly divides it by its own
standard deviation: the factor 1 / (1 - q) of a kept channel is undone, and a channel that was left out comes back as
the norm's bias. After norm and activation (DynUNet, nnU-Net's U-Nets, attention and residual U-Net) the convolution
mixes kept and missing channels first, and what is missing stays missing. The blocks of a SegResNet begin with their
norm; there channels are left out of each block's residual branch, after its last convolution.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from plausible.core import InvalidInput, Problem
from plausible.train.network import Network
from plausible.train.settings import DropoutPlaces


@dataclass(frozen=True, slots=True)
class Block:
    """A module after which channels can be left out, and its level: 0 is the finest, the last the bottleneck."""

    name: str
    level: int


def places_in(network: Network, where: DropoutPlaces = "all") -> tuple[str, ...]:
    """Names of the modules after which channels of a known network are left out.

    Args:
        network: one of `KNOWN`, or a module with one inside.
        where: "all" blocks, "inner": all but those of the finest level, "bottleneck": those of the coarsest level.

    Raises:
        InvalidInput: E505, no known network; the message lists its modules.
    """
    for prefix, module in network.named_modules():
        blocks = KNOWN[type(module).__name__](module) if type(module).__name__ in KNOWN else []
        if blocks:
            lowest = {"all": 0, "inner": 1, "bottleneck": max(block.level for block in blocks)}[where]
            return tuple(f"{prefix}.{b.name}".lstrip(".") for b in blocks if b.level >= lowest)
    raise _unknown(network, found=f"{type(network).__name__}, in which no place for dropout is known")


def places_named(network: Network, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the modules that match; wildcards match within one part of a name, so `a.*` is `a.b` and not `a.b.c`.

    Raises:
        InvalidInput: E505, a pattern matches nothing; the message lists the modules.
    """
    names, found = _names(network), list[str]()
    for pattern in patterns:
        matching = [name for name in names if _matches(name, pattern)]
        if not matching:
            raise _unknown(network, found=f"no module {pattern}")
        found += [name for name in matching if name not in found]
    return tuple(found)


def _names(network: Network) -> list[str]:
    """Modules that compute something themselves; lists of modules don't."""
    lists = ("ModuleList", "ModuleDict", "ParameterList", "ParameterDict")
    return [name for name, module in network.named_modules() if name and type(module).__name__ not in lists]


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _unknown(network: Network, *, found: str) -> InvalidInput:
    names = sorted(_names(network), key=lambda name: name.count("."))
    listed = ", ".join(names[:40]) + (f", ... ({len(names)} in all)" if len(names) > 40 else "")
    return InvalidInput(
        Problem(
            code="E505",
            found=found,
            expected=f"modules to insert dropout after; there are {listed or 'none'}",
            fix="name some of them, e.g. --insert-at 'encoder.stages.*' --insert-at 'decoder.stages.*'",
        )
    )


def _dynunet(network: Any) -> list[Block]:
    inner, up = len(network.downsamples), len(network.upsamples)
    return [
        Block("input_block", 0),
        *(Block(f"downsamples.{n}", n + 1) for n in range(inner)),
        Block("bottleneck", inner + 1),
        *(Block(f"upsamples.{n}", up - 1 - n) for n in range(up)),
    ]


def _segresnet(network: Any) -> list[Block]:
    """Residual branches; each level holds the level's change of resolution first, then blocks."""
    up = len(network.up_layers)
    level_of: dict[str, Callable[[int], int]] = {"down_layers": lambda n: n, "up_layers": lambda n: up - 1 - n}
    found = []
    for name, _ in network.named_modules():
        match = re.fullmatch(r"(down_layers|up_layers)\.(\d+)\.\d+\.conv2", name)
        if match:
            found.append(Block(name, level_of[match[1]](int(match[2]))))
    return found


def _attention_unet(network: Any) -> list[Block]:
    """MONAI's: `model.0`, then nested `model.1`; a level's encoder is `submodule.0`, its decoder `merge`."""
    return _nested(network, down=r"model\.0|.*submodule\.0|.*\.merge", up="")


def _unet(network: Any) -> list[Block]:
    """MONAI's: `model.0`, then nested `model.1`; `submodule.2` goes up to the level above; `model.2` is the output."""
    return _nested(network, down=r"model\.0|.*submodule\.0", up=r".*submodule\.2")


def _nested(network: Any, *, down: str, up: str) -> list[Block]:
    """Blocks of networks that hold each level inside the one above it, one `submodule` a level."""
    names = [name for name, _ in network.named_modules() if name]
    deepest = max(name.count("submodule") for name in names)
    found = []
    for name in names:
        level = name.count("submodule")
        if name.endswith(".submodule") if level == deepest else re.fullmatch(down, name):
            found.append(Block(name, level))
        elif level < deepest and re.fullmatch(up, name):
            found.append(Block(name, level - 1))
    return found


def _nnunet(network: Any) -> list[Block]:
    down, up = len(network.encoder.stages), len(network.decoder.stages)
    return [
        *(Block(f"encoder.stages.{n}", n) for n in range(down)),
        *(Block(f"decoder.stages.{n}", up - 1 - n) for n in range(up)),
    ]


KNOWN: Mapping[str, Callable[[Any], list[Block]]] = {
    "DynUNet": _dynunet,
    "SegResNet": _segresnet,
    "AttentionUnet": _attention_unet,
    "UNet": _unet,
    "PlainConvUNet": _nnunet,
    "ResidualEncoderUNet": _nnunet,
}
"""Blocks of each known network, by the name of its class."""
