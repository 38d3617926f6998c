"""The full Hessian and the plane of notebook 06's default size against one vector, one point at a time.

    python benchmarks/landscape.py [repetitions]

Naive: the supernet as modules (tests/naive_supernet.py), one forward pass whose graph is kept and a backward pass
through its gradient for each row; one point of the plane a pass. One thread each, in turn, in
two processes; a repetition takes some rows and points, from which the whole is extrapolated. The last line is the whole
Hessian of all batches as the notebook takes it, in a process a thread.
"""

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from machine import answer, describe, in_turn, timed

from flatlib.landscape.config import LandscapeConfig
from flatlib.landscape.found import Source, for_batches
from flatlib.landscape.landscape import hessian_on
from flatlib.landscape.plane import losses_on, random_directions, step_on_plane
from flatlib.run.hardware import keep_freed_memory
from flatlib.run.workers import workers
from flatlib.search.config import SearchConfig
from flatlib.search.curvature import hessian_vector_product, loss_of_alphas
from flatlib.search.search import search

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from naive_supernet import naive_loss_on

ROWS, POINTS, GRID = 28, 82, 41


def worker(which: str, folder: str, precision: str) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    found = Source(folder, LandscapeConfig().n_valid).open()
    if precision == "float64":
        double = {name: getattr(found, name).double() for name in ("weights", "alphas")}
        found = replace(found, **double, batches=tuple((x.double(), y) for x, y in found.batches))
    naive = naive_loss_on(found.net, found.weights)(found.batches[0])
    loss_on = loss_of_alphas(found.net, found.weights, found.edge_weights)
    size, shape = found.alphas.numel(), tuple(found.alphas.shape)
    chosen = torch.randperm(size, generator=torch.Generator().manual_seed(0))[:ROWS]
    rows = torch.eye(size).to(found.alphas).view(size, *shape)[chosen]
    steps = np.random.default_rng(0).uniform(-1, 1, (POINTS, 2))
    points, _, _ = step_on_plane(found.alphas.double().numpy(), random_directions(shape, 0), steps)

    def naive_products() -> torch.Tensor:  # (ROWS, *shape)
        x = found.alphas[None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(naive(x).sum(), x, create_graph=True)
        return torch.cat([torch.autograd.grad(gradient, x, row[None], retain_graph=True)[0] for row in rows]).double()

    def products() -> torch.Tensor:
        return hessian_vector_product(loss_on, found.alphas, rows, found.batches[:1])

    @torch.no_grad()
    def naive_losses() -> np.ndarray:  # (POINTS,)
        return torch.cat([naive(point[None]) for point in torch.from_numpy(points).to(found.weights)]).double().numpy()

    def losses() -> np.ndarray:
        return losses_on(found, 0, points)[0]

    def work() -> list[float]:
        seen: list[np.ndarray] = []
        hessian = timed(lambda: seen.append((naive_products if which == "naive" else products)().numpy()))
        plane = timed(lambda: seen.append((naive_losses if which == "naive" else losses)()))
        check = [float(one.ravel() @ np.cos(np.arange(one.size))) for one in seen]
        return [hessian * size / ROWS, plane * GRID**2 / POINTS, *check]

    answer(work)


def measure(folder: str, repetitions: int) -> None:
    found = in_turn(__file__, ["naive", "fast"], [folder, "float32"], repetitions)
    for at, name in enumerate(("Hessian 224 x 224, one batch of 32", "plane 41 x 41, one batch of 32")):
        naive, fast = ([row[at] for row in found[which]] for which in ("naive", "fast"))
        ratio = statistics.median(n / f for n, f in zip(naive, fast, strict=True))
        print(
            f"{name}: naive {statistics.median(naive):.1f} s, fast {statistics.median(fast):.1f} s, ratio {ratio:.1f}"
        )
    naive, fast = (row[0] for row in in_turn(__file__, ["naive", "fast"], [folder, "float64"], 1).values())
    print(
        "float64, largest relative difference of the sums:",
        max(abs(a / b - 1) for a, b in zip(naive[2:4], fast[2:4], strict=True)),
    )
    source = Source(folder, LandscapeConfig().n_valid)
    n = len(source.open().batches)
    with workers(n) as pool:
        for_batches(losses_on, source, np.full((1, *source.open().alphas.shape), 1 / 8), pool=pool)
        begin = time.perf_counter()
        for_batches(hessian_on, source, pool=pool)
        print(f"whole Hessian, {n} batches, a process a core: {time.perf_counter() - begin:.1f} s")


def main() -> None:
    if len(sys.argv) > 2:
        worker(*sys.argv[1:])
        return
    print(describe("torch", "numpy"))
    with tempfile.TemporaryDirectory() as runs_dir:
        run = search(SearchConfig(method="darts", epochs=1), runs_dir)
        measure(str(run.folder), int(sys.argv[1]) if len(sys.argv) > 1 else 3)


if __name__ == "__main__":
    main()
