"""The loop of a run that can be stopped between two steps: steps, epochs, checkpoints, Ctrl-C."""

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from flatlib.run.folder import RunFolder


class Work:
    """What can be stopped between two steps, and goes on from its state.

    It has a method `step`, which counts `at`, and `end_epoch`; `trace`, `so_far` for on_step, `result()` for
    result.json; `state()` and `restore(state)` for the checkpoint.
    """

    config: Any  # with its number of epochs
    done: list[Any]  # a line an epoch
    steps: int  # of an epoch
    at: int  # steps of this epoch done
    spent: float  # seconds in this epoch, before `since`
    since: float

    def begin_epoch(self) -> None:
        self.at, self.spent, self.since = 0, 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Of the running epoch."""
        return self.spent + time.monotonic() - self.since

    @property
    def finished(self) -> bool:
        return len(self.done) == self.config.epochs


def run_to_end(
    work: Any,  # a Work
    folder: RunFolder,
    interrupted: Callable[[], bool],  # asked after each step and epoch
    *,
    checkpoint_seconds: float,  # within an epoch; after each epoch anyway
    on_epoch: Callable[[Any, Any], Any] | None,  # takes the config and the trace
    on_step: Callable[[Any, Any], Any] | None,  # takes the config and so_far
) -> None:
    """Steps, epochs, checkpoints, the result; a KeyboardInterrupt says what is kept."""
    saved, whole = time.monotonic(), True  # whole: between two steps, where the state is
    folder.write_trace(work.trace)  # of a killed process, or what there is before the first epoch
    try:
        while not work.finished:
            ends, whole = work.at == work.steps, False
            (work.end_epoch if ends else work.step)()
            whole = True
            if ends or time.monotonic() - saved >= checkpoint_seconds:
                folder.save(work.state())
                saved = time.monotonic()
            if ends:
                folder.write_trace(work.trace)
            if tell := on_epoch if ends else on_step:
                tell(work.config, work.trace if ends else work.so_far)
            if interrupted() and not work.finished:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        if whole:
            folder.save(work.state())
        kept = f"epoch {len(work.done) + 1}, step {work.at}" if whole else "the last checkpoint"
        raise KeyboardInterrupt(
            f"interrupted; {folder.path} keeps {kept}, and the same command goes on from there"
        ) from None
    folder.write_result(work.result())


@contextmanager
def held_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C is noted instead of raised, so that a step ends; a second one is raised at once.

    Only where Python's own handler is in place: in other threads, or with nohup, nothing changes.
    """
    asked: list[bool] = []

    def note(*_: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(True)

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked:  # too late to stop this run
        raise KeyboardInterrupt("interrupted after the end of a run, whose folder is complete")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Of a GPU, or of the CPU's memory, for which torch has no class."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def warn_of_change(what: str, before: int, now: int, path: Path) -> None:
    """Of a run that goes on with another number of threads or processes than it began with."""
    if before != now:
        warnings.warn(f"{path}: begun with {before} {what}, now {now}: last digits may differ", stacklevel=4)
