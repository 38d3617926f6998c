"""What a training leaves behind: one line an epoch."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flatlib.run.checkpoint import write_beside


class Epoch(NamedTuple):
    """A line of trace.csv. Losses are cross-entropies in nats, accuracies percent."""

    epoch: int  # 1 for the first
    train_loss: float  # mean over the epoch's batches, label smoothing included, without the auxiliary loss
    train_accuracy: float
    test_loss: float  # after the epoch, on the whole test set
    test_accuracy: float
    test_top5: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class EvaluationTrace:
    """A training over time."""

    epochs: tuple[Epoch, ...]

    def column(self, name: str) -> np.ndarray:
        """One number an epoch."""
        return np.array([getattr(epoch, name) for epoch in self.epochs])

    def write(self, folder: Path) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([Epoch._fields, *self.epochs])
        write_beside(folder / "trace.csv", lambda file: file.write(text.getvalue().encode()))


def read_trace(folder: Path) -> EvaluationTrace:
    """ValueError for other columns; OSError where there is none."""
    with open(folder / "trace.csv", newline="", encoding="utf-8") as file:
        names, *lines = csv.reader(file)
    if tuple(names) != Epoch._fields:
        raise ValueError(f"unexpected columns {', '.join(names)[:80]}")
    return EvaluationTrace(tuple(Epoch(int(line[0]), *map(float, line[1:])) for line in lines))
