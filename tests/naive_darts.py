"""The evaluation networks as modules in their authors' manner, one operation at a time: the oracle of networks.py."""

import torch
import torch.nn.functional as F
from torch import nn

from flatlib.spaces import NAS_BENCH_201, string_to_arch


def relu_conv_bn(c_in, c_out, kernel, stride, padding):
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False), nn.BatchNorm2d(c_out))


def dil_conv(c, kernel, stride, padding, dilation):
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(c, c, kernel, stride, padding, dilation, groups=c, bias=False),
        nn.Conv2d(c, c, 1, bias=False),
        nn.BatchNorm2d(c),
    )


def sep_conv(c, kernel, stride, padding):
    def half(step):
        return [
            nn.ReLU(),
            nn.Conv2d(c, c, kernel, step, padding, groups=c, bias=False),
            nn.Conv2d(c, c, 1, bias=False),
            nn.BatchNorm2d(c),
        ]

    return nn.Sequential(*half(stride), *half(1))


class Zero(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class FactorizedReduce(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv_1 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x):
        x = F.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


OPS = {
    "none": lambda c, stride: Zero(stride),
    "avg_pool_3x3": lambda c, stride: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
    "max_pool_3x3": lambda c, stride: nn.MaxPool2d(3, stride, 1),
    "skip_connect": lambda c, stride: nn.Identity() if stride == 1 else FactorizedReduce(c, c),
    "sep_conv_3x3": lambda c, stride: sep_conv(c, 3, stride, 1),
    "sep_conv_5x5": lambda c, stride: sep_conv(c, 5, stride, 2),
    "sep_conv_7x7": lambda c, stride: sep_conv(c, 7, stride, 3),
    "dil_conv_3x3": lambda c, stride: dil_conv(c, 3, stride, 2, 2),
    "dil_conv_5x5": lambda c, stride: dil_conv(c, 5, stride, 4, 2),
    "conv_7x1_1x7": lambda c, stride: nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(c, c, (1, 7), stride=(1, stride), padding=(0, 3), bias=False),
        nn.Conv2d(c, c, (7, 1), stride=(stride, 1), padding=(3, 0), bias=False),
        nn.BatchNorm2d(c),
    ),
    "nor_conv_1x1": lambda c, stride: relu_conv_bn(c, c, 1, stride, 0),
    "nor_conv_3x3": lambda c, stride: relu_conv_bn(c, c, 3, stride, 1),
}


class Cell(nn.Module):
    def __init__(self, genotype, c_prev_prev, c_prev, c, reduction, reduction_prev):
        super().__init__()
        if reduction_prev:
            self.preprocess0 = FactorizedReduce(c_prev_prev, c)
        else:
            self.preprocess0 = relu_conv_bn(c_prev_prev, c, 1, 1, 0)
        self.preprocess1 = relu_conv_bn(c_prev, c, 1, 1, 0)
        pairs, self.concat = (
            (genotype.reduce, genotype.reduce_concat) if reduction else (genotype.normal, genotype.normal_concat)
        )
        self.indices = [source for _, source in pairs]
        self.ops = nn.ModuleList(OPS[name](c, 2 if reduction and source < 2 else 1) for name, source in pairs)
        self.multiplier = len(self.concat)

    def forward(self, s0, s1, masks):
        s0, s1 = self.preprocess0(s0), self.preprocess1(s1)
        states = [s0, s1]
        for i in range(len(self.ops) // 2):
            terms = []
            for at in (2 * i, 2 * i + 1):
                h = self.ops[at](states[self.indices[at]])
                if masks is not None and not isinstance(self.ops[at], nn.Identity):
                    h = h * next(masks)[:, None, None, None]
                terms.append(h)
            states.append(terms[0] + terms[1])
        return torch.cat([states[i] for i in self.concat], dim=1)


class AuxiliaryHeadCIFAR(nn.Module):
    def __init__(self, c, n_classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=3, padding=0, count_include_pad=False),
            nn.Conv2d(c, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, n_classes)

    def forward(self, x):
        x = self.features(x)
        return self.classifier(x.view(x.size(0), -1))


class AuxiliaryHeadImageNet(AuxiliaryHeadCIFAR):
    def __init__(self, c, n_classes):
        super().__init__(c, n_classes)
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=2, padding=0, count_include_pad=False),
            nn.Conv2d(c, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.ReLU(),
        )


