"""The supernet: every operation on every edge, weighted by alphas that are an input (Sec. 3.1, 4.2.1).

A `Supernet` is a description without numbers. Its weights are one vector (P,), so that a step, a copy,
a checkpoint or `w + eps v` is one operation; there is one feature map for each neighbor (layouts.py).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flatlib.search.feature_maps import NORM_EPS, add, norm, pool, residual_block, shuffle
from flatlib.search.kernels import folds
from flatlib.search.layouts import Lanes, Layout, Pixels
from flatlib.search.operations import OPERATIONS, Weights, fan_in, node_weights
from flatlib.spaces import NAS_BENCH_201, Space

Shared = dict[tuple[int, int], Any]  # (cell, source) -> operations that no alpha reaches


@dataclass(frozen=True)
class CellPlan:
    """Where a cell stands in the network."""

    channels: int
    inputs: tuple[int, ...]  # channels of its input feature maps
    reduces: bool  # halves the sides
    after_reduction: bool  # so its first input is twice as wide and high
    searched: bool = True  # False: NAS-Bench-201's residual block


@dataclass(frozen=True)
class Supernet:
    """DARTS's search network, S3's and NAS-Bench-201's.

    `partial` is PC-DARTS's K: 1 / K of the channels pass the operations, the others go by.
    `kernels`: `naive`, one by one; `plain`, by torch; `triton`, its sums fused; `compiled`, once differentiable.
    """

    space: Space
    channels: int  # of the first cells, C
    cells: int  # searched cells
    n_classes: int
    in_channels: int = 3
    partial: int = 1
    kernels: str = "plain"

    def __post_init__(self) -> None:
        """ValueError, one line, for a space that the network or its kernels cannot compute."""
        name = self.space.name
        if unknown := [operation for operation in self.space.operations if operation not in OPERATIONS]:
            raise ValueError(f"{name}: no operation {unknown[0]!r} in OPERATIONS; add it there first")
        if self.space != NAS_BENCH_201 and self.n_inputs != 2:
            raise ValueError(f"{name}: its first edge ends at node {self.n_inputs}; nodes 0 and 1 are inputs")
        if self.kernels != "naive" and not folds(self.space):
            raise ValueError(f"kernels = {self.kernels!r}: {name} has operations of its own; take 'naive'")

    @property
    def n_inputs(self) -> int:
        """Input nodes of a cell."""
        return self.space.edges[0][1]

    @property
    def cell_types(self) -> int:
        """T: normal and reduction, but NAS-Bench-201 has one cell."""
        return self.n_inputs

    @property
    def n_joined(self) -> int:
        """Nodes whose maps are a cell's output, side by side."""
        return len({node for _, node in self.space.edges}) if self.n_inputs == 2 else 1

    @property
    def stem_channels(self) -> int:
        return self.channels if self.space is NAS_BENCH_201 else 3 * self.channels

    @cached_property
    def sources(self) -> dict[int, list[int]]:
        """Source node -> the edges that start there, by target."""
        starts = sorted({source for source, _ in self.space.edges})
        return {node: [e for e, (source, _) in enumerate(self.space.edges) if source == node] for node in starts}

    @cached_property
    def plan(self) -> list[CellPlan]:
        """The cells in order: DARTS reduces at 1/3 and 2/3 of the depth, NAS-Bench-201 between its stages."""
        third, width, plans = self.cells // 3, self.channels, []
        if self.space is NAS_BENCH_201:
            for cell in range(self.cells):
                if cell and cell % third == 0:
                    plans.append(CellPlan(2 * width, (width,), True, False, searched=False))
                    width *= 2
                plans.append(CellPlan(width, (width,), False, False))
            return plans
        inputs = (self.stem_channels, self.stem_channels)
        for cell in range(self.cells):
            reduces = cell in (third, 2 * self.cells // 3)
            width *= 1 + reduces
            plans.append(CellPlan(width, inputs, reduces, bool(plans) and plans[-1].reduces))
            inputs = (inputs[1], self.n_joined * width)
        return plans

    def stride(self, plan: CellPlan, source: int) -> int:
        return 2 if plan.reduces and source < self.n_inputs else 1

    @cached_property
    def shapes(self) -> dict[tuple[str, int, int], tuple[int, ...]]:
        """(weight, cell, source) -> shape, in the order of the vector; -1 stands for none."""
        shapes: dict[tuple[str, int, int], tuple[int, ...]] = {}
        shapes["stem", -1, -1] = (self.stem_channels, self.in_channels, 3, 3)
        shapes["stem_scale", -1, -1] = shapes["stem_shift", -1, -1] = (self.stem_channels,)
        for at, plan in enumerate(self.plan):
            wide = plan.channels
            if not plan.searched:
                shapes["conv_a", at, -1] = (wide, wide // 2, 3, 3)
                shapes["conv_b", at, -1] = (wide, wide, 3, 3)
                shapes["shortcut", at, -1] = (wide, wide // 2)
                continue
            for i, before in enumerate(plan.inputs if self.n_inputs == 2 else ()):
                halved = i == 0 and plan.after_reduction
                shapes["input", at, i] = (2, wide // 2, before) if halved else (wide, before)
            for source, edges in self.sources.items():
                of_node = node_weights(self.space, wide // self.partial, len(edges), self.stride(plan, source))
                shapes |= {(name, at, source): shape for name, shape in of_node.items()}
        last = self.plan[-1].channels * self.n_joined
        shapes["head", -1, -1], shapes["head_bias", -1, -1] = (self.n_classes, last), (self.n_classes,)
        if self.space is NAS_BENCH_201:
            shapes["last_scale", -1, -1] = shapes["last_shift", -1, -1] = (last,)
        return shapes

    def initial_weights(self, generator: torch.Generator) -> Tensor:  # (P,) float32
        """torch's default: uniform within 1 / sqrt(fan in); scales 1, shifts 0."""
        parts = []
        for (name, *_), shape in self.shapes.items():
            if name.endswith(("scale", "shift")):
                parts.append(torch.full(shape, float(name.endswith("scale"))).flatten())
            else:
                bound = 1 / math.sqrt(self.shapes["head", -1, -1][1] if name == "head_bias" else fan_in(name, shape))
                parts.append(torch.empty(math.prod(shape)).uniform_(-bound, bound, generator=generator))
        return torch.cat(parts)

    def named(self, weights: Tensor) -> dict[tuple[str, int, int], Tensor]:
        """The vector's parts by (weight, cell, source), as views."""
        parts = weights.split([math.prod(shape) for shape in self.shapes.values()])
        return {key: part.view(shape) for part, (key, shape) in zip(parts, self.shapes.items(), strict=True)}

    # --- what the network computes -----------------------------------------------------------------

    def logits(
        self,
        weights: Tensor,  # (P,)
        images: Tensor,  # (B, in_channels, H, W)
        alphas: Tensor,  # (N, T, E, O)
        *,
        edge_weights: Tensor | None = None,  # (T, E) PC-DARTS's edge normalization
        shared: Shared | None = None,  # from `share`, with the same weights and images
    ) -> Tensor:  # (N, B, classes)
        """The network's output for each neighbor."""
        named, layout = self.named(weights), self._layout(len(images))
        x = layout.enter(self._stem(named, images), len(alphas))
        inputs = [x] * self.n_inputs
        for at, plan in enumerate(self.plan):
            if plan.searched:
                kind = int(plan.reduces)
                gamma = None if edge_weights is None else edge_weights[kind]
                x = self._cell(layout, named, at, inputs, alphas[:, kind], gamma, shared or {})
            else:
                x = residual_block(x, named["conv_a", at, -1], named["conv_b", at, -1], named["shortcut", at, -1])
            inputs = [*inputs, x][-self.n_inputs :]
        if self.space is NAS_BENCH_201:
            x = F.relu(norm(x) * named["last_scale", -1, -1] + named["last_shift", -1, -1])
        return F.linear(layout.pooled(x), named["head", -1, -1], named["head_bias", -1, -1])

    def _layout(self, batch: int) -> Layout:
        return Lanes(self.space, batch) if self.kernels == "compiled" else Pixels(self.space, self.kernels)

    @torch.no_grad()
    def share(self, weights: Tensor, images: Tensor) -> Shared:
        """What reads only the stem, once for all neighbors: the operations of the sources that no alpha reaches."""
        named, layout = self.named(weights), self._layout(len(images))
        stem, shared = layout.enter(self._stem(named, images), 1), {}
        for at, plan in enumerate(self.plan[:2] if self.partial == 1 else ()):
            for source in range(self.n_inputs - at if plan.searched else 0):
                x = self._input(layout, named, at, source, stem)
                own, edges = self._of_node(named, at, source), len(self.sources[source])
                shared[at, source] = layout.share(x, own, edges, self.stride(plan, source))
        return shared

    def _stem(self, named: dict, images: Tensor) -> Tensor:  # (B, C, H, W)
        scale, shift = named["stem_scale", -1, -1], named["stem_shift", -1, -1]
        x = F.conv2d(images, named["stem", -1, -1], padding=1)
        return F.batch_norm(x, None, None, scale, shift, training=True, eps=NORM_EPS)

    def _input(self, layout: Layout, named: dict, at: int, i: int, x: Tensor) -> Tensor:
        """An input feature map brought to the cell's width and size; NAS-Bench-201 takes it as it is."""
        return layout.input(x, named["input", at, i]) if ("input", at, i) in named else x

    def _cell(
        self, layout: Layout, named: dict, at: int, inputs: list[Tensor], alphas: Tensor, gamma: Any, shared: Shared
    ) -> Tensor:
        """x_j = sum over edges (i, j) and operations k of alpha_k o_k(x_i)."""
        arriving: dict[int, list[Tensor]] = {node: [] for _, node in self.space.edges}
        states: list[Tensor] = []
        for source, edges in self.sources.items():
            if (at, source) in shared:
                terms = layout.shared_terms(shared[at, source], alphas[:, edges])
            else:
                first = source < self.n_inputs
                x = self._input(layout, named, at, source, inputs[source]) if first else add(arriving[source])
                states += [] if first else [x]
                of_edges = None if gamma is None else gamma[edges]
                own = self._of_node(named, at, source)
                terms = self._terms(layout, x, own, alphas[:, edges], of_edges, self.stride(self.plan[at], source))
            for edge, term in zip(edges, terms, strict=True):
                arriving[self.space.edges[edge][1]].append(term)
        last = add(arriving[max(arriving)])
        return layout.join([*states, last]) if self.n_inputs == 2 else last

    def _of_node(self, named: dict, at: int, source: int) -> Weights:
        """The weights of the operations that start at one source node."""
        return {key[0]: part for key, part in named.items() if key[1:] == (at, source) and key[0] != "input"}

    def _terms(
        self, layout: Layout, x: Tensor, weights: Weights, alphas: Tensor, gamma: Tensor | None, stride: int
    ) -> tuple[Tensor, ...]:
        """The terms of all edges (N, E, O) that leave one source node."""
        if self.partial == 1:
            return layout.terms(x, weights, alphas, stride)
        gamma = torch.ones_like(alphas[0, :, 0]) if gamma is None else gamma
        channels = x.shape[-1] // self.partial
        terms = layout.terms(x[..., :channels].contiguous(), weights, alphas * gamma[:, None], stride)
        rest = x[..., channels:]
        rest = pool(rest, F.max_pool2d, 2, ceil_mode=True) if stride == 2 else rest
        both = zip(terms, gamma, strict=True)
        return tuple(shuffle(torch.cat([term, weight * rest], -1), self.partial) for term, weight in both)
