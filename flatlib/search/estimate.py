"""What a search will take, before it starts: neighbors at once, seconds, memory."""

import time

import torch

from flatlib.data.images import ImageSet, normalize
from flatlib.run.hardware import machine, peak_bytes
from flatlib.run.progress import duration
from flatlib.search.bilevel import LEARNERS, Learner
from flatlib.search.config import SearchConfig, recipe
from flatlib.search.kernels import choose
from flatlib.spaces import SPACES

# of `widest_bytes`; benchmarks/search.py, plain: 10 neighbors at C = 4, batch 32, 8 px; 5 at 16 px; 1 at C = 16, 32 px
CACHE_BYTES = {"plain": 8 * 2**20, "naive": 8 * 2**20, "triton": 8 * 2**20, "compiled": 20 * 2**20}
GPU_SHARE = 0.8  # of the free memory; the allocator's fragments need the rest


def estimate(config: SearchConfig, image_set: ImageSet, chunk: int | None = None, kernels: str = "auto") -> str:
    """One line, from a step or two of a throw-away copy on the images' device; the search itself is left as it is."""
    device = image_set.images["train"].device
    kernels = choose(config, device, kernels)
    chunk = chunk or choose_chunk(config, image_set, kernels)
    learner = _copy(config, image_set, chunk, kernels)
    arch, weight = _time_step(learner, image_set)
    if arch + weight < 2:  # the first one also warms up
        arch, weight = _time_step(learner, image_set)
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
    neighbors = config.neighbors
    if neighbors == 1:
        return 1
    if image_set.images["train"].is_cuda:
        try:
            one = _gpu_bytes_of_one(config, image_set, kernels)
        except torch.OutOfMemoryError:  # the search itself will say so
            return 1
        torch.cuda.empty_cache()  # what this process keeps for itself is free
        most = int(GPU_SHARE * torch.cuda.mem_get_info()[0] / one)
    else:
        most = CACHE_BYTES[kernels] // widest_bytes(config, image_set)
    passes = -(-neighbors // max(most, 1))
    return -(-neighbors // passes)


def widest_bytes(config: SearchConfig, image_set: ImageSet) -> int:
    """Convolved feature maps of the first cell's first source node, for one neighbor."""
    space = SPACES[config.space]
    edges = sum(source == 0 for source, _ in space.edges)
    kernels = max(1, len({name[-3:] for name in space.operations if "conv" in name}))  # sizes are folded together
    numbers = image_set.images["train"][0, 0].numel() * config.batch_size * config.channels // recipe(config).partial
    return edges * kernels * numbers * (8 if config.precision == "float64" else 4)


def _gpu_bytes_of_one(config: SearchConfig, image_set: ImageSet, kernels: str) -> int:
    learner = _copy(config, image_set, 1, kernels)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    _time_step(learner, image_set)
    return max(torch.cuda.max_memory_allocated() - before, 1)


def _copy(config: SearchConfig, image_set: ImageSet, chunk: int, kernels: str) -> Learner:
    images = image_set.images["train"]
    sizes = {"n_classes": image_set.n_classes, "in_channels": images.shape[1]}
    own = LEARNERS.get(config.base_method, Learner)
    learner = own(config, **sizes, device=images.device, chunk=chunk, kernels=kernels)
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
