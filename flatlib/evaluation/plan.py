"""The evaluation phase's networks as plain data: layers, cells, stem and heads of DARTS and NAS-Bench-201 (Sec. D.1).

A plan is the one description from which costs are counted (`cost.py`) and modules are made (`networks.py`); no torch
is needed for it. Layers on the way from one node to the next are a tuple; the empty one is the identity.
"""

from functools import lru_cache
from typing import NamedTuple

from flatlib.spaces import NAS_BENCH_201, Genotype, string_to_arch

Pair = tuple[int, int]


class Shape(NamedTuple):
    """Of one image's feature maps."""

    channels: int
    height: int
    width: int


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

# --- layers ---------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """One layer, which works on windows of its input, a pixel each unless it says otherwise."""

    kind: str  # `networks.module` lists them
    inputs: int = 0  # channels that its weights read; 0: it has none
    outputs: int = 0  # channels that it writes; 0: as many as it gets
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: int = 1
    groups: int = 1
    extra: int = 0  # parameters beside the weights: a norm's, biases

    @property
    def weights(self) -> int:
        """Each takes part in one multiply-add a pixel of the result."""
        return self.kernel[0] * self.kernel[1] * self.inputs // self.groups * self.outputs

    def out(self, shape: Shape) -> Shape:
        """Of the result; ValueError, one line, where the layer does not fit."""
        c, h, w = shape
        if self.kind in ("norm", "relu"):  # the most frequent first: costs are counted for many networks
            return shape
        if self.kind in ("mean", "flatten"):
            return Shape(c * h * w if self.kind == "flatten" else c, 1, 1)
        if self.kind == "reduce" and (h % 2 or w % 2):
            raise ValueError(f"feature maps of {h} x {w} cannot be halved: take fewer cells or larger images")
        h, w = (
            (size + 2 * padding - self.dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, padding in zip((h, w), self.kernel, self.stride, self.padding, strict=True)
        )
        if h < 1 or w < 1:
            raise ValueError(f"feature maps of {shape.height} x {shape.width} are too small for {self.kernel}")
        return Shape(self.outputs or c, h, w)


Layers = tuple[Layer, ...]
RELU, FLATTEN = Layer("relu"), Layer("flatten")
MEAN = Layer("mean")  # over all pixels, (C, H, W) -> (C, 1, 1)


def conv(
    inputs: int, outputs: int, kernel: Pair = (1, 1), stride: Pair = (1, 1), *, dilation: int = 1, groups: int = 1
) -> Layer:
    """Without bias; the padding keeps the size at stride 1 where the kernel is odd, and is 0 for one of 2."""
    padding = dilation * ((kernel[0] - 1) // 2), dilation * ((kernel[1] - 1) // 2)
    return Layer("conv", inputs, outputs, kernel, stride, padding, dilation, groups)


def norm(c: int) -> Layer:
    """Batch norm with weight and bias."""
    return Layer("norm", outputs=c, extra=2 * c)


def pool(kind: str, kernel: int = 3, stride: int = 1, padding: int = 1) -> Layer:
    """'max_pool' or 'avg_pool'; a mean leaves the border out of its count."""
    return Layer(kind, kernel=(kernel, kernel), stride=(stride, stride), padding=(padding, padding))


def reduce(inputs: int, outputs: int) -> Layer:
    """ReLU, two pointwise convolutions of stride 2, one pixel apart, side by side, norm; the size must be even."""
    return Layer("reduce", inputs, outputs, stride=(2, 2), extra=2 * outputs)


def linear(inputs: int, outputs: int) -> Layer:
    """With bias."""
    return Layer("linear", inputs, outputs, extra=outputs)


def relu_conv_norm(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> Layers:
    return RELU, conv(inputs, outputs, (kernel, kernel), (stride, stride)), norm(outputs)


def _depthwise_pointwise(c: int, kernel: int, stride: int, dilation: int = 1) -> Layers:
    depthwise = conv(c, c, (kernel, kernel), (stride, stride), dilation=dilation, groups=c)
    return RELU, depthwise, conv(c, c), norm(c)


def operation(name: str, c: int, stride: int) -> Layers:
    """Of an edge, as DARTS's public code has it: norms with weights of their own, none after pooling."""
    size = int(name[-1]) if name[-1].isdigit() else 0  # of a square kernel
    match name:
        case "none":
            return (Layer("zero", stride=(stride, stride)),)
        case "skip_connect":
            return () if stride == 1 else (reduce(c, c),)
        case "max_pool_3x3" | "avg_pool_3x3":
            return (pool(name[:8], stride=stride),)
        case "sep_conv_3x3" | "sep_conv_5x5" | "sep_conv_7x7":
            return _depthwise_pointwise(c, size, stride) + _depthwise_pointwise(c, size, 1)
        case "dil_conv_3x3" | "dil_conv_5x5":
            return _depthwise_pointwise(c, size, stride, dilation=2)
        case "conv_7x1_1x7":
            return RELU, conv(c, c, (1, 7), (1, stride)), conv(c, c, (7, 1), (stride, 1)), norm(c)
        case "nor_conv_1x1" | "nor_conv_3x3":
            return relu_conv_norm(c, c, size, stride)
    raise KeyError(name)


# --- networks -------------------------------------------------------------------------------------


class Edge(NamedTuple):
    """What is done on the way from one node of a cell to another."""

    source: int
    target: int
    layers: Layers


class CellPlan(NamedTuple):
    """Nodes are numbered from the inputs on; a node is the sum of its edges, the output joins some nodes' channels."""

    inputs: tuple[Layers, ...]  # what is done to the last cells' outputs first; one or two of them, the older first
    edges: tuple[Edge, ...]  # by target
    concat: tuple[int, ...]


class NetworkPlan(NamedTuple):
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
    auxiliary: bool = False,  # which needs three cells or more
) -> NetworkPlan:
    """DARTS's for CIFAR (a stem of 3 C channels) or, from 64 pixels on, for ImageNet (stride 8 in two stems).

    ValueError, one line, where it cannot be built so.
    """
    if isinstance(cell, str):
        return _nas_bench_201_plan(cell, images, channels, cells)
    if channels < 2 or channels % 2:
        raise ValueError(f"channels = {channels}: allowed: even numbers from 2 on")
    colors, c, large = images.shape.channels, channels, images.shape.height >= 64
    stem: tuple[Layers, ...] = ((conv(colors, 3 * c, (3, 3)), norm(3 * c)),)
    if large:
        first = conv(colors, c // 2, (3, 3), (2, 2)), norm(c // 2), RELU, conv(c // 2, c, (3, 3), (2, 2)), norm(c)
        stem = first, relu_conv_norm(c, c, 3, 2)
    widths, halved = (c, c) if large else (3 * c, 3 * c), large  # the second stem is half the size of the first
    reductions = [cells // 3, 2 * cells // 3] if cells > 2 else []
    plans: list[CellPlan] = []
    for at in range(cells):
        reduction = at in reductions
        c *= 2 if reduction else 1
        plans.append(_cell(cell, widths, c, reduction, halved))
        widths, halved = (widths[1], c * len(plans[-1].concat)), reduction
    plan = NetworkPlan(images, stem, tuple(plans), (MEAN, FLATTEN, linear(widths[1], images.n_classes)))
    if not auxiliary:
        return plan
    width = c * len(plans[reductions[1]].concat)
    return plan._replace(auxiliary=_auxiliary(width, images.n_classes, large), auxiliary_after=reductions[1])


@lru_cache(1000)  # equal cells are one object, so that they are counted once
def _cell(cell: Genotype, widths: Pair, c: int, reduction: bool, halved: bool) -> CellPlan:
    """`halved`: the newer input is half the size of the older one."""
    pairs, concat = (cell.reduce, cell.reduce_concat) if reduction else (cell.normal, cell.normal_concat)
    older = (reduce(widths[0], c),) if halved else relu_conv_norm(widths[0], c)
    edges = [
        Edge(source, 2 + at // 2, operation(name, c, 2 if reduction and source < 2 else 1))
        for at, (name, source) in enumerate(pairs)
    ]
    return CellPlan((older, relu_conv_norm(widths[1], c)), tuple(edges), concat)


def _auxiliary(width: int, n_classes: int, large: bool) -> Layers:
    """DARTS's, for feature maps of 8 x 8, or of 7 x 7 on ImageNet, where its authors left the second norm out."""
    narrow = RELU, pool("avg_pool", 5, 2 if large else 3, 0), conv(width, 128), norm(128)
    second = () if large else (norm(768),)
    return *narrow, RELU, conv(128, 768, (2, 2)), *second, RELU, FLATTEN, linear(768, n_classes)


def _nas_bench_201_plan(arch: str, images: Images, c: int, cells: int) -> NetworkPlan:
    """The benchmark's: three stages of equal cells, residual blocks of stride 2 between them."""
    names = [NAS_BENCH_201.operations[op] for op in string_to_arch(arch)]
    if cells < 3 or cells % 3:
        raise ValueError(f"cells = {cells}: a NAS-Bench-201 network has three stages; allowed: 3, 6, 9, ...")
    if c < 1:
        raise ValueError(f"channels = {c}: allowed: 1 or more")
    stem, plans = (conv(images.shape.channels, c, (3, 3)), norm(c)), []
    for stage in range(3):
        if stage:  # two 3 x 3 convolutions, the first of stride 2, beside a pooled pointwise one
            convs = Edge(0, 1, relu_conv_norm(c, 2 * c, 3, 2) + relu_conv_norm(2 * c, 2 * c, 3))
            short = Edge(0, 1, (pool("avg_pool", 2, 2, 0), conv(c, 2 * c)))
            plans.append(CellPlan(((),), (convs, short), (1,)))
            c *= 2
        edges = [Edge(*edge, operation(name, c, 1)) for name, edge in zip(names, NAS_BENCH_201.edges, strict=True)]
        plans += [CellPlan(((),), tuple(edges), (3,))] * (cells // 3)
    head = norm(c), RELU, MEAN, FLATTEN, linear(c, images.n_classes)
    return NetworkPlan(images, (stem,), tuple(plans), head)
