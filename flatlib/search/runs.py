"""What a search's run folder holds, read back: `config.json`, its trace's files, `result.json` once it is finished."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatlib.run.config import make
from flatlib.run.folder import digest, if_finished, read_finished, reading, stored
from flatlib.search.config import SearchConfig, identity
from flatlib.search.trace import Epoch, SearchTrace, read_trace
from flatlib.spaces import SPACES, Genotype, genotype, string_to_arch

NUMBERS = ("epoch", "epochs", "steps", "seconds")


@dataclass(frozen=True)
class Result:
    """What a finished search found."""

    cell: Genotype | str  # NAS-Bench-201: the architecture string
    epoch: int  # whose alpha was taken; earlier than the last one with DARTS-ES
    epochs: int  # run
    steps: int  # weight steps
    seconds: float
    final: dict[str, float]  # the trace's numbers of `epoch`

    def to_json(self) -> dict[str, Any]:
        """The values of result.json; JSON has no nan."""
        cell = {"arch": self.cell} if isinstance(self.cell, str) else {"genotype": self.cell.to_json()}
        final = {name: value if math.isfinite(value) else None for name, value in self.final.items()}
        return cell | {name: getattr(self, name) for name in NUMBERS} | {"final": final}


@dataclass(frozen=True)
class Run:
    """A run folder's content; `result` is None until the search is finished."""

    folder: Path
    config: SearchConfig
    trace: SearchTrace
    result: Result | None


def run_path(runs_dir: str | Path, config: SearchConfig) -> Path:
    """A readable name, unique for each configuration: `na-darts-digits-darts-seed0-1a2b3c4d`."""
    name = f"{config.method}-{config.dataset}-{config.space}-seed{config.seed}-{digest(identity(config))}"
    return Path(runs_dir).expanduser() / name


def read_run(folder: str | Path) -> Run:
    """A run as far as it is; RunError, one line, for a folder that is none or whose files are damaged."""
    folder = Path(folder)
    values = stored(folder)
    with reading(folder / "config.json"):
        config = make(SearchConfig, values["parameters"])
    space = SPACES[config.space]
    trace = read_trace(folder, (len(space.edges), len(space.operations)))
    if not (folder / "result.json").exists():
        return Run(folder, config, trace, None)
    with reading(folder / "result.json") as path:
        result = _result(json.loads(path.read_text(encoding="utf-8")), config, len(trace.alphas))
    return Run(folder, config, trace, result)


def read_runs(runs_dir: str | Path) -> list[Run]:
    """All finished runs of a folder, by name; others are left out, with one warning each."""
    return read_finished((path.parent for path in sorted(Path(runs_dir).glob("*/config.json"))), read_run)


def finished_run(runs_dir: str | Path, config: SearchConfig) -> Run | None:
    """The run of this very configuration, if it is finished."""
    return if_finished(run_path(runs_dir, config), identity(config), read_run)


def _result(stored: dict[str, Any], config: SearchConfig, n_alphas: int) -> Result:
    """ValueError for what is no cell of the space, or of an epoch that the trace has not."""
    cell: Genotype | str
    if "arch" in stored:
        string_to_arch(cell := stored["arch"])
    else:
        cell = genotype(stored["genotype"], SPACES[config.space])
    final = {name: math.nan if value is None else float(value) for name, value in stored["final"].items()}
    if type(stored["epoch"]) is not int or not 0 <= stored["epoch"] < n_alphas or not final.keys() <= {*Epoch._fields}:
        raise ValueError(f"epoch {stored['epoch']!r:.20} of {n_alphas - 1}, or a number that no trace has")
    return Result(cell, **{name: stored[name] for name in NUMBERS}, final=final)
