"""A search from its config to its folder, and several from different seeds."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from flatlib.data.images import ImageSet, load_images
from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.config import seeds
from flatlib.run.folder import RunFolder, open_run
from flatlib.run.hardware import resolve_device
from flatlib.run.loop import Hooks, held_interrupt, is_out_of_memory, run_to_end, warn_of_threads
from flatlib.search.config import SearchConfig, identity
from flatlib.search.estimate import choose_chunk
from flatlib.search.kernels import choose
from flatlib.search.runs import Run, finished_run, read_run, run_path
from flatlib.search.searcher import Searcher, StepProgress
from flatlib.search.trace import SearchTrace

OnEpoch = Callable[[SearchConfig, SearchTrace], Any]
OnStep = Callable[[SearchConfig, StepProgress], Any]


def search(
    config: SearchConfig,
    runs_dir: str | Path,
    *,
    data_dir: str | Path | None = None,
    image_set: ImageSet | None = None,  # already loaded
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    chunk: int | None = None,  # neighbors at once; None: as before, or chosen from the sizes
    kernels: str | None = None,  # None: as before, or compiled where they can be
    checkpoint_seconds: float = 60.0,  # within an epoch; after each epoch anyway
) -> Run:
    """Run a search, go on with an interrupted one to the same bits, or read a finished one.

    The bits are the same with the same chunk, kernels and number of threads; on a GPU with deterministic algorithms.
    Ctrl-C waits for the end of the step. Raises RunError (nothing was started), RunStoppedError, SearchError (a loss is
    not finite), KeyboardInterrupt, and what `load_images` raises: one line each.
    """
    if run := finished_run(runs_dir, config):
        return run
    device = resolve_device(config.device)
    images = (image_set or load_for(config, data_dir)).to(device)
    with open_run(run_path(runs_dir, config), identity(config)) as folder, held_interrupt() as interrupted:
        if run := finished_run(runs_dir, config):  # by another process, meanwhile
            return run
        tell = [partial(told, config) if told else None for told in (on_epoch, on_step)]
        hooks = Hooks(folder, interrupted, checkpoint_seconds, *tell)
        saved = folder.load()
        kernels = choose(config, torch.device(device), kernels or (_kernels_of(saved) if saved else "auto"))
        chunk = chunk or (saved["chunk"] if saved else choose_chunk(config, images, kernels))
        while not _attempt(config, images, chunk, kernels, saved, hooks):
            chunk, saved = _smaller(chunk, folder), folder.load()
        return read_run(folder.path)


def load_for(config: SearchConfig, data_dir: str | Path | None = None) -> ImageSet:
    """The config's images on the CPU; ValueError, one line, where they are too few for a batch of each half."""
    image_set = load_images(config.dataset, Path(data_dir) if data_dir else None, config.n_train)
    half = len(image_set.labels["train"]) // 2
    if config.batch_size > half:
        raise ValueError(f"batch_size = {config.batch_size}: allowed: 2 to {half}, the images of each half")
    return image_set


def _attempt(
    config: SearchConfig,
    images: ImageSet,
    chunk: int,
    kernels: str,
    saved: dict[str, Any] | None,
    hooks: Hooks,
) -> bool:
    """Search to the end; False where the memory did not suffice."""
    try:
        searcher = Searcher(config, images, chunk=chunk, kernels=kernels)
        if saved:
            warn_of_threads(saved["threads"], hooks.folder.path)
            searcher.restore(saved)
        else:
            hooks.folder.save(searcher.state())
        hooks.folder.write_config(chunk=chunk, kernels=kernels, device=images.labels["train"].device.type)
        run_to_end(searcher, hooks)
        return True
    except RuntimeError as error:
        if is_out_of_memory(error):
            return False
        raise


def _kernels_of(saved: dict[str, Any]) -> str:
    """Those of a checkpoint, unless its compiled ones cannot be had here."""
    return {"compiled": "auto", "naive": "naive"}.get(saved.get("kernels", "plain"), "plain")


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


# --- several seeds --------------------------------------------------------------------------------


def search_runs(config: SearchConfig, runs: int, runs_dir: str | Path, **options: Any) -> list[Run]:
    """Searches from the seeds seed .. seed + runs - 1, one after the other; options as for `search`."""
    return [search(one, runs_dir, **options) for one in seeds(config, runs)]


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
