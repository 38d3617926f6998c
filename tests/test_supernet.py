"""The supernet: its structure, and the ways to compute it against modules written as the authors write them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from naive_supernet import NaiveSupernet

from flatlib.search import folded
from flatlib.search.derive import derive, one_hot_alphas
from flatlib.search.supernet import Supernet
from flatlib.spaces import DARTS, NAS_BENCH_201, S3, genotype

NETS = {
    "darts": Supernet(DARTS, 4, 4, 10),
    "darts, deeper and wider": Supernet(DARTS, 6, 6, 10, in_channels=1),
    "darts, 3 cells": Supernet(DARTS, 2, 3, 4),
    "s3": Supernet(S3, 4, 4, 10),
    "nas-bench-201": Supernet(NAS_BENCH_201, 4, 3, 10),
    "nas-bench-201, 6 cells": Supernet(NAS_BENCH_201, 2, 6, 10),
    "pc-darts": Supernet(DARTS, 8, 4, 10, partial=4),
    "pc-darts on s3": Supernet(S3, 4, 3, 10, partial=2),
}


def problem(net, *, size, n, batch=4, seed=0):
    """Weights, alphas, edge weights, images and labels in float64."""
    g = torch.Generator().manual_seed(seed)
    weights = net.initial_weights(g).double()
    weights += 0.1 * torch.rand(weights.shape, generator=g, dtype=torch.float64) * weights  # scales other than 1
    shape = (n, net.cell_types, len(net.space.edges), len(net.space.operations))
    alphas = torch.softmax(torch.randn(shape, generator=g, dtype=torch.float64), -1)
    gamma = torch.rand(shape[1:3], generator=g, dtype=torch.float64) if net.partial > 1 else None
    images = torch.randn(batch, net.in_channels, size, size, generator=g, dtype=torch.float64)
    return weights, alphas, gamma, images, torch.randint(0, net.n_classes, (batch,), generator=g)


def with_kernels(net, kernels, request):
    """The net computed so; skips what the compiled kernels cannot do."""
    if kernels == "compiled":
        request.getfixturevalue("compiled")
        if net.partial > 1 or net.space is NAS_BENCH_201:
            pytest.skip("not for the compiled kernels: some channels, or NAS-Bench-201's convolutions")
    return replace(net, kernels=kernels)


def total_loss(logits, labels):
    n, b, _ = logits.shape
    return F.cross_entropy(logits.flatten(0, 1), labels.repeat(n), reduction="sum") / b


def naive_gradients(net, weights, alphas, gamma, images, labels):
    """Loss, alpha, weight and edge-weight gradients, one `loss.backward()` a neighbor."""
    naive, point = NaiveSupernet(net, weights), alphas.clone().requires_grad_()
    edges = None if gamma is None else gamma.clone().requires_grad_()
    loss = torch.zeros((), dtype=torch.float64)
    for n in range(len(alphas)):
        one = F.cross_entropy(naive(images, point[n], edges), labels)
        one.backward()
        loss += one.detach()
    of_weights = torch.zeros_like(weights)
    for parameter, part in naive.pairs(of_weights):
        part.copy_(parameter.grad.reshape(part.shape))
    return loss, point.grad, of_weights, None if gamma is None else edges.grad


def close(ours, theirs):
    """Equal to 1e-10 of the largest entry."""
    assert (ours - theirs).abs().max() <= 1e-10 * theirs.abs().max()


@pytest.mark.parametrize("kernels", ["plain", "compiled"])
@pytest.mark.parametrize(("size", "n", "batch"), [(8, 3, 4), (9, 1, 4), (4, 2, 17), (16, 1, 4)])
@pytest.mark.parametrize("name", NETS)
def test_gradients_equal_the_naive_loop(name, size, n, batch, kernels, request):
    """Sees a wrong operation, norm, stride, reduction, shuffle, folding or hand-written gradient, in any space."""
    net = with_kernels(NETS[name], kernels, request)
    weights, alphas, gamma, images, labels = problem(net, size=size, n=n, batch=batch)
    loss, of_alphas, of_weights, of_edges = naive_gradients(net, weights, alphas, gamma, images, labels)
    points = [t.clone().requires_grad_() for t in (weights, alphas, gamma) if t is not None]
    logits = net.logits(points[0], images, points[1], edge_weights=points[2] if gamma is not None else None)
    ours = total_loss(logits, labels)
    ours.backward()
    close(ours.detach(), loss)
    close(points[0].grad, of_weights)
    close(points[1].grad, of_alphas)
    if gamma is not None:
        close(points[2].grad, of_edges)


@pytest.mark.parametrize("kernels", ["plain", "compiled"])
@pytest.mark.parametrize("name", [name for name, net in NETS.items() if net.partial == 1])
def test_what_reads_only_the_stem_is_shared(name, kernels, request):
    """Sees a shared operation that differs from the one it replaces, with all neighbors at once or one by one."""
    net = with_kernels(NETS[name], kernels, request)
    weights, alphas, _, images, labels = problem(net, size=8, n=3)
    loss, of_alphas, *_ = naive_gradients(net, weights, alphas, None, images, labels)
    shared, point = net.share(weights, images), alphas.clone().requires_grad_()
    assert len(shared) == (3 if net.n_inputs == 2 else 1)
    close(total_loss(net.logits(weights, images, point, shared=shared), labels), loss)
    for part in (point[:1], point[1:]):
        total_loss(net.logits(weights, images, part, shared=shared), labels).backward()
    close(point.grad, of_alphas)


def test_weights_are_those_of_the_public_search_network():
    """Sees a missing or an additional weight: the public code prints 1.930618 M for its search network."""
    net = Supernet(DARTS, 16, 8, 10)
    assert len(net.initial_weights(torch.Generator())) == 1_930_618
    assert [plan.channels for plan in net.plan] == [16, 16, 32, 32, 32, 64, 64, 64]
    assert [plan.reduces for plan in net.plan] == [False, False, True, False, False, True, False, False]


def test_first_weights_are_seeded_and_bounded():
    """Sees another initialization than torch's for a convolution or the head, or an unseeded one."""
    net = Supernet(DARTS, 4, 4, 10)
    weights = net.initial_weights(torch.Generator().manual_seed(3))
    assert torch.equal(weights, net.initial_weights(torch.Generator().manual_seed(3)))
    named = net.named(weights)
    inputs = {"stem": 27, "depthwise_5": 25, "head": 64, "head_bias": 64}
    for (name, *_), values in named.items():
        if name in inputs or name.startswith("pointwise"):
            bound = inputs.get(name, values.shape[-1]) ** -0.5
            assert 0.5 * bound < values.abs().max() <= bound
    assert (named["stem_scale", -1, -1] == 1).all() and (named["stem_shift", -1, -1] == 0).all()


