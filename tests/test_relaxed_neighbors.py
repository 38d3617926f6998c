"""Relaxed neighbors (Eq. 6 and A): sees noise of another law, or a neighbor off the simplex."""

from collections import Counter
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from flatlib.neighborhoods import (
    additive_neighbor,
    additive_noise,
    cell_distance,
    multiplicative_neighbor,
    one_hot,
    perturbed_edges,
    total_variation,
)
from flatlib.search.objective import draw_neighbors

seeded = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
ULP = np.finfo(float).eps


@st.composite
def distributions(draw, n, k=1):
    """k probability vectors (k, n); zeros and one-hot vectors are common."""
    weight = st.one_of(st.just(0), st.integers(1, 9), st.floats(1e-6, 1))
    rows = [draw(st.lists(weight, min_size=n, max_size=n).filter(any)) for _ in range(k)]
    return np.array([np.array(row) / sum(row) for row in rows], dtype=float)


def random_alphas(rng, *shape):
    """Relaxed cells: dense edges, sparse ones, and one one-hot edge a cell."""
    alphas = rng.dirichlet(np.full(shape[-1], 0.5), shape[:-1])
    alphas[..., 0, :] = np.eye(shape[-1])[rng.integers(shape[-1], size=shape[:-2])]
    return alphas


def sample_relaxed(alphas, n_nbr, d, rng, **options):
    """As a search draws them."""
    return draw_neighbors(alphas, n_nbr, d, rng, **options)(torch.tensor(alphas)).numpy()


# --- Relaxed neighborhoods (Sec. 4.2.2, Eq. 6) ----------------------------------------------------


def test_perturbed_edges_are_uniform():
    """Sees a cell with more or fewer than d perturbed edges, and edges that are preferred."""
    for d in range(5):
        chosen = perturbed_edges((3, 4000, 4), d, np.random.default_rng(d))
        assert chosen.shape == (3, 4000, 4) and (chosen.sum(-1) == d).all()
        counts = Counter(map(tuple, chosen.reshape(-1, 4).tolist()))
        assert len(counts) == comb(4, d)
        assert d in (0, 4) or stats.chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("eps", [0.01, 0.1, 0.9])
@pytest.mark.parametrize("d", [0, 1, 3, 6])
def test_additive_noise_keeps_its_bounds(d, eps):
    """Sees noise beyond the threshold, a negative probability, and a wrong number of perturbed edges."""
    rng = np.random.default_rng(d)
    alphas = random_alphas(rng, 2, 50, 6, 5)
    noise = additive_noise(alphas, d, eps, rng)
    assert noise.shape == alphas.shape
    assert (noise >= np.maximum(-eps, -alphas)).all() and (noise <= eps).all() and (alphas + noise >= 0).all()
    assert ((noise != 0).any(-1).sum(-1) == d).all()


def test_additive_noise_is_uniform():
    """Sees noise that is clipped, scaled or drawn by rejection instead of U(max(-eps, -alpha_k), eps)."""
    alphas = np.tile([0.02, 0.38, 0.6], (5000, 1, 1))
    noise = additive_noise(alphas, 1, 0.1, np.random.default_rng(0))
    for k, low in enumerate([-0.02, -0.1, -0.1]):
        assert stats.kstest(noise[:, 0, k], stats.uniform(low, 0.1 - low).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(noise[:, 0].T) - np.eye(3)).max() < 0.05


@pytest.mark.parametrize("d", [0, 2, 5])
def test_additive_neighbor_is_equation_6(d):
    """Sees a sum over edges instead of operations, a neighbor off the simplex, or one farther than d."""
    rng = np.random.default_rng(d)
    alphas = random_alphas(rng, 20, 5, 4)
    noise = additive_noise(alphas, d, 0.4, rng)
    neighbors = additive_neighbor(alphas, noise)
    for cell, edge in np.ndindex(20, 5):
        total = sum(alphas[cell, edge, k] + noise[cell, edge, k] for k in range(4))
        for k in range(4):
            naive = (alphas[cell, edge, k] + noise[cell, edge, k]) / total
            assert neighbors[cell, edge, k] == pytest.approx(naive, rel=1e-14)
        assert np.allclose(additive_neighbor(alphas[cell, edge], noise[cell, edge]), neighbors[cell, edge], 1e-15, 0)
    assert (neighbors >= 0).all() and np.allclose(neighbors.sum(-1), 1, rtol=0, atol=4 * ULP)
    assert (cell_distance(alphas, neighbors) <= d + 20 * ULP).all()


