"""Exported files: what goes out comes back the same, what the card tells is checked, chance is proven by two passes."""

import warnings
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from plausible.core import Classes, Geometry, Image, InvalidInput, UnfitEnvironment
from plausible.sample import Sampling, export_model, exported, load_model, open_model, predict_members
from plausible.sample.model_card import CARD, CardMember, ModelCard, file_hash, read_card, write_card
from plausible.train import train_ensemble
from plausible.train.grid import ChannelFingerprint
from tests.sample.test_predict import image
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY, affine

BALL = Classes.exclusive_of({"background": 0, "ball": 1})
CHANNEL = ChannelFingerprint(
    name="MR", scheme="none", mean=0.0, sd=0.0, percentile_00_5=0.0, percentile_99_5=0.0, zero_share=0.0
)


def card(format="torchscript", *files, **told) -> ModelCard:
    plain = {"output": "logits", "classes": BALL, "channels": (CHANNEL,), "axes": "RAS", "patch": (8, 6, 4)}
    members = tuple(CardMember(file) for file in files or ("a.ts",))
    return ModelCard(**{**plain, "spacing_mm": (1.0, 1.2, 2.0), "format": format, "members": members, **told})


class Stencil(torch.nn.Module):
    """Logits of two classes that depend on each direction in another way."""

    def __init__(self, *, last=None, axes=None, dropout=0.0, of=torch.nn.Dropout3d):
        super().__init__()
        weight = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 3, 3, 3)).astype(np.float32))
        self.weight = torch.nn.Parameter(weight / 10)
        self.dropout = of(dropout)
        self.softmax, self.sigmoid, self.spl = last == "softmax", last == "sigmoid", axes == "SPL"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.spl:
            x = x.permute(0, 1, 4, 3, 2).flip(2, 3)
        x = self.dropout(torch.nn.functional.conv3d(x, self.weight, padding=1) + 0.1)
        if self.softmax:
            x = torch.softmax(x, dim=1)
        if self.sigmoid:
            x = torch.sigmoid(x)
        return x.flip(2, 3).permute(0, 1, 4, 3, 2) if self.spl else x


