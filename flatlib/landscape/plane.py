"""The validation loss over the plane alpha + l0 v0 + l1 v1 (Sec. E, Figures 1 and A).

`+` is the additive representation (Eq. 6): entries are clipped at 0, then each edge is renormalized; an edge
whose entries all clip keeps its alpha.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from flatlib.landscape.found import Found, Source, for_batches
from flatlib.neighborhoods import additive_neighbor
from flatlib.search.objective import CrossEntropy


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

    @property
    def middle(self) -> int:
        """Where 0 is among the lambdas."""
        return len(self.lambdas) // 2

    @property
    def loss(self) -> float:
        """At the architecture itself, nats."""
        return float(self.losses[self.middle, self.middle])


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
    noise = np.maximum(q, -alphas)
    kept = (alphas + noise == 0).all(-1, keepdims=True)
    neighbors = additive_neighbor(alphas, np.where(kept, 0, noise))
    return neighbors, (alphas + q < 0).mean((1, 2, 3)), kept.mean((1, 2, 3))


def plane(
    source: Source,
    directions: np.ndarray,  # (2, T, E, O)
    grid: int = 41,
    reach: float = 1.0,
    **how: Any,  # as `for_batches`
) -> Plane:
    """The loss on a grid of lambdas from -reach to reach."""
    alphas, lambdas = source.open().alphas.double().cpu().numpy(), np.linspace(-reach, reach, grid)
    lambdas[grid // 2] = 0
    steps = np.stack(np.meshgrid(lambdas, lambdas), -1).reshape(-1, 2)  # l0 runs faster
    neighbors, clipped, kept = step_on_plane(alphas, directions, steps)
    loss, accuracy = losses(source, neighbors, **how)
    loss, accuracy, clipped, kept = (x.reshape(grid, grid) for x in (loss, accuracy, clipped, kept))
    return Plane(lambdas, loss, accuracy, clipped, kept, alphas, directions)


def mean_rise(plane: Plane, radius: float) -> float:
    """Mean of the loss minus that of the middle, over the grid's points with 0 < |(l0, l1)| <= radius; nats.

    >>> zero, x = np.zeros((3, 3)), np.array([-1.0, 0.0, 1.0])
    >>> bowl = Plane(x, x[:, None] ** 2 + x**2, zero, zero, zero, zero, zero)
    >>> mean_rise(bowl, 1.0)
    1.0
    """
    l1, l0 = np.meshgrid(plane.lambdas, plane.lambdas, indexing="ij")
    distance = np.hypot(l0, l1)
    inside = (distance > 0) & (distance <= radius * (1 + 1e-9))
    return float((plane.losses[inside] - plane.loss).mean()) if inside.any() else float("nan")


def random_directions(shape: tuple[int, ...], seed: int) -> np.ndarray:  # (2, *shape)
    """Two orthonormal directions, uniform over all."""
    draws = np.random.default_rng([seed, 5]).standard_normal((int(np.prod(shape)), 2))
    return np.linalg.qr(draws)[0].T.reshape(2, *shape)


# --- f of many architectures ----------------------------------------------------------------------


def losses(source: Source, alphas: np.ndarray, **how: Any) -> np.ndarray:  # (N, T, E, O) -> (2, N)
    """Loss (nats) and accuracy (percent) of each architecture, means over all batches."""
    return for_batches(losses_on, source, alphas, **how).mean(0)


@torch.no_grad()
def losses_on(found: Found, at: int, alphas: np.ndarray) -> np.ndarray:  # (2, N) float64
    """Of each architecture on one batch: a chunk of them passes the network as its neighbors."""
    images, labels = found.batches[at]
    loss = CrossEntropy(found.net, images, labels, found.edge_weights, found.net.share(found.weights, images))
    chunks = torch.from_numpy(alphas).to(found.weights).split(found.chunk)
    values = torch.cat([loss(found.weights, chunk) for chunk in chunks]).double()
    return torch.stack([values, 100 * torch.cat(loss.hits)]).cpu().numpy()