def test_unperturbed_edges_stay_to_the_bit():
    """Sees edges outside the d chosen ones that move, if only by rounding, when their alpha is renormalized."""
    rng = np.random.default_rng(0)
    alphas = random_alphas(rng, 100, 14, 8)
    noise = additive_noise(alphas, 3, 0.1, rng)
    stays = (noise == 0).all(-1)
    neighbors = additive_neighbor(alphas, noise)
    assert stays.sum() == 100 * 11
    assert (neighbors[stays] == alphas[stays]).all()
    assert (neighbors[~stays] != alphas[~stays]).any(-1).all()


def test_additive_neighbor_is_differentiable():
    """Sees a neighbor cut off from alpha's graph, or the normalization held constant in the gradient."""
    rng = np.random.default_rng(0)
    alphas, weights = rng.dirichlet(np.ones(4), 5), rng.normal(size=(5, 4))
    noise = additive_noise(alphas, 5, 0.3, rng)
    leaf = torch.tensor(alphas, requires_grad=True)
    neighbor = additive_neighbor(leaf, torch.tensor(noise))
    assert np.allclose(neighbor.detach().numpy(), additive_neighbor(alphas, noise), rtol=1e-15, atol=0)
    (torch.tensor(weights) * neighbor).sum().backward()
    # d alpha'_k / d alpha_j = (1[k = j] - alpha'_k) / s with s = sum_k (alpha_k + q_k)
    s = (alphas + noise).sum(-1, keepdims=True)
    closed = (weights - (weights * additive_neighbor(alphas, noise)).sum(-1, keepdims=True)) / s
    assert np.allclose(leaf.grad.numpy(), closed, rtol=1e-12, atol=1e-14)
    for edge, k in np.ndindex(5, 4):
        step = np.zeros_like(alphas)
        step[edge, k] = 1e-5
        up, down = ((weights * additive_neighbor(alphas + sign * step, noise)).sum() for sign in (1, -1))
        # Central differences: the truncation, O(h ** 2), and the rounding, O(ulp / h), are below 1e-8.
        assert leaf.grad[edge, k].item() == pytest.approx((up - down) / 2e-5, abs=1e-8)


@pytest.mark.parametrize("d", [0, 2, 5])
def test_gradient_reaches_the_logits(d):
    """Sees a wrong gradient through softmax and Eq. 6 together, edges without noise included."""
    rng = np.random.default_rng(d)
    logits = torch.tensor(rng.normal(size=(2, 5, 4)), requires_grad=True)
    noise = torch.tensor(additive_noise(torch.softmax(logits, -1).detach().numpy(), d, 0.2, rng))
    assert torch.autograd.gradcheck(lambda logits: additive_neighbor(torch.softmax(logits, -1), noise), logits)


# --- Multiplicative representation (Sec. A.2.1, Eq. A) --------------------------------------------


def naive_multiplicative(alpha, chosen):
    """Eq. A on one edge; where the sum is 0, r itself; -1: the edge is not perturbed."""
    if chosen < 0:
        return list(alpha)
    r = [float(k == chosen) for k in range(len(alpha))]
    total = sum(r_k * alpha_k for r_k, alpha_k in zip(r, alpha, strict=True))
    return [r_k * alpha_k / total for r_k, alpha_k in zip(r, alpha, strict=True)] if total > 0 else r


@seeded
@given(distributions(4, 6), st.lists(st.integers(-1, 3), min_size=6, max_size=6))
def test_multiplicative_neighbor_is_equation_a(alphas, chosen):
    """Sees an edge set to another operation, a NaN where r_k alpha_k sums to 0, and edges that should stay."""
    neighbors = multiplicative_neighbor(alphas, one_hot(np.array(chosen), 4))
    assert (neighbors == [naive_multiplicative(*edge) for edge in zip(alphas, chosen, strict=True)]).all()
    stacked = multiplicative_neighbor(alphas.reshape(2, 3, 4), one_hot(np.array(chosen).reshape(2, 3), 4))
    assert (stacked.reshape(6, 4) == neighbors).all()


