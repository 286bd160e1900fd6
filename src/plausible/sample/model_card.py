"""`plausible_model.toml`: what an exported model cannot say of itself, told beside its files.

A TorchScript, torch.export or ONNX file is a function of numbers. What its channels mean, at which spacing and on which
axes it works, how intensities are normalised, and whether it ends in logits or probabilities, is told here and never
guessed.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from plausible.core import Classes, InvalidInput, MemberInfo, Problem, sha256_of
from plausible.io.atomic import replacing
from plausible.train.grid import ChannelFingerprint, Scheme, Triple

CARD = "plausible_model.toml"
Format: TypeAlias = Literal["torchscript", "torch_export", "onnx"]
Output: TypeAlias = Literal["logits", "probabilities"]
FORWARDS, BACKWARDS = "RAS", "LPI"
LOCATION = re.compile(rb"\x0a\x08location\x12([\x80-\xff]*[\x00-\x7f])")
"""How an ONNX file (protobuf) starts to tell where the weights of a tensor lie: an entry of key `location`."""
PROVENANCE = ("seed", "fold", "rater", "architecture", "method")


@dataclass(frozen=True, slots=True)
class CardMember:
    """One file, one member.

    Attributes:
        sha256: of the file; checked where it is told.
        provenance: what of seed, fold, rater, architecture, method is known.
    """

    file: str
    sha256: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def info(self, number: int, *, checkpoint: str) -> MemberInfo:
        """The member as the rest of the library knows it."""
        kinds = [kind for kind in ("rater", "fold", "seed") if self.provenance.get(kind) not in (None, "")]
        return MemberInfo(
            id=f"member_{number}",
            kind=kinds[0] if kinds else "unknown",
            checkpoint=checkpoint,
            source=self.file,
            **self.provenance,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is told about an exported model; a `Grid` in the model's own axes.

    Attributes:
        format: kind of the files.
        output: what the files return.
        axes: where the spatial axes of the input go, by letters: "RAS" is to the right, front (anterior), head
            (superior); an input `z y x` of a file in LPS orientation is "SPL".
        spacing_mm, patch: spacing of the input and size of a window, in the order of `axes`.
        stochastic: whether dropout is active in the files, so that members are drawn from each.
        output_name: the output that is meant, where an ONNX file has several.
    """

    format: Format
    output: Output
    classes: Classes
    channels: tuple[ChannelFingerprint, ...]
    axes: str
    spacing_mm: Triple
    patch: tuple[int, int, int]
    members: tuple[CardMember, ...]
    ensemble: str = ""
    stochastic: bool = False
    output_name: str = ""

    def __post_init__(self) -> None:
        if sorted(_axis(letter) for letter in self.axes) != [0, 1, 2]:
            raise ValueError(f'axes must be three letters such as "RAS" or "SPL", got {self.axes!r}')
        if min(self.patch) < 1 or min(self.spacing_mm) <= 0:
            raise ValueError(f"patch and spacing_mm must be above 0, got {self.patch} and {self.spacing_mm}")
        if not self.members or not self.channels:
            raise ValueError("at least one [[members]] with a file and one [[channels]] are needed")

    @property
    def order(self) -> tuple[int, int, int]:
        """Which of left-right, back-front and foot-head each spatial axis of the input is."""
        i, j, k = (_axis(letter) for letter in self.axes)
        return i, j, k

    @property
    def backwards(self) -> tuple[int, ...]:
        """Places of the spatial axes of the input that run to the left, back or feet."""
        return tuple(place for place, letter in enumerate(self.axes) if letter in BACKWARDS)


