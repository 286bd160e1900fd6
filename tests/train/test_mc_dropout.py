"""Dropout of whole channels: closed form, one mask a seed, placement, and training that resumes."""

import copy
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.networks.nets.attentionunet import AttentionUnet
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.unet import UNet

from plausible.core import InvalidInput
from plausible.train import member as member_module
from plausible.train import train_ensemble
from plausible.train.dropout import FixedDropout, kept_channels, train_with_dropout
from plausible.train.dropout_places import places_in, places_named
from plausible.train.fingerprint import Fingerprint
from plausible.train.grid import ChannelFingerprint
from plausible.train.mc_dropout import METHOD, DropoutFunctions
from plausible.train.network import NETWORKS, build_network, weights_of
from plausible.train.plan import plan
from tests.cli.program import run_until_killed, without_time
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY, TINY_OPTIONS

DROPPING = replace(TINY, method="mc_dropout", dropout_rate=0.3)
PATCH = (8, 12, 16)
MR = ChannelFingerprint(
    name="MR", scheme="z-score", mean=0.0, sd=1.0, percentile_00_5=-3.0, percentile_99_5=3.0, zero_share=0.0
)


class Linear(torch.nn.Module):
    """w . x with a place for dropout in between: four channels in, one out."""

    def __init__(self) -> None:
        super().__init__()
        self.before = torch.nn.Identity()
        self.after = torch.nn.Linear(4, 1, bias=False)
        self.after.weight.data = torch.tensor([[0.5, -1.0, 2.0, 0.25]])

    def forward(self, x):
        return self.after(self.before(x))


X = torch.tensor([[1.0, 2.0, -0.5, 3.0]])
MEAN = 0.5 - 2.0 - 1.0 + 0.75
SQUARES = 0.5**2 + 2.0**2 + 1.0**2 + 0.75**2


def network_of(architecture: str, *, filters_from: int = 4, supervised: bool = False):
    fingerprint = Fingerprint(
        n_cases=1,
        median_size_mm=(8.0, 12.0, 16.0),
        median_spacing_mm=(1.0, 1.0, 1.0),
        fine_spacing_mm=(1.0, 1.0, 1.0),
        channels=(MR,),
    )
    settings = replace(TINY, architecture=architecture, width=filters_from, patch=PATCH, deep_supervision=supervised)
    return build_network(plan(fingerprint, settings), channels=1, outputs=3, seed=0)


def draws(network, places, x, *, rate, n):
    with torch.inference_mode():
        for seed in range(n):
            with FixedDropout(network, places, rate, seed).applied():
                yield network(x)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_linear_layer_has_the_closed_form_mean_and_variance_over_seeds(rate):
    n = 2000
    values = torch.cat(list(draws(Linear(), ("before",), X, rate=rate, n=n))).flatten().numpy()
    variance = rate / (1 - rate) * SQUARES
    assert values.mean() == pytest.approx(MEAN, abs=4 * np.sqrt(variance / n))
    assert values.var() == pytest.approx(variance, rel=0.15)


def test_training_draws_another_mask_for_each_sample_with_the_same_closed_form():
    torch.manual_seed(0)
    network, n = train_with_dropout(Linear(), ("before",), rate=0.3), 5000
    values = network(X.repeat(n, 1)).detach().flatten()
    assert float(values.mean()) == pytest.approx(MEAN, abs=4 * np.sqrt(0.3 / 0.7 * SQUARES / n))
    assert float(values.var()) == pytest.approx(0.3 / 0.7 * SQUARES, rel=0.1)
    torch.testing.assert_close(network.eval()(X), Linear()(X), rtol=0, atol=0)


def test_channels_are_left_out_whole():
    network = torch.nn.Sequential(torch.nn.Identity())
    for seed in range(5):
        with FixedDropout(network, ("0",), 0.5, seed).applied():
            found = network(torch.ones(2, 16, 3, 4, 5))
        per_channel = found.flatten(2)
        assert torch.equal(per_channel.amin(2), per_channel.amax(2))
        assert set(found.unique().tolist()) == {0.0, 2.0}
        assert torch.equal(found[0], found[1])


