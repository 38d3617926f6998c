"""What a network costs, counted from its plan: no weight is built. Needs no torch."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from flatlib.evaluation.catalogue import Cell, catalogue, find_cell, name_of
from flatlib.evaluation.plan import IMAGES, CellPlan, Layers, NetworkPlan, Shape, network_plan

SIZES = {"imagenet": (48, 14), "nas-bench-201": (16, 15)}  # C and cells, as usual
SIZES |= dict.fromkeys(("cifar10", "cifar100", "digits"), (36, 20))


class Cost(NamedTuple):
    """Of one network and one image, without the auxiliary classifier, which only training needs."""

    params: int
    multi_adds: int  # of convolutions and fully connected layers, as Table 5's '+x' counts them


def cost(plan: NetworkPlan) -> Cost:
    """Parameters and multiply-adds of a network; ValueError, one line, where a layer does not fit its input."""
    total: Counter[str] = Counter()
    shapes = [plan.images.shape]
    for layers in plan.stem:
        shapes.append(_through(layers, shapes[-1], total))
    older, newer = shapes[1], shapes[-1]  # of the last two stems, then cells
    for cell in plan.cells:
        found, shape = _cell(cell, older, newer)
        total.update(found)
        older, newer = newer, shape
    _through(plan.head, newer, total)
    return Cost(**total)


@lru_cache(1000)  # a network has few different cells
def _cell(cell: CellPlan, older: Shape, newer: Shape) -> tuple[Counter[str], Shape]:
    """Of a cell that reads both feature maps, or the newer one alone."""
    total: Counter[str] = Counter()
    read = zip(cell.inputs, (older, newer)[-len(cell.inputs) :], strict=True)
    nodes = {node: _through(layers, shape, total) for node, (layers, shape) in enumerate(read)}
    for edge in cell.edges:
        nodes[edge.target] = _through(edge.layers, nodes[edge.source], total)
    joined = [nodes[node] for node in cell.concat]
    return total, joined[0]._replace(channels=sum(shape.channels for shape in joined))


def _through(layers: Layers, shape: Shape, total: Counter[str]) -> Shape:
    """What comes out of the layers, whose costs are added to the total."""
    for layer in layers:
        shape, weights = layer.out(shape), layer.weights
        total["params"] += weights + layer.extra
        total["multi_adds"] += weights * shape.height * shape.width
    return shape


def solve_channels(cell: Cell, dataset: str, cells: int, budget: float | None = None) -> int:
    """Initial channels, an even number (Sec. D.1).

    imagenet: the most below a budget of 600 M multiply-adds; else those that come nearest to 3 M parameters.
    ValueError, one line, where not even 2 channels fit.
    """
    number, usual = ("multi_adds", 600e6) if dataset == "imagenet" else ("params", 3e6)
    budget = budget or usual

    def spent(channels: int) -> int:
        return getattr(cost(network_plan(cell, IMAGES[dataset], channels=channels, cells=cells)), number)

    widths = range(2, 4096, 2)
    at = bisect_left(widths, budget, key=spent)  # the first that uses the budget up
    if at == 0:
        raise ValueError(f"{budget:,.0f} {number}: the smallest network has {spent(2):,}; take fewer cells")
    nearer = number == "params" and spent(widths[at]) - budget < budget - spent(widths[at - 1])
    return widths[at if nearer else at - 1]


def costs(
    genotypes: Iterable[str],  # what `find_cell` reads, or 'all'
    dataset: str,
    *,
    channels: int | None = None,  # None: the usual, 0: as many as Sec. D.1's budget allows
    cells: int | None = None,
) -> list[dict[str, Any]]:
    """A line a cell; ValueError, one line, before any of them is returned."""
    if dataset not in IMAGES:
        raise ValueError(f"--dataset {dataset}: there are {', '.join(IMAGES)}")
    names = [name for text in genotypes for name in (catalogue() if text == "all" else [text])]
    lines = []
    for cell in map(find_cell, names):
        usual = SIZES["nas-bench-201" if isinstance(cell, str) else dataset]
        n = usual[1] if cells is None else cells
        c = usual[0] if channels is None else channels or solve_channels(cell, dataset, n)
        count = cost(network_plan(cell, IMAGES[dataset], channels=c, cells=n))
        lines.append({"name": name_of(cell), **count._asdict(), "channels": c, "cells": n, "dataset": dataset})
    return lines
