"""The supernets as modules in DARTS's and NAS-Bench-201's own manner: one neighbor, one edge, one operation at a time.

The oracle of `flatlib.search.supernet`, and what `benchmarks/search.py` measures it against.
"""

import torch
import torch.nn.functional as F
from torch import nn

from flatlib.search.supernet import Supernet
from flatlib.spaces import NAS_BENCH_201


def norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, affine=False)


def relu_conv(c_in: int, c_out: int, size: int = 1, stride: int = 1) -> nn.Module:
    conv = nn.Conv2d(c_in, c_out, size, stride=stride, padding=size // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, norm(c_out))


def depthwise_block(c: int, size: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (size // 2)
    depthwise = nn.Conv2d(c, c, size, stride, padding, dilation, groups=c, bias=False)
    return [nn.ReLU(), depthwise, nn.Conv2d(c, c, 1, bias=False), norm(c)]


class FactorizedReduce(nn.Module):
    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.norm = norm(c_out)

    def forward(self, x):
        x = F.relu(x)
        odd = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(odd)], 1))


class Zero(nn.Module):
    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


def operation(name: str, c: int, stride: int, pool_norm: bool) -> nn.Module:
    kind, size = name.rsplit("_", 1)[0], int(name[-1]) if name[-1].isdigit() else 0
    if kind.endswith("pool"):
        pool = nn.MaxPool2d(3, stride, 1) if kind == "max_pool" else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        return nn.Sequential(pool, norm(c)) if pool_norm else pool
    return {
        "none": lambda: Zero(stride),
        "skip_connect": lambda: nn.Identity() if stride == 1 else FactorizedReduce(c, c),
        "sep_conv": lambda: nn.Sequential(*depthwise_block(c, size, stride), *depthwise_block(c, size, 1)),
        "dil_conv": lambda: nn.Sequential(*depthwise_block(c, size, stride, 2)),
        "nor_conv": lambda: relu_conv(c, c, size),
    }[name if name in ("none", "skip_connect") else kind]()


class MixedOp(nn.Module):
    def __init__(self, space, c: int, stride: int):
        super().__init__()
        self.ops = nn.ModuleList(operation(name, c, stride, space is not NAS_BENCH_201) for name in space.operations)

    def forward(self, x, alpha):  # alpha (O,)
        return sum(a * op(x) for a, op in zip(alpha, self.ops, strict=True))


