"""Sees random cells that are not uniform, and a cell's accuracy that is another network's."""

from collections import Counter
from math import comb

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from flatlib.data.images import load_images
from flatlib.search.retrain import random_cell, trained_accuracy
from flatlib.search.supernet import Supernet
from flatlib.spaces import DARTS, NAS_BENCH_201, S3, Genotype, genotype, string_to_arch

GENOTYPES = pytest.mark.parametrize("space", [DARTS, S3], ids=lambda space: space.name)
NODES = (2, 3, 4, 5)
SKIPS = Genotype(
    (("skip_connect", 0), ("skip_connect", 1)) * 4, NODES, (("skip_connect", 0), ("skip_connect", 1)) * 4, NODES
)
NORMAL = (("sep_conv_3x3", 0), ("dil_conv_3x3", 1), ("sep_conv_5x5", 1), ("skip_connect", 2))
NORMAL += (("dil_conv_5x5", 0), ("max_pool_3x3", 3), ("avg_pool_3x3", 0), ("sep_conv_3x3", 4))
MIXED = Genotype(NORMAL, NODES, (("sep_conv_5x5", 0), ("dil_conv_5x5", 1)) * 4, NODES)
CONVOLUTIONS = {  # name -> the weight, and its rows: (first, second, dilated)
    "sep_conv_3x3": ("3", (0, 1)),
    "sep_conv_5x5": ("5", (0, 1)),
    "dil_conv_3x3": ("3", (2,)),
    "dil_conv_5x5": ("5", (2,)),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- random cells ---------------------------------------------------------------------------------


def unlikely(counts: Counter, kinds: int) -> bool:
    """Whether a uniform draw of so many kinds gives such counts once in 10,000 times; a kind never drawn counts."""
    observed = [*counts.values(), *[0] * (kinds - len(counts))]
    return len(counts) > kinds or chisquare(observed).pvalue < 1e-4


@GENOTYPES
def test_random_genotypes_are_uniform(space):
    """Sees one input twice, `none`, an operation or a pair of inputs drawn too often, or the two cells drawn as one."""
    rng = np.random.default_rng(0)
    drawn = [random_cell(space, rng) for _ in range(400)]
    names, pairs = Counter(), {node: Counter() for node in NODES}
    for cell in drawn:
        assert genotype(cell.to_json(), space) == cell and len(cell.normal) == len(cell.reduce) == 8
        assert cell.normal_concat == cell.reduce_concat == NODES
        for half in (cell.normal, cell.reduce):
            names.update(name for name, _ in half)
            for node in NODES:
                (_, first), (_, second) = half[2 * (node - 2) : 2 * (node - 1)]
                assert first < second
                pairs[node][first, second] += 1
    assert "none" not in names and not unlikely(names, len(space.operations) - 1)
    for node, counts in pairs.items():
        assert len(counts) == comb(node, 2) and not unlikely(counts, comb(node, 2))
    assert sum(cell.normal == cell.reduce for cell in drawn) == 0


def test_random_strings_are_uniform():
    """Sees `none` or the last operation never drawn on an edge of NAS-Bench-201, or edges drawn alike."""
    rng = np.random.default_rng(0)
    archs = np.array([string_to_arch(random_cell(NAS_BENCH_201, rng)) for _ in range(1000)])
    for edge in range(6):
        assert not unlikely(Counter(archs[:, edge].tolist()), 5)
    for edge in range(1, 6):
        assert not unlikely(Counter(zip(archs[:, 0].tolist(), archs[:, edge].tolist(), strict=True)), 25)


@pytest.mark.parametrize("space", [DARTS, S3, NAS_BENCH_201], ids=lambda space: space.name)
def test_random_cells_follow_the_generator(space):
    """Sees a global random state, or a generator that does not move on."""
    one, two = np.random.default_rng(7), np.random.default_rng(7)
    ours, theirs = [random_cell(space, one) for _ in range(3)], [random_cell(space, two) for _ in range(3)]
    assert ours == theirs and len(set(ours)) == 3
    assert random_cell(space, np.random.default_rng(8)) != ours[0]


# --- a cell trained alone -------------------------------------------------------------------------


def gradients(monkeypatch, net: Supernet, cell) -> dict:
    """(weight, cell, source) -> the gradient of the only step of a training."""
    seen = []
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda weights, _: seen.append(weights[0].grad.clone()))
    trained_accuracy(net, cell, load_images("digits", n_train=32), epochs=1, batch_size=32)
    (grad,) = seen
    return net.named(grad)