def test_random_masks_differ_between_samples_of_a_batch():
    torch.manual_seed(0)
    found = train_with_dropout(torch.nn.Sequential(torch.nn.Identity()), ("0",), rate=0.5)(torch.ones(2, 64, 3, 4, 5))
    assert not torch.equal(found[0], found[1])
    assert set(found.unique().tolist()) == {0.0, 2.0}


def test_a_mask_is_a_function_of_seed_and_name_alone():
    kept = kept_channels("a", 1000, rate=0.3, seed=5)
    assert kept.mean() == pytest.approx(0.7, abs=0.05)
    assert (kept == kept_channels("a", 1000, rate=0.3, seed=5)).all()
    for other in (kept_channels("b", 1000, rate=0.3, seed=5), kept_channels("a", 1000, rate=0.3, seed=6)):
        assert np.corrcoef(kept, other)[0, 1] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("architecture", list(NETWORKS))
def test_every_architecture_is_itself_without_a_mask_and_another_function_with_each(architecture):
    network = network_of(architecture).eval()
    functions = DropoutFunctions(network, places_in(network), 0.3)
    x = torch.randn(2, 1, *PATCH, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        plain = network(x)
        off, first, again, second = (functions.draw(seed, shape=PATCH)(x, []) for seed in (None, 0, 0, 1))
        assert torch.equal(off, plain)
        assert torch.equal(first, again)
        assert min(float((a - b).abs().max()) for a, b in ((first, plain), (second, plain), (first, second))) > 1e-3
        assert torch.equal(network(x), plain)
    assert not any(module._forward_hooks for module in network.modules())


def test_masks_in_turn_do_not_disturb_each_other():
    network = network_of("dynunet")
    functions, x = DropoutFunctions(network, places_in(network), 0.3), torch.randn(1, 1, *PATCH)
    with torch.inference_mode():
        first, second = (functions.draw(seed, shape=PATCH) for seed in (0, 1))
        expected = first(x, []), second(x, [])
        assert torch.equal(first(x, []), expected[0])
        assert torch.equal(second(x, []), expected[1])


@pytest.mark.parametrize("architecture", list(NETWORKS))
def test_no_norm_reads_a_channel_that_was_left_out(architecture):
    """A norm would undo the scaling and give a missing channel its bias: with dropout at a block, norms that see the
    block's output directly would see exact zeros of whole channels."""
    network = network_of(architecture, filters_from=8).eval()
    seen = []

    def watch(module, inputs):
        seen.append(bool((inputs[0].flatten(2).abs().amax(2) == 0).any()))

    for module in network.modules():
        if "Norm" in type(module).__name__:
            module.register_forward_pre_hook(watch)
    with torch.inference_mode(), FixedDropout(network, places_in(network), 0.3, 0).applied():
        network(torch.randn(1, 1, *PATCH))
    assert len(seen) > 5
    assert not any(seen)


@pytest.mark.parametrize("architecture", list(NETWORKS))
def test_places_are_blocks_by_level_and_never_the_output(architecture):
    network = network_of(architecture).eval()
    every, inner, bottleneck = (places_in(network, where) for where in ("all", "inner", "bottleneck"))
    assert set(bottleneck) < set(inner) < set(every)
    sizes = {}
    hooks = [
        module.register_forward_hook(lambda m, i, o, name=name: sizes.update({name: o.shape[2:].numel()}))
        for name, module in network.named_modules()
        if name in every
    ]
    output = network(torch.zeros(1, 1, *PATCH))
    assert {hook.remove() for hook in hooks} == {None}
    assert {sizes[name] for name in bottleneck} == {min(sizes.values())}
    assert {name for name in every if sizes[name] == max(sizes.values())} == set(every) - set(inner)
    assert all(network.get_submodule(name).state_dict() for name in every)
    last = [name for name, module in network.named_modules() if getattr(module, "out_channels", 0) == output.shape[1]]
    assert last
    assert not any(name.startswith(place) for name in last for place in every)


def test_places_in_dynunet_by_hand():
    network = DynUNet(3, 1, 3, (3,) * 4, (1, 2, 2, 2), (2, 2, 2), filters=(4, 8, 16, 32))
    up = ("upsamples.0", "upsamples.1", "upsamples.2")
    assert places_in(network) == ("input_block", "downsamples.0", "downsamples.1", "bottleneck", *up)
    assert places_in(network, "inner") == ("downsamples.0", "downsamples.1", "bottleneck", *up[:2])
    assert places_in(network, "bottleneck") == ("bottleneck",)
    assert places_in(torch.nn.ModuleDict({"inside": network}), "bottleneck") == ("inside.bottleneck",)


def test_places_in_monai_networks_that_nest_their_levels():
    attention = AttentionUnet(3, 1, 3, (8, 16, 32), (2, 2))
    deepest = "model.1.submodule.1.submodule"
    assert set(places_in(attention, "inner")) == {"model.1.submodule.0", "model.1.submodule.1.merge", deepest}
    assert set(places_in(attention)) == {*places_in(attention, "inner"), "model.0", "model.1.merge"}
    assert places_in(UNet(3, 1, 3, (8, 16, 32), (2, 2)), "bottleneck") == (deepest,)


def test_wildcards_stay_within_one_part_of_a_name():
    network = DynUNet(3, 1, 3, (3,) * 4, (1, 2, 2, 2), (2, 2, 2), filters=(4, 8, 16, 32))
    assert places_named(network, ("upsamples.*",)) == ("upsamples.0", "upsamples.1", "upsamples.2")
    assert places_named(network, ("bottleneck", "bott*")) == ("bottleneck",)
    assert places_named(network, ("*.0.conv1",)) == ("downsamples.0.conv1",)
    with pytest.raises(InvalidInput, match=r"no module encoder\.\*.*\n.*input_block, bottleneck") as error:
        places_named(network, ("bottleneck", "encoder.*"))
    assert error.value.problem.code == "E505"
    with pytest.raises(InvalidInput, match="no module upsamples\n"):
        places_named(network, ("upsamples",))


def test_networks_and_modules_that_cannot_be_used_are_refused():
    with pytest.raises(InvalidInput, match=r"Linear, in which no place.*\n.*there are before, after") as error:
        places_in(Linear())
    assert error.value.problem.code == "E505"
    network = torch.nn.Sequential(torch.nn.Identity(), torch.nn.LSTM(4, 4))
    with (
        pytest.raises(InvalidInput, match=r"1 \(LSTM\) gives no array"),
        FixedDropout(network, ("1",), 0.1, 0).applied(),
    ):
        network(X)
    idle = Linear()
    idle.never = torch.nn.Identity()
    with pytest.raises(InvalidInput, match="nothing goes through never"):
        list(draws(idle, ("before", "never"), X, rate=0.1, n=1))
    for rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"\[0, 1\)"):
            FixedDropout(network, ("0",), rate, 0)
    assert not any(module._forward_hooks for module in (*network.modules(), *idle.modules()))


