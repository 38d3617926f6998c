"""The command `python -m flatlib.evaluation`: needs torch and numpy only; several processes by torchrun."""

import os
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flatlib.evaluation.config import EvaluationConfig
from flatlib.run.command_line import Options, main, set_up
from flatlib.run.config import parameter, seeds

if TYPE_CHECKING:
    from flatlib.evaluation.runs import EvaluationTrace
    from flatlib.evaluation.training import StepProgress

USAGE = """usage: python -m flatlib.evaluation [config.yaml] [--name value ...]

Trains one cell's network from new weights. The file has lines 'name: value'; the command line wins. The same command
goes on with a training that was interrupted, and reads one that is finished. On several GPUs,
which all see runs_dir: torchrun --nproc-per-node 4 -m flatlib.evaluation ...

example: python -m flatlib.evaluation --cell DARTS_V2 --epochs 10 --runs 3
example: python -m flatlib.evaluation notebooks/params/04_cifar10.yaml --cell runs/na-darts-cifar10-darts-seed0-1a2b3c4d
"""


@dataclass(frozen=True)
class EvaluationOptions(Options):
    """How trainings are run; what they find does not depend on it."""

    workers: int = parameter(2, "processes that decode ImageNet's images; 0: none beside this one", ge=0)


def prepare(config: EvaluationConfig, options: EvaluationOptions) -> Callable[[], None]:
    """Everything that can be wrong, then the estimate; what is returned does the work."""
    from flatlib.evaluation.evaluate import batches_of, estimate
    from flatlib.evaluation.processes import own_share
    from flatlib.evaluation.runs import finished_run, identity, run_path
    from flatlib.run.folder import tell_begun

    set_up(options)
    configs = seeds(config, options.runs)
    waiting = [one for one in configs if finished_run(options.runs_dir, one) is None]
    batches = batches_of(config, data_dir=options.data_dir, workers=options.workers) if waiting else None
    for one in waiting if not own_share().rank else ():
        tell_begun(run_path(options.runs_dir, one), identity(one))
    if batches:
        say(f"{len(waiting)} of {len(configs)} trainings of {config.name} to do, each: {estimate(config, batches)}")
    return lambda: work(configs, waiting, options)


def work(configs: list[EvaluationConfig], waiting: list[EvaluationConfig], options: EvaluationOptions) -> None:
    """Training after training, then their mean."""
    import numpy as np

    from flatlib.evaluation.evaluate import evaluate
    from flatlib.evaluation.processes import own_share
    from flatlib.run.progress import Progress

    runs, first = [], not own_share().rank
    with closing(Progress(step_words, epoch_words)) as progress:
        for config in configs:
            run = evaluate(
                config,
                options.runs_dir,
                data_dir=options.data_dir,
                checkpoint_seconds=options.checkpoint_seconds,
                workers=options.workers,
                on_epoch=progress.epoch if first else None,
                on_step=progress.step if first else None,
            )
            read = "" if config in waiting else "read from "
            say(f"{config.name}, seed {config.seed}: test error {run.test_error:.2f} %; {read}{run.folder}")
            runs.append(run)
    if len(runs) > 1:
        errors = np.array([run.test_error for run in runs])
        say(f"test error: {errors.mean():.2f} +- {errors.std():.2f} % (n = {len(runs)})")


def say(line: str) -> None:
    """Once, by the first of several processes."""
    from flatlib.evaluation.processes import own_share

    if not own_share().rank:
        print(line, flush=True)


def step_words(now: "StepProgress") -> str:
    return f"loss {now.loss:.3f}, accuracy {now.accuracy:.1f} %"


def epoch_words(config: EvaluationConfig, trace: "EvaluationTrace") -> str:
    """What an epoch brought, and the time left by the mean of the epochs so far."""
    from flatlib.run.progress import duration

    last, left = trace.epochs[-1], config.epochs - len(trace.epochs)
    words = [
        f"training {last.train_loss:.3f} ({last.train_accuracy:.1f} %)",
        f"test {last.test_loss:.3f} ({last.test_accuracy:.1f} %)",
    ]
    if left:
        words.append(f"{duration(left * float(trace.column('seconds').mean()))} left")
    return f"{config.name}, seed {config.seed}, epoch {last.epoch}/{config.epochs}: {', '.join(words)}"


def start(argv: list[str]) -> int:
    """The command, alone or among the processes that torchrun started."""
    if "WORLD_SIZE" not in os.environ:
        return main(argv, "flatlib.evaluation", USAGE, (EvaluationConfig, EvaluationOptions), prepare)
    from flatlib.evaluation.processes import own_share, processes

    with processes():
        try:
            return main(argv, "flatlib.evaluation", USAGE, (EvaluationConfig, EvaluationOptions), prepare)
        except RuntimeError:  # the first process stopped and has said why; this one lost its company
            if own_share().rank:
                return 1
            raise


if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
