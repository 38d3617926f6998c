"""The evaluation phase's networks as plain data: cells, stem and heads of DARTS and NAS-Bench-201 (Sec. D.1).

A plan is the one description from which costs are counted (`cost.py`) and modules are made (`networks.py`).
"""

from dataclasses import dataclass
from typing import NamedTuple

from flatlib.evaluation.layers import (
    OPERATIONS,
    Conv,
    FactorizedReduce,
    Flatten,
    GlobalPool,
    Layers,
    Linear,
    Norm,
    Pool,
    Relu,
    Shape,
    relu_conv_norm,
)
from flatlib.spaces import NAS_BENCH_201, Genotype, string_to_arch


class Images(NamedTuple):
    """What a network is fed with and what it tells apart."""

    shape: Shape
    n_classes: int


IMAGES = {
    "digits": Images(Shape(1, 8, 8), 10),
    "cifar10": Images(Shape(3, 32, 32), 10),
    "cifar100": Images(Shape(3, 32, 32), 100),
    "imagenet": Images(Shape(3, 224, 224), 1000),
}


@dataclass(frozen=True)
class Edge:
    """An operation on its way from one node of a cell to another."""

    operation: str
    source: int
    target: int
    layers: Layers


@dataclass(frozen=True)
class CellPlan:
    """Nodes are numbered from the inputs on; a node is the sum of its edges, the output joins some nodes' channels."""

    inputs: tuple[Layers, ...]  # what is done to the last cells' outputs first; one or two of them, the older first
    edges: tuple[Edge, ...]  # by target
    concat: tuple[int, ...]


@dataclass(frozen=True)
class NetworkPlan:
    """Stem, cells, classifier; the auxiliary classifier reads the output of cell `auxiliary_after`."""

    images: Images
    stem: tuple[Layers, ...]  # with two, the second reads the first
    cells: tuple[CellPlan, ...]
    head: Layers
    auxiliary: Layers = ()
    auxiliary_after: int = -1  # no cell


