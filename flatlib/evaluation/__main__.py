"""The command `python -m flatlib.evaluation`: needs torch and numpy only; several processes by torchrun."""

import os
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from flatlib.evaluation.config import EvaluationConfig
from flatlib.run.command_line import Options, main, set_up
from flatlib.run.config import parameter, seeds

USAGE = """usage: python -m flatlib.evaluation [config.yaml] [--name value ...]

Trains one cell's network from new weights. The file has lines 'name: value'; the command line wins. The same command
goes on with a training that was interrupted, and reads one that is finished. On several GPUs,
which all see runs_dir: torchrun --nproc-per-node 4 -m flatlib.evaluation ...

example: python -m flatlib.evaluation --cell DARTS_V2 --epochs 10 --runs 3
example: python -m flatlib.evaluation notebooks/params/04_cifar10.yaml --cell runs/na-darts-cifar10-darts-seed0-1a2b3c4d
"""
STEP = "loss {0.loss:.3f}, accuracy {0.accuracy:.1f} %"
EPOCH = (
    "training {0.train_loss:.3f} ({0.train_accuracy:.1f} %)",
    "test {0.test_loss:.3f} ({0.test_accuracy:.1f} %)",
)


@dataclass(frozen=True)
class EvaluationOptions(Options):
    """How trainings are run; what they find does not depend on it."""

    workers: int = parameter(2, "processes that decode ImageNet's images; 0: none beside this one", ge=0)


def prepare(config: EvaluationConfig, options: EvaluationOptions) -> Callable[[], None]:
    """Everything that can be wrong, then the estimate; what is returned trains from each seed."""
    from flatlib.evaluation.evaluate import batches_of, estimate, evaluate
    from flatlib.evaluation.processes import own_share
    from flatlib.evaluation.runs import EvaluationRun
    from flatlib.run.progress import Progress, summary

    set_up(options)
    first = not own_share().rank  # of several processes, which alone speaks
    configs = seeds(config, options.runs)
    waiting = [one for one in configs if not EvaluationRun.finished(options.runs_dir, one)]
    batches = batches_of(config, data_dir=options.data_dir, workers=options.workers) if waiting else None
    EvaluationRun.tell_begun(options.runs_dir, waiting if first else ())
    each = estimate(config, batches) if batches else ""
    if batches and first:
        print(f"{len(waiting)} of {len(configs)} trainings of {config.name} to do, each: {each}", flush=True)

    def work() -> None:
        results = []
        with closing(Progress(STEP, EPOCH)) as progress:
            for one in configs:
                run = evaluate(
                    one,
                    options.runs_dir,
                    data_dir=options.data_dir,
                    checkpoint_seconds=options.checkpoint_seconds,
                    workers=options.workers,
                    on_epoch=progress.epoch if first else None,
                    on_step=progress.step if first else None,
                )
                read = "" if one in waiting else "read from "
                if first:
                    print(
                        f"{one.name}, seed {one.seed}: test error {run.test_error:.2f} %; {read}{run.folder}",
                        flush=True,
                    )
                results.append(run.result or {})
        if first and len(results) > 1:
            print("\n".join(summary(results)))

    return work


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
