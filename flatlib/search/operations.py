"""The operations o_k of the search spaces and their weights, one by one, as their authors define them.

Weights are stacked: what leaves one source node of a cell is one small set of tensors, over the E edges
that start there. A separable convolution of size k is two (ReLU, depthwise, pointwise, norm), a dilated
one is one; `depthwise_k` and `pointwise_k` hold them as (first, second, dilated).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from flatlib.search.feature_maps import NORM_EPS, factorized_reduce
from flatlib.spaces import NAS_BENCH_201, Space

Weights = dict[str, Tensor]  # of one source node
Shapes = dict[str, tuple[int, ...]]  # of one source node, the edges first in what WEIGHTS adds
WEIGHTS: dict[str, Callable[[int, int, int], Shapes]] = {}  # operation added to OPERATIONS -> (C, E, stride) -> its own


def node_weights(space: Space, channels: int, n_edges: int, stride: int) -> Shapes:
    """Shapes of the weights that leave one source node along n_edges edges."""
    shapes: Shapes = {}
    for size in (3, 5):
        convolutions = 2 * (f"sep_conv_{size}x{size}" in space.operations)
        convolutions += f"dil_conv_{size}x{size}" in space.operations
        if convolutions:
            shapes[f"depthwise_{size}"] = (convolutions, n_edges, channels, size, size)
            shapes[f"pointwise_{size}"] = (convolutions, n_edges, channels, channels)
    for size in (1, 3):
        if f"nor_conv_{size}x{size}" in space.operations:
            shapes[f"conv_{size}"] = (n_edges, channels, channels, size, size)
    if stride == 2 and "skip_connect" in space.operations:
        shapes["reduce"] = (2, n_edges, channels // 2, channels)
    for name in space.operations:
        shapes |= WEIGHTS[name](channels, n_edges, stride) if name in WEIGHTS else {}
    return shapes


def fan_in(name: str, shape: tuple[int, ...]) -> int:
    """Inputs of one output number, which set the bound of its first weights."""
    if name.startswith(("depthwise", "conv", "stem")):
        return math.prod(shape[-2:] if name.startswith("depthwise") else shape[-3:])
    return shape[-1]


def norm(x: Tensor) -> Tensor:  # (B, C, H, W)
    """BatchNorm without weights, by the batch's own statistics (DESIGN: the search phase keeps no others)."""
    return F.batch_norm(x, None, None, training=True, eps=NORM_EPS)


def zero(x: Tensor, weights: Weights, edge: int, stride: int) -> Tensor:
    return x[:, :, ::stride, ::stride] * 0


def max_pool(x: Tensor, weights: Weights, edge: int, stride: int) -> Tensor:
    return norm(F.max_pool2d(x.contiguous(), 3, stride, padding=1))  # vmap asks for it


def average_pool(x: Tensor, weights: Weights, edge: int, stride: int) -> Tensor:
    return F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False)


def skip(x: Tensor, weights: Weights, edge: int, stride: int) -> Tensor:
    if stride == 1:
        return x
    halved = factorized_reduce(F.relu(x).permute(0, 2, 3, 1).unsqueeze(3), weights["reduce"][:, edge, None])
    return norm(halved.flatten(3).permute(0, 3, 1, 2))


def depthwise_separable(size: int, which: slice, dilation: int = 1) -> "Operation":
    """ReLU, depthwise, pointwise, norm for each of some convolutions, of which the first has the stride."""

    def convolutions(x: Tensor, weights: Weights, edge: int, stride: int) -> Tensor:
        kernels, mixes = weights[f"depthwise_{size}"][which, edge], weights[f"pointwise_{size}"][which, edge]
        for kernel, mix in zip(kernels, mixes, strict=True):
            padding = dilation * (size // 2)
            y = F.conv2d(F.relu(x), kernel[:, None], None, stride, padding, dilation, groups=x.shape[1])
            x, stride = norm(F.conv2d(y, mix[:, :, None, None])), 1
        return x

    return convolutions


def standard(size: int) -> "Operation":
    def standard_conv(x: Tensor, weights: Weights, edge: int, stride: int) -> Tensor:
        return norm(F.conv2d(F.relu(x), weights[f"conv_{size}"][edge], None, stride, padding=size // 2))

    return standard_conv


Operation = Callable[[Tensor, Weights, int, int], Tensor]  # x (B, C, H, W), weights, edge, stride -> (B, C, H', W')
OPERATIONS: dict[str, Operation] = {
    "none": zero,
    "max_pool_3x3": max_pool,
    "avg_pool_3x3": lambda *of: norm(average_pool(*of)),
    "skip_connect": skip,
    "sep_conv_3x3": depthwise_separable(3, slice(2)),
    "sep_conv_5x5": depthwise_separable(5, slice(2)),
    "dil_conv_3x3": depthwise_separable(3, slice(-1, None), dilation=2),
    "dil_conv_5x5": depthwise_separable(5, slice(-1, None), dilation=2),
    "nor_conv_1x1": standard(1),
    "nor_conv_3x3": standard(3),
}


def mixed_operations(
    space: Space,
    state: Tensor,  # (B, H, W, N, C) the source node, for each neighbor
    weights: Weights,  # of the source node
    alphas: Tensor,  # (N, E, O) of the edges that start here
    stride: int,
) -> tuple[Tensor, ...]:  # E tensors (B, H', W', N, C), the terms of the target nodes
    """sum_k alpha_k o_k(x_i) for each edge (i, j), neighbor by neighbor: the formula as it stands (Sec. 3.1).

    Plain differentiable torch, twice differentiable too, so this is what a Hessian is taken of.
    An operation whose constant coefficient is 0 is not computed: a one-hot cell costs what it needs.
    """
    plain = {"avg_pool_3x3": average_pool} if space == NAS_BENCH_201 else {}  # its pooling has no norm
    operations = [(OPERATIONS | plain)[name] for name in space.operations]
    neighbors = [x.permute(0, 3, 1, 2) for x in state.unbind(3)]

    def edge_term(x: Tensor, edge: int, alpha: Tensor) -> Tensor:
        used = range(len(operations)) if alpha.requires_grad else alpha.nonzero().flatten().tolist()
        terms = [alpha[k] * operations[k](x, weights, edge, stride) for k in used if space.operations[k] != "none"]
        return sum(terms, start=zero(x, weights, edge, stride))

    return tuple(
        torch.stack([edge_term(x, edge, alphas[n, edge]).permute(0, 2, 3, 1) for n, x in enumerate(neighbors)], dim=3)
        for edge in range(alphas.shape[1])
    )
