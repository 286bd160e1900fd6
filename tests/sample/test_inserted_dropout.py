"""Dropout inserted into a trained model: one function for a whole image, members that say what made them, its rate."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from plausible.core import (
    Case,
    Classes,
    Geometry,
    Image,
    InvalidInput,
    LabelSource,
    Member,
    MemberInfo,
    Members,
    Study,
)
from plausible.io import read_members_json
from plausible.io.store import read_attributes, store_path
from plausible.runs.insert_rate import RATES, ChosenRate, choose_insert_rate, tuning_study
from plausible.sample import Sampling, load_model, predict_members
from plausible.sample.inserted_dropout import InsertedDropout, dropout_places
from plausible.sample.windowed import sampled
from plausible.train import train_ensemble
from plausible.train.dropout import FixedDropout
from plausible.train.hooks import OneFunction
from plausible.train.infer import padded_shape, window_probabilities
from tests.cli.program import run, told
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY, affine

MASKED = Sampling(sampler=("dropout",), draws=3, insert_rate=0.3)


def image(shape=(22, 13, 9), *, seed=0) -> Image:
    values = np.random.default_rng(seed).normal(100, 20, (1, *shape)).astype(np.float32)
    return Image(values, Geometry(shape, affine()), ("MR",))


def predictions(model) -> list[np.ndarray]:
    return [member.probabilities for member in predict_members(model, image())]


class Local(torch.nn.Module):
    """Looks two voxels far and is the same everywhere: windows of it differ from the whole at their borders alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv3d(1, 16, 3, padding=1)
        self.second = torch.nn.Conv3d(16, 3, 3, padding=1)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


@pytest.fixture
def local() -> Local:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Local().eval()


def inserted(network, places=("first",), rate=0.4) -> InsertedDropout:
    return InsertedDropout(OneFunction(network), network, places, rate)


def test_every_window_goes_through_the_same_mask(local):
    """Away from windows' borders a patchwork of windows is the whole image's forward pass under one mask: no seams."""
    values = np.random.default_rng(1).normal(0, 1, (1, 40, 11, 12)).astype(np.float32)
    seen = []
    local.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    for seed in range(3):
        function = inserted(local).draw(seed, shape=padded_shape(values, (12, 11, 12)))
        windows = window_probabilities(
            function, values, (12, 11, 12), exclusive=True, device="cpu", precision="float32", overlap=0.0, batch=2
        )
        with torch.inference_mode(), FixedDropout(local, ("first",), 0.4, seed).applied():
            whole = torch.softmax(local(torch.from_numpy(values)[None]), dim=1)[0].numpy()
        away = np.ones(40, dtype=bool)
        for border in (12, 24, 28, 36):
            away[border - 2 : border + 2] = False
        assert away.sum() > 20
        np.testing.assert_allclose(windows[:, away], whole[:, away], atol=1e-5)
    assert {shape[2] for shape in seen} == {12, 40}


def test_other_seeds_are_other_functions_and_none_is_the_network_bit_for_bit(local):
    x = torch.randn(2, 1, 5, 7, 11, generator=torch.Generator().manual_seed(0))
    functions = inserted(local)
    with torch.inference_mode():
        plain = local(x)
        off, first, again, second = (functions.draw(seed, shape=(5, 7, 11))(x, []) for seed in (None, 1, 1, 2))
    assert torch.equal(off, plain)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, plain)


def test_the_mean_over_masks_before_the_last_linear_layer_is_the_network(local):
    x = torch.randn(1, 1, 5, 7, 11, generator=torch.Generator().manual_seed(0))
    functions = inserted(torch.nn.Sequential(torch.nn.Identity(), local.second), ("0",))
    features = torch.relu(local.first(x)).detach()
    with torch.inference_mode():
        found = torch.stack([functions.draw(seed, shape=(5, 7, 11))(features, []) for seed in range(400)])
        expected = local.second(features)
    error = (found.mean(0) - expected) / (found.std(0) / math.sqrt(400))
    assert float(error.abs().max()) < 5


