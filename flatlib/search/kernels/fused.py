"""The sums of folded.py in Triton, one pass each, for CUDA. Not yet seen on a GPU: tested in Triton's interpreter.

y (M, K, E or 1, N C) is what operations computed, g and the total are (M, E, N C); scales are (K, E, N C). Sums are
kept in 32 bits, in 64 where the data has them.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS, COLUMNS, TILES = 32, 64, 16  # of a tile; tiles that a program sums before it writes


@triton.jit
def _tile(m, columns, at_row, high: tl.constexpr, wide: tl.constexpr):
    rows = (at_row * high + tl.arange(0, high)).to(tl.int64)
    cols = tl.program_id(1) * wide + tl.arange(0, wide)
    return rows[:, None], cols, (rows < m)[:, None] & (cols < columns)[None, :]


@triton.jit
def _add(total, y, scales, m, columns, y_columns, k: tl.constexpr, high: tl.constexpr, wide: tl.constexpr):
    rows, cols, inside = _tile(m, columns, tl.program_id(0), high, wide)
    at = total + rows * columns + cols[None, :]
    kind: tl.constexpr = scales.dtype.element_ty
    value = tl.load(at, inside).to(kind)
    for i in tl.static_range(k):
        scale = tl.load(scales + i * columns + cols, cols < columns)[None, :]
        value += scale * tl.load(y + (rows * k + i) * y_columns + cols[None, :] % y_columns, inside).to(kind)
    tl.store(at, value.to(total.dtype.element_ty), inside)


@triton.jit
def _inner(
    partial, y, g, m, columns, y_columns, k: tl.constexpr, high: tl.constexpr, wide: tl.constexpr, tiles: tl.constexpr
):
    cols = tl.program_id(1) * wide + tl.arange(0, wide)
    for i in tl.static_range(k):
        total = tl.zeros((wide,), partial.dtype.element_ty)
        for tile in range(tiles):
            rows, _, inside = _tile(m, columns, tl.program_id(0) * tiles + tile, high, wide)
            slope = tl.load(g + rows * columns + cols[None, :], inside, 0.0).to(total.dtype)
            value = tl.load(y + (rows * k + i) * y_columns + cols[None, :] % y_columns, inside, 0.0)
            total += tl.sum(slope * value.to(total.dtype), 0)
        tl.store(partial + (tl.program_id(0) * k + i) * columns + cols, total, cols < columns)


@triton.jit
def _gradient(
    out, y, g, slopes, scales, offsets, m, columns, y_columns,
    k: tl.constexpr, edges: tl.constexpr, high: tl.constexpr, wide: tl.constexpr,
):  # fmt: skip
    rows, cols, inside = _tile(m, y_columns, tl.program_id(0), high, wide)
    there = cols < y_columns
    kind: tl.constexpr = scales.dtype.element_ty
    for i in tl.static_range(k):
        at = (rows * k + i) * y_columns + cols[None, :]
        slope = tl.load(slopes + i * y_columns + cols, there)[None, :]
        value = slope * tl.load(y + at, inside).to(kind) + tl.load(offsets + i * y_columns + cols, there)[None, :]
        for e in tl.static_range(edges):  # that share y
            scale = tl.load(scales + i * columns + e * y_columns + cols, there)[None, :]
            value += scale * tl.load(g + rows * columns + e * y_columns + cols[None, :], inside).to(kind)
        tl.store(out + at, value.to(out.dtype.element_ty), inside)


def _grid(m: int, columns: int, rows: int = ROWS) -> tuple[int, int]:
    return triton.cdiv(m, rows), triton.cdiv(columns, COLUMNS)


def add_weighted(total: Tensor, y: Tensor, scales: Tensor) -> None:
    """total += sum_k scales_k y_k."""
    m, k, _, _ = y.shape
    columns = total[0].numel()
    _add[_grid(m, columns)](total, y.contiguous(), scales.contiguous(), m, columns, y[0, 0].numel(), k, ROWS, COLUMNS)


def inner_products(y: Tensor, g: Tensor) -> Tensor:  # (K, E, N C)
    """<g, y_k>, in 32 bits at least."""
    m, k, columns = len(y), y.shape[1], g[0].numel()
    grid = _grid(m, columns, ROWS * TILES)
    partial = y.new_empty(grid[0], k, columns, dtype=torch.promote_types(y.dtype, torch.float32))
    _inner[grid](partial, y.contiguous(), g.contiguous(), m, columns, y[0, 0].numel(), k, ROWS, COLUMNS, TILES)
    return partial.sum(0).view(k, *g.shape[1:])


def output_gradient(g: Tensor, y: Tensor, slopes: Tensor, scales: Tensor, offsets: Tensor) -> Tensor:
    """y * slope + sum over the edges that share y of g * scale + offset; slopes and offsets (K, E or 1, N C)."""
    m, k, edges, _ = y.shape
    out, columns = y.new_empty(y.shape), y[0, 0].numel()
    read = (t.contiguous() for t in (y, g, slopes, scales, offsets))
    _gradient[_grid(m, columns)](out, *read, m, g[0].numel(), columns, k, g.shape[1] // edges, ROWS, COLUMNS)
    return out
