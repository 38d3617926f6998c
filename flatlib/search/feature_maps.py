"""Building blocks on feature maps (B, H, W, N, C), one map for each neighbor."""

import torch
import torch.nn.functional as F
from torch import Tensor

from flatlib.search.operations import NORM_EPS


def norm(x: Tensor) -> Tensor:
    """BatchNorm of (B, H, W, N, C), each neighbor by itself, without weights."""
    rows = x.reshape(-1, x.shape[3] * x.shape[4])
    return F.batch_norm(rows, None, None, training=True, eps=NORM_EPS).view(x.shape)


def shifted(x: Tensor) -> Tensor:
    """x one pixel on in both directions, so that stride 2 meets the other pixels; odd sides get a zero border."""
    return F.pad(x[:, 1:, 1:], (0, 0, 0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))


def factorized_reduce(x: Tensor, weight: Tensor) -> Tensor:  # weight (2, C' / 2, C); x after its ReLU
    """Half the width and height: two pointwise products of stride 2, one pixel apart, side by side, norm."""
    halves = F.linear(x[:, ::2, ::2], weight[0]), F.linear(shifted(x)[:, ::2, ::2], weight[1])
    return norm(torch.cat(halves, -1))


def halve(x: Tensor) -> Tensor:
    """2 x 2 maximum of (B, H, W, N, C), for the channels that go by (PC-DARTS)."""
    images = F.max_pool2d(x.flatten(3).permute(0, 3, 1, 2), 2, ceil_mode=True).permute(0, 2, 3, 1)
    return images.unflatten(3, x.shape[3:])


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels of `groups` blocks interleaved, so that each channel meets the operations in turn (PC-DARTS)."""
    return x.unflatten(-1, (groups, -1)).transpose(-1, -2).flatten(-2)


def conv(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """ReLU, convolution, norm of (B, H, W, N, C)."""
    b, h, w, n, c = x.shape
    images = F.relu(x).permute(0, 3, 4, 1, 2).reshape(b * n, c, h, w)
    y = F.conv2d(images, kernel, None, stride, padding=kernel.shape[-1] // 2)
    return norm(y.unflatten(0, (b, n)).permute(0, 3, 4, 1, 2))


def residual_block(x: Tensor, conv_a: Tensor, conv_b: Tensor, shortcut: Tensor) -> Tensor:
    """NAS-Bench-201's reduction: two 3 x 3 convolutions beside a pooled pointwise one."""
    y = conv(conv(x, conv_a, 2), conv_b, 1)
    pooled = (
        F.avg_pool2d(x.flatten(3).permute(0, 3, 1, 2), 2, ceil_mode=True).permute(0, 2, 3, 1).unflatten(3, x.shape[3:])
    )
    return y + F.linear(pooled, shortcut)