def test_members_are_draws_that_say_their_rate(model):
    masked = sampled(model, MASKED)
    assert [info.id for info in masked.infos] == [f"member_{m}.draw_{d:02d}" for m in range(2) for d in range(3)]
    assert {(info.kind, info.method) for info in masked.infos} == {("draw", "plain + dropout 0.3")}
    assert [info.draw for info in masked.infos] == [0, 1, 2, 0, 1, 2]
    assert masked.ensemble == "deep ensemble of 2 x 3 dropout masks"
    first, second = masked.identity(0), masked.identity(1)
    assert first["inserted_dropout"]["rate"] == 0.3
    assert first["inserted_dropout"]["after"] == [
        "input_block",
        "downsamples.0",
        "bottleneck",
        "upsamples.0",
        "upsamples.1",
    ]
    assert {name for name in first if first[name] != second[name]} == {"seed"}
    assert len({json.dumps(masked.identity(m), sort_keys=True) for m in range(6)}) == 6
    json.dumps(first, allow_nan=False)


def test_members_repeat_differ_and_leave_the_model_as_it_was(model):
    before = predictions(model)
    masked = sampled(model, MASKED)
    found, again = predictions(masked), predictions(masked)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert min(np.abs(a - b).max() for n, a in enumerate(found) for b in found[:n]) > 1e-3
    for one, other in zip(before, predictions(model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_member_alone_is_the_same_as_among_others(model):
    masked = sampled(model, MASKED)
    (alone,) = masked.predict(image(), [4])
    np.testing.assert_array_equal(alone.probabilities, predictions(masked)[4])


def test_rate_places_and_seed_change_the_members(model):
    usual = np.stack(predictions(sampled(model, MASKED)))
    for other in ({"insert_rate": 0.5}, {"insert_at": ("bottleneck",)}, {"sampling_seed": 1}):
        changed = sampled(model, replace(MASKED, **other))
        assert changed.identity(0) != sampled(model, MASKED).identity(0)
        assert np.abs(np.stack(predictions(changed)) - usual).max() > 1e-3
    assert dropout_places(model.sources[0].network, replace(MASKED, insert_at=("ups*.1",))) == ("upsamples.1",)


def test_a_larger_rate_leaves_out_what_a_smaller_one_does_and_more(local):
    sequence = torch.nn.Sequential(torch.nn.Identity())
    masks = []
    for rate in (0.1, 0.3, 0.6):
        with FixedDropout(sequence, ("0",), rate, 7).applied():
            masks.append((sequence(torch.ones(1, 200, 1, 1, 1)) > 0).flatten())
    assert masks[0].sum() > masks[1].sum() > masks[2].sum()
    assert not (masks[1] & ~masks[0]).any()
    assert not (masks[2] & ~masks[1]).any()


def test_views_are_looked_at_by_every_mask(model):
    both = sampled(model, replace(MASKED, sampler=("dropout", "tta"), draws=2, views=2))
    assert [info.id for info in both.infos][:4] == [
        "member_0.draw_00",
        "member_0.draw_00.flip_x",
        "member_0.draw_01",
        "member_0.draw_01.flip_x",
    ]
    alone = predictions(sampled(model, replace(MASKED, draws=2)))
    found = predictions(both)
    for one, other in zip(alone, found[::2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert both.ensemble == "deep ensemble of 2 x 2 dropout masks x 2 views"


@pytest.fixture(scope="module")
def dropped(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dropped") / "m"
    settings = replace(TINY, method="mc_dropout", dropout_rate=0.3, dropout_at="inner")
    train_ensemble(dataset, folder, members=1, settings=settings, split=SPLIT, threads=1)
    return folder


def test_mc_dropout_from_training_to_members(dropped):
    model = load_model(dropped, device="cpu", precision="float32", sampling=Sampling(draws=3))
    assert [info.id for info in model.infos] == [f"member_0.draw_{d:02d}" for d in range(3)]
    assert {info.method for info in model.infos} == {"mc_dropout"}
    found = predictions(model)
    assert min(np.abs(a - b).max() for n, a in enumerate(found) for b in found[:n]) > 1e-3
    point = replace(model, sources=(replace(model.sources[0], seed=None),))
    network = model.sources[0].network
    plain = replace(point, sources=(replace(point.sources[0], functions=OneFunction(network)),))
    np.testing.assert_array_equal(predictions(point)[0], predictions(plain)[0])


def test_draws_of_a_stochastic_method_keep_their_seeds_and_get_a_mask_each(dropped):
    inner = load_model(dropped, device="cpu", precision="float32", sampling=Sampling(draws=3))
    both = sampled(inner, replace(MASKED, insert_at=("downsamples.0", "bottleneck", "upsamples.0")))
    assert [info.id for info in both.infos] == [info.id for info in inner.infos]
    assert [both.identity(m)["inner_seed"] for m in range(3)] == [source.seed for source in inner.sources]
    assert {both.identity(m)["seed"] for m in range(3)}.isdisjoint(source.seed for source in inner.sources)
    assert both.ensemble == f"{inner.ensemble} with dropout masks"
    assert np.abs(np.stack(predictions(both)) - np.stack(predictions(inner))).max(axis=(1, 2, 3, 4)).min() > 1e-3
    gentle = sampled(inner, replace(MASKED, draws=3, insert_rate=1e-9))
    for one, other in zip(predictions(gentle), predictions(inner), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_models_that_bear_no_dropout_are_refused(model):
    foreign = replace(model, sources=(replace(model.sources[0], network=None),))
    with pytest.raises(InvalidInput, match="no torch network") as error:
        sampled(foreign, MASKED)
    assert (error.value.problem.code, error.value.problem.member) == ("E505", "member_0")
    unknown = replace(model, sources=(replace(model.sources[0], network=Local()),))
    with pytest.raises(InvalidInput, match=r"Local, in which no place.*\n.*first, second") as error:
        sampled(unknown, MASKED)
    assert error.value.problem.code == "E505"
    with pytest.raises(InvalidInput, match=r"no module encoder\.stages"):
        sampled(model, replace(MASKED, insert_at=("encoder.stages.*",)))
    with pytest.raises(InvalidInput, match="nothing goes through first"):
        predictions(
            sampled(
                replace(unknown, sources=(replace(unknown.sources[0], functions=model.sources[0].functions),)),
                replace(MASKED, insert_at=("first",)),
            )
        )


def test_a_copied_network_is_masked_on_its_own(local):
    x = torch.randn(1, 1, 5, 7, 11, generator=torch.Generator().manual_seed(0))
    other = copy.deepcopy(local)
    with torch.inference_mode():
        plain = local(x)
        with FixedDropout(other, ("first",), 0.4, 0).applied():
            assert torch.equal(local(x), plain)
            assert not torch.equal(other(x), plain)


@pytest.mark.parametrize("name", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_places_in_the_networks_of_nnunet(name):
    unets = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    blocks = ((1, 1, 1), 3, (1, 1))
    norm = {"norm_op": torch.nn.InstanceNorm3d, "norm_op_kwargs": {"affine": True}}
    network = getattr(unets, name)(
        1, 3, (8, 16, 32), torch.nn.Conv3d, 3, (1, 2, 2), *blocks, conv_bias=True, nonlin=torch.nn.LeakyReLU, **norm
    ).eval()
    encoder, decoder = [f"encoder.stages.{n}" for n in range(3)], [f"decoder.stages.{n}" for n in range(2)]
    assert dropout_places(network, MASKED) == (*encoder, *decoder)
    told = replace(MASKED, insert_at=("encoder.stages.*", "decoder.stages.*"))
    assert dropout_places(network, told) == (*encoder, *decoder)
    x = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = network(x)
        with FixedDropout(network, dropout_places(network, MASKED), 0.3, 0).applied():
            masked = network(x)
        assert torch.equal(network(x), plain)
    assert float((masked - plain).abs().max()) > 1e-2


class Known:
    """A model whose members are told: the probability of the structure is 0.5 + shift(rate, member) everywhere."""

    classes = Classes.exclusive_of({"background": 0, "ball": 1})
    channels, ensemble = ("MR",), "single member"

    def __init__(self, shifts, rate) -> None:
        self.shifts, self.rate = shifts, rate

    @property
    def infos(self):
        return tuple(MemberInfo(id=f"member_{m}") for m in range(len(self.shifts)))

    def identity(self, member):
        return {"shift": self.shifts[member], "rate": self.rate}

    def predict(self, image, chosen, *, subject=""):
        for m in chosen:
            ball = np.full(image.geometry.shape, 0.5 + self.shifts[m], dtype=np.float32)
            yield Member(np.stack([1 - ball, ball]), image.geometry, self.classes, self.infos[m])


SHIFTS = {0.0: (0.4,), 0.1: (0.3, 0.1), 0.2: (0.2, 0.0), 0.5: (-0.1, -0.3)}


def known_study(shape=(13, 7, 5)):
    geometry = Geometry(shape, np.diag([1.0, 2.0, 3.0, 1.0]))
    values = np.zeros(shape, dtype=np.uint8)
    values[0] = 1  # one slice of the structure, at the left
    raters = Members(geometry, Known.classes, (LabelSource(values, Known.classes, MemberInfo(id="reference")),), "s")
    given = Image(np.zeros((1, *shape), dtype=np.float32), geometry, ("MR",))
    return Study("known", Known.classes, (Case("s", Known.classes, lambda: given, None, lambda: raters),))


def opened(sampling: Sampling):
    rate = sampling.insert_rate if "dropout" in sampling.sampler else 0.0
    return Known(SHIFTS[rate], rate)


def test_the_rate_with_the_smallest_surprise_near_structures_is_chosen():
    """One slice of 13 is the structure; 3 mm reach the next slices up to the fourth, so 1 of 4 voxels is structure."""
    chosen = choose_insert_rate(opened, known_study(), rates=(0.5, 0.1, 0.2), near_mm=3.0)

    def surprise(share, p):
        return -share * math.log(p) - (1 - share) * math.log(1 - p)

    for row, p in zip(chosen.table, (0.9, 0.7, 0.6, 0.3), strict=True):
        assert row.near_nll == pytest.approx(surprise(1 / 4, p), rel=1e-5)
        assert row.whole_nll == pytest.approx(surprise(1 / 13, p), rel=1e-5)
    assert [row.rate for row in chosen.table] == [0.0, 0.1, 0.2, 0.5]
    assert chosen.rate == 0.5
    assert chosen.helps
    assert chosen.subjects == ("s",)
    assert ChosenRate.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen


def test_near_and_whole_may_disagree_and_near_decides():
    """All of the structure's slice and one more count near; over the whole image the background would choose 0.5."""
    chosen = choose_insert_rate(opened, known_study(), rates=(0.5, 0.1, 0.2), near_mm=0.0)
    assert min(chosen.table, key=lambda row: row.whole_nll).rate == 0.5
    assert chosen.rate == 0.1
    assert not chosen.helps


def test_the_same_question_is_not_asked_twice():
    study, asked = known_study(), []

    def counted(sampling):
        asked.append(sampling.sampler)
        return opened(sampling)

    first = choose_insert_rate(counted, study, rates=(0.1, 0.2))
    assert len(asked) == 3
    assert choose_insert_rate(counted, study, rates=(0.2, 0.1), before=first) is first
    assert len(asked) == 4
    other = choose_insert_rate(counted, study, rates=(0.1, 0.2), sampling=Sampling(draws=5), before=first)
    assert other.key != first.key
    assert (other.draws, first.draws) == (5, 10)


def test_nothing_to_choose_by_is_refused():
    empty = known_study()
    with pytest.raises(ValueError, match="needs rates and cases, got 0 and 1"):
        choose_insert_rate(opened, empty, rates=())
    blind = replace(empty, cases=(replace(empty.cases[0], load_raters=None),))
    with pytest.raises(ValueError, match="s: choosing a rate needs an image and a reference"):
        choose_insert_rate(opened, blind, rates=(0.1,))


def test_a_case_without_structures_counts_in_the_whole_image_only():
    (case,) = known_study().cases
    raters = case.load_raters()
    empty = LabelSource(np.zeros(raters.geometry.shape, dtype=np.uint8), Known.classes, MemberInfo(id="reference"))
    blank = replace(case, subject="blank", load_raters=lambda: replace(raters, sources=(empty,)))
    alone = choose_insert_rate(opened, known_study(), rates=(0.1,))
    both = choose_insert_rate(opened, Study("two", Known.classes, (case, blank)), rates=(0.1,))
    assert both.table[1].near_nll == alone.table[1].near_nll
    assert both.table[1].whole_nll == pytest.approx((alone.table[1].whole_nll - math.log(0.3)) / 2)
    with pytest.raises(ValueError, match="no structure in any reference"):
        choose_insert_rate(opened, Study("blank", Known.classes, (blank,)), rates=(0.1,))


LINE = ("--device", "cpu", "--precision", "float32", "--sampler", "dropout", "--draws", 2, "-q")


def test_on_the_command_line_with_a_rate(folder, dataset, tmp_path):
    done = told("predict", folder, "-i", dataset / "imagesTr", "-o", tmp_path / "s", *LINE, "--insert-rate", 0.25)
    assert done["ensemble"] == "deep ensemble of 2 x 2 dropout masks"
    assert done["written"] == 5 * 4
    content = read_members_json(tmp_path / "s")
    assert [one["rate"] for one in content["inserted_dropout"]] == [0.25]
    assert "bottleneck" in content["inserted_dropout"][0]["after"]
    assert "insert_rate" not in content
    _, _, attributes = read_attributes(store_path(tmp_path / "s", member="member_1.draw_01", subject="case_0"))
    assert attributes["info"]["method"] == "plain + dropout 0.25"
    again = told("predict", folder, "-i", dataset / "imagesTr", "-o", tmp_path / "s", *LINE, "--insert-rate", 0.25)
    assert (again["written"], again["kept"]) == (0, 5 * 4)
    other = told("predict", folder, "-i", dataset / "imagesTr", "-o", tmp_path / "s", *LINE, "--insert-rate", 0.3)
    assert (other["written"], other["kept"]) == (5 * 4, 0)


def test_on_the_command_line_the_rate_is_chosen_once_and_recorded(folder, dataset, tmp_path):
    tuned = ("--tune-images", dataset / "imagesTr", "--tune-labels", dataset / "labelsTr")
    line = ("predict", folder, "-i", dataset / "imagesTr", "-o", tmp_path / "s", *LINE, *tuned)
    done = told(*line)
    record = read_members_json(tmp_path / "s")["insert_rate"]
    assert record == done["insert_rate"]
    assert record["subjects"] == [f"case_{n}" for n in range(5)]
    assert [row["rate"] for row in record["table"]] == [0, *RATES]
    assert {one["method"] for one in read_members_json(tmp_path / "s")["members"]} == {
        f"plain + dropout {record['rate']:g}"
    }
    again = told(*line)
    assert (again["written"], again["kept"]) == (0, done["written"])
    assert again["insert_rate"] == record


@pytest.mark.parametrize(
    "options",
    [
        ("--tune-images", "x", "--sampler", "dropout"),
        ("--tune-labels", "x"),
        ("--tune-images", "x", "--tune-labels", "y"),
    ],
)
def test_tuning_needs_images_labels_and_dropout(options, folder, dataset, tmp_path):
    done = run("predict", folder, "-i", dataset / "imagesTr", "-o", tmp_path / "s", *options, code=2)
    assert "--tune-images and --tune-labels go together, with --sampler dropout" in done.stderr


def test_images_without_a_label_map_are_named(folder, dataset, tmp_path, model):
    (tmp_path / "labels").mkdir()
    with pytest.raises(InvalidInput, match="no label map for case_0, case_1, case_2, case_3, case_4") as error:
        tuning_study(dataset / "imagesTr", tmp_path / "labels", model)
    assert error.value.problem.code == "E106"
