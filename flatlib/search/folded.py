"""The mixed operations of a source node for all its edges and all neighbors at once: values and gradients.

Edges and neighbors become channels, in the order (kernel size, edge, neighbor, C), so that a node needs one
ReLU, three depthwise and three pointwise convolutions; 3 x 3 kernels are padded to 5 x 5. The last BatchNorm
is never written out: `WeightedSum` takes its statistics and folds them into alpha.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from flatlib.search.feature_maps import (
    NORM_EPS,
    conv,
    depthwise,
    factorized_reduce,
    fold_images,
    fold_rows,
    pointwise,
    pool,
)
from flatlib.search.kernels import sums
from flatlib.search.operations import Weights
from flatlib.spaces import Space


class Raw(NamedTuple):
    """What some operations compute before their last norm."""

    operations: slice  # K of the space's operations
    outputs: Tensor  # (M, K, E or 1, N C); M = B H W rows; 1: the same for all edges
    normed: bool  # a norm follows


def mixed_operations(
    space: Space,
    state: Tensor,  # (B, H, W, N, C)
    weights: Weights,
    alphas: Tensor,  # (N, E, O)
    stride: int,
    by: Any = sums,  # or kernels.fused
) -> tuple[Tensor, ...]:  # E tensors (B, H', W', N, C)
    """sum_k alpha_k o_k(x_i) for the edges (i, j) of one source node i (Sec. 3.1)."""
    raws = raw_outputs(space, state, weights, alphas.shape[1], stride)
    kinds = tuple((raw.operations, raw.normed) for raw in raws)
    total = WeightedSum.apply(alphas.transpose(0, 1), kinds, by, *(raw.outputs for raw in raws))
    b, h, w, n, c = state.shape
    return total.view(b, -(-h // stride), -(-w // stride), -1, n, c).unbind(3)


def operation_outputs(space: Space, state: Tensor, weights: Weights, n_edges: int, stride: int) -> Tensor:
    """Every operation's output (E, O, B, H', W', C) of a state (B, H, W, 1, C) that no alpha reaches."""
    b, h, w, _, c = state.shape
    shape = (n_edges, len(space.operations), b, -(-h // stride), -(-w // stride), c)
    outputs = state.new_zeros(shape)
    for raw in raw_outputs(space, state, weights, n_edges, stride):
        rows = raw.outputs.flatten(1)
        rows = F.batch_norm(rows, None, None, training=True, eps=NORM_EPS) if raw.normed else rows
        by_edge = rows.view(*raw.outputs.shape).expand(-1, -1, n_edges, -1).permute(2, 1, 0, 3)
        outputs[:, raw.operations] = by_edge.unflatten(2, shape[2:5])
    return outputs


# --- the operations up to their last norm -----------------------------------------------------------


def raw_outputs(space: Space, state: Tensor, weights: Weights, n_edges: int, stride: int) -> list[Raw]:
    """All operations of the space but `none`, unweighted."""
    x, n, raws = F.relu(state), state.shape[3], list[Raw]()

    def add(name: str, outputs: Tensor, normed: bool = True) -> None:
        """The operation of that name and those that follow it."""
        first = space.operations.index(name)
        raws.append(Raw(slice(first, first + outputs.shape[1]), outputs, normed))

    if sizes := [size for size in (3, 5) if f"depthwise_{size}" in weights]:
        folded = fold_images(x, len(sizes) * n_edges)
        add(f"sep_conv_{sizes[0]}x{sizes[0]}", _separable(folded, weights, sizes, n, stride))
        if "dil_conv_3x3" in space.operations:
            add("dil_conv_3x3", _dilated(x, folded, weights, sizes, stride))
    for size in (1, 3):  # NAS-Bench-201's (E, C, C, s, s)
        if (kernel := weights.get(f"conv_{size}")) is not None:
            y = conv(x, kernel.flatten(0, 1)).unflatten(4, (n_edges, -1))
            add(f"nor_conv_{size}x{size}", _edge_rows(y))
    if with_max := "max_pool_3x3" in space.operations:
        add("max_pool_3x3", _rows(pool(state, F.max_pool2d, 3, stride, padding=1)))
    if "avg_pool_3x3" in space.operations:
        y = pool(state, F.avg_pool2d, 3, stride, padding=1, count_include_pad=False)
        add("avg_pool_3x3", _rows(y), normed=with_max)  # NAS-Bench-201's has no norm
    skip = _rows(state) if stride == 1 else _edge_rows(factorized_reduce(x, weights["reduce"]))
    add("skip_connect", skip, normed=stride == 2)
    return raws


def _rows(x: Tensor) -> Tensor:  # (B, H, W, N, C) -> (M, 1, 1, N C)
    return x.flatten(3).flatten(0, 2)[:, None, None]


def _edge_rows(x: Tensor) -> Tensor:  # (B, H, W, N, E, C) -> (M, 1, E, N C)
    return x.transpose(3, 4).flatten(4).flatten(0, 2).unsqueeze(1)


def _kernels(weights: Weights, sizes: list[int], at: int) -> tuple[Tensor, Tensor]:
    """Depthwise (K, E, C, s, s) and pointwise (K, E, C, C) kernels of all sizes, the smaller padded with zeros."""
    padded = [F.pad(weights[f"depthwise_{size}"][at], [(max(sizes) - size) // 2] * 4) for size in sizes]
    return torch.stack(padded), torch.stack([weights[f"pointwise_{size}"][at] for size in sizes])


def _separable(folded: Tensor, weights: Weights, sizes: list[int], n: int, stride: int) -> Tensor:
    deep, point = _kernels(weights, sizes, 0)
    y = pointwise(depthwise(folded, deep, n, stride), point, n)
    deep, point = _kernels(weights, sizes, 1)
    y = pointwise(depthwise(F.relu_(F.batch_norm(y, None, None, training=True, eps=NORM_EPS)), deep, n, 1), point, n)
    return fold_rows(y, *deep.shape[:2])


def _dilated(x: Tensor, folded: Tensor, weights: Weights, sizes: list[int], stride: int) -> Tensor:
    """With stride 2 the taps of a dilated kernel meet every second pixel only: a plain kernel on those."""
    deep, point = _kernels(weights, sizes, 2)
    n = x.shape[3]
    if stride == 2:
        y = depthwise(fold_images(x[:, ::2, ::2], deep.shape[0] * deep.shape[1]), deep, n, 1)
    else:
        y = depthwise(folded, deep, n, 1, dilation=2)
    return fold_rows(pointwise(y, point, n), *deep.shape[:2])


# --- alpha and the last norm ------------------------------------------------------------------------


def _statistics(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation over the rows of (M, ...), in float32 at least."""
    rows = y.flatten(1).to(sums.wide(y))
    mean, variance = torch.ops.aten.batch_norm_update_stats(rows, None, None, 0.0)  # two passes, nothing written
    return mean.view(y.shape[1:]), (variance + NORM_EPS).rsqrt_().view(y.shape[1:])


class WeightedSum(Function):
    """sum_k alpha_k norm(y_k) = sum_k (alpha_k / sigma_k) y_k - sum_k alpha_k mu_k / sigma_k.

    Backwards, with g the gradient of the sum and y^ = norm(y): the gradient of alpha_k is <g, y^_k>, that
    of y_k is alpha_k / sigma_k (g - mean(g) - y^_k mean(g y^_k)); an output that all edges share sums over them.
    """

    @staticmethod
    def forward(ctx: Any, alphas: Tensor, kinds: tuple, by: Any, *outputs: Tensor) -> Tensor:
        """alphas (E, N, O), kinds (operations, normed) and outputs (M, K, E or 1, N C) of each Raw -> (M, E, N C)."""
        n = alphas.shape[1]
        channels = outputs[0].shape[-1] // n
        scales = alphas.permute(2, 0, 1).repeat_interleave(channels, dim=2).to(sums.wide(alphas))  # (O, E, N C)
        statistics = [_statistics(y) if normed else None for (_, normed), y in zip(kinds, outputs, strict=True)]
        shift, factors = scales.new_zeros(scales.shape[1:]), []
        for (operations, _), stats in zip(kinds, statistics, strict=True):
            factors.append(scales[operations] if stats is None else scales[operations] * stats[1])
            shift = shift if stats is None else shift - (factors[-1] * stats[0]).sum(0)
        total = shift.to(outputs[0].dtype).repeat(len(outputs[0]), 1, 1)
        for y, factor in zip(outputs, factors, strict=True):
            by.add_weighted(total, y, factor)
        ctx.save_for_backward(scales, alphas, *outputs)
        ctx.kinds, ctx.statistics, ctx.n, ctx.by = kinds, statistics, n, by
        return total

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():  # a second derivative is asked for
            return _plain_gradients(ctx, g)
        scales, _, *outputs = ctx.saved_tensors
        g = g.contiguous()
        g_sum = g.sum(0, dtype=sums.wide(g))  # (E, N C)
        d_scales, gradients = torch.zeros_like(scales), []
        for at, ((operations, _), y, stats) in enumerate(zip(ctx.kinds, outputs, ctx.statistics, strict=True)):
            inner = ctx.by.inner_products(y, g)  # <g, y_k>
            if stats is not None:
                inner = stats[1] * (inner - stats[0] * g_sum)  # <g, y^_k>
            d_scales[operations] = inner
            needed, numbers = ctx.needs_input_grad[3 + at], (scales[operations], inner, stats)
            gradients.append(ctx.by.output_gradient(g, y, *_coefficients(g, g_sum, y, *numbers)) if needed else None)
        d_alphas = d_scales.unflatten(2, (ctx.n, -1)).sum(3).permute(1, 2, 0).to(g.dtype)
        return d_alphas, None, None, *gradients


def _plain_gradients(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    """The gradients by autograd through the sum as it stands, which is differentiable again."""
    _, alphas, *outputs = ctx.saved_tensors
    needs = (ctx.needs_input_grad[0], False, False, *ctx.needs_input_grad[3:])
    needed = [x for x, need in zip((alphas, None, None, *outputs), needs, strict=True) if need]
    found = iter(torch.autograd.grad(plain_sum(alphas, ctx.kinds, outputs), needed, g, create_graph=True))
    return tuple(next(found) if need else None for need in needs)


def plain_sum(alphas: Tensor, kinds: tuple, outputs: list[Tensor]) -> Tensor:  # as WeightedSum.forward
    """sum_k alpha_k norm(y_k), with every norm written out."""
    channels = outputs[0].shape[-1] // alphas.shape[1]
    scales = alphas.permute(2, 0, 1).repeat_interleave(channels, dim=2)  # (O, E, N C)
    parts = []
    for (operations, normed), y in zip(kinds, outputs, strict=True):
        y_hat = F.batch_norm(y.flatten(1), None, None, training=True, eps=NORM_EPS).view(y.shape) if normed else y
        parts.append((y_hat * scales[operations]).sum(1))
    return sum(parts[1:], parts[0])


def _coefficients(
    g: Tensor,  # (M, E, N C)
    g_sum: Tensor,  # (E, N C)
    y: Tensor,  # (M, K, E or 1, N C)
    scales: Tensor,  # (K, E, N C)
    inner: Tensor,  # (K, E, N C) <g, y^>
    stats: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Slope, scale and offset of the gradient of a Raw's outputs, y * slope + g * scale + offset."""
    if stats is None:
        zeros = scales.new_zeros(*y.shape[1:])
        return zeros, scales, zeros
    mean, inverse = stats
    scales = scales * inverse
    slopes = -scales * inverse * inner / len(g)
    offsets = -scales * g_sum / len(g) - slopes * mean
    if y.shape[2] < g.shape[1]:  # all edges share y
        slopes, offsets = slopes.sum(1, keepdim=True), offsets.sum(1, keepdim=True)
    return slopes, scales, offsets
