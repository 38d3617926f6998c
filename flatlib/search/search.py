"""A search from its config to its folder, and what it will take, before it starts."""

from pathlib import Path
from typing import Any

import torch

from flatlib.data.images import ImageSet, load_images
from flatlib.run import loop
from flatlib.run.folder import open_run
from flatlib.run.hardware import resolve_device
from flatlib.search.config import SearchConfig, recipe
from flatlib.search.kernels import choose
from flatlib.search.runs import Run
from flatlib.search.searcher import Searcher
from flatlib.spaces import SPACES

# of `widest_bytes`; benchmarks/search.py, plain: 10 neighbors at C = 4, batch 32, 8 px; 5 at 16 px; 1 at C = 16, 32 px
CACHE_BYTES = {"plain": 8 * 2**20, "naive": 8 * 2**20, "triton": 8 * 2**20, "compiled": 20 * 2**20}
GPU_SHARE = 0.8  # of the free memory; the allocator's fragments need the rest


def search(
    config: SearchConfig,
    runs_dir: str | Path,
    *,
    data_dir: str | Path | None = None,
    chunk: int = 0,  # neighbors at once; 0: as before, or chosen from the sizes
    kernels: str = "auto",
    **how: Any,  # checkpoint_seconds, on_epoch, on_step of `run_to_end`
) -> Run:
    """Run a search, go on with an interrupted one to the same bits, or read a finished one.

    The bits are the same with the same chunk, kernels and number of threads; on a GPU with deterministic algorithms.
    Raises RunError (nothing was started), RunStoppedError (a loss is not finite, too little memory, no room),
    KeyboardInterrupt, and what `load_for` raises: one line each.
    """
    if run := Run.finished(runs_dir, config):
        return run
    images, kernels = load_for(config, data_dir), _kernels(config, kernels)
    with open_run(Run.path(runs_dir, config), Run.identity(config)) as folder, loop.enough_memory():
        saved = folder.load()
        chunk = chunk or (saved["chunk"] if saved else choose_chunk(config, images, kernels))
        searcher = Searcher(config, images, chunk=chunk, kernels=kernels)
        if saved:
            searcher.restore(saved)
        folder.write_config(chunk=chunk, kernels=kernels, device=searcher.device.type)
        loop.run_to_end(searcher, folder, **how)
    return Run.read(folder.path)


def load_for(config: SearchConfig, data_dir: str | Path | None = None) -> ImageSet:
    """The config's images on its device; ValueError, one line, where they are too few for a batch of each half."""
    device = resolve_device(config.device)
    image_set = load_images(config.dataset, Path(data_dir) if data_dir else None, config.n_train)
    half = len(image_set.labels["train"]) // 2
    if config.batch_size > half:
        raise ValueError(f"batch_size = {config.batch_size}: allowed: 2 to {half}, the images of each half")
    return image_set.to(device)


def estimate(config: SearchConfig, *, data_dir: str | Path | None = None, chunk: int = 0, kernels: str = "auto") -> str:
    """Time, memory and neighbors at once, one line; raises what `search` would before its first step."""
    images, kernels = load_for(config, data_dir), _kernels(config, kernels)
    with loop.enough_memory():
        chunk = chunk or choose_chunk(config, images, kernels)
        more = ", eigenvalues not counted" if recipe(config).watches_curvature else ""
        more += f"; {chunk} of {config.neighbors} neighbors at once" if config.neighbors > 1 else ""
        return loop.estimate(Searcher(config, images, chunk=chunk, kernels=kernels), more)


def _kernels(config: SearchConfig, kernels: str) -> str:
    return choose(config, torch.device(resolve_device(config.device)), kernels)


def choose_chunk(config: SearchConfig, image_set: ImageSet, kernels: str) -> int:
    """Neighbors at once, shared out evenly: on a CPU what stays in the cache, on a GPU what fits its free memory."""
    if config.neighbors == 1:
        return 1
    if image_set.images["train"].is_cuda:
        searcher = Searcher(config, image_set, chunk=1, kernels=kernels)
        before, (batch,) = torch.cuda.memory_allocated(), searcher.fixed_batches(config.batch_size)
        torch.cuda.reset_peak_memory_stats()
        searcher.learner.arch_step(batch, batch)
        one = max(torch.cuda.max_memory_allocated() - before, 1)
        torch.cuda.empty_cache()  # what this process keeps for itself is free
        most = int(GPU_SHARE * torch.cuda.mem_get_info()[0] / one)
    else:
        most = CACHE_BYTES[kernels] // widest_bytes(config, image_set)
    passes = -(-config.neighbors // max(most, 1))
    return -(-config.neighbors // passes)


def widest_bytes(config: SearchConfig, image_set: ImageSet) -> int:
    """Convolved feature maps of the first cell's first source node, for one neighbor."""
    space = SPACES[config.space]
    edges = sum(source == 0 for source, _ in space.edges)
    kernels = max(1, len({name[-3:] for name in space.operations if "conv" in name}))  # sizes are folded together
    numbers = image_set.images["train"][0, 0].numel() * config.batch_size * config.channels // recipe(config).partial
    return edges * kernels * numbers * (8 if config.precision == "float64" else 4)
