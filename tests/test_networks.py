"""Sees a network that is not its authors': another order, stride, norm, join or auxiliary head; a wrong count."""

import pytest
import torch
from naive_darts import NetworkCIFAR, NetworkImageNet, TinyNetwork
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format, parameters_to_vector

from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.networks import Maps, Network, draw_keep, initialize
from flatlib.evaluation.plan import IMAGES, Images, Shape, network_plan
from flatlib.search.folded import operation_outputs
from flatlib.spaces import NAS_BENCH_201, PUBLISHED, genotype, string_to_arch

SMALL = Images(Shape(3, 32, 32), 7)
ARCHS = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
)


KINDS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)


def same_layers(ours: nn.Module, theirs: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """Layer beside layer, in the order of construction, which is the same: the stem, the cells, the heads."""

    def layers(net, *names):
        there = [getattr(net, name) for name in names if getattr(net, name, None) is not None]
        return [part for module in there for part in module.modules() if isinstance(part, KINDS)]

    mine = layers(ours, "stem", "cells", "head", "auxiliary")
    other = layers(theirs, "stem", "stem0", "stem1", "cells", "lastact", "classifier", "auxiliary_head")
    assert [next(kind for kind in KINDS if isinstance(part, kind)) for part in mine] == [type(part) for part in other]
    return [*zip(mine, other, strict=True)]


def both(cell, images, theirs, *, channels=4, cells=6, auxiliary=False):
    """Our network and the naive one with the same random weights, norms included, in float64."""
    generator = torch.Generator().manual_seed(1)
    ours = Network(network_plan(cell, images, channels=channels, cells=cells, auxiliary=auxiliary), generator).double()
    for part in ours.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 2, generator=generator)
            part.bias.data.uniform_(-1, 1, generator=generator)
    theirs = theirs.double()
    for mine, other in same_layers(ours, theirs):
        other.load_state_dict(mine.state_dict())
    return ours, theirs


def run(net, x, n_classes, keep=None):
    """Both logits and the slope of the images in training, which leaves gradients behind; then logits in evaluation."""
    y, x = torch.arange(len(x)) % n_classes, x.detach().requires_grad_()
    out = net.train()(x, keep) if keep is not None else net.train()(x)
    logits, auxiliary = out if isinstance(out, tuple) else (out, None)
    loss = nn.functional.cross_entropy(logits, y)
    if auxiliary is not None:
        loss = loss + 0.4 * nn.functional.cross_entropy(auxiliary, y)
    loss.backward()
    with torch.no_grad():
        tested = net.eval()(x)
    return logits, auxiliary, or_zeros(x), tested[0] if isinstance(tested, tuple) else tested


def or_zeros(x):
    """A gradient, also where `none` cuts every path."""
    return torch.zeros_like(x) if x.grad is None else x.grad


def assert_equal(ours, theirs, images, batch=3, keep=None):
    """Outputs, each weight's gradient and running statistics in training; then outputs in evaluation."""
    x = torch.randn(batch, *images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    mine = run(ours, x.to(memory_format=torch.channels_last), images.n_classes, keep)
    other = run(theirs, x, images.n_classes, keep)
    pairs = [*zip(mine, other, strict=True)]
    for a, b in same_layers(ours, theirs):
        pairs += [(or_zeros(p), or_zeros(q)) for p, q in zip(a.parameters(), b.parameters(), strict=True)]
        pairs += zip(a.buffers(), b.buffers(), strict=True)
    for a, b in pairs:
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [*catalogue()])
def test_every_published_cell_is_its_authors_network(name):
    """Sees a wrong input, stride, concatenation or operation of any published cell."""
    cell = catalogue()[name].cell
    ours, theirs = both(cell, SMALL, NetworkCIFAR(4, 7, 6, False, cell))
    assert_equal(ours, theirs, SMALL)


@pytest.mark.parametrize("name", ["DARTS_V2", "AmoebaNet-A", "SNAS-aggressive"])
def test_drop_path_and_the_auxiliary_head(name):
    """Sees a mask on an identity, masks in another order, or an auxiliary classifier elsewhere."""
    cell = catalogue()[name].cell
    ours, theirs = both(cell, SMALL, NetworkCIFAR(4, 7, 6, True, cell), auxiliary=True)
    keep = draw_keep(ours.n_droppable, 3, 0.4, torch.Generator().manual_seed(3)).double()
    identities = sum(isinstance(m, nn.Identity) for m in theirs.modules())
    assert ours.n_droppable == sum(len(c.ops) for c in theirs.cells) - identities
    assert_equal(ours, theirs, SMALL, keep=keep)


def test_drop_path_on_a_cell_with_none():
    """Sees a mask that `none` does not take, or a node of nothing but `none` that is not zeros."""
    normal = [["none", 0], ["none", 1], ["dil_conv_5x5", 0], ["none", 2], ["skip_connect", 1], ["none", 0]]
    reduce = [["none", 0], ["none", 1], ["sep_conv_3x3", 0], ["none", 2], ["skip_connect", 1], ["none", 0]]
    fields = {"normal_concat": [2, 3, 4, 5], "reduce_concat": [2, 3, 4, 5]}
    last = [["dil_conv_3x3", 2], ["max_pool_3x3", 3]]
    cell = genotype({"normal": normal + last, "reduce": reduce + last} | fields, PUBLISHED)
    ours, theirs = both(cell, SMALL, NetworkCIFAR(4, 7, 6, True, cell), auxiliary=True)
    keep = draw_keep(ours.n_droppable, 3, 0.4, torch.Generator().manual_seed(3)).double()
    assert ours.n_droppable == 4 * 7 + 2 * 8  # a skip of stride 2 is no identity
    assert_equal(ours, theirs, SMALL, keep=keep)


