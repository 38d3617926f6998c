"""The run folders of trainings: `<runs_dir>/evaluation/<cell>-<data set>-seed<seed>-<digest>`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from flatlib.evaluation.config import EvaluationConfig
from flatlib.run.folder import Run, Trace

NUMBERS = ("test_error", "test_error_top5", "test_loss", "epochs", "seconds")


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


class EvaluationTrace(Trace):
    """A training over time."""

    line = Epoch


@dataclass(frozen=True)
class EvaluationRun(Run):
    """A training; its result holds test_error and test_error_top5 (percent), test_loss (nats), epochs, seconds."""

    kind = EvaluationConfig
    below = "evaluation"
    config: EvaluationConfig
    trace: EvaluationTrace
    result: dict[str, float] | None

    @staticmethod
    def name(config: EvaluationConfig) -> str:
        return f"{re.sub('[^A-Za-z0-9_.-]', '-', config.name)}-{config.dataset}"

    @staticmethod
    def read_trace(folder: Path, config: EvaluationConfig) -> EvaluationTrace:
        return EvaluationTrace(EvaluationTrace.read_epochs(folder))

    @staticmethod
    def read_result(values: dict[str, Any], config: EvaluationConfig, trace: EvaluationTrace) -> dict[str, float]:
        return {name: float(values[name]) for name in NUMBERS}

    @property
    def test_error(self) -> float:
        """Percent, after the last epoch; of a finished run."""
        assert self.result is not None
        return self.result["test_error"]


identity, run_path, finished_run = EvaluationRun.identity, EvaluationRun.path, EvaluationRun.finished
read_run, read_runs = EvaluationRun.read, EvaluationRun.read_all
