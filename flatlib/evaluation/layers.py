"""Layers as plain data: what each does to shapes, before any weight exists. Needs neither torch nor numpy.

A sequence of layers is a tuple; the empty one is the identity. `OPERATIONS` gives the sequence of each operation
of the evaluation phase, as DARTS's public code has it: with batch norm's own weights, and no norm after pooling.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

Pair = tuple[int, int]


class Shape(NamedTuple):
    """Of one image's feature maps."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Conv:
    """A convolution without bias; padding keeps the size at stride 1 unless it is given."""

    inputs: int
    outputs: int
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: int = 1
    groups: int = 1
    padding: Pair | None = None

    @property
    def pad(self) -> Pair:
        return self.padding or (self.dilation * (self.kernel[0] // 2), self.dilation * (self.kernel[1] // 2))


@dataclass(frozen=True)
class Norm:
    """Batch norm with weight and bias."""

    channels: int


@dataclass(frozen=True)
class Relu:
    pass


@dataclass(frozen=True)
class Pool:
    """Over windows; a mean leaves the border out of its count."""

    kind: str  # 'max' or 'avg'
    kernel: int = 3
    stride: int = 1
    padding: int = 1


@dataclass(frozen=True)
class FactorizedReduce:
    """ReLU, two pointwise convolutions of stride 2, one pixel apart, side by side, norm; the size must be even."""

    inputs: int
    outputs: int


@dataclass(frozen=True)
class Zero:
    stride: int = 1


@dataclass(frozen=True)
class GlobalPool:
    """Mean over all pixels, (C, H, W) -> (C, 1, 1)."""


@dataclass(frozen=True)
class Flatten:
    """(C, H, W) -> (C H W, 1, 1)."""


@dataclass(frozen=True)
class Linear:
    """With bias."""

    inputs: int
    outputs: int


Layer = Conv | Norm | Relu | Pool | FactorizedReduce | Zero | GlobalPool | Flatten | Linear
Layers = tuple[Layer, ...]


def relu_conv_norm(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> Layers:
    return Relu(), Conv(inputs, outputs, (kernel, kernel), (stride, stride)), Norm(outputs)


def _depthwise_pointwise(c: int, kernel: int, stride: int, dilation: int = 1) -> Layers:
    return Relu(), Conv(c, c, (kernel, kernel), (stride, stride), dilation, groups=c), Conv(c, c), Norm(c)


def separable(kernel: int) -> "Operation":
    return lambda c, stride: _depthwise_pointwise(c, kernel, stride) + _depthwise_pointwise(c, kernel, 1)


def dilated(kernel: int) -> "Operation":
    return lambda c, stride: _depthwise_pointwise(c, kernel, stride, dilation=2)


def _conv_7x1_1x7(c: int, stride: int) -> Layers:
    return Relu(), Conv(c, c, (1, 7), (1, stride)), Conv(c, c, (7, 1), (stride, 1)), Norm(c)


Operation = Callable[[int, int], Layers]  # channels, stride
OPERATIONS: dict[str, Operation] = {
    "none": lambda c, stride: (Zero(stride),),
    "skip_connect": lambda c, stride: () if stride == 1 else (FactorizedReduce(c, c),),
    "max_pool_3x3": lambda c, stride: (Pool("max", stride=stride),),
    "avg_pool_3x3": lambda c, stride: (Pool("avg", stride=stride),),
    "sep_conv_3x3": separable(3),
    "sep_conv_5x5": separable(5),
    "sep_conv_7x7": separable(7),
    "dil_conv_3x3": dilated(3),
    "dil_conv_5x5": dilated(5),
    "conv_7x1_1x7": _conv_7x1_1x7,
    "nor_conv_1x1": lambda c, stride: relu_conv_norm(c, c, 1, stride),
    "nor_conv_3x3": lambda c, stride: relu_conv_norm(c, c, 3, stride),
}


# --- shapes ---------------------------------------------------------------------------------------


def _window(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def out_shape(layer: Layer, shape: Shape) -> Shape:
    """Of a layer's result; ValueError, one line, where the layer does not fit."""
    c, h, w = shape
    match layer:
        case Relu() | Norm():  # the most frequent first: costs are counted for many networks
            return shape
        case Conv():
            (tall, wide), (down, across), (top, left) = layer.kernel, layer.stride, layer.pad
            h = _window(h, layer.dilation * (tall - 1) + 1, down, top)
            w = _window(w, layer.dilation * (wide - 1) + 1, across, left)
            c = layer.outputs
        case Pool():
            h, w = (_window(side, layer.kernel, layer.stride, layer.padding) for side in (h, w))
        case FactorizedReduce():
            if h % 2 or w % 2:
                raise ValueError(f"feature maps of {h} x {w} cannot be halved: take fewer cells or larger images")
            c, h, w = layer.outputs, h // 2, w // 2
        case Zero():
            h, w = -(-h // layer.stride), -(-w // layer.stride)
        case GlobalPool():
            h, w = 1, 1
        case Flatten():
            c, h, w = c * h * w, 1, 1
        case Linear():
            c = layer.outputs
    if h < 1 or w < 1:
        raise ValueError(f"feature maps of {shape.height} x {shape.width} are too small for {layer}")
    return Shape(c, h, w)