@pytest.mark.parametrize("name", ["DARTS_V2", "NASNet-A"])
def test_imagenets_network(name):
    """Sees a wrong stem, a first cell that is not halved, or a norm in ImageNet's auxiliary head."""
    cell, images = catalogue()[name].cell, IMAGES["imagenet"]._replace(n_classes=5)
    ours, theirs = both(cell, images, NetworkImageNet(4, 5, 4, True, cell), cells=4, auxiliary=True)
    assert_equal(ours, theirs, images, batch=2)


def test_names_of_weights():
    """Sees names that change, with which no checkpoint is read any more."""
    plan = network_plan(catalogue()["DARTS_V2"].cell, SMALL, channels=4, cells=6, auxiliary=True)
    names = set(Network(plan, torch.Generator()).state_dict())
    assert {"stem.0.0.weight", "cells.0.edges.7.0.weight", "cells.3.inputs.0.0.even.weight", "head.2.bias"} <= names
    assert {"cells.5.edges.0.6.running_var", "auxiliary.8.weight"} <= names
    assert {name.split(".")[0] for name in names} == {"stem", "cells", "head", "auxiliary"}


def test_the_loss_falls():
    """Sees gradients that do not lead down: twenty steps on one batch, in float64."""
    plan = network_plan(catalogue()["SNAS-aggressive"].cell, IMAGES["digits"], channels=4, cells=3)
    net = Network(plan, torch.Generator().manual_seed(0)).double()
    x = torch.randn(16, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sgd, losses = torch.optim.SGD(net.parameters(), 0.05), []
    for _ in range(20):
        sgd.zero_grad()
        loss = nn.functional.cross_entropy(net(x)[0], torch.arange(16) % 10)
        loss.backward()
        sgd.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("arch", ARCHS)
def test_nas_bench_201s_network(arch):
    """Sees another order of stages, a residual block without its pooling, or a missing last norm."""
    ours, theirs = both(arch, SMALL, TinyNetwork(3, 2, arch, 7), channels=3, cells=6)
    assert_equal(ours, theirs, SMALL)


@pytest.mark.parametrize("arch", ARCHS)
def test_nas_bench_201s_operations_are_the_searchs(arch):
    """Sees operations that differ between search and evaluation, where norms are at 1 and 0 in training."""
    plan = network_plan(arch, SMALL, channels=4, cells=3)
    net = Network(plan, torch.Generator().manual_seed(0)).double().train()
    cell, x = net.cells[0], torch.randn(2, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    nodes = [x]
    for node in (1, 2, 3):
        terms = []
        for at, (source, target) in enumerate(NAS_BENCH_201.edges):
            if target == node:
                weights = {f"conv_{p.shape[-1]}": p[None] for p in cell.edges[at].parameters() if p.ndim == 4}
                state = nodes[source].permute(0, 2, 3, 1).unsqueeze(3)
                outputs = operation_outputs(NAS_BENCH_201, state, weights, 1, 1)[0]
                terms.append(outputs[string_to_arch(arch)[at]].permute(0, 3, 1, 2))
        nodes.append(sum(terms))
    torch.testing.assert_close(cell([Maps(x)]).plain, nodes[3], rtol=1e-10, atol=1e-12)


# --- first weights --------------------------------------------------------------------------------


def test_first_weights_come_from_the_generator_alone():
    """Sees the global random state touched, or another distribution than torch's own."""
    plan = network_plan(catalogue()["DARTS_V2"].cell, IMAGES["digits"], channels=8, cells=3)
    before = torch.get_rng_state()
    nets = [Network(plan, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert (torch.get_rng_state() == before).all()
    vectors = [parameters_to_vector(net.parameters()) for net in nets]
    assert (vectors[0] == vectors[1]).all() and (vectors[0] != vectors[2]).any()
    wide = nn.Conv2d(64, 64, 3)
    initialize(wide, torch.Generator().manual_seed(0))
    bound = (64 * 9) ** -0.5
    weight = wide.weight.detach()
    assert weight.abs().max() <= bound and float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.02)


def test_drawn_masks_keep_the_mean():
    """Sees a mask that is not 0 or 1 / (1 - p), or drops with another probability."""
    keep = draw_keep(200, 500, 0.2, torch.Generator().manual_seed(0))
    assert set(keep.unique().tolist()) == {0.0, 1.25} and keep.mean() == pytest.approx(1, abs=0.01)
    assert (draw_keep(3, 4, 0.0, torch.Generator()) == 1).all()


def test_layouts_agree():
    """Sees channels_last weights that compute something else."""
    plan = network_plan(catalogue()["DARTS_V2"].cell, IMAGES["digits"], channels=4, cells=3)
    net = Network(plan, torch.Generator().manual_seed(0)).double().eval()
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = net(x)[0]
    fast = convert_conv2d_weight_memory_format(net, torch.channels_last)(x.to(memory_format=torch.channels_last))[0]
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-12)
