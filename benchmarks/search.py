"""Speed of a NA-DARTS step against the naive loop: python benchmarks/search.py [threads]

A step is the architecture gradient over 10 neighbors and the weight gradient with its SGD step. Naive, plain and
compiled run in three processes with the same threads and the same allocator settings, step by step in turn.
GFLOP/s count the convolutions that a step needs; the floor is their time at the speed of a product of matrices.
"""

import statistics
import sys
from dataclasses import replace
from pathlib import Path

import machine
import numpy as np
import torch
import torch.nn.functional as F

from flatlib.run.hardware import keep_freed_memory
from flatlib.search.kernels import build
from flatlib.search.objective import draw_neighbors
from flatlib.search.supernet import Supernet
from flatlib.spaces import DARTS

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from naive_supernet import NaiveSupernet, naive_arch_gradient

SETTINGS = {  # channels, cells, batch, pixels: neighbors at once (plain, compiled), repetitions
    (4, 4, 32, 8): (10, 10, 9),
    (4, 4, 32, 16): (5, 10, 7),
    (16, 8, 16, 32): (1, 2, 3),
    (16, 8, 64, 32): (1, 1, 1),
}
N_NBR = 10
WAYS = ("naive", "plain", "compiled")


def problem(channels: int, cells: int, batch: int, pixels: int) -> tuple:
    """The same network, neighbors and images in both processes."""
    generator = torch.Generator().manual_seed(0)
    net = Supernet(DARTS, channels, cells, 10)
    weights = net.initial_weights(generator)
    alphas = torch.softmax(1e-3 * torch.randn(2, 14, 8, generator=generator), -1).double().numpy()
    neighbors = draw_neighbors(alphas, N_NBR, 6, np.random.default_rng(0))(torch.tensor(alphas)).float()
    images = torch.randn(batch, 3, pixels, pixels, generator=generator)
    labels = torch.randint(0, 10, (batch,), generator=generator)
    return net, weights, neighbors, images, labels


def naive_steps(net: Supernet, weights: torch.Tensor, neighbors, images, labels, chunk: int) -> tuple:
    naive = NaiveSupernet(net, weights)
    optimizer = torch.optim.SGD(naive.parameters(), 0.025, 0.9, weight_decay=3e-4)

    def architecture() -> None:
        naive.zero_grad()
        naive_arch_gradient(naive, neighbors, images, labels, [1 / N_NBR] * N_NBR)

    def weight() -> None:
        optimizer.zero_grad()
        F.cross_entropy(naive(images, neighbors[0]), labels).backward()
        torch.nn.utils.clip_grad_norm_(naive.parameters(), 5.0)
        optimizer.step()

    return architecture, weight


def fast_steps(net: Supernet, weights: torch.Tensor, neighbors, images, labels, chunk: int) -> tuple:
    weights.requires_grad_()
    optimizer = torch.optim.SGD([weights], 0.025, 0.9, weight_decay=3e-4)

    def architecture() -> None:
        fixed = weights.detach()
        shared = net.share(fixed, images)
        for part in neighbors.split(chunk):
            point = part.clone().requires_grad_()
            logits = net.logits(fixed, images, point, shared=shared)
            loss = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(part)), reduction="sum")
            (loss / len(labels) / N_NBR).backward()

    def weight() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net.logits(weights, images, neighbors[:1])[0], labels).backward()
        torch.nn.utils.clip_grad_norm_([weights], 5.0)
        optimizer.step()

    return architecture, weight


def convolution_flops(net: Supernet, batch: int, pixels: int) -> float:
    """Of one neighbor forward, with what all neighbors share: depthwise and pointwise, 2 operations a product."""
    total = 0.0
    for plan in net.plan:
        side = pixels
        pixels = pixels // 2 if plan.reduces else pixels
        for source, edges in net.sources.items():
            c, out = plan.channels, batch * pixels**2
            products = 6 * c + 3 * (9 + 25) + (c if net.stride(plan, source) == 2 else 0)
            total += 2 * len(edges) * out * c * products
        total += 2 * batch * side**2 * plan.channels * sum(plan.inputs)
    return total


def worker(which: str, threads: str, *setting: str) -> None:
    """One step for each line read: prints seconds of both halves and the peak memory so far."""
    torch.set_num_threads(int(threads))
    keep_freed_memory()
    *setting, chunk = map(int, setting)
    net, *others = problem(*setting)
    steps = (naive_steps if which == "naive" else fast_steps)(replace(net, kernels=which), *others, chunk)
    if reason := which == "compiled" and build.missing():
        raise SystemExit(reason)
    machine.answer(lambda: [machine.timed(step) for step in steps])


def matrix_speed(threads: int) -> float:
    """GFLOP/s of a float32 product."""
    torch.set_num_threads(threads)
    a = torch.randn(2048, 2048)
    return 2 * 2048**3 / machine.seconds(lambda: a @ a) / 1e9


def measure(setting: tuple, chunks: dict[str, int], repetitions: int, threads: int) -> None:
    rows = machine.in_turn(__file__, list(WAYS), [str(value) for value in (threads, *setting)], repetitions, chunks)
    c, cells, batch, pixels = setting
    net = Supernet(DARTS, c, cells, 10)
    flops = convolution_flops(net, batch, pixels) * (
        2 * N_NBR + 3
    )  # architecture: forward and data; weights: all three
    floor, naive = flops / 1e9 / matrix_speed(threads), rows["naive"]
    for way, chunk in chunks.items():
        arch, weight, memory = (statistics.median(column) for column in zip(*rows[way], strict=True))
        ratios = sorted((n[0] + n[1]) / (f[0] + f[1]) for n, f in zip(naive, rows[way], strict=True))
        print(
            f"C={c:<2} cells={cells} batch={batch} {pixels:>2} px | {way:<8} {chunk:>2} at once | {arch:7.3f} + "
            f"{weight:6.3f} s | {statistics.median(ratios):5.1f} times ({ratios[0]:.1f}-{ratios[-1]:.1f}) | "
            f"{flops / 1e9 / (arch + weight):5.1f} GFLOP/s, {floor / (arch + weight):.0%} of the floor's | "
            f"{memory:.2f} GiB",
            flush=True,
        )


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print(machine.describe("torch", "numpy"), f"- {threads} thread(s), {N_NBR} neighbors, median step")
    print(f"a product of matrices: {matrix_speed(threads):.0f} GFLOP/s")
    for setting, (plain, compiled, repetitions) in SETTINGS.items():
        measure(setting, {"naive": 1, "plain": plain, "compiled": compiled}, repetitions, threads)


if __name__ == "__main__":
    worker(*sys.argv[1:]) if sys.argv[1:] and sys.argv[1] in WAYS else main()
