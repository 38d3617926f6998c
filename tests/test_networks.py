"""Sees a network that is not its authors': another order, stride, norm, join or auxiliary head; a wrong count."""

from dataclasses import replace

import pytest
import torch
from naive_darts import NetworkCIFAR, NetworkImageNet, TinyNetwork
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format, parameters_to_vector

from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.cost import cost
from flatlib.evaluation.layers import Shape
from flatlib.evaluation.networks import Maps, Network, draw_keep, initialize
from flatlib.evaluation.plan import IMAGES, Images, network_plan
from flatlib.search.operations import operations_of
from flatlib.spaces import NAS_BENCH_201, string_to_arch

SMALL = Images(Shape(3, 32, 32), 7)
ARCHS = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
)


def copy_weights(ours: nn.Module, theirs: nn.Module) -> None:
    """Layer by layer in the order of construction, which is the same: the stem, the cells, the heads."""
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)

    def named(net, *names):
        there = [getattr(net, name) for name in names if getattr(net, name, None) is not None]
        return [part for module in there for part in module.modules() if isinstance(part, kinds)]

    pairs = [
        (
            named(ours, "stem", "cells", "head"),
            named(theirs, "stem", "stem0", "stem1", "cells", "lastact", "classifier"),
        ),
        (named(ours, "auxiliary") if ours.auxiliary else [], named(theirs, "auxiliary_head")),
    ]
    for mine, other in pairs:
        assert [type(part) for part in mine] == [type(part) for part in other]
        for a, b in zip(mine, other, strict=True):
            b.load_state_dict(a.state_dict())


def both(cell, images, theirs, *, channels=4, cells=6, auxiliary=False):
    """Our network and the naive one with the same random weights, norms included, in float64."""
    generator = torch.Generator().manual_seed(1)
    ours = Network(network_plan(cell, images, channels=channels, cells=cells, auxiliary=auxiliary), generator).double()
    for part in ours.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 2, generator=generator)
            part.bias.data.uniform_(-1, 1, generator=generator)
    theirs = theirs.double()
    copy_weights(ours, theirs)
    return ours, theirs


def assert_equal(ours, theirs, images, batch=3, keep=None):
    """Outputs, all gradients and running statistics in training; then outputs in evaluation."""
    x = torch.randn(batch, *images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    y = torch.arange(batch) % images.n_classes
    found = []
    for net, layout in ((ours, torch.channels_last), (theirs, torch.contiguous_format)):
        net.train()
        given = x.to(memory_format=layout).requires_grad_()
        out = net(given, keep) if keep is not None else net(given)
        logits, auxiliary = out if isinstance(out, tuple) else (out, None)
        loss = nn.functional.cross_entropy(logits, y)
        if auxiliary is not None:
            loss = loss + 0.4 * nn.functional.cross_entropy(auxiliary, y)
        loss.backward()
        slopes = sorted(0.0 if p.grad is None else float(p.grad.square().sum()) for p in net.parameters())
        norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        seen = sorted(float(m.running_var.square().sum() + m.running_mean.sum()) for m in norms)
        net.eval()
        tested = net(x.to(memory_format=layout))
        tested = tested[0] if isinstance(tested, tuple) else tested
        slope = torch.zeros_like(x) if given.grad is None else given.grad  # where `none` cuts every path
        found.append([logits, auxiliary, slope, torch.tensor(slopes), torch.tensor(seen), tested])
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


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


@pytest.mark.parametrize("name", ["DARTS_V2", "NASNet-A"])
def test_imagenets_network(name):
    """Sees a wrong stem, a first cell that is not halved, or a norm in ImageNet's auxiliary head."""
    cell, images = catalogue()[name].cell, IMAGES["imagenet"]._replace(n_classes=5)
    ours, theirs = both(cell, images, NetworkImageNet(4, 5, 4, True, cell), cells=4, auxiliary=True)
    assert_equal(ours, theirs, images, batch=2)


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
                operation = operations_of(NAS_BENCH_201)[string_to_arch(arch)[at]]
                terms.append(operation(nodes[source], weights, 0, 1))
        nodes.append(sum(terms))
    torch.testing.assert_close(cell([Maps(x)]).plain, nodes[3], rtol=1e-10, atol=1e-12)


# --- counts ---------------------------------------------------------------------------------------


def hook_count(net: nn.Module, images: Images) -> tuple[int, int]:
    """Parameters, and multiply-adds of what runs on one image, from the real shapes; no auxiliary head in eval mode."""
    found = []

    def count(module, _, out):
        if isinstance(module, nn.Conv2d):
            found.append(out[0].numel() * module.weight[0].numel())
        if isinstance(module, nn.Linear):
            found.append(module.weight.numel())

    hooks = [part.register_forward_hook(count) for part in net.modules()]
    with torch.no_grad():
        net.eval()(torch.zeros(1, *images.shape))
    for hook in hooks:
        hook.remove()
    auxiliary = sum(p.numel() for p in net.auxiliary.parameters()) if net.auxiliary else 0
    return sum(p.numel() for p in net.parameters()) - auxiliary, sum(found)


@pytest.mark.parametrize("dataset", ["cifar10", "imagenet"])
@pytest.mark.parametrize("name", [*catalogue()])
def test_counted_from_shapes_and_by_hooks(name, dataset):
    """Sees a layer that the count forgets or counts at another size, for every published cell."""
    images, cells = IMAGES[dataset], 20 if dataset == "cifar10" else 14
    plan = network_plan(catalogue()[name].cell, images, channels=8, cells=cells, auxiliary=True)
    assert tuple(cost(plan)) == hook_count(Network(plan, torch.Generator()), images)


@pytest.mark.parametrize("arch", ARCHS)
def test_counted_on_nas_bench_201(arch):
    """Sees a residual block that is not counted."""
    plan = network_plan(arch, IMAGES["cifar100"], channels=16, cells=15)
    assert tuple(cost(plan)) == hook_count(Network(plan, torch.Generator()), IMAGES["cifar100"])


def test_darts_v2_at_the_papers_size():
    """Sees anything at all that differs from DARTS's public network: 3,349,342 parameters."""
    cell = catalogue()["DARTS_V2"].cell
    net = Network(network_plan(cell, IMAGES["cifar10"], channels=36, cells=20, auxiliary=True), torch.Generator())
    naive = NetworkCIFAR(36, 10, 20, True, cell)
    assert hook_count(net, IMAGES["cifar10"])[0] == 3_349_342
    assert len(parameters_to_vector(net.parameters())) == len(parameters_to_vector(naive.parameters()))


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


@pytest.mark.parametrize(
    ("channels", "cells", "auxiliary", "says"),
    [(3, 6, False, "channels = 3: allowed: even"), (4, 2, True, "cells = 2 with an auxiliary"), (0, 6, False, "= 0")],
)
def test_sizes_that_cannot_be_built(channels, cells, auxiliary, says):
    """Sees a traceback from deep inside for a size that no network has."""
    with pytest.raises(ValueError, match=says):
        network_plan(catalogue()["DARTS_V2"].cell, SMALL, channels=channels, cells=cells, auxiliary=auxiliary)


def test_images_too_small_are_one_line():
    """Sees feature maps of an odd size halved in silence."""
    odd = Images(Shape(3, 6, 6), 10)
    with pytest.raises(ValueError, match="3 x 3 cannot be halved"):
        cost(network_plan(replace(catalogue()["DARTS_V2"].cell), odd, channels=4, cells=6))