@pytest.mark.parametrize("cell", [SKIPS, MIXED], ids=["skips", "mixed"])
def test_only_the_cells_own_operations_are_trained(monkeypatch, cell):
    """Sees the mixture trained instead of the cell, cells or edges exchanged, or half of a convolution left out."""
    net = Supernet(DARTS, 2, 3, 10, 1)
    grads = gradients(monkeypatch, net, cell)
    for at, plan in enumerate(net.plan):
        pairs = cell.reduce if plan.reduces else cell.normal
        chosen = {(source, 2 + n // 2): name for n, (name, source) in enumerate(pairs)}
        for source, edges in net.sources.items():
            for row, edge in enumerate(edges):
                name = chosen.get(DARTS.edges[edge], "none")
                size, layers = CONVOLUTIONS.get(name, ("", ()))
                for kernel in ("3", "5"):
                    for part in ("depthwise", "pointwise"):
                        grad = grads[f"{part}_{kernel}", at, source][:, row]
                        moved = [layer for layer in range(3) if grad[layer].any()]
                        assert moved == (list(layers) if kernel == size else [])
                if ("reduce", at, source) in grads:
                    assert grads["reduce", at, source][:, row].any() == (name == "skip_connect")
    assert all(grads[name, -1, -1].any() for name in ("stem", "head"))


def test_the_seed_draws_the_first_weights(monkeypatch):
    """Sees a seed that only shuffles the images: the same weights in every run."""
    first = []
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda weights, _: first.append(weights[0].detach().clone()))
    net, images = Supernet(DARTS, 2, 3, 10, 1), load_images("digits", n_train=32)
    for seed in (0, 0, 1):
        trained_accuracy(net, SKIPS, images, epochs=1, batch_size=32, seed=seed)
    assert torch.equal(first[0], first[1]) and not torch.equal(first[0], first[2])


def test_a_few_epochs_beat_chance():
    """Sees weights that do not learn, labels of another split, accuracy as a share, or a seed without effect."""
    net, images = Supernet(DARTS, 4, 3, 10, 1), load_images("digits")
    accuracy = trained_accuracy(net, MIXED, images, epochs=2)
    assert 60 < accuracy <= 100  # chance is 10; five seeds give 85 to 90
    assert accuracy * 597 / 100 == pytest.approx(round(accuracy * 597 / 100))  # of 597 test images
    assert trained_accuracy(net, MIXED, images, epochs=2) == accuracy
    assert trained_accuracy(net, MIXED, images, epochs=2, seed=1) != accuracy


def test_a_cell_of_nothing_learns_nothing():
    """Sees a NAS-Bench-201 cell trained as another one: with `none` alone no image reaches the classifier."""
    net, images = Supernet(NAS_BENCH_201, 4, 3, 10, 1), load_images("digits")
    nothing = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    shares = (torch.bincount(images.labels["test"]) / len(images.labels["test"]) * 100).tolist()
    assert min(abs(trained_accuracy(net, nothing, images, epochs=1) - share) for share in shares) < 1e-4
    convolution = nothing[: nothing.rindex("+")] + "+|nor_conv_3x3~0|none~1|none~2|"
    assert trained_accuracy(net, convolution, images, epochs=2) > 40  # five seeds give 53 to 71