def saved(folder, module, *, how="trace", train=False, patch=(8, 6, 4), **told) -> ModelCard:
    """A TorchScript file and its card."""
    folder.mkdir(parents=True, exist_ok=True)
    module.train(train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.zeros((2, 1, *patch))
        made = torch.jit.script(module) if how == "script" else torch.jit.trace(module, example, check_trace=False)
        made.save(folder / "a.ts")
    made = card(patch=patch, **told)
    write_card(folder, made)
    return made


def seen(folder, **told) -> np.ndarray:
    given = image((13, 11, 9), spacing=(1.0, 1.2, 2.0))
    given = Image(given.values / 50, given.geometry, given.channels)
    return np.stack([m.probabilities for m in predict_members(open_model(folder, device="cpu", **told), given)])


@pytest.fixture(scope="module")
def single(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("single") / "model"
    train_ensemble(dataset, folder, members=1, settings=TINY, split=SPLIT, threads=1)
    return folder


@pytest.mark.timeout(400)
@pytest.mark.parametrize("to", ["torchscript", "torch_export", "onnx"])
def test_members_of_the_exported_model_are_those_of_ours(to, single, tmp_path):
    """Also with fewer windows at once than the file was exported with, and with what made each member."""
    export_model(single, tmp_path / to, to=to)
    ours = load_model(single, device="cpu", precision="float32")
    for batch in (1, 4):
        exported = open_model(tmp_path / to, device="cpu", batch=batch)
        for mine, other in zip(predict_members(ours, image()), predict_members(exported, image()), strict=True):
            assert np.abs(mine.probabilities - other.probabilities).max() < 1e-4
    assert (exported.classes, exported.channels, exported.ensemble) == (ours.classes, ours.channels, ours.ensemble)
    (told,), (before,) = exported.infos, ours.infos
    assert (told.seed, told.architecture, told.kind) == (before.seed, before.architecture, "seed")
    assert len(told.checkpoint) == 64
    assert exported.identity(0)["weights"] == told.checkpoint
    assert exported.grid.spacing_mm == ours.grid.spacing_mm


def test_several_members_and_views_of_exported_files(folder, tmp_path):
    export_model(folder, tmp_path / "m", to="torchscript")
    views = Sampling(sampler=("tta",), tta=("flips",), views=2)
    exported = open_model(tmp_path / "m", device="cpu", sampling=views)
    ours = load_model(folder, device="cpu", precision="float32", sampling=views)
    assert exported.ensemble == ours.ensemble == "deep ensemble of 2 x 2 views"
    assert [info.id for info in exported.infos] == [info.id for info in ours.infos]
    for mine, other in zip(predict_members(ours, image()), predict_members(exported, image()), strict=True):
        assert np.abs(mine.probabilities - other.probabilities).max() < 1e-4


def test_members_that_are_drawn_cannot_be_exported(dataset, tmp_path):
    settings = replace(TINY, method="mc_dropout")
    train_ensemble(dataset, tmp_path / "m", members=1, settings=settings, split=SPLIT, threads=1)
    with pytest.raises(InvalidInput, match="drawn") as error:
        export_model(tmp_path / "m", tmp_path / "out", to="torchscript")
    assert error.value.problem.code == "E505"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("regions", [False, True])
def test_a_card_is_read_as_it_was_written(tmp_path, regions):
    told = {"classes": Classes.overlapping_of({"whole": [1, 2], 'core "x"': [2]}, order=[1, 2])} if regions else {}
    members = CardMember("a.ts", "0" * 64, {"seed": 3, "architecture": "UNet"}), CardMember("b.ts")
    ct = replace(CHANNEL, name="CT", scheme="ct", mean=-3.5, sd=20.0, percentile_99_5=300.0)
    made = replace(card(), **told, members=members, channels=(ct, CHANNEL), axes="SPL", ensemble="two files")
    write_card(tmp_path, made)
    assert read_card(tmp_path) == made


def test_the_axes_of_a_file_are_turned_as_its_card_says(tmp_path):
    """The same function on axes head to feet ... written as z y x."""
    saved(tmp_path / "ras", Stencil())
    saved(tmp_path / "spl", Stencil(axes="SPL"), patch=(4, 6, 8), axes="SPL", spacing_mm=(2.0, 1.2, 1.0))
    straight = seen(tmp_path / "ras")
    np.testing.assert_allclose(seen(tmp_path / "spl"), straight, atol=1e-6)
    saved(tmp_path / "wrong", Stencil(axes="SPL"), patch=(4, 6, 8), axes="SAR", spacing_mm=(2.0, 1.2, 1.0))
    assert np.abs(seen(tmp_path / "wrong") - straight).max() > 0.01
    assert open_model(tmp_path / "spl", device="cpu").grid.spacing_mm == (1.0, 1.2, 2.0)


def test_probabilities_and_logits_give_the_same_members(tmp_path):
    saved(tmp_path / "logits", Stencil())
    saved(tmp_path / "softmax", Stencil(last="softmax"), output="probabilities")
    np.testing.assert_allclose(seen(tmp_path / "softmax"), seen(tmp_path / "logits"), atol=1e-6)
    regions = Classes.overlapping_of({"whole": [1], "core": [2]})
    saved(tmp_path / "regions", Stencil(), classes=regions)
    saved(tmp_path / "sigmoid", Stencil(last="sigmoid"), output="probabilities", classes=regions)
    np.testing.assert_allclose(seen(tmp_path / "sigmoid"), seen(tmp_path / "regions"), atol=1e-6)


@pytest.mark.parametrize(
    ("last", "told", "code"),
    [
        (None, {"output": "probabilities"}, "E302"),
        ("sigmoid", {"output": "probabilities"}, "E301"),
        (None, {"classes": Classes.exclusive_of({"background": 0, "a": 1, "b": 2})}, "E308"),
    ],
)
def test_an_output_that_is_not_what_the_card_tells_is_refused(tmp_path, last, told, code):
    saved(tmp_path, Stencil(last=last), **told)
    with pytest.raises(InvalidInput) as error:
        open_model(tmp_path, device="cpu")
    assert error.value.problem.code == code


def test_dropout_that_is_active_gives_draws_each_one_function_for_all_windows(tmp_path):
    saved(tmp_path, Stencil(dropout=0.5), how="script", stochastic=True)
    model = open_model(tmp_path, device="cpu", sampling=Sampling(draws=6))
    assert [info.draw for info in model.infos] == list(range(6))
    flat = Image(np.zeros((1, 20, 9, 11), np.float32), Geometry((20, 9, 11), affine()), ("MR",))
    first, again = ([m.probabilities for m in predict_members(model, flat)] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len({round(float(one[1, 0, 0, 0]), 4) for one in first}) > 1
    assert max(float(np.ptp(one[1])) for one in first) < 1e-6


@pytest.mark.parametrize(("train", "stochastic"), [(False, True), (True, False)])
def test_two_passes_prove_what_is_called_drawn(tmp_path, train, stochastic):
    """A trace in evaluation mode has lost its dropout; one in training mode is no single function."""
    saved(tmp_path, Stencil(dropout=0.5, of=torch.nn.Dropout), train=train, stochastic=stochastic)
    with pytest.raises(InvalidInput, match="two passes") as error:
        open_model(tmp_path, device="cpu")
    assert error.value.problem.code == "E505"


def test_an_onnx_file_cannot_be_stochastic(tmp_path):
    """onnxruntime draws anew in every window, whatever the seed."""
    pointwise_onnx(tmp_path / "a.onnx", batch="n")
    write_card(tmp_path, card("onnx", "a.onnx", output_name="twice", stochastic=True))
    with pytest.raises(InvalidInput, match="a seed does not reach") as error:
        open_model(tmp_path, device="cpu")
    assert error.value.problem.code == "E505"


@pytest.mark.parametrize(
    "answer",
    [
        len,  # another mask in every window, whatever the seed
        lambda calls: torch.rand(1) + len(calls) // 2,  # the seed reaches a part of the chance
        lambda calls: torch.rand(1) + len(set(calls)),  # what was seen in between is remembered
    ],
)
def test_chance_that_the_seed_does_not_decide_is_refused(tmp_path, monkeypatch, answer):
    saved(tmp_path, Stencil(dropout=0.5), how="script", stochastic=True)
    calls = []

    def engine(windows):
        calls.append(float(windows.sum()))
        return (windows + answer(calls)).expand(-1, 2, -1, -1, -1)

    monkeypatch.setattr(exported, "_opened", lambda *_, **__: engine)
    with pytest.raises(InvalidInput, match="from the same random state differ") as error:
        open_model(tmp_path, device="cpu")
    assert error.value.problem.code == "E505"


@pytest.mark.parametrize("how", ["script", "trace", "torch_export"])
@pytest.mark.parametrize(
    ("of", "found"),
    [
        (torch.nn.Dropout3d, None),
        (torch.nn.FeatureAlphaDropout, None),
        (torch.nn.Dropout, "dropout"),
        (torch.nn.AlphaDropout, "alpha_dropout"),
    ],
)
def test_only_dropout_of_whole_channels_is_one_function_in_every_window(tmp_path, how, of, found):
    module = Stencil(dropout=0.5, of=of)
    if how == "torch_export":
        program = torch.export.export(module.train(), (torch.zeros((1, 1, 8, 6, 4)),))
        torch.export.save(program, tmp_path / "a.pt2")
        write_card(tmp_path, card("torch_export", "a.pt2", stochastic=True))
    else:
        saved(tmp_path, module, how=how, train=how == "trace", stochastic=True)
    if found is None:
        assert len(open_model(tmp_path, device="cpu", sampling=Sampling(draws=3)).infos) == 3
        return
    with pytest.raises(InvalidInput, match=f"{found}: it draws for each voxel") as error:
        open_model(tmp_path, device="cpu")
    assert error.value.problem.code == "E505"


@pytest.mark.parametrize("format", ["torchscript", "torch_export", "onnx"])
def test_files_that_are_missing_changed_or_damaged_are_refused(tmp_path, format):
    for members, found in [
        (CardMember("a.ts"), "no file a.ts"),
        (CardMember("b.ts", "1" * 64), "SHA-256"),
        (CardMember("b.ts"), f"b.ts as {format}"),
    ]:
        (tmp_path / "b.ts").write_bytes(b"no model")
        write_card(tmp_path, replace(card(format), members=(members,)))
        with pytest.raises(InvalidInput, match=found) as error:
            open_model(tmp_path, device="cpu")
        assert error.value.problem.code == "E502"
        assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('axes = "RAS"', 'axes = "RRS"', "axes must be"),
        ('format = "torchscript"', 'format = "pickle"', "format must be"),
        ('output = "logits"\n', "", "output"),
        ("exclusive = true\n", "", "no 'exclusive'"),
        ('scheme = "none"', 'scheme = "guess"', "scheme of a channel"),
        ('scheme = "none"', 'scheme = "none"\nunit = "HU"', "unit"),
        ('file = "a.ts"', 'file = "a.ts"\nmood = 3', "unknown in"),
        ("patch = [8, 6, 4]", "patch = [8, 6]", "has three numbers"),
        ("[classes]", "[classes", "line"),
    ],
)
def test_a_card_that_leaves_something_open_is_refused(tmp_path, old, new, found):
    write_card(tmp_path, card())
    text = (tmp_path / CARD).read_text()
    assert old in text
    (tmp_path / CARD).write_text(text.replace(old, new))
    with pytest.raises(InvalidInput, match=found) as error:
        read_card(tmp_path)
    assert error.value.problem.code == "E502"


def pointwise_onnx(path, *, batch) -> None:
    """Two outputs, `logits` and `twice`: the image times -1 and 1, and the double of it; the batch may be fixed."""
    shape = [batch, 1, 8, 6, 4]
    weight = numpy_helper.from_array(np.array([-1, 1], np.float32).reshape(2, 1, 1, 1, 1), "weight")
    two = numpy_helper.from_array(np.array(2, np.float32), "two")
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["logits"]),
        helper.make_node("Mul", ["logits", "two"], ["twice"]),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 2, 8, 6, 4]) for name in ("logits", "twice")
    ]
    given = [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "pointwise", given, outputs, [weight, two])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


