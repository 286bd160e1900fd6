"""Views: every change is undone, turns are where geometry says, an equivariant network does not vary over them."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from monai.transforms import AdjustContrast
from scipy.ndimage import gaussian_filter

from plausible.core import Classes, Geometry, Image, MemberInfo
from plausible.sample import Sampling, WindowedModel, load_model, predict_members
from plausible.sample.sampling import VIEW_KINDS
from plausible.sample.view_geometry import PLANES, flips, quarter_turns, rotations
from plausible.sample.view_intensity import shades
from plausible.sample.views import UNTOUCHED, View, views_of
from plausible.sample.windowed import FunctionSource
from plausible.train.grid import ChannelFingerprint
from tests.sample.test_predict import image

SPACING = (0.7, 1.1, 0.7)
SHAPE = (23, 17, 31)


def tta(*kinds: str, views: int, seed: int = 0) -> Sampling:
    return Sampling(sampler=("tta",), tta=kinds, views=views, sampling_seed=seed)


def noise(shape=SHAPE, channels=2) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(channels, *shape)).astype(np.float32)


def smooth(shape=SHAPE) -> np.ndarray:
    """Three classes that sum to one, with soft borders like a network's."""
    logits = [gaussian_filter(one, 2.5) * 40 for one in noise(shape, 3)]
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    return p.astype(np.float32)


@pytest.mark.parametrize("turn", flips() + quarter_turns(SPACING), ids=lambda turn: turn.name)
def test_mirrorings_and_quarter_turns_give_every_bit_back(turn):
    values = noise()
    seen, undo = View((turn,)).apply(values)
    assert not np.array_equal(seen, values)
    np.testing.assert_array_equal(undo(seen), values)


@pytest.mark.parametrize("shade", shades(4)[:10], ids=lambda shade: shade.name)
def test_intensities_change_and_nothing_is_to_be_undone(shade):
    values = noise()
    before = values.copy()
    seen, undo = View((shade,)).apply(values)
    np.testing.assert_array_equal(values, before)
    assert seen.dtype == np.float32
    assert np.abs(seen - values).max() > 0.05
    found = smooth()
    assert undo(found) is found


@pytest.mark.parametrize("turn", rotations(SPACING), ids=lambda turn: turn.name)
def test_a_point_turns_to_where_the_rotation_matrix_says(turn):
    """The centroid of a blob off the middle, in mm, on a grid of unequal shape and spacing."""
    _, axis, degrees = turn.name.split("_")
    first, second = PLANES[axis]
    where = (np.indices(SHAPE).T - (np.asarray(SHAPE) - 1) / 2) * SPACING
    blob = np.exp(-(((where - (1.5, -2.0, 3.0)) ** 2).sum(axis=-1)) / (2 * 1.5**2)).T
    seen = turn.apply(blob[None].astype(np.float32))[0].astype(np.float64)
    grid = (np.indices(seen.shape).T - (np.asarray(seen.shape) - 1) / 2) * SPACING
    found = (grid.T * seen).sum(axis=(1, 2, 3)) / seen.sum()
    before = (where.T * blob).sum(axis=(1, 2, 3)) / blob.sum()
    angle = np.deg2rad(float(degrees))
    expected = before.copy()
    expected[first] = np.cos(angle) * before[first] - np.sin(angle) * before[second]
    expected[second] = np.sin(angle) * before[first] + np.cos(angle) * before[second]
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert seen.sum() == pytest.approx(blob.sum(), rel=0.01)


@pytest.mark.parametrize("turn", rotations(SPACING), ids=lambda turn: turn.name)
def test_a_rotation_cuts_nothing_off_and_keeps_probabilities(turn):
    """Every voxel, corners too, comes back from inside the padded grid, changed by interpolation alone."""
    p = smooth()
    everywhere = turn.apply(np.ones((1, *SHAPE), dtype=np.float32))
    assert everywhere.sum() == pytest.approx(np.prod(SHAPE), rel=5e-3)
    np.testing.assert_allclose(turn.undo(np.ones_like(everywhere), SHAPE), 1, atol=1e-6)
    back = turn.undo(turn.apply(p), SHAPE)
    assert back.shape == p.shape
    inner = (slice(None), *(slice(3, -3),) * 3)
    assert np.abs(back - p)[inner].mean() < 0.01
    assert turn.undo(turn.apply(p).clip(0, 1), SHAPE).min() >= 0
    whole = np.random.default_rng(1).random(everywhere.shape).astype(np.float32)
    np.testing.assert_allclose(turn.undo(np.concatenate([whole, 1 - whole]), SHAPE).sum(axis=0), 1, atol=1e-6)


