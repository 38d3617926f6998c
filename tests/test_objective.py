"""g over sampled neighbors: against closed forms, naive loops with backward(), and autograd through the whole g."""

import numpy as np
import pytest
import torch
from test_drawn_neighbors import drawn, random_alphas

from flatlib import aggregators
from flatlib.search.objective import (
    CrossEntropy,
    aggregated_gradient,
    degraded_indices,
    draw_neighbors,
    loss_weights,
)
from flatlib.search.supernet import Supernet
from flatlib.spaces import DARTS, NAS_BENCH_201, S3

AGGREGATORS = ("mean", "max", "variance")


def g_of(losses, aggregator, lam):
    """g in torch operations only, so that autograd sees all of it."""
    if aggregator == "mean":
        return losses.sum() / len(losses)
    if aggregator == "max":
        return losses.max()
    return losses[0] + lam * ((losses - losses.mean()) ** 2).mean() ** 0.5


@pytest.fixture
def toy():
    """A loss with curvature, alphas (T, E, O) and a draw of six neighbors in float64."""
    rng = np.random.default_rng(3)
    target, scale = torch.tensor(rng.normal(size=(2, 4, 3))), torch.tensor(rng.normal(size=(2, 4, 3)))

    def loss_of(alphas):
        return ((alphas - target) ** 2 * scale.exp()).flatten(1).sum(1)

    alphas = random_alphas(rng, 2, 4, 3)
    return loss_of, alphas, draw_neighbors(alphas, 6, 2, rng, eps=0.2)


# --- Weights of the losses ------------------------------------------------------------------------


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("lam", [0.0, 1.0, 2.5])
def test_weights_are_the_derivative_of_g(aggregator, lam):
    """Sees weights that are not dg/df, such as a sample instead of a population deviation; against autograd."""
    losses = torch.tensor(np.random.default_rng(0).normal(size=7) + 2, requires_grad=True)
    g = g_of(losses, aggregator, lam)
    (expected,) = torch.autograd.grad(g, losses)
    assert torch.allclose(loss_weights(losses.detach(), aggregator, lam), expected, rtol=1e-13, atol=1e-15)
    assert g.item() == pytest.approx(aggregators.aggregator(aggregator, lam)(losses.detach().numpy()), rel=1e-14)


def test_weights_by_hand():
    """Sees 1 / N forgotten, the best instead of the worst, two of equals, and lambda passed over."""
    losses = torch.tensor([2.0, 5.0, 1.0, 5.0], dtype=torch.float64)
    assert loss_weights(losses, "mean").tolist() == [0.25] * 4
    assert loss_weights(losses, "max").tolist() == [0, 1, 0, 0]
    pair = torch.tensor([1.0, 3.0], dtype=torch.float64)  # f - mean = -1, 1; sigma = 1
    assert loss_weights(pair, "variance", 1.0).tolist() == [0.5, 0.5]
    assert loss_weights(pair, "variance", 4.0).tolist() == [-1.0, 2.0]


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3])
def test_variance_of_equal_losses_has_no_slope(value):
    """Sees 0 / 0, and the rounding of the mean taken for a spread."""
    for dtype in (torch.float32, torch.float64):
        losses = torch.full((10,), value, dtype=dtype)
        assert loss_weights(losses, "variance", 3.0).tolist() == [1.0] + [0.0] * 9


def test_median_is_refused():
    """Sees an aggregator without a gradient (Sec. 4.2.3) that passes in silence."""
    with pytest.raises(ValueError, match=r"^aggregator 'median'.*mean, max, variance$"):
        loss_weights(torch.ones(3), "median")


