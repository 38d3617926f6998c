"""Every writer of files, killed: python benchmarks/kills.py [--kills 100] [--seed N]

Each kind of work runs in a process of its own, which SIGKILL ends at a random moment, or at a random operation on a
file, at once or up to 2 ms later. Then every file that has its final name is read whole; after one to three kills the
work is run to its end and compared, to the bit, with one that was left alone. One line a kind; exit code 1 for anything
lost, half-written or left running.
"""

import argparse
import csv
import functools
import io
import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: processes are forked from this one

import nbformat.v4 as v4
import numpy as np
import pandas as pd
import torch
import torch._dynamo

from flatlib.display import report
from flatlib.display.reproduction import write_csv
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.digits201 import Recipe
from flatlib.evaluation.digits201_build import build
from flatlib.evaluation.training import evaluate
from flatlib.landscape.config import LandscapeConfig
from flatlib.landscape.landscape import look_around
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.search.search import search
from flatlib.tabular.importers import import_to_file

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from official_file import write_long

SIZES: dict[str, Any] = {"channels": 2, "cells": 3, "epochs": 2, "n_train": 48, "device": "cpu"}
SEARCH = SearchConfig(space="nas-bench-201", n_nbr=2, d=2, batch_size=8, **SIZES)
TRAINING = EvaluationConfig(batch_size=16, **SIZES)
AROUND = LandscapeConfig(n_valid=8, grid=5, distance=1, n_discrete=2)
FIGURE = {"data": [{"type": "scatter", "y": list(range(2000))}], "layout": {}}
UNFINISHED = (".part", ".tmp", ".lock", ".ipynb", ".pth")  # beside the final names; and what the work reads
report.render_pages = functools.cache(report.render_pages)  # rendered once, here; each run writes them
OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}
WAIT = 20.0  # seconds for worker processes to end


# --- the kinds of work: each takes a folder, and goes on with what it finds there ---------------------------------


def _search(folder: Path) -> None:
    search(SEARCH, folder, kernels="plain", checkpoint_seconds=0)


def _training(folder: Path) -> None:
    evaluate(TRAINING, folder, checkpoint_seconds=0)


def _landscape(folder: Path) -> None:
    _search(folder)
    look_around(Run.read_all(folder)[0], AROUND)


def _build(folder: Path) -> None:
    classes = np.arange(0, 15_625, 125)  # two parts
    build(folder / "parts", recipe=Recipe(epochs=1), classes=classes, runs=[("digits", 0)], processes=2)


def _import(folder: Path) -> None:
    if not (folder / "table.npz").exists():
        import_to_file(folder / "official.pth", folder / "table.npz")


def _report(folder: Path) -> None:
    report.run_and_export([folder / "killed.ipynb"], folder / "reports")


def prepare(name: str, folder: Path) -> None:
    """What the work reads."""
    folder.mkdir(parents=True)
    if name == "table import":
        write_long(folder / "official.pth", 12)
    if name == "report export":
        report.render_pages()
        (folder / "killed.ipynb").write_text(json.dumps(_notebook()))


def _notebook() -> dict[str, Any]:
    output = v4.new_output("display_data", {"application/vnd.plotly.v1+json": FIGURE})
    cells = [v4.new_markdown_cell("# Killed"), v4.new_code_cell("f", execution_count=1, outputs=[output])]
    metadata = {"papermill": {"end_time": "2026-01-02T03:04:05"}}
    for cell, name in zip(cells, ("a", "b"), strict=True):
        cell["id"] = name
    return v4.new_notebook(cells=cells, metadata=metadata)


def _csv(folder: Path) -> None:
    for version in range(20):
        frame = pd.DataFrame({"version": [version] * 500, "value": np.arange(500.0)})
        write_csv(frame, folder / "tables" / "toy" / "table_1a.csv")


KINDS: dict[str, Callable[[Path], None]] = {
    "search": _search,
    "evaluation training": _training,
    "landscape": _landscape,
    "table build": _build,
    "table import": _import,
    "report export": _report,
    "CSV files": _csv,
}


# --- what is on the disk ----------------------------------------------------------------------------------------


def content(path: Path) -> Any:
    """All that counts of a file, read whole: without times, without what a machine adds. Raises for half a file."""
    data = path.read_bytes()
    if path.suffix == ".json":
        values = json.loads(data)
        return {name: value for name, value in values.items() if name not in ("seconds", "final")}
    if path.suffix == ".pt":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
        return plain(torch.load(io.BytesIO(data), weights_only=True))
    if path.suffix in (".npy", ".npz"):
        found: Any = np.load(io.BytesIO(data), allow_pickle=False)
        arrays = {name: found[name] for name in found.files} if path.suffix == ".npz" else {"": found}
        return [(name, array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()]
    if path.suffix == ".csv":
        names, *lines = csv.reader(io.StringIO(data.decode()))
        assert data.endswith(b"\n") and all(len(line) == len(names) for line in lines)
        assert "version" not in names or (len(lines) == 500 and len({line[0] for line in lines}) == 1)
        return [line[: -1 if names[-1] == "seconds" else None] for line in lines]
    assert path.suffix != ".html" or data.rstrip().endswith(b"</html>")
    assert path.suffix != ".js" or len(data) > 3_000_000
    return data


def plain(value: Any) -> Any:
    """Tensors as bytes, so that == compares; the seconds of a checkpoint, and of its trace's lines, left out."""
    if isinstance(value, dict):
        return {
            name: repr([line[:-1] for line in item]) if name == "trace" else plain(item)
            for name, item in value.items()
            if name != "seconds"
        }
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value)


