"""What a network costs, counted from its plan: no weight is built. Needs no torch."""

from bisect import bisect_left
from typing import NamedTuple

from flatlib.evaluation.layers import Conv, FactorizedReduce, Layer, Layers, Linear, Norm, Shape, out_shape
from flatlib.evaluation.plan import CellPlan, Images, NetworkPlan, network_plan
from flatlib.spaces import Genotype


class Cost(NamedTuple):
    """Of one network and one image, without the auxiliary classifier, which only training needs."""

    params: int
    multi_adds: int  # of convolutions and fully connected layers, as Table 5's '+x' counts them

    def plus(self, other: "Cost", times: int = 1) -> "Cost":
        return Cost(self.params + times * other.params, self.multi_adds + times * other.multi_adds)


def layer_cost(layer: Layer, out: Shape) -> Cost:
    """Of one layer, from the shape of its result.

    >>> layer_cost(Conv(8, 16, (3, 3)), Shape(16, 4, 4))
    Cost(params=1152, multi_adds=18432)
    """
    pixels = out.height * out.width
    match layer:
        case Conv():
            weights = layer.kernel[0] * layer.kernel[1] * layer.inputs // layer.groups * layer.outputs
            return Cost(weights, weights * pixels)
        case FactorizedReduce():  # each half of the outputs reads all inputs
            weights = layer.inputs * layer.outputs
            return Cost(weights + 2 * layer.outputs, weights * pixels)
        case Norm():
            return Cost(2 * layer.channels, 0)
        case Linear():
            return Cost((layer.inputs + 1) * layer.outputs, layer.inputs * layer.outputs)
    return Cost(0, 0)


def _sequence(layers: Layers, shape: Shape) -> tuple[Cost, Shape]:
    total = Cost(0, 0)
    for layer in layers:
        shape = out_shape(layer, shape)
        total = total.plus(layer_cost(layer, shape))
    return total, shape


def _cell(cell: CellPlan, shapes: list[Shape]) -> tuple[Cost, Shape]:
    """Of a cell whose inputs, the older first, have these shapes."""
    total, nodes = Cost(0, 0), {}
    for node, (layers, shape) in enumerate(zip(cell.inputs, shapes, strict=True)):
        found, nodes[node] = _sequence(layers, shape)
        total = total.plus(found)
    for edge in cell.edges:
        found, nodes[edge.target] = _sequence(edge.layers, nodes[edge.source])
        total = total.plus(found)
    joined = [nodes[node] for node in cell.concat]
    return total, joined[0]._replace(channels=sum(shape.channels for shape in joined))


def cost(plan: NetworkPlan) -> Cost:
    """Parameters and multiply-adds of a network; ValueError, one line, where a layer does not fit its input."""
    total, shape = Cost(0, 0), plan.images.shape
    shapes: list[Shape] = []
    for layers in plan.stem:
        found, shape = _sequence(layers, shape)
        total, shapes = total.plus(found), [*shapes, shape]
    shapes = [shapes[0], shape]
    known: dict[tuple, tuple[Cost, Shape]] = {}  # equal cells are one object in a plan
    for cell in plan.cells:
        shapes = shapes[-2:]
        place = (id(cell), *shapes)
        if place not in known:
            known[place] = _cell(cell, shapes[-len(cell.inputs) :])
        found, shape = known[place]
        total, shapes = total.plus(found), [*shapes, shape]
    return total.plus(_sequence(plan.head, shape)[0])


def solve_channels(
    cell: Genotype | str,
    images: Images,
    *,
    cells: int,
    params: float = 0,
    multi_adds: float = 0,
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
