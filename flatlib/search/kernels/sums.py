"""The sums of folded.py by torch: y (M, K, E or 1, N C), g and the total (M, E, N C), scales (K, E, N C)."""

import torch
from torch import Tensor


def wide(y: Tensor) -> torch.dtype:
    """What sums over many rows are kept in: float32 where y is narrower."""
    return torch.promote_types(y.dtype, torch.float32)


def add_weighted(total: Tensor, y: Tensor, scales: Tensor) -> None:
    """total += sum_k scales_k y_k."""
    for part, scale in zip(y.unbind(1), scales.to(y.dtype), strict=True):
        total.addcmul_(part, scale)


def inner_products(y: Tensor, g: Tensor) -> Tensor:  # (K, E, N C)
    """<g, y_k>, in 32 bits at least."""
    return torch.stack([(part * g).sum(0, dtype=wide(g)) for part in y.unbind(1)])


def output_gradient(g: Tensor, y: Tensor, slopes: Tensor, scales: Tensor, offsets: Tensor) -> Tensor:
    """y * slope + sum over the edges that share y of g * scale + offset; slopes and offsets (K, E or 1, N C)."""
    gradient, scales = torch.addcmul(offsets.to(y.dtype), y, slopes.to(y.dtype)), scales.to(y.dtype)
    if y.shape[2] == g.shape[1]:
        return gradient.addcmul_(g[:, None], scales)
    for edge in range(g.shape[1]):
        gradient.addcmul_(g[:, None, edge : edge + 1], scales[:, edge : edge + 1])
    return gradient
