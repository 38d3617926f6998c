"""What a network costs, counted from its plan: no weight is built. Needs no torch."""

from bisect import bisect_left
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from flatlib.evaluation.plan import CellPlan, Images, Layers, NetworkPlan, Shape, network_plan
from flatlib.spaces import Genotype


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


def solve_channels(
    cell: Genotype | str, images: Images, *, cells: int, params: float = 0, multi_adds: float = 0
) -> int:
    """Initial channels, an even number, for one of two budgets (Sec. D.1).

    `params`: the count that comes nearest, as for CIFAR; `multi_adds`: the most that stays below, as for ImageNet.
    ValueError, one line, where not even 2 channels fit.
    """

    def spent(channels: int) -> int:
        found = cost(network_plan(cell, images, channels=channels, cells=cells))
        return found.params if params else found.multi_adds

    budget, smallest = params or multi_adds, spent(2)
    if smallest > 2 * budget or (multi_adds and smallest >= budget):
        what = "parameters" if params else "multiply-adds"
        raise ValueError(
            f"{budget:,.0f} {what}: the smallest network has {smallest:,}; take fewer cells or a larger budget"
        )
    most = 2
    while spent(2 * most) < budget:
        most *= 2
    widths = range(2, 2 * most + 2, 2)
    at = bisect_left(widths, budget, key=spent)  # the first that uses the budget up
    if at == 0 or (params and spent(widths[at]) - budget < budget - spent(widths[at - 1])):
        return widths[at]
    return widths[at - 1]
