"""A search between two steps: it can end there and goes on to the same bits (Algorithm 1)."""

from typing import Any

import numpy as np
import torch

from flatlib.data.images import ImageSet, Stream, augment, normalize, split_halves
from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.folder import Result
from flatlib.run.loop import Work
from flatlib.search.bilevel import LEARNERS, Learner, Step
from flatlib.search.config import SearchConfig, recipe
from flatlib.search.curvature import Batch, largest_eigenvalue, loss_of_logits
from flatlib.search.derive import derive
from flatlib.search.runs import Epoch, SearchTrace, entropy
from flatlib.search.variants import stopped_at
from flatlib.spaces import SPACES


class Searcher(Work):
    """Learner, data and trace."""

    line, n_sums = Epoch, 6  # from train_loss to spread

    def __init__(
        self,
        config: SearchConfig,
        image_set: ImageSet,  # on the device
        *,
        chunk: int,
        kernels: str = "auto",
    ) -> None:
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