# --- Samples of relaxed neighbors -----------------------------------------------------------------


@pytest.mark.parametrize("degraded", [(), (0, 3)])
@pytest.mark.parametrize("d", [0, 1, 6, 14])
def test_relaxed_sample(d, degraded):
    """Sees a sample without alpha itself, off the simplex, out of the neighborhood or always on the same edges."""
    rng = np.random.default_rng(d)
    alphas = random_alphas(rng, 14, 8)
    sampled = sample_relaxed(alphas, 40, d, rng, degraded=degraded)
    assert sampled.shape == (40, 14, 8)
    assert (sampled[0] == alphas).all()
    assert (sampled >= 0).all() and np.allclose(sampled.sum(-1), 1, rtol=0, atol=8 * ULP)
    assert (cell_distance(sampled, alphas) <= d + 100 * ULP).all()
    moved = total_variation(sampled, alphas)[1:, 1:] > 4 * ULP  # edge 0 is one-hot: it may be drawn and stay
    assert (moved.sum(-1) <= d).all() and (moved.sum(-1) >= d - 1).all()
    assert d in (0, 14) or len(np.unique(moved, axis=0)) > 1
    if degraded:
        assert (sampled[1:, 1:][moved][:, degraded].max(-1) == 1).all()


def test_relaxed_sample_of_both_cell_types():
    """Sees d edges drawn over the normal and the reduction cell together, or the same ones in both."""
    rng = np.random.default_rng(0)
    alphas = rng.dirichlet(np.ones(3), (2, 14))
    sampled = sample_relaxed(alphas, 30, 4, rng, degraded=(0, 1))
    moved = total_variation(sampled, alphas) > 4 * ULP
    assert (moved[0] == 0).all() and (moved[1:].sum(-1) == 4).all()
    assert (moved[1:, 0] != moved[1:, 1]).any()


@pytest.mark.parametrize(("options", "eps"), [({}, 0.1), ({"eps": 0.05}, 0.05), ({"eps": 0.01}, 0.01)])
def test_relaxed_sample_uses_its_threshold(options, eps):
    """Sees a threshold that is passed over, and a default other than 0.1 (Sec. D.1)."""
    alphas = np.full((6, 8), 0.125)
    sampled = sample_relaxed(alphas, 500, 6, np.random.default_rng(0), **options)
    largest = (sampled.max(-1) / sampled.min(-1)).max()
    limit = (0.125 + eps) / (0.125 - eps)  # the normalization cancels in the ratio
    assert 1 + 0.7 * (limit - 1) < largest <= limit * (1 + 4 * ULP)


def test_relaxed_sample_of_one_is_alpha():
    """Sees a sample of one that is not the cell itself, with either representation."""
    alphas = np.random.default_rng(0).dirichlet(np.ones(5), 6)
    for degraded in ((), (0, 1)):
        assert (sample_relaxed(alphas, 1, 2, np.random.default_rng(0), degraded=degraded) == alphas).all()


def test_degraded_operations_are_drawn_evenly():
    """Sees one of zero and skip that is never or rarely drawn, or one choice for a whole neighbor."""
    alphas = np.full((3, 4), 0.25)
    sampled = sample_relaxed(alphas, 4001, 3, np.random.default_rng(0), degraded=(1, 2))
    counts = Counter(map(tuple, sampled[1:].argmax(-1).tolist()))
    assert len(counts) == 8
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_samples_follow_the_generator():
    """Sees a global random state: equal generators give equal samples, and the next draw differs."""
    alphas = np.full((6, 5), 0.2)
    draws = [
        lambda rng: sample_relaxed(alphas, 10, 2, rng),
        lambda rng: sample_relaxed(alphas, 10, 2, rng, degraded=(0, 1)),
    ]
    for draw in draws:
        first, second = np.random.default_rng(3), np.random.default_rng(3)
        once = draw(first)
        assert (once == draw(second)).all() and (once != draw(first)).any()
    assert (alphas == 0.2).all()
