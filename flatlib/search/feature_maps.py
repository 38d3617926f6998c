"""Building blocks on feature maps (B, H, W, N, C), one map for each neighbor, and on many folded channels.

Folded images are (B, K E N C, H, W) in channels_last memory: kernel size, edge, neighbor, channel. Their depthwise and
pointwise convolutions have hand-written gradients, which torch computes slowly.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn.grad import conv2d_input, conv2d_weight

NORM_EPS = 1e-5  # torch's default
BUNDLE = 20  # channels that a pointwise convolution takes together: wider blocks waste, narrower ones wait


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


# --- folded channels --------------------------------------------------------------------------------


def fold_images(x: Tensor, copies: int) -> Tensor:  # (B, H, W, N, C) -> (B, copies N C, H, W)
    """One copy for each kernel size and edge."""
    return x.flatten(3).repeat(1, 1, 1, copies).permute(0, 3, 1, 2)


def fold_rows(y: Tensor, sizes: int, edges: int) -> Tensor:  # (B, K E N C, H, W) -> (M, K, E, N C)
    return y.permute(0, 2, 3, 1).reshape(-1, sizes, edges, y.shape[1] // (sizes * edges))


def depthwise(x: Tensor, kernels: Tensor, n: int, stride: int, dilation: int = 1) -> Tensor:
    """Each channel with its own kernel (K, E, C, s, s), the same for all N neighbors; 'same' padding."""
    kernel = kernels[:, :, None].expand(-1, -1, n, -1, -1, -1).flatten(0, 3).unsqueeze(1)
    reach, side = kernel.shape[-1] // 2, max(x.shape[2:])
    kept = min(reach, (side - 1) // dilation)  # taps further out meet only the zero border
    if kept < reach and stride == 1:
        cut = reach - kept
        kernel = kernel[..., cut : kernel.shape[-1] - cut, cut : kernel.shape[-1] - cut]
        dilation = dilation if kept else 1  # of a single tap; torch is slow at more
    return Depthwise.apply(x, kernel.contiguous(), stride, dilation)


class Depthwise(Function):
    """The gradient of the input is, at stride 1, a convolution with the kernel turned around."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x if kernel.requires_grad else None, kernel)
        ctx.shape, ctx.geometry = x.shape, (stride, dilation * (kernel.shape[-1] // 2), dilation, x.shape[1])
        return F.conv2d(x, kernel, None, *ctx.geometry)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        x, kernel = ctx.saved_tensors
        stride, _, dilation, _ = ctx.geometry
        g = g.contiguous(memory_format=torch.channels_last)
        d_x = d_kernel = None
        if ctx.needs_input_grad[0] and stride == 1:
            d_x = Depthwise.apply(g, kernel.flip(2, 3), 1, dilation)
        elif ctx.needs_input_grad[0]:
            d_x = conv2d_input(ctx.shape, kernel, g, *ctx.geometry)
        if ctx.needs_input_grad[1]:
            d_kernel = conv2d_weight(x, kernel.shape, g, *ctx.geometry)
        return d_x, d_kernel, None, None


def pointwise(x: Tensor, kernels: Tensor, n: int) -> Tensor:
    """C x C products of all kernels (K, E, C, C), the same for all N neighbors, as a grouped convolution."""
    return Pointwise.apply(x, kernels[:, :, None].expand(-1, -1, n, -1, -1).flatten(0, 2))


class Pointwise(Function):
    """(G, C, C) kernels on G groups of channels, bundled block-diagonally: a library convolves wide groups faster."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor) -> Tensor:
        ctx.save_for_backward(x if kernels.requires_grad else None, kernels)
        return F.conv2d(x, *_bundle(kernels))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        x, kernels = ctx.saved_tensors
        d_x = d_kernels = None
        if ctx.needs_input_grad[0]:
            d_x = Pointwise.apply(g, kernels.transpose(1, 2))
        if ctx.needs_input_grad[1]:
            g_rows, x_rows = (t.permute(0, 2, 3, 1).reshape(-1, *kernels.shape[:2]).transpose(0, 1) for t in (g, x))
            d_kernels = torch.bmm(g_rows.transpose(1, 2), x_rows)
        return d_x, d_kernels


def _bundle(kernels: Tensor) -> tuple[Any, ...]:
    """(weight, bias, stride, padding, dilation, groups) of a grouped convolution equal to (G, C, C) products."""
    groups, c, _ = kernels.shape
    size = max(k for k in range(1, groups + 1) if groups % k == 0 and (k == 1 or k * c <= BUNDLE))
    blocks = kernels.new_zeros(groups // size, size, c, size, c)
    at = torch.arange(size, device=kernels.device)
    blocks[:, at, :, at] = kernels.view(groups // size, size, c, c).transpose(0, 1)
    return blocks.view(groups * c, size * c, 1, 1), None, 1, 0, 1, groups // size
