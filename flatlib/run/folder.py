"""The folder of a run: one for each configuration, whole at each moment.

`config.json` identity, versions, hardware · `trace.csv` and other files of the trace · `checkpoint.pt` · `result.json`,
which says that it is finished.
"""

import fcntl
import hashlib
import json
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch

from flatlib.run.checkpoint import RunError, load_checkpoint, save_checkpoint, write_beside
from flatlib.run.config import Parameters, make
from flatlib.run.hardware import hardware
from flatlib.spaces import Genotype


@dataclass(frozen=True)
class Trace:
    """A run over time: `trace.csv`."""

    epochs: tuple[Any, ...]  # a NamedTuple of numbers each, the epoch's own first

    def column(self, name: str) -> np.ndarray:
        """One number an epoch."""
        return np.array([getattr(epoch, name) for epoch in self.epochs])

    def files(self) -> dict[str, bytes]:
        lines = [self.epochs[0]._fields, *self.epochs]
        return {"trace.csv": "".join(",".join(map(str, line)) + "\n" for line in lines).encode()}


class Result(NamedTuple):
    """What a finished run found, or trained."""

    cell: Genotype | str  # NAS-Bench-201: the architecture string
    epoch: int  # whose numbers count; earlier than the last one with DARTS-ES
    final: dict[str, float]  # the trace's of that epoch

    def to_json(self) -> dict[str, Any]:
        cell = {"arch": self.cell} if isinstance(self.cell, str) else {"genotype": self.cell.to_json()}
        return cell | {"epoch": self.epoch}


@dataclass(frozen=True)
class Run:
    """A finished run. A kind of run says what its config, name, epochs and cell are."""

    kind: ClassVar[type[Parameters]]  # of its config
    line: ClassVar[Any]  # a NamedTuple: what trace.csv says of an epoch
    below: ClassVar[str] = ""  # where its folders are in `runs_dir`
    name: ClassVar[Any]  # config -> what a reader knows the run by, without its seed
    read_cell: ClassVar[Any]  # values of result.json, config -> the cell
    folder: Path
    config: Any
    trace: Any
    result: Result
    hardware: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def identity(config: Any) -> dict[str, Any]:
        """What makes a run itself, as JSON has it."""
        return {"parameters": asdict(config)}

    @classmethod
    def path(cls, runs_dir: str | Path, config: Any) -> Path:
        """A readable name, unique for each configuration: `na-darts-digits-darts-seed0-1a2b3c4d`."""
        name = f"{cls.name(config)}-seed{config.seed}-{digest(cls.identity(config))}"
        return Path(runs_dir).expanduser() / cls.below / name

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """RunError, one line, for a folder that is none of a run, not finished or damaged."""
        folder = Path(folder)
        with reading(folder / "config.json") as path:
            about = json.loads(path.read_text(encoding="utf-8"))
            config, on = make(cls.kind, about["parameters"]), dict(about["hardware"])
        if not (folder / "result.json").exists():
            raise RunError(f"{folder}: not finished; the same run goes on")
        trace = cls.read_trace(folder, config)
        with reading(folder / "result.json") as path:
            values, n = json.loads(path.read_text(encoding="utf-8")), len(trace.epochs)
            cell, epoch = cls.read_cell(values, config), values.get("epoch", n)
            if type(epoch) is not int or not 0 < epoch <= n:
                raise ValueError(f"epoch {epoch!r:.20} of {n}")
        return cls(folder, config, trace, Result(cell, epoch, trace.epochs[epoch - 1]._asdict()), on)

    @classmethod
    def read_trace(cls, folder: Path, config: Any) -> Any:
        with reading(folder / "trace.csv") as path:
            names, *lines = (line.split(",") for line in path.read_text(encoding="utf-8").splitlines())
            if tuple(names) != cls.line._fields:
                raise ValueError("unexpected columns")
            return Trace(tuple(cls.line(int(line[0]), *map(float, line[1:])) for line in lines))

    @classmethod
    def read_all(cls, runs_dir: str | Path) -> list[Self]:
        """All finished runs of `runs_dir`, by name; others are left out, with one warning each."""
        runs = []
        for path in sorted((Path(runs_dir).expanduser() / cls.below).glob("*/config.json")):
            try:
                runs.append(cls.read(path.parent))
            except RunError as error:
                warnings.warn(f"left out: {error}", stacklevel=2)
        return runs

    @classmethod
    def finished(cls, runs_dir: str | Path, config: Any) -> Self | None:
        """The run of this very configuration, if it is finished."""
        folder = cls.path(runs_dir, config)
        if not (folder / "result.json").exists():
            return None
        check_identity(folder, cls.identity(config))
        return cls.read(folder)


