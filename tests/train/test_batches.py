"""Patches: a function of seed and iteration alone; targets fit their images; the loss of perfect logits is near 0."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from plausible.core import Classes
from plausible.train import TrainingSettings
from plausible.train.batches import Batches, PreparedCase, augmentation, places_of
from plausible.train.network import build_loss, build_network, load_weights, supervised_loss, weights_of
from plausible.train.plan import plan
from tests.train.datasets import TINY, image_and_labels
from tests.train.test_preprocess import fingerprint_of

CLASSES = Classes.exclusive_of({"background": 0, "shell": 1, "core": 2})
REGIONS = Classes.overlapping_of({"ball": [1, 2], "core": [2]}, order=[1, 2])
PLAIN = {"rotation_deg": 0.0, "scale": 0.0, "noise": 0.0, "brightness": 0.0, "gamma": 0.0}


def batches(settings=TINY, *, classes=CLASSES, seed=3) -> Batches:
    planned = plan(fingerprint_of(size=(11.0, 13.0, 9.0)), settings)
    pairs = [image_and_labels(n) for n in range(3)]
    cases = [PreparedCase((values - 100) / 40, labels, places_of(labels)) for values, labels in pairs]
    return Batches(cases, classes, planned, settings, seed, augmentation(planned, settings))


def test_any_iteration_can_be_drawn_again_in_any_order():
    first = [batches().draw(n) for n in range(3)]
    again = batches()
    for n in (2, 0, 1):
        image, target = again.draw(n)
        assert torch.equal(image, first[n][0])
        assert torch.equal(target, first[n][1])
    assert not torch.equal(first[0][0], first[1][0])
    assert not torch.equal(batches(seed=4).draw(0)[0], first[0][0])


def test_seeds_augment_the_same_case_differently():
    """With one case alone, its order has no say: what differs is what was drawn for the patch."""
    one = [replace(batches(seed=seed), cases=batches().cases[:1]).draw(0)[0] for seed in (3, 4)]
    assert not torch.equal(*one)


def test_each_epoch_sees_every_case_once():
    drawn = batches(replace(TINY, batch=3, **PLAIN, patch=(16, 16, 12)))
    for epoch in range(3):
        image, _ = drawn.draw(epoch)
        assert len({round(float(part.sum()), 3) for part in image}) == 3


@pytest.mark.parametrize("flips", [(), (0, 2)])
def test_target_follows_its_image(flips):
    """Without noise the ball's voxels are the bright ones, whatever was cropped, turned or mirrored."""
    settings = replace(TINY, **{**PLAIN, "rotation_deg": 20.0, "scale": 0.1}, flip_axes=flips)
    image, target = batches(settings).draw(1)
    bright, dark = image[:, 0][target[:, 2] > 0], image[:, 0][target[:, 0] > 0]
    assert bright.mean() > 1.5 > 0.5 > dark.mean()
    assert torch.equal(target.sum(dim=1), torch.ones_like(target[:, 0]))


def test_patches_are_centred_on_structures_as_often_as_told():
    """A patch of 4 voxels in a grid of 40 holds the one voxel of the structure only if it was looked for."""
    labels = np.zeros((40, 7, 11), dtype=np.uint8)
    labels[31, 3, 5] = 1
    case = PreparedCase(labels[None].astype(np.float32), labels, places_of(labels))
    settings = replace(TINY, **PLAIN, patch=(4, 8, 12), batch=60, foreground_share=0.5)
    planned = replace(plan(fingerprint_of(), settings), patch=(4, 8, 12))
    drawn = Batches([case], CLASSES, planned, settings, 0, augmentation(planned, settings))
    _, target = drawn.draw(0)
    hits = float(target[:, 1].flatten(1).amax(dim=1).mean())
    assert abs(hits - (0.5 + 0.5 * 4 / 37)) < 0.2
    assert len(places_of(0 * labels)) == 0


def test_places_are_evenly_spaced_and_few():
    labels = np.zeros((20, 20, 20), dtype=np.uint8)
    labels[:10], labels[0, 0, 0] = 5, 2
    found = places_of(labels)
    assert {int(value): int((found[:, 0] == value).sum()) for value in (2, 5)} == {2: 1, 5: 1000}
    assert (labels[tuple(found[:, 1:].T)] == found[:, 0]).all()


def test_regions_overlap_in_the_target():
    _, target = batches(classes=REGIONS).draw(0)
    assert (target[:, 0] >= target[:, 1]).all()
    assert target[:, 1].sum() > 0


@pytest.mark.parametrize("classes", [CLASSES, REGIONS])
def test_loss_is_near_zero_for_perfect_and_high_for_wrong_logits(classes):
    _, target = batches(classes=classes).draw(0)
    loss = build_loss(classes)
    assert float(supervised_loss(loss, 40 * target - 20, target)) < 1e-3
    assert float(supervised_loss(loss, 20 - 40 * target, target)) > 5


def test_deep_supervision_weighs_heads_by_halves():
    _, target = batches().draw(0)
    good, bad = 40 * target - 20, 0 * target
    single = [float(supervised_loss(build_loss(CLASSES), part, target)) for part in (good, bad)]
    both = supervised_loss(build_loss(CLASSES), torch.stack([good, bad], dim=1), target)
    assert float(both) == pytest.approx((single[0] + 0.5 * single[1]) / 1.5, rel=1e-5)


def test_network_is_a_function_of_its_seed_and_leaves_the_global_state_alone():
    planned = plan(fingerprint_of(), TINY)
    before = torch.get_rng_state()
    first, again, other = (build_network(planned, channels=1, outputs=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    a, b, c = weights_of(first), weights_of(again), weights_of(other)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)
    load_weights(other, {name: tensor.half() for name, tensor in a.items()})
    x = torch.from_numpy(np.random.default_rng(0).random((1, 1, *planned.patch), dtype=np.float32))
    with torch.inference_mode():
        torch.testing.assert_close(first.eval()(x), other.eval()(x), atol=2e-2, rtol=0)
    with pytest.raises(ValueError, match="do not fit"):
        load_weights(other, {"a": torch.zeros(1)})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"iterations": 0}, "iterations"),
        ({"patience": 2}, "validate_every"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"warmup": 0.0}, "warmup"),
        ({"flip_axes": (3,)}, "flip_axes"),
    ],
)
def test_impossible_settings_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        TrainingSettings(**wrong)
