"""A training from its config to its folder, and what it will take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from flatlib.evaluation.batches import Batches, batches_of
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.processes import any_of, own_share
from flatlib.evaluation.runs import EvaluationRun, EvaluationTrace, finished_run, identity, read_run, run_path
from flatlib.evaluation.training import StepProgress, Trainer
from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.folder import RunFolder, open_run
from flatlib.run.hardware import machine, peak_bytes, resolve_device
from flatlib.run.loop import held_interrupt, is_out_of_memory, run_to_end, warn_of_change
from flatlib.run.progress import duration


@contextmanager
def _enough_memory(kept: str = "") -> Iterator[None]:
    """RunStoppedError, one line, where there is too little."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise RunStoppedError(f"out of memory: take a smaller batch_size or fewer channels{kept}") from None


def evaluate(
    config: EvaluationConfig,
    runs_dir: str | Path,
    *,
    data_dir: str | Path | None = None,
    on_epoch: Callable[[EvaluationConfig, EvaluationTrace], Any] | None = None,
    on_step: Callable[[EvaluationConfig, StepProgress], Any] | None = None,
    checkpoint_seconds: float = 60.0,  # within an epoch; after each epoch anyway
    workers: int = 2,  # processes that decode ImageNet
) -> EvaluationRun:
    """Train a cell's network, go on with an interrupted training to the same bits, or read a finished one.

    The bits are the same with the same number of threads and processes; on a GPU with deterministic algorithms.
    Ctrl-C waits for the end of the step. Raises RunError (nothing was started), RunStoppedError (a loss that is not
    finite, too little memory, no room), KeyboardInterrupt, and what `batches_of` raises: one line each.
    """
    if run := finished_run(runs_dir, config):
        return run
    path, device = run_path(runs_dir, config), resolve_device(config.device)
    batches = batches_of(config, data_dir=data_dir, workers=workers)
    telling: Any = {"checkpoint_seconds": checkpoint_seconds, "on_epoch": on_epoch, "on_step": on_step}
    own: Any = nullcontext(_NoFolder(path, identity(config))) if own_share().rank else open_run(path, identity(config))
    kept = _enough_memory(f"; {path} keeps the last checkpoint")
    with kept, own as folder, held_interrupt() as asked:
        saved, trainer = folder.load(), Trainer(config, batches, device)
        if saved:
            warn_of_change("threads", saved["threads"], torch.get_num_threads(), path)
            warn_of_change("processes", saved["processes"], own_share().world, path)
            trainer.restore(saved)
        folder.write_config(device=device, name=config.name, processes=own_share().world)
        run_to_end(trainer, folder, lambda: any_of(asked()), **telling)
        any_of(False)  # all wait here until the first has written the result
    return read_run(path)


class _NoFolder(RunFolder):
    """Of the processes beside the first, which see it too: nothing is written."""

    def write_config(self, **_: Any) -> None: ...
    def save(self, state: dict[str, Any]) -> None: ...
    def write_trace(self, trace: Any) -> None: ...
    def write_result(self, values: dict[str, Any]) -> None: ...


# --- what it will take ------------------------------------------------------------------------------


@_enough_memory()
def estimate(config: EvaluationConfig, batches: Batches) -> str:
    """Time and memory of one training from its beginning, from a step or two of a throw-away copy; one line."""
    before = batches.state()
    try:
        trainer = Trainer(config, batches, resolve_device(config.device))
        step = _seconds_of_a_step(trainer)
        if not any_of(step > 5):  # the first one also warms up; all processes take another, or none
            step = min(step, _seconds_of_a_step(trainer))
    finally:
        batches.restore(before)
    tests = batches.n_test / config.batch_size / 3  # a step without its backward half
    seconds, memory = config.epochs * (batches.steps + tests) * step, peak_bytes(trainer.device.type)
    size = f", {memory / 1e9:.1f} GB" if memory else ""
    return (
        f"about {duration(seconds)} for {config.epochs} epochs of {batches.steps} steps ({step:.2g} s a step){size}; "
        f"{machine(trainer.device.type)}"
    )


def _seconds_of_a_step(trainer: Trainer) -> float:
    begin = time.perf_counter()
    trainer.step()
    trainer.sums.tolist()  # waits for a GPU
    return time.perf_counter() - begin
