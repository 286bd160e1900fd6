"""Parametric maps out: a quantity at every voxel, as 16-bit steps over its valid range (RLE), or as float32.

Experimental: few viewers read parametric maps (OHIF from 3.9), and dcmqi 1.5.7 does not read those of highdicom.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from plausible.core import ScalarMap
from plausible.io.dicom.highdicom_parts import compressed, concept, highdicom, identification
from plausible.io.dicom.modules import LONG, SHORT, discreet, plain, save, series_description
from plausible.io.dicom.source import SourceSeries

STEPS = 65535
SERIES_NUMBER = 9010


@discreet()
def write_parametric_map(path: Path, scalar_map: ScalarMap, source: SourceSeries, *, frame: str = "") -> None:
    """Write one frame of a map: one structure's probability, or a quantity of all.

    Args:
        path: file to write; replaced if it is there.
        scalar_map: on the grid of the source.
        source: series that the frames refer to.
        frame: which of the map's frames; needed where there are several.

    Raises:
        InvalidInput: E623, slices that cannot be referred to.
        UnfitEnvironment: E901 without the extra `dicom`; E903, the file cannot be written.
    """
    hd = highdicom()
    low, high = scalar_map.valid_range
    values = scalar_map.frame(frame)
    bounded = math.isfinite(low) and math.isfinite(high) and high > low and bool(np.isfinite(values).all())
    name = f"{scalar_map.name} {frame}".strip()
    top = high if math.isfinite(high) else float(np.nanmax(values, initial=low + 1))
    made = hd.pm.ParametricMap(
        source_images=source.headers,
        pixel_array=source.framed(_steps(values, low, high) if bounded else values),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(scalar_map, bounded=bounded)],
        voi_lut_transformations=[_window(low, top, bounded=bounded)],
        content_label="UNCERTAINTY",
        content_description=plain(f"{name} in {scalar_map.unit}: {scalar_map.definition}", LONG),
        series_description=series_description(f"{name} (experimental)"),
        **identification(number=SERIES_NUMBER),
    )
    made.Laterality = ""  # unknown: the map is of all that is in the picture
    save(compressed(made) if bounded else made, path)


def _steps(values: Float32[np.ndarray, "i j k"], low: float, high: float) -> np.ndarray:
    return np.clip(np.rint((values - low) / (high - low) * STEPS), 0, STEPS).astype(np.uint16)


def _mapping(scalar_map: ScalarMap, *, bounded: bool) -> Any:
    from pydicom.sr.codedict import codes

    low, high = scalar_map.valid_range
    stored = (0, STEPS) if bounded else (-3.4e38, 3.4e38)
    return highdicom().pm.RealWorldValueMapping(
        lut_label=plain(scalar_map.name, SHORT),
        lut_explanation=plain(f"{scalar_map.name} in {scalar_map.unit}", LONG),
        unit=codes.UCUM.NoUnits if scalar_map.unit in {"1", "nat"} else _unit(scalar_map.unit),
        value_range=stored,
        slope=(high - low) / STEPS if bounded else 1.0,
        intercept=low if bounded else 0.0,
        quantity_definition=concept(scalar_map.name, scalar_map.name.replace("_", " ")),
    )


def _unit(unit: str) -> Any:
    return highdicom().sr.CodedConcept(unit, "UCUM", unit)


def _window(low: float, top: float, *, bounded: bool) -> Any:
    """Window of stored values: the whole range."""
    start, stop = (0.0, float(STEPS)) if bounded else (low if math.isfinite(low) else 0.0, top)
    return highdicom().content.VOILUTTransformation(
        window_center=(start + stop) / 2, window_width=max(stop - start, 1.0)
    )
