"""The supernet's operations by compiled kernels, on feature maps (blocks, C, H, W, 16) with sixteen images innermost.

`Operations` says what leaves one source node, `Outputs` what it computed before its last norm. `Weighted` sums that
with alpha and goes back through all of it. With y^ the normed output, g the gradient of an edge's sum and means over
the M = B H W rows of a neighbor (lanes.cpp):

    sum_k alpha_k y^_k = sum_k (alpha_k / sigma_k) y_k - sum_k alpha_k mu_k / sigma_k
    dL/dalpha_k = <g, y^_k>,  dL/dy_k = alpha_k / sigma_k (g - mean(g) - y^_k mean(g y^_k)) = a g + b y_k + d
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from flatlib.search.operations import Weights
from flatlib.spaces import Space

LANES = 16  # images side by side


def enter(x: Tensor) -> Tensor:  # (B, C, H, W) -> (ceil(B / 16), C, H, W, 16)
    """The last block is filled up with zeros."""
    b, *shape = x.shape
    x = torch.cat([x, x.new_zeros(-b % LANES, *shape)]) if b % LANES else x
    return x.unflatten(0, (-1, LANES)).permute(0, 2, 3, 4, 1).contiguous()


def leave(x: Tensor, batch: int) -> Tensor:  # (blocks, C, 16) -> (N, B, C)
    x = x.unflatten(0, (-1, -(-batch // LANES)))
    return x.permute(0, 1, 3, 2).flatten(1, 2)[:, :batch]


# --- what leaves a source node ----------------------------------------------------------------------


class Tensors(NamedTuple):
    """Its weights, each for all E edges: kernels (E, C, s, s) and products (E, C', C)."""

    deep: list[Tensor]
    point: list[Tensor]
    deep_2: list[Tensor]  # of the second convolutions
    point_2: list[Tensor]
    products: list[Tensor]  # without kernels


@dataclass(frozen=True)
class Operations:
    """Convolutions with kernels, plain products, pools, the identity: the sources of the sum, in this order."""

    batch: int  # B
    stride: int
    dilations: tuple[int, ...] = ()  # of each kernel
    separable: int = 0  # the first so many kernels have a second one behind
    products: int = 0  # 2: of half the channels each, one pixel apart
    pools: bool = False  # 3 x 3 maximum and mean
    skip: bool = False  # the identity
    columns: tuple[int, ...] = (0,)  # of alpha, for each source

    def neighbors(self, x: Tensor) -> int:
        return x.shape[0] // -(-self.batch // LANES)

    def split(self, tensors: Sequence[Tensor]) -> Tensors:
        k, s = len(self.dilations), self.separable
        ends = list(itertools.accumulate((k, k, s, s, self.products), initial=0))
        return Tensors(*(list(tensors[i:j]) for i, j in itertools.pairwise(ends)))


def mixed_operations(
    space: Space, x: Tensor, weights: Weights, alphas: Tensor, stride: int, batch: int
) -> tuple[Tensor, ...]:
    """The terms (blocks, C, H', W', 16) of the edges (N, E, O) that leave a source node (Sec. 3.1)."""
    own, tensors = _operations(space, weights, stride, batch)
    return Weighted.apply(x, alphas, own, None, *tensors).unbind()


def input_node(x: Tensor, weight: Tensor, batch: int) -> Tensor:
    """ReLU, pointwise product (C', C), norm; (2, C' / 2, C): with stride 2, two products one pixel apart."""
    products = [weight[None]] if weight.dim() == 2 else list(weight[:, None])
    own = Operations(batch, stride=len(products), products=len(products))
    return Weighted.apply(x, x.new_ones(own.neighbors(x), 1, 1), own, None, *products)[0]


def share(space: Space, x: Tensor, weights: Weights, stride: int, batch: int) -> "Shared":
    """What `mixed_operations` computes before alpha, of a state that no alpha reaches."""
    own, tensors = _operations(space, weights, stride, batch)
    return Shared(own, outputs(own, x, own.split(tensors)))


def shared_terms(shared: "Shared", alphas: Tensor) -> tuple[Tensor, ...]:
    """The terms for all neighbors from what they share."""
    return Weighted.apply(None, alphas, shared.operations, shared.outputs).unbind()


def _operations(space: Space, weights: Weights, stride: int, batch: int) -> tuple[Operations, list[Tensor]]:
    sizes = [size for size in (3, 5) if f"depthwise_{size}" in weights]
    dilated = sizes if "dil_conv_3x3" in space.operations else []
    pools = ["max_pool_3x3", "avg_pool_3x3"] if "max_pool_3x3" in space.operations else []
    names = [f"sep_conv_{size}x{size}" for size in sizes] + [f"dil_conv_{size}x{size}" for size in dilated]
    names += ["skip_connect", *pools] if stride == 2 else [*pools, "skip_connect"]
    own = Operations(
        batch,
        stride,
        dilations=(1,) * len(sizes) + (2,) * len(dilated),
        separable=len(sizes),
        products=2 * (stride == 2),
        pools=bool(pools),
        skip=stride == 1,
        columns=tuple(map(space.operations.index, names)),
    )
    first, second = [(size, 0) for size in sizes] + [(size, 2) for size in dilated], [(size, 1) for size in sizes]
    kinds = itertools.product((first, second), ("depthwise", "pointwise"))
    tensors = [weights[f"{kind}_{size}"][at] for part, kind in kinds for size, at in part]
    return own, [*tensors, *(weights["reduce"] if stride == 2 else ())]


# --- forward ----------------------------------------------------------------------------------------


class Outputs(NamedTuple):
    """S sources of the sum, N neighbors (1 if all share it), J = kernels x edges."""

    first: Tensor | None  # (J, blocks, C, H', W', 16)
    norm: list[Tensor]  # mean and 1 / sigma (J', N, C) float64 between first and second convolutions
    second: Tensor | None
    halves: Tensor | None  # of the plain products
    pooled: Tensor | None  # (2, blocks, C, H', W', 16)
    sources: list[Tensor]  # as the sum reads them
    mean: Tensor  # (S, E, N, C) float64
    inverse: Tensor  # (S, E, N, C) float64, 1 / sigma


class Shared(NamedTuple):
    """What all neighbors share of a source node that no alpha reaches."""

    operations: Operations
    outputs: Outputs


def call(name: str, like: Tensor) -> Any:
    """The compiled function for a dtype."""
    return getattr(torch.ops.flatlib_lanes, f"{name}_{str(like.dtype).removeprefix('torch.')}")


def outputs(own: Operations, x: Tensor, weights: Tensors) -> Outputs:
    """Every operation up to its last norm."""
    e, convolve = len((weights.point or weights.products)[0]), call("convolve", x)
    first = second = halves = pooled = None
    norm: list[Tensor] = []
    found = list[tuple[Sequence[Tensor], list[Tensor]]]()  # sources, and their mean and 1 / sigma

    def by_edge(ts: list[Tensor]) -> list[Tensor]:  # (K E, N, C) -> (K, E, N, C)
        return [t.unflatten(0, (-1, e)) for t in ts]

    if own.dilations:
        k, s = len(own.dilations), own.separable
        kernels = (weights.deep, weights.point, own.dilations, [0] * k)
        first, *numbers = convolve(x[None], None, None, *kernels, own.stride, own.batch)
        norm = [t[: s * e] for t in numbers]
        behind = (weights.deep_2, weights.point_2, [1] * s, [0] * s)
        second, *numbers_2 = convolve(first[: s * e], *norm, *behind, 1, own.batch)
        found.append((second.split(e), by_edge(numbers_2)))
        if k > s:
            found.append((first[s * e :].split(e), by_edge([t[s * e :] for t in numbers])))
    if own.products:
        halves, *numbers = convolve(x[None], None, None, *_plain(weights.products), own.stride, own.batch)
        found.append(([halves], [t.permute(1, 2, 0, 3).flatten(2)[None] for t in by_edge(numbers)]))
    if own.pools:
        pooled, *numbers = call("pool", x)(x, own.stride, own.batch)
        found.append((pooled.split(1), [t[:, None].expand(-1, e, -1, -1) for t in numbers]))
    if own.skip:
        ones = torch.ones(1, e, own.neighbors(x), x.shape[1], dtype=torch.float64)
        found.append(([x[None]], [torch.zeros_like(ones), ones]))
    sources = [y for ys, _ in found for y in ys]
    mean, inverse = (torch.cat([numbers[i] for _, numbers in found]).contiguous() for i in (0, 1))
    return Outputs(first, norm, second, halves, pooled, sources, mean, inverse)


def _plain(products: list[Tensor]) -> tuple:
    """Products without kernels, each one pixel further than the one before."""
    n = len(products)
    return [products[0].new_empty(0)] * n, products, [1] * n, list(range(n))


# --- the sum, and back ------------------------------------------------------------------------------


class Weighted(Function):
    """sum_k alpha_k o_k(x) of each edge, (E, blocks, C, H', W', 16)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor | None, alphas: Tensor, own: Operations, seen: Outputs | None, *tensors: Tensor
    ) -> Tensor:
        if seen is None:
            assert x is not None
            ctx.weights = own.split([t.contiguous() for t in tensors])
            seen = outputs(own, x, ctx.weights)
        chosen = alphas[..., own.columns].contiguous()
        ctx.x, ctx.own, ctx.seen, ctx.chosen, ctx.shape = x, own, seen, chosen, alphas.shape
        return call("combine", chosen)(seen.sources, chosen, seen.mean, seen.inverse, own.batch)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        own, seen, g = ctx.own, ctx.seen, g.contiguous()
        inner, *abd = call("reduce", g)(seen.sources, g, ctx.chosen, seen.mean, seen.inverse, own.batch)
        d_alphas = g.new_zeros(ctx.shape)
        d_alphas[..., own.columns] = inner.sum(3).permute(2, 1, 0).to(g.dtype)  # <g, y^>
        of_weights = ctx.needs_input_grad[4:]
        if not (ctx.needs_input_grad[0] or any(of_weights)):
            return None, d_alphas, None, None, *[None] * len(of_weights)
        d_x, gradients = _back(ctx, g, abd, any(of_weights))
        return d_x, d_alphas, None, None, *gradients


def _back(ctx: Any, g: Tensor, abd: list[Tensor], wanted: bool) -> tuple[Tensor, list[Tensor | None]]:
    """From the gradients of the terms to those of x and, if wanted, of the weights."""
    x, own, seen, weights = ctx.x, ctx.own, ctx.seen, ctx.weights
    k, s, n, e = len(own.dilations), own.separable, own.products, g.shape[0]
    d_x = _through_skip(ctx, g) if own.skip else torch.zeros_like(x)[None]

    def back(g: Tensor, y: Tensor, abd: Iterable[Tensor], which: tuple, norm: Sequence[Tensor] = ()) -> list[Tensor]:
        """Adds to d_x; behind a norm, comes first to what was normed."""
        into, of, stride = (d_first, first, 1) if norm else (d_x, x[None], own.stride)
        return call("convolve_back", x)(
            g, y, *abd, of, *(norm or (None, None)), *which, stride, own.batch, into, wanted
        )

    def of_rows(start: int, stop: int) -> Iterable[Tensor]:
        return (t[start:stop].flatten(0, 1) for t in abd)

    deep, point, second, products = list[Tensor](), list[Tensor](), list[Tensor](), list[Tensor]()
    if k:
        plain, first = ([1] * s, [0] * s), seen.first[: s * e]
        d_first = torch.empty_like(first)
        found = back(g, seen.second, of_rows(0, s), (weights.deep_2, weights.point_2, *plain), seen.norm)
        of_first, second = found[:3], found[3:]
        found = back(d_first, first, of_first, (weights.deep[:s], weights.point[:s], *plain))
        deep, point = found[:s], found[s:]
        if k > s:
            dilated = (weights.deep[s:], weights.point[s:], own.dilations[s:], [0] * (k - s))
            found = back(g, seen.first[s * e :], of_rows(s, k), dilated)
            deep, point = deep + found[: k - s], point + found[k - s :]
    if n:
        halved = (t[k].unflatten(2, (n, -1)).permute(2, 0, 1, 3).flatten(0, 1).contiguous() for t in abd)
        products = back(g, seen.halves, halved, _plain(weights.products))[n:]
    if own.pools:
        a, b, d = (t[k + bool(n) :][:2] for t in abd)
        call("pool_back", x)(g, a, b.sum(1), d.sum(1), x, seen.pooled, own.stride, own.batch, d_x)
    return d_x[0], [*deep, *point, *second, *products] if wanted else [None] * (2 * k + 2 * s + n)


def _through_skip(ctx: Any, g: Tensor) -> Tensor:  # (1, blocks, C, H, W, 16)
    """sum over edges of alpha g: the edges are the sources of a sum."""
    alphas = ctx.chosen[:, None, :, -1].contiguous()  # (N, 1, E)
    zeros = torch.zeros(len(g), 1, len(alphas), g.shape[2], dtype=torch.float64)
    return call("combine", g)(g.split(1), alphas, zeros, zeros + 1, ctx.own.batch)