def test_a_copy_of_a_network_in_training_has_masks_of_its_own():
    network = train_with_dropout(torch.nn.Sequential(torch.nn.Identity()), ("0",), rate=0.5)
    both = network, copy.deepcopy(network)
    torch.manual_seed(0)
    first, second = (one(torch.ones(1, 64, 1, 1, 1)) for one in both)
    assert not torch.equal(first, second)
    assert set(second.unique().tolist()) == {0.0, 2.0}


def test_a_mask_of_inference_can_be_trained_through():
    network = Linear()
    dropout = FixedDropout(network, ("before",), 0.5, 0)
    with torch.inference_mode(), dropout.applied():
        expected = network(X)
    with dropout.applied():
        found = network(X.clone().requires_grad_())
    found.sum().backward()
    torch.testing.assert_close(found.detach(), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_type_of_the_network_is_kept_and_the_scale_is_exact(dtype):
    network = torch.nn.Sequential(torch.nn.Identity())
    with FixedDropout(network, ("0",), 0.3, 0).applied():
        found = network(torch.full((1, 16, 2, 2, 2), 7.0, dtype=dtype))
    assert found.dtype == dtype
    assert found.max() == torch.tensor(7 / (1 - 0.3), dtype=torch.float64).to(dtype)


def test_autocast_computes_the_same_function_in_bfloat16():
    network = network_of("dynunet")
    function = DropoutFunctions(network, places_in(network), 0.3).draw(0, shape=PATCH)
    x = torch.randn(1, 1, *PATCH)
    with torch.inference_mode():
        exact = function(x, [])
        with torch.autocast("cpu", torch.bfloat16):
            rough = function(x, [])
    assert rough.dtype == torch.bfloat16
    assert float((rough - exact).abs().max()) < 0.1 * float(exact.abs().max())


def test_parameters_keep_their_names_and_deep_supervision_works():
    network = network_of("dynunet", supervised=True)
    names = list(weights_of(network))
    trained = METHOD.trainable(network, DROPPING)
    assert list(weights_of(trained)) == names
    x = torch.randn(1, 1, *PATCH)
    trained.train()
    assert not torch.equal(trained(x), trained(x))
    trained.eval()
    assert torch.equal(trained(x), trained(x))


def weights(folder, record) -> dict[str, torch.Tensor]:
    return torch.load(io.BytesIO((folder / record.weights).read_bytes()), weights_only=True)


def train(dataset, folder, **more):
    return train_ensemble(dataset, folder, **{"members": 1, "settings": DROPPING, "split": SPLIT, "threads": 1, **more})


@pytest.fixture(scope="module")
def dropped(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dropout") / "model"
    return train(dataset, folder), folder


def test_training_drops_channels_repeats_and_says_so(trained, dropped, dataset, tmp_path):
    (record,) = dropped[0].info.members
    plain = weights(trained[1], trained[0].info.members[0])
    found = weights(dropped[1], record)
    assert list(found) == list(plain)
    assert any(not torch.equal(found[name], plain[name]) for name in found)
    assert (record.method, record.training_settings.dropout_rate) == ("mc_dropout", 0.3)
    again = train(dataset, tmp_path / "again")
    assert again.info.members[0].weights_sha256 == record.weights_sha256


def test_stopped_after_a_checkpoint_ends_with_the_same_bytes(dataset, tmp_path, monkeypatch):
    """Masks are drawn from the random state that the checkpoint holds; validation on the way must not draw from it."""
    settings = replace(DROPPING, iterations=7, validate_every=2, patience=5, ema_decay=0.5, checkpoint_every=3)
    whole = train(dataset, tmp_path / "whole", settings=settings)
    step, steps = member_module._step, []

    def stop_at_the_sixth(*arguments):
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(member_module, "_step", stop_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "cut", settings=settings)
    monkeypatch.setattr(member_module, "_step", step)
    cut = train(dataset, tmp_path / "cut", settings=settings)
    assert cut.info.members[0].weights_sha256 == whole.info.members[0].weights_sha256


@pytest.mark.slow
def test_killed_with_sigkill_and_rerun_ends_with_the_same_bytes(dropped, dataset, tmp_path):
    result, folder = dropped
    (tmp_path / "split.json").write_text(json.dumps({"train": SPLIT.train, "validation": SPLIT.validation}))
    options = [*TINY_OPTIONS, "--members", 1, "--method", "mc_dropout", "--dropout-rate", 0.3]
    run_until_killed("train", dataset, "-o", tmp_path / "m", "--split", tmp_path / "split.json", *options, at=15)
    assert (tmp_path / "m/member_0/checkpoint.pt").exists()
    assert not (tmp_path / "m/model.json").exists()
    resumed = train(dataset, tmp_path / "m")
    assert without_time(resumed.info.to_dict()) == without_time(result.info.to_dict())
    (record,) = resumed.info.members
    assert (tmp_path / "m" / record.weights).read_bytes() == (folder / result.info.members[0].weights).read_bytes()
