"""The folder of a run: one for each configuration, readable while it grows and after a kill.

`config.json` identity, versions, hardware · the trace's own files · `checkpoint.pt` · `result.json`, which says that
it is finished.
"""

import csv
import hashlib
import io
import json
import os
import platform
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from flatlib.run.checkpoint import RunError, difference, load_checkpoint, save_checkpoint, write_beside
from flatlib.run.config import Parameters, make
from flatlib.run.hardware import hardware


@dataclass(frozen=True)
class Trace:
    """What a run leaves behind: `trace.csv`, a line an epoch."""

    line: ClassVar[Any]  # a NamedTuple of numbers, the first the epoch's
    epochs: tuple[Any, ...]

    def column(self, name: str) -> np.ndarray:
        """One number an epoch."""
        return np.array([getattr(epoch, name) for epoch in self.epochs])

    def write(self, folder: Path) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([self.line._fields, *self.epochs])
        write_beside(folder / "trace.csv", lambda file: file.write(text.getvalue().encode()))

    @classmethod
    def read_epochs(cls, folder: Path) -> tuple[Any, ...]:
        """RunError, one line, for a damaged file or other columns."""
        with reading(folder / "trace.csv") as path, open(path, newline="", encoding="utf-8") as file:
            names, *lines = csv.reader(file)
            if tuple(names) != cls.line._fields:
                raise ValueError("unexpected columns")
            return tuple(cls.line(int(line[0]), *map(float, line[1:])) for line in lines)


@dataclass(frozen=True)
class Run:
    """A run folder's content. A kind of run says what its config, name, trace and result are."""

    kind: ClassVar[type[Parameters]]  # of its config
    below: ClassVar[str] = ""  # where its folders are in `runs_dir`
    name: ClassVar[Any]  # config -> what a reader knows the run by, without its seed
    read_trace: ClassVar[Any]  # folder, config -> trace
    read_result: ClassVar[Any]  # values of result.json, config, trace -> result
    folder: Path
    config: Any
    trace: Any
    result: Any  # None until the run is finished
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
        """A run as far as it is; RunError, one line, for a folder that is none or whose files are damaged."""
        folder = Path(folder)
        with reading(folder / "config.json") as path:
            about = json.loads(path.read_text(encoding="utf-8"))
            config, on = make(cls.kind, about["parameters"]), dict(about["hardware"])
        trace, result = cls.read_trace(folder, config), None
        if (folder / "result.json").exists():
            with reading(folder / "result.json") as path:
                result = cls.read_result(json.loads(path.read_text(encoding="utf-8")), config, trace)
        return cls(folder, config, trace, result, on)

    @classmethod
    def read_all(cls, runs_dir: str | Path) -> list[Self]:
        """All finished runs of `runs_dir`, by name; others are left out, with one warning each."""
        runs = []
        for path in sorted((Path(runs_dir).expanduser() / cls.below).glob("*/config.json")):
            try:
                run = cls.read(path.parent)
                if not run.result:
                    done = f"{len(run.trace.epochs)} of {run.config.epochs} epochs"
                    raise RunError(f"{run.folder}: not finished, {done}; the same run goes on")
                runs.append(run)
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

    @classmethod
    def tell_begun(cls, runs_dir: str | Path, configs: Sequence[Any]) -> None:
        """Say which runs go on; RunError, one line, where one could not be written."""
        for config in configs:
            with open_run(cls.path(runs_dir, config), cls.identity(config)) as folder:
                if folder.load():
                    print(f"going on with {folder.path}")


def digest(identity: dict[str, Any]) -> str:
    """Eight letters that make a folder's name unique."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


# --- writing --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, held by this process alone (`open_run`)."""

    path: Path
    identity: dict[str, Any]

    def write_config(self, *, device: str, **about: Any) -> None:
        """The identity, and the machine that the run is on now."""
        versions = {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__}
        machine = {"versions": versions, "hardware": hardware(device)}
        self._write_json("config.json", self.identity | machine | about)

    def save(self, state: dict[str, Any]) -> None:
        save_checkpoint(self.path / "checkpoint.pt", self.identity, state)

    def load(self) -> dict[str, Any] | None:
        return load_checkpoint(self.path / "checkpoint.pt", self.identity)

    def write_trace(self, trace: Trace) -> None:
        trace.write(self.path)

    def write_result(self, values: dict[str, Any]) -> None:
        self._write_json("result.json", values)

    def _write_json(self, name: str, values: dict[str, Any]) -> None:
        lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in values.items()]
        text = "{" + ",\n ".join(lines) + "}\n"
        write_beside(self.path / name, lambda file: file.write(text.encode()))


@contextmanager
def open_run(path: Path, identity: dict[str, Any]) -> Iterator[RunFolder]:
    """A run's folder, made if need be and locked; RunError, one line, where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "a+", encoding="utf-8")  # noqa: SIM115  # kept open as long as the folder is held
    except OSError as error:
        reason = one_line(error)
        raise RunError(f"{path}: cannot be written ({reason}); free that path or take another runs_dir") from None
    with lock:
        _lock(lock, path)
        if (path / "config.json").exists():
            check_identity(path, identity)
        for part in path.glob("*.part"):  # of a killed process
            part.unlink(missing_ok=True)
        yield RunFolder(path, identity)


def _lock(lock: io.TextIOWrapper, path: Path) -> None:
    """Hold the file until it is closed, or the process ends in any way."""
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        process = lock.read(20).strip() or "unknown"
        raise RunError(f"{path}: process {process} is at work on this run; wait for it or stop it") from None
    except (ImportError, OSError):  # Windows; some network file systems
        return
    with suppress(OSError):  # a full disk: the number is a help, not a need
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()


# --- reading --------------------------------------------------------------------------------------


def check_identity(path: Path, identity: dict[str, Any]) -> None:
    """RunError, one line, for the folder of another run."""
    with reading(path / "config.json") as file:
        other = difference(json.loads(file.read_text(encoding="utf-8")), identity)
    if other:
        raise RunError(f"{path}: holds another run ({other}); move the folder away or take another runs_dir")


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
