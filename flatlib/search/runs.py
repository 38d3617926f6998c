"""The run folder of a search: one for each configuration, readable while it grows and after a kill.

`config.json` parameters, recipe, versions, hardware · `trace.csv` a line an epoch · `alphas.npy` (epochs + 1, T, E, O)
· `edge_weights.npy` (epochs + 1, T, E), PC-DARTS's · `checkpoint.pt` · `result.json`, which says that it is finished.
"""

import csv
import hashlib
import io
import json
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flatlib.search.checkpoint import (
    RunError,
    difference,
    identity,
    load_checkpoint,
    save_checkpoint,
    write_beside,
)
from flatlib.search.config import SearchConfig, make_config
from flatlib.search.hardware import hardware, versions
from flatlib.search.trace import Epoch, SearchTrace
from flatlib.spaces import SPACES, Genotype, genotype, string_to_arch


@dataclass(frozen=True)
class Result:
    """What a finished search found."""

    cell: Genotype | str  # NAS-Bench-201: the architecture string
    epoch: int  # whose alpha was taken; earlier than the last one with DARTS-ES
    epochs: int  # run
    steps: int  # weight steps
    seconds: float
    final: dict[str, float]  # the trace's numbers of `epoch`


@dataclass(frozen=True)
class Run:
    """A run folder's content; `result` is None until the search is finished."""

    folder: Path
    config: SearchConfig
    trace: SearchTrace
    result: Result | None


def run_path(runs_dir: str | Path, config: SearchConfig) -> Path:
    """A readable name, unique for each configuration: `na-darts-digits-darts-seed0-1a2b3c4d`."""
    digest = hashlib.sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()[:8]
    return Path(runs_dir).expanduser() / f"{config.method}-{config.dataset}-{config.space}-seed{config.seed}-{digest}"


# --- writing --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunFolder:
    """The folder of one search, held by this process alone (`open_run`)."""

    path: Path
    config: SearchConfig

    def write_config(self, *, chunk: int, device: str) -> None:
        """Every parameter, and the machine that the search runs on now."""
        about = {"versions": versions(), "hardware": hardware(device), "chunk": chunk}
        self._write_json("config.json", identity(self.config) | about)

    def save(self, state: dict[str, Any]) -> None:
        save_checkpoint(self.path / "checkpoint.pt", self.config, state)

    def load(self) -> dict[str, Any] | None:
        return load_checkpoint(self.path / "checkpoint.pt", self.config)

    def write_trace(self, trace: SearchTrace) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([Epoch._fields, *trace.epochs])
        write_beside(self.path / "alphas.npy", lambda file: np.save(file, trace.alphas))
        if (weights := trace.edge_weights) is not None:
            write_beside(self.path / "edge_weights.npy", lambda file: np.save(file, weights))
        write_beside(self.path / "trace.csv", lambda file: file.write(text.getvalue().encode()))

    def write_result(self, result: Result) -> None:
        cell = result.cell
        found = {"arch": cell} if isinstance(cell, str) else {"genotype": cell.to_json()}
        final = {name: value if math.isfinite(value) else None for name, value in result.final.items()}
        numbers = {name: getattr(result, name) for name in ("epoch", "epochs", "steps", "seconds")}
        self._write_json("result.json", found | numbers | {"final": final})

    def _write_json(self, name: str, values: dict[str, Any]) -> None:
        lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in values.items()]
        text = "{" + ",\n ".join(lines) + "}\n"
        write_beside(self.path / name, lambda file: file.write(text.encode()))


@contextmanager
def open_run(runs_dir: str | Path, config: SearchConfig) -> Iterator[RunFolder]:
    """The folder of a configuration, made if need be and locked; RunError, one line, where that cannot be."""
    path = run_path(runs_dir, config)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "a+", encoding="utf-8")  # noqa: SIM115  # kept open as long as the folder is held
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"{path}: cannot be written ({reason}); free that path or take another runs_dir") from None
    with lock:
        _lock(lock, path)
        if (path / "config.json").exists():
            _check_identity(path, config)
        yield RunFolder(path, config)


