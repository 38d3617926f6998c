"""The run folders of trainings: `<runs_dir>/evaluation/<cell>-<data set>-seed<seed>-<digest>`."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from flatlib.evaluation.config import EvaluationConfig
from flatlib.run.config import make
from flatlib.run.folder import Trace, digest, if_finished, read_finished, reading, stored

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


@dataclass(frozen=True)
class EvaluationTrace(Trace):
    """A training over time."""

    line = Epoch


@dataclass(frozen=True)
class EvaluationRun:
    """A run folder's content; `result` is None until the training is finished."""

    folder: Path
    config: EvaluationConfig
    trace: EvaluationTrace
    result: dict[str, float] | None  # test_error, test_error_top5 (percent), test_loss (nats), epochs, seconds
    hardware: dict[str, Any]

    @property
    def test_error(self) -> float:
        """Percent, after the last epoch; of a finished run."""
        assert self.result is not None
        return self.result["test_error"]


def identity(config: EvaluationConfig) -> dict[str, Any]:
    """What makes a training itself, as JSON has it."""
    return {"parameters": asdict(config)}


def run_path(runs_dir: str | Path, config: EvaluationConfig) -> Path:
    """A readable name, unique for each configuration."""
    name = f"{re.sub('[^A-Za-z0-9_.-]', '-', config.name)}-{config.dataset}-seed{config.seed}"
    return Path(runs_dir).expanduser() / "evaluation" / f"{name}-{digest(identity(config))}"


def read_run(folder: str | Path) -> EvaluationRun:
    """A run as far as it is; RunError, one line, for a folder that is none or whose files are damaged."""
    folder = Path(folder)
    about = stored(folder)
    with reading(folder / "config.json"):
        config, hardware = make(EvaluationConfig, about["parameters"]), dict(about["hardware"])
    trace = EvaluationTrace(EvaluationTrace.read_epochs(folder))
    result = None
    if (folder / "result.json").exists():
        with reading(folder / "result.json") as path:
            found = json.loads(path.read_text(encoding="utf-8"))
            result = {name: float(found[name]) for name in NUMBERS}
    return EvaluationRun(folder, config, trace, result, hardware)


def read_runs(runs_dir: str | Path) -> list[EvaluationRun]:
    """All finished trainings below `runs_dir`, by name; others are left out, with one warning each."""
    configs = (Path(runs_dir).expanduser() / "evaluation").glob("*/config.json")
    return read_finished([path.parent for path in sorted(configs)], read_run)


def finished_run(runs_dir: str | Path, config: EvaluationConfig) -> EvaluationRun | None:
    """The run of this very configuration, if it is finished."""
    return if_finished(run_path(runs_dir, config), identity(config), read_run)