class PartialMixedOp(nn.Module):
    """PC-DARTS: the first 1 / K of the channels pass the operations, then all are shuffled."""

    def __init__(self, space, c: int, stride: int, k: int):
        super().__init__()
        self.mixed, self.k, self.stride = MixedOp(space, c // k, stride), k, stride

    def forward(self, x, alpha):
        c = x.shape[1] // self.k
        y, rest = self.mixed(x[:, :c], alpha), x[:, c:]
        y = torch.cat([y, F.max_pool2d(rest, 2, ceil_mode=True) if self.stride == 2 else rest], 1)
        b, c, h, w = y.shape
        return y.view(b, self.k, c // self.k, h, w).transpose(1, 2).reshape(b, c, h, w)


class Cell(nn.Module):
    def __init__(self, net: Supernet, at: int):
        super().__init__()
        plan, self.space = net.plan[at], net.space
        c, inputs = plan.channels, plan.inputs
        self.inputs = nn.ModuleList()
        if net.n_inputs == 2:
            first = FactorizedReduce(inputs[0], c) if plan.after_reduction else relu_conv(inputs[0], c)
            self.inputs.extend([first, relu_conv(inputs[1], c)])
        strides = [net.stride(plan, source) for source, _ in net.space.edges]
        make = MixedOp if net.partial == 1 else lambda *args: PartialMixedOp(*args, net.partial)
        self.edges = nn.ModuleList(make(net.space, c, stride) for stride in strides)

    def forward(self, inputs, alphas, edge_weights):  # alphas (E, O)
        states = [f(x) for f, x in zip(self.inputs, inputs, strict=True)] if self.inputs else list(inputs)
        for node in range(len(states), 1 + max(target for _, target in self.space.edges)):
            terms = [
                edge_weights[e] * self.edges[e](states[source], alphas[e])
                for e, (source, target) in enumerate(self.space.edges)
                if target == node
            ]
            states.append(sum(terms))
        return torch.cat(states[2:], 1) if self.inputs else states[-1]


class ResidualBlock(nn.Module):
    def __init__(self, c: int):
        super().__init__()
        self.a, self.b = relu_conv(c // 2, c, 3, 2), relu_conv(c, c, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(c // 2, c, 1, bias=False))

    def forward(self, x):
        return self.b(self.a(x)) + self.shortcut(x)


class NaiveSupernet(nn.Module):
    """The network that a `Supernet` describes, with its weights copied from the vector."""

    def __init__(self, net: Supernet, weights: torch.Tensor):
        super().__init__()
        self.net = net
        stem = net.stem_channels
        self.stem = nn.Sequential(nn.Conv2d(net.in_channels, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        self.cells = nn.ModuleList(
            Cell(net, at) if plan.searched else ResidualBlock(plan.channels) for at, plan in enumerate(net.plan)
        )
        last = net.plan[-1].channels * (4 if net.n_inputs == 2 else 1)
        self.last = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU()) if net.space is NAS_BENCH_201 else nn.Identity()
        self.head = nn.Linear(last, net.n_classes)
        self.to(weights.dtype)
        with torch.no_grad():
            for parameter, value in self.pairs(weights):
                assert parameter.numel() == value.numel()
                parameter.copy_(value.reshape(parameter.shape))

    def pairs(self, vector: torch.Tensor):
        """(parameter, its part of a vector of weights or of their gradients)."""
        part, net = self.net.named(vector), self.net
        yield from zip(
            self.stem.parameters(), [part[n, -1, -1] for n in ("stem", "stem_scale", "stem_shift")], strict=True
        )
        for at, cell in enumerate(self.cells):
            if isinstance(cell, ResidualBlock):
                for module, name in ((cell.a[1], "conv_a"), (cell.b[1], "conv_b"), (cell.shortcut[1], "shortcut")):
                    yield module.weight, part[name, at, -1]
                continue
            for i, module in enumerate(cell.inputs):
                yield from self.reduce_or_conv(module, part["input", at, i])
            for source, edges in net.sources.items():
                for e, edge in enumerate(edges):
                    own = {name: value[..., :] for (name, a, s), value in part.items() if (a, s) == (at, source)}
                    mixed = cell.edges[edge] if net.partial == 1 else cell.edges[edge].mixed
                    for name, op in zip(net.space.operations, mixed.ops, strict=True):
                        yield from self.of_operation(name, op, own, e)
        if net.space is NAS_BENCH_201:
            yield self.last[0].weight, part["last_scale", -1, -1]
            yield self.last[0].bias, part["last_shift", -1, -1]
        yield self.head.weight, part["head", -1, -1]
        yield self.head.bias, part["head_bias", -1, -1]

    @staticmethod
    def reduce_or_conv(module, value):
        if isinstance(module, FactorizedReduce):
            yield from ((module.even.weight, value[0]), (module.odd.weight, value[1]))
        else:
            yield module[1].weight, value

    @staticmethod
    def of_operation(name, op, own, e):
        size = name[-1]
        if name.startswith("nor_conv"):
            yield op[1].weight, own[f"conv_{size}"][e]
        for first, at in {"sep_conv": ((1, 0), (5, 1)), "dil_conv": ((1, 2),)}.get(name[:8], ()):
            yield op[first].weight, own[f"depthwise_{size}"][at, e]
            yield op[first + 1].weight, own[f"pointwise_{size}"][at, e]
        if isinstance(op, FactorizedReduce):
            yield from ((op.even.weight, own["reduce"][0, e]), (op.odd.weight, own["reduce"][1, e]))

    def forward(self, images, alphas, edge_weights=None):  # alphas (T, E, O) -> (B, classes)
        x = self.stem(images)
        inputs = [x] * self.net.n_inputs
        ones = torch.ones(len(self.net.space.edges), dtype=x.dtype)
        for plan, cell in zip(self.net.plan, self.cells, strict=True):
            if isinstance(cell, ResidualBlock):
                x = cell(x)
            else:
                kind = int(plan.reduces)
                x = cell(inputs, alphas[kind], ones if edge_weights is None else edge_weights[kind])
            inputs = [*inputs, x][-self.net.n_inputs :]
        return self.head(self.last(x).mean((2, 3)))


def naive_arch_gradient(naive: NaiveSupernet, neighbors, images, labels, weights_of_losses):
    """Gradients with respect to neighbors (N, T, E, O) of sum_n w_n f_n, one `loss.backward()` a neighbor."""
    gradients = []
    for alphas, weight in zip(neighbors, weights_of_losses, strict=True):
        point = alphas.clone().requires_grad_()
        (weight * F.cross_entropy(naive(images, point), labels)).backward()
        gradients.append(point.grad)
    return torch.stack(gradients)


def naive_loss_on(net: Supernet, weights: torch.Tensor):
    """As `loss_of_alphas`: batch -> points (N, T, E, O) -> losses (N,), differentiable again and again."""
    naive = NaiveSupernet(net, weights)
    for module in naive.modules():
        if isinstance(module, nn.BatchNorm2d):  # a graph refuses statistics that are written in place
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return lambda batch: lambda points: torch.stack([F.cross_entropy(naive(batch[0], p), batch[1]) for p in points])
