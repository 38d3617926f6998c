"""What a search leaves in its run folder: an epoch's line, alpha over time, and what was found at the end."""

import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flatlib.run import folder as run_folder
from flatlib.run.checkpoint import write_beside
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
    """A search over time."""

    line = Epoch
    alphas: np.ndarray  # (epochs + 1, T, E, O) before the first epoch and after each; without PC-DARTS's edge weights
    edge_weights: np.ndarray | None = None  # (epochs + 1, T, E) PC-DARTS's

    def write(self, folder: Path) -> None:
        """`alphas.npy`, PC-DARTS's `edge_weights.npy`, and last `trace.csv`, a line an epoch."""
        write_beside(folder / "alphas.npy", lambda file: np.save(file, self.alphas))
        if (weights := self.edge_weights) is not None:
            write_beside(folder / "edge_weights.npy", lambda file: np.save(file, weights))
        super().write(folder)


@dataclass(frozen=True)
class Result:
    """What a finished search found: the values of result.json."""

    cell: Genotype | str  # NAS-Bench-201: the architecture string
    epoch: int  # whose alpha was taken; earlier than the last one with DARTS-ES
    epochs: int  # run
    steps: int  # weight steps
    seconds: float
    final: dict[str, float]  # the trace's numbers of `epoch`

    def to_json(self) -> dict[str, Any]:
        """JSON has no nan."""
        cell = {"arch": self.cell} if isinstance(self.cell, str) else {"genotype": self.cell.to_json()}
        numbers = {name: getattr(self, name) for name in ("epoch", "epochs", "steps", "seconds")}
        return cell | numbers | {"final": {k: v if math.isfinite(v) else None for k, v in self.final.items()}}


@dataclass(frozen=True)
class Run(run_folder.Run):
    """A search's folder; `result` is None until the search is finished."""

    kind = SearchConfig
    config: SearchConfig
    trace: SearchTrace
    result: Result | None

    @staticmethod
    def name(config: SearchConfig) -> str:
        return f"{config.method}-{config.dataset}-{config.space}"

    @staticmethod
    def identity(config: SearchConfig) -> dict[str, Any]:
        """Its parameters and its method's recipe."""
        return json.loads(json.dumps({"parameters": asdict(config), "recipe": asdict(recipe(config))}))

    @staticmethod
    def read_trace(folder: Path, config: SearchConfig) -> SearchTrace:
        """What both files hold: a search may be between writing the one and the other."""
        with reading(folder / "alphas.npy") as path:
            alphas, beside = _numbers(path), folder / "edge_weights.npy"
            weights, space = _numbers(beside) if beside.exists() else None, SPACES[config.space]
            if alphas.ndim != 4 or alphas.shape[2:] != (len(space.edges), len(space.operations)):
                raise ValueError(f"unexpected shape {alphas.shape}")
        epochs = SearchTrace.read_epochs(folder)[: max(len(alphas) - 1, 0)]
        n = len(epochs) + 1
        return SearchTrace(epochs, alphas[:n], None if weights is None else weights[:n])

    @staticmethod
    def read_result(values: dict[str, Any], config: SearchConfig, trace: SearchTrace) -> Result:
        """ValueError for what is no cell of the space, or of an epoch that the trace has not."""
        cell = values["arch"] if "arch" in values else genotype(values["genotype"], SPACES[config.space])
        if isinstance(cell, str):
            string_to_arch(cell)
        final = {name: math.nan if value is None else float(value) for name, value in values["final"].items()}
        epoch, n = values["epoch"], len(trace.alphas)
        if type(epoch) is not int or not 0 <= epoch < n or not final.keys() <= {*Epoch._fields}:
            raise ValueError(f"epoch {epoch!r:.20} of {n - 1}, or a number that no trace has")
        return Result(cell, epoch, values["epochs"], values["steps"], values["seconds"], final)


identity, run_path, finished_run = Run.identity, Run.path, Run.finished
read_run, read_runs = Run.read, Run.read_all


def _numbers(path: Path) -> np.ndarray:
    return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)


def entropy(alphas: np.ndarray) -> float:  # (..., E, O) -> nats
    """-sum_k alpha_k log alpha_k, mean over all edges.

    >>> round(float(entropy(np.full((1, 4), 0.25)) / np.log(4)), 6)
    1.0
    """
    logs = np.log(np.where(alphas > 0, alphas, 1.0))
    return float(-(alphas * logs).sum(-1).mean())
