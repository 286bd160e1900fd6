"""The networks of the bundled model inside: features, weights, and the loss on the way from one to another."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import plausible
from plausible.core import Classes, Geometry, Image, InvalidInput, LabelMap, Members, Study
from plausible.diversity.weights import linear_cka, loss_barrier, weight_cosine
from plausible.runs.diversity_inside import inside_matrices
from plausible.sample.inside import Inside, features_of, losses_between, middle_patch, weights_in_a_row
from tests.diversity.test_run import grid_study

MODEL = Path(plausible.__file__).parent / "demo_data" / "model"


@pytest.fixture(scope="module")
def inside() -> Inside:
    whole = Inside.open(MODEL)
    return replace(whole, members=whole.members[:2], networks=whole.networks[:2])


@pytest.fixture(scope="module")
def patch(inside):
    rng = np.random.default_rng(0)
    shape = (20, 24, 16)
    grid = Geometry(shape, np.diag([*inside.info.plan.spacing_mm, 1.0]))
    labels = np.zeros(shape, np.uint8)
    labels[5:15, 5:18, 4:12] = 1
    values = (labels + 0.3 * rng.normal(size=shape)).astype(np.float32)[None]
    image = Image(values, grid, inside.info.channels)
    return middle_patch(image, LabelMap(labels, grid, inside.info.classes), inside.info.plan, (16, 32, 16))


def test_a_patch_is_the_middle_filled_up(patch):
    image, labels = patch
    assert image.shape[1:] == labels.shape == (16, 32, 16)
    assert (labels[:, 24:] == 0).all()
    assert labels[3:13, 5:18, 4:12].all()  # the first two of 20 voxels are cut off


def test_features_are_of_the_same_voxels(inside, patch):
    found = features_of(inside, [patch[0]], n_voxels=500)
    a, b = (found[name] for name in inside.members)
    assert len(a) == len(b) == 500
    assert linear_cka(a, a) == pytest.approx(1, abs=1e-6)
    assert 0 < linear_cka(a, b) < 1
    again = features_of(inside, [patch[0]], n_voxels=500)
    assert np.array_equal(again[inside.members[0]], a)


def test_loss_on_the_way(inside, patch):
    image, labels = patch
    there = losses_between(inside, *inside.members, [(image, labels)], steps=5)
    back = losses_between(inside, *reversed(inside.members), [(image, labels)], steps=5)
    assert there == pytest.approx(back[::-1], rel=1e-4)
    first = inside.members[0]
    own = losses_between(inside, first, first, [(image, labels)], steps=3)
    assert own == pytest.approx(np.full(3, there[0]), rel=1e-5)
    assert loss_barrier(own) == pytest.approx(0, abs=1e-6)


def test_weights_in_a_row(inside):
    a, b = (weights_in_a_row(network) for network in inside.networks)
    assert weight_cosine(a, a) == pytest.approx(1)
    assert abs(weight_cosine(a, b)) < 0.9
    assert a.size == sum(p.numel() for p in inside.networks[0].parameters())


def test_other_members_are_refused():
    study = grid_study()
    grid = Geometry((12, 10, 8), np.diag([1.0, 1.0, 2.0, 1.0]))
    image = Image(np.zeros((1, *grid.shape), np.float32), grid, ("MR",))
    cases = tuple(replace(case, load_image=lambda: image) for case in study)
    with pytest.raises(InvalidInput, match="E411"):
        inside_matrices(MODEL, replace(study, cases=cases))
    with pytest.raises(ValueError, match="--images"):
        inside_matrices(MODEL, study)


def test_matrices_of_a_study(inside, monkeypatch):
    """The whole way, with two networks and one small image."""
    monkeypatch.setattr(Inside, "open", classmethod(lambda cls, model: inside))
    monkeypatch.setattr("plausible.sample.inside.N_STEPS", 3)
    shape = (20, 24, 16)
    grid = Geometry(shape, np.diag([*inside.info.plan.spacing_mm, 1.0]))
    labels = np.zeros(shape, np.uint8)
    labels[5:15, 5:18, 4:12] = 1
    classes: Classes = inside.info.classes
    infos = [record.info for record in inside.info.members[:2]]
    members = Members.from_labels([labels, labels], geometry=grid, classes=classes, infos=infos)
    raters = Members.from_labels([labels], geometry=grid, classes=classes)
    image = Image(labels[None].astype(np.float32), grid, inside.info.channels)
    (first, *_) = grid_study().cases
    case = replace(first, load_image=lambda: image, load_members=lambda: members, load_raters=lambda: raters)
    found = {one.measure: one.values for one in inside_matrices(MODEL, Study("s", classes, (case,)))}
    assert set(found) == {"linear_cka", "weight_cosine", "loss_barrier"}
    assert np.diagonal(found["linear_cka"]) == pytest.approx(1, abs=1e-6)
    assert np.diagonal(found["loss_barrier"]).tolist() == [0, 0]
    assert (found["loss_barrier"] >= 0).all()
    for values in found.values():
        assert values == pytest.approx(values.T)
