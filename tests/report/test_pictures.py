import base64
import io
import math

import numpy as np
import pytest
from PIL import Image as Pillow

from plausible.core import Geometry, Image, ScalarMap
from plausible.report.pictures import (
    COLOURS,
    Window,
    coloured,
    grey_picture,
    overlay_picture,
    overlays_of,
    windows_of,
)

SHAPE = (5, 7, 11)
GRID = Geometry(SHAPE, np.diag([0.7, 1.1, 3.0, 1.0]))


def decoded(uri: str) -> np.ndarray:
    head, data = uri.split(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Pillow.open(io.BytesIO(base64.b64decode(data))))


def scalar(values: np.ndarray, high: float) -> ScalarMap:
    return ScalarMap("predictive_entropy", values.astype(np.float32), GRID, "nat", (0.0, high), "H")


def test_a_channel_named_ct_gets_its_windows_others_their_percentiles() -> None:
    values = np.stack([np.linspace(-1000, 1000, 385).reshape(SHAPE), np.arange(385.0).reshape(SHAPE)]).astype(
        np.float32
    )
    found = windows_of(Image(values, GRID, ("CT", "T1")))
    assert [w.label for w in found[:3]] == ["CT soft tissue", "CT bone", "CT lung"]
    assert (found[0].low, found[0].high) == (40 - 400 / 2, 40 + 400 / 2)
    assert (found[3].low, found[3].high) == pytest.approx((0.01 * 384, 0.99 * 384))
    assert windows_of(None) == ()


def test_the_ends_of_the_window_are_black_and_white() -> None:
    plane = np.repeat([[-160.0, 40.0, 240.0]], 3, axis=0).repeat(20, axis=0).repeat(20, axis=1)
    picture = decoded(grey_picture(plane, Window("CT", 0, -160.0, 240.0), quality=90, max_side=1024))[..., 0]
    width = picture.shape[1]
    assert picture[:, : width // 6].mean() < 6
    assert picture[:, width // 2].mean() == pytest.approx(127.5, abs=6)
    assert picture[:, -width // 6 :].mean() > 249


def test_small_slices_are_enlarged_and_large_ones_reduced() -> None:
    window = Window("MR", 0, 0.0, 1.0)
    assert decoded(grey_picture(np.zeros((35, 50)), window, quality=60, max_side=1024)).shape[:2] == (210, 300)
    assert decoded(grey_picture(np.zeros((512, 256)), window, quality=60, max_side=256)).shape[:2] == (256, 128)


def test_a_constant_image_is_drawn() -> None:
    assert decoded(grey_picture(np.full((5, 7), 3.0), Window("MR", 0, 3.0, 3.0), quality=60, max_side=99)).max() < 3


def test_the_scale_is_fixed_by_the_valid_range() -> None:
    (overlay,) = overlays_of((scalar(np.full((1, *SHAPE), 0.3), math.log(3)),))
    assert (overlay.low, overlay.high, overlay.bounded) == (0.0, math.log(3), True)


def test_an_unbounded_map_ends_at_its_own_maximum_and_says_so() -> None:
    (overlay,) = overlays_of((scalar(np.linspace(0, 7, 385).reshape(1, *SHAPE), math.inf),))
    assert overlay.high == pytest.approx(7)
    assert not overlay.bounded


def test_a_map_that_is_undefined_everywhere_is_left_out() -> None:
    assert overlays_of((scalar(np.full((1, *SHAPE), np.nan), 1.0),)) == ()


def test_zero_is_transparent_and_the_top_is_the_last_colour() -> None:
    rgba = coloured(np.array([[0.0, 1.0]], dtype=np.float32))
    assert rgba[0, 0, 3] == 0
    assert (rgba[0, 1, :3] == COLOURS[-1]).all()
    (overlay,) = overlays_of((scalar(np.zeros((1, *SHAPE)), 1.0),))
    assert overlay_picture(np.zeros((5, 7), np.float32), overlay, quality=50, max_side=99) == ""


def test_colours_rise_evenly_in_lightness() -> None:
    linear = (COLOURS / 255) ** 2.2 @ (0.2126, 0.7152, 0.0722)
    lightness = 116 * np.cbrt(linear) - 16
    assert (np.diff(lightness) > 5).all()