def read_card(folder: Path) -> ModelCard:
    """Read the card of a folder.

    Raises:
        InvalidInput: E502, it cannot be read, or something is missing, unknown or impossible.
    """
    try:
        content = tomllib.loads((folder / CARD).read_text(encoding="utf-8"))
        return _card(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise unusable_card(folder, told.replace(str(folder), folder.name)) from error


def unusable_card(folder: Path, found: str) -> InvalidInput:
    """Return the error of a folder whose card and files do not make a model."""
    return InvalidInput(
        Problem(
            code="E502",
            file=f"{folder.name}/{CARD}",
            found=found[:300],
            expected="format, output, exclusive, axes, spacing_mm, patch, [classes], [[channels]], [[members]]",
            fix="correct the card; docs/methods/other_models.md shows one",
        )
    )


def write_card(folder: Path, card: ModelCard) -> Path:
    """Write the card of a folder."""
    labels = {
        name: values[0] if card.classes.exclusive else list(values)
        for name, values in zip(card.classes.names, card.classes.labels, strict=True)
    }
    top: dict[str, Any] = {name: getattr(card, name) for name in ("format", "output", "axes", "spacing_mm", "patch")}
    top |= {"exclusive": card.classes.exclusive, "ensemble": card.ensemble, "stochastic": card.stochastic}
    top |= {"regions_class_order": card.classes.order} if card.classes.order else {}
    top |= {"output_name": card.output_name} if card.output_name else {}
    channels = [{f.name: getattr(channel, f.name) for f in fields(channel)} for channel in card.channels]
    members = [{"file": one.file, "sha256": one.sha256, **one.provenance} for one in card.members]
    text = _lines(top) + "\n[classes]\n" + _lines(labels)
    text += "".join(f"\n[[channels]]\n{_lines(channel)}" for channel in channels)
    text += "".join(f"\n[[members]]\n{_lines(member)}" for member in members)
    with replacing(folder / CARD) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / CARD


def file_hash(path: Path) -> str:
    """SHA-256 of a model's file and, after it, of every file in which ONNX keeps weights outside of it.

    Raises:
        InvalidInput: E502, weights outside of the model's folder.
    """
    content = path.read_bytes()
    beside = [path.parent / name for name in sorted({_told(content, at) for at in LOCATION.finditer(content)})]
    outside = [file.name for file in beside if not file.resolve().is_relative_to(path.parent.resolve())]
    if outside:
        raise unusable_card(path.parent, f"{path.name} keeps weights outside of its folder: {', '.join(outside)}")
    return sha256_of(content + b"".join(file.read_bytes() for file in beside if file.is_file()))


def _told(content: bytes, at: "re.Match[bytes]") -> str:
    """Text of the entry: its length, seven bits in each byte, stands before it."""
    length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(at[1]))
    return content[at.end() : at.end() + length].decode("utf-8", errors="replace")


def _card(content: dict[str, Any]) -> ModelCard:
    labels, exclusive = content.pop("classes"), content.pop("exclusive")
    order = content.pop("regions_class_order", ())
    classes = Classes.exclusive_of(labels) if exclusive else Classes.overlapping_of(labels, order=order)
    channels = tuple(_channel(told) for told in content.pop("channels"))
    members = tuple(_member(told) for told in content.pop("members"))
    for name, known in (("format", Format), ("output", Output)):
        if content[name] not in get_args(known):
            raise ValueError(f"{name} must be one of {', '.join(get_args(known))}, got {content[name]!r}")
    for name, number in (("spacing_mm", float), ("patch", int)):
        content[name] = tuple(number(step) for step in content[name])
        if len(content[name]) != 3:
            raise ValueError(f"{name} has three numbers, got {len(content[name])}")
    told: dict[str, Any] = content
    return ModelCard(classes=classes, channels=channels, members=members, **told)


def _channel(told: Mapping[str, Any]) -> ChannelFingerprint:
    """Name and scheme; "ct" needs its four numbers, and a z-score looks at the share of zeros in training."""
    if told["scheme"] not in get_args(Scheme):
        raise ValueError(f"scheme of a channel must be one of {', '.join(get_args(Scheme))}, got {told['scheme']!r}")
    numbers = ("mean", "sd", "percentile_00_5", "percentile_99_5")
    unneeded = {} if told["scheme"] == "ct" else dict.fromkeys(numbers, 0.0)
    given: dict[str, Any] = {"zero_share": 0.0, **unneeded, **told}
    unknown = set(given) - {f.name for f in fields(ChannelFingerprint)}
    if unknown:
        raise ValueError(f"unknown in [[channels]]: {', '.join(sorted(unknown))}")
    plain: dict[str, Any] = {n: v if n in ("name", "scheme") else float(v) for n, v in given.items()}
    return ChannelFingerprint(**plain)


def _member(told: Mapping[str, Any]) -> CardMember:
    unknown = set(told) - {"file", "sha256", *PROVENANCE}
    if unknown:
        raise ValueError(f"unknown in [[members]]: {', '.join(sorted(unknown))}")
    provenance = {name: told[name] for name in PROVENANCE if name in told}
    return CardMember(told["file"], told.get("sha256", ""), provenance)


def _axis(letter: str) -> int:
    """Which of left-right, back-front, foot-head a letter means; -1 for none."""
    return max(FORWARDS.find(letter), BACKWARDS.find(letter))


def _lines(table: Mapping[str, Any]) -> str:
    """Keys and flat values; JSON's strings, numbers, booleans and lists are TOML's too."""
    keys = {name: name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name) for name in table}
    return "".join(f"{keys[name]} = {json.dumps(value)}\n" for name, value in table.items())
