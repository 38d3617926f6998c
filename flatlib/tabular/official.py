"""NAS-Bench-201's own records, pruned to what the table format keeps."""

from typing import NamedTuple

import numpy as np

from flatlib.spaces import string_to_arch
from flatlib.tabular.table import Quantity, Table, TableError

NAME = "nas-bench-201"
SCHEDULES = {"12": ("12", "less"), "200": ("200", "full")}  # epochs -> what NATS-Bench, NAS-Bench-201 call it
CURVES, LAST = True, False
KEPT = {  # which epochs of which quantity: all there are, or the last
    "cifar10-valid/200/x-valid": CURVES,
    "cifar10/200/ori-test": LAST,
    "cifar100/200/x-valid": CURVES,
    "cifar100/200/x-test": LAST,
    "ImageNet16-120/200/x-valid": CURVES,
    "ImageNet16-120/200/x-test": LAST,
    "cifar10-valid/12/x-valid": CURVES,
    "cifar10/12/ori-test": CURVES,
    "cifar100/12/x-valid": CURVES,
    "cifar100/12/x-test": LAST,
    "ImageNet16-120/12/x-valid": CURVES,
    "ImageNet16-120/12/x-test": LAST,
}


class Cell(NamedTuple):
    """What is kept of one architecture."""

    arch_str: str
    params_M: float  # noqa: N815 - millions, the format's name
    accuracy: dict[tuple[str, int], np.ndarray]  # (quantity, seed) -> (epochs,) percent, float32; or (1,), the last


def prune_cell(infos: dict) -> Cell:
    """Prune the two trainings of one architecture to the accuracies that are kept."""
    accuracy: dict[tuple[str, int], np.ndarray] = {}
    params, names = {}, set()
    for schedule, aliases in SCHEDULES.items():
        info = next((infos[name] for name in aliases if name in infos), None)
        if info is None:
            continue
        names.add(info["arch_str"])
        for dataset, seeds in info["dataset_seed"].items():
            for seed in seeds:
                trial = info["all_results"][dataset, seed]
                params[dataset] = float(trial["params"])
                accuracy |= _trial(f"{dataset}/{schedule}", int(seed), trial["eval_acc1es"])
    (arch_str,) = names
    return Cell(arch_str, params.get("cifar10-valid", params.get("cifar10", np.nan)), accuracy)


def _trial(training: str, seed: int, found: dict[str, float]) -> dict[tuple[str, int], np.ndarray]:
    """The accuracies of one trial, {'x-valid@199': percent}, as one array a split."""
    n_epochs = int(training.split("/")[1])
    curves: dict[str, np.ndarray] = {}
    for name, value in found.items():
        split, epoch = name.split("@")
        if f"{training}/{split}" in KEPT:
            curve = curves.setdefault(f"{training}/{split}", np.full(n_epochs, np.nan, dtype=np.float32))
            if value < 0 or value > 100 or not 0 <= int(epoch) < n_epochs:  # NaN is let through: not run
                raise TableError(f"{training}/{split} holds {value} at epoch {epoch} of 0-{n_epochs - 1}, no percent")
            curve[int(epoch)] = value
    return {(key, seed): curve if KEPT[key] is CURVES else curve[-1:].copy() for key, curve in curves.items()}


def table_from_cells(archs: list, cells: dict[int, Cell]) -> Table:
    """Cells by official index as a table in the official order."""
    order = sorted(cells)
    if any(at < 0 or archs[at] != cells[at].arch_str for at in order):
        raise TableError("a cell's string differs from the index's")
    rows = np.array([string_to_arch(archs[at]) for at in order]).reshape(-1, 6)
    if len(np.unique(rows, axis=0)) < len(rows):
        raise TableError("it holds a cell twice")
    kept = [cells[at].accuracy for at in order]
    quantities = {key: quantity for key in KEPT if (quantity := _quantity(key, kept)) is not None}
    if not quantities:
        raise TableError("it holds no trained cell")
    params = np.array([cells[at].params_M for at in order], dtype=np.float32)
    return Table(NAME, rows, quantities, None if np.isnan(params).all() else params)


def _quantity(key: str, cells: list[dict[tuple[str, int], np.ndarray]]) -> Quantity | None:
    """One quantity of all cells, seeds and epochs ascending; None where no cell was trained so."""
    schedule = int(key.split("/")[1])
    seeds = sorted({seed for accuracy in cells for name, seed in accuracy if name == key})
    epochs = np.arange(1, schedule + 1) if KEPT[key] is CURVES else np.array([schedule])
    found = np.full((len(cells), len(seeds), len(epochs)), np.nan, dtype=np.float32)
    for row, accuracy in enumerate(cells):
        for column, seed in enumerate(seeds):
            if (key, seed) in accuracy:
                found[row, column] = accuracy[key, seed]
    run = ~np.isnan(found).all(axis=(0, 1))
    return Quantity(found[:, :, run], epochs[run], np.array(seeds)) if run.any() else None
