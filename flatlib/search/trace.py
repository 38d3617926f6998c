"""What a search leaves behind: one line an epoch, and alpha before the first epoch and after each."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Epoch(NamedTuple):
    """A line of trace.csv. Losses are cross-entropies in nats, accuracies percent, both means over the epoch."""

    epoch: int  # 1 for the first
    train_loss: float
    train_accuracy: float
    valid_loss: float  # f(alpha) on the validation batches of the architecture steps
    valid_accuracy: float
    objective: float  # g(f(N(alpha))), what the architecture step descends (Eq. 5)
    spread: float  # standard deviation of f over the sampled neighbors
    entropy: float  # of alpha, mean over edges, nats
    eigenvalue: float  # largest of the Hessian with respect to the logits; nan where not asked for
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class SearchTrace:
    """A search over time."""

    epochs: tuple[Epoch, ...]
    alphas: np.ndarray  # (epochs + 1, T, E, O); PC-DARTS's edge weights are not in it
    edge_weights: np.ndarray | None = None  # (epochs + 1, T, E) PC-DARTS's

    def column(self, name: str) -> np.ndarray:
        """One number an epoch."""
        return np.array([getattr(epoch, name) for epoch in self.epochs])


def entropy(alphas: np.ndarray) -> float:  # (..., E, O) -> nats
    """-sum_k alpha_k log alpha_k, mean over all edges.

    >>> round(float(entropy(np.full((1, 4), 0.25)) / np.log(4)), 6)
    1.0
    """
    logs = np.log(np.where(alphas > 0, alphas, 1.0))
    return float(-(alphas * logs).sum(-1).mean())
