"""What the channels of a segmentation mean: exclusive classes or overlapping regions. Told, never guessed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer

from plausible.core.problems import InvalidInput, Problem


@dataclass(frozen=True, slots=True)
class Classes:
    """Names of the channels, and how they map to a label map.

    Exclusive classes: a voxel belongs to exactly one channel; channel 0 is the background, probabilities sum to one.
    Overlapping regions: each channel is a structure of its own (a sigmoid); there is no background channel.

    Attributes:
        names: one name per channel, in the order of the channels.
        exclusive: whether channels exclude each other.
        labels: per channel, the values of a label map that belong to it.
        order: overlapping only: the label value written for each channel when a label map is made; later channels
            overwrite earlier ones (nnU-Net's `regions_class_order`). Empty if a label map cannot be made.
    """

    names: tuple[str, ...]
    exclusive: bool
    labels: tuple[tuple[int, ...], ...]
    order: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.names) != len(self.labels) or len(set(self.names)) != len(self.names) or not self.names:
            raise ValueError(
                f"each channel needs one name of its own and its label values: {self.names}, {self.labels}"
            )
        if self.order and len(self.order) != len(self.names):
            raise ValueError(f"regions_class_order has {len(self.order)} entries for {len(self.names)} regions")

    @classmethod
    def exclusive_of(cls, labels: Mapping[str, int]) -> "Classes":
        """Softmax classes from a table of name to label value; the class of value 0 is the background."""
        ordered = sorted(labels.items(), key=lambda item: item[1])
        if not ordered or ordered[0][1] != 0:
            raise ValueError(f"exclusive classes need a background of value 0; got {dict(labels)}")
        return cls(tuple(n for n, _ in ordered), True, tuple((v,) for _, v in ordered))

    @classmethod
    def overlapping_of(cls, regions: Mapping[str, Sequence[int]], *, order: Sequence[int] = ()) -> "Classes":
        """Overlapping regions from a table of name to the label values each one holds, in channel order."""
        labels = tuple(tuple(int(v) for v in values) for values in regions.values())
        return cls(tuple(regions), False, labels, tuple(order))

    @property
    def structures(self) -> tuple[str, ...]:
        """Names without the background: the organs, targets or regions somebody cares for."""
        return self.names[1:] if self.exclusive else self.names

    def channel(self, structure: str) -> int:
        """Channel of a name."""
        return self.names.index(structure)

    def label_values(self) -> frozenset[int]:
        """Every value that a label map of these classes may hold, the background's 0 included."""
        return frozenset({0}) | {value for values in self.labels for value in values}

    def masks(self, probabilities: Float[np.ndarray, "c i j k"]) -> Bool[np.ndarray, "s i j k"]:
        """Masks of the structures (no background): the most probable class, or p > 0.5 for overlapping regions.

        Equal probabilities go to the class that comes first, as numpy's and nnU-Net's argmax does.
        """
        if not self.exclusive:
            return probabilities > 0.5
        highest = probabilities.max(axis=0)
        taken, masks = probabilities[0] == highest, []
        for channel in probabilities[1:]:
            masks.append((channel == highest) & ~taken)
            taken |= masks[-1]
        return np.stack(masks)

    def decode(self, probabilities: Float[np.ndarray, "c i j k"]) -> Integer[np.ndarray, "i j k"]:
        """Label map of probabilities: the most probable class, or p > 0.5 written in `order` for regions.

        Raises:
            InvalidInput: E304, overlapping regions without an order.
        """
        values = np.zeros(probabilities.shape[1:], dtype=self.label_dtype)
        if self.exclusive:
            return np.array([v[0] for v in self.labels], dtype=self.label_dtype)[probabilities.argmax(axis=0)]
        for channel, value in enumerate(self.label_order()):
            values[probabilities[channel] > 0.5] = value
        return values

    def encode(self, values: Integer[np.ndarray, "i j k"]) -> Float[np.ndarray, "c i j k"]:
        """Hard probabilities (0 or 1, float32) of a label map."""
        return np.stack([np.isin(values, labels) for labels in self.labels]).astype(np.float32)

    @property
    def label_dtype(self) -> type[np.unsignedinteger]:
        """Smallest unsigned integer type that holds every label value."""
        return np.uint8 if max((*self.label_values(), *self.order)) < 256 else np.uint16

    def label_order(self) -> tuple[int, ...]:
        """Label value written for each overlapping region, later ones on top.

        Raises:
            InvalidInput: E304, overlapping regions without an order.
        """
        if self.order:
            return self.order
        raise InvalidInput(
            Problem(
                code="E304",
                found=f"overlapping regions {', '.join(self.names)} without regions_class_order",
                expected="for every region the label that is written where it is present, later ones on top",
                fix='add "regions_class_order": [...] to dataset.json',
            )
        )
