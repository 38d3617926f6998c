"""The compiled kernels: equal to the plain operations, chosen where they can serve."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from flatlib.search import curvature, folded, operations
from flatlib.search.config import SearchConfig
from flatlib.search.kernels import build, choose, lanes
from flatlib.search.layouts import Lanes
from flatlib.search.supernet import Supernet
from flatlib.spaces import DARTS, S3

CPU = torch.device("cpu")


def as_lanes(x):  # (B, H, W, N, C) -> blocks, the neighbor first
    return torch.cat([lanes.enter(part.permute(0, 3, 1, 2)) for part in x.unbind(3)])


def as_pixels(y, n, batch):
    images = y.unflatten(0, (n, -1)).permute(0, 1, 5, 2, 3, 4).flatten(1, 2)[:, :batch]  # (N, B, C, H, W)
    return images.permute(1, 3, 4, 0, 2)


def problem(space, c, batch, n, height, width, edges, stride, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    shapes = operations.node_weights(space, c, edges, stride)

    def leaf(*shape):
        return torch.randn(shape, generator=g, dtype=torch.float64).to(dtype).requires_grad_()

    weights = {name: leaf(*shape) for name, shape in shapes.items()}
    return leaf(batch, height, width, n, c), leaf(n, edges, len(space.operations)), weights


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("space", [DARTS, S3], ids=lambda space: space.name)
@pytest.mark.parametrize(
    ("c", "batch", "n", "height", "width", "edges"),
    [
        (4, 5, 3, 8, 8, 3),  # a block that is not full
        (6, 20, 2, 7, 5, 2),  # odd sides, channels that are no multiple of 4, two blocks
        (16, 16, 1, 2, 2, 5),  # taps that meet only the border
        (2, 33, 2, 1, 1, 2),
        (4, 7, 2, 3, 16, 2),  # wide and low
        (8, 3, 1, 40, 9, 1),  # several strips of rows
    ],
)
def test_every_gradient_equals_the_plain_operations(space, c, batch, n, height, width, edges, stride):
    """Sees a wrong tap, border, stride, strip of rows, norm, pool, lane or weight gradient."""
    x, alphas, weights = problem(space, c, batch, n, height, width, edges, stride)
    leaves = [x, alphas, *weights.values()]
    theirs = folded.mixed_operations(space, x, weights, alphas, stride)
    terms = Lanes(space, batch).terms(as_lanes(x), weights, alphas, stride)
    ours = [as_pixels(term, n, batch) for term in terms]
    slopes = [torch.randn(term.shape, dtype=term.dtype) for term in theirs]
    for own, other in zip(
        (*ours, *torch.autograd.grad(ours, leaves, slopes)),
        (*theirs, *torch.autograd.grad(theirs, leaves, slopes)),
        strict=True,
    ):
        assert (own - other).abs().max() <= 1e-12 * max(1, other.abs().max())  # 1e-14 measured


@pytest.mark.usefixtures("compiled")
def test_float32_is_as_near_as_plain_torch():
    """Sees sums kept in too few bits: the distance to float64 beside that of torch's own operations."""
    shape = (DARTS, 8, 32, 2, 16, 16, 3, 1)
    found = {}
    for dtype in (torch.float32, torch.float64):
        x, alphas, weights = problem(*shape, dtype=dtype)
        leaves = [x, alphas, *weights.values()]
        plain = folded.mixed_operations(DARTS, x, weights, alphas, 1)
        ours = [as_pixels(t, 2, 32) for t in Lanes(DARTS, 32).terms(as_lanes(x), weights, alphas, 1)]
        found[dtype] = [torch.autograd.grad(sum((t**2).sum() for t in terms), leaves) for terms in (ours, plain)]
    errors = np.array(
        [
            [
                float((one - true).norm() / true.norm())
                for one, true in zip(narrow, found[torch.float64][1], strict=True)
            ]
            for narrow in found[torch.float32]
        ]
    )
    assert (errors[0] <= errors[1]).all() and errors[0].max() < 1e-5  # 1e-6 measured, and 2e-4


@pytest.mark.usefixtures("compiled", "two_threads")
def test_bits_do_not_depend_on_the_threads():
    """Sees a sum whose order follows the number of threads."""
    x, alphas, weights = problem(DARTS, 16, 16, 1, 16, 16, 3, 1, torch.float32)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        terms = Lanes(DARTS, 16).terms(as_lanes(x), weights, alphas, 1)
        found.append(torch.autograd.grad(sum((t**2).sum() for t in terms), [x, alphas, *weights.values()]))
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


@pytest.mark.usefixtures("compiled")
def test_what_needs_second_derivatives_takes_plain_torch():
    """Sees a Hessian through kernels that are once differentiable, or one that they change."""
    net = Supernet(S3, 2, 3, 3, in_channels=1, kernels="compiled")
    g = torch.Generator().manual_seed(0)
    weights, logits = net.initial_weights(g).double(), torch.randn(2, 14, 3, generator=g, dtype=torch.float64)
    batches = [(torch.randn(3, 1, 8, 8, generator=g, dtype=torch.float64), torch.tensor([0, 1, 2]))]
    ours, plain = (
        curvature.hessian(curvature.loss_of_logits(one, weights), logits, batches)
        for one in (net, replace(net, kernels="plain"))
    )
    assert np.array_equal(ours, plain)
    losses = net.logits(weights, batches[0][0], logits.softmax(-1)[None].requires_grad_()).sum()
    weights.requires_grad_()
    (slope,) = torch.autograd.grad(
        net.logits(weights, batches[0][0], logits.softmax(-1)[None]).sum(), weights, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
    assert losses.isfinite()


def test_lanes_go_in_and_out():
    """Sees images in another order, or padding that is taken for an image."""
    x = torch.arange(2 * 21 * 3.0).view(42, 3)[:21, :, None, None]
    assert torch.equal(
        lanes.leave(lanes.enter(x).repeat(2, 1, 1, 1, 1).mean((2, 3)), 21), x[None, :, :, 0, 0].repeat(2, 1, 1)
    )


# --- the choice -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "device", "reason"),
    [
        ({"space": "nas-bench-201", "d": 2, "cells": 3}, "cpu", "they lack NAS-Bench-201's convolutions"),
        ({"method": "pc-darts", "channels": 8}, "cpu", "they take all channels, and pc-darts some"),
        ({"precision": "bf16"}, "cpu", "in float32 and float64, not in bf16"),
        ({}, "cuda", "they run on a CPU, not on cuda"),
    ],
)
def test_plain_torch_where_the_kernels_cannot_serve(change, device, reason):
    """Sees kernels chosen for what they do not compute, a silent change of what was asked, a needless warning."""
    config = SearchConfig(**change)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose(config, torch.device(device)) == "plain"
    with pytest.raises(ValueError, match=f"kernels = 'compiled': .*{reason}; choose auto or plain"):
        choose(config, torch.device(device), "compiled")


def test_without_a_compiler_plain_torch_goes_on(monkeypatch):
    """Sees a search that ends for lack of a compiler, or is slow without a word."""
    monkeypatch.setattr(build, "missing", lambda: "no compiled kernels: no c++")
    with pytest.warns(
        UserWarning, match=r"^no compiled kernels: no c\+\+; going on with plain torch, several times slower$"
    ):
        assert choose(SearchConfig(), CPU) == "plain"
    with pytest.raises(ValueError, match=r"kernels = 'compiled': no compiled kernels: no c\+\+; choose auto or plain"):
        choose(SearchConfig(), CPU, "compiled")
    assert choose(SearchConfig(), CPU, "plain") == "plain"