def digest(identity: dict[str, Any]) -> str:
    """Eight letters that make a folder's name unique."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, held by this process alone (`open_run`)."""

    path: Path
    identity: dict[str, Any]
    writes: bool = True  # False: of a process beside the first one, which sees the folder too

    def write_config(self, *, device: str, **about: Any) -> None:
        """The identity, and the machine that the run is on now."""
        versions = {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__}
        self._write_json("config.json", self.identity | {"versions": versions, "hardware": hardware(device)} | about)

    def save(self, state: dict[str, Any]) -> None:
        if self.writes:
            save_checkpoint(self.path / "checkpoint.pt", self.identity, state)

    def load(self) -> dict[str, Any] | None:
        return load_checkpoint(self.path / "checkpoint.pt", self.identity)

    def write_trace(self, trace: Trace) -> None:
        for name, content in trace.files().items():
            self._write(name, content)

    def write_result(self, values: dict[str, Any]) -> None:
        self._write_json("result.json", values)

    def _write_json(self, name: str, values: dict[str, Any]) -> None:
        lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in values.items()]
        self._write(name, ("{" + ",\n ".join(lines) + "}\n").encode())

    def _write(self, name: str, content: bytes) -> None:
        if self.writes:
            write_beside(self.path / name, lambda file: file.write(content))


@contextmanager
def open_run(path: Path, identity: dict[str, Any]) -> Iterator[RunFolder]:
    """A run's folder, made if need be and locked until the process ends; RunError, one line, where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "a", encoding="utf-8")  # noqa: SIM115  # kept open as long as the folder is held
    except OSError as error:
        reason = one_line(error)
        raise RunError(f"{path}: cannot be written ({reason}); free that path or take another runs_dir") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{path}: another process is at work on this run; wait for it or stop it") from None
        except OSError:
            pass  # some network file systems: processes are not kept apart
        if (path / "config.json").exists():
            check_identity(path, identity)
        for part in path.glob("*.part"):  # of a killed process
            part.unlink(missing_ok=True)
        yield RunFolder(path, identity)


def check_identity(path: Path, identity: dict[str, Any]) -> None:
    """RunError, one line, for the folder of another run."""
    with reading(path / "config.json") as file:
        about = json.loads(file.read_text(encoding="utf-8"))
        own = about | identity == about
    if not own:
        raise RunError(f"{path}: holds another run; move the folder away or take another runs_dir")


@contextmanager
def reading(path: Path) -> Iterator[Path]:
    """RunError, one line that names the file, for all that a damaged one may raise."""
    try:
        yield path
    except Exception as error:  # json, csv, numpy, zipfile and tokenize each have their own for a broken file
        why = f"{path.name}: {one_line(error)}"
        raise RunError(f"{path.parent}: cannot be read as a run ({why}); move it away and run again") from None


def one_line(error: Exception) -> str:
    """What is wrong, without Python's name for it.

    >>> one_line(KeyError("genotype")), one_line(FileNotFoundError(2, "No such file or directory", "result.json"))
    ("no field 'genotype'", 'No such file or directory')
    """
    if isinstance(error, json.JSONDecodeError):
        return "not valid JSON"
    if isinstance(error, TypeError | AttributeError):
        return "a value of the wrong type"
    text = f"no field {error}" if isinstance(error, KeyError) else getattr(error, "strerror", None) or str(error)
    return " ".join(text.split())[:200]
