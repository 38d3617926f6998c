"""The weights of the operations o_k, stacked: one small set of tensors for the E edges that leave a source node.

A separable convolution of size k is two (ReLU, depthwise, pointwise, norm), a dilated one is one; `depthwise_k` and
`pointwise_k` hold them as (first, second, dilated).
"""

import math

from torch import Tensor

from flatlib.spaces import Space

NORM_EPS = 1e-5  # torch's default
Weights = dict[str, Tensor]  # of one source node


def node_weights(space: Space, channels: int, n_edges: int, stride: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights that leave one source node along n_edges edges."""
    shapes: dict[str, tuple[int, ...]] = {}
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
    return shapes


def fan_in(name: str, shape: tuple[int, ...]) -> int:
    """Inputs of one output number, which set the bound of its first weights."""
    if name.startswith(("depthwise", "conv", "stem")):
        return math.prod(shape[-2:] if name.startswith("depthwise") else shape[-3:])
    return shape[-1]
