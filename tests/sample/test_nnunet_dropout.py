"""Dropout inserted into nnU-Net's networks: masks as members, the same in every window and view."""

import numpy as np
import pytest

from plausible.core import InvalidInput
from plausible.sample import Sampling, open_model
from plausible.sample.source import SegmentationModel
from tests.sample.nnunet_models import Recipe, oblique_geometry, random_image, write_model

pytest.importorskip("nnunetv2", reason="nnU-Net is not installed")
pytestmark = pytest.mark.timeout(300)  # nnU-Net's imports alone take long where nothing is compiled yet

DROPOUT = Sampling(sampler=("dropout",), draws=2, insert_rate=0.3)


@pytest.fixture(params=["PlainConvUNet", "ResidualEncoderUNet"])
def folder(request, tmp_path):
    return write_model(tmp_path / "model", Recipe(network=request.param))


@pytest.fixture
def image():
    return random_image(oblique_geometry())


def members(model, image):
    return {m.info.id: m.probabilities for m in model.predict(image, range(len(model.infos)))}


def test_masks_are_members_of_each_fold(folder, image):
    plain, masked = open_model(folder, device="cpu"), open_model(folder, device="cpu", sampling=DROPOUT)
    assert isinstance(masked, SegmentationModel)
    assert masked.ensemble == f"{plain.ensemble} x 2 dropout masks"
    names = ["fold_0.draw_00", "fold_0.draw_01", "fold_1.draw_00", "fold_1.draw_01"]
    assert [info.id for info in masked.infos] == names
    assert {(info.kind, info.method) for info in masked.infos} == {("draw", "nnunet + dropout 0.3")}
    found, without = members(masked, image), members(plain, image)
    assert np.abs(found["fold_0.draw_00"] - found["fold_0.draw_01"]).max() > 1e-3
    assert np.abs(found["fold_0.draw_00"] - without["fold_0"]).max() > 1e-3
    again = members(open_model(folder, device="cpu", sampling=DROPOUT), image)
    for name in names:
        np.testing.assert_array_equal(found[name], again[name])
    assert len({str(masked.identity(m)) for m in range(4)}) == 4
    assert masked.identity(0) != plain.identity(0)
    np.testing.assert_array_equal(members(plain, image)["fold_0"], without["fold_0"])


def test_nothing_left_out_is_the_network_itself(folder, image):
    none = Sampling(sampler=("dropout",), draws=1, insert_rate=0.0)
    found = members(open_model(folder, device="cpu", sampling=none, folds=("0",)), image)
    plain = members(open_model(folder, device="cpu", folds=("0",)), image)
    np.testing.assert_array_equal(found["fold_0.draw_00"], plain["fold_0"])


def test_views_share_the_masks(folder):
    both = Sampling(sampler=("dropout", "tta"), draws=2)
    model = open_model(folder, device="cpu", sampling=both, folds=("0",))
    seeds = {(info.draw, model.identity(m)["mask"]) for m, info in enumerate(model.infos)}
    assert len(seeds) == 2
    flips = {info.view for info in model.infos}
    assert len(model.infos) == 2 * len(flips)
    assert f"fold_0.draw_01.{sorted(flips)[1]}" in {info.id for info in model.infos}


def test_unknown_places_are_named(folder):
    told = Sampling(sampler=("dropout",), insert_at=("nowhere.*",))
    with pytest.raises(InvalidInput, match="nowhere") as error:
        open_model(folder, device="cpu", sampling=told)
    assert error.value.problem.code == "E505"
