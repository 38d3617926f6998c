"""The loop of a run that can be stopped between two steps: steps, epochs, checkpoints, Ctrl-C."""

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from flatlib.run.folder import RunFolder, Trace

AGAIN = "the same command goes on from there"


class Work(Protocol):
    """What can be stopped between two steps, and goes on from its state."""

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
    def epochs_done(self) -> int:
        return len(self.done)

    @property
    def finished(self) -> bool:
        return len(self.done) == self.config.epochs

    @property
    def so_far(self) -> Any: ...  # where it stands within the epoch, for on_step
    @property
    def trace(self) -> Trace: ...
    def step(self) -> None: ...
    def end_epoch(self) -> None: ...
    def state(self) -> dict[str, Any]: ...  # for the checkpoint
    def result(self) -> dict[str, Any]: ...  # for result.json


class Hooks(NamedTuple):
    """Where a run writes, and whom it tells."""

    folder: RunFolder
    interrupted: Callable[[], bool]  # asked after each step and epoch
    checkpoint_seconds: float  # within an epoch; after each epoch anyway
    on_epoch: Callable[[Any], Any] | None = None  # takes the trace
    on_step: Callable[[Any], Any] | None = None  # takes so_far


def run_to_end(work: Work, hooks: Hooks) -> None:
    """Steps, epochs, checkpoints, the result; a KeyboardInterrupt says what is kept."""
    folder, border = hooks.folder, True  # between two steps, where the state is whole
    folder.write_trace(work.trace)  # of a killed process, or what there is before the first epoch
    saved = time.monotonic()
    try:
        while not work.finished:
            while work.at < work.steps:
                border = False
                work.step()
                border = True
                if hooks.on_step:
                    hooks.on_step(work.so_far)
                if hooks.interrupted():
                    raise KeyboardInterrupt
                if time.monotonic() - saved >= hooks.checkpoint_seconds:
                    folder.save(work.state())
                    saved = time.monotonic()
            border = False
            work.end_epoch()
            border = True
            _close(work, hooks)
            saved = time.monotonic()
    except KeyboardInterrupt:
        if border:
            folder.save(work.state())
        where = f"epoch {work.epochs_done + 1}, step {work.at}" if border else "the last checkpoint"
        raise KeyboardInterrupt(f"interrupted; {folder.path} keeps {where}, and {AGAIN}") from None
    folder.write_result(work.result())


def _close(work: Work, hooks: Hooks) -> None:
    """Keep a finished epoch."""
    hooks.folder.save(work.state())
    hooks.folder.write_trace(work.trace)
    if hooks.on_epoch:
        hooks.on_epoch(work.trace)
    if hooks.interrupted() and not work.finished:
        raise KeyboardInterrupt


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


def warn_of_threads(before: int, path: Path) -> None:
    """Of a run that goes on with another number of torch's threads than it began with."""
    if before != (now := torch.get_num_threads()):
        warnings.warn(f"{path}: begun with {before} threads, now {now}: last digits may differ", stacklevel=4)
