"""Work on each validation batch, in a process a core; the results come in the batches' order."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from flatlib.landscape.found import Found, Source
from flatlib.memory import keep_freed_memory
from flatlib.run.orphans import end_with_parent

Work = Callable[..., np.ndarray]  # (found, number of the batch, ...) -> numbers
OnPart = Callable[[], Any]  # called after each batch


def n_workers(batches: int) -> int:
    """A process a core, but no more than batches; one with a GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if torch.cuda.is_available() else min(cores, batches)


@contextmanager
def workers(n: int) -> Iterator[Executor | None]:
    """n processes of one thread each; None, so this process alone, for one."""
    if n == 1:
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
    pool: Executor | None = None,
    on_part: OnPart = lambda: None,
) -> np.ndarray:  # (len(batches), ...)
    """work(found, batch, *arguments) for each of some batches."""
    results: list[np.ndarray] = []
    tasks = [(work, source, at, arguments) for at in batches]
    for result in map(_do, tasks) if pool is None else pool.map(_do, tasks):
        results.append(result)
        on_part()
    return np.stack(results)


def _do(task: tuple[Work, Source, int, tuple]) -> np.ndarray:
    work, source, at, arguments = task
    found: Found = source.open()
    return work(found, at, *arguments)