@pytest.mark.parametrize("batch", ["n", 1, 3])
def test_onnx_files_of_any_batch_and_a_named_output(tmp_path, batch):
    pointwise_onnx(tmp_path / "a.onnx", batch=batch)
    write_card(tmp_path, card("onnx", "a.onnx", output_name="twice"))
    values = np.random.default_rng(0).normal(size=(1, 13, 11, 9)).astype(np.float32)
    given = Image(values, Geometry((13, 11, 9), np.diag([1.0, 1.2, 2.0, 1.0])), ("MR",))
    (member,) = predict_members(open_model(tmp_path, device="cpu"), given)
    np.testing.assert_allclose(member.probabilities[1], 1 / (1 + np.exp(-4 * values[0])), atol=1e-5)


def test_an_onnx_file_with_several_outputs_needs_a_name(tmp_path):
    pointwise_onnx(tmp_path / "a.onnx", batch="n")
    write_card(tmp_path, card("onnx", "a.onnx"))
    with pytest.raises(InvalidInput, match="outputs logits, twice: set output_name"):
        open_model(tmp_path, device="cpu")


def test_a_missing_onnxruntime_gives_the_command_that_installs_it(tmp_path, monkeypatch):
    pointwise_onnx(tmp_path / "a.onnx", batch="n")
    write_card(tmp_path, card("onnx", "a.onnx", output_name="twice"))
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UnfitEnvironment, match=r'pip install "plausible\[onnx\]"'):
        open_model(tmp_path, device="cpu")


@pytest.mark.parametrize("name", ["a.onnx.data", "weights.bin", "w" * 140 + ".bin"])
def test_weights_that_onnx_keeps_in_another_file_belong_to_its_hash(tmp_path, name):
    pointwise_onnx(tmp_path / "a.onnx", batch="n")
    inside = file_hash(tmp_path / "a.onnx")
    how = {"save_as_external_data": True, "location": name, "size_threshold": 0}
    onnx.save(onnx.load(tmp_path / "a.onnx"), tmp_path / "a.onnx", **how)
    outside = file_hash(tmp_path / "a.onnx")
    (tmp_path / "unrelated.bin").write_bytes(b"1")
    assert file_hash(tmp_path / "a.onnx") == outside
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1] + b"x")
    assert len({inside, outside, file_hash(tmp_path / "a.onnx")}) == 3


def test_weights_outside_of_the_folder_are_refused(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/a.onnx").write_bytes(b"\x0a\x08location\x12\x08../w.bin")
    write_card(tmp_path / "m", card("onnx", "a.onnx"))
    with pytest.raises(InvalidInput, match="outside of its folder") as error:
        open_model(tmp_path / "m", device="cpu")
    assert error.value.problem.code == "E502"
