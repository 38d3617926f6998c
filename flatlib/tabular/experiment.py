"""One experiment on a table: which quantity is f, which test errors judge, which cells are neighbors."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from flatlib.aggregators import aggregator, neighborhood_score, neighborhood_std
from flatlib.spaces import isomorphism_classes
from flatlib.tabular.table import EMBEDDED, Table, TableError, load_table

PAPER_SHARE = 0.45  # the paper's epoch 90 of 200
CRITERIA = {  # the paper's row -> the aggregator; None is the standard criterion f
    "Baseline": None,
    "Ours - mean": "mean",
    "Ours - median": "median",
    "Ours - max": "max",
    "Ours - Variance": "variance",
}


@dataclass(frozen=True)
class Experiment:
    """f and what it is judged by, for all cells of a table (A cells, N neighbors)."""

    table: Table
    key: str  # the quantity that gives f
    epoch: int
    trial: str  # 'first' or 'mean' of the seeds
    f: np.ndarray  # (A,) validation error, percent
    neighbors: np.ndarray  # (A, N) rows, the cell itself first
    targets: dict[str, np.ndarray]  # column label -> (A,) test error, percent
    lam: float = 1.0

    @property
    def setting(self) -> str:
        """Benchmark, quantity, epoch and trial, as the CSV files state it."""
        schedule = self.key.split("/")[1]
        return f"{self.table.name}, {self.key}, epoch {self.epoch} of {schedule}, {self.seeds}"

    @property
    def seeds(self) -> str:
        """How many seeds f is read from, in words."""
        return "one seed" if self.trial == "first" else "mean over seeds"

    def score(self, criterion: str) -> np.ndarray:  # (A,) percent
        """f, or g(f(N(alpha))), by the paper's row label (Eq. 1)."""
        name = CRITERIA[criterion]
        return self.f if name is None else neighborhood_score(self.f, self.neighbors, aggregator(name, self.lam))

    @cached_property
    def spread(self) -> np.ndarray:  # (A,) percent
        """sigma(f(N(alpha))): the flatness; its square is the neighborhood variance."""
        return neighborhood_std(self.f, self.neighbors)

    def best(self, scores: np.ndarray, n: int) -> np.ndarray:  # (n,) rows
        """The n cells of lowest score; ties by the table's order."""
        return np.argsort(scores, kind="stable")[:n]

    def at_epoch(self, epoch: int) -> "Experiment":
        """The same experiment with f after another epoch."""
        return replace(self, epoch=epoch, f=self.table.errors(self.key, epoch, self.trial))

    @property
    def epochs(self) -> list[int]:
        """Epochs at which f is known."""
        return [int(epoch) for epoch in self.table.quantity(self.key).epochs]

    def with_shared_measurements(self) -> "Experiment":
        """The control of reading 11: isomorphic cells share the f of their class's first cell."""
        return replace(self, f=self.f[self.classes])

    @cached_property
    def classes(self) -> np.ndarray:  # (A,) row of each class's first cell
        """Exact isomorphism classes: equal ones are the same network."""
        return isomorphism_classes(self.table.archs)

    def distinct_classes(self) -> float:
        """Different classes in a neighborhood, averaged over all cells."""
        ordered = np.sort(self.classes[self.neighbors], axis=1)
        return float(1 + (ordered[:, 1:] != ordered[:, :-1]).sum(1).mean())


def open_experiment(
    table: str | Path = EMBEDDED,
    search_quantity: str = "auto",
    *,
    epoch: int = -1,
    trial: str = "first",
    d: int = 1,
    lam: float = 1.0,
) -> Experiment:
    """Load a table and choose f: epoch -1 is the one nearest to 45 % of the schedule, 0 the last.

    TableError, one line, for a table, quantity or epoch that is not there.
    """
    loaded = load_table(table)
    key = loaded.search_key(search_quantity)
    at = loaded.nearest_epoch(key, PAPER_SHARE) if epoch == -1 else epoch or int(loaded.quantity(key).epochs[-1])
    targets = {label: loaded.errors(target, trial="mean") for label, target in loaded.targets().items()}
    if not targets:
        raise TableError(f"{loaded.name} has no test errors to judge by")
    assert at is not None  # nearest_epoch finds one when no tolerance is given
    f = loaded.errors(key, at, trial)
    return Experiment(loaded, key, at, trial, f, loaded.neighbors(d), targets, lam)