# --- The aggregated gradient ----------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [None, 1, 2, 4])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_gradient_is_that_of_g_as_a_whole(toy, aggregator, chunk):
    """Sees a wrong weight, a neighbor lost between chunks or in another's place; against autograd through all of g."""
    loss_of, alphas, draw = toy
    leaf = torch.tensor(alphas, requires_grad=True)
    neighbors = draw(leaf)
    found = aggregated_gradient(loss_of, neighbors, aggregator, 0.7, chunk)
    losses = loss_of(neighbors)
    g = g_of(losses, aggregator, 0.7)
    (of_neighbors,) = torch.autograd.grad(g, neighbors, retain_graph=True)
    (of_alphas,) = torch.autograd.grad(g, leaf, retain_graph=True)
    assert found.value == pytest.approx(g.item(), rel=1e-14)
    assert torch.allclose(found.losses, losses.detach(), rtol=1e-14, atol=0)
    assert torch.allclose(found.gradient, of_neighbors, rtol=1e-12, atol=1e-14)
    (chained,) = torch.autograd.grad(neighbors, leaf, found.gradient)
    assert torch.allclose(chained, of_alphas, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_gradient_of_what_else_the_loss_reads(aggregator, chunk):
    """Sees PC-DARTS's edge weights whose gradient is not weighted, or only the last chunk's."""
    rng = np.random.default_rng(4)
    neighbors, target = (torch.tensor(rng.normal(size=(5, 2, 3, 4))) for _ in range(2))
    gamma = torch.tensor(rng.normal(size=(2, 3)), requires_grad=True)

    def loss_of(alphas):
        return ((alphas * gamma[..., None] - target[0]) ** 2).flatten(1).sum(1)

    found = aggregated_gradient(loss_of, neighbors, aggregator, 0.7, chunk, (gamma,))
    (expected,) = torch.autograd.grad(g_of(loss_of(neighbors), aggregator, 0.7), gamma)
    assert torch.allclose(found.others[0], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("aggregator", "graphs"), [("mean", 6), ("max", 1), ("variance", 6)])
def test_passes_and_memory(toy, aggregator, graphs):
    """Sees more neighbors at once than a chunk, and a graph for a neighbor whose weight is 0."""
    loss_of, alphas, draw = toy
    calls = []

    def counted(part):
        calls.append((len(part), torch.is_grad_enabled() and part.requires_grad))
        return loss_of(part)

    aggregated_gradient(counted, draw(torch.tensor(alphas)), aggregator, 1.0, 2)
    assert max(n for n, _ in calls) <= 2
    assert sum(n for n, graph in calls if graph) == graphs
    assert sum(n for n, graph in calls if not graph) == (0 if aggregator == "mean" else 6)


def test_one_neighbor_takes_one_pass(toy):
    """Sees plain DARTS that pays for an aggregator it does not use."""
    loss_of, alphas, _ = toy
    for aggregator in AGGREGATORS:
        calls = []
        one = torch.tensor(alphas)[None]
        found = aggregated_gradient(lambda part, calls=calls: calls.append(1) or loss_of(part), one, aggregator)
        assert len(calls) == 1 and found.value == loss_of(one).item()


# --- On the supernet ------------------------------------------------------------------------------


def naive_step(net, weights, images, labels, logits, constants, aggregator, lam):
    """Algorithm 1 as it is written: one neighbor after the other, loss.backward() for each; g and dg / dlogits."""
    logits = logits.clone().requires_grad_()
    values, gradients = [], []
    for n in range(1 + len(constants)):
        logits.grad = None
        alphas = torch.softmax(logits, -1)
        if n and constants.dtype == float:  # noise (N - 1, T, E, O), else operations (N - 1, T, E)
            moved = alphas + torch.tensor(constants[n - 1])
            alphas = moved / moved.sum(-1, keepdim=True)
        elif n:
            r = torch.zeros_like(alphas)
            for kind, edge in np.ndindex(alphas.shape[:2]):
                chosen = constants[n - 1, kind, edge]
                r[kind, edge] = 1 if chosen < 0 else torch.eye(alphas.shape[-1])[chosen]
            alphas = r * alphas / (r * alphas).sum(-1, keepdim=True)
        loss = torch.nn.CrossEntropyLoss()(net.logits(weights, images, alphas[None])[0], labels)
        loss.backward()
        values.append(loss.item())
        gradients.append(logits.grad.numpy())
    values = np.array(values)
    if aggregator == "mean":
        return values.mean(), np.mean(gradients, axis=0), values
    if aggregator == "max":
        return values.max(), gradients[values.argmax()], values
    slopes = [(f - values.mean()) / (len(values) * values.std()) for f in values]
    spread = sum(slope * gradient for slope, gradient in zip(slopes, gradients, strict=True))
    return values[0] + lam * values.std(), gradients[0] + lam * spread, values


@pytest.mark.parametrize(
    ("space", "aggregator", "multiplicative"),
    [
        (DARTS, "mean", False),
        (S3, "max", True),
        (S3, "variance", False),
        (NAS_BENCH_201, "mean", True),
        (NAS_BENCH_201, "max", False),
        (NAS_BENCH_201, "variance", True),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_supernet_gradient_is_that_of_the_naive_loop(space, aggregator, multiplicative):
    """Sees neighbors mixed up in the batch, a wrong mean over images, and every error of weighting and chaining."""
    net = Supernet(space, 2, 3, 3, in_channels=1)
    rng, generator = np.random.default_rng(5), torch.Generator().manual_seed(5)
    weights = net.initial_weights(generator).double()
    images, labels = torch.randn(4, 1, 8, 8, generator=generator, dtype=torch.float64), torch.tensor([0, 2, 1, 2])
    logits = torch.tensor(rng.normal(size=(net.cell_types, len(space.edges), len(space.operations))))
    leaf = logits.clone().requires_grad_()
    alphas = torch.softmax(leaf, -1)
    degraded = degraded_indices(space) if multiplicative else ()
    draw, constants = drawn(alphas.detach().numpy(), 3, 2, 1, degraded=degraded)
    neighbors, loss = draw(alphas), CrossEntropy(net, images, labels)
    found = aggregated_gradient(lambda part: loss(weights, part), neighbors, aggregator, 0.5, 2)
    (gradient,) = torch.autograd.grad(neighbors, leaf, found.gradient)
    value, expected, losses = naive_step(net, weights, images, labels, logits, constants, aggregator, 0.5)
    # The same float64 operations in another order: 1e-10 is 1e6 roundings wide, and any wrong weight is larger
    assert found.value == pytest.approx(value, rel=1e-12)
    assert np.allclose(found.losses.numpy(), losses, rtol=1e-12, atol=0)
    assert np.allclose(gradient.numpy(), expected, rtol=1e-9, atol=1e-10 * abs(expected).max())
    right = (net.logits(weights, images, alphas.detach()[None])[0].argmax(-1) == labels).double().mean().item()
    assert loss.accuracy == pytest.approx(100 * right)
