"""What a search leaves behind: one line an epoch, and alpha before the first epoch and after each."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flatlib.run.checkpoint import write_beside
from flatlib.run.folder import Trace, reading


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
class SearchTrace(Trace):
    """A search over time."""

    line = Epoch
    alphas: np.ndarray  # (epochs + 1, T, E, O); PC-DARTS's edge weights are not in it
    edge_weights: np.ndarray | None = None  # (epochs + 1, T, E) PC-DARTS's

    def write(self, folder: Path) -> None:
        """`alphas.npy`, PC-DARTS's `edge_weights.npy`, and last `trace.csv`, a line an epoch."""
        write_beside(folder / "alphas.npy", lambda file: np.save(file, self.alphas))
        if (weights := self.edge_weights) is not None:
            write_beside(folder / "edge_weights.npy", lambda file: np.save(file, weights))
        super().write(folder)


def read_trace(folder: Path, shape: tuple[int, int]) -> SearchTrace:  # (E, O)
    """What both files hold: a search may be between writing the one and the other. RunError, one line."""
    with reading(folder / "alphas.npy") as path:
        alphas, beside = _numbers(path), folder / "edge_weights.npy"
        weights = _numbers(beside) if beside.exists() else None
        if alphas.ndim != 4 or alphas.shape[2:] != shape:
            raise ValueError(f"unexpected shape {alphas.shape}")
    epochs = SearchTrace.read_epochs(folder)[: max(len(alphas) - 1, 0)]
    n = len(epochs) + 1
    return SearchTrace(epochs, alphas[:n], None if weights is None else weights[:n])


def _numbers(path: Path) -> np.ndarray:
    return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)


def entropy(alphas: np.ndarray) -> float:  # (..., E, O) -> nats
    """-sum_k alpha_k log alpha_k, mean over all edges.

    >>> round(float(entropy(np.full((1, 4), 0.25)) / np.log(4)), 6)
    1.0
    """
    logs = np.log(np.where(alphas > 0, alphas, 1.0))
    return float(-(alphas * logs).sum(-1).mean())