def contents(folder: Path) -> dict[str, Any]:
    """Every file that has its final name."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(UNFINISHED)]
    return {str(path.relative_to(folder)): content(path) for path in files}


# --- killing ------------------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """When to kill: after some seconds, or some seconds after an operation on a file of the folder."""

    operation: int | None  # its number; None: none
    seconds: float


def run(work: Callable[[Path], None], folder: Path, plan: Plan | None) -> tuple[bool, bool, int]:
    """Run the work in a process: was it killed, did its own processes end, how many operations on files it did."""
    alive, held = os.pipe()  # closed by the last of its processes
    counter = folder.parent / "operations"
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.close(alive)
            _child(work, folder, plan, counter)
            code = 0
        finally:
            os._exit(code)
    os.close(held)
    if plan and plan.operation is None:
        time.sleep(plan.seconds)
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    ended = bool(select.select([alive], [], [], WAIT)[0])
    os.close(alive)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"{work.__name__}: failed instead of going on; see {folder.parent / 'errors'}")
    return os.WIFSIGNALED(status), ended, int(counter.read_text() or 0) if counter.exists() else 0  # or killed there


def _child(work: Callable[[Path], None], folder: Path, plan: Plan | None, counter: Path) -> None:
    out = os.open(folder.parent / "errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    warnings.simplefilter("ignore")
    done, own = 0, os.getpid()

    def watch(event: str, arguments: tuple) -> None:
        nonlocal done
        if event not in OPERATIONS or str(folder) not in str(arguments[0]) or os.getpid() != own:
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        done += 1
        if plan and plan.operation == done:
            if not plan.seconds:
                os.kill(own, signal.SIGKILL)
            threading.Thread(target=lambda: (time.sleep(plan.seconds), os.kill(own, signal.SIGKILL))).start()

    sys.addaudithook(watch)
    try:
        work(folder)
    except BaseException:
        import traceback

        traceback.print_exc()
        raise
    counter.write_text(str(done))


def attack(name: str, kills: int, rng: np.random.Generator, place: Path) -> tuple[str, bool]:
    """One line of what was found, and whether all was well."""
    work, whole = KINDS[name], place / "whole" / "work"
    prepare(name, whole)
    begin = time.monotonic()
    _, _, operations = run(work, whole, None)
    duration, expected = time.monotonic() - begin, contents(whole)
    done = {"moment": 0, "operation": 0}
    compared = same = 0
    bad: list[str] = []
    while sum(done.values()) < kills:
        folder = place / f"killed-{compared}" / "work"
        prepare(name, folder)
        for _ in range(min(int(rng.integers(1, 4)), kills - sum(done.values()))):
            at = int(rng.integers(1, operations + 1)) if rng.random() < 0.6 else None
            late = float(rng.uniform(0, duration if at is None else rng.choice([0, 0.002])))
            killed, ended, _ = run(work, folder, Plan(at, late))
            if killed:
                done["moment" if at is None else "operation"] += 1
            bad += [] if ended else ["processes left running"]
            bad += _half_written(folder, expected)
        run(work, folder, None)
        compared, same = compared + 1, same + (contents(folder) == expected)
    bad += [f"{compared - same} other results"] if same < compared else []
    found = "; ".join(dict.fromkeys(bad)) or "no half-written file, no process left running"
    ways = f"{sum(done.values())} kills ({done['operation']} at a file, {done['moment']} at a moment)"
    return f"{name}: {ways}; run to the end, the same bits {same} of {compared} times; {found}", not bad


def _half_written(folder: Path, expected: dict[str, Any]) -> list[str]:
    """What cannot be read, or has a name that a whole run does not leave."""
    try:
        return [f"{name} was left" for name in contents(folder).keys() - expected.keys()]
    except Exception as error:
        return [f"half-written: {type(error).__name__}: {error}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    print(f"seed {given.seed}")
    rng, well = np.random.default_rng(given.seed), True
    for at, name in enumerate(KINDS):
        share = given.kills // len(KINDS) + (at < given.kills % len(KINDS))
        with tempfile.TemporaryDirectory() as place:
            line, fine = attack(name, share, rng, Path(place)) if share else (f"{name}: not killed", True)
        print(line, flush=True)
        well = well and fine
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
