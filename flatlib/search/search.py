"""A search from its config to its folder, and what it will take, before it starts."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from flatlib.data.images import ImageSet, load_images, normalize
from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.folder import open_run
from flatlib.run.hardware import machine, peak_bytes, resolve_device
from flatlib.run.loop import held_interrupt, is_out_of_memory, run_to_end, warn_of_change
from flatlib.run.progress import duration
from flatlib.search.bilevel import Learner, learner_for
from flatlib.search.config import SearchConfig, recipe
from flatlib.search.kernels import choose
from flatlib.search.runs import Run, SearchTrace
from flatlib.search.searcher import Searcher, StepProgress
from flatlib.spaces import SPACES

# of `widest_bytes`; benchmarks/search.py, plain: 10 neighbors at C = 4, batch 32, 8 px; 5 at 16 px; 1 at C = 16, 32 px
CACHE_BYTES = {"plain": 8 * 2**20, "naive": 8 * 2**20, "triton": 8 * 2**20, "compiled": 20 * 2**20}
GPU_SHARE = 0.8  # of the free memory; the allocator's fragments need the rest


def search(
    config: SearchConfig,
    runs_dir: str | Path,
    *,
    data_dir: str | Path | None = None,
    image_set: ImageSet | None = None,  # already loaded
    on_epoch: Callable[[SearchConfig, SearchTrace], Any] | None = None,
    on_step: Callable[[SearchConfig, StepProgress], Any] | None = None,
    chunk: int | None = None,  # neighbors at once; None: as before, or chosen from the sizes
    kernels: str | None = None,  # None: as before, or compiled where they can be
    checkpoint_seconds: float = 60.0,  # within an epoch; after each epoch anyway
) -> Run:
    """Run a search, go on with an interrupted one to the same bits, or read a finished one.

    The bits are the same with the same chunk, kernels and number of threads; on a GPU with deterministic algorithms.
    Ctrl-C waits for the end of the step. Raises RunError (nothing was started), RunStoppedError (a loss is not finite,
    too little memory, no room), KeyboardInterrupt, and what `load_images` raises: one line each.
    """
    if run := Run.finished(runs_dir, config):
        return run
    device = resolve_device(config.device)
    images = (image_set or load_for(config, data_dir)).to(device)
    with open_run(Run.path(runs_dir, config), Run.identity(config)) as folder, held_interrupt() as interrupted:
        if run := Run.finished(runs_dir, config):  # by another process, meanwhile
            return run
        saved = folder.load()
        if not kernels:  # compiled ones may be missing where a search goes on
            kernels = "auto" if saved is None or saved["kernels"] == "compiled" else saved["kernels"]
        kernels = choose(config, torch.device(device), kernels)
        how: dict[str, Any] = {"checkpoint_seconds": checkpoint_seconds, "on_epoch": on_epoch, "on_step": on_step}
        try:
            chunk = chunk or (saved["chunk"] if saved else choose_chunk(config, images, kernels))
            searcher = Searcher(config, images, chunk=chunk, kernels=kernels)
            if saved:
                warn_of_change("threads", saved["threads"], torch.get_num_threads(), folder.path)
                searcher.restore(saved)
            else:
                folder.save(searcher.state())
            folder.write_config(chunk=chunk, kernels=kernels, device=device)
            run_to_end(searcher, folder, interrupted, **how)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise RunStoppedError(
                f"out of memory with chunk = {chunk or 1}: take a smaller one, fewer channels or a smaller batch_size; "
                f"{folder.path} keeps the last checkpoint"
            ) from None
        return Run.read(folder.path)


def load_for(config: SearchConfig, data_dir: str | Path | None = None) -> ImageSet:
    """The config's images on the CPU; ValueError, one line, where they are too few for a batch of each half."""
    image_set = load_images(config.dataset, Path(data_dir) if data_dir else None, config.n_train)
    half = len(image_set.labels["train"]) // 2
    if config.batch_size > half:
        raise ValueError(f"batch_size = {config.batch_size}: allowed: 2 to {half}, the images of each half")
    return image_set


# --- what it will take: neighbors at once, seconds, memory -----------------------------------------


def estimate(config: SearchConfig, image_set: ImageSet, chunk: int | None = None, kernels: str = "auto") -> str:
    """One line, from a step or two of a throw-away copy on the images' device; the search itself is left as it is."""
    device = image_set.images["train"].device
    kernels = choose(config, device, kernels)
    try:
        chunk = chunk or choose_chunk(config, image_set, kernels)
        learner = _copy(config, image_set, chunk, kernels)
        arch, weight = _time_step(learner, image_set)
        if arch + weight < 2:  # the first one also warms up
            arch, weight = _time_step(learner, image_set)
    except RuntimeError as error:  # such as too little memory: the search itself will stop with what to do
        return f"no estimate ({str(error).splitlines()[0]})"
    own, steps = recipe(config), len(image_set.labels["train"]) // 2 // config.batch_size
    searching = config.epochs - round(own.warm_up * config.epochs)
    seconds, memory = steps * (searching * arch + config.epochs * weight), peak_bytes(device.type)
    extra = ", eigenvalues not counted" if own.watches_curvature else ""
    size = f", {memory / 1e9:.1f} GB" if memory else ""
    neighbors = f" {chunk} of {config.neighbors} neighbors at once;" if config.neighbors > 1 else ""
    return (
        f"about {duration(seconds)} for {config.epochs} epochs of {steps} steps{extra}{size};{neighbors} "
        f"{machine(device.type)}"
    )


def choose_chunk(config: SearchConfig, image_set: ImageSet, kernels: str) -> int:
    """Neighbors at once, shared out evenly: on a CPU what stays in the cache, on a GPU what fits its free memory."""
    if config.neighbors == 1:
        return 1
    if image_set.images["train"].is_cuda:
        learner = _copy(config, image_set, 1, kernels)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        _time_step(learner, image_set)
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


def _copy(config: SearchConfig, image_set: ImageSet, chunk: int, kernels: str) -> Learner:
    learner = learner_for(config, image_set, chunk=chunk, kernels=kernels)
    learner.begin_epoch(config.epochs - 1)  # with architecture steps, if the method has any
    return learner


def _time_step(learner: Learner, image_set: ImageSet) -> tuple[float, float]:
    """Seconds of an architecture step (0 where the epoch has none) and of a weight step."""
    rows = slice(learner.config.batch_size)
    batch = normalize(image_set.images["train"][rows], image_set), image_set.labels["train"][rows]
    begin = time.perf_counter()
    if learner.searches:
        learner.arch_step(batch, batch)
    between = time.perf_counter()  # each step ends with a number on the CPU, so a GPU is waited for
    learner.weight_step(batch)
    return between - begin, time.perf_counter() - between
