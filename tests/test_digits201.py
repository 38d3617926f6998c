"""Digits201's batched training: sees any drift from networks trained one by one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flatlib.data.digits import load_digits201
from flatlib.evaluation.digits201 import CellBatch, Recipe, train_steps
from flatlib.evaluation.digits201_build import build
from flatlib.spaces import NAS_BENCH_201, all_archs, prune_dead_edges


class PlainNetwork(nn.Module):
    """One NAS-Bench-201 network, written as its authors do: the oracle."""

    def __init__(self, arch, channels, n_classes):
        super().__init__()
        self.arch, c = arch, channels
        self.stem, self.stem_norm = nn.Conv2d(4, c, 3, padding=1, bias=False), self.norm(c)
        self.reduction, self.reduction_norm = nn.Conv2d(c, 2 * c, 3, 2, 1, bias=False), self.norm(2 * c)
        self.convs = nn.ModuleDict()
        for stage, width in (("a", c), ("b", 2 * c)):
            for edge, op in enumerate(arch):
                if op in (2, 3):
                    kernel = 2 * op - 3
                    conv = nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False)
                    self.convs[f"{stage}{edge}"] = nn.Sequential(nn.ReLU(), conv, self.norm(width))
        self.last_norm, self.head = self.norm(2 * c), nn.Linear(2 * c, n_classes)

    @staticmethod
    def norm(channels):
        return nn.BatchNorm2d(channels, momentum=0.3)

    def cell(self, x, stage):
        nodes = [x, 0 * x, 0 * x, 0 * x]
        for edge, (op, (source, node)) in enumerate(zip(self.arch, NAS_BENCH_201.edges, strict=True)):
            if op == 1:
                nodes[node] = nodes[node] + nodes[source]
            elif op == 4:
                nodes[node] = nodes[node] + F.avg_pool2d(nodes[source], 3, 1, 1, count_include_pad=False)
            elif op:
                nodes[node] = nodes[node] + self.convs[f"{stage}{edge}"](nodes[source])
        return nodes[3]

    def forward(self, x):
        x = self.cell(self.stem_norm(self.stem(x)), "a")
        x = self.cell(self.reduction_norm(self.reduction(x.relu())), "b")
        return self.head(self.last_norm(x).relu().mean((2, 3)))


def copy_weights(batch: CellBatch, row: int) -> PlainNetwork:
    """The plain network with the initial weights of one row of the batch."""
    net = PlainNetwork(batch.archs[row], batch.recipe.channels, batch.weights["head"].shape[1]).double()
    convs = {"stem": net.stem, "reduction": net.reduction, "head": net.head}
    for stage in "ab":
        for edge, op in enumerate(batch.archs[row]):
            if op in (2, 3):
                convs[f"{stage}{edge}.{op}"] = net.convs[f"{stage}{edge}"][1]
    with torch.no_grad():
        for name, module in convs.items():
            edge_op = name[1:].split(".")
            at = row if len(edge_op) == 1 else batch.users[int(edge_op[0]), int(edge_op[1])].tolist().index(row)
            module.weight.copy_(batch.weights[name][at].view(module.weight.shape))
        net.head.bias.copy_(batch.weights["head.shift"][row])
    return net


def test_batched_training_equals_one_by_one_in_float64():
    """Sees wrong gathers, taps, pools, BatchNorm, optimizer or schedule in the batched training."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([[0, 15624, 3 * 5**5], rng.choice(15625, 10, replace=False)])
    data, recipe = load_digits201("digits-shifted"), Recipe(epochs=1)
    images, labels = torch.from_numpy(data.images["train"]), torch.from_numpy(data.labels["train"])
    batch = CellBatch(all_archs()[rows], rows, data.n_classes, recipe, seed=7, dtype=torch.float64)
    nets = [copy_weights(batch, row) for row in range(len(rows))]
    batched = torch.stack(list(train_steps(batch, images, labels, seed=7)))  # (steps, A)
    assert batched.shape == (12, len(rows))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(7)).split(50)
    for row, net in enumerate(nets):
        optimizer = torch.optim.SGD(net.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
        for step, index in enumerate(order):
            loss = F.cross_entropy(net(images[index].double()), labels[index])
            assert abs(loss.item() - batched[step, row].item()) < 1e-12
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        net.eval()
        plain = net(images.double())
        assert torch.allclose(plain, batch(images, training=False)[row], atol=1e-10)
