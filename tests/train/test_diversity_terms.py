"""Terms that make members differ, against arithmetic: gradients, a Gaussian target, cosines by hand."""

import math
from typing import get_args

import numpy as np
import pytest
import torch

from plausible.train import DIVERSITY_OBJECTIVES, METHODS, DiversitySettings
from plausible.train.coupled import TRAINERS
from plausible.train.coupling import Coupling, boundary_band
from plausible.train.diversity_images import ARTEFACTS_IN_TRAINING, shuffled, spoilt
from plausible.train.diversity_objectives import How, told_by
from plausible.train.function_repulsion import function_repulsion, log_kernel, median_bandwidth, squared_distances
from plausible.train.hooks import one_per_class, supervised
from plausible.train.negative_correlation import negative_correlation
from plausible.train.orthogonal_filters import Orthogonality, cosine_squares, unit_filters, within_layer
from tests.docs.blocks import ROOT

M, N, C = 3, 11, 4


def networks() -> list[torch.nn.Module]:
    """Three small networks from 5 features to probabilities of four classes, each of its seed."""
    found = []
    for seed in range(M):
        torch.manual_seed(seed)
        layers = (torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, C), torch.nn.Softmax(dim=1))
        found.append(torch.nn.Sequential(*layers).double())
    return found


def gradients(loss: torch.Tensor, members: list[torch.nn.Module]) -> list[torch.Tensor]:
    parameters = [p for member in members for p in member.parameters()]
    return list(torch.autograd.grad(loss, parameters))


