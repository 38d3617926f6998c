"""The validation loss over the plane alpha + l0 v0 + l1 v1 (Sec. E, Figures 1 and A).

`+` is the additive representation (Eq. 6): entries are clipped at 0, then each edge is renormalized; an edge
whose entries all clip keeps its alpha.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Plane:
    """The loss around one architecture, on a grid; the axes of a grid are (l1, l0)."""

    lambdas: np.ndarray  # (G,) of both axes, ascending; 0 is the middle one
    losses: np.ndarray  # (G, G) nats, [i, j] at l1 = lambdas[i], l0 = lambdas[j]
    accuracy: np.ndarray  # (G, G) percent
    clipped: np.ndarray  # (G, G) share of alpha's entries that were clipped at 0
    kept: np.ndarray  # (G, G) share of the edges that keep their alpha, since all their entries clip
    alphas: np.ndarray  # (T, E, O) the architecture in the middle
    directions: np.ndarray  # (2, T, E, O) v0 and v1, unit norm over all entries


def step_on_plane(
    alphas: np.ndarray,  # (T, E, O)
    directions: np.ndarray,  # (2, T, E, O)
    steps: np.ndarray,  # (N, 2) of l0, l1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # (N, T, E, O), (N,), (N,)
    """The neighbors alpha' at some points of the plane (Eq. 6), the share of clipped entries, of edges that stay.

    >>> alphas, directions = np.array([[[0.5, 0.5]]]), np.array([[[[1.0, 0.0]]], [[[0.0, 1.0]]]])
    >>> step_on_plane(alphas, directions, np.array([[-1.0, 0.5]]))[0]
    array([[[[0., 1.]]]])
    """
    q = np.tensordot(steps, directions, 1)
    moved = np.maximum(alphas + q, 0)
    total = moved.sum(-1, keepdims=True)
    neighbors = np.where(total > 0, moved / np.where(total > 0, total, 1), alphas)
    stays = (q == 0).all(-1, keepdims=True)  # rounding must not move what is not perturbed
    neighbors = np.where(stays, alphas, neighbors)
    return neighbors, (alphas + q < 0).mean((1, 2, 3)), (total == 0).mean((1, 2, 3))