def network_plan(
    cell: Genotype | str,  # a genotype, or NAS-Bench-201's architecture string
    images: Images,
    *,
    channels: int,
    cells: int,
    auxiliary: bool = False,
) -> NetworkPlan:
    """The evaluation network of a cell; ValueError, one line, where it cannot be built so.

    DARTS's for CIFAR (one stem of 3 C channels) or, from 64 pixels on, for ImageNet (stride 8 in two stems).
    """
    if isinstance(cell, str):
        return _nas_bench_201_plan(cell, images, channels, cells)
    if channels < 2 or channels % 2:
        raise ValueError(f"channels = {channels}: allowed: even numbers from 2 on")
    stem, widths, halved = _stem(images.shape, channels)
    reductions = {cells // 3, 2 * cells // 3} if cells > 2 else set()
    plans: list[CellPlan] = []
    known: dict[tuple, CellPlan] = {}  # equal cells are one object, so that they are counted once
    for at in range(cells):
        reduction = at in reductions
        channels *= 2 if reduction else 1
        place = widths, channels, reduction, halved
        plans.append(known.setdefault(place, known.get(place) or _cell(cell, *place)))
        widths, halved = (widths[1], channels * len(plans[-1].concat)), reduction
        if at == max(reductions, default=-1):
            width_at_auxiliary = widths[1]
    head = GlobalPool(), Flatten(), Linear(widths[1], images.n_classes)
    if not auxiliary:
        return NetworkPlan(images, stem, tuple(plans), head)
    if not reductions:
        raise ValueError(f"cells = {cells} with an auxiliary classifier: allowed: 3 or more")
    large = images.shape.height >= 64
    return NetworkPlan(
        images, stem, tuple(plans), head, _auxiliary(width_at_auxiliary, images.n_classes, large), max(reductions)
    )


def has_loose_ends(plan: NetworkPlan) -> bool:
    """Whether some weights cannot reach the output: behind a `none`, or at a node that nothing reads."""
    return any(
        any(edge.operation == "none" for edge in cell.edges)
        or {*range(len(cell.inputs)), *(edge.target for edge in cell.edges)}
        - {*cell.concat, *(edge.source for edge in cell.edges)}
        for cell in plan.cells
    )


def _stem(shape: Shape, c: int) -> tuple[tuple[Layers, ...], tuple[int, int], bool]:
    """Stems, their widths, and whether the second is half the size of the first."""
    if shape.height < 64:
        return ((Conv(shape.channels, 3 * c, (3, 3)), Norm(3 * c)),), (3 * c, 3 * c), False
    first = Conv(shape.channels, c // 2, (3, 3), (2, 2)), Norm(c // 2), Relu(), Conv(c // 2, c, (3, 3), (2, 2)), Norm(c)
    return (first, relu_conv_norm(c, c, 3, 2)), (c, c), True


def _cell(cell: Genotype, widths: tuple[int, int], c: int, reduction: bool, halved: bool) -> CellPlan:
    """`halved`: the newer input is half the size of the older one."""
    pairs, concat = (cell.reduce, cell.reduce_concat) if reduction else (cell.normal, cell.normal_concat)
    older: Layers = (FactorizedReduce(widths[0], c),) if halved else relu_conv_norm(widths[0], c)
    edges = [
        Edge(name, source, 2 + at // 2, OPERATIONS[name](c, 2 if reduction and source < 2 else 1))
        for at, (name, source) in enumerate(pairs)
    ]
    return CellPlan((older, relu_conv_norm(widths[1], c)), tuple(edges), concat)


def _auxiliary(width: int, n_classes: int, large: bool) -> Layers:
    """DARTS's, for feature maps of 8 x 8, or of 7 x 7 on ImageNet, where its authors left the second norm out."""
    narrow = Relu(), Pool("avg", 5, 2 if large else 3, 0), Conv(width, 128), Norm(128), Relu()
    wide = Conv(128, 768, (2, 2), padding=(0, 0))
    norm: Layers = () if large else (Norm(768),)
    return *narrow, wide, *norm, Relu(), Flatten(), Linear(768, n_classes)


def _nas_bench_201_plan(arch: str, images: Images, c: int, cells: int) -> NetworkPlan:
    """The benchmark's: three stages of equal cells, residual blocks of stride 2 between them."""
    operations = [NAS_BENCH_201.operations[op] for op in string_to_arch(arch)]
    if cells < 3 or cells % 3:
        raise ValueError(f"cells = {cells}: a NAS-Bench-201 network has three stages; allowed: 3, 6, 9, ...")
    if c < 1:
        raise ValueError(f"channels = {c}: allowed: 1 or more")
    stem = Conv(images.shape.channels, c, (3, 3)), Norm(c)
    plans: list[CellPlan] = []
    for stage in range(3):
        if stage:
            plans.append(_residual_block(c))
            c *= 2
        edges = [
            Edge(name, *edge, OPERATIONS[name](c, 1))
            for name, edge in zip(operations, NAS_BENCH_201.edges, strict=True)
        ]
        plans += [CellPlan(((),), tuple(edges), (3,))] * (cells // 3)
    head = Norm(c), Relu(), GlobalPool(), Flatten(), Linear(c, images.n_classes)
    return NetworkPlan(images, (stem,), tuple(plans), head)


def _residual_block(c: int) -> CellPlan:
    """Two 3 x 3 convolutions of which the first has stride 2, beside a pooled pointwise one."""
    convs = Edge("residual", 0, 1, relu_conv_norm(c, 2 * c, 3, 2) + relu_conv_norm(2 * c, 2 * c, 3))
    short = Edge("shortcut", 0, 1, (Pool("avg", 2, 2, 0), Conv(c, 2 * c)))
    return CellPlan(((),), (convs, short), (1,))
