"""The variants' rules: against naive loops, hand-made sequences, and exact differentiation in float64."""

import math

import numpy as np
import pytest
import torch

from flatlib.search.supernet import Supernet
from flatlib.search.variants import (
    gumbel_softmax,
    normalize_edges,
    ramp,
    smoothed,
    stopped_at,
    unrolled_gradient,
)
from flatlib.spaces import DARTS, NAS_BENCH_201


def test_ramp_reaches_both_ends():
    """Sees a ramp that stops one epoch short, and a division by 0 in a search of one epoch."""
    assert [ramp((0.03, 0.3), epoch, 4) for epoch in range(4)] == pytest.approx([0.03, 0.12, 0.21, 0.3])
    assert [ramp((1.0, 0.01), epoch, 3, geometric=True) for epoch in range(3)] == pytest.approx([1, 0.1, 0.01])
    assert ramp((0.03, 0.3), 0, 1) == 0.03 and ramp((1.0, 0.03), 0, 1, geometric=True) == 1


@pytest.mark.parametrize("space", [DARTS, NAS_BENCH_201], ids=lambda space: space.name)
def test_edge_weights_are_a_softmax_at_each_node(space):
    """Sees a softmax over all edges, over those that leave a node, or over both cell types."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, len(space.edges)))
    gamma = normalize_edges(torch.tensor(logits), space)
    for kind, (at, (_, target)) in ((kind, edge) for kind in range(2) for edge in enumerate(space.edges)):
        entering = [math.exp(logits[kind, e]) for e, (_, node) in enumerate(space.edges) if node == target]
        assert gamma[kind, at].item() == pytest.approx(math.exp(logits[kind, at]) / sum(entering), rel=1e-14)
    leaf = torch.tensor(logits, requires_grad=True)
    assert torch.autograd.gradcheck(lambda logits: normalize_edges(logits, space), leaf)


def naive_gumbel(alpha, noise, temperature):
    """One edge: exp((log alpha_k + G_k) / temperature) over the entries that are not 0."""
    powers = [math.exp((math.log(a) + g) / temperature) if a > 0 else 0.0 for a, g in zip(alpha, noise, strict=True)]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_gumbel_softmax_is_the_formula(temperature):
    """Sees noise on alpha instead of its logarithm, a temperature on one term only, and entries at 0 that come back."""
    rng = np.random.default_rng(0)
    alphas = rng.dirichlet(np.ones(4), (3, 5))
    alphas[0, 0], alphas[1, 2, 1] = [0, 0, 1, 0], 0
    noise = rng.gumbel(size=alphas.shape)
    sample = gumbel_softmax(torch.tensor(alphas), torch.tensor(noise), temperature)
    for edge in np.ndindex(3, 5):
        assert np.allclose(sample[edge], naive_gumbel(alphas[edge], noise[edge], temperature), rtol=1e-13, atol=0)
    assert ((alphas > 0) | (sample.numpy() == 0)).all()


def test_gumbel_softmax_draws_operations_by_alpha():
    """Sees Gumbel noise of the wrong sign or scale: the largest entry must be operation k with probability alpha_k."""
    alphas, n = np.array([0.5, 0.3, 0.15, 0.05]), 20000
    noise = torch.tensor(np.random.default_rng(0).gumbel(size=(n, 4)))
    sample = gumbel_softmax(torch.tensor(alphas).expand(n, 4), noise, 0.03)
    share = np.bincount(sample.argmax(-1).numpy(), minlength=4) / n
    assert (abs(share - alphas) < 4 * np.sqrt(alphas * (1 - alphas) / n)).all()  # four standard errors


def test_gumbel_gradient_with_zeros():
    """Sees log 0 that makes the gradient nan, and a gradient that flows into an excluded entry."""
    noise = torch.tensor(np.random.default_rng(0).gumbel(size=(2, 3)))
    alphas = torch.tensor([[0.0, 0.4, 0.6], [0.0, 1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    (slope,) = torch.autograd.grad((gumbel_softmax(alphas, noise, 0.5) * weights).sum(), alphas)
    assert slope.isfinite().all() and (slope[alphas == 0] == 0).all() and (slope[0, 1:] != 0).all()
    inner = alphas.detach()[0, 1:].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda inner: gumbel_softmax(inner, noise[0, 1:], 0.5), inner)


def test_smoothed_alpha_is_clipped_and_renormalized():
    """Sees no clip, a clip after the sum, and an edge that clips to nothing and becomes nan."""
    rng = np.random.default_rng(0)
    alphas, noise = rng.dirichlet(np.full(4, 0.5), 50), rng.uniform(-0.3, 0.3, (50, 4))
    noise[0] = -1
    found = smoothed(torch.tensor(alphas), torch.tensor(noise)).numpy()
    assert (found[0] == alphas[0]).all()
    for alpha, q, own in zip(alphas[1:], noise[1:], found[1:], strict=True):
        clipped = [min(max(a + b, 0.0), 1.0) for a, b in zip(alpha, q, strict=True)]
        assert np.allclose(own, [value / sum(clipped) for value in clipped], rtol=1e-13, atol=0)


# --- DARTS-ES's rule ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("eigenvalues", "kept"),
    [
        ([], None),
        ([1.0] * 50, None),
        ([1.0] * 5 + [2.0] * 4, None),  # nine epochs: too early
        ([1.0] * 5 + [2.0] * 5, 5),  # 1 / 2 at epoch 10
        ([1.0] * 5 + [2.0] * 20, 5),  # the first stop counts
        ([3.0] * 10 + [4.0] * 5, None),  # 3 / 4 exactly is not below
        ([3.0] * 10 + [4.0] * 4 + [4.2], 10),  # 3 / 4.04 at epoch 15
        ([1.0] * 12 + [3.0], 8),  # epoch 13: 1 / 1.4, back to epoch 8
        ([0.1] + [1.0] * 11, None),  # one small value in the older window: 0.82
        ([2.0] * 5 + [1.0] * 10, None),  # a curvature that falls
        ([1.0] * 5 + [math.nan] * 5, None),
    ],
)
def test_early_stopping_rule(eigenvalues, kept):
    """Sees windows that overlap or are shifted, the ratio inverted, a stop before epoch 10, the wrong epoch kept."""
    assert stopped_at(eigenvalues) == kept


def test_early_stopping_window_and_tolerance():
    """Sees a window or tolerance that is fixed in the code."""
    assert stopped_at([1.0, 1.0, 1.2, 1.2], window=2, tolerance=0.9) == 2
    assert stopped_at([1.0, 1.0, 1.2, 1.2], window=2) is None


# --- Second order ---------------------------------------------------------------------------------


def exact_unrolled(train_loss, valid_loss, weights, alphas, learning_rate, weight_decay, push):
    """L_val(w', alpha) and its gradient, differentiated through the unrolled step itself."""
    w, alpha = weights.clone().requires_grad_(), alphas.clone().requires_grad_()
    (slope,) = torch.autograd.grad(train_loss(w, alpha), w, create_graph=True)
    loss = valid_loss(w - learning_rate * (push + slope + weight_decay * w), alpha)
    return loss.detach(), torch.autograd.grad(loss, alpha)[0]


def test_unrolled_gradient_is_exact_where_the_loss_is_quadratic():
    """Sees a factor 2 in the difference, a wrong sign, momentum or decay left out; no truncation error here."""
    rng = np.random.default_rng(0)
    shapes = ((6, 5, 5), (6, 5), (5,), (2, 3), (5,))
    curve, tilt, weights, alphas, push = (torch.tensor(rng.normal(size=shape)) for shape in shapes)

    def train_loss(w, alpha):  # quadratic in w: the central difference is exact
        return (alpha.flatten() * (torch.einsum("i,kij,j->k", w, curve, w) + tilt @ w)).sum()

    def valid_loss(w, alpha):
        return (w**3).sum() + (alpha**2).sum() * w.sum()

    options = {"learning_rate": 0.1, "weight_decay": 0.3, "push": push}
    loss, gradient = unrolled_gradient(train_loss, valid_loss, weights, alphas, **options)
    value, expected = exact_unrolled(train_loss, valid_loss, weights, alphas, 0.1, 0.3, push)
    assert loss.item() == pytest.approx(value.item(), rel=1e-13)
    # Rounding of the difference: ulp * |grad| / eps, and eps = 0.01 / ||v|| is above 1e-4
    assert torch.allclose(gradient, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())


def test_unrolled_gradient_of_a_flat_validation_loss():
    """Sees 0 / 0 where v = 0."""
    weights, alphas = torch.ones(3, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    _, gradient = unrolled_gradient(
        lambda w, a: (w.sum() * a).sum(), lambda w, a: a.sum() + 0 * w.sum(), weights, alphas, learning_rate=0.1
    )
    assert gradient.tolist() == [1.0, 1.0]


def test_unrolled_gradient_on_the_supernet():
    """Sees a second-order term of the wrong size on the real network, against double backward."""
    net = Supernet(NAS_BENCH_201, 2, 3, 3, in_channels=1)
    generator = torch.Generator().manual_seed(0)
    weights = net.initial_weights(generator).double()
    images = torch.randn(2, 4, 1, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 2])
    alphas = torch.softmax(torch.randn(1, 1, 6, 5, generator=generator, dtype=torch.float64), -1)

    def train_loss(w, alpha):
        return torch.nn.functional.cross_entropy(net.logits(w, images[0], alpha)[0], labels)

    def valid_loss(w, alpha):
        return torch.nn.functional.cross_entropy(net.logits(w, images[1], alpha)[0], labels)

    options = {"learning_rate": 0.02, "weight_decay": 3e-4, "push": 0.1 * torch.randn_like(weights)}
    loss, gradient = unrolled_gradient(train_loss, valid_loss, weights, alphas, **options, radius=1e-6)
    value, expected = exact_unrolled(train_loss, valid_loss, weights, alphas, *options.values())
    assert loss.item() == pytest.approx(value.item(), rel=1e-12)
    # No kink lies within 1e-6. Truncation is O(eps ** 2), rounding ulp / eps = 1e-10: 1e-7 is far above both.
    # With the authors' 0.01 the difference reaches over kinks and is off by a multiple of the term itself.
    assert (gradient - expected).norm() < 1e-7 * expected.norm()
    blind = unrolled_gradient(
        lambda w, a: train_loss(w, a.detach()) + 0 * a.sum(), valid_loss, weights, alphas, **options
    )[1]
    assert (blind - expected).norm() > 1e-3 * expected.norm()  # the term is large enough to be seen
