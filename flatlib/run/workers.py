"""Runs side by side: on a CPU a process for each thread that torch may use, since small networks hardly use two."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Any

import torch

from flatlib.run.checkpoint import RunError
from flatlib.run.hardware import keep_freed_memory

SECONDS = 1.0  # between two looks at traces


def n_workers(jobs: int) -> int:
    """Processes of one thread, no more than jobs; 1, which is this process alone, with a GPU."""
    return 1 if torch.cuda.is_available() else max(1, min(torch.get_num_threads(), jobs))


@contextmanager
def workers(jobs: int) -> Iterator[Executor | None]:
    """`n_workers` processes; None where that is this process alone. At the end what waits is dropped."""
    if (n := n_workers(jobs)) == 1:
        yield None
        return
    pool = ProcessPoolExecutor(n, multiprocessing.get_context("spawn"), start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker() -> None:
    """In a worker of a pool: one thread of torch, and an end as soon as the parent's, even a killed one's."""
    torch.set_num_threads(1)
    keep_freed_memory()

    def follow() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def run_side_by_side(
    run: Callable[..., Any],  # of a config, in `runs_dir`: `search` or `evaluate`
    kind: Any,  # of runs
    configs: Iterable[Any],
    runs_dir: Any,
    on_epoch: Callable[[Any, Any], Any],  # config, trace: in this process, about once a second
) -> list[Any]:
    """A run of each config, read where it is finished; raises what `run` does, an interrupt says what is kept."""
    keep_freed_memory()
    configs = [*configs]
    waiting = [one for one in dict.fromkeys(configs) if not kind.finished(runs_dir, one)]  # each once
    with workers(len(waiting)) as pool:
        left = {pool.submit(run, one, runs_dir) for one in waiting} if pool else set()
        seen = dict.fromkeys(waiting, 0)
        while left:
            try:
                ended, left = wait(left, SECONDS, FIRST_COMPLETED)
            except KeyboardInterrupt:  # Jupyter's reaches the workers too
                raise KeyboardInterrupt(
                    "interrupted; each run's last checkpoint is kept, to go on from there"
                ) from None
            for future in ended:
                future.result()
            for one in waiting:
                with suppress(RunError):  # an epoch's files are being written, or there is none yet
                    trace = kind.read_trace(kind.path(runs_dir, one), one)
                    if len(trace.epochs) > seen[one]:
                        seen[one] = len(trace.epochs)
                        on_epoch(one, trace)
    return [run(one, runs_dir, on_epoch=on_epoch) for one in configs]
