"""The costs of many cells, as `flatlib cost` prints them. Needs no torch."""

from collections.abc import Iterable
from typing import Any

from flatlib.evaluation.catalogue import NamedCell, catalogue, find_cell
from flatlib.evaluation.cost import Cost, cost, solve_channels
from flatlib.evaluation.plan import IMAGES, network_plan
from flatlib.spaces import Genotype

SIZES = {"imagenet": (48, 14)} | dict.fromkeys(("cifar10", "cifar100", "digits"), (36, 20))  # C and cells, as usual
NAS_BENCH_201 = 16, 15
MOST_CELLS = 1000  # of a network that is counted; one more would be a slip of the key
PARAMETERS, MULTI_ADDS = 3.0, 600.0  # millions: 'around 3M' on CIFAR, 'fewer than 600M' on ImageNet (Sec. D.1)


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
    return [_line(named, dataset, channels, cells, budget) for named in map(find_cell, names)]


def _line(
    named: NamedCell, dataset: str, channels: int | None, cells: int | None, budget: float | None
) -> dict[str, Any]:
    images = IMAGES[dataset]
    usual = NAS_BENCH_201 if isinstance(named.cell, str) else SIZES[dataset]
    cells = usual[1] if cells is None else cells
    if channels == 0:
        channels = solved(named.cell, dataset, cells, budget)
    channels = usual[0] if channels is None else channels
    params, multi_adds = cost(network_plan(named.cell, images, channels=channels, cells=cells))
    sizes = {"channels": channels, "cells": cells, "dataset": dataset}
    return {"name": named.name, "params": params, "multi_adds": multi_adds} | sizes


def usual_cost(cell: Genotype, dataset: str) -> Cost:
    """Of a genotype's network at the size that public cells are trained at."""
    channels, cells = SIZES[dataset]
    return cost(network_plan(cell, IMAGES[dataset], channels=channels, cells=cells))


def solved(cell: Any, dataset: str, cells: int, budget: float | None = None) -> int:
    """Initial channels by Sec. D.1: about 3 M parameters, on ImageNet fewer than 600 M multiply-adds."""
    if dataset == "imagenet":
        return solve_channels(cell, IMAGES[dataset], cells=cells, multi_adds=1e6 * (budget or MULTI_ADDS))
    return solve_channels(cell, IMAGES[dataset], cells=cells, params=1e6 * (budget or PARAMETERS))
