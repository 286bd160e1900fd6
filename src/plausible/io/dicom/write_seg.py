"""DICOM SEG out: masks as BINARY, probabilities as FRACTIONAL (8 bits, RLE), exclusive labels as LABELMAP on request.

Frames refer to the slices of the source series; empty ones are left out, so place them by their positions. RLE is the
one compression of fractional frames that other readers take (dcmqi refuses JPEG 2000 and JPEG-LS); it makes files about
25 times smaller.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

import plausible
from plausible.core import InvalidInput, Problem
from plausible.io.dicom.highdicom_parts import compressed, highdicom, identification
from plausible.io.dicom.modules import LONG, discreet, plain, save, series_description
from plausible.io.dicom.source import SourceSeries

SegKind = Literal["binary", "fractional", "labelmap"]
LEVELS = 255
"""Largest stored value of a fraction; smaller than half a step is 0."""
SERIES_NUMBER = {"binary": 9002, "fractional": 9003, "labelmap": 9004}


@discreet()
def write_seg(
    path: Path,
    segments: Mapping[str, Bool[np.ndarray, "i j k"] | Float[np.ndarray, "i j k"]],
    source: SourceSeries,
    *,
    kind: SegKind,
    description: str = "segmentation",
) -> None:
    """Write structures as one SEG of the source's patient, study and frame of reference.

    Args:
        path: file to write; replaced if it is there.
        segments: mask of each structure, or its probability for `kind="fractional"`, on the grid of the source.
        source: series that the frames refer to.
        kind: "binary" (structures may overlap), "fractional" (probabilities), or "labelmap" (they must not overlap).
        description: what the series is called, after the research banner.

    Raises:
        InvalidInput: E622, every structure is empty, or structures of a label map overlap; E623, slices that cannot be
            referred to.
        UnfitEnvironment: E901 without the extra `dicom`; E903, the file cannot be written.
    """
    hd = highdicom()
    present = np.any([_present(one).any(axis=(0, 1)) for one in segments.values()], axis=0) if segments else np.empty(0)
    if not present.any():
        raise _refused("no voxel in any structure", "at least one structure that is not empty")
    part, slices = _occupied(source, present)
    values = [np.asarray(one[..., slices]) for one in segments.values()]
    made = hd.seg.Segmentation(
        source_images=part.headers,
        pixel_array=part.framed(_labels(values) if kind == "labelmap" else _stacked(values, kind)),
        segmentation_type=kind.upper(),
        segment_descriptions=[_segment(n, name) for n, name in enumerate(segments, start=1)],
        max_fractional_value=LEVELS,
        content_label="SEGMENTATION",
        content_description=plain(description, LONG),
        series_description=series_description(description),
        **identification(number=SERIES_NUMBER[kind]),
    )
    save(made if kind == "binary" else compressed(made), path)


def _present(values: np.ndarray) -> np.ndarray:
    return values if values.dtype == bool else values >= 0.5 / LEVELS


def _occupied(source: SourceSeries, present: np.ndarray) -> tuple[SourceSeries, np.ndarray]:
    """The slices that hold something: memory is for these. Frames of an enhanced file stay together."""
    if source.planes[0].frame is not None:
        return source, np.arange(len(source.planes))
    found = np.flatnonzero(present)
    return replace(source, planes=tuple(source.planes[k] for k in found)), found


def _stacked(values: list[np.ndarray], kind: SegKind) -> np.ndarray:
    stored = np.uint8 if kind == "binary" else np.float32
    stacked = np.stack(values, axis=-1).astype(stored)
    return stacked if kind == "binary" else np.clip(stacked, 0, 1)


def _labels(values: list[np.ndarray]) -> np.ndarray:
    masks = np.stack(values)
    if masks.sum(axis=0).max() > 1:
        raise _refused("structures that overlap", "structures without a common voxel in a label map")
    numbers = np.arange(1, len(values) + 1, dtype=np.uint8 if len(values) < 256 else np.uint16)
    return (masks * numbers[:, None, None, None]).max(axis=0).astype(numbers.dtype)


def _segment(number: int, name: str) -> Any:
    """Description of a structure. Its name does not tell what it is in the anatomy, so the code is the general one."""
    from pydicom.sr.codedict import codes

    hd = highdicom()
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=plain(name, LONG),
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.AnatomicalStructure,
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="plausible", version=plausible.__version__, family=codes.DCM.ArtificialIntelligence
        ),
    )


def _refused(found: str, expected: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E622",
            found=found,
            expected=expected,
            fix="leave this output out, or choose seg (BINARY), whose structures may overlap",
        )
    )
