"""A tabular benchmark on the NAS-Bench-201 space: accuracies in, errors and neighborhoods out.

Each quantity `{dataset}/{schedule}/{split}` is accuracy in percent, float32 (A, S, epochs), with
its epochs and seeds. NaN: not run. Queries give errors, 100 - accuracy.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flatlib.neighborhoods import enumerate_neighbors, neighborhood_size
from flatlib.run.config import ParameterError
from flatlib.spaces import NAS_BENCH_201, arch_to_string, isomorphism_classes

OFFICIAL_SEARCH = "cifar10-valid/200/x-valid"
PAPER_COLUMNS = {  # the paper's label -> the benchmark's key (DESIGN: on NAS-Bench-201)
    "CIFAR-10": "cifar10/200/ori-test",
    "CIFAR-100": "cifar100/200/x-test",
    "ImageNet-16-120": "ImageNet16-120/200/x-test",
}
STANDS_FOR = {  # what each of Digits201's data sets stands for
    "digits": "CIFAR-10",
    "digits-shifted": "ImageNet-16-120",
    "digits-rotated": "CIFAR-100",
}


class TableError(ParameterError):
    """A table that cannot serve: one line that says what was got, what is allowed, what to do."""

    def __str__(self) -> str:
        return " ".join(super().__str__().split())  # one line, whatever a foreign file's fields hold


@dataclass(frozen=True)
class Quantity:
    """One measured quantity."""

    accuracy: np.ndarray  # (A, S, epochs) percent, NaN where not run
    epochs: np.ndarray  # (epochs,)
    seeds: np.ndarray  # (S,), -1: a mean over seeds


@dataclass(frozen=True)
class Table:
    """A tabular benchmark on the NAS-Bench-201 space, whole or part, in the table's own order."""

    name: str
    archs: np.ndarray  # (A, 6) operation indices
    quantities: dict[str, Quantity]
    params_M: np.ndarray | None = None  # noqa: N815 - (A,) millions, the format's name

    @cached_property
    def _row_of(self) -> np.ndarray:  # (15625,) row of each cell of the space, -1 where absent
        rows = np.full(NAS_BENCH_201.n_cells, -1, dtype=np.int32)
        rows[arch_number(self.archs)] = np.arange(len(self.archs))
        return rows

    @cached_property
    def classes(self) -> np.ndarray:  # (A,) row of each class's first cell
        """Exact isomorphism classes: equal ones are the same network."""
        return isomorphism_classes(self.archs)

    @property
    def is_whole(self) -> bool:
        """Whether the table holds every cell of the space."""
        return len(self.archs) == NAS_BENCH_201.n_cells

    def row(self, arch: np.ndarray) -> int:  # arch (6,)
        """The row of a cell; TableError where the table does not hold it."""
        at = int(self._row_of[arch_number(arch)])
        if at < 0:
            raise TableError(f"{self.name} does not hold the cell {arch_to_string(arch)}")
        return at

    def neighbors(self, d: int = 1) -> np.ndarray:  # (A, N) rows, the cell itself first
        """N(alpha) of every cell as rows of the table (Eq. 3); TableError for part of a space."""
        if not self.is_whole:
            part = f"{len(self.archs)} of {NAS_BENCH_201.n_cells} cells"
            raise TableError(f"{self.name} holds {part}: neighborhoods need them all; use a complete table")
        size = len(self.archs) * neighborhood_size(6, 5, d)
        parts = np.array_split(self.archs, 1 + size // 1_000_000)  # at d = 6 there are 244 million
        return np.concatenate([self._row_of[arch_number(enumerate_neighbors(part, 5, d))] for part in parts])

    def quantity(self, key: str) -> Quantity:
        """A quantity by its key; TableError naming the keys there are."""
        if key not in self.quantities:
            raise TableError(f"{self.name} has no {key!r}; it has {', '.join(self.quantities)}")
        return self.quantities[key]

    def search_key(self, search_quantity: str = "auto") -> str:
        """The quantity that gives f; 'auto': the benchmark's x-valid of 200 epochs, or the table's own."""
        if search_quantity != "auto":
            self.quantity(search_quantity)
            return search_quantity
        own = [key for key in self.quantities if key.endswith("/x-valid")]
        if not own:
            raise TableError(f"{self.name} has no x-valid quantity; name one: {', '.join(self.quantities)}")
        return OFFICIAL_SEARCH if OFFICIAL_SEARCH in self.quantities else own[0]

    def targets(self) -> dict[str, str]:
        """Column label -> key of the test errors that judge: the paper's three, or a stand-in's own."""
        if self.name == "nas-bench-201":
            return {label: key for label, key in PAPER_COLUMNS.items() if key in self.quantities}
        tests = [key for key in self.quantities if key.endswith("test") and "-valid/" not in key]
        return {key.split("/")[0]: key for key in tests}

    def errors(self, key: str, epoch: int = 0, trial: str | int = "first") -> np.ndarray:  # (A,) percent
        """Error after an epoch (0: the last).

        `trial`: each cell's 'first' seed that was run, the 'mean' over seeds, or the number of a seed.
        """
        quantity = self.quantity(key)
        epochs = quantity.epochs.tolist()
        if epoch and epoch not in epochs:
            raise TableError(f"{self.name}: {key} has no epoch {epoch}; it has {epochs[0]} to {epochs[-1]}")
        at = epochs.index(epoch) if epoch else len(epochs) - 1
        seeds = 100.0 - quantity.accuracy[:, :, at].astype(np.float64)  # (A, S)
        if isinstance(trial, int):
            seeds = seeds[:, quantity.seeds == trial]
        elif trial not in ("first", "mean"):
            raise TableError(f"trial {trial!r}: no such trial; choose first or mean")
        run = ~np.isnan(seeds)
        if not run.any(1).all():
            missing = f"{key} was not run for {int((~run.any(1)).sum())} cells at epoch {epochs[at]}"
            raise TableError(f"{self.name}: {missing}; choose another quantity or epoch")
        return np.nanmean(seeds, axis=1) if trial == "mean" else seeds[np.arange(len(seeds)), run.argmax(1)]

    def complete_seeds(self, key: str) -> list[int]:
        """The seeds with which every cell was run at every epoch."""
        quantity = self.quantity(key)
        complete = ~np.isnan(quantity.accuracy).any((0, 2))
        return [int(seed) for seed in quantity.seeds[complete]]

    def nearest_epoch(self, key: str, share: float, tolerance: float = 1.0) -> int | None:
        """The epoch nearest to a share of the schedule; None where it is further off than `tolerance`."""
        quantity, schedule = self.quantity(key), int(key.split("/")[1])
        gap = np.abs(quantity.epochs / schedule - share)
        return int(quantity.epochs[gap.argmin()]) if gap.min() <= tolerance else None


def arch_number(archs: np.ndarray) -> np.ndarray:  # (..., 6) -> (...)
    """A cell's number in `spaces.all_archs`."""
    return archs @ 5 ** np.arange(5, -1, -1)
