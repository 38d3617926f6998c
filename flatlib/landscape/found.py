"""What a finished search left, and work on it: its weights, alpha, and the validation images in fixed batches.

BatchNorm makes the loss depend on how the images are split (reading 6 of DESIGN), so the batches are always the same.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flatlib.run.checkpoint import RunError, load_checkpoint
from flatlib.search.curvature import Batch
from flatlib.search.runs import Run
from flatlib.search.search import CACHE_BYTES, Searcher, load_for, widest_bytes
from flatlib.search.supernet import Supernet

GPU_CHUNK = 64  # neighbors at once


@dataclass(frozen=True)
class Source:
    """Where to find it again, in another process too."""

    folder: str  # of the run
    n_valid: int  # validation images; 0: all
    data_dir: str | None = None

    def open(self) -> "Found":
        return _open(self)


@dataclass(frozen=True)
class Found:
    """A found architecture, and the loss around it."""

    net: Supernet
    weights: Tensor  # (P,) those of the search's end, also where DARTS-ES took an earlier alpha
    alphas: Tensor  # (T, E, O)
    edge_weights: Tensor | None  # (T, E) PC-DARTS's
    batches: tuple[Batch, ...]  # whole ones of the search's size, not augmented, in a fixed order
    chunk: int  # neighbors at once


@lru_cache(maxsize=2)
def _open(source: Source) -> Found:
    """RunError, one line, for a search that is not finished, or whose checkpoint is missing or another one's."""
    run = Run.read(source.folder)
    state = load_checkpoint(run.folder / "checkpoint.pt", Run.identity(run.config))
    if state is None:
        raise RunError(f"{run.folder}: no checkpoint.pt, so the weights are lost; run the search again")
    images = load_for(run.config, source.data_dir)
    searcher = Searcher(run.config, images, chunk=1)
    searcher.restore(state)
    net, weights, gamma = searcher.learner.net, searcher.learner.weights.detach(), run.trace.edge_weights
    epoch = run.result.epoch  # whose cell the search took
    return Found(
        net,
        weights,
        torch.from_numpy(run.trace.alphas[epoch]).to(weights),
        None if gamma is None else torch.from_numpy(gamma[epoch]).to(weights),
        searcher.fixed_batches(source.n_valid),
        GPU_CHUNK if weights.is_cuda else max(1, CACHE_BYTES[net.kernels] // widest_bytes(run.config, images)),
    )


# --- work on each batch, in a process a core ----------------------------------------------------------


def for_batches(
    work: Callable[..., np.ndarray],  # of what was found, the batch's number, and some arguments
    source: Source,
    *arguments: Any,
    pool: Executor | None = None,  # None: this process
) -> np.ndarray:  # (batches, ...)
    """work(found, batch, *arguments) for each batch, in their order."""
    on_batch = partial(_on_batch, work, source, arguments)
    return np.stack([*(pool.map if pool else map)(on_batch, range(len(source.open().batches)))])


def _on_batch(work: Callable[..., np.ndarray], source: Source, arguments: tuple, at: int) -> np.ndarray:
    return work(source.open(), at, *arguments)
