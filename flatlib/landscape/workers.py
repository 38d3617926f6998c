"""Work on each validation batch, in a process a core; the results come in the batches' order."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

from flatlib.landscape.found import Source
from flatlib.memory import keep_freed_memory
from flatlib.run.orphans import end_with_parent

Work = Callable[..., np.ndarray]  # (found, number of the batch, ...) -> numbers


def n_workers(batches: int) -> int:
    """A process of one thread for each core, but no more than batches; this one alone with a GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if torch.cuda.is_available() else min(cores, batches)


@contextmanager
def workers(batches: int) -> Iterator[Executor | None]:
    """`n_workers` processes; None where that is this process alone."""
    if (n := n_workers(batches)) == 1:
        yield None
        return
    with ProcessPoolExecutor(n, multiprocessing.get_context("spawn"), _one_thread) as pool:
        yield pool


def _one_thread() -> None:
    end_with_parent()
    torch.set_num_threads(1)
    keep_freed_memory()


def for_batches(
    work: Work,
    source: Source,
    *arguments: Any,
    batches: Sequence[int],
    pool: Executor | None = None,  # None: this process
    on_part: Callable[[], Any] = lambda: None,  # called after each batch
) -> np.ndarray:  # (len(batches), ...)
    """work(found, batch, *arguments) for each of some batches."""
    results: list[np.ndarray] = []
    do = partial(_on_batch, work, source, arguments)
    for result in map(do, batches) if pool is None else pool.map(do, batches):
        results.append(result)
        on_part()
    return np.stack(results)


def _on_batch(work: Work, source: Source, arguments: tuple, at: int) -> np.ndarray:
    return work(source.open(), at, *arguments)
