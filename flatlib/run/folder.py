"""The folder of a run: one for each configuration, readable while it grows and after a kill.

`config.json` identity, versions, hardware · the trace's own files · `checkpoint.pt` · `result.json`, which says that
it is finished.
"""

import csv
import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from flatlib.run.checkpoint import RunError, difference, load_checkpoint, save_checkpoint, write_beside
from flatlib.run.hardware import hardware, versions

Run = TypeVar("Run", bound=Any)  # a folder's content: its config, trace and result, None until it is finished


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
        machine = {"versions": versions(), "hardware": hardware(device)}
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


def stored(folder: Path) -> Any:
    """What config.json holds; RunError, one line, where it cannot be read."""
    with reading(folder / "config.json") as path:
        return json.loads(path.read_text(encoding="utf-8"))


def check_identity(path: Path, identity: dict[str, Any]) -> None:
    """RunError, one line, for the folder of another run."""
    if other := difference(stored(path), identity):
        raise RunError(f"{path}: holds another run ({other}); move the folder away or take another runs_dir")


def read_finished(folders: Iterable[Path], read: Callable[[Path], Run]) -> list[Run]:
    """The finished runs among some folders; others are left out, with one warning each."""
    runs = []
    for folder in folders:
        try:
            run = read(folder)
        except RunError as error:
            warnings.warn(f"left out: {error}", stacklevel=3)
            continue
        if run.result:
            runs.append(run)
        else:
            done = f"{len(run.trace.epochs)} of {run.config.epochs} epochs"
            warnings.warn(f"left out: {folder}: not finished, {done}; the same run goes on", stacklevel=3)
    return runs


def if_finished(folder: Path, identity: dict[str, Any], read: Callable[[Path], Run]) -> Run | None:
    """The run of this very identity, if it is finished."""
    if not (folder / "result.json").exists():
        return None
    check_identity(folder, identity)
    return read(folder)


def tell_begun(folder: Path, identity: dict[str, Any]) -> None:
    """Say so where a run goes on; RunError, one line, where it could not."""
    with open_run(folder, identity) as held:
        if held.load():
            print(f"going on with {folder}")


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
