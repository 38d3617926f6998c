"""The run folders of trainings: `<runs_dir>/evaluation/<cell>-<data set>-seed<seed>-<digest>`."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from flatlib.evaluation.config import EvaluationConfig
from flatlib.run.folder import Run
from flatlib.spaces import Genotype


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
class EvaluationRun(Run):
    """A finished training; the last epoch's numbers count: nothing is chosen by the test set."""

    kind, line, below = EvaluationConfig, Epoch, "evaluation"
    config: EvaluationConfig

    @staticmethod
    def name(config: EvaluationConfig) -> str:
        return f"{re.sub('[^A-Za-z0-9_.-]', '-', config.name)}-{config.dataset}"

    @staticmethod
    def read_cell(values: Any, config: EvaluationConfig) -> Genotype | str:
        return config.genotype

    @property
    def test_error(self) -> float:  # percent
        return 100 - self.result.final["test_accuracy"]
