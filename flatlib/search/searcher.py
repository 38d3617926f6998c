"""A search at the border between two steps: it can be stopped there and goes on to the same bits (Algorithm 1)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from flatlib.data.images import ImageSet, Stream, augment, normalize, split_halves
from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.loop import Work
from flatlib.search.bilevel import Learner, Step, learner_for
from flatlib.search.config import SearchConfig, recipe
from flatlib.search.curvature import Batch, largest_eigenvalue, loss_of_logits
from flatlib.search.derive import derive
from flatlib.search.runs import Epoch, Result, SearchTrace, entropy
from flatlib.search.variants import stopped_at
from flatlib.spaces import SPACES


class StepProgress(NamedTuple):
    """Where a search stands within an epoch; loss and accuracy are means over its weight steps so far."""

    epoch: int  # 1 for the first
    step: int
    steps: int  # of an epoch
    loss: float  # training, nats
    accuracy: float  # training, percent
    entropy: float  # of alpha now, nats


class Searcher(Work):
    """Learner, data and trace: all that a checkpoint holds."""

    def __init__(
        self,
        config: SearchConfig,
        image_set: ImageSet,  # on the device
        *,
        chunk: int,
        kernels: str = "auto",
    ) -> None:
        self.config, self.image_set = config, image_set
        self.images, self.labels = image_set.images["train"], image_set.labels["train"]
        device, seeds = self.images.device, np.random.SeedSequence([config.seed, 2]).generate_state(4).tolist()
        halves = [half.to(device) for half in split_halves(len(self.labels), seeds[0])]
        self.valid_half = halves[1]
        self.streams = [Stream(half, config.batch_size, seed) for half, seed in zip(halves, seeds[1:3], strict=True)]
        self.generator = torch.Generator().manual_seed(seeds[3])  # of the augmentation
        self.learner = learner_for(config, image_set, chunk=chunk, kernels=kernels)
        self.steps = self.streams[0].batches_per_pass  # of an epoch
        self.done: list[Epoch] = []
        self.alphas, self.edge_weights = [self.learner.alphas()], [self.learner.edge_weights()]
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self.begin_epoch()
        self.sums = np.zeros(6)  # of Epoch's fields from train_loss to spread
        if len(self.done) < self.config.epochs:
            self.learner.begin_epoch(len(self.done))

    # --- a step, an epoch --------------------------------------------------------------------------

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
        self.sums += seen
        self.at += 1

    def end_epoch(self) -> None:
        """Close the line of the trace; with DARTS-ES the largest eigenvalue belongs to it."""
        alphas, eigenvalue = self.learner.alphas(), np.nan
        if recipe(self.config).watches_curvature and self.learner.searches:
            batches = self.fixed_batches(self.config.hessian_batches * self.config.batch_size)
            eigenvalue = eigenvalue_of_logits(self.learner, batches)
        means, rate = (self.sums / self.at).tolist(), self.learner.learning_rate
        self.done.append(Epoch._make([len(self.done) + 1, *means, entropy(alphas), eigenvalue, rate, self.seconds]))
        self.alphas.append(alphas)
        self.edge_weights.append(self.learner.edge_weights())
        self._begin_epoch()

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

    @property
    def so_far(self) -> StepProgress:
        loss, accuracy = (self.sums[:2] / self.at).tolist()
        return StepProgress(len(self.done) + 1, self.at, self.steps, loss, accuracy, entropy(self.learner.alphas()))

    @property
    def stopped_at(self) -> int | None:
        """DARTS-ES: the epoch whose alpha is kept, once the curvature rose; of other methods all are nan."""
        own = recipe(self.config)
        return stopped_at([epoch.eigenvalue for epoch in self.done], own.window, own.tolerance)

    @property
    def finished(self) -> bool:
        return super().finished or self.stopped_at is not None

    # --- what remains ------------------------------------------------------------------------------

    @property
    def trace(self) -> SearchTrace:
        weights = [weights for weights in self.edge_weights if weights is not None]
        return SearchTrace(tuple(self.done), np.stack(self.alphas), np.stack(weights) if weights else None)

    def result(self) -> dict[str, Any]:
        """The cell of the last alpha, or of the kept one, and the trace's numbers there."""
        trace, epoch = self.trace, self.stopped_at or len(self.done)
        weights = None if trace.edge_weights is None else trace.edge_weights[epoch]
        final = {name: float(value) for name, value in self.done[epoch - 1]._asdict().items() if name != "epoch"}
        seconds = float(trace.column("seconds").sum())
        cell = derive(SPACES[self.config.space], trace.alphas[epoch], weights)
        return Result(cell, epoch, len(self.done), self.steps * len(self.done), seconds, final).to_json()

    def state(self) -> dict[str, Any]:
        trace = self.trace
        return {
            "learner": self.learner.state(),
            "streams": [stream.state() for stream in self.streams],
            "generator": self.generator.get_state(),
            "epoch": len(self.done),
            "step": self.at,
            "sums": self.sums.tolist(),
            "seconds": self.seconds,
            "trace": [list(epoch) for epoch in self.done],
            "alphas": torch.from_numpy(trace.alphas),
            "edge_weights": None if trace.edge_weights is None else torch.from_numpy(trace.edge_weights),
            "chunk": self.learner.chunk,
            "kernels": self.learner.net.kernels,
            "threads": torch.get_num_threads(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; chunk and kernels stay this searcher's."""
        self.done = [Epoch(*values) for values in state["trace"]]
        self.alphas = list(state["alphas"].numpy())
        weights = state["edge_weights"]
        self.edge_weights = [None] * len(self.alphas) if weights is None else list(weights.numpy())
        self.learner.restore(state["learner"])
        for stream, taken in zip(self.streams, state["streams"], strict=True):
            stream.restore(taken)
        self.generator.set_state(state["generator"])
        self._begin_epoch()
        self.at, self.sums, self.spent = state["step"], np.array(state["sums"]), state["seconds"]


def eigenvalue_of_logits(learner: Learner, batches: Sequence[Batch]) -> float:
    """What DARTS-ES watches: the largest eigenvalue of the Hessian with respect to the logits."""
    try:
        loss_on = loss_of_logits(learner.net, learner.weights, learner.gamma())
        return largest_eigenvalue(loss_on, learner.arch["logits"].detach(), batches)
    except ValueError as error:
        raise RunStoppedError(f"after epoch {learner.epoch + 1}, curvature: {error}") from None
