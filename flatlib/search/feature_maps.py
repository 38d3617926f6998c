"""Building blocks on feature maps (B, H, W, N, C), one map for each neighbor."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from flatlib.search.operations import NORM_EPS


def norm(x: Tensor) -> Tensor:
    """BatchNorm of (B, H, W, N, C), each neighbor by itself, without weights."""
    rows = x.reshape(-1, x.shape[3] * x.shape[4])
    return F.batch_norm(rows, None, None, training=True, eps=NORM_EPS).view(x.shape)


def factorized_reduce(x: Tensor, weight: Tensor) -> Tensor:  # (2, E, C' / 2, C) -> (B, H', W', N, E, C')
    """Half the width and height: two pointwise products of stride 2, one pixel apart, side by side, for E edges."""
    shifted = F.pad(x[:, 1:, 1:], (0, 0, 0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))  # odd sides get a zero border
    halves = [
        F.linear(part[:, ::2, ::2], kernel.flatten(0, 1)).unflatten(-1, kernel.shape[:2])
        for part, kernel in zip((x, shifted), weight, strict=True)
    ]
    return torch.cat(halves, -1)


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels of `groups` blocks interleaved, so that each channel meets the operations in turn (PC-DARTS)."""
    return x.unflatten(-1, (groups, -1)).transpose(-1, -2).flatten(-2)


def conv(x: Tensor, kernel: Tensor, stride: int = 1) -> Tensor:
    """A convolution (C', C, s, s), the neighbors as a batch."""
    images = x.permute(0, 3, 4, 1, 2).flatten(0, 1)
    y = F.conv2d(images, kernel, None, stride, padding=kernel.shape[-1] // 2)
    return y.unflatten(0, (x.shape[0], x.shape[3])).permute(0, 3, 4, 1, 2)


def pool(x: Tensor, of: Callable[..., Tensor], *sizes: int, **options: Any) -> Tensor:
    """One of torch's poolings."""
    images = of(x.flatten(3).permute(0, 3, 1, 2), *sizes, **options)
    return images.permute(0, 2, 3, 1).unflatten(3, x.shape[3:])


def residual_block(x: Tensor, conv_a: Tensor, conv_b: Tensor, shortcut: Tensor) -> Tensor:
    """NAS-Bench-201's reduction: two 3 x 3 convolutions beside a pooled pointwise one."""
    y = norm(conv(F.relu(norm(conv(F.relu(x), conv_a, 2))), conv_b))
    return y + F.linear(pool(x, F.avg_pool2d, 2, ceil_mode=True), shortcut)


def add(terms: list[Tensor]) -> Tensor:
    return Sum.apply(*terms) if len(terms) > 1 else terms[0]


class Sum(Function):
    """Sum of several tensors, without an intermediate for each."""

    @staticmethod
    def forward(ctx: Any, *terms: Tensor) -> Tensor:
        ctx.n = len(terms)
        total = terms[0] + terms[1]
        for term in terms[2:]:
            total += term
        return total

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, ...]:
        return (g,) * ctx.n
