"""A training from its config to its folder, and what it will take."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from flatlib.evaluation.batches import batches_of
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.processes import own_share, summed
from flatlib.evaluation.runs import EvaluationRun
from flatlib.evaluation.training import Trainer
from flatlib.run import loop
from flatlib.run.folder import RunFolder, open_run
from flatlib.run.hardware import resolve_device


def evaluate(
    config: EvaluationConfig,
    runs_dir: str | Path,
    *,
    data_dir: str | Path | None = None,
    workers: int = 2,  # processes that decode ImageNet
    **how: Any,  # checkpoint_seconds, on_epoch, on_step of `run_to_end`
) -> EvaluationRun:
    """Train a cell's network, go on with an interrupted training to the same bits, or read a finished one.

    The bits are the same with the same number of threads and processes; on a GPU with deterministic algorithms.
    Raises RunError (nothing was started), RunStoppedError (a loss that is not finite, too little memory, no room),
    KeyboardInterrupt, and what `batches_of` raises: one line each.
    """
    if run := EvaluationRun.finished(runs_dir, config):
        return run
    path, identity, share = EvaluationRun.path(runs_dir, config), EvaluationRun.identity(config), own_share()
    batches, device = batches_of(config, data_dir=data_dir, workers=workers), resolve_device(config.device)
    beside: Any = nullcontext(RunFolder(path, identity, writes=False))  # of the processes that are not the first
    with beside if share.rank else open_run(path, identity) as folder, loop.enough_memory():
        trainer = Trainer(config, batches, device)
        if saved := folder.load():
            trainer.restore(saved)
        folder.write_config(device=device, name=config.name, processes=share.world)
        loop.run_to_end(trainer, folder, **how)
    summed(torch.zeros(()))  # all wait here until the first has written the result
    return EvaluationRun.read(path)


def estimate(config: EvaluationConfig, *, data_dir: str | Path | None = None, workers: int = 2) -> str:
    """Time and memory of one training, one line; raises what `evaluate` would before its first step."""
    batches = batches_of(config, data_dir=data_dir, workers=workers)
    tests = batches.n_test / config.batch_size / 3  # a step without its backward half
    with loop.enough_memory():
        return loop.estimate(Trainer(config, batches, resolve_device(config.device)), extra=tests)
