"""What a landscape will take, before it starts."""

import time
from collections.abc import Callable

import torch

from flatlib.landscape.config import LandscapeConfig
from flatlib.landscape.found import Source
from flatlib.landscape.plane import losses_on
from flatlib.landscape.workers import n_workers
from flatlib.run.hardware import machine, peak_bytes
from flatlib.run.progress import duration
from flatlib.search.curvature import hessian_vector_product, loss_of_alphas
from flatlib.search.runs import Run

ROWS = 7  # vectors of the timed product


def estimate(run: Run, config: LandscapeConfig) -> str:
    """One line: time a few products and a chunk of the plane on one batch."""
    found = Source(str(run.folder), config.n_valid).open()
    n, size, device = len(found.batches), found.alphas.numel(), found.weights.device.type
    some = torch.eye(size).to(found.alphas)[:ROWS].view(-1, *found.alphas.shape)
    loss_on = loss_of_alphas(found.net, found.weights, found.edge_weights)
    product = _seconds(lambda: hessian_vector_product(loss_on, found.alphas, some, found.batches[:1])) / len(some)
    chunk = found.alphas.double().cpu()[None].expand(found.chunk, -1, -1, -1).numpy()
    point = _seconds(lambda: losses_on(found, 0, chunk)) / found.chunk
    points = config.grid**2 + (config.grid // 4 * 2 + 1) ** 2 + (config.distance + 1) * config.n_discrete
    processes = n_workers(n)
    seconds, memory = n * (size * product + points * point) / processes, peak_bytes(device) * processes
    return (
        f"about {duration(seconds)}, {memory / 1e9:.1f} GB: a Hessian of {size} x {size} and {points:,} points on {n} "
        f"batches of {run.config.batch_size}; {processes} process{'es' * (processes > 1)}, {machine(device)}"
    )


def _seconds(work: Callable[[], object]) -> float:
    work()  # the first also warms up
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
