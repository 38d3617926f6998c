"""Neighborhoods of architectures (Sec. 3.1, 4.2.2, A.2.1; Eq. 2, 3, 6 and A).

A one-hot cell is `arch` (E,), one operation index an edge. A relaxed cell is `alphas` (E, O), one
probability vector an edge. Leading axes are free: everything works on any number of cells at once.
"""

import itertools
from math import comb
from typing import Any

import numpy as np


def total_variation(
    p: np.ndarray,  # (..., O) probabilities
    q: np.ndarray,  # (..., O)
) -> np.ndarray:  # (...) in [0, 1]
    """delta(p, q) = 1/2 sum_k |p_k - q_k|.

    >>> float(total_variation(np.array([1.0, 0.0]), np.array([0.5, 0.5])))
    0.5
    """
    return np.abs(p - q).sum(-1) / 2


def cell_distance(
    alphas: np.ndarray,  # (..., E, O)
    others: np.ndarray,  # (..., E, O)
) -> np.ndarray:  # (...) in [0, E]
    """dist(alpha, alpha') = sum over edges of delta(alpha_ij, alpha'_ij) (Eq. 2)."""
    return total_variation(alphas, others).sum(-1)


def one_hot(archs: np.ndarray, n_operations: int) -> np.ndarray:  # (..., E) -> (..., E, O)
    """Operation indices as relaxed cells; -1 gives zeros."""
    return (archs[..., None] == np.arange(n_operations)).astype(float)


def neighborhood_size(n_edges: int, n_operations: int, d: int) -> int:
    """|N(alpha)| = sum_{k <= d} C(E, k) (m - 1)^k, alpha included (Eq. 3).

    >>> neighborhood_size(6, 5, 1)
    25
    """
    return sum(comb(n_edges, k) * (n_operations - 1) ** k for k in range(d + 1))


def enumerate_neighbors(
    archs: np.ndarray,  # (..., E)
    n_operations: int,
    d: int = 1,
) -> np.ndarray:  # (..., N, E), the cell itself first, then by distance
    """N(alpha) = {alpha' | dist(alpha, alpha') <= d} of one-hot cells, complete (Eq. 3)."""
    n_edges = archs.shape[-1]
    if not 0 <= d <= n_edges:
        raise ValueError(f"d = {d}: a cell of {n_edges} edges has neighborhoods of radius 0 to {n_edges}")
    blocks = [np.zeros((1, n_edges), dtype=np.int64)]  # of changes modulo m
    for k in range(1, d + 1):
        changes = np.array(list(itertools.product(range(1, n_operations), repeat=k)))
        for edges in itertools.combinations(range(n_edges), k):
            block = np.zeros((len(changes), n_edges), dtype=np.int64)
            block[:, edges] = changes
            blocks.append(block)
    return (archs[..., None, :] + np.concatenate(blocks)) % n_operations


def distinct_draws(rng: np.random.Generator, rows: int, n: int, k: int) -> np.ndarray:  # (rows, k)
    """k different numbers below n for each row, every subset equally likely (Floyd's algorithm)."""
    if k > n:
        raise ValueError(f"{k} different neighbors asked for; there are {n}")
    drawn = np.empty((k, rows), dtype=np.int32)
    for i, last in enumerate(range(n - k, n)):
        candidate = rng.integers(0, last + 1, rows, dtype=np.int32)
        taken = (drawn[:i] == candidate).any(0)
        drawn[i] = np.where(taken, last, candidate)
    return drawn.T


def perturbed_edges(
    shape: tuple[int, ...],  # (..., E)
    d: int,
    rng: np.random.Generator,
) -> np.ndarray:  # (..., E) bool, d true entries a cell
    """The d edges that are perturbed, drawn anew for each cell (Sec. 4.2.2)."""
    return rng.random(shape).argsort(-1) < d


def additive_noise(
    alphas: np.ndarray,  # (..., E, O) probabilities
    d: int,
    eps: float,
    rng: np.random.Generator,
) -> np.ndarray:  # (..., E, O), zero on edges that stay
    """q_k ~ U(max(-eps, -alpha_k), eps) on d edges (Sec. 4.2.2); the distribution is our choice."""
    noise = rng.uniform(np.maximum(-eps, -alphas), eps)
    return noise * perturbed_edges(alphas.shape[:-1], d, rng)[..., None]


def additive_neighbor(
    alphas: Any,  # (..., E, O) array or tensor
    noise: Any,  # (..., E, O), alphas + noise >= 0
) -> Any:  # (..., E, O), on the simplex
    """alpha'_k = (alpha_k + q_k) / sum_k (alpha_k + q_k) (Eq. 6); differentiable in alpha."""
    moved = alphas + noise
    stays = (noise == 0).all(-1)[..., None]  # rounding must not move an edge that is not perturbed
    return moved / (stays + ~stays * moved.sum(-1)[..., None])


def degraded_operations(
    shape: tuple[int, ...],  # (..., E)
    d: int,
    degraded: tuple[int, ...],  # indices of zero and skip
    rng: np.random.Generator,
) -> np.ndarray:  # (..., E) one of `degraded` on d edges; -1: the edge stays
    """The l of r_l = 1 on each perturbed edge (Sec. A.2.1); zero and skip are equally likely, our choice."""
    return np.where(perturbed_edges(shape, d, rng), rng.choice(degraded, shape), -1)


def multiplicative_neighbor(
    alphas: Any,  # (..., E, O) array or tensor
    r: Any,  # (..., E, O), one-hot; zeros where the edge stays
) -> Any:  # (..., E, O), on the simplex
    """alpha'_k = r_k alpha_k / sum_k r_k alpha_k with r one-hot (Eq. A); differentiable in alpha.

    The result equals r wherever r_k alpha_k has a positive sum; where the sum is 0 it is still r.
    """
    stays = (r == 0).all(-1)[..., None]
    return stays * alphas + r
