"""The grid that a network works on: spacing, and how each channel is normalised there."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

Scheme = Literal["ct", "z-score", "none"]
Triple: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFingerprint:
    """Intensities of one channel: over the structures' voxels of all cases, in the image's own units.

    Attributes:
        scheme: how the channel is normalised, told by its name.
        zero_share: median over cases of the share of voxels that are exactly 0 (skull-stripped or masked images).
    """

    name: str
    scheme: Scheme
    mean: float
    sd: float
    percentile_00_5: float
    percentile_99_5: float
    zero_share: float


@runtime_checkable
class Grid(Protocol):
    """Where a network works; a `Plan` is one."""

    @property
    def spacing_mm(self) -> Triple:
        """Spacing left-right, back-front, foot-head."""
        ...

    @property
    def channels(self) -> tuple[ChannelFingerprint, ...]:
        """How each channel is normalised."""
        ...
