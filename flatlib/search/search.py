"""A search from its config to its folder, and several from different seeds."""

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from flatlib.data.images import ImageSet, load_images
from flatlib.search.checkpoint import RunStoppedError
from flatlib.search.config import SearchConfig
from flatlib.search.estimate import choose_chunk
from flatlib.search.hardware import resolve_device
from flatlib.search.runs import Run, RunFolder, finished_run, open_run, read_run
from flatlib.search.searcher import Searcher, StepProgress
from flatlib.search.trace import SearchTrace

OnEpoch = Callable[[SearchConfig, SearchTrace], Any]
OnStep = Callable[[SearchConfig, StepProgress], Any]
AGAIN = "the same command goes on from there"


def search(
    config: SearchConfig,
    runs_dir: str | Path,
    *,
    data_dir: str | Path | None = None,
    image_set: ImageSet | None = None,  # already loaded
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    chunk: int | None = None,  # neighbors at once; None: as before, or chosen from the sizes
    checkpoint_seconds: float = 60.0,  # within an epoch; after each epoch anyway
) -> Run:
    """Run a search, go on with an interrupted one to the same bits, or read a finished one.

    The bits are the same with the same chunk and number of threads; on a GPU with deterministic algorithms.
    Ctrl-C waits for the end of the step. Raises RunError (nothing was started), RunStoppedError, SearchError (a loss is
    not finite), KeyboardInterrupt, and what `load_images` raises: one line each.
    """
    if run := finished_run(runs_dir, config):
        return run
    device = resolve_device(config.device)
    images = (image_set or load_for(config, data_dir)).to(device)
    with open_run(runs_dir, config) as folder, held_interrupt() as interrupted:
        if run := finished_run(runs_dir, config):  # by another process, meanwhile
            return run
        hooks = Hooks(folder, interrupted, checkpoint_seconds, on_epoch, on_step)
        saved = folder.load()
        chunk = chunk or (saved["chunk"] if saved else choose_chunk(config, images))
        while not _attempt(config, images, chunk, saved, hooks):
            chunk, saved = _smaller(chunk, folder), folder.load()
        return read_run(folder.path)


def load_for(config: SearchConfig, data_dir: str | Path | None = None) -> ImageSet:
    """The config's images on the CPU; ValueError, one line, where they are too few for a batch of each half."""
    image_set = load_images(config.dataset, Path(data_dir) if data_dir else None, config.n_train)
    half = len(image_set.labels["train"]) // 2
    if config.batch_size > half:
        raise ValueError(f"batch_size = {config.batch_size}: allowed: 2 to {half}, the images of each half")
    return image_set


class Hooks(NamedTuple):
    """Where a search writes, and whom it tells."""

    folder: RunFolder
    interrupted: Callable[[], bool]
    checkpoint_seconds: float
    on_epoch: OnEpoch | None
    on_step: OnStep | None


def _attempt(
    config: SearchConfig,
    images: ImageSet,
    chunk: int,
    saved: dict[str, Any] | None,
    hooks: Hooks,
) -> bool:
    """Search to the end; False where the memory did not suffice."""
    try:
        searcher = Searcher(config, images, chunk=chunk)
        if saved:
            _warn_of_threads(saved["threads"], hooks.folder.path)
            searcher.restore(saved)
        else:
            hooks.folder.save(searcher.state())
        hooks.folder.write_config(chunk=chunk, device=images.labels["train"].device.type)
        _run(searcher, hooks)
        return True
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
            return False
        raise


def _smaller(chunk: int, folder: RunFolder) -> int:
    """Half the chunk, now that the failed attempt's memory is free; RunStoppedError, one line, below 1."""
    torch.cuda.empty_cache()
    if chunk == 1:
        kept = f"; {folder.path} keeps the last checkpoint" if (folder.path / "checkpoint.pt").exists() else ""
        raise RunStoppedError(
            f"out of memory with 1 neighbor at once: take fewer channels or a smaller batch_size{kept}"
        )
    warnings.warn(f"out of memory with {chunk} neighbors at once; going on with {chunk // 2}", stacklevel=3)
    return chunk // 2


def _warn_of_threads(before: int, path: Path) -> None:
    if before != (now := torch.get_num_threads()):
        warnings.warn(f"{path}: begun with {before} threads, now {now}: last digits may differ", stacklevel=4)


# --- the loop -------------------------------------------------------------------------------------


def _run(searcher: Searcher, hooks: Hooks) -> None:
    """Steps, epochs, checkpoints; a KeyboardInterrupt says what is kept."""
    folder, border = hooks.folder, True  # between two steps, where the state is whole
    folder.write_trace(searcher.trace)  # of a killed process, or alpha before the first epoch
    saved = time.monotonic()
    try:
        while not searcher.finished:
            while searcher.at < searcher.steps:
                border = False
                searcher.step()
                border = True
                if hooks.on_step:
                    hooks.on_step(searcher.config, searcher.so_far)
                if hooks.interrupted():
                    raise KeyboardInterrupt
                if time.monotonic() - saved >= hooks.checkpoint_seconds:
                    folder.save(searcher.state())
                    saved = time.monotonic()
            border = False
            searcher.end_epoch()
            border = True
            _close(searcher, hooks)
            saved = time.monotonic()
    except KeyboardInterrupt:
        if border:
            folder.save(searcher.state())
        where = f"epoch {len(searcher.done) + 1}, step {searcher.at}" if border else "the last checkpoint"
        raise KeyboardInterrupt(f"interrupted; {folder.path} keeps {where}, and {AGAIN}") from None
    folder.write_result(searcher.result())


def _close(searcher: Searcher, hooks: Hooks) -> None:
    """Keep a finished epoch."""
    hooks.folder.save(searcher.state())
    hooks.folder.write_trace(searcher.trace)
    if hooks.on_epoch:
        hooks.on_epoch(searcher.config, searcher.trace)
    if hooks.interrupted() and not searcher.finished:
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
    if asked:  # too late to stop this search
        raise KeyboardInterrupt("interrupted after the end of a search, whose folder is complete")


# --- several seeds --------------------------------------------------------------------------------


def search_runs(config: SearchConfig, runs: int, runs_dir: str | Path, **options: Any) -> list[Run]:
    """Searches from the seeds seed .. seed + runs - 1, one after the other; options as for `search`."""
    return [search(one, runs_dir, **options) for one in seeds(config, runs)]


def seeds(config: SearchConfig, runs: int) -> list[SearchConfig]:
    return [replace(config, seed=config.seed + run) for run in range(runs)]


class Summary(NamedTuple):
    """A number over runs."""

    mean: float
    std: float  # population, ddof = 0
    n: int  # runs that have it


def summarize(runs: Sequence[Run]) -> dict[str, Summary]:
    """Mean and standard deviation over finished runs of each final number; where none has it, it is left out."""
    results = [run.result for run in runs if run.result]
    names = dict.fromkeys(name for result in results for name in result.final)
    columns = {name: np.array([result.final.get(name, np.nan) for result in results]) for name in names}
    known = {name: values[np.isfinite(values)] for name, values in columns.items()}
    return {name: Summary(float(x.mean()), float(x.std()), len(x)) for name, x in known.items() if len(x)}
