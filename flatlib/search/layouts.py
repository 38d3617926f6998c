"""How feature maps lie in memory and what computes on them: plain torch, or the compiled kernels."""

from dataclasses import dataclass
from importlib import import_module

import torch
import torch.nn.functional as F
from torch import Tensor

from flatlib.search import folded, operations
from flatlib.search.feature_maps import factorized_reduce, norm
from flatlib.search.kernels import lanes, sums
from flatlib.search.operations import Weights
from flatlib.spaces import Space


@dataclass(frozen=True)
class Pixels:
    """(B, H, W, N, C), by torch; `naive`: edge by edge, operation by operation; `triton`: its sums fused."""

    space: Space
    kernels: str

    def enter(self, x: Tensor, n: int) -> Tensor:
        """(B, C, H, W) -> the map of n neighbors."""
        x = x.permute(0, 2, 3, 1).unsqueeze(3)
        return (x if n == 1 else x.expand(-1, -1, -1, n, -1)).contiguous()

    def input(self, x: Tensor, weight: Tensor) -> Tensor:
        """A cell's input node: ReLU, pointwise (C', C), norm; (2, C' / 2, C) halves the sides."""
        x = F.relu(x)
        return norm(F.linear(x, weight) if weight.dim() == 2 else factorized_reduce(x, weight[:, None]).squeeze(4))

    def terms(self, x: Tensor, weights: Weights, alphas: Tensor, stride: int) -> tuple[Tensor, ...]:
        """sum_k alpha_k o_k(x) for the edges (N, E, O) that leave a source node."""
        if self.kernels == "naive":
            return operations.mixed_operations(self.space, x, weights, alphas, stride)
        by = import_module("flatlib.search.kernels.fused") if self.kernels == "triton" else sums
        return folded.mixed_operations(self.space, x, weights, alphas, stride, by)

    def share(self, x: Tensor, weights: Weights, edges: int, stride: int) -> Tensor:  # (E, O, B, H', W', C)
        """What `terms` computes before alpha, of a state that no alpha reaches."""
        return folded.operation_outputs(self.space, x, weights, edges, stride)

    def shared_terms(self, shared: Tensor, alphas: Tensor) -> tuple[Tensor, ...]:
        """`terms` from what `share` has computed."""
        edges, _, b, h, w, c = shared.shape
        terms = torch.bmm(alphas.transpose(0, 1), shared.flatten(2))  # (E, N, B H W C)
        return terms.view(edges, -1, b, h, w, c).permute(0, 2, 3, 4, 1, 5).contiguous().unbind()

    def join(self, states: list[Tensor]) -> Tensor:
        """The channels of several maps side by side."""
        return torch.cat(states, -1)

    def pooled(self, x: Tensor) -> Tensor:
        """The mean over the pixels (N, B, C)."""
        return x.mean((1, 2)).transpose(0, 1)


@dataclass(frozen=True)
class Lanes:
    """The same on (N ceil(B / 16), C, H, W, 16), by the compiled kernels."""

    space: Space
    batch: int  # B

    def enter(self, x: Tensor, n: int) -> Tensor:
        return lanes.enter(x).repeat(n, 1, 1, 1, 1)

    def input(self, x: Tensor, weight: Tensor) -> Tensor:
        return lanes.input_node(x, weight, self.batch)

    def terms(self, x: Tensor, weights: Weights, alphas: Tensor, stride: int) -> tuple[Tensor, ...]:
        return lanes.mixed_operations(self.space, x, weights, alphas, stride, self.batch)

    def share(self, x: Tensor, weights: Weights, edges: int, stride: int) -> lanes.Shared:
        return lanes.share(self.space, x, weights, stride, self.batch)

    def shared_terms(self, shared: lanes.Shared, alphas: Tensor) -> tuple[Tensor, ...]:
        return lanes.shared_terms(shared, alphas)

    def join(self, states: list[Tensor]) -> Tensor:
        return torch.cat(states, 1)

    def pooled(self, x: Tensor) -> Tensor:
        return lanes.leave(x.mean((2, 3)), self.batch)


Layout = Pixels | Lanes
