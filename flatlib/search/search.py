"""A search from its config to its folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from flatlib.data.images import ImageSet, load_images
from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.folder import open_run
from flatlib.run.hardware import resolve_device
from flatlib.run.loop import held_interrupt, is_out_of_memory, run_to_end, warn_of_threads
from flatlib.search.config import SearchConfig, identity
from flatlib.search.estimate import choose_chunk
from flatlib.search.kernels import choose
from flatlib.search.runs import Run, finished_run, read_run, run_path
from flatlib.search.searcher import Searcher, StepProgress
from flatlib.search.trace import SearchTrace


def search(
    config: SearchConfig,
    runs_dir: str | Path,
    *,
    data_dir: str | Path | None = None,
    image_set: ImageSet | None = None,  # already loaded
    on_epoch: Callable[[SearchConfig, SearchTrace], Any] | None = None,
    on_step: Callable[[SearchConfig, StepProgress], Any] | None = None,
    chunk: int | None = None,  # neighbors at once; None: as before, or chosen from the sizes
    kernels: str | None = None,  # None: as before, or compiled where they can be
    checkpoint_seconds: float = 60.0,  # within an epoch; after each epoch anyway
) -> Run:
    """Run a search, go on with an interrupted one to the same bits, or read a finished one.

    The bits are the same with the same chunk, kernels and number of threads; on a GPU with deterministic algorithms.
    Ctrl-C waits for the end of the step. Raises RunError (nothing was started), RunStoppedError (a loss is not finite,
    too little memory, no room), KeyboardInterrupt, and what `load_images` raises: one line each.
    """
    if run := finished_run(runs_dir, config):
        return run
    device = resolve_device(config.device)
    images = (image_set or load_for(config, data_dir)).to(device)
    with open_run(run_path(runs_dir, config), identity(config)) as folder, held_interrupt() as interrupted:
        if run := finished_run(runs_dir, config):  # by another process, meanwhile
            return run
        saved = folder.load()
        if not kernels:  # compiled ones may be missing where a search goes on
            kernels = "auto" if saved is None or saved["kernels"] == "compiled" else saved["kernels"]
        kernels = choose(config, torch.device(device), kernels)
        chunk = chunk or (saved["chunk"] if saved else choose_chunk(config, images, kernels))
        try:
            searcher = Searcher(config, images, chunk=chunk, kernels=kernels)
            if saved:
                warn_of_threads(saved["threads"], folder.path)
                searcher.restore(saved)
            else:
                folder.save(searcher.state())
            folder.write_config(chunk=chunk, kernels=kernels, device=device)
            run_to_end(
                searcher,
                folder,
                interrupted,
                checkpoint_seconds=checkpoint_seconds,
                on_epoch=on_epoch,
                on_step=on_step,
            )
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise RunStoppedError(
                f"out of memory with chunk = {chunk}: take a smaller one, fewer channels or a smaller batch_size; "
                f"{folder.path} keeps the last checkpoint"
            ) from None
        return read_run(folder.path)


def load_for(config: SearchConfig, data_dir: str | Path | None = None) -> ImageSet:
    """The config's images on the CPU; ValueError, one line, where they are too few for a batch of each half."""
    image_set = load_images(config.dataset, Path(data_dir) if data_dir else None, config.n_train)
    half = len(image_set.labels["train"]) // 2
    if config.batch_size > half:
        raise ValueError(f"batch_size = {config.batch_size}: allowed: 2 to {half}, the images of each half")
    return image_set
