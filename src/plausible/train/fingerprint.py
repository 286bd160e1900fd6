"""What a dataset is like: spacings, shapes and intensities, from which the plan and the normalisation follow.

The rules are nnU-Net's (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z): a channel named "CT" is clipped to the
0.5 and 99.5 percentile of the structures' voxels and scaled with their mean and sd, all others get a z-score per image.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from plausible.core import Image
from plausible.train.grid import ChannelFingerprint, Scheme, Triple
from plausible.train.preprocess import orientation_of

VOXELS_PER_CASE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Spacing (mm) and shape along left-right, back-front and foot-head, and the intensities of each channel."""

    n_cases: int
    median_spacing_mm: Triple
    fine_spacing_mm: Triple
    median_size_mm: Triple
    channels: tuple[ChannelFingerprint, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CaseFingerprint:
    """What is kept of one case: grid, a sample of the structures' intensities, and the share of zeros per channel."""

    spacing_mm: Triple
    size_mm: Triple
    foreground: Float[np.ndarray, "c n"]
    zero_share: tuple[float, ...]


def case_fingerprint(image: Image, labels: np.ndarray) -> CaseFingerprint:
    """Measure one case; at most 10 000 evenly spaced foreground voxels are kept."""
    axes, _ = orientation_of(image.geometry)
    spacing = np.asarray(image.geometry.spacing_mm)[list(axes)]
    size = spacing * np.asarray(image.geometry.shape)[list(axes)]
    inside = image.values[:, labels > 0].astype(np.float64)
    step = max(1, inside.shape[1] // VOXELS_PER_CASE)
    zeros = tuple(float((channel == 0).mean()) for channel in image.values)
    return CaseFingerprint(_triple(spacing), _triple(size), inside[:, ::step], zeros)


def fingerprint(cases: Iterable[CaseFingerprint], *, channels: tuple[str, ...]) -> Fingerprint:
    """Pool the cases of a dataset.

    Raises:
        ValueError: there are no cases, or no case has a foreground voxel.
    """
    measured = list(cases)
    if not measured or not sum(case.foreground.shape[1] for case in measured):
        raise ValueError("a fingerprint needs at least one case with a foreground voxel")
    spacings = np.array([case.spacing_mm for case in measured])
    foreground = np.concatenate([case.foreground for case in measured], axis=1)
    zeros = np.median([case.zero_share for case in measured], axis=0)
    return Fingerprint(
        n_cases=len(measured),
        median_spacing_mm=_triple(np.median(spacings, axis=0)),
        fine_spacing_mm=_triple(np.percentile(spacings, 10, axis=0)),
        median_size_mm=_triple(np.median([case.size_mm for case in measured], axis=0)),
        channels=tuple(
            _channel(name, values, float(zero)) for name, values, zero in zip(channels, foreground, zeros, strict=True)
        ),
    )


def scheme_of(channel: str) -> Scheme:
    """Normalisation that a channel's name asks for, with nnU-Net's words: "CT", "noNorm", anything else."""
    known: dict[str, Scheme] = {"ct": "ct", "nonorm": "none"}
    return known.get(channel.casefold(), "z-score")


def _channel(name: str, values: np.ndarray, zero_share: float) -> ChannelFingerprint:
    low, high = np.percentile(values, (0.5, 99.5))
    return ChannelFingerprint(
        name=name,
        scheme=scheme_of(name),
        mean=float(values.mean()),
        sd=float(values.std()),
        percentile_00_5=float(low),
        percentile_99_5=float(high),
        zero_share=zero_share,
    )


def _triple(values: np.ndarray) -> Triple:
    i, j, k = (float(v) for v in values)
    return i, j, k
