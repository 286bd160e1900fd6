"""Last-layer Laplace: exact posteriors, Hessians by autograd, which layer is last, and what is chosen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from plausible.train.batches import PreparedCase, places_of
from plausible.train.curvature import Curvature, gauss_newton, gradient
from plausible.train.laplace import METHOD, LaplaceFunctions, choose, log_evidence, pooled_nll, posterior
from plausible.train.last_layer import Observed, features_of, last_layer_of, matrix_of, observe, put_matrix
from plausible.train.network import NETWORKS, build_network
from tests.train.trajectories import SHORT, digests, job_of, predicted, train_interrupted, trained_with

PATCH = (8, 12, 16)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("laplace")
    return trained_with(dataset, folder, "laplace"), folder


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network_of(architecture, folder, *, supervised=False):
    settings = replace(SHORT, architecture=architecture, width=4, deep_supervision=supervised)
    return build_network(job_of(settings, folder).plan, channels=1, outputs=3, seed=0).eval()


def observed(n, *, exclusive, seed=0, weights=None):
    """Voxels with four features, whose targets are drawn from the model itself."""
    random = generator(seed)
    features = torch.randn(n, 4, generator=random)
    weights = torch.randn(3, 4, generator=generator(9)) if weights is None else weights
    logits = features @ weights.T
    if exclusive:
        classes = torch.multinomial(torch.softmax(logits, dim=1), 1, generator=random)[:, 0]
        targets = torch.nn.functional.one_hot(classes, 3).float()
    else:
        targets = (torch.rand(n, 3, generator=random) < torch.sigmoid(logits)).float()
    return Observed(features, logits, targets, torch.ones(n))


def loss_of(seen, exclusive):
    """Summed cross-entropy as a function of the weights, in float64."""
    x, y, share = seen.features.double(), seen.targets.double(), seen.share.double()

    def loss(flat):
        logits = x @ flat.reshape(3, 4).T
        if exclusive:
            return (share * cross_entropy(logits, y, reduction="none")).sum()
        binary = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
        return (share[:, None] * binary).sum()

    return loss


def test_linear_gaussian_model_has_its_exact_posterior():
    x = torch.randn(40, 5, generator=generator(), dtype=torch.float64)
    sigma2, precision = 0.3, 2.0
    found = posterior(x.T @ x / sigma2, prior_precision=precision)
    exact = torch.linalg.inv(x.T @ x / sigma2 + precision * torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(found.factor @ found.factor.T, exact)


def test_tempering_is_as_if_there_were_fewer_observations():
    x = torch.randn(40, 5, generator=generator(), dtype=torch.float64)
    doubled = posterior(2 * x.T @ x, prior_precision=3.0, likelihood_weight=0.5)
    once = posterior(x.T @ x, prior_precision=3.0)
    torch.testing.assert_close(doubled.factor @ doubled.factor.T, once.factor @ once.factor.T)


@pytest.mark.parametrize("exclusive", [True, False])
def test_curvature_and_gradient_are_those_of_autograd(exclusive):
    weights = torch.randn(3, 4, generator=generator(9))
    seen = observed(50, exclusive=exclusive, weights=weights)
    seen = Observed(seen.features, seen.logits, seen.targets, torch.rand(50, generator=generator(5)))
    loss, at = loss_of(seen, exclusive), weights.double().flatten()
    hessian = torch.autograd.functional.hessian(loss, at)
    slope = torch.autograd.functional.jacobian(loss, at)
    torch.testing.assert_close(gauss_newton(seen, exclusive=exclusive), hessian, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradient(seen, exclusive=exclusive), slope, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("exclusive", [True, False])
def test_independent_voxels_count_fully_and_copies_count_once(exclusive):
    cases = [observed(30, exclusive=exclusive, seed=seed) for seed in range(400)]

    def told(copies):
        parts = [Curvature.of([seen] * copies, exclusive=exclusive) for seen in cases]
        total = parts[0]
        for part in parts[1:]:
            total = total.merge(part)
        return total

    once, thrice = told(1), told(3)
    assert once.likelihood_weight() == pytest.approx(1, abs=0.15)
    assert thrice.likelihood_weight() == pytest.approx(1 / 3, abs=0.05)
    torch.testing.assert_close(thrice.hessian, 3 * once.hessian)


def test_a_slope_that_all_cases_share_does_not_count_as_their_difference():
    """Weights that are not at the optimum of the cross-entropy: scores have a mean, and J is their spread about it."""
    scores = [torch.tensor([3.0, 1.0]), torch.tensor([5.0, 1.0]), torch.tensor([4.0, 4.0])]
    parts = [Curvature(torch.eye(2).double(), torch.outer(s, s).double(), s.double()) for s in scores]
    together = parts[0].merge(parts[1]).merge(parts[2])
    expected = 3 * torch.cov(torch.stack(scores).double().T)
    torch.testing.assert_close(together.spread, expected)


def test_evidence_of_a_linear_gaussian_model():
    x = torch.randn(30, 4, generator=generator(), dtype=torch.float64)
    y = x @ torch.tensor([1.0, -0.5, 0.3, 0.0], dtype=torch.float64)
    y = y + torch.randn(30, generator=generator(1), dtype=torch.float64)

    def both(precision):
        """Log p(y) exactly and by Laplace at the mode, each up to the same constant."""
        covariance = torch.eye(30, dtype=torch.float64) + x @ x.T / precision
        exact = torch.distributions.MultivariateNormal(torch.zeros(30, dtype=torch.float64), covariance).log_prob(y)
        mode = torch.linalg.solve(x.T @ x + precision * torch.eye(4, dtype=torch.float64), x.T @ y)
        fit = -(y - x @ mode).square().sum() / 2
        return float(exact), float(fit) + log_evidence(x.T @ x, mode[None], prior_precision=precision, weight=1.0)

    told = [both(precision) for precision in (0.1, 1.0, 10.0)]
    assert [a - told[0][0] for a, _ in told] == pytest.approx([b - told[0][1] for _, b in told])


def test_validation_decides_how_wide_the_posterior_is():
    """Where validation contradicts confident logits, a wider posterior is chosen than where it agrees."""
    weights = 4 * torch.randn(3, 4, generator=generator(9))
    seen = observed(3000, exclusive=True, weights=weights)
    told = Curvature.of([seen], exclusive=True)
    turned = Observed(seen.features, seen.logits, seen.targets[torch.randperm(3000, generator=generator())], seen.share)
    spreads = []
    for validation in ([seen], [turned]):
        found = choose(told, weights, validation, exclusive=True, seed=0)
        spreads.append(float(found.factor.square().sum()))
        chosen = pooled_nll(validation, found, shape=(3, 4), exclusive=True, seed=0)
        other = posterior(told.hessian, prior_precision=1.0, likelihood_weight=told.likelihood_weight())
        assert chosen <= pooled_nll(validation, other, shape=(3, 4), exclusive=True, seed=0)
    assert spreads[1] > 2 * spreads[0]


def test_pooled_likelihood_of_a_narrow_posterior_is_that_of_the_logits():
    for exclusive in (True, False):
        seen = observed(200, exclusive=exclusive)
        narrow = posterior(torch.zeros(12, 12, dtype=torch.float64), prior_precision=1e12)
        found = pooled_nll([seen], narrow, shape=(3, 4), exclusive=exclusive, seed=0)
        weights = torch.randn(3, 4, generator=generator(9)).double().flatten()
        assert found == pytest.approx(float(loss_of(seen, exclusive)(weights)) / 200, rel=1e-4)


@pytest.mark.parametrize("architecture", list(NETWORKS))
def test_logits_are_linear_in_the_last_layer_of_every_architecture(architecture, tmp_path):
    network = network_of(architecture, tmp_path)
    images = torch.randn(2, 1, *PATCH, generator=generator())
    layer = network.get_submodule(last_layer_of(network, images))
    seen = []
    hook = layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        before = network(images)
        matrix = matrix_of(layer)
        change = torch.randn(matrix.shape, generator=generator(1))
        put_matrix(layer, matrix + change)
        after = network(images)
    hook.remove()
    expected = (features_of(layer, seen[0]) @ change.T).movedim(-1, 1)
    torch.testing.assert_close(after - before, expected, rtol=1e-4, atol=1e-4)
    assert float(expected.abs().max()) > 0.1


def test_heads_of_deep_supervision_are_not_the_last_layer(tmp_path):
    for supervised in (False, True):
        network = network_of("dynunet", tmp_path, supervised=supervised)
        assert last_layer_of(network, torch.zeros(1, 1, *PATCH)) == "output_block.conv.conv"
    with pytest.raises(ValueError, match="does not end with a convolution"):
        last_layer_of(torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3, stride=2)), torch.zeros(1, 1, 8, 8, 8))


def test_every_voxel_of_a_case_counts_once_in_whatever_windows(tmp_path):
    job = job_of(SHORT, tmp_path)
    network = network_of("dynunet", tmp_path)
    random = np.random.default_rng(0)
    for shape in ((5, 12, 16), (8, 20, 17), (11, 7, 40)):
        labels = random.integers(0, 3, shape).astype(np.int32)
        case = PreparedCase(random.normal(size=(1, *shape)).astype(np.float32), labels, places_of(labels))
        windows = list(observe(network, "output_block.conv.conv", case, job))
        counts = sum((window.targets * window.share[:, None]).sum(dim=0) for window in windows)
        np.testing.assert_allclose(counts.numpy(), np.bincount(labels.ravel()), rtol=1e-5)
        for window in windows:
            matrix = matrix_of(network.get_submodule("output_block.conv.conv"))
            torch.testing.assert_close(window.features @ matrix.T, window.logits, rtol=1e-4, atol=1e-4)
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_draws_have_the_covariance_and_the_point_prediction_is_the_trained_layer():
    x = torch.randn(30, 6, generator=generator(), dtype=torch.float64)
    found = posterior(x.T @ x, prior_precision=1.0)
    layer = torch.nn.Conv3d(1, 2, (1, 1, 2))
    mean = matrix_of(layer)
    functions = LaplaceFunctions(torch.nn.Sequential(layer), "0", mean, found.factor)
    rows = torch.stack([functions.matrix(seed).flatten() for seed in range(4000)]).double()
    exact = found.factor @ found.factor.T
    scale = torch.outer(exact.diagonal(), exact.diagonal()).sqrt()
    assert float(((torch.cov(rows.T) - exact) / scale).abs().max()) < 0.1
    functions.draw(5, shape=PATCH)
    torch.testing.assert_close(matrix_of(layer), functions.matrix(5))
    functions.draw(None, shape=PATCH)
    torch.testing.assert_close(matrix_of(layer), mean)


def test_what_is_kept_and_what_it_is_called(trained, dataset, tmp_path):
    result, folder = trained
    (record,) = result.info.members
    assert result.info.ensemble == "single member (last-layer Laplace)"
    kept = torch.load(folder / record.weights, weights_only=True)
    factor = kept["output_block.conv.conv.covariance_factor"]
    assert (factor.dtype, factor.shape) == (torch.float64, (3 * (2 + 1), 3 * (2 + 1)))
    assert 0 < float(kept["output_block.conv.conv.likelihood_weight"]) <= 1
    assert float(kept["output_block.conv.conv.prior_precision"]) > 0
    plain = trained_with(dataset, tmp_path / "plain", "plain").info.members[0]
    alone = torch.load(tmp_path / "plain" / plain.weights, weights_only=True)
    assert all(torch.equal(kept[name], alone[name]) for name in alone)
    assert record.validation_dice == plain.validation_dice


def test_without_validation_cases_the_marginal_likelihood_decides(dataset, tmp_path):
    from plausible.train import Split, train_ensemble

    settings = replace(SHORT, method="laplace")
    split = Split(("case_0", "case_1", "case_2"))
    train_ensemble(dataset, tmp_path / "m", members=1, settings=settings, split=split, threads=1)
    assert len(predicted(dataset, tmp_path / "m", draws=2)) == 2


def test_draws_repeat_by_seed_and_differ_otherwise(trained, dataset):
    first, again = (predicted(dataset, trained[1], draws=2) for _ in range(2))
    other = predicted(dataset, trained[1], draws=2, seed=1)
    for name, probabilities in first.items():
        np.testing.assert_array_equal(probabilities, again[name])
        assert np.abs(probabilities - other[name]).max() > 1e-5
    a, b = first.values()
    assert np.abs(a - b).max() > 1e-5


def test_interrupted_ends_with_the_same_bytes(trained, dataset, tmp_path, monkeypatch):
    again = train_interrupted(dataset, tmp_path / "m", "laplace", monkeypatch, at=11)
    assert digests(again) == digests(trained[0])


def test_weights_without_a_gaussian_are_refused():
    layer = torch.nn.Conv3d(1, 2, 1)
    with pytest.raises(ValueError, match="no Gaussian"):
        METHOD.functions(torch.nn.Sequential(layer), {"0.weight": layer.weight, "0.bias": layer.bias}, SHORT)
