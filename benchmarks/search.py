"""Speed of a NA-DARTS step against the naive loop: python benchmarks/search.py [threads]

A step is the architecture gradient over 10 neighbors and the weight gradient with its SGD step. Naive and
fast run in two processes with the same threads and the same allocator settings, step by step in turn.
"""

import statistics
import sys
from pathlib import Path

import machine
import numpy as np
import torch
import torch.nn.functional as F

from flatlib.memory import keep_freed_memory
from flatlib.neighborhoods import sample_relaxed_neighbors
from flatlib.search.supernet import Supernet
from flatlib.spaces import DARTS

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from naive_supernet import NaiveSupernet, naive_arch_gradient

SETTINGS = {  # channels, cells, batch, pixels: neighbors at once, repetitions
    (4, 4, 32, 8): (10, 9),
    (4, 4, 32, 16): (5, 7),
    (16, 8, 16, 32): (1, 2),
}
N_NBR = 10


def problem(channels: int, cells: int, batch: int, pixels: int) -> tuple:
    """The same network, neighbors and images in both processes."""
    generator = torch.Generator().manual_seed(0)
    net = Supernet(DARTS, channels, cells, 10)
    weights = net.initial_weights(generator)
    alphas = torch.softmax(1e-3 * torch.randn(2, 14, 8, generator=generator), -1).double().numpy()
    neighbors = torch.tensor(sample_relaxed_neighbors(alphas, N_NBR, 6, np.random.default_rng(0)), dtype=torch.float32)
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


def worker(which: str, threads: str, *setting: str) -> None:
    """One step for each line read: prints seconds of both halves and the peak memory so far."""
    torch.set_num_threads(int(threads))
    keep_freed_memory()
    *setting, chunk = map(int, setting)
    steps = {"naive": naive_steps, "fast": fast_steps}[which](*problem(*setting), chunk)
    machine.answer(lambda: [machine.timed(step) for step in steps])


def measure(setting: tuple, chunk: int, repetitions: int, threads: int) -> None:
    arguments = [str(value) for value in (threads, *setting, chunk)]
    results = machine.in_turn(__file__, ["naive", "fast"], arguments, repetitions)
    (na, nw, nm), (fa, fw, fm) = ([statistics.median(c) for c in zip(*rows, strict=True)] for rows in results.values())
    ratios = sorted((n[0] + n[1]) / (f[0] + f[1]) for n, f in zip(*results.values(), strict=True))
    c, cells, batch, pixels = setting
    print(
        f"C={c:<2} cells={cells} batch={batch} {pixels:>2} px, {chunk:>2} at once | naive {na:7.3f} + {nw:6.3f} s, "
        f"{nm:.2f} GiB | fast {fa:7.3f} + {fw:6.3f} s, {fm:.2f} GiB | {(na + nw) / (fa + fw):5.1f} times "
        f"({ratios[0]:.1f}-{ratios[-1]:.1f}; architecture {na / fa:.1f}, weights {nw / fw:.1f})",
        flush=True,
    )


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print(machine.describe("torch", "numpy"), f"- {threads} thread(s), {N_NBR} neighbors, median step")
    for setting, (chunk, repetitions) in SETTINGS.items():
        measure(setting, chunk, repetitions, threads)


if __name__ == "__main__":
    worker(*sys.argv[1:]) if sys.argv[1:2] in (["naive"], ["fast"]) else main()