def test_chunks_of_pointwise_kernels_are_bundled_right():
    """Sees a block on the wrong place of the block-diagonal kernel, for any bundle size."""
    g = torch.Generator().manual_seed(0)
    for groups, c in ((6, 4), (7, 3), (1, 5), (4, 16), (5, 20), (3, 32)):
        x = torch.randn(2, groups * c, 3, 5, generator=g, dtype=torch.float64)
        kernels = torch.randn(1, groups, c, c, generator=g, dtype=torch.float64)
        ours = folded.pointwise(x, kernels, 1)
        theirs = torch.einsum("bgihw,goi->bgohw", x.unflatten(1, (groups, c)), kernels[0]).flatten(1, 2)
        close(ours, theirs)


def test_bf16_keeps_statistics_close():
    """Sees statistics or sums of bf16 feature maps that lose the gradient's direction."""
    net = NETS["darts"]
    weights, alphas, _, images, labels = problem(net, size=8, n=2, batch=16)
    gradients = []
    for dtype in (torch.float64, torch.bfloat16):
        point = alphas.clone().requires_grad_()
        logits = net.logits(weights.to(dtype), images.to(dtype), point.to(dtype))
        total_loss(logits.double(), labels).backward()
        gradients.append(point.grad.flatten())
    assert F.cosine_similarity(*gradients, dim=0) > 0.9


