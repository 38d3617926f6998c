"""The loop of a run that can end at any moment and go on: steps, epochs, checkpoints; and what it will take."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.folder import Result, RunFolder, Trace
from flatlib.run.hardware import peak_bytes
from flatlib.run.progress import duration


class Work(ABC):
    """A run between two steps: all that a checkpoint holds."""

    line: Any  # a NamedTuple: an epoch's number, the means of `sums` over its steps, more
    n_sums: int
    done: list[Any]  # a line an epoch

    def __init__(self, config: Any, steps: int, device: torch.device) -> None:
        self.config, self.steps, self.device, self.done = config, steps, device, []
        self.begin_epoch()

    def begin_epoch(self) -> None:
        self.at, self.since = 0, time.monotonic()
        self.sums = torch.zeros(self.n_sums, dtype=torch.float64, device=self.device)

    @abstractmethod
    def step(self) -> None: ...  # counts `at`, adds to `sums`
    @abstractmethod
    def end_epoch(self) -> None: ...  # closes the epoch's line, begins the next one
    @abstractmethod
    def result(self) -> Result: ...

    @property
    def trace(self) -> Trace:
        return Trace(tuple(self.done))

    @property
    def seconds(self) -> float:
        """Of the running epoch."""
        return time.monotonic() - self.since

    @property
    def finished(self) -> bool:
        return len(self.done) == self.config.epochs

    def so_far(self) -> dict[str, float]:
        """Means over the epoch's steps; reading them waits for a GPU."""
        return dict(zip(self.line._fields[1:], (self.sums / self.at).tolist(), strict=False))

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on, to be written at once; `torch.load(weights_only=True)` reads it."""
        lines = [list(epoch) for epoch in self.done]
        return {"trace": lines, "step": self.at, "sums": self.sums.tolist(), "seconds": self.seconds}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.done = [self.line(*values) for values in state["trace"]]
        self.begin_epoch()
        self.at, self.since = state["step"], self.since - state["seconds"]
        self.sums += torch.tensor(state["sums"], dtype=torch.float64, device=self.device)


def run_to_end(
    work: Work,
    folder: RunFolder,
    *,
    checkpoint_seconds: float = 60.0,  # within an epoch; after each epoch anyway
    on_epoch: Callable[[Any, Any], Any] = lambda config, trace: None,
    on_step: Callable[[Any], Any] = lambda work: None,
) -> None:
    """Steps, epochs, checkpoints, the result; a KeyboardInterrupt says what is kept."""
    saved = time.monotonic()
    try:
        while not work.finished:
            if ends := work.at == work.steps:
                work.end_epoch()
                folder.write_trace(work.trace)  # before the checkpoint: what that has is never missing here
            else:
                work.step()
            if ends or time.monotonic() - saved >= checkpoint_seconds:
                folder.save(work.state())
                saved = time.monotonic()
            if ends:
                on_epoch(work.config, work.trace)
            else:
                on_step(work)
    except KeyboardInterrupt:
        kept = "the last checkpoint, and the same command goes on from there"
        raise KeyboardInterrupt(f"interrupted; {folder.path} keeps {kept}") from None
    folder.write_result(work.result().to_json())


@contextmanager
def enough_memory() -> Iterator[None]:
    """RunStoppedError, one line, where a GPU or the CPU, for which torch has no class, has too little."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise RunStoppedError(
            "out of memory: take fewer channels, a smaller batch_size or chunk; the last checkpoint is kept"
        ) from None


def estimate(work: Work, more: str = "", *, extra: float = 0.0) -> str:
    """Time and memory of a run from its beginning, from two steps of this throw-away copy; one line."""
    work.done, seconds = [None] * (work.config.epochs - 1), []  # the last epoch: none of its steps is left out
    work.begin_epoch()
    for _ in range(2):  # the first one also warms up
        begin = time.perf_counter()
        work.step()
        work.so_far()
        seconds.append(time.perf_counter() - begin)
    steps, memory = work.steps + extra, peak_bytes(work.device.type)  # extra: steps' worth of an epoch's end
    return (
        f"about {duration(work.config.epochs * steps * min(seconds))} for {work.config.epochs} epochs of {work.steps} "
        f"steps ({min(seconds):.2g} s a step), {memory / 1e9:.1f} GB{more}"
    )
