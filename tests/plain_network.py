"""One NAS-Bench-201 network trained by itself, as its authors would: the oracle of Digits201."""

import torch.nn.functional as F
from torch import nn

from flatlib.spaces import NAS_BENCH_201


class PlainNetwork(nn.Module):
    """Stem, cell (C), reduction, cell (2 C), linear, in plain torch."""

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
