"""Sees neighbors of the search (Eq. 6, A) that numpy would not draw, or that no gradient passes; in float64."""

import numpy as np
import pytest
import torch

from flatlib.neighborhoods import (
    additive_neighbor,
    additive_noise,
    degraded_operations,
    multiplicative_neighbor,
    one_hot,
)
from flatlib.search.objective import (
    degraded_indices,
    draw_neighbors,
)
from flatlib.spaces import SPACES as ALL_SPACES


def random_alphas(rng, *shape):
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


def drawn(alphas, n_nbr, d, seed, *, degraded=()):
    """The neighbors as a function of alpha, and the constants that it must have drawn."""
    neighbors = draw_neighbors(alphas, n_nbr, d, np.random.default_rng(seed), eps=0.1, degraded=degraded)
    batch, rng = np.stack([alphas] * (n_nbr - 1)), np.random.default_rng(seed)
    if degraded:
        return neighbors, degraded_operations(batch.shape[:-1], d, degraded, rng)
    return neighbors, additive_noise(batch, d, 0.1, rng)


@pytest.mark.parametrize("degraded", [(), (0, 3)])
def test_neighbors_are_those_of_numpy(degraded):
    """Sees a torch neighbor that differs from Eq. 6 or A as numpy has it, and alpha that is not first or moved."""
    alphas = random_alphas(np.random.default_rng(0), 2, 14, 8)
    draw, constants = drawn(alphas, 5, 6, 1, degraded=degraded)
    neighbors = draw(torch.tensor(alphas)).numpy()
    assert neighbors.shape == (5, 2, 14, 8)
    assert (neighbors[0] == alphas).all()
    batch = np.stack([alphas] * 4)
    if degraded:
        assert set(np.unique(constants)) == {-1, 0, 3}
        assert (neighbors[1:] == multiplicative_neighbor(batch, one_hot(constants, 8))).all()
    else:
        assert np.allclose(neighbors[1:], additive_neighbor(batch, constants), rtol=1e-15, atol=0)


@pytest.mark.parametrize("degraded", [(), (0, 1)])
def test_each_neighbor_and_cell_type_has_its_own_d_edges(degraded):
    """Sees edges drawn once for all neighbors, or once for both cell types, or another number than d."""
    alphas = random_alphas(np.random.default_rng(1), 2, 14, 8)
    draw = draw_neighbors(alphas, 9, 5, np.random.default_rng(2), degraded=degraded)
    moved = (draw(torch.tensor(alphas))[1:].numpy() != alphas).any(-1)
    assert (moved.sum(-1) == 5).all()
    assert len(np.unique(moved.reshape(-1, 14), axis=0)) > 12


def test_float32_neighbors_stay_on_the_simplex():
    """Sees noise drawn below -alpha once it is rounded to float32, so that an entry goes below 0."""
    rng = np.random.default_rng(0)
    alphas = torch.softmax(torch.tensor(8 * rng.normal(size=(2, 14, 8)), dtype=torch.float32), -1)
    neighbors = draw_neighbors(alphas.double().numpy(), 200, 14, rng, eps=0.9)(alphas)
    assert neighbors.dtype == torch.float32 and (neighbors >= 0).all()
    assert (neighbors.sum(-1) - 1).abs().max() < 1e-6


def test_one_neighbor_is_alpha_and_draws_nothing():
    """Sees plain DARTS that uses up random numbers or gets a neighbor that is not alpha."""
    alphas, rng = np.full((2, 14, 8), 0.125), np.random.default_rng(0)
    for degraded in ((), (0, 3)):
        neighbors = draw_neighbors(alphas, 1, 6, rng, degraded=degraded)(torch.tensor(alphas))
        assert neighbors.shape == (1, 2, 14, 8) and (neighbors.numpy() == alphas).all()
    assert rng.random() == np.random.default_rng(0).random()


def test_degraded_operations_are_zero_and_skip():
    """Sees an index that stands for another operation of the space."""
    for space in ALL_SPACES.values():
        assert [space.operations[k] for k in degraded_indices(space)] == ["none", "skip_connect"]


@pytest.mark.parametrize("degraded", [(), (0, 2)])
def test_neighbors_are_differentiable_in_the_logits(degraded):
    """Sees a wrong gradient through softmax and Eq. 6 or A; in A a moved edge is a constant."""
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(1, 4, 3)), requires_grad=True)
    draw, constants = drawn(torch.softmax(logits, -1).detach().numpy(), 4, 2, 1, degraded=degraded)
    assert torch.autograd.gradcheck(lambda logits: draw(torch.softmax(logits, -1)), logits)
    if degraded:
        (slope,) = torch.autograd.grad(draw(torch.softmax(logits, -1))[1].square().sum(), logits)
        assert ((slope[0] == 0).all(-1).numpy() == (constants[0, 0] >= 0)).all()
