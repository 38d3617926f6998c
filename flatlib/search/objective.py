"""g(f(N(alpha))) over sampled neighbors, and its gradient with respect to alpha (Eq. 5, Sec. 4.2.2, 4.2.3, A).

The random constants of a step's neighbors are drawn first; the neighbors are then a differentiable function
of alpha, and dg/dalpha = sum_n (dg/df_n) df_n/dalpha'_n dalpha'_n/dalpha needs one chunk of them in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flatlib import aggregators
from flatlib.aggregators import SLOPES
from flatlib.neighborhoods import (
    additive_neighbor,
    additive_noise,
    degraded_operations,
    multiplicative_neighbor,
    one_hot,
)
from flatlib.search.supernet import Shared, Supernet
from flatlib.spaces import Space

Loss = Callable[[Tensor], Tensor]  # alphas (n, T, E, O) -> losses (n,)


def draw_neighbors(
    alphas: np.ndarray,  # (T, E, O) float64
    n_nbr: int,  # N, alpha itself included
    d: int,
    rng: np.random.Generator,
    *,
    eps: float = 0.1,
    degraded: tuple[int, ...] = (),
) -> Callable[[Tensor], Tensor]:  # (T, E, O) -> (N, T, E, O), alpha itself first
    """The neighbors as a differentiable function of alpha, whose random constants are drawn now.

    d edges a cell type, anew for each neighbor: additive with threshold eps (Eq. 6), or multiplicative with the
    `degraded` operations (Eq. A).
    """
    batch = np.repeat(alphas[None], n_nbr - 1, axis=0)
    neighbor: Callable[[Tensor, Tensor], Tensor] = multiplicative_neighbor if degraded else additive_neighbor
    if degraded:
        constants = one_hot(degraded_operations(batch.shape[:-1], d, degraded, rng), alphas.shape[-1])
    else:
        constants = additive_noise(batch, d, eps, rng)
    return lambda point: torch.cat([point[None], neighbor(point, torch.as_tensor(constants).to(point))])


def degraded_indices(space: Space) -> tuple[int, int]:
    """Where zero and skip stand among the space's operations."""
    return space.operations.index("none"), space.operations.index("skip_connect")


# --- f --------------------------------------------------------------------------------------------


@dataclass
class CrossEntropy:
    """f on one batch: weights (P,), alphas (n, T, E, O) -> losses (n,) in nats."""

    net: Supernet
    images: Tensor  # (B, in_channels, H, W), of the dtype that the supernet computes in
    labels: Tensor  # (B,)
    edge_weights: Tensor | None = None  # (T, E) PC-DARTS's
    shared: Shared | None = None
    hits: list[Tensor] = field(default_factory=list)  # (n,) of each call: share of images right

    def __call__(self, weights: Tensor, alphas: Tensor) -> Tensor:
        """The network in its own precision, the loss in that of the weights."""
        dtype = self.images.dtype
        gamma = None if self.edge_weights is None else self.edge_weights.to(dtype)
        logits = self.net.logits(
            weights.to(dtype), self.images, alphas.to(dtype), edge_weights=gamma, shared=self.shared
        ).to(weights.dtype)
        self.hits.append((logits.argmax(-1) == self.labels).double().mean(-1))
        losses = F.cross_entropy(logits.flatten(0, 1), self.labels.repeat(len(alphas)), reduction="none")
        return losses.view(len(alphas), -1).mean(1)

    @property
    def accuracy(self) -> float:
        """Percent, at the first alphas it was asked for."""
        return 100 * float(self.hits[0][0])


# --- g and its gradient ---------------------------------------------------------------------------


def loss_weights(losses: Tensor, aggregator: str, lam: float = 1.0) -> Tensor:  # (N,), alpha first -> (N,)
    r"""dg / df_n.

    mean: $1 / N$. max: 1 at the worst, of equals the first (Danskin, Sec. A.2.1).
    variance, $g = f_1 + \lambda \sigma$: $[n = 1] + \lambda (f_n - \bar f) / (N \sigma)$, and $[n = 1]$ where
    $\sigma = 0$ (Sec. A.1). ValueError, one line, for another aggregator.

    >>> loss_weights(torch.tensor([1.0, 3.0]), "variance")
    tensor([0.5000, 0.5000])
    """
    n, at = len(losses), torch.arange(len(losses), device=losses.device)
    if aggregator == "mean":
        return torch.full_like(losses, 1 / n)
    if aggregator == "max":
        return (at == losses.argmax()).to(losses)
    if aggregator == "variance":
        centered = losses - losses.mean()
        slope = centered / (n * centered.square().mean().sqrt())
        return (at == 0) + lam * torch.where(losses.max() > losses.min(), slope, 0)  # rounding hides sigma = 0
    if aggregator in SLOPES:
        return SLOPES[aggregator](losses, lam)
    raise ValueError(f"aggregator {aggregator!r}: no gradient known; choose {', '.join(aggregators.differentiable())}")


@dataclass(frozen=True)
class Aggregated:
    """g over the sampled neighbors."""

    value: float  # g
    losses: Tensor  # (N,), alpha's first
    gradient: Tensor  # (N, T, E, O) dg / dalpha'
    others: tuple[Tensor, ...] = ()  # dg with respect to what else the loss reads


def aggregated_gradient(
    loss_of: Loss,
    neighbors: Tensor,  # (N, T, E, O), alpha itself first
    aggregator: str,
    lam: float = 1.0,
    chunk: int | None = None,  # neighbors in memory; None: all
    others: tuple[Tensor, ...] = (),  # leaves that loss_of reads, such as PC-DARTS's edge weights
) -> Aggregated:
    """g, every f and dg / dalpha', `chunk` neighbors at a time (Sec. 4.2.3, A.1, A.2).

    mean goes once forward and back through each neighbor. max and variance take the losses without a graph
    first; then max goes back through the worst neighbor only. The paper's remark that the variance must keep
    all neighbors in memory is thus avoided.
    """
    neighbors, size = neighbors.detach(), chunk or len(neighbors)
    if aggregator == "mean" or len(neighbors) == 1:  # known before the losses
        losses, weights = None, loss_weights(neighbors.new_zeros(len(neighbors)), aggregator, lam)
    else:
        with torch.no_grad():
            losses = torch.cat([loss_of(part) for part in neighbors.split(size)])
        weights = loss_weights(losses, aggregator, lam)
    gradient, seen = torch.zeros_like(neighbors), list[Tensor]()
    totals = tuple(torch.zeros_like(other) for other in others)
    for part in weights.nonzero().flatten().split(size):
        leaf = neighbors[part].requires_grad_()
        own = loss_of(leaf)
        slopes = torch.autograd.grad(own @ weights[part].to(own), (leaf, *others))
        seen.append(own.detach())
        gradient[part] = slopes[0]
        totals = tuple(total + slope for total, slope in zip(totals, slopes[1:], strict=True))
    losses = torch.cat(seen) if losses is None else losses
    g = aggregators.aggregator(aggregator, lam)(losses.double().cpu().numpy())
    return Aggregated(float(g), losses, gradient, totals)
