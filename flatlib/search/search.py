"""A search from its config to its folder (Algorithm 1), and what it will take, before it starts."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from flatlib.data.images import ImageSet, Stream, augment, load_images, normalize, split_halves
from flatlib.run import loop
from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.folder import Result, open_run
from flatlib.run.hardware import resolve_device
from flatlib.search.bilevel import LEARNERS, Learner, Step
from flatlib.search.config import SearchConfig, recipe
from flatlib.search.curvature import Batch, largest_eigenvalue, loss_of_logits
from flatlib.search.derive import derive
from flatlib.search.kernels import choose
from flatlib.search.runs import Epoch, Run, SearchTrace, entropy
from flatlib.search.variants import stopped_at
from flatlib.spaces import SPACES

# of `widest_bytes`; benchmarks/search.py, plain: 10 neighbors at C = 4, batch 32, 8 px; 5 at 16 px; 1 at C = 16, 32 px
CACHE_BYTES = {"plain": 8 * 2**20, "naive": 8 * 2**20, "triton": 8 * 2**20, "compiled": 20 * 2**20}
GPU_SHARE = 0.8  # of the free memory; the allocator's fragments need the rest


class Searcher(loop.Work):
    """Learner, data (on the device that computes) and trace."""

    line, n_sums = Epoch, 6  # from train_loss to spread

    def __init__(self, config: SearchConfig, image_set: ImageSet, *, chunk: int, kernels: str = "auto") -> None:
        self.image_set, self.images, self.labels = image_set, image_set.images["train"], image_set.labels["train"]
        device, seeds = self.images.device, np.random.SeedSequence([config.seed, 2]).generate_state(4).tolist()
        halves = [half.to(device) for half in split_halves(len(self.labels), seeds[0])]
        self.valid_half = halves[1]
        self.streams = [Stream(half, config.batch_size, seed) for half, seed in zip(halves, seeds[1:3], strict=True)]
        self.generator = torch.Generator().manual_seed(seeds[3])  # of the augmentation
        sizes: Any = {"n_classes": image_set.n_classes, "in_channels": self.images.shape[1], "device": device}
        self.learner = LEARNERS.get(config.base_method, Learner)(config, **sizes, chunk=chunk, kernels=kernels)
        self.alphas, self.edge_weights = [self.learner.alphas()], [self.learner.edge_weights()]
        super().__init__(config, self.streams[0].batches_per_pass, device)

    def begin_epoch(self) -> None:
        super().begin_epoch()
        if len(self.done) < self.config.epochs:
            self.learner.begin_epoch(len(self.done))

    def _batch(self, stream: Stream) -> Batch:
        rows = stream.next()
        return augment(self.images[rows], self.image_set, self.generator), self.labels[rows]

    def step(self) -> None:
        """An architecture step, then a weight step (Algorithm 1).

        Validation batches are augmented too: DARTS's public code draws both halves through its training transform.
        """
        train, arch = self._batch(self.streams[0]), Step(np.nan, np.nan)
        if self.learner.searches:
            arch = self.learner.arch_step(train, self._batch(self.streams[1]))
        weight = self.learner.weight_step(train)
        seen = [weight.loss, weight.accuracy, arch.loss, arch.accuracy, arch.objective, float(np.std(arch.losses))]
        self.sums += torch.tensor(seen, dtype=torch.float64, device=self.device)
        self.at += 1

    def end_epoch(self) -> None:
        """With DARTS-ES the largest eigenvalue of the Hessian with respect to the logits belongs to the line."""
        alphas, eigenvalue = self.learner.alphas(), np.nan
        if recipe(self.config).watches_curvature and self.learner.searches:
            eigenvalue = self.eigenvalue()
        means, rate = (self.sums / self.at).tolist(), self.learner.learning_rate
        self.done.append(Epoch._make([len(self.done) + 1, *means, entropy(alphas), eigenvalue, rate, self.seconds]))
        self.alphas.append(alphas)
        self.edge_weights.append(self.learner.edge_weights())
        self.begin_epoch()

    def eigenvalue(self) -> float:
        """RunStoppedError, one line, where it is not finite."""
        own = self.learner
        try:
            loss_on = loss_of_logits(own.net, own.weights, own.gamma())
            batches = self.fixed_batches(self.config.hessian_batches * self.config.batch_size)
            return largest_eigenvalue(loss_on, own.arch["logits"].detach(), batches)
        except ValueError as error:
            raise RunStoppedError(f"after epoch {own.epoch + 1}, curvature: {error}") from None

    def fixed_batches(self, n_valid: int) -> tuple[Batch, ...]:
        """The first validation images (0: all), always the same, not augmented, in whole batches of the search's size.

        BatchNorm makes the loss depend on how they are split. ValueError, one line, for less than a batch.
        """
        rows, size = self.valid_half, self.config.batch_size
        n, most = (min(n_valid, len(rows)) or len(rows)) // size * size, len(rows) // size * size
        if not n:
            raise ValueError(f"n_valid = {n_valid}: less than a batch of {size}; allowed: {size} to {most}, or 0: all")
        shown = normalize(self.images[rows[:n]], self.image_set).to(self.learner.weights.dtype)
        return tuple(zip(shown.split(size), self.labels[rows[:n]].split(size), strict=True))

    def so_far(self) -> dict[str, float]:
        return super().so_far() | {"entropy": entropy(self.learner.alphas())}

    @property
    def stopped_at(self) -> int | None:
        """DARTS-ES: the epoch whose alpha is kept, once the curvature rose; of other methods all are nan."""
        own = recipe(self.config)
        return stopped_at([epoch.eigenvalue for epoch in self.done], own.window, own.tolerance)

    @property
    def finished(self) -> bool:
        return super().finished or self.stopped_at is not None

    @property
    def trace(self) -> SearchTrace:
        weights = [weights for weights in self.edge_weights if weights is not None]
        return SearchTrace(tuple(self.done), np.stack(self.alphas), np.stack(weights) if weights else None)

    def result(self) -> Result:
        """The cell of the last alpha, or of the kept one."""
        epoch = self.stopped_at or len(self.done)
        cell = derive(SPACES[self.config.space], self.alphas[epoch], self.edge_weights[epoch])
        return Result(cell, epoch, self.done[epoch - 1]._asdict())

    def state(self) -> dict[str, Any]:
        trace = self.trace
        return super().state() | {
            "learner": self.learner.state(),
            "streams": [stream.state() for stream in self.streams],
            "generator": self.generator.get_state(),
            "alphas": torch.from_numpy(trace.alphas),
            "edge_weights": None if trace.edge_weights is None else torch.from_numpy(trace.edge_weights),
            "chunk": self.learner.chunk,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.alphas, weights = list(state["alphas"].numpy()), state["edge_weights"]
        self.edge_weights = [None] * len(self.alphas) if weights is None else list(weights.numpy())
        self.learner.restore(state["learner"])
        for stream, taken in zip(self.streams, state["streams"], strict=True):
            stream.restore(taken)
        self.generator.set_state(state["generator"])
        super().restore(state)


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
    images = load_for(config, data_dir)
    kernels = choose(config, images.images["train"].device, kernels)
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
    images = load_for(config, data_dir)
    kernels = choose(config, images.images["train"].device, kernels)
    with loop.enough_memory():
        chunk = chunk or choose_chunk(config, images, kernels)
        more = ", eigenvalues not counted" if recipe(config).watches_curvature else ""
        more += f"; {chunk} of {config.neighbors} neighbors at once" if config.neighbors > 1 else ""
        return loop.estimate(Searcher(config, images, chunk=chunk, kernels=kernels), more)


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
