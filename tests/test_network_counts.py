"""Sees a count from shapes that is not what the modules do, and sizes that no network has."""

from dataclasses import replace

import pytest
import torch
from naive_darts import NetworkCIFAR
from torch import nn

from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.cost import cost
from flatlib.evaluation.networks import Network
from flatlib.evaluation.plan import IMAGES, Images, Shape, network_plan


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


def test_counted_on_nas_bench_201():
    """Sees a residual block that is not counted, or `none` that is."""
    arch = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    plan = network_plan(arch, IMAGES["cifar100"], channels=16, cells=15)
    assert tuple(cost(plan)) == hook_count(Network(plan, torch.Generator()), IMAGES["cifar100"])


def test_darts_v2_at_the_papers_size():
    """Sees anything at all that differs from DARTS's public network: 3,349,342 parameters, 476,426 more in training."""
    cell = catalogue()["DARTS_V2"].cell
    net = Network(network_plan(cell, IMAGES["cifar10"], channels=36, cells=20, auxiliary=True), torch.Generator())
    naive = NetworkCIFAR(36, 10, 20, True, cell)
    assert hook_count(net, IMAGES["cifar10"])[0] == 3_349_342
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in naive.parameters()) == 3_825_768


# --- sizes ---


@pytest.mark.parametrize("channels", [0, 3])
def test_sizes_that_cannot_be_built(channels):
    """Sees a traceback from deep inside for a size that no network has."""
    with pytest.raises(ValueError, match=f"channels = {channels}: allowed: even"):
        network_plan(catalogue()["DARTS_V2"].cell, IMAGES["cifar10"], channels=channels, cells=6)


def test_images_too_small_are_one_line():
    """Sees feature maps of an odd size halved in silence."""
    odd = Images(Shape(3, 6, 6), 10)
    with pytest.raises(ValueError, match="3 x 3 cannot be halved"):
        cost(network_plan(replace(catalogue()["DARTS_V2"].cell), odd, channels=4, cells=6))