def _lock(lock: io.TextIOWrapper, path: Path) -> None:
    """Hold the file until it is closed, or the process ends in any way."""
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        process = lock.read(20).strip() or "unknown"
        raise RunError(f"{path}: process {process} is at work on this search; wait for it or stop it") from None
    except (ImportError, OSError):  # Windows; some network file systems
        return
    with suppress(OSError):  # a full disk: the number is a help, not a need
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()


# --- reading --------------------------------------------------------------------------------------


def read_run(folder: str | Path) -> Run:
    """A run as far as it is; RunError, one line, for a folder that is none or whose files are damaged."""
    folder = Path(folder)
    config = _stored_config(folder)
    space = SPACES[config.space]
    try:
        trace = _read_trace(folder, (len(space.edges), len(space.operations)))
        path = folder / "result.json"
        result = _result(json.loads(path.read_text(encoding="utf-8")), config) if path.exists() else None
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{folder}: cannot be read as a run ({_one_line(error)}); move it away and search again"
        ) from None
    return Run(folder, config, trace, result)


def read_runs(runs_dir: str | Path) -> list[Run]:
    """All finished runs of a folder, by name; others are left out, with one warning each."""
    runs = []
    for path in sorted(Path(runs_dir).glob("*/config.json")):
        try:
            run = read_run(path.parent)
        except RunError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
            continue
        if run.result:
            runs.append(run)
        else:
            done = f"{len(run.trace.epochs)} of {run.config.epochs} epochs"
            warnings.warn(f"left out: {path.parent}: not finished, {done}; the same search goes on", stacklevel=2)
    return runs


def finished_run(runs_dir: str | Path, config: SearchConfig) -> Run | None:
    """The run of this very configuration, if it is finished."""
    path = run_path(runs_dir, config)
    if not (path / "result.json").exists():
        return None
    _check_identity(path, config)
    return read_run(path)


def _stored(folder: Path) -> Any:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: no readable config.json ({_one_line(error)}); move the folder away") from None


def _stored_config(folder: Path) -> SearchConfig:
    stored = _stored(folder)
    try:
        return make_config(stored["parameters"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder}: config.json is not of a search of this flatlib ({_one_line(error)})") from None


def _check_identity(path: Path, config: SearchConfig) -> None:
    if other := difference(_stored(path), identity(config)):
        raise RunError(f"{path}: holds another search ({other}); move the folder away or take another runs_dir")


def _read_trace(folder: Path, shape: tuple[int, int]) -> SearchTrace:
    """What both files hold: a search may be between writing the one and the other."""
    alphas = np.load(folder / "alphas.npy", allow_pickle=False)
    with open(folder / "trace.csv", newline="", encoding="utf-8") as file:
        names, *lines = csv.reader(file)
    if tuple(names) != Epoch._fields or alphas.ndim != 4 or alphas.shape[2:] != shape:
        raise ValueError(f"unexpected columns of trace.csv or shape of alphas.npy {alphas.shape}")
    epochs = tuple(Epoch(int(line[0]), *map(float, line[1:])) for line in lines)[: max(len(alphas) - 1, 0)]
    path = folder / "edge_weights.npy"
    weights = np.load(path, allow_pickle=False)[: len(epochs) + 1] if path.exists() else None
    return SearchTrace(epochs, alphas[: len(epochs) + 1], weights)


def _result(stored: Any, config: SearchConfig) -> Result:
    """ValueError, one line, for what is no cell of the space."""
    cell: Genotype | str
    if "arch" in stored:
        string_to_arch(cell := stored["arch"])
    else:
        cell = genotype(stored["genotype"], SPACES[config.space])
    final = {name: math.nan if value is None else float(value) for name, value in stored["final"].items()}
    return Result(cell, **{name: stored[name] for name in ("epoch", "epochs", "steps", "seconds")}, final=final)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
