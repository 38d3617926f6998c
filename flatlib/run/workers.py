"""Runs side by side: on a CPU processes share torch's threads, since small networks hardly use two of them."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any

import torch

from flatlib.run.checkpoint import RunError, RunStoppedError
from flatlib.run.hardware import keep_freed_memory

SECONDS = 1.0  # between two looks at traces
KEPT = "each run's last checkpoint is kept, and the same cell goes on from there"


def n_workers(jobs: int) -> int:
    """No more than torch has threads, or jobs; 1, which is this process alone, with a GPU."""
    return 1 if torch.cuda.is_available() else max(1, min(torch.get_num_threads(), jobs))


@contextmanager
def workers(jobs: int) -> Iterator[Executor | None]:
    """`n_workers` processes that share the threads; None for this process alone. At the end what waits is dropped."""
    if (n := n_workers(jobs)) == 1:
        yield None
        return
    pool = ProcessPoolExecutor(n, multiprocessing.get_context("spawn"), start_worker, (torch.get_num_threads() // n,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker(threads: int = 1) -> None:
    """In a worker of a pool: torch's threads, and an end as soon as the parent's, even a killed one's."""
    torch.set_num_threads(threads)
    keep_freed_memory()

    def follow() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def run_side_by_side(
    run: Callable[..., Any],  # of a config, in `runs_dir`: `search` or `evaluate`
    kind: Any,  # of runs
    configs: Sequence[Any],
    runs_dir: Any,
    on_epoch: Callable[[Any, Any], Any],  # config, trace: in this process, about once a second
) -> list[Any]:
    """A run of each config, read where it is finished; raises what `run` does."""
    keep_freed_memory()
    waiting = [one for one in dict.fromkeys(configs) if not kind.finished(runs_dir, one)]  # each once
    with workers(len(waiting)) as pool:
        if pool:
            _watch({pool.submit(run, one, runs_dir) for one in waiting}, kind, waiting, runs_dir, on_epoch)
    return [run(one, runs_dir, on_epoch=on_epoch) for one in configs]


def _watch(left: set[Future], kind: Any, configs: list[Any], runs_dir: Any, on_epoch: Callable[..., Any]) -> None:
    """Wait for all runs, and tell of their epochs; an end from outside says what is kept."""
    seen = dict.fromkeys(configs, 0)
    try:
        while left:
            ended, left = wait(left, SECONDS, FIRST_COMPLETED)
            for future in ended:
                future.result()
            for one in configs:
                with suppress(RunError):  # an epoch's files are being written, or there is none yet
                    trace = kind.read_trace(kind.path(runs_dir, one), one)
                    if len(trace.epochs) > seen[one]:
                        seen[one] = len(trace.epochs)
                        on_epoch(one, trace)
    except KeyboardInterrupt:  # Jupyter's reaches the workers too
        raise KeyboardInterrupt(f"interrupted; {KEPT}") from None
    except BrokenProcessPool:
        raise RunStoppedError(f"a process was ended from outside, perhaps for lack of memory; {KEPT}") from None
