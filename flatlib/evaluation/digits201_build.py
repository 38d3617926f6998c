"""Build Digits201: twelve runs (a data set and a seed each) over 5,260 networks, in parts of 64 cells.

A part is written when it is complete, so an interrupted build goes on where it stopped.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from flatlib.evaluation.digits201 import NAMES, Recipe, load_digits201, measure
from flatlib.run.checkpoint import RunError, write_beside
from flatlib.run.folder import one_line, open_run
from flatlib.run.workers import start_worker
from flatlib.spaces import all_archs, isomorphism_classes

PART = 64  # cells trained as one batch
SEARCH = [("digits", seed) for seed in (0, 1, 2)]  # these runs give f
JUDGE = [(name, seed) for name in NAMES for seed in (3, 4, 5)]
Results = dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]  # run -> validation (A, epochs), test (A,), percent
Column = tuple[np.ndarray, np.ndarray, np.ndarray]  # accuracy (A, S, epochs) percent, epochs, seeds


def _measure_part(path: Path, rows: np.ndarray, name: str, seed: int, recipe: Recipe) -> None:
    valid, test = measure(rows, load_digits201(name), seed, recipe)
    write_beside(path, lambda file: np.savez(file, rows=rows, valid=valid, test=test))


def _read_part(path: Path, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `measure` gives it; RunError, one line, for a damaged part or one of other cells."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as data:
            found, valid, test = data["rows"], data["valid"], data["test"]
        if not np.array_equal(found, rows):
            raise ValueError("of other cells")
    except Exception as error:  # numpy, zipfile, zlib and tokenize each have their own for a broken file
        raise RunError(f"{path}: damaged ({one_line(error)}); remove it, and the same command measures it") from None
    return valid, test


def build(
    work: Path,
    *,
    recipe: Recipe = Recipe(),
    processes: int | None = None,
    classes: np.ndarray | None = None,  # rows of all_archs() to train; default: all 5,260 classes
    runs: Sequence[tuple[str, int]] = (*SEARCH, *JUDGE),
    progress: Callable[..., Any] = lambda done, **_: done,  # or tqdm
) -> Results:
    """Measure all runs; RunError, one line, for a folder of another recipe's parts."""
    if classes is None:
        classes = np.unique(isomorphism_classes(all_archs()))
    starts = range(0, len(classes), PART)
    parts = {(run, at): work / f"{run[0]}_{run[1]}_{at:05d}.npz" for run in runs for at in starts}
    with open_run(work, {"recipe": asdict(recipe)}) as folder:
        folder.write_config(device="cpu")
        missing = [key for key, path in parts.items() if not path.exists()]
        pool = ProcessPoolExecutor(processes or os.cpu_count(), initializer=start_worker)
        try:
            jobs = [pool.submit(_measure_part, parts[at], classes[at[1] :][:PART], *at[0], recipe) for at in missing]
            for job in progress(as_completed(jobs), total=len(jobs), unit="part", desc="Digits201"):
                job.result()
        finally:  # where one part failed, such as for a full disk, the others are not even begun
            pool.shutdown(cancel_futures=True)
        read = {run: [_read_part(parts[run, at], classes[at : at + PART]) for at in starts] for run in runs}
    return {
        run: (np.concatenate([v for v, _ in own]), np.concatenate([t for _, t in own])) for run, own in read.items()
    }


def quantities(results: Results, recipe: Recipe = Recipe()) -> dict[str, Column]:
    """A full build as the table's quantities: key -> (values (A, S, E), epochs (E,), seeds (S,))."""
    to_class = np.unique(isomorphism_classes(all_archs()), return_inverse=True)[1]
    every, last = np.arange(1, recipe.epochs + 1), np.array([recipe.epochs])

    def column(runs: Sequence[tuple[str, int]], which: int, epochs: np.ndarray) -> Column:
        values = np.stack([results[run][which].reshape(-1, len(epochs)) for run in runs], axis=1)
        return values.astype(np.float32)[to_class], epochs, np.array([seed for _, seed in runs])

    table = {
        f"digits-valid/{recipe.epochs}/x-valid": column(SEARCH, 0, every),
        f"digits-valid/{recipe.epochs}/ori-test": column(SEARCH, 1, last),
    }
    for name in NAMES:
        split = "ori-test" if name == "digits" else "x-test"
        table[f"{name}/{recipe.epochs}/{split}"] = column([run for run in JUDGE if run[0] == name], 1, last)
    return table
