"""What a search leaves in its run folder: an epoch's line, and alpha over time."""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flatlib.run import folder as run_folder
from flatlib.run.folder import Trace, reading
from flatlib.search.config import SearchConfig, recipe
from flatlib.spaces import SPACES, Genotype, genotype, string_to_arch


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
    """A search over time: `alphas.npy` and PC-DARTS's `edge_weights.npy` too."""

    alphas: np.ndarray  # (epochs + 1, T, E, O) before the first epoch and after each; without PC-DARTS's edge weights
    edge_weights: np.ndarray | None = None  # (epochs + 1, T, E) PC-DARTS's

    def files(self) -> dict[str, bytes]:
        arrays = {"alphas.npy": self.alphas, "edge_weights.npy": self.edge_weights}
        return {name: _packed(array) for name, array in arrays.items() if array is not None} | super().files()


@dataclass(frozen=True)
class Run(run_folder.Run):
    """A finished search."""

    kind, line = SearchConfig, Epoch
    config: SearchConfig
    trace: SearchTrace

    @staticmethod
    def name(config: SearchConfig) -> str:
        return f"{config.method}-{config.dataset}-{config.space}"

    @staticmethod
    def identity(config: SearchConfig) -> dict[str, Any]:
        """Its parameters and its method's recipe."""
        return json.loads(json.dumps({"parameters": asdict(config), "recipe": asdict(recipe(config))}))

    @classmethod
    def read_trace(cls, folder: Path, config: SearchConfig) -> SearchTrace:
        space, epochs = SPACES[config.space], super().read_trace(folder, config).epochs
        with reading(folder / "alphas.npy") as path:
            alphas, beside = _numbers(path), folder / "edge_weights.npy"
            if alphas.shape[:1] + alphas.shape[2:] != (len(epochs) + 1, len(space.edges), len(space.operations)):
                raise ValueError(f"unexpected shape {alphas.shape}")
            return SearchTrace(epochs, alphas, _numbers(beside) if beside.exists() else None)

    @staticmethod
    def read_cell(values: dict[str, Any], config: SearchConfig) -> Genotype | str:
        """ValueError for what is no cell of the space."""
        if "arch" not in values:
            return genotype(values["genotype"], SPACES[config.space])
        string_to_arch(values["arch"])
        return values["arch"]


def _packed(array: np.ndarray) -> bytes:
    np.save(file := io.BytesIO(), array)
    return file.getvalue()


def _numbers(path: Path) -> np.ndarray:
    return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)


def entropy(alphas: np.ndarray) -> float:  # (..., E, O) -> nats
    """-sum_k alpha_k log alpha_k, mean over all edges.

    >>> round(float(entropy(np.full((1, 4), 0.25)) / np.log(4)), 6)
    1.0
    """
    logs = np.log(np.where(alphas > 0, alphas, 1.0))
    return float(-(alphas * logs).sum(-1).mean())
