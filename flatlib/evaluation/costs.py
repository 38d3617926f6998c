"""The costs of many cells, as `flatlib cost` prints them. Needs no torch."""

from collections.abc import Iterable
from typing import Any

from flatlib.evaluation.catalogue import Cell, catalogue, find_cell
from flatlib.evaluation.cost import cost, solve_channels
from flatlib.evaluation.plan import IMAGES, network_plan

SIZES = {"imagenet": (48, 14), "nas-bench-201": (16, 15)}  # C and cells, as usual
SIZES |= dict.fromkeys(("cifar10", "cifar100", "digits"), (36, 20))
MOST_CELLS = 1000  # of a network that is counted; one more would be a slip of the key


def costs(
    genotypes: Iterable[str],
    dataset: str,
    *,
    channels: int | None = None,  # None: the usual, 0: as many as the budget allows
    cells: int | None = None,
    budget: float | None = None,  # millions
) -> list[dict[str, Any]]:
    """A line a cell; ValueError, one line, before any of them is returned."""
    if dataset not in IMAGES:
        raise ValueError(f"--dataset {dataset}: there are {', '.join(IMAGES)}")
    if budget is not None and (channels != 0 or not 0 < budget < 1e9):
        raise ValueError(f"--budget {budget:g}: allowed: a positive number of millions, together with --channels 0")
    if cells is not None and not 1 <= cells <= MOST_CELLS:
        raise ValueError(f"--cells {cells}: allowed: 1 to {MOST_CELLS:,}")
    names = [name for text in genotypes for name in (catalogue() if text == "all" else [text])]
    lines = []
    for name, cell in [find_cell(name) for name in names]:
        usual = SIZES["nas-bench-201" if isinstance(cell, str) else dataset]
        n = usual[1] if cells is None else cells
        c = usual[0] if channels is None else channels or solved(cell, dataset, n, budget)
        count = cost(network_plan(cell, IMAGES[dataset], channels=c, cells=n))
        lines.append({"name": name, **count._asdict(), "channels": c, "cells": n, "dataset": dataset})
    return lines


def solved(cell: Cell, dataset: str, cells: int, budget: float | None = None) -> int:
    """Initial channels for a budget in millions, by Sec. D.1: 3 M parameters; imagenet: < 600 M multiply-adds."""
    if dataset == "imagenet":
        return solve_channels(cell, IMAGES[dataset], cells=cells, multi_adds=1e6 * (budget or 600.0))
    return solve_channels(cell, IMAGES[dataset], cells=cells, params=1e6 * (budget or 3.0))
