"""What a finished search left: its weights, alpha, and the validation images in fixed batches (reading 6 of DESIGN)."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from flatlib.data.images import ImageSet, normalize
from flatlib.run.checkpoint import RunError, load_checkpoint
from flatlib.run.hardware import resolve_device
from flatlib.search.config import SearchConfig, identity
from flatlib.search.curvature import Batch
from flatlib.search.estimate import CACHE_BYTES, widest_bytes
from flatlib.search.runs import read_run
from flatlib.search.search import load_for
from flatlib.search.searcher import Searcher
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

    config: SearchConfig
    net: Supernet
    weights: Tensor  # (P,) those of the search's end, also where DARTS-ES took an earlier alpha
    alphas: Tensor  # (T, E, O)
    edge_weights: Tensor | None  # (T, E) PC-DARTS's
    batches: tuple[Batch, ...]  # whole ones of the search's size, not augmented, in a fixed order
    chunk: int  # neighbors at once


@lru_cache(maxsize=2)
def _open(source: Source) -> Found:
    """RunError, one line, for a search that is not finished, or whose checkpoint is missing or another one's."""
    run = read_run(source.folder)
    if run.result is None:
        raise RunError(f"{run.folder}: not finished; the same search goes on, and then has a landscape")
    state = load_checkpoint(run.folder / "checkpoint.pt", identity(run.config))
    if state is None:
        raise RunError(f"{run.folder}: no checkpoint.pt, so the weights are lost; run the search again")
    images = load_for(run.config, source.data_dir).to(resolve_device(run.config.device))
    searcher = Searcher(run.config, images, chunk=1)
    searcher.restore(state)
    weights, gamma = searcher.learner.weights.detach(), run.trace.edge_weights
    epoch, kernels = run.result.epoch, searcher.learner.net.kernels  # the epoch whose cell the search took
    return Found(
        run.config,
        searcher.learner.net,
        weights,
        torch.from_numpy(run.trace.alphas[epoch]).to(weights),
        None if gamma is None else torch.from_numpy(gamma[epoch]).to(weights),
        fixed_batches(images, searcher.valid_half, run.config.batch_size, source.n_valid, weights.dtype),
        GPU_CHUNK if weights.is_cuda else max(1, CACHE_BYTES[kernels] // widest_bytes(run.config, images)),
    )


def fixed_batches(
    images: ImageSet, rows: Tensor, batch_size: int, n_valid: int, dtype: torch.dtype
) -> tuple[Batch, ...]:
    """The first `n_valid` of some training images, in whole batches; ValueError, one line, for less than one."""
    n = (min(n_valid, len(rows)) or len(rows)) // batch_size * batch_size
    if not n:
        most = len(rows) // batch_size * batch_size
        raise ValueError(
            f"n_valid = {n_valid}: less than a batch of {batch_size}; allowed: {batch_size} to {most}, or 0: all"
        )
    shown = normalize(images.images["train"][rows[:n]], images).to(dtype)
    return tuple(zip(shown.split(batch_size), images.labels["train"][rows[:n]].split(batch_size), strict=True))
