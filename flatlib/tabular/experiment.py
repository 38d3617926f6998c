"""One experiment on a table: which quantity is f, which test errors judge, which cells are neighbors."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from flatlib.aggregators import aggregator, neighborhood_score
from flatlib.tabular.samplers import count_distinct
from flatlib.tabular.table import Table, TableError
from flatlib.tabular.table_file import EMBEDDED, load_table

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
    trial: str | int  # 'first' or 'mean' of the seeds, or a seed's number
    f: np.ndarray  # (A,) validation error, percent
    neighbors: np.ndarray  # (A, N) rows, the cell itself first
    targets: dict[str, np.ndarray]  # column label -> (A,) test error, percent
    lam: float = 1.0
    d: int = 1

    @property
    def source(self) -> str:
        """Benchmark and quantity, with what differs from the paper's neighborhood."""
        changed = [text for text in (f"d = {self.d}", f"lam = {self.lam:g}") if text not in ("d = 1", "lam = 1")]
        return ", ".join([self.table.name, self.key, *changed])

    @property
    def setting(self) -> str:
        """What the CSV files state: benchmark, quantity, epoch of its schedule, seeds of f."""
        is_mean = self.trial == "mean" or -1 in self.table.quantity(self.key).seeds
        seeds = "mean over seeds" if is_mean else "one seed" if self.trial == "first" else f"seed {self.trial}"
        return f"{self.source}, epoch {self.epoch} of {self.key.split('/')[1]}, {seeds}"

    def score(self, criterion: str) -> np.ndarray:  # (A,) percent
        """f, or g(f(N(alpha))), by the paper's row label (Eq. 1)."""
        name = CRITERIA[criterion]
        if name is None:
            return self.f
        return self._in_parts(partial(neighborhood_score, self.f, aggregate=aggregator(name, self.lam)))

    @cached_property
    def spread(self) -> np.ndarray:  # (A,) percent
        """sigma(f(N(alpha))), ddof 0: the flatness; its square is the neighborhood variance (Sec. 3.3.1)."""
        return self._in_parts(lambda part: self.f[part].std(-1))

    def _in_parts(self, judge: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:  # (A,)
        """What `judge` makes of the neighbors (rows, N), part by part: at d = 6 they are 244 million."""
        parts = np.array_split(self.neighbors, max(1, self.neighbors.size // 4_000_000))
        return np.concatenate([judge(part) for part in parts])

    def best(self, scores: np.ndarray, n: int) -> np.ndarray:  # (n,) rows
        """The n cells of lowest score; ties by the table's order."""
        return np.argsort(scores, kind="stable")[:n]

    def reading(self, key: str, epoch: int, trial: str | int) -> "Experiment":
        """The same experiment with another f."""
        return replace(self, key=key, epoch=epoch, trial=trial, f=self.table.errors(key, epoch, trial))

    def with_shared_measurements(self) -> "Experiment":
        """The control of reading 11: isomorphic cells share the f of their class's first cell."""
        return replace(self, f=self.f[self.table.classes])

    def distinct_classes(self) -> float:
        """Different classes in a neighborhood, averaged over all cells."""
        return float(self._in_parts(lambda part: count_distinct(self.table.classes[part])).mean())


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
    if key in loaded.targets().values():
        raise TableError(f"search_quantity = {key!r} judges the found cells, so it cannot give f; choose an x-valid")
    f = loaded.errors(key, at, trial)
    return Experiment(loaded, key, at, trial, f, loaded.neighbors(d), targets, lam, d)
