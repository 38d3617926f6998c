"""A made-up search: alpha is the softmax of logits that drift, losses fall, accuracies rise."""

from pathlib import Path

import numpy as np

from flatlib.run.folder import Result
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Epoch, Run, SearchTrace, entropy
from flatlib.spaces import Genotype, Space


def synthetic_trace(space: Space, epochs: int = 6, seed: int = 0, *, aware: bool = True) -> SearchTrace:
    """`aware`: g is above f, as the mean over a neighborhood is; else g is f."""
    rng = np.random.default_rng(seed)
    shape = (1 if space.name == "nas-bench-201" else 2, len(space.edges), len(space.operations))
    drift = rng.normal(size=shape)
    logits = np.linspace(0, 1.5, epochs + 1)[:, None, None, None] * drift
    alphas = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    lines = []
    for epoch in range(1, epochs + 1):
        loss = 2.3 / (1 + 0.3 * epoch) + 0.02 * rng.normal()
        lines.append(
            Epoch(
                epoch=epoch,
                train_loss=loss,
                train_accuracy=100 - 30 * loss,
                valid_loss=loss + 0.1,
                valid_accuracy=96 - 30 * loss,
                objective=loss + 0.1 + 0.15 * aware,
                spread=0.05,
                entropy=entropy(alphas[epoch]),
                eigenvalue=float("nan"),
                learning_rate=0.025,
                seconds=4.0 + epoch,
            )
        )
    return SearchTrace(tuple(lines), alphas)


def finished_search(cell: Genotype | str, seed: int = 0, **changes: object) -> Run:
    """A run that found this cell, without a folder or a trace."""
    trace = SearchTrace((), np.zeros((1, 2, 14, 8)))
    return Run(Path("nowhere"), SearchConfig(seed=seed, **changes), trace, Result(cell, 1, {}))