# --- derivation -------------------------------------------------------------------------------------


def strengths(space, node_edges):
    """Alphas (E, O) that are uniform but for the given {(source, node): {operation: value}}."""
    alphas = np.full((len(space.edges), len(space.operations)), 0.01)
    for edge, values in node_edges.items():
        for name, value in values.items():
            alphas[space.edges.index(edge), space.operations.index(name)] = value
    return alphas


def test_derivation_keeps_two_edges_a_node_by_the_strongest_operation_but_none():
    """Sees `none` counted as an operation, an edge ranked by something else, or more than two edges kept."""
    alphas = strengths(
        DARTS,
        {
            (0, 2): {"none": 0.9, "sep_conv_3x3": 0.05},
            (1, 2): {"skip_connect": 0.3},
            (0, 3): {"dil_conv_5x5": 0.2},
            (1, 3): {"none": 0.8},
            (2, 3): {"max_pool_3x3": 0.4, "avg_pool_3x3": 0.39},
            (3, 4): {"sep_conv_5x5": 0.5},
            (0, 4): {"avg_pool_3x3": 0.45},
            (4, 5): {"skip_connect": 0.02},
            (2, 5): {"skip_connect": 0.03},
        },
    )
    cell = derive(DARTS, np.stack([alphas, alphas]))
    expected = [
        ("skip_connect", 1),
        ("sep_conv_3x3", 0),
        ("max_pool_3x3", 2),
        ("dil_conv_5x5", 0),
        ("sep_conv_5x5", 3),
        ("avg_pool_3x3", 0),
        ("skip_connect", 2),
        ("skip_connect", 4),
    ]
    assert list(cell.normal) == list(cell.reduce) == expected
    assert cell.normal_concat == (2, 3, 4, 5)


def test_derivation_of_equals_takes_the_first():
    """Sees ties broken by anything but the order of edges and operations."""
    cell = derive(S3, np.full((2, 14, 3), 1 / 3))
    assert list(cell.normal) == [("skip_connect", 0), ("skip_connect", 1)] * 4


def test_pc_darts_ranks_edges_by_alpha_times_edge_weight():
    """Sees edge weights that are left out of the ranking, or that change the operation."""
    alphas = strengths(S3, {(source, 5): {"sep_conv_3x3": 0.5 - 0.1 * source} for source in range(5)})
    weights = np.ones(14)
    weights[S3.edges.index((4, 5))] = 10
    cell = derive(S3, np.stack([alphas] * 2), np.stack([weights, np.ones(14)]))
    assert set(cell.normal[-2:]) == {("sep_conv_3x3", 4), ("sep_conv_3x3", 0)}
    assert set(cell.reduce[-2:]) == {("sep_conv_3x3", 0), ("sep_conv_3x3", 1)}


def test_nas_bench_201_takes_the_strongest_operation_of_each_edge():
    """Sees `none` excluded where the space allows it."""
    alphas = np.eye(5)[[3, 0, 1, 2, 4, 1]][None]
    assert (
        derive(NAS_BENCH_201, alphas)
        == "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|"
    )
    assert (one_hot_alphas(NAS_BENCH_201, derive(NAS_BENCH_201, alphas)) == alphas).all()


def test_one_hot_alphas_derive_to_the_same_cell():
    """Sees a cell that changes on its way to alphas and back."""
    pairs = [("sep_conv_3x3", 0), ("skip_connect", 1), ("dil_conv_5x5", 1), ("max_pool_3x3", 2)]
    pairs += [("sep_conv_5x5", 0), ("avg_pool_3x3", 3), ("skip_connect", 2), ("dil_conv_3x3", 4)]
    cell = genotype({"normal": pairs, "normal_concat": [2, 3, 4, 5], "reduce": pairs, "reduce_concat": [2, 3, 4, 5]})
    alphas = one_hot_alphas(DARTS, cell)
    assert (alphas.sum(-1) == 1).all() and alphas[..., 1:].sum() == 16
    again = derive(DARTS, alphas)
    assert all(set(again.normal[i : i + 2]) == set(cell.normal[i : i + 2]) for i in range(0, 8, 2))