class NetworkCIFAR(nn.Module):
    def __init__(self, c, n_classes, layers, auxiliary, genotype, in_channels=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, 3 * c, 3, padding=1, bias=False), nn.BatchNorm2d(3 * c))
        head = AuxiliaryHeadCIFAR if auxiliary else None
        self.build(genotype, c, layers, (3 * c, 3 * c), False, n_classes, head)

    def build(self, genotype, c, layers, widths, reduction_prev, n_classes, head):
        """The cells and the classifiers; widths (c_prev_prev, c_prev) of the stem, head: an auxiliary one or None."""
        self.layers, self.cells = layers, nn.ModuleList()
        (c_prev_prev, c_prev), c_curr = widths, c
        for i in range(layers):
            reduction = i in [layers // 3, 2 * layers // 3]
            if reduction:
                c_curr *= 2
            cell = Cell(genotype, c_prev_prev, c_prev, c_curr, reduction, reduction_prev)
            reduction_prev = reduction
            self.cells.append(cell)
            c_prev_prev, c_prev = c_prev, cell.multiplier * c_curr
            if i == 2 * layers // 3:
                c_to_auxiliary = c_prev
        if head:
            self.auxiliary_head = head(c_to_auxiliary, n_classes)
        self.auxiliary, self.classifier = bool(head), nn.Linear(c_prev, n_classes)

    def stems(self, x):
        s = self.stem(x)
        return s, s

    def forward(self, x, keep=None):
        s0, s1 = self.stems(x)
        masks, logits_aux = iter(keep) if keep is not None else None, None
        for i, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, masks)
            if i == 2 * self.layers // 3 and self.auxiliary and self.training:
                logits_aux = self.auxiliary_head(s1)
        out = F.adaptive_avg_pool2d(s1, 1)
        return self.classifier(out.view(out.size(0), -1)), logits_aux


class NetworkImageNet(NetworkCIFAR):
    def __init__(self, c, n_classes, layers, auxiliary, genotype):
        nn.Module.__init__(self)
        self.stem0 = nn.Sequential(
            nn.Conv2d(3, c // 2, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(c // 2),
            nn.ReLU(),
            nn.Conv2d(c // 2, c, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(c),
        )
        self.stem1 = nn.Sequential(nn.ReLU(), nn.Conv2d(c, c, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(c))
        self.build(genotype, c, layers, (c, c), True, n_classes, AuxiliaryHeadImageNet if auxiliary else None)

    def stems(self, x):
        s0 = self.stem0(x)
        return s0, self.stem1(s0)


class ResidualBlock(nn.Module):
    """NAS-Bench-201's ResNetBasicblock of stride 2."""

    def __init__(self, c):
        super().__init__()
        self.conv_a, self.conv_b = relu_conv_bn(c, 2 * c, 3, 2, 1), relu_conv_bn(2 * c, 2 * c, 3, 1, 1)
        self.downsample = nn.Sequential(nn.AvgPool2d(2, 2, 0), nn.Conv2d(c, 2 * c, 1, bias=False))

    def forward(self, x):
        return self.conv_b(self.conv_a(x)) + self.downsample(x)


class InferCell(nn.Module):
    def __init__(self, arch, c):
        super().__init__()
        self.ops = nn.ModuleList(OPS[NAS_BENCH_201.operations[op]](c, 1) for op in string_to_arch(arch))

    def forward(self, x):
        nodes = [x]
        for node in (1, 2, 3):
            incoming = [
                (op, edge[0]) for op, edge in zip(self.ops, NAS_BENCH_201.edges, strict=True) if edge[1] == node
            ]
            nodes.append(sum(op(nodes[source]) for op, source in incoming))
        return nodes[-1]


class TinyNetwork(nn.Module):
    """NAS-Bench-201's network: C, n cells a stage."""

    def __init__(self, c, n, arch, n_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, c, 3, padding=1, bias=False), nn.BatchNorm2d(c))
        self.cells = nn.ModuleList()
        for stage in range(3):
            if stage:
                self.cells.append(ResidualBlock(c))
                c *= 2
            self.cells.extend(InferCell(arch, c) for _ in range(n))
        self.lastact = nn.Sequential(nn.BatchNorm2d(c), nn.ReLU())
        self.classifier = nn.Linear(c, n_classes)

    def forward(self, x):
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x)
        return self.classifier(self.lastact(x).mean((2, 3)))
