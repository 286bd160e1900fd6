"""Slices as WebP pictures inside the page: the grey image, and a quantity in colours of a fixed scale."""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num, UInt8
from PIL import Image as Pillow

from plausible.core import Image, ScalarMap

SMALL_SIDE = 320
"""Smaller slices are enlarged to about this many pixels, by interpolation, so that compression does not blur voxels."""

COLOURS: UInt8[np.ndarray, "n 3"] = np.array(
    [
        (59, 15, 112),
        (101, 26, 128),
        (140, 41, 129),
        (183, 55, 121),
        (222, 73, 104),
        (247, 112, 92),
        (254, 159, 109),
        (254, 207, 146),
        (252, 253, 191),
    ],
    dtype=np.uint8,
)
"""Dark violet to pale yellow, evenly spaced in lightness: read alike with and without colour vision."""

OPAQUE = 0.62


@dataclass(frozen=True, slots=True)
class Window:
    """The range of intensities that is shown from black to white, in one channel of the image."""

    label: str
    channel: int
    low: float
    high: float


CT_WINDOWS = (("soft tissue", -160.0, 240.0), ("bone", -500.0, 1300.0), ("lung", -1350.0, 150.0))


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """One frame of a map, with the ends of its fixed colour scale."""

    label: str
    quantity: str
    unit: str
    definition: str
    values: Float[np.ndarray, "i j k"]
    low: float
    high: float
    bounded: bool = True


def windows_of(image: Image | None) -> tuple[Window, ...]:
    """Three CT windows for a channel named CT; for any other channel its 1st to 99th percentile."""
    found: list[Window] = []
    for channel, name in enumerate(image.channels if image else ()):
        if name.strip().upper() == "CT":
            found += [Window(f"CT {label}", channel, low, high) for label, low, high in CT_WINDOWS]
        else:
            assert image is not None
            low, high = np.nanpercentile(image.values[channel], (1, 99))
            found.append(Window(f"{name}, 1st to 99th percentile", channel, float(low), float(high)))
    return tuple(found)


def overlays_of(maps: tuple[ScalarMap, ...]) -> tuple[Overlay, ...]:
    """One overlay per frame of each map that is defined anywhere; an unbounded scale ends at the case's own maximum."""
    return tuple(
        _overlay(one, frame, values)
        for one in maps
        for frame, values in zip(one.frames, one.values, strict=True)
        if np.isfinite(values).any()
    )


def _overlay(one: ScalarMap, frame: str, values: np.ndarray) -> Overlay:
    low, high = one.valid_range
    bounded = math.isfinite(high)
    top = high if bounded else float(np.nanmax(values[np.isfinite(values)]))
    name = one.name.replace("_", " ")
    label = f"{name}, {frame}" if frame else name
    return Overlay(label, one.name, one.unit, one.definition, values, low, max(top, low + 1e-6), bounded)


def grey_picture(plane: Num[np.ndarray, "rows columns"], window: Window, *, quality: int, max_side: int) -> str:
    """Data URI of a slice between the ends of a window."""
    spread = max(window.high - window.low, 1e-12)
    grey = np.clip((np.nan_to_num(plane.astype(np.float32)) - window.low) / spread, 0, 1) * 255
    picture = Pillow.fromarray(np.rint(grey).astype(np.uint8))
    return _webp(picture.resize(_size(plane.shape, max_side), Pillow.Resampling.BICUBIC), quality)


def overlay_picture(plane: Float[np.ndarray, "rows columns"], overlay: Overlay, *, quality: int, max_side: int) -> str:
    """Data URI of a slice of a map, transparent where it is 0; empty if it is 0 everywhere."""
    share = np.clip((np.nan_to_num(plane.astype(np.float32)) - overlay.low) / (overlay.high - overlay.low), 0, 1)
    if share.max() < 1 / 255:
        return ""
    picture = Pillow.fromarray(share).resize(_size(plane.shape, max_side), Pillow.Resampling.BILINEAR)
    return _webp(Pillow.fromarray(coloured(np.asarray(picture))), quality)


def coloured(share: Float[np.ndarray, "rows columns"]) -> UInt8[np.ndarray, "rows columns 4"]:
    """Colour and opacity of a share of the scale; from a third of the scale on the image just shines through."""
    stops = np.linspace(0, 1, len(COLOURS))
    rgba = np.empty((*share.shape, 4), dtype=np.uint8)
    for c in range(3):
        rgba[..., c] = np.interp(share, stops, COLOURS[:, c])
    rgba[..., 3] = np.sqrt(np.clip(share * 3, 0, 1)) * (OPAQUE * 255)
    return rgba


def _size(shape: tuple[int, ...], max_side: int) -> tuple[int, int]:
    longest = max(shape)
    factor = min(max(1, round(SMALL_SIDE / longest)), max_side / longest)
    return max(1, round(shape[1] * factor)), max(1, round(shape[0] * factor))


def _webp(picture: Pillow.Image, quality: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, alpha_quality=95, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
