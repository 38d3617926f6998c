"""Speed of the evaluation phase: python benchmarks/evaluation.py [threads] [batch] [way ...]

A training step of DARTS_V2 on CIFAR-10 at C = 36, 20 cells, with auxiliary classifier: the plain DARTS network
(tests/naive_darts.py, eager, NCHW; `last`: in channels_last) and ours (float32, and bf16 autocast), in turn, in
processes of their own with the same threads and allocator settings. All stay in memory, 10 GiB at batch 32: name ways
to leave the others out. And what the costs of the whole catalogue take.
"""

import statistics
import sys
from pathlib import Path

import machine
import torch
import torch.nn.functional as F
from torch import nn

from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.cost import SIZES, cost
from flatlib.evaluation.networks import Network
from flatlib.evaluation.plan import IMAGES, network_plan
from flatlib.run.hardware import keep_freed_memory

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from naive_darts import NetworkCIFAR

CHANNELS, CELLS = SIZES["cifar10"]
CELL = "DARTS_V2"
WAYS = ["naive", "last", "ours", "bf16"]
REPETITIONS = 4


def worker(which: str, threads: str, batch: str) -> None:
    """A step for each line read."""
    torch.set_num_threads(int(threads))
    keep_freed_memory()
    cell, generator = catalogue()[CELL].cell, torch.Generator().manual_seed(0)
    layout = torch.contiguous_format if which == "naive" else torch.channels_last
    if which in ("naive", "last"):
        net = NetworkCIFAR(CHANNELS, 10, CELLS, True, cell)
    else:
        plan = network_plan(cell, IMAGES["cifar10"], channels=CHANNELS, cells=CELLS, auxiliary=True)
        net = Network(plan, generator)
    net = nn.utils.convert_conv2d_weight_memory_format(net, layout)
    images = torch.randn(int(batch), 3, 32, 32, generator=generator).to(memory_format=layout)
    labels = torch.randint(10, (int(batch),), generator=generator)
    sgd = torch.optim.SGD(net.parameters(), 0.025, 0.9, weight_decay=3e-4)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=which == "bf16"):
            logits, auxiliary = net(images)
        loss = F.cross_entropy(logits.float(), labels) + 0.4 * F.cross_entropy(auxiliary.float(), labels)
        sgd.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        sgd.step()

    machine.answer(lambda: [machine.timed(step)])


def peak(threads: int) -> float:
    """GFLOP/s of a large product in float32."""
    torch.set_num_threads(threads)
    a = torch.randn(2048, 2048)
    return 2 * 2048**3 / machine.seconds(lambda: a @ a) / 1e9


def catalogue_costs() -> None:
    for known in catalogue().values():
        for dataset in ("cifar10", "imagenet"):
            channels, cells = SIZES[dataset]
            cost(network_plan(known.cell, IMAGES[dataset], channels=channels, cells=cells))


def main() -> None:
    given = sys.argv[1:]
    threads, batch = int(given[0]) if given else 2, int(given[1]) if given[1:] else 32
    ways = ["naive", *(way for way in given[2:] or WAYS if way != "naive")]
    print(
        machine.describe("torch", "numpy"),
        f"- {threads} thread(s), batch {batch}, {CELL}, C = {CHANNELS}, {CELLS} cells",
    )
    took = machine.seconds(catalogue_costs)
    print(f"costs of {len(catalogue())} cells at 2 sizes: {1000 * took:.0f} ms")
    plan = network_plan(catalogue()[CELL].cell, IMAGES["cifar10"], channels=CHANNELS, cells=CELLS)
    gflop, top = 3 * 2 * batch * cost(plan).multi_adds / 1e9, peak(threads)  # forward, and twice that backward
    results = machine.in_turn(__file__, ways, [str(threads), str(batch)], REPETITIONS)
    naive = [row[0] for row in results["naive"]]
    for name, rows in results.items():
        step, memory = statistics.median(row[0] for row in rows), rows[-1][1]
        ratios = sorted(slow / row[0] for slow, row in zip(naive, rows, strict=True))
        print(
            f"{name:6} {step:6.2f} s a step, {statistics.median(naive) / step:.2f} times naive "
            f"({ratios[0]:.2f}-{ratios[-1]:.2f}); {gflop / step:.0f} GFLOP/s, {gflop / step / top:.0%} of {top:.0f}; "
            f"peak {memory:.1f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    worker(*sys.argv[1:]) if sys.argv[1:2] and sys.argv[1] in WAYS else main()