def test_no_rotation_and_no_quarter_turn_mixes_slices_that_are_far_apart():
    assert {turn.name.split("_")[1] for turn in rotations((1.0, 1.0, 5.0))} == {"z"}
    assert {turn.name.split("_")[1] for turn in rotations((1.0, 1.0, 3.0))} == {"x", "y", "z"}
    assert {turn.name for turn in quarter_turns((1.0, 1.0, 5.0))} == {"quarter_z_90", "quarter_z_270"}
    with pytest.raises(ValueError, match="at most 1 for quarter_turns at a spacing of 1×2×3 mm"):
        views_of(tta("quarter_turns", views=2), spacing_mm=(1.0, 2.0, 3.0))


def test_gamma_is_monais():
    values = noise(channels=2)
    (gamma,) = (shade for shade in shades(0) if shade.name == "gamma_1.25")
    for found, one in zip(gamma.apply(values), values, strict=True):
        expected = AdjustContrast(gamma=1.25, retain_stats=True)(one[None])[0]
        np.testing.assert_allclose(found, np.asarray(expected), atol=1e-3)
        assert (found.mean(), found.std()) == pytest.approx((one.mean(), one.std()), abs=1e-5)
    constant = np.full((1, 2, 3, 4), 7, dtype=np.float32)
    np.testing.assert_array_equal(gamma.apply(constant), constant)


def test_contrast_and_brightness_in_closed_form():
    values = np.array([0.0, 2.0, 4.0, 10.0], dtype=np.float32).reshape(1, 1, 2, 2)
    by_name = {shade.name: shade.apply(values).ravel().tolist() for shade in shades(0)}
    assert by_name["contrast_1.25"] == [4 - 1.25 * 4, 4 - 1.25 * 2, 4, 4 + 1.25 * 6]
    assert by_name["brightness_0.2"] == pytest.approx([0.2, 2.2, 4.2, 10.2])


def test_noise_is_named_by_its_seed_and_is_the_same_each_time():
    values, names = noise(), [shade.name for shade in shades(5)]
    again = [shade for shade in shades(5) if shade.name.startswith("noise")]
    assert len(set(names)) == len(names)
    fields = [shade.apply(values) - values for shade in again]
    np.testing.assert_array_equal(fields[0], again[0].apply(values) - values)
    assert np.std(fields[0]) == pytest.approx(0.1, rel=0.02)
    assert abs(np.corrcoef(fields[0].ravel(), fields[1].ravel())[0, 1]) < 0.03
    assert not set(names[3::4]) & {shade.name for shade in shades(6)}


def test_views_come_in_one_order_and_more_contain_the_fewer():
    flipped = [view.name for view in views_of(tta("flips", views=8), spacing_mm=SPACING)]
    assert flipped == ["", "flip_x", "flip_y", "flip_z", "flip_xy", "flip_xz", "flip_yz", "flip_xyz"]
    mixed = [view.name for view in views_of(tta("flips", "rotations", views=100), spacing_mm=SPACING)]
    assert mixed[:5] == ["", "flip_x", "rotate_z_6", "flip_y", "rotate_y_6"]
    assert mixed[1 + 7 + 24] == "flip_x+rotate_z_6"
    assert len(set(mixed)) == 100
    assert [v.name for v in views_of(tta("flips", "rotations", views=7), spacing_mm=SPACING)] == mixed[:7]
    everything = views_of(tta(*VIEW_KINDS, views=2000), spacing_mm=SPACING)
    assert max(len(view.changes) for view in everything) == 3
    with pytest.raises(ValueError, match="at most 8 for flips"):
        views_of(tta("flips", views=9), spacing_mm=SPACING)


def test_changes_that_are_combined_are_undone_backwards():
    turns = [flips()[1], quarter_turns(SPACING)[0], shades(0)[0], flips()[0]]
    values = noise()
    seen, undo = View(tuple(turns)).apply(values)
    assert seen.shape[1:] != values.shape[1:]
    flat = View(tuple(turns[:2] + turns[3:])).apply(values)[0]
    np.testing.assert_array_equal(undo(flat), values)