def predictions(members: list[torch.nn.Module]) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities `m n c` of the same inputs, and targets `n c`."""
    rng = torch.Generator().manual_seed(7)
    inputs = torch.randn(N, 5, generator=rng, dtype=torch.float64)
    targets = torch.nn.functional.one_hot(torch.randint(C, (N,), generator=rng), C).double()
    return torch.stack([member(inputs) for member in members]), targets


def squared_error(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (p - y).square().sum(dim=-1).mean(dim=-1)


@pytest.mark.parametrize("name", DIVERSITY_OBJECTIVES)
def test_every_objective_says_where_it_comes_from_and_has_a_trainer(name):
    objective = DIVERSITY_OBJECTIVES[name]
    assert objective.name == name
    assert objective.summary.endswith(".")
    assert any(mark in objective.source for mark in ("arXiv", "doi"))
    assert objective.how in TRAINERS
    assert callable(objective.load())
    assert told_by(DiversitySettings(diversity=name).asked).startswith(f"{objective.label}, {objective.symbol} ")


def test_every_way_of_training_is_used():
    assert {objective.how for objective in DIVERSITY_OBJECTIVES.values()} == set(get_args(How)) == set(TRAINERS)


def test_methods_with_a_loss_of_their_own_are_known():
    loaded = {name: method.load() for name, method in METHODS.items()}
    own = {name for name, m in loaded.items() if m.objective is not supervised or m.outputs is not one_per_class}
    assert own == {name for name, method in METHODS.items() if method.own_loss}


@pytest.mark.parametrize("name", ["negative_correlation", "function_repulsion"])
def test_terms_are_one_number_a_member_and_vanish_with_their_weight(name):
    members = networks()
    p, _ = predictions(members)
    found = DIVERSITY_OBJECTIVES[name].load()(p, weight=0.0)
    assert found.shape == (M,)
    assert all(not g.any() for g in gradients(found.sum(), members))
    single = DIVERSITY_OBJECTIVES[name].load()(p[:1], weight=1.0)
    assert single.tolist() == [0.0]


def test_negative_correlation_at_0_has_the_gradient_of_members_on_their_own():
    members = networks()
    p, y = predictions(members)
    joint = gradients((squared_error(p, y) + negative_correlation(p, weight=0.0)).sum(), members)
    alone = []
    for m, member in enumerate(members):
        p, y = predictions(members)
        alone += gradients(squared_error(p[m], y), [member])
    assert all(torch.equal(a, b) for a, b in zip(joint, alone, strict=True))


def test_negative_correlation_at_1_has_the_gradient_of_the_ensembles_squared_error():
    members = networks()
    p, y = predictions(members)
    joint = gradients((squared_error(p, y) + negative_correlation(p, weight=1.0)).sum(), members)
    p, y = predictions(members)
    ensemble = gradients(M * squared_error(p.mean(dim=0), y), members)
    torch.testing.assert_close(joint, ensemble, rtol=1e-12, atol=1e-14)


def test_negative_correlation_rewards_distance_from_the_mean():
    p = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert negative_correlation(p, weight=0.5).tolist() == [-0.5 * (0.5**2 + 0.5**2)] * 2
    assert negative_correlation(p, weight=-1.0).tolist() == [0.5, 0.5]


def particles(*, bandwidth: float | None, n: int = 200, steps: int = 1500, rate: float = 0.05) -> torch.Tensor:
    """Particles that climb log N(0, 1) and repel each other, from a narrow start away from the mode."""
    generator = torch.Generator().manual_seed(0)
    x = (1 + 0.1 * torch.randn(n, 1, generator=generator, dtype=torch.float64)).requires_grad_()
    for _ in range(steps):
        loss = (x**2 / 2).sum()
        if bandwidth is not None:
            loss = loss + log_kernel(squared_distances(x), bandwidth=bandwidth).sum()
        (slope,) = torch.autograd.grad(loss, x)
        with torch.no_grad():
            x -= rate * slope
    return x.detach()[:, 0]


def test_particles_of_a_standard_normal_have_its_variance():
    """A kernel exp(-d²/h) widens the particles by h/2, so that they settle at a variance of 1 - h/2."""
    for bandwidth in (0.5, 0.1):
        x = particles(bandwidth=bandwidth)
        assert abs(float(x.mean())) < 0.02
        assert float(x.var()) == pytest.approx(1 - bandwidth / 2, abs=0.04)


def test_without_a_kernel_all_particles_go_to_the_mode():
    x = particles(bandwidth=None)
    assert float(x.abs().max()) < 1e-6


def test_repulsion_is_the_gradient_of_wasserstein_gradient_descent():
    f = torch.tensor([[0.1, 0.9], [0.4, 0.6], [0.5, 0.5]], dtype=torch.float64)
    p = f[:, None].clone().requires_grad_()
    (found,) = torch.autograd.grad(function_repulsion(p, weight=1.0).sum(), p)
    d = ((f[:, None] - f[None]) ** 2).mean(dim=2)
    h = sorted([d[0, 1], d[0, 2], d[1, 2]])[1] / math.log(4)
    k = torch.exp(-d / h)
    by_hand = torch.stack([sum(k[i, j] * -2 / 2 * (f[i] - f[j]) / h for j in range(3)) / k[i].sum() for i in range(3)])
    torch.testing.assert_close(found[:, 0], by_hand)


def test_members_equally_far_apart_have_a_kernel_of_one_in_m_plus_1():
    f = torch.eye(5).double()
    d = squared_distances(f)
    assert torch.allclose(d[~torch.eye(5, dtype=torch.bool)], torch.full((20,), 2 / 5).double())
    expected = math.log(1 + 4 * (1 / 6))
    assert log_kernel(d, bandwidth=median_bandwidth(d)).tolist() == pytest.approx([expected] * 5)


def test_members_at_the_same_place_have_finite_terms():
    p = torch.full((3, 4, 2), 0.5, requires_grad=True)
    found = function_repulsion(p, weight=1.0)
    (slope,) = torch.autograd.grad(found.sum(), p)
    assert found.tolist() == pytest.approx([math.log(3)] * 3)
    assert not slope.any()


def small_network(rows: list[list[float]]) -> torch.nn.Module:
    layer = torch.nn.Conv3d(2, len(rows), 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows).reshape(len(rows), 2, 1, 1, 1))
    return torch.nn.Sequential(layer)


def test_filters_are_compared_by_their_cosines():
    """(3, 4) and (4, 3) have a cosine of 24/25; (2, 0) one of 3/5 with the first and 4/5 with the second."""
    network = small_network([[3.0, 4.0], [4.0, 3.0]])
    assert Orthogonality(1.0)(network).item() == pytest.approx((24 / 25) ** 2)
    earlier = [{"0": torch.tensor([[1.0, 0.0]])}, {"0": torch.tensor([[0.0, 1.0], [1.0, 0.0]])}]
    between = ((3 / 5) ** 2 + (4 / 5) ** 2, (4 / 5) ** 2 + (3 / 5) ** 2 + (3 / 5) ** 2 + (4 / 5) ** 2)
    expected = 0.1 * ((24 / 25) ** 2 + sum(between) / 2)
    assert Orthogonality(0.1, earlier)(network).item() == pytest.approx(expected)


def test_orthogonal_filters_cost_nothing():
    network = small_network([[3.0, 0.0], [0.0, 0.1]])
    assert Orthogonality(1.0)(network).item() == 0
    one = small_network([[5.0, 0.0]])
    assert Orthogonality(1.0, [{"0": torch.tensor([[0.0, 1.0]])}])(one).item() == 0
    assert Orthogonality(1.0, [{"elsewhere": torch.tensor([[1.0, 0.0]])}])(one).item() == 0


def test_filters_of_a_transposed_convolution_are_its_output_channels():
    layer = torch.nn.ConvTranspose3d(2, 3, (1, 2, 1), bias=False)
    (filters,) = unit_filters(torch.nn.Sequential(layer)).values()
    assert filters.shape == (3, 2 * 2)
    expected = layer.weight[:, 1].flatten() / layer.weight[:, 1].norm()
    torch.testing.assert_close(filters[1], expected)
    assert float(cosine_squares(filters[:1].detach(), filters[:1].detach())) == pytest.approx(1)
    assert within_layer(filters[:1]).item() == pytest.approx(0, abs=1e-6)


def test_band_reaches_as_far_as_told_along_each_axis():
    masks = torch.zeros(1, 2, 7, 9, 5)
    masks[0, 1, 3, 4, 2] = 1
    masks[0, 0] = 1 - masks[0, 1]
    band = boundary_band(masks, reach=(1, 2, 1))
    expected = torch.zeros(7, 9, 5, dtype=torch.bool)
    expected[2:5, 2:7, 1:4] = True
    assert torch.equal(band[0], expected)
    assert not boundary_band(torch.ones(1, 1, 7, 9, 5), reach=(1, 1, 1)).any()


def test_members_are_compared_near_the_boundary_only():
    logits = [torch.zeros(1, 2, 7, 9, 5), torch.zeros(1, 2, 7, 9, 5)]
    logits[1][0, 0, 0, 0, 0] = 50.0
    masks = torch.zeros(1, 2, 7, 9, 5)
    masks[0, 1, 3, 4, 2] = 1
    masks[0, 0] = 1 - masks[0, 1]
    near = Coupling(negative_correlation, 1.0, "boundary", (1, 1, 1), exclusive=True)
    everywhere = Coupling(negative_correlation, 1.0, "all", (1, 1, 1), exclusive=True)
    assert near(logits, masks).tolist() == [0, 0]
    away = 2 * (1 / 4) ** 2 / (7 * 9 * 5)
    assert everywhere(logits, masks).tolist() == pytest.approx([-away, -away])
    assert near(logits, torch.ones(1, 2, 7, 9, 5)).tolist() == [0, 0]


def test_without_labels_the_boundary_is_that_of_the_mean_prediction():
    logits = torch.zeros(1, 2, 7, 9, 5)
    logits[0, 1, :3] = 9.0
    logits[0, 0, 3:] = 9.0
    coupling = Coupling(lambda p, *, weight: torch.full((len(p),), float(p.shape[1])), 1.0, "boundary", (1, 2, 1), True)
    assert coupling([logits, logits], None).tolist() == [2 * 9 * 5] * 2


def test_shuffled_images_have_the_same_voxels_elsewhere():
    image = np.arange(2 * 9 * 7 * 5, dtype=np.float32).reshape(2, 9, 7, 5)
    found = shuffled(image, np.random.default_rng(0))
    assert found.shape == image.shape
    assert not np.array_equal(found, image)
    for channel in range(2):
        assert np.array_equal(np.sort(found[channel], axis=None), np.sort(image[channel], axis=None))
    assert np.array_equal(found, shuffled(image, np.random.default_rng(0)))


def test_artefacts_leave_the_grid_and_take_every_kind():
    image = np.random.default_rng(0).normal(size=(2, 9, 7, 5)).astype(np.float32)
    kinds = {spoilt(image, np.random.default_rng(seed)).tobytes() for seed in range(12)}
    assert len(kinds) > len(ARTEFACTS_IN_TRAINING)
    assert spoilt(image, np.random.default_rng(0)).shape == image.shape


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"diversity_weight": 0.5}, "need an objective"),
        ({"diversity": "negative_correlation", "diversity_weight": math.nan}, "must be a number"),
        ({"diversity": "function_repulsion", "diversity_weight": -0.1}, "of negative_correlation only"),
        ({"diversity": "negative_correlation", "boundary_mm": 0.0}, "boundary_mm must be above 0"),
        ({"diversity": "last_layer_repulsion", "diversity_images": "training"}, "never on training"),
        ({"diversity": "orthogonal_filters", "diversity_at": "all"}, "no voxels"),
    ],
)
def test_settings_that_make_no_sense_are_refused(told, said):
    with pytest.raises(ValueError, match=said):
        DiversitySettings(**told)


def test_what_is_asked_holds_what_has_a_say():
    assert DiversitySettings().asked == {}
    assert DiversitySettings(diversity="orthogonal_filters").asked == {
        "diversity": "orthogonal_filters",
        "diversity_weight": 0.1,
    }
    everywhere = DiversitySettings(diversity="negative_correlation", diversity_at="all", diversity_weight=-1.0).asked
    assert everywhere == {
        "diversity": "negative_correlation",
        "diversity_weight": -1.0,
        "diversity_at": "all",
        "diversity_images": "training",
    }


@pytest.mark.parametrize("name", DIVERSITY_OBJECTIVES)
def test_every_objective_has_its_part_of_the_page(name):
    page = (ROOT / "docs/methods/diversity_training.md").read_text(encoding="utf-8")
    assert f"## `{name}`" in page
    assert "<!-- diversity objectives -->" in page
