"""The evaluation phase's networks as torch modules, made layer by layer from a plan."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flatlib.evaluation.plan import RELU, CellPlan, Layer, Layers, NetworkPlan


class Maps:
    """Feature maps side by side, and their ReLU, which all that read it share: a sixth less time on a CPU."""

    def __init__(self, *parts: "Tensor | Maps") -> None:
        self.parts = parts

    @property
    def plain(self) -> Tensor:  # (B, C, H, W)
        return _joined([part.plain if isinstance(part, Maps) else part for part in self.parts])

    @cached_property
    def rectified(self) -> Tensor:  # (B, C, H, W)
        return _joined([part.rectified if isinstance(part, Maps) else F.relu(part) for part in self.parts])


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, 1)


class Path(nn.Sequential):
    """The layers on the way from one node, or from a cell, to the next; the ReLU they begin with is left to `Maps`."""

    def __init__(self, layers: Layers) -> None:
        self.rectifies = bool(layers) and layers[0].kind in ("relu", "reduce")
        super().__init__(*map(module, layers[1:] if layers[:1] == (RELU,) else layers))

    def forward(self, maps: Maps) -> Tensor:
        return super().forward(maps.rectified if self.rectifies else maps.plain)


class Reduce(nn.Module):
    """Two pointwise convolutions of stride 2, one pixel apart, side by side, norm; the input is rectified.

    The pixels are picked first: torch 2.13 writes beyond its memory in the backward pass of a 1 x 1 convolution of
    stride 2 in channels_last, with few channels and large images.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.cat([self.even(x[:, :, ::2, ::2]), self.odd(x[:, :, 1::2, 1::2])], 1))


class Dilated(nn.Conv2d):
    """A convolution of dilation 2, stride 1 and 'same' padding; on a CPU it works undilated on the maps' four phases.

    The sum is the same. torch goes back slowly through dilated kernels: so it takes a quarter to three quarters of
    the time. Odd maps and other devices have it as it is.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.shape[2] % 2 or x.shape[3] % 2:
            return super().forward(x)
        pad = self.kernel_size[0] // 2, self.kernel_size[1] // 2
        return from_phases(F.conv2d(phases(x), self.weight, None, 1, pad, 1, self.groups))


def phases(x: Tensor) -> Tensor:  # (B, C, H, W) -> (4 B, C, H / 2, W / 2), channels_last
    """Even and odd rows, even and odd columns: what a kernel of dilation 2 keeps apart."""
    b, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(b, h // 2, 2, w // 2, 2, c)
    return rows.permute(2, 4, 0, 1, 3, 5).reshape(4 * b, h // 2, w // 2, c).permute(0, 3, 1, 2)


def from_phases(y: Tensor) -> Tensor:  # (4 B, C, H, W) -> (B, C, 2 H, 2 W), channels_last
    b, c, h, w = y.shape
    rows = y.permute(0, 2, 3, 1).reshape(2, 2, b // 4, h, w, c)
    return rows.permute(2, 3, 0, 4, 1, 5).reshape(b // 4, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


class Zero(nn.MaxPool2d):
    """Zeros, of the size that a stride leaves."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


def module(layer: Layer) -> nn.Module:
    """The one place where a layer becomes a module."""
    kind, inputs, outputs, kernel, stride, padding, dilation, groups, _ = layer
    match kind:
        case "conv":
            own = Dilated if dilation == 2 and stride == (1, 1) else nn.Conv2d
            return own(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
        case "norm":
            return nn.BatchNorm2d(outputs)
        case "relu":
            return nn.ReLU()
        case "max_pool":
            return nn.MaxPool2d(kernel, stride, padding)
        case "avg_pool":
            return nn.AvgPool2d(kernel, stride, padding, count_include_pad=False)
        case "reduce":
            return Reduce(inputs, outputs)
        case "zero":
            return Zero(1, stride[0])
        case "mean":
            return nn.AdaptiveAvgPool2d(1)
        case "flatten":
            return nn.Flatten()
        case "linear":
            return nn.Linear(inputs, outputs)
    raise KeyError(kind)


class Cell(nn.Module):
    """A cell of a plan; in training each edge that is no identity may be dropped, image by image (drop path)."""

    def __init__(self, plan: CellPlan) -> None:
        super().__init__()
        self.plan = plan
        self.inputs = nn.ModuleList(map(Path, plan.inputs))
        self.edges = nn.ModuleList(Path(edge.layers) for edge in plan.edges)

    def forward(
        self,
        inputs: Sequence[Maps],  # of the last two cells, the older first
        keep: Iterator[Tensor] | None = None,  # (B,), for each edge that is no identity
    ) -> Maps:
        states = [Maps(path(maps)) for path, maps in zip(self.inputs, inputs[-len(self.inputs) :], strict=True)]
        edges = zip(self.plan.edges, self.edges, strict=True)
        for _, incoming in groupby(edges, key=lambda edge: edge[0].target):
            terms = []
            for edge, path in incoming:
                term = path(states[edge.source])
                terms.append(term * next(keep)[:, None, None, None] if keep and edge.layers else term)
            states.append(Maps(sum(terms[1:], start=terms[0])))
        return Maps(*(states[node] for node in self.plan.concat))


class Network(nn.Module):
    """Stem, cells, classifier and, in training, the auxiliary classifier; first weights come from `generator`."""

    def __init__(self, plan: NetworkPlan, generator: torch.Generator) -> None:
        super().__init__()
        self.auxiliary_after = plan.auxiliary_after
        self.n_droppable = sum(bool(edge.layers) for cell in plan.cells for edge in cell.edges)  # by drop path
        with torch.random.fork_rng(devices=[]):  # torch draws first weights from its global state; they are not used
            self.stem = nn.ModuleList(map(Path, plan.stem))
            self.cells = nn.ModuleList(map(Cell, plan.cells))
            self.head = Path(plan.head)
            self.auxiliary = Path(plan.auxiliary) if plan.auxiliary else None
        initialize(self, generator)

    def forward(
        self,
        images: Tensor,  # (B, C, H, W)
        keep: Tensor | None = None,  # (n_droppable, B), 0 or 1 / (1 - p): drop path
    ) -> tuple[Tensor, Tensor | None]:  # logits (B, classes) of the classifier and of the auxiliary one
        states = [Maps(images)]
        for stem in self.stem:
            states.append(Maps(stem(states[-1])))
        before, last = states[1], states[-1]
        auxiliary, kept = None, None if keep is None else iter(keep)
        for number, cell in enumerate(self.cells):
            before, last = last, cell((before, last), kept)
            if self.training and self.auxiliary is not None and number == self.auxiliary_after:
                auxiliary = self.auxiliary(last)
        return self.head(last), auxiliary


def initialize(network: nn.Module, generator: torch.Generator) -> None:
    """Torch's own first weights, uniform within +-1 / sqrt(fan in), from a generator instead of the global state."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(part.weight[0].numel())
            for weights in part.parameters():
                nn.init.uniform_(weights, -bound, bound, generator=generator)


def draw_keep(n_droppable: int, batch: int, drop: float, generator: torch.Generator) -> Tensor:  # (n_droppable, batch)
    """0 with probability `drop`, else 1 / (1 - drop): what an edge's term is multiplied with."""
    kept = torch.rand(n_droppable, batch, generator=generator) >= drop
    return kept / (1 - drop)