@dataclass
class Pointwise:
    """A network that looks at each voxel alone is equivariant to every turn; the seeds that were drawn are noted."""

    drawn: list = field(default_factory=list)

    def draw(self, seed, *, shape):
        self.drawn.append(seed)
        slope = 1.0 if seed is None else 1 + seed / 10
        return lambda windows, places: torch.cat([0 * windows, slope * windows], dim=1)


@dataclass(frozen=True)
class SomeGrid:
    spacing_mm: tuple = (1.0, 1.2, 1.4)
    channels: tuple = (
        ChannelFingerprint(
            name="MR", scheme="none", mean=0.0, sd=1.0, percentile_00_5=0.0, percentile_99_5=1.0, zero_share=0.0
        ),
    )


def pointwise(sampling: Sampling, *, seeds=(None,)) -> WindowedModel:
    classes, functions = Classes.exclusive_of({"background": 0, "ball": 1}), Pointwise()
    sources = tuple(
        FunctionSource(MemberInfo(id=f"seed_{n}"), functions, {}, (12, 16, 8), seed=seed)
        for n, seed in enumerate(seeds)
    )
    views = views_of(sampling, spacing_mm=SomeGrid().spacing_mm)
    return WindowedModel(classes=classes, channels=("MR",), ensemble="", grid=SomeGrid(), sources=sources, views=views)


def seen_by(model: WindowedModel) -> np.ndarray:
    shape = (25, 19, 17)
    values = gaussian_filter(np.random.default_rng(2).normal(size=shape), 3).astype(np.float32)[None] * 60
    values[:, :4], values[:, -4:], values[:, :, :4], values[:, :, -4:] = 0, 0, 0, 0
    values[..., :4], values[..., -4:] = 0, 0
    given = Image(values, Geometry(shape, np.diag([*SomeGrid().spacing_mm, 1.0])), ("MR",))
    return np.stack([member.probabilities for member in predict_members(model, given)])


def test_an_equivariant_network_has_no_variance_over_mirrorings():
    members = seen_by(pointwise(tta("flips", views=8)))
    assert np.ptp(members[0]) > 0.5
    assert members.std(axis=0).max() < 1e-6


def test_over_rotations_it_varies_by_interpolation_alone_and_over_intensities_really():
    turned = seen_by(pointwise(tta("rotations", views=8))).std(axis=0).mean()
    shaded = seen_by(pointwise(tta("intensity", views=8))).std(axis=0).mean()
    assert 0 < turned < 0.02
    assert shaded > 3 * turned


def test_a_drawn_function_is_the_same_in_all_its_views():
    model = pointwise(tta("flips", views=3), seeds=(4, 7))
    members = seen_by(model)
    assert model.sources[0].functions.drawn == [4, 4, 4, 7, 7, 7]
    assert np.ptp(members[:3], axis=0).max() < 1e-6
    assert np.abs(members[0] - members[3]).max() > 0.01
    assert [(i.id, i.kind, i.view) for i in model.infos[:2]] == [
        ("seed_0", "unknown", ""),
        ("seed_0.flip_x", "view", "flip_x"),
    ]
    assert len({str(model.identity(m)) for m in range(6)}) == 6


def test_every_network_of_an_ensemble_is_looked_at_in_every_view(folder):
    model = load_model(folder, device="cpu", sampling=tta("flips", "rotations", "intensity", views=4))
    assert model.ensemble == "deep ensemble of 2 x 4 views"
    assert [info.view for info in model.infos] == ["", "flip_x", "rotate_z_6", "gamma_0.8"] * 2
    members = list(predict_members(model, image()))
    for member, info in zip(members, model.infos, strict=True):
        assert member.info == info
        np.testing.assert_allclose(member.probabilities.sum(axis=0), 1, atol=1e-5)
    plain = list(predict_members(replace(model, views=(UNTOUCHED,)), image()))
    np.testing.assert_array_equal(members[4].probabilities, plain[1].probabilities)
    assert all(np.abs(m.probabilities - members[0].probabilities).max() > 1e-5 for m in members[1:4])
